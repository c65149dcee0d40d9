//! Opens a TCP connection, through a proxy and with TLS where asked for, and keeps what it learns about the wire.
//!
//! Protocol libraries above turn I/O errors into text of their own. The wire notes the first
//! one as it was, so that the end of a stream can be told in plain words.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::end::End;
use super::tunnel;
use crate::causes::chain;
use crate::clock::millis;
use crate::proxy::Proxy;
use crate::tls::{KeptTls, cause};

/// The longest wait for a name to be resolved.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest wait for one address to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses of one name that are tried before giving up.
const ADDRESSES_MAX: usize = 4;

/// The longest wait for the TLS handshake. A reverse log proxy at its limit of connections
/// leaves further ones hanging there.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes taken from the socket per system call; the TLS library alone takes 4 KiB.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Where to connect and how.
#[derive(Debug)]
pub(super) struct Peer<'a> {
    /// `host:port`; an IPv6 address in brackets.
    pub(super) address: &'a str,
    /// Without it the connection is plain.
    pub(super) tls: Option<PeerTls<'a>>,
    /// Without it the connection is direct.
    pub(super) proxy: Option<&'a Proxy>,
}

/// How to speak TLS to a peer.
#[derive(Debug)]
pub(super) struct PeerTls<'a> {
    /// Whom to trust and who we are; its files are read each time.
    pub(super) client: &'a KeptTls,
    /// The name the certificate must be for.
    pub(super) server_name: ServerName<'static>,
    /// The protocols to offer, the best first.
    pub(super) alpn: &'static [&'static str],
}

type Socket = BufReader<TcpStream>;

/// An open connection.
#[derive(Debug)]
pub(super) struct Wire {
    io: Either<Socket, TlsStream<Socket>>,
    log: Arc<WireLog>,
}

/// Connects.
///
/// # Errors
/// The address, the TLS files or the handshake; each is named.
pub(super) async fn dial(peer: Peer<'_>) -> Result<Wire, End> {
    let address = peer.address;
    let tls = match peer.tls {
        None => None,
        Some(tls) => Some((tls_config(tls.client, tls.alpn).await?, tls.server_name)),
    };
    let socket = match peer.proxy {
        None => buffered(connect(address).await?),
        Some(proxy) => through(proxy, address).await?,
    };
    let io = match tls {
        None => Either::Left(socket),
        Some((config, server_name)) => {
            let handshake = TlsConnector::from(Arc::new(config)).connect(server_name, socket);
            let stream = timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(|_| End::Connect {
                address: address.to_owned(),
                cause: format!("no TLS handshake within {} s", HANDSHAKE_TIMEOUT.as_secs()),
            })?;
            Either::Right(stream.map_err(|error| match Fault::of(&error) {
                Fault::Closed => End::Connect {
                    address: address.to_owned(),
                    cause: "the peer closed the connection during the TLS handshake".to_owned(),
                },
                other => other.end(address),
            })?)
        }
    };
    Ok(Wire { io, log: Arc::new(WireLog::new(address)) })
}

fn buffered(stream: TcpStream) -> Socket {
    BufReader::with_capacity(READ_BUFFER_BYTES, stream)
}

/// A connection to the peer that a proxy makes.
async fn through(proxy: &Proxy, address: &str) -> Result<Socket, End> {
    let connected = connect(&proxy.address()).await.map_err(|end| match end {
        End::Connect { address: proxy, cause } => {
            End::Connect { address: address.to_owned(), cause: format!("the proxy {proxy}: {cause}") }
        }
        other => other,
    });
    let mut socket = buffered(connected?);
    tunnel::open(&mut socket, proxy, address).await?;
    Ok(socket)
}

/// Gets the TLS configuration on a thread that may block: it reads files.
async fn tls_config(client: &KeptTls, alpn: &[&str]) -> Result<rustls::ClientConfig, End> {
    let client = client.clone();
    let built = spawn_blocking(move || client.rustls())
        .await
        .map_err(|error| End::Protocol(format!("reading the TLS files failed: {error}")))?;
    let mut config = rustls::ClientConfig::clone(&*built.map_err(End::TlsFiles)?);
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(config)
}

/// Tries the addresses behind a name in random order, so that streams spread over them.
async fn connect(address: &str) -> Result<TcpStream, End> {
    let fail = |cause: String| End::Connect { address: address.to_owned(), cause };
    let found = timeout(RESOLVE_TIMEOUT, lookup_host(address)).await;
    let mut addresses: Vec<_> = match found {
        Err(_) => return Err(fail(format!("no answer from DNS within {} s", RESOLVE_TIMEOUT.as_secs()))),
        Ok(Err(error)) => return Err(fail(format!("the name cannot be resolved: {error}"))),
        Ok(Ok(addresses)) => addresses.collect(),
    };
    fastrand::shuffle(&mut addresses);
    let mut last = "the name has no address".to_owned();
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Pongs and window updates are small and must not wait. A socket that refuses
                // the option works all the same.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = format!("{error} ({address})"),
            Err(_) => last = format!("no answer within {} s ({address})", CONNECT_TIMEOUT.as_secs()),
        }
    }
    Err(fail(last))
}

/// How a connection broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The peer closed the connection.
    Closed,
    /// TLS failed, for this reason.
    Tls(String),
    /// Anything else.
    Io(String),
}

impl Fault {
    fn of(error: &io::Error) -> Self {
        match cause::find(error) {
            Some(error) => Self::Tls(cause::explain(error)),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Closed,
            None => Self::Io(chain(error)),
        }
    }

    fn end(self, address: &str) -> End {
        match self {
            Self::Closed => End::Lost("the peer closed the connection".to_owned()),
            Self::Tls(cause) => End::Tls { address: address.to_owned(), cause },
            Self::Io(cause) => End::Lost(cause),
        }
    }
}

/// What became known about a wire; outlives it.
#[derive(Debug)]
pub(super) struct WireLog {
    address: String,
    opened: Instant,
    /// Milliseconds from then to the latest byte from the peer.
    last_read_ms: AtomicU64,
    answered: watch::Sender<bool>,
    fault: Mutex<Option<Fault>>,
}

impl WireLog {
    fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            opened: Instant::now(),
            last_read_ms: AtomicU64::new(0),
            answered: watch::Sender::new(false),
            fault: Mutex::new(None),
        }
    }

    /// Waits for the first byte from the peer: with TLS 1.3 only that tells that it has accepted
    /// the client's certificate.
    pub(super) async fn answered(&self) {
        // An error says that the sender is gone, and it is ours.
        let _ = self.answered.subscribe().wait_for(|answered| *answered).await;
    }

    /// How the wire broke, if it did.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long nothing has come from the peer.
    pub(super) fn silence(&self) -> Duration {
        let last_read = Duration::from_millis(self.last_read_ms.load(Relaxed));
        self.opened.elapsed().saturating_sub(last_read)
    }

    /// Whom the wire leads to.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Whether the peer closed the connection.
    pub(super) fn is_closed(&self) -> bool {
        self.fault() == Some(Fault::Closed)
    }

    /// The end of a stream whose protocol library could not read or write any more; `other` is
    /// what the library said.
    pub(super) fn end(&self, other: impl FnOnce() -> String) -> End {
        match self.fault() {
            Some(fault) => fault.end(&self.address),
            None => End::Lost(other()),
        }
    }

    fn note(&self, fault: Fault) {
        // A sign of the first cause is worth more than those of its consequences.
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
    }

    fn note_read(&self) {
        self.last_read_ms.store(millis(self.opened.elapsed()), Relaxed);
        if !*self.answered.borrow() {
            self.answered.send_replace(true);
        }
    }
}

impl Wire {
    /// The log of this wire.
    pub(super) fn log(&self) -> Arc<WireLog> {
        Arc::clone(&self.log)
    }

    /// Whether HTTP/2 was agreed on.
    pub(super) fn is_http2(&self) -> bool {
        match &self.io {
            Either::Left(_) => false,
            Either::Right(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    fn noted<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &polled {
            self.log.note(Fault::of(error));
        }
        polled
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                self.log.note_read();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(())) => {
                self.log.note(Fault::Closed);
                Poll::Ready(Ok(()))
            }
            // Peers that cut a connection do not say good-bye in TLS either: a plain end of
            // file lets the protocol above tell whether it was inside a frame.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.log.note(Fault::Closed);
                Poll::Ready(Ok(()))
            }
            other => self.noted(other),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.noted(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        self.noted(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
