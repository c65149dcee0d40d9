//! A small HTTP/1.1 server for tests: records every request and answers by script.

use std::io::Read as _;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::task::Tasks;

/// A request as it came in.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Method and path.
    pub(super) target: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    /// As sent.
    pub(super) wire: Vec<u8>,
    /// Uncompressed.
    pub(super) body: String,
    /// Which connection it came on, from 0.
    pub(super) connection: usize,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice");
        value
    }
}

/// What to do about a request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Status, further header lines, body.
    Reply(u16, String, String),
    /// Close the connection without a word.
    Close,
    /// Announce a longer body than comes, then close.
    CutShort(u16, String),
    /// Keep the connection and say nothing.
    Silence,
}

pub(super) fn reply(status: u16, body: &str) -> Answer {
    Answer::Reply(status, String::new(), body.to_owned())
}

pub(super) fn success() -> Answer {
    reply(200, r#"{"text":"Success","code":0}"#)
}

type Script = Arc<dyn Fn(usize, &Seen) -> Answer + Send + Sync>;

/// The running server; it ends when dropped.
pub(super) struct Server {
    pub(super) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    _stop: DropGuard,
    _tasks: Tasks<()>,
}

impl Server {
    /// Answers by a function of the request's number, from 0, and the request.
    pub(super) async fn start(script: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), None, Arc::new(script))
    }

    /// Answers in turn, the last one for ever.
    pub(super) async fn answering(answers: Vec<Answer>) -> Self {
        Self::start(move |n, _| answers[n.min(answers.len() - 1)].clone()).await
    }

    /// Over TLS.
    pub(super) async fn start_tls(acceptor: TlsAcceptor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, Some(acceptor), Arc::new(|_, _| success()))
    }

    /// On a socket whose port refused connections so far.
    pub(super) fn on_socket(socket: TcpSocket) -> Self {
        Self::on(socket.listen(16).unwrap(), None, Arc::new(|_, _| success()))
    }

    fn on(listener: TcpListener, tls: Option<TlsAcceptor>, script: Script) -> Self {
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new();
        let (log, stopped) = (seen.clone(), stop.clone());
        tasks.spawn("server", async move {
            let mut connections = Tasks::new();
            for connection in 0.. {
                let Some(Ok((stream, _))) = stopped.run_until_cancelled(listener.accept()).await else {
                    break;
                };
                let (log, script, tls) = (log.clone(), script.clone(), tls.clone());
                connections.spawn("connection", async move {
                    match tls {
                        None => serve(stream, connection, &log, &script).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, connection, &log, &script).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, seen, _stop: stop.drop_guard(), _tasks: tasks }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve<S>(mut stream: S, connection: usize, log: &Mutex<Vec<Seen>>, script: &Script)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(mut seen) = read(&mut stream).await {
        seen.connection = connection;
        let number = {
            let mut log = log.lock().unwrap();
            log.push(seen.clone());
            log.len() - 1
        };
        let (status, headers, body, announced) = match script(number, &seen) {
            Answer::Reply(status, headers, body) => (status, headers, body.clone(), body.len()),
            Answer::CutShort(status, body) => (status, String::new(), body.clone(), body.len() + 10),
            Answer::Close => return,
            Answer::Silence => std::future::pending().await,
        };
        let head = format!("HTTP/1.1 {status} S\r\nContent-Length: {announced}\r\n{headers}\r\n");
        // A client that is gone is its own affair.
        let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        let _ = stream.flush().await;
        if announced != body.len() {
            return;
        }
    }
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let target = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut wire = bytes.split_off(head_end + 4);
    let length = headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse());
    let asks = target.starts_with("GET ");
    let length: usize = if asks { 0 } else { length.expect("no Content-Length").unwrap() };
    while wire.len() < length {
        if stream.read_buf(&mut wire).await.ok()? == 0 {
            return None;
        }
    }
    let gzip = headers.iter().any(|(name, value)| name == "content-encoding" && value == "gzip");
    let mut body = String::new();
    if gzip {
        flate2::read::GzDecoder::new(&wire[..]).read_to_string(&mut body).unwrap();
    } else {
        body = String::from_utf8(wire.clone()).unwrap();
    }
    Some(Seen { target, headers, wire, body, connection: 0 })
}
