//! One loopback listener: TCP, TLS if wanted, HTTP/1.1 and HTTP/2, connections that can be ended.
//!
//! Owns its tasks: dropping the listener drops every connection on the spot, as a killed
//! process would; [`Listener::stop`] lets them end in order first.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::task::Tasks;

/// A peer that connects and then says nothing is let go after this.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long [`Listener::stop`] waits for streams to end.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// How much a stream may have waiting inside the HTTP/2 library.
const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// What can be done to one connection from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionHandle {
    go_away: CancellationToken,
    cut: CancellationToken,
}

impl ConnectionHandle {
    /// Says GOAWAY (or `connection: close`): what runs on it goes on, nothing new starts.
    pub(crate) fn go_away(&self) {
        self.go_away.cancel();
    }

    /// Drops the connection on the spot.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }
}

/// A listener on a loopback port.
#[derive(Debug)]
pub(crate) struct Listener {
    address: SocketAddr,
    stopping: CancellationToken,
    tasks: Tasks<()>,
}

impl Listener {
    /// Binds a free port of 127.0.0.1. Handlers find a [`ConnectionHandle`] in the extensions
    /// of each request.
    pub(crate) async fn start(
        name: &'static str,
        tls: Option<ServerConfig>,
        connections_max: usize,
        router: impl FnOnce(SocketAddr) -> Router,
    ) -> io::Result<Self> {
        let tcp = TcpListener::bind("127.0.0.1:0").await?;
        let address = tcp.local_addr()?;
        let stopping = CancellationToken::new();
        let server = Server {
            tcp,
            tls: tls.map(|config| TlsAcceptor::from(Arc::new(config))),
            router: router(address),
            slots: Arc::new(Semaphore::new(connections_max)),
            stopping: stopping.clone(),
        };
        let mut tasks = Tasks::new();
        tasks.spawn(name, server.run());
        Ok(Self { address, stopping, tasks })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more, tells open connections to end, and waits for them a short while.
    pub(crate) async fn stop(mut self) {
        self.stopping.cancel();
        let _ = tokio::time::timeout(STOP_GRACE, self.tasks.join_next()).await;
        self.tasks.shutdown().await;
    }
}

struct Server {
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    /// One for each connection: beyond them, connections wait in the backlog, as on the platform.
    slots: Arc<Semaphore>,
    stopping: CancellationToken,
}

impl Server {
    async fn run(self) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stopping.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = self.accept() => accepted,
            };
            // An error here is the peer's, or a shortage of descriptors that passes.
            let Ok((stream, slot)) = accepted else { continue };
            let connection = Connection {
                tls: self.tls.clone(),
                router: self.router.clone(),
                stopping: self.stopping.clone(),
            };
            connections.spawn(async move {
                connection.serve(stream).await;
                drop(slot);
            });
        }
        while connections.join_next().await.is_some() {}
    }

    async fn accept(&self) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = self.tcp.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, slot))
    }
}

struct Connection {
    tls: Option<TlsAcceptor>,
    router: Router,
    stopping: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        let Some(acceptor) = &self.tls else { return self.serve_http(stream).await };
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream));
        // A failed handshake is what some tests are about; the client has the error.
        if let Ok(Ok(stream)) = handshake.await {
            self.serve_http(stream).await;
        }
    }

    async fn serve_http<S>(&self, stream: S)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let handle = ConnectionHandle::default();
        let (router, extension) = (self.router.clone(), handle.clone());
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            let mut request: Request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(extension.clone());
            router.clone().oneshot(request)
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new());
        builder.http2().timer(TokioTimer::new()).max_send_buf_size(SEND_BUFFER_BYTES);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let mut asked_to_end = false;
        loop {
            tokio::select! {
                biased;
                () = handle.cut.cancelled() => return,
                () = self.stopping.cancelled(), if !asked_to_end => {}
                () = handle.go_away.cancelled(), if !asked_to_end => {}
                // How a connection ended is the client's to tell.
                _ = &mut connection => return,
            }
            asked_to_end = true;
            connection.as_mut().graceful_shutdown();
        }
    }
}
