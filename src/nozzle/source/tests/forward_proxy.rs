//! A small HTTP proxy: tunnels by CONNECT, and forwards requests for `http://`. It takes every
//! name for this machine.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::traffic_controller::header;
use crate::task::Tasks;

/// What the proxy does with a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// Lets everybody through.
    Open,
    /// Lets through who has this `proxy-authorization`.
    Only(&'static str),
    /// Refuses tunnels with this status line.
    Refuse(&'static str),
}

/// The proxy; it ends with this value.
pub(super) struct ForwardProxy {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: Tasks<()>,
}

impl ForwardProxy {
    pub(super) async fn start(rule: Rule) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let mut tasks = Tasks::new();
        tasks.spawn("proxy", {
            let asked = Arc::clone(&asked);
            async move {
                let mut connections = Tasks::new();
                loop {
                    let (client, _) = listener.accept().await.unwrap();
                    let asked = Arc::clone(&asked);
                    connections.spawn("connection", async move { serve(client, rule, &asked).await });
                }
            }
        });
        Self { address, asked, _tasks: tasks }
    }

    /// Method and target of each request.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut client: TcpStream, rule: Rule, asked: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let (request, _) = head.split_once(" HTTP/1.1\r\n").unwrap();
    asked.lock().unwrap().push(request.to_owned());
    let (method, target) = request.split_once(' ').unwrap();
    let refusal = match rule {
        Rule::Only(credentials) if header(&head, "proxy-authorization").as_deref() != Some(credentials) => {
            Some("407 Proxy Authentication Required")
        }
        Rule::Refuse(status) if method == "CONNECT" => Some(status),
        _ => None,
    };
    if let Some(status) = refusal {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        client.write_all(answer.as_bytes()).await.unwrap();
        return;
    }
    let authority = target.strip_prefix("http://").map_or(target, |rest| rest.split('/').next().unwrap());
    let port: u16 = authority.rsplit_once(':').unwrap().1.parse().unwrap();
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    if method == "CONNECT" {
        client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n").await.unwrap();
    } else {
        // One request per connection: the rest of it may follow as it is.
        let path = target.split_once(authority).unwrap().1;
        let own = |line: &&str| {
            let line = line.to_ascii_lowercase();
            line.starts_with("proxy-") || line.starts_with("connection:") || line.is_empty()
        };
        let lines: Vec<&str> = head.lines().skip(1).filter(|line| !own(line)).collect();
        let head = format!("{method} {path} HTTP/1.1\r\n{}\r\nConnection: close\r\n\r\n", lines.join("\r\n"));
        server.write_all(head.as_bytes()).await.unwrap();
    }
    let _ = copy_bidirectional(&mut client, &mut server).await;
}
