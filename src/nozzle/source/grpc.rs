//! The reverse log proxy: one stream of `loggregator.v2.Egress/BatchedReceiver` over mutual TLS.
//!
//! Messages are handed on as they are. One connection carries one stream: streams fail
//! independently, and each new one may reach another proxy behind the same name.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, Stream};
use http::Uri;
use http::uri::PathAndQuery;
use rustls::pki_types::ServerName;
use tokio::time::{sleep, timeout};
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::{Code, Request, Status, Streaming};
use tower::service_fn;

use super::codec::RawBatches;
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

const METHOD: PathAndQuery = PathAndQuery::from_static("/loggregator.v2.Egress/BatchedReceiver");

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
        let mut call = self.call(&connection);
        let accepted = async {
            log.answered().await;
            sleep(ACCEPTED_AFTER).await;
        };
        let reply = tokio::select! {
            biased;
            answer = &mut call => Reply::open(answer.map_err(|status| end_of(&status, &log))?),
            () = accepted => Reply::Awaited(call),
            () = silence(&log) => {
                let cause = format!("connected, but no answer within {} s", ANSWER_TIMEOUT.as_secs());
                return Err(End::Connect { address: self.address.clone(), cause });
            }
        };
        Ok(Session { reply, gatherer: Gatherer::new(GROUP), log, connection })
    }

    fn call(&self, connection: &Connection<Body>) -> Call {
        let sender = connection.sender();
        let service = service_fn(move |request| {
            let mut sender = sender.clone();
            async move { sender.send_request(request).await }
        });
        let origin = Uri::builder()
            .scheme("https")
            .authority(self.server_name.to_str().as_ref())
            .path_and_query("/")
            .build()
            .unwrap_or_default();
        let request = Request::new(self.request.clone());
        async move {
            let mut grpc = Grpc::with_origin(service, origin).max_decoding_message_size(MESSAGE_BYTES_MAX);
            grpc.server_streaming(request, METHOD, RawBatches).await.map(tonic::Response::into_inner)
        }
        .boxed()
    }
}

/// Ends when the proxy has not sent its first byte in time.
async fn silence(log: &WireLog) {
    if timeout(ANSWER_TIMEOUT, log.answered()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

type Call = Pin<Box<dyn Future<Output = Result<Streaming<Bytes>, Status>> + Send>>;

enum Reply {
    /// The proxy has not sent headers yet: nothing to send, so far.
    Awaited(Call),
    Open(Box<Streaming<Bytes>>),
}

/// An open stream.
pub(super) struct Session {
    reply: Reply,
    gatherer: Gatherer,
    log: Arc<WireLog>,
    connection: Connection<Body>,
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
    fn open(stream: Streaming<Bytes>) -> Self {
        Self::Open(Box::new(stream))
    }

    fn poll_unit(&mut self, cx: &mut Context<'_>, log: &WireLog) -> Poll<Result<Unit, End>> {
        if let Self::Awaited(call) = self {
            *self = match ready!(call.as_mut().poll(cx)) {
                Ok(stream) => Self::open(stream),
                Err(status) => return Poll::Ready(Err(end_of(&status, log))),
            };
        }
        let Self::Open(stream) = self else { return Poll::Pending };
        Poll::Ready(match ready!(Pin::new(stream).poll_next(cx)) {
            Some(Ok(message)) if message.is_empty() => Ok(Unit::Life),
            Some(Ok(message)) => Ok(Unit::Frame(message)),
            Some(Err(status)) => Err(end_of(&status, log)),
            None => Err(End::Completed),
        })
    }
}

/// What a gRPC status means for a stream.
fn end_of(status: &Status, log: &WireLog) -> End {
    // The library made this status out of an error of the connection.
    if std::error::Error::source(status).is_some() {
        return http2::end(log, || chain(status));
    }
    let text = format!("{:?}: {}", status.code(), peer_text(status.message()));
    match status.code() {
        Code::Unavailable => End::Unavailable(text),
        Code::ResourceExhausted => End::ResourceExhausted(text),
        Code::Unauthenticated | Code::PermissionDenied => End::Unauthorized(text),
        Code::InvalidArgument | Code::Unimplemented | Code::NotFound => End::Refused(text),
        Code::OutOfRange => End::TooLarge(text),
        Code::Internal => match log.fault() {
            Some(_) => log.end(|| text),
            None => End::Protocol(text),
        },
        _ => End::Unavailable(text),
    }
}
