//! A path that cuts connections in the middle of a request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use firehose_nozzle::task::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::world::{Sender, assert_exactly, config, server};

/// Forwards connections to `target`; each third one is cut in the middle of its first body.
struct Cutter {
    address: SocketAddr,
    cut: Arc<AtomicU64>,
    _tasks: Tasks<()>,
}

impl Cutter {
    async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::<AtomicU64>::default();
        let mut tasks = Tasks::new();
        let counter = Arc::clone(&cut);
        tasks.spawn("cutter", async move {
            let mut connections = Tasks::new();
            for number in 0_u64.. {
                let (near, _) = listener.accept().await.unwrap();
                let counter = Arc::clone(&counter);
                connections.spawn("connection", async move {
                    if number % 3 == 2 {
                        cut_off(near, target, &counter).await;
                    } else {
                        pass(near, target).await;
                    }
                });
            }
        });
        Self { address, cut, _tasks: tasks }
    }
}

/// Either end may go at any time; then so does the other.
async fn pass(mut near: TcpStream, target: SocketAddr) {
    let mut far = TcpStream::connect(target).await.unwrap();
    let _ = copy_bidirectional(&mut near, &mut far).await;
}

async fn cut_off(mut near: TcpStream, target: SocketAddr, counter: &AtomicU64) {
    let mut far = TcpStream::connect(target).await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(byte) = near.read_u8().await else { return };
        request.push(byte);
    }
    let head = String::from_utf8(request.clone()).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1).map(|rest| rest.split("\r\n").next().unwrap());
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    let head_end = request.len();
    request.resize(head_end + length / 2, 0);
    if near.read_exact(&mut request[head_end..]).await.is_ok() {
        // The server may reset first.
        let _ = far.write_all(&request).await;
        counter.fetch_add(u64::from(length > 0), Relaxed);
    }
}

#[tokio::test]
async fn requests_cut_in_the_middle_are_sent_again() {
    let server = server().await;
    let cutter = Cutter::start(server.address()).await;
    let sender = Sender::new(config(&[&format!("http://{}", cutter.address)]));
    // One round after the other, since connections that were not cut are used again.
    for round in 0..20 {
        sender.deliver(round * 100..(round + 1) * 100, 8).await;
        server.reset_connections();
    }
    let cut = cutter.cut.load(Relaxed);
    assert!(cut > 0);
    // No server takes half a request, so there are no duplicates, although the client cannot know.
    assert_exactly([&server], 0..2000);
    assert!(sender.status().counters.ambiguous_resends >= cut);
}
