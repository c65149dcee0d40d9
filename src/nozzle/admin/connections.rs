//! The connections of the admin server: bounded in number and time.
//!
//! It may be open to a network, and nobody may keep a health check from its answer by holding connections. So
//! each serves one request within [`CONNECTION_TIME`], and when there are [`CONNECTIONS_MAX`] the
//! oldest one makes room for a new one.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::task::Tasks;

/// The most connections at once.
pub(super) const CONNECTIONS_MAX: usize = 64;

/// How long a client may take for the head of its request.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// How long a connection may last, reading the answer included.
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// The most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// The pause when a connection cannot be accepted, for want of file descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Serves until `stop`, and lets the requests under way be answered.
pub(super) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut connections = Tasks::new();
    // Each is cancelled when its connection has to go, or is gone.
    let mut places: VecDeque<CancellationToken> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            // A panic has printed itself, and ended that connection only.
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_of_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "no connection for health and status can be accepted, trying again");
                let _ = timeout(ACCEPT_PAUSE, stop.cancelled()).await;
                continue;
            }
        };
        places.retain(|place| !place.is_cancelled());
        if places.len() >= CONNECTIONS_MAX
            && let Some(oldest) = places.pop_front()
        {
            oldest.cancel();
        }
        let place = CancellationToken::new();
        places.push_back(place.clone());
        connections.spawn("admin connection", attend(stream, router.clone(), place, stop.clone()));
    }
    while connections.join_next().await.is_some() {}
}

/// Whether it was the client that went away.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Answers one request.
async fn attend(stream: TcpStream, router: Router, place: CancellationToken, stop: CancellationToken) {
    let _gone = place.clone().drop_guard();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let answered = async {
        tokio::select! {
            biased;
            // How it ended is the client's business.
            _ = connection.as_mut() => return,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    };
    let _ = place.run_until_cancelled(timeout(CONNECTION_TIME, answered)).await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn server() -> (std::net::SocketAddr, CancellationToken, Tasks<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new();
        let router = Router::new().route("/health", get(async || "ok\n"));
        tasks.spawn("server", serve(listener, router, stop.clone()));
        (address, stop, tasks)
    }

    async fn read(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        // A connection that was taken away may be reset.
        let _ = stream.read_to_end(&mut text).await;
        String::from_utf8(text).unwrap()
    }

    async fn ask(address: std::net::SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        read(&mut stream).await
    }

    #[tokio::test]
    async fn idle_connections_keep_nobody_out() {
        let (address, stop, mut tasks) = server().await;
        let mut idle = Vec::new();
        for n in 0..3 * CONNECTIONS_MAX {
            let mut stream = TcpStream::connect(address).await.unwrap();
            if n % 2 == 0 {
                stream.write_all(b"GET /health HTTP/1.1\r\nHo").await.unwrap();
            }
            idle.push(stream);
            if n % 50 == 0 {
                assert!(ask(address).await.ends_with("\r\n\r\nok\n"), "{n}");
            }
        }
        for _ in 0..10 {
            assert!(ask(address).await.ends_with("\r\n\r\nok\n"));
        }
        // The oldest had to go, the newest are still there.
        assert_eq!(read(&mut idle[0]).await, "");
        let newest = idle.last_mut().unwrap();
        newest.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(read(newest).await.ends_with("ok\n"));
        stop.cancel();
        drop(idle);
        tasks.join_next().await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_request_that_does_not_come_ends_its_connection() {
        let (address, _stop, _tasks) = server().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /health").await.unwrap();
        tokio::time::pause();
        assert!(!read(&mut stream).await.contains("200 OK"));
    }

    #[tokio::test]
    async fn each_connection_serves_one_request() {
        let (address, _stop, _tasks) = server().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(read(&mut stream).await.matches("ok\n").count(), 1);
    }
}
