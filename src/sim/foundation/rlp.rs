//! The reverse log proxy: `loggregator.v2.Egress` over gRPC.
//!
//! Requests are decoded with the generated types; answers are envelopes encoded long before,
//! concatenated by a codec of its own.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes};
use futures_util::Stream;
use tonic::body::Body;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, ServerStreamingService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstDecoder;
use tower::Service;

use super::batches::Batches;
use super::faults::End;
use super::router::{BATCH_ENVELOPES_MAX, Lease, Reader, RlpRequest, RlpSubscription, Router};
use super::selector::Selector;
use super::stats::Connected;
use super::table::RlpItem;
use crate::proto::loggregator as v2;
use crate::sim::listen::ConnectionHandle;

/// Room for a batch of ordinary envelopes, so that the buffer seldom grows.
const ENCODE_BUFFER_BYTES: usize = 128 * 1024;
const BATCHED_RECEIVER: &str = "/loggregator.v2.Egress/BatchedReceiver";
const RECEIVER: &str = "/loggregator.v2.Egress/Receiver";

/// The gRPC service; a clone for each connection.
#[derive(Clone)]
pub(crate) struct Egress {
    router: Arc<Router>,
    gate: Arc<Gate>,
}

/// Decides whether a new stream may open.
#[derive(Debug)]
pub(crate) struct Gate {
    streams_max: usize,
    /// Answers for the next requests, whatever they ask.
    refusals: Mutex<VecDeque<Status>>,
}

impl Gate {
    pub(crate) fn new(streams_max: usize) -> Self {
        Self { streams_max, refusals: Mutex::default() }
    }

    /// Refuses the next `n` streams.
    pub(crate) fn refuse_next(&self, n: usize, status: &Status) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.extend(std::iter::repeat_n(status, n).cloned());
    }

    /// The gateway's streams are streams of the log proxy, too.
    pub(crate) fn admit(&self, open: &Connected) -> Result<(), Status> {
        let refusal = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        if let Some(status) = refusal {
            return Err(status);
        }
        let max = self.streams_max;
        if open.rlp + open.gateway + open.copies >= max {
            let text = format!("unable to create stream, max egress streams reached: {max}");
            return Err(Status::resource_exhausted(text));
        }
        Ok(())
    }
}

impl Egress {
    pub(crate) fn new(router: Arc<Router>, gate: Arc<Gate>) -> Self {
        Self { router, gate }
    }

    fn open(
        &self,
        request: Request<v2::EgressBatchRequest>,
        framing: Framing,
    ) -> Result<Response<Envelopes>, Status> {
        self.gate.admit(&self.router.connected().borrow())?;
        let connection = request.extensions().get::<ConnectionHandle>().cloned();
        let request = parse(request.into_inner(), framing)?;
        let lease = self.router.subscribe_rlp(request, Reader::Grpc, connection);
        Ok(Response::new(Envelopes::new(lease, framing)))
    }
}

/// Checks a request in the order, and with the words, of the platform's proxy.
fn parse(request: v2::EgressBatchRequest, framing: Framing) -> Result<RlpRequest, Status> {
    let mut selectors = request.selectors;
    if selectors.is_empty() {
        selectors.extend(request.legacy_selector);
    }
    if selectors.is_empty() {
        return Err(Status::invalid_argument("Selectors cannot be empty"));
    }
    let selectors: Option<Vec<_>> = selectors.iter().map(Selector::parse).collect();
    let Some(selectors) = selectors else {
        return Err(Status::invalid_argument("Selectors must have a Message"));
    };
    let deterministic_name = match framing {
        Framing::Batches => request.deterministic_name,
        Framing::Single => String::new(),
    };
    Ok(RlpRequest {
        shard_id: request.shard_id,
        selectors,
        deterministic_name,
        use_preferred_tags: request.use_preferred_tags,
    })
}

impl NamedService for Egress {
    const NAME: &'static str = "loggregator.v2.Egress";
}

impl Service<http::Request<Body>> for Egress {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let framing = match request.uri().path() {
            BATCHED_RECEIVER => Framing::Batches,
            RECEIVER => Framing::Single,
            _ => {
                let unknown = Status::unimplemented("unknown method").into_http();
                return Box::pin(std::future::ready(Ok(unknown)));
            }
        };
        let method = Method { egress: self.clone(), framing };
        Box::pin(async move { Ok(Grpc::new(EnvelopeCodec).server_streaming(method, request).await) })
    }
}

/// What one gRPC message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// An `EnvelopeBatch`.
    Batches,
    /// One `Envelope`.
    Single,
}

struct Method {
    egress: Egress,
    framing: Framing,
}

impl ServerStreamingService<v2::EgressBatchRequest> for Method {
    type Response = Vec<Piece>;
    type ResponseStream = Envelopes;
    type Future = std::future::Ready<Result<Response<Envelopes>, Status>>;

    fn call(&mut self, request: Request<v2::EgressBatchRequest>) -> Self::Future {
        std::future::ready(self.egress.open(request, self.framing))
    }
}

/// Encoded bytes, sent as they are.
type Piece = Bytes;

/// Reads requests (both have one shape) and writes messages that are encoded already.
struct EnvelopeCodec;

impl Codec for EnvelopeCodec {
    type Encode = Vec<Piece>;
    type Decode = v2::EgressBatchRequest;
    type Encoder = Concatenate;
    type Decoder = ProstDecoder<v2::EgressBatchRequest>;

    fn encoder(&mut self) -> Concatenate {
        Concatenate
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(BufferSettings::default())
    }
}

struct Concatenate;

impl Encoder for Concatenate {
    type Item = Vec<Piece>;
    type Error = Status;

    fn encode(&mut self, pieces: Vec<Piece>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(pieces.iter().map(Bytes::len).sum());
        for piece in pieces {
            out.put_slice(&piece);
        }
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(ENCODE_BUFFER_BYTES, ENCODE_BUFFER_BYTES)
    }
}

/// The messages of one stream.
struct Envelopes {
    inner: Pin<Box<dyn Stream<Item = Result<Vec<Piece>, Status>> + Send>>,
}

impl Envelopes {
    fn new(lease: Lease<RlpSubscription>, framing: Framing) -> Self {
        let envelopes_max = match framing {
            Framing::Batches => BATCH_ENVELOPES_MAX,
            Framing::Single => 1,
        };
        let sender = Sender { batches: Batches::new(lease, envelopes_max), framing, ended: false };
        let step = |mut sender: Sender| async move {
            let message = sender.next().await?;
            Some((message, sender))
        };
        Self { inner: Box::pin(futures_util::stream::unfold(sender, step)) }
    }
}

impl Stream for Envelopes {
    type Item = Result<Vec<Piece>, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner.as_mut().poll_next(context)
    }
}

struct Sender {
    batches: Batches,
    framing: Framing,
    ended: bool,
}

impl Sender {
    async fn next(&mut self) -> Option<Result<Vec<Piece>, Status>> {
        if self.ended {
            return None;
        }
        let end = match self.batches.next().await {
            Ok(items) => return Some(Ok(items.map(|item| piece(item, self.framing)).collect())),
            Err(end) => end,
        };
        self.ended = true;
        self.end(&end).map(Err)
    }

    fn end(&self, end: &End) -> Option<Status> {
        Some(match end {
            End::Eof => return None,
            End::Unavailable => Status::unavailable("the proxy went away"),
            End::ResourceExhausted => Status::resource_exhausted("the proxy has had enough"),
            End::Close { reason, .. } => Status::unavailable(reason.clone()),
            End::Cut => {
                if let Some(connection) = &self.batches.stream().connection {
                    connection.cut();
                }
                Status::unavailable("cut")
            }
        })
    }
}

fn piece(item: RlpItem, framing: Framing) -> Piece {
    match (item, framing) {
        (RlpItem::Whole(message), _) => message,
        // Of the gateway's streams only.
        (RlpItem::Json(json), _) => json.unwrap_or_default(),
        (RlpItem::Envelope(envelope), Framing::Batches) => envelope.into_record(),
        (RlpItem::Envelope(envelope), Framing::Single) => envelope.body(),
    }
}

#[cfg(test)]
mod tests;
