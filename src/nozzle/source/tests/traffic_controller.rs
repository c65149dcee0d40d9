//! A foundation whose traffic controller does what a script says: API root, UAA and websocket.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use sha1_smol::Sha1;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_websockets::{CloseCode, Message, ServerBuilder, WebSocketStream};

use super::api::Api;
use super::{DEADLINE, Pki};
use crate::task::Tasks;

/// What the traffic controller does with one connection.
#[derive(Clone, Debug)]
pub(super) enum Connection {
    /// Answers with this status and body.
    Refuse(u16, &'static str),
    /// Opens a websocket and does these things.
    Open(Vec<Act>),
}

/// One thing a websocket server does.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Sends frames, all in one go.
    Frames(Vec<Bytes>),
    /// Sends a text frame.
    Text(&'static str),
    /// Sends pings between frames, one after each, and waits for all pongs.
    PingsAmong(Vec<Bytes>),
    /// Sends pings this far apart and nothing else.
    Pings(usize, Duration),
    /// Closes with a code and a reason.
    Close(u16, &'static str),
    /// Sends these bytes as they are, then cuts the connection.
    CutAfter(&'static [u8]),
    /// Waits for the client's close frame, sends these frames, then closes.
    AwaitClose(Vec<Bytes>),
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<Connection>>,
    heads: Mutex<Vec<String>>,
    open: watch::Sender<usize>,
    most_open: AtomicU64,
    closes: AtomicU64,
}

/// The servers; they end with this value.
pub(super) struct TrafficController {
    pub(super) api: Api,
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: Tasks<()>,
}

impl TrafficController {
    /// Serves connections by the script; those after its end stay open and silent.
    pub(super) async fn start(pki: &Pki, script: impl IntoIterator<Item = Connection>) -> Self {
        Self::named(pki, "127.0.0.1", script).await
    }

    /// As [`TrafficController::start`], with a name of its own, which only a proxy finds.
    pub(super) async fn named(pki: &Pki, name: &str, script: impl IntoIterator<Item = Connection>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { script: Mutex::new(script.into_iter().collect()), ..Shared::default() });
        let leaf = pki.authority.server(&[name]).unwrap();
        // As the real one, it would rather speak HTTP/2, over which it cannot upgrade.
        let tls = TlsAcceptor::from(Arc::new(leaf.server_config(None, &["h2", "http/1.1"]).unwrap()));
        let mut tasks = Tasks::new();
        tasks.spawn("traffic controller", serve(listener, tls, Arc::clone(&shared)));
        let logging = format!("wss://{name}:{}", address.port());
        let api = Api::start(&[("log_stream", None), ("logging", Some(logging))]).await;
        Self { api, address, shared, _tasks: tasks }
    }

    /// The heads of all requests, in lower case.
    pub(super) fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }

    /// The most connections there were at one time.
    pub(super) fn most_open(&self) -> u64 {
        self.shared.most_open.load(Relaxed)
    }

    /// How many close frames the client has sent, or sent back.
    pub(super) fn closes(&self) -> u64 {
        self.shared.closes.load(Relaxed)
    }

    /// Waits until all connections are closed.
    pub(super) async fn all_closed(&self) {
        self.shared.open.subscribe().wait_for(|open| *open == 0).await.unwrap();
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = Tasks::new();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        connections.spawn("connection", async move {
            let Ok(io) = tls.accept(tcp).await else { return };
            assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            shared.open.send_modify(|open| *open += 1);
            shared.most_open.fetch_max(*shared.open.borrow() as u64, Relaxed);
            converse(io, &shared).await;
            shared.open.send_modify(|open| *open -= 1);
        });
    }
}

async fn converse(mut io: TlsStream<TcpStream>, shared: &Shared) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let key = header(&head, "sec-websocket-key").unwrap();
    let accept =
        STANDARD.encode(Sha1::from(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")).digest().bytes());
    shared.heads.lock().unwrap().push(head);
    let next = shared.script.lock().unwrap().pop_front();
    let acts = match next {
        None => Vec::new(),
        Some(Connection::Open(acts)) => acts,
        Some(Connection::Refuse(status, body)) => {
            let head = format!("HTTP/1.1 {status} No\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            io.write_all(head.as_bytes()).await.unwrap();
            io.shutdown().await.unwrap();
            return;
        }
    };
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    io.write_all(head.as_bytes()).await.unwrap();
    let mut websocket = ServerBuilder::new().serve(io);
    for act in acts {
        perform(&mut websocket, act).await;
    }
    // Answers the client's close, and notices its end.
    while let Some(Ok(message)) = websocket.next().await {
        shared.closes.fetch_add(message.is_close().into(), Relaxed);
    }
}

/// The value of a header in a request's head.
pub(super) fn header(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

async fn perform(websocket: &mut WebSocketStream<TlsStream<TcpStream>>, act: Act) {
    match act {
        Act::Frames(frames) => {
            for frame in frames {
                websocket.feed(Message::binary(frame)).await.unwrap();
            }
            websocket.flush().await.unwrap();
        }
        Act::Text(text) => websocket.send(Message::text(text)).await.unwrap(),
        Act::PingsAmong(frames) => {
            let pings = frames.len();
            for (number, frame) in frames.into_iter().enumerate() {
                websocket.feed(Message::binary(frame)).await.unwrap();
                websocket.feed(Message::ping(number.to_string())).await.unwrap();
            }
            websocket.flush().await.unwrap();
            for number in 0..pings {
                pong(websocket, number).await;
            }
        }
        Act::Pings(count, pause) => {
            for number in 0..count {
                websocket.send(Message::ping(number.to_string())).await.unwrap();
                pong(websocket, number).await;
                tokio::time::sleep(pause).await;
            }
        }
        Act::Close(code, reason) => {
            let code = CloseCode::try_from(code).unwrap();
            websocket.send(Message::close(Some(code), reason)).await.unwrap();
        }
        Act::CutAfter(bytes) => {
            websocket.get_mut().write_all(bytes).await.unwrap();
            websocket.get_mut().flush().await.unwrap();
            // Not a word of TLS either, as when a process is killed.
            websocket.get_mut().get_mut().0.shutdown().await.unwrap();
        }
        Act::AwaitClose(frames) => {
            while !websocket.next().await.unwrap().unwrap().is_close() {}
            // The library sends nothing after a close; the real server may have more on its way.
            for frame in frames {
                let header = [0x82, u8::try_from(frame.len()).unwrap()];
                websocket.get_mut().write_all(&header).await.unwrap();
                websocket.get_mut().write_all(&frame).await.unwrap();
            }
            websocket.get_mut().flush().await.unwrap();
        }
    }
}

/// Waits for the pong of a numbered ping.
async fn pong(websocket: &mut WebSocketStream<TlsStream<TcpStream>>, number: usize) {
    let message = timeout(DEADLINE, websocket.next()).await.expect("a pong in time").unwrap().unwrap();
    assert!(message.is_pong());
    assert_eq!(&message.as_payload()[..], number.to_string().as_bytes());
}
