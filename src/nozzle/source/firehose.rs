//! The traffic controller's websocket: the v1 firehose, one dropsonde envelope per frame.
//!
//! The server pings every 15 s and closes when a pong is late; it cuts the connection of a
//! reader that lets one frame wait for 6 s. So reading goes on whatever happens, and pongs are
//! flushed before anything else is read.

mod target;
mod upgrade;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream};
use http::StatusCode;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_websockets::{ClientBuilder, CloseCode, Error, Limits, Message, WebSocketStream};
use url::Url;

use self::target::Target;
use self::upgrade::Answer;
use super::Platform;
use super::dial::{WireLog, dial};
use super::end::{End, peer_text};
use super::group::{Fill, Gatherer, Group, GroupLimits, Unit};
use super::selectors::{FirehoseFilter, SelectorKinds, firehose_filter};
use super::stream::CLOSE_TIMEOUT;
use crate::causes::chain;
use crate::nozzle::cf::root::RootError;
use crate::nozzle::cf::token::TokenSource;

/// The largest frame accepted, as for v2: agents pass on envelopes of some MiB.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

const GROUP: GroupLimits = GroupLimits { frames: 256, bytes: 1024 * 1024 };

/// A pause after a group that left nothing, so that frames gather. Each comes alone, tens of
/// thousands in a second, and waking up for each would cost more than decoding it. The socket
/// holds what comes meanwhile; the platform's own buffer lasts for 30 ms of the fastest stream.
const GATHER: Duration = Duration::from_millis(1);

/// The same while little comes: each wake-up is for fewer frames then, and nobody notices such a delay.
const GATHER_FEW: Duration = Duration::from_millis(10);

/// A group up to this size is little. What comes in the longer pause fits into the sockets of both sides, also
/// when it is three times as much.
const FEW_BYTES: usize = 32 * 1024;

/// The websocket close code that stands for none.
const NO_CODE: u16 = 1005;

/// Opens websockets to a traffic controller.
#[derive(Debug)]
pub(super) struct Connector {
    platform: Platform,
    shard_id: String,
    filter: FirehoseFilter,
}

impl Connector {
    pub(super) fn new(platform: Platform, shard_id: String, kinds: SelectorKinds) -> Self {
        Self { platform, shard_id, filter: firehose_filter(kinds) }
    }

    /// Opens a stream. A refused token is replaced once, at once.
    ///
    /// # Errors
    /// Finding the firehose, the token, the connection, TLS, or the traffic controller's refusal.
    pub(super) async fn connect(&self) -> Result<Session, End> {
        let discovery = |error: RootError| End::Discovery(chain(&error));
        let foundation = &self.platform.foundation;
        let url = foundation.root().await.map_err(discovery)?.logging.as_ref().ok_or(End::NoFirehose)?;
        let target = Target::new(url, &self.shard_id, self.filter)?;
        let tokens = foundation.tokens().await.map_err(discovery)?;
        let mut answer = self.ask(url, &target, tokens).await?;
        if answer.is_unauthorized() {
            answer = self.ask(url, &target, tokens).await?;
        }
        match answer {
            Answer::Open(io, log) => Ok(Session::new(io, log)),
            Answer::Refused { status, body } => Err(refusal(status, &body)),
        }
    }

    /// Asks once; the next time with another token, if this one is refused.
    async fn ask(&self, url: &Url, target: &Target, tokens: &TokenSource) -> Result<Answer, End> {
        let token = tokens.token().await.map_err(|error| End::Token(chain(&error)))?;
        // The server also offers HTTP/2, over which it cannot upgrade.
        let peer =
            target.endpoint.peer(&self.platform.tls, &["http/1.1"], self.platform.proxies.for_url(url));
        let wire = dial(peer).await?;
        let answer = target.upgrade(token.header()).on(wire).await?;
        if answer.is_unauthorized() {
            tokens.invalidate(&token);
        }
        Ok(answer)
    }
}

/// What a status other than 101 means.
fn refusal(status: StatusCode, body: &[u8]) -> End {
    let words = peer_text(&String::from_utf8_lossy(body));
    match status {
        StatusCode::UNAUTHORIZED => {
            End::Unauthorized(format!("401 {words:?}; the client needs the authority doppler.firehose"))
        }
        StatusCode::FORBIDDEN => End::Unauthorized(format!("403 {words:?}")),
        StatusCode::NOT_FOUND => End::Refused(format!(
            "404 {words:?}; there is no firehose at this address, or the subscription id holds a slash"
        )),
        StatusCode::SERVICE_UNAVAILABLE => End::Unavailable(format!(
            "503 {words:?}; the traffic controller has no room for another subscription, or is starting"
        )),
        status if status.is_server_error() => End::Unavailable(format!("{} {words:?}", status.as_u16())),
        status => End::Refused(format!("{} {words:?}", status.as_u16())),
    }
}

/// An open websocket.
#[derive(Debug)]
pub(super) struct Session {
    socket: Socket,
    gatherer: Gatherer,
    /// When to look for frames again.
    pause_until: Option<Instant>,
}

#[derive(Debug)]
struct Socket {
    websocket: WebSocketStream<TokioIo<Upgraded>>,
    log: Arc<WireLog>,
    /// A pong waits to be written.
    pong: bool,
}

impl Session {
    fn new(io: TokioIo<Upgraded>, log: Arc<WireLog>) -> Self {
        let limits = Limits::default().max_payload_len(Some(FRAME_BYTES_MAX));
        let websocket = ClientBuilder::new().limits(limits).take_over(io);
        Self {
            socket: Socket { websocket, log, pong: false },
            gatherer: Gatherer::new(GROUP),
            pause_until: None,
        }
    }

    /// Where the stream leads.
    pub(super) fn address(&self) -> &str {
        self.socket.log.address()
    }

    /// Waits for frames and adds all that are ready to `group`. Cancel safe.
    pub(super) async fn read(&mut self, group: &mut Group) -> Result<Fill, End> {
        if let Some(until) = self.pause_until {
            sleep_until(until).await;
            self.pause_until = None;
        }
        let Self { socket, gatherer, .. } = self;
        let fill = poll_fn(|cx| gatherer.poll(cx, group, |cx| socket.poll_unit(cx))).await?;
        if fill == Fill::Drained {
            let bytes: usize = group.frames.iter().map(Bytes::len).sum();
            let pause = if bytes <= FEW_BYTES { GATHER_FEW } else { GATHER };
            self.pause_until = Some(Instant::now() + pause);
        }
        Ok(fill)
    }

    /// Says good-bye and waits for the answer; gives up after [`CLOSE_TIMEOUT`]. Frames that are
    /// on their way go to `late`: nobody else will get them.
    pub(super) async fn close(mut self, mut late: impl FnMut(Group)) {
        let farewell = async {
            let message = Message::close(Some(CloseCode::NORMAL_CLOSURE), "");
            let mut open = self.socket.websocket.send(message).await.is_ok();
            while open {
                let mut group = Group::default();
                open = self.read(&mut group).await.is_ok();
                late(group);
            }
            // What is left to be written is the answer to the peer's close. The peer may be gone.
            let _ = self.socket.websocket.flush().await;
            let _ = self.socket.websocket.get_mut().shutdown().await;
        };
        // Whatever is left undone, the socket is closed when this returns.
        let _ = timeout(CLOSE_TIMEOUT, farewell).await;
    }
}

impl Socket {
    fn poll_unit(&mut self, cx: &mut Context<'_>) -> Poll<Result<Unit, End>> {
        // The library answers pings, but flushes the answers only as far as one write goes.
        if self.pong {
            match Pin::new(&mut self.websocket).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.pong = false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.end_of(error))),
                // Woken when it can be written; reading goes on.
                Poll::Pending => {}
            }
        }
        let message = match ready!(Pin::new(&mut self.websocket).poll_next(cx)) {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Poll::Ready(Err(self.end_of(error))),
            None => return Poll::Ready(Err(End::Cut)),
        };
        if message.is_binary() {
            return Poll::Ready(Ok(Unit::Frame(message.into_payload().into())));
        }
        if let Some((code, reason)) = message.as_close() {
            let code = if message.as_payload().is_empty() { NO_CODE } else { code.into() };
            return Poll::Ready(Err(End::Closed { code, reason: peer_text(reason) }));
        }
        self.pong |= message.is_ping();
        if message.is_text() {
            tracing::debug!(bytes = message.as_payload().len(), "text frame ignored");
        }
        Poll::Ready(Ok(Unit::Life))
    }

    fn end_of(&self, error: Error) -> End {
        match error {
            Error::PayloadTooLong { len, max_len } => {
                End::TooLarge(format!("a frame of {len} bytes, expected at most {max_len}"))
            }
            Error::Protocol(error) => End::Protocol(error.to_string()),
            // What the decoder says of a frame that the end of the connection left incomplete.
            Error::Io(error) if error.kind() == std::io::ErrorKind::Other && self.log.is_closed() => {
                End::CutInFrame
            }
            other => self.log.end(|| chain(&other)),
        }
    }
}
