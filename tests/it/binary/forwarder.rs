//! A way to a peer that can be closed and opened: while it is closed, connections are refused.

use std::net::{Ipv4Addr, SocketAddr};

use firehose_nozzle::task::Tasks;
use tokio::net::{TcpListener, TcpStream};

use super::process::free_port;

/// An address that leads to another one when it is open.
#[derive(Clone, Copy)]
pub(crate) struct Forwarder {
    port: u16,
    target: SocketAddr,
}

/// The way is open while this lives; then every connection on it is cut.
pub(crate) struct Open {
    _tasks: Tasks<()>,
}

impl Forwarder {
    /// A way to `target`, closed at first.
    pub(crate) fn reserve(target: SocketAddr) -> Self {
        Self { port: free_port(), target }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address())
    }

    /// Opens the way.
    pub(crate) async fn open(&self) -> Open {
        let listener = TcpListener::bind(self.address()).await.expect("a port of our own");
        let target = self.target;
        let mut tasks = Tasks::new();
        tasks.spawn("forwarder", async move {
            let mut connections = Tasks::new();
            loop {
                let (near, _) = listener.accept().await.expect("accepting does not fail");
                connections.spawn("connection", forward(near, target));
            }
        });
        Open { _tasks: tasks }
    }
}

/// Either end may go at any time; then so does the other.
async fn forward(mut near: TcpStream, target: SocketAddr) {
    let mut far = TcpStream::connect(target).await.expect("the peer is there");
    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
}
