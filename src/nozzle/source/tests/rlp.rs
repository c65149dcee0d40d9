//! A reverse log proxy that does what a script says, byte by byte.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::proto::loggregator::EgressBatchRequest;
use crate::task::Tasks;

/// What the proxy does with one call.
#[derive(Clone, Debug)]
pub(super) enum Call {
    /// Sends messages, then ends the stream so.
    Reply(Vec<Bytes>, Ending),
    /// Answers with this status and nothing else.
    Refuse(&'static str, &'static str),
    /// Answers with this status of HTTP and these bytes.
    Raw(u16, &'static [u8], Ending),
    /// Does not even send headers until released, then goes on as the other one.
    Quiet(Box<Call>),
}

/// How a stream ends after its messages.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    /// With a status.
    Status(&'static str, &'static str),
    /// Without one.
    Bare,
    /// Not at all.
    Open,
}

type ReplyBody = BoxBody<Bytes, Infallible>;

#[derive(Default)]
struct Shared {
    calls: Mutex<VecDeque<Call>>,
    requests: Mutex<Vec<EgressBatchRequest>>,
    release: watch::Sender<bool>,
    open: watch::Sender<usize>,
}

/// The server; ends with this value.
pub(super) struct Rlp {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    cut: CancellationToken,
    _tasks: Tasks<()>,
}

impl Rlp {
    /// Serves calls by the script; those after its end stay open and silent.
    pub(super) async fn start(tls: ServerConfig, calls: impl IntoIterator<Item = Call>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { calls: Mutex::new(calls.into_iter().collect()), ..Shared::default() });
        let cut = CancellationToken::new();
        let mut tasks = Tasks::new();
        tasks.spawn(
            "rlp",
            serve(listener, TlsAcceptor::from(Arc::new(tls)), Arc::clone(&shared), cut.clone()),
        );
        Self { address, shared, cut, _tasks: tasks }
    }

    /// Lets quiet calls go on.
    pub(super) fn release(&self) {
        self.shared.release.send_replace(true);
    }

    /// Cuts all connections there are, and those that come.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }

    pub(super) fn requests(&self) -> Vec<EgressBatchRequest> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Waits until all connections are closed.
    pub(super) async fn all_closed(&self) {
        self.shared.open.subscribe().wait_for(|open| *open == 0).await.unwrap();
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>, cut: CancellationToken) {
    let mut connections = Tasks::new();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let (tls, shared, cut) = (tls.clone(), Arc::clone(&shared), cut.clone());
        connections.spawn("connection", async move {
            let Ok(io) = tls.accept(tcp).await else { return };
            shared.open.send_modify(|open| *open += 1);
            let service = service_fn(|request| answer(request, Arc::clone(&shared)));
            let connection =
                http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(io), service);
            let _ = cut.run_until_cancelled(connection).await;
            shared.open.send_modify(|open| *open -= 1);
        });
    }
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<ReplyBody>, Infallible> {
    assert_eq!(request.uri().path(), "/loggregator.v2.Egress/BatchedReceiver");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    shared.requests.lock().unwrap().push(EgressBatchRequest::decode(&body[5..]).unwrap());
    let next = shared.calls.lock().unwrap().pop_front();
    let mut call = next.unwrap_or(Call::Reply(Vec::new(), Ending::Open));
    if let Call::Quiet(then) = call {
        shared.release.subscribe().wait_for(|released| *released).await.unwrap();
        call = *then;
    }
    let response = Response::builder().header("content-type", "application/grpc");
    Ok(match call {
        Call::Refuse(code, text) => response
            .header("grpc-status", code)
            .header("grpc-message", text)
            .body(Full::default().boxed())
            .unwrap(),
        Call::Reply(messages, ending) => {
            let chunks = messages.iter().map(|message| framed(message)).collect();
            response.body(reply(chunks, ending)).unwrap()
        }
        Call::Raw(status, bytes, ending) => {
            response.status(status).body(reply(vec![Bytes::from_static(bytes)], ending)).unwrap()
        }
        Call::Quiet(_) => unreachable!("quiet once"),
    })
}

fn reply(chunks: Vec<Bytes>, ending: Ending) -> ReplyBody {
    let chunks = stream::iter(chunks.into_iter().map(Frame::data));
    match ending {
        Ending::Open => BodyExt::boxed(StreamBody::new(chunks.chain(stream::pending()).map(Ok))),
        Ending::Bare => BodyExt::boxed(StreamBody::new(chunks.map(Ok))),
        Ending::Status(code, text) => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static(code));
            trailers.insert("grpc-message", HeaderValue::from_static(text));
            let end = stream::iter([Frame::trailers(trailers)]);
            BodyExt::boxed(StreamBody::new(chunks.chain(end).map(Ok)))
        }
    }
}

fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap());
    framed.put_slice(message);
    framed.freeze()
}
