//! The reverse log proxy: one stream of `loggregator.v2.Egress/BatchedReceiver` over mutual TLS.
//!
//! Messages are handed on as they are: nothing is decoded where bytes are read. One connection carries one stream: streams fail
//! independently, and each new one may reach another proxy behind the same name.

mod messages;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use prost::Message;
use rustls::pki_types::ServerName;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

use self::messages::{Damage, Messages};
use super::dial::{Peer, PeerTls, WireLog, dial};
use super::end::{End, peer_text};
use super::group::{Fill, Gatherer, Group, GroupLimits, Unit};
use super::http2::{self, Connection};
use super::selectors::Wanted;
use crate::causes::chain;
use crate::proto::loggregator::EgressBatchRequest;
use crate::tls::KeptTls;

/// The largest message accepted. A hundred envelopes of 60 KiB make 6 MiB.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The longest wait for the first byte from the proxy.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A proxy with nothing to send sends no headers either. A request that was not refused for
/// this long after the proxy's first byte is taken as accepted.
const ACCEPTED_AFTER: Duration = Duration::from_secs(1);

const GROUP: GroupLimits = GroupLimits { frames: 64, bytes: 1024 * 1024 };

const METHOD: &str = "/loggregator.v2.Egress/BatchedReceiver";

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")));

/// Opens streams to a reverse log proxy.
#[derive(Debug)]
pub(super) struct Connector {
    address: String,
    server_name: ServerName<'static>,
    tls: KeptTls,
    request: EgressBatchRequest,
}

impl Connector {
    pub(super) fn new(
        address: String,
        server_name: ServerName<'static>,
        tls: KeptTls,
        wanted: &Wanted,
    ) -> Self {
        Self { address, server_name, tls, request: wanted.egress_request() }
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// The connection, TLS, or the proxy's refusal.
    pub(super) async fn connect(&self) -> Result<Session, End> {
        let peer_tls = PeerTls { client: &self.tls, server_name: self.server_name.clone(), alpn: &["h2"] };
        let wire = dial(Peer { address: &self.address, tls: Some(peer_tls), proxy: None }).await?;
        let log = wire.log();
        let connection = Connection::start(wire).await.map_err(|error| log.end(|| chain(&error)))?;
        let mut call = self.call(&connection)?;
        let accepted = async {
            log.answered().await;
            sleep(ACCEPTED_AFTER).await;
        };
        let reply = tokio::select! {
            biased;
            answer = &mut call => Reply::open(answer, &log)?,
            () = accepted => Reply::Awaited(call),
            () = silence(&log) => {
                let cause = format!("connected, but no answer within {} s", ANSWER_TIMEOUT.as_secs());
                return Err(End::Connect { address: self.address.clone(), cause });
            }
        };
        Ok(Session { reply, gatherer: Gatherer::new(GROUP), log, connection })
    }

    fn call(&self, connection: &Connection<Full<Bytes>>) -> Result<Call, End> {
        let message = self.request.encode_to_vec();
        let mut body = BytesMut::new();
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        body.put_slice(&message);
        let name = self.server_name.to_str();
        let host = if name.contains(':') { format!("[{name}]") } else { name.into_owned() };
        let request = Request::post(format!("https://{host}{METHOD}"))
            .version(Version::HTTP_2)
            .header(TE, HeaderValue::from_static("trailers"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
            .header(USER_AGENT, AGENT)
            .body(Full::new(body.freeze()))
            .map_err(|error| End::Protocol(format!("the request cannot be made: {error}")))?;
        let mut sender = connection.sender();
        Ok(async move { sender.send_request(request).await }.boxed())
    }
}

/// Ends when the proxy has not sent its first byte in time.
async fn silence(log: &WireLog) {
    if timeout(ANSWER_TIMEOUT, log.answered()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

type Call = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

enum Reply {
    /// The proxy has not sent headers yet: nothing to send, so far.
    Awaited(Call),
    Open(Open),
}

/// A reply that brings messages.
struct Open {
    body: Incoming,
    messages: Messages,
    /// The head has a status already, a good one: none comes at the end.
    has_status: bool,
}

/// An open stream.
pub(super) struct Session {
    reply: Reply,
    gatherer: Gatherer,
    log: Arc<WireLog>,
    connection: Connection<Full<Bytes>>,
}

impl Session {
    /// Where the stream leads.
    pub(super) fn address(&self) -> &str {
        self.log.address()
    }

    /// Waits for messages and adds all that are ready to `group`. Cancel safe.
    pub(super) async fn read(&mut self, group: &mut Group) -> Result<Fill, End> {
        let Self { reply, gatherer, log, .. } = self;
        poll_fn(|cx| gatherer.poll(cx, group, |cx| reply.poll_unit(cx, log))).await
    }

    /// Takes leave of the proxy.
    pub(super) async fn close(self) {
        let Self { reply, connection, .. } = self;
        drop(reply);
        connection.close().await;
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("log", &self.log).finish_non_exhaustive()
    }
}

impl Reply {
    fn open(answer: hyper::Result<Response<Incoming>>, log: &WireLog) -> Result<Self, End> {
        let response = answer.map_err(|error| http2::end(log, || chain(&error)))?;
        let has_status = match Status::from_header_map(response.headers()) {
            Some(status) if status.code() != Code::Ok => return Err(end_of(&status)),
            None if response.status() != StatusCode::OK => return Err(end_of_http(response.status())),
            status => status.is_some(),
        };
        let (body, messages) = (response.into_body(), Messages::new(MESSAGE_BYTES_MAX));
        Ok(Self::Open(Open { body, messages, has_status }))
    }

    fn poll_unit(&mut self, cx: &mut Context<'_>, log: &WireLog) -> Poll<Result<Unit, End>> {
        if let Self::Awaited(call) = self {
            match Self::open(ready!(call.as_mut().poll(cx)), log) {
                Ok(open) => *self = open,
                Err(end) => return Poll::Ready(Err(end)),
            }
        }
        let Self::Open(open) = self else { return Poll::Pending };
        open.poll_unit(cx, log)
    }
}

impl Open {
    fn poll_unit(&mut self, cx: &mut Context<'_>, log: &WireLog) -> Poll<Result<Unit, End>> {
        loop {
            match self.messages.next() {
                Ok(Some(message)) if message.is_empty() => return Poll::Ready(Ok(Unit::Life)),
                Ok(Some(message)) => return Poll::Ready(Ok(Unit::Frame(message))),
                Ok(None) => {}
                Err(damage) => return Poll::Ready(Err(end_of_damage(damage))),
            }
            let end = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) => {
                        self.messages.push(chunk);
                        continue;
                    }
                    Err(frame) => self.end(&frame.into_trailers().unwrap_or_default(), log),
                },
                Some(Err(error)) => http2::end(log, || chain(&error)),
                None => self.end(&HeaderMap::new(), log),
            };
            return Poll::Ready(Err(end));
        }
    }

    /// The body has ended, with these trailers.
    fn end(&self, trailers: &HeaderMap, log: &WireLog) -> End {
        match Status::from_header_map(trailers) {
            _ if self.messages.is_within_message() => {
                log.end(|| "the stream ended in the middle of a message".to_owned())
            }
            Some(status) if status.code() == Code::Ok => End::Completed,
            Some(status) => end_of(&status),
            None if self.has_status => End::Completed,
            None => End::Unavailable("the stream ended without a status".to_owned()),
        }
    }
}

/// What it means that a stream cannot be read on.
fn end_of_damage(damage: Damage) -> End {
    match damage {
        Damage::TooLong(bytes) => {
            End::TooLarge(format!("found {bytes} bytes, expected at most {MESSAGE_BYTES_MAX}"))
        }
        Damage::Flag(flag) => End::Protocol(format!(
            "a message with the flag {flag}, expected 0: no compression was offered"
        )),
    }
}

/// What an answer means that does not come from a gRPC server.
fn end_of_http(status: StatusCode) -> End {
    let text = format!("HTTP status {status}, and no status of gRPC");
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => End::Unauthorized(text),
        StatusCode::NOT_FOUND => End::Refused(text),
        _ => End::Unavailable(text),
    }
}

/// What a gRPC status means for a stream.
fn end_of(status: &Status) -> End {
    let text = format!("{:?}: {}", status.code(), peer_text(status.message()));
    match status.code() {
        Code::ResourceExhausted => End::ResourceExhausted(text),
        Code::Unauthenticated | Code::PermissionDenied => End::Unauthorized(text),
        Code::InvalidArgument | Code::Unimplemented | Code::NotFound => End::Refused(text),
        Code::Internal => End::Protocol(text),
        _ => End::Unavailable(text),
    }
}
