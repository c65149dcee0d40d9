//! Servers that keep what they are sent: HTTP, TCP, UDP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::process::PATIENCE;

/// What one server got.
#[derive(Debug, Default)]
struct Got {
    requests: Vec<Request>,
    /// Connections (TCP), in the order they were made, and datagrams (UDP).
    pieces: Vec<Vec<u8>>,
    /// Connections that are open.
    open: usize,
}

/// An HTTP request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) authorization: Option<String>,
    pub(super) body: String,
}

/// A server on a free port of 127.0.0.1.
#[derive(Clone)]
pub(super) struct Capture {
    /// As the conf names its port.
    pub(super) name: String,
    pub(super) port: u16,
    got: Arc<(Mutex<Got>, Condvar)>,
}

impl Capture {
    /// Starts one as a case describes it.
    pub(super) fn start(server: &Value) -> Self {
        let got = Arc::default();
        let name = server["port"].as_str().unwrap_or("PORT").to_owned();
        let keep = Arc::clone(&got);
        let port = match server["kind"].as_str().expect("a kind") {
            "udp" => {
                let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
                let port = socket.local_addr().expect("bound").port();
                std::thread::spawn(move || datagrams(&socket, &keep));
                port
            }
            kind => {
                let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
                let port = listener.local_addr().expect("bound").port();
                let is_http = kind == "http";
                let busy = server["status"] == 503;
                std::thread::spawn(move || {
                    for stream in listener.incoming().map_while(Result::ok) {
                        let keep = Arc::clone(&keep);
                        let number = change(&keep, |got| {
                            got.open += 1;
                            got.pieces.push(Vec::new());
                            got.pieces.len() - 1
                        });
                        std::thread::spawn(move || {
                            if is_http {
                                exchanges(stream, busy, &keep)
                            } else {
                                bytes(stream, number, &keep)
                            }
                            change(&keep, |got| got.open -= 1);
                        });
                    }
                });
                port
            }
        };
        Self { name, port, got }
    }

    /// Waits until it has so many requests, or pieces and no open connection; gives what there is.
    pub(super) fn requests(&self, count: usize) -> Vec<Request> {
        self.wait(|got| got.requests.len() >= count, |got| got.requests.clone())
    }

    /// As [`Capture::requests`], for connections and datagrams.
    pub(super) fn pieces(&self, count: usize) -> Vec<Vec<u8>> {
        self.wait(|got| got.pieces.len() >= count && got.open == 0, |got| got.pieces.clone())
    }

    fn wait<T>(&self, enough: impl Fn(&Got) -> bool, take: impl Fn(&Got) -> T) -> T {
        let deadline = Instant::now() + PATIENCE.min(Duration::from_secs(20));
        let mut got = self.got.0.lock().expect("no panic");
        while !enough(&got) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            got = self.got.1.wait_timeout(got, left).expect("no panic").0;
        }
        take(&got)
    }
}

fn change<T>(got: &(Mutex<Got>, Condvar), with: impl FnOnce(&mut Got) -> T) -> T {
    let changed = with(&mut got.0.lock().expect("no panic"));
    got.1.notify_all();
    changed
}

fn datagrams(socket: &UdpSocket, got: &(Mutex<Got>, Condvar)) {
    let mut datagram = vec![0; 65_536];
    while let Ok(length) = socket.recv(&mut datagram) {
        change(got, |got| got.pieces.push(datagram[..length].to_vec()));
    }
}

fn bytes(mut stream: TcpStream, number: usize, got: &(Mutex<Got>, Condvar)) {
    let mut all = Vec::new();
    if stream.read_to_end(&mut all).is_ok() {
        change(got, |got| got.pieces[number] = all);
    }
}

fn exchanges(stream: TcpStream, busy: bool, got: &(Mutex<Got>, Condvar)) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = request(&mut reader) {
        change(got, |got| got.requests.push(request));
        let (status, body) = if busy {
            ("503 Service Unavailable", r#"{"text":"Server is busy","code":9}"#)
        } else {
            ("200 OK", r#"{"text":"Success","code":0}"#)
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if reader.get_mut().write_all((head + body).as_bytes()).is_err() {
            return;
        }
    }
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, authorization, body: String::from_utf8(body).ok()? })
}
