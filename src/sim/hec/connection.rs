//! Connections: accepted, upgraded to TLS, served, and broken when the script says so.
//!
//! A break is a real one: the task that owns the socket drops it in the middle of whatever it
//! was doing, with `SO_LINGER` 0 if the peer is to see a reset.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::exchange;
use super::script::Cut;
use super::state::Shared;
use crate::task::Tasks;

/// As `sslServerHandshakeTimeout`.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long requests may take to end after a stop.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// Pause after the system refused to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The handle by which an exchange reaches its connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: u64,
    requests: AtomicU64,
    torn: CancellationToken,
    closes_only: AtomicBool,
}

impl Link {
    /// Counts a request in; gives how many there have been.
    pub(super) fn count_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Has the connection broken as soon as what is written so far has been passed to the system.
    pub(super) fn tear(&self, how: Cut) {
        self.closes_only.store(how == Cut::Close, Ordering::Relaxed);
        self.torn.cancel();
    }

    /// Breaks the connection; never comes back.
    pub(super) async fn cut(&self, how: Cut) {
        self.tear(how);
        std::future::pending().await
    }
}

/// Accepts until the server is stopped, then waits a little for what is being served.
pub(super) async fn listen(shared: Arc<Shared>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    let mut connections = Tasks::new();
    loop {
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
            accepted = listener.accept(), if connections.len() < shared.max_connections => match accepted {
                Ok((socket, _)) => {
                    connections.spawn("hec connection", connection(shared.clone(), socket, tls.clone()));
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let drained = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if timeout(STOP_GRACE, drained).await.is_err() {
        connections.shutdown().await;
    }
}

fn report(ended: Result<(&'static str, ()), tokio::task::JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a connection of the simulated collector ended in a panic");
    }
}

/// Keeps the count of open connections right however the task ends.
struct Opened {
    shared: Arc<Shared>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.shared.count(|counters| counters.disconnected());
    }
}

async fn connection(shared: Arc<Shared>, socket: TcpStream, tls: Option<TlsAcceptor>) {
    let id = shared.count(|counters| counters.connected());
    let _opened = Opened { shared: shared.clone() };
    let link = Arc::new(Link {
        id,
        requests: AtomicU64::new(0),
        torn: shared.life(),
        closes_only: AtomicBool::new(false),
    });
    if let Err(error) = socket.set_nodelay(true) {
        debug!(%error, "cannot turn off delays");
    }
    let wire = Wire { socket, link: link.clone() };
    let Some(tls) = tls else {
        return serve(shared, link, wire).await;
    };
    let handshake = tokio::select! {
        biased;
        () = link.torn.cancelled() => return,
        () = shared.stop.cancelled() => return,
        handshake = timeout(HANDSHAKE_TIMEOUT, tls.accept(wire)) => handshake,
    };
    match handshake {
        Ok(Ok(wire)) => serve(shared, link, wire).await,
        Ok(Err(error)) => {
            debug!(%error, connection = id, "tls handshake failed");
            shared.count(|counters| counters.handshake_failed());
        }
        Err(_) => shared.count(|counters| counters.handshake_failed()),
    }
}

async fn serve<W>(shared: Arc<Shared>, link: Arc<Link>, wire: W)
where
    W: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = {
        let (shared, link) = (shared.clone(), link.clone());
        service_fn(move |request| exchange::serve(shared.clone(), link.clone(), request))
    };
    let connection = http1::Builder::new()
        .title_case_headers(true)
        .timer(TokioTimer::new())
        // The time to a head includes the time without a request.
        .header_read_timeout(shared.keep_alive_idle)
        .serve_connection(TokioIo::new(wire), service);
    let mut connection = pin!(connection);
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            () = link.torn.cancelled() => return,
            () = shared.stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            served = connection.as_mut() => {
                if let Err(error) = served {
                    debug!(%error, connection = link.id, "connection ended");
                }
                return;
            }
        }
    }
}

/// The socket, which is reset when it is dropped after a break.
struct Wire {
    socket: TcpStream,
    link: Arc<Link>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.link.torn.is_cancelled() && !self.link.closes_only.load(Ordering::Relaxed) {
            // Fails on a socket that is gone already: there is nothing left to reset.
            let _ = self.socket.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
