//! A gateway that does what a test tells each of its streams.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::api::Api;
use super::{DEADLINE, Pki};
use crate::task::Tasks;

/// What a request is answered with, instead of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal(pub(super) u16, pub(super) &'static str);

/// The head of a request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path_and_query: String,
    /// From the `host` header, or as HTTP/2 has it.
    pub(super) host: String,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
}

/// A stream that is open, or was.
#[derive(Clone, Debug)]
pub(super) struct Stream(mpsc::Sender<io::Result<Frame<Bytes>>>);

impl Stream {
    /// Sends bytes as one chunk.
    pub(super) async fn send(&self, bytes: impl Into<Bytes>) {
        let sent = timeout(DEADLINE, self.0.send(Ok(Frame::data(bytes.into()))));
        sent.await.expect("sent in time").expect("the stream is open");
    }

    /// Cuts the connection.
    pub(super) async fn cut(&self) {
        self.0.send(Err(io::Error::other("cut"))).await.unwrap();
    }

    /// Waits until the client is gone.
    pub(super) async fn closed(&self) {
        timeout(DEADLINE, self.0.closed()).await.expect("closed in time");
    }
}

struct Shared {
    refusals: Mutex<VecDeque<Option<Refusal>>>,
    asked: Mutex<Vec<Asked>>,
    /// Answers that may be given.
    permits: Semaphore,
    /// Requests without an answer: now, and the most there were.
    waiting: watch::Sender<(usize, usize)>,
    /// `None` where it has been taken out, to end it.
    streams: watch::Sender<Vec<Option<Stream>>>,
}

/// The servers; they end with this value.
pub(super) struct Gateway {
    pub(super) api: Api,
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: Tasks<()>,
}

impl Gateway {
    /// Offers these protocols; the first requests are refused or, where there is `None`, not.
    pub(super) async fn start(
        pki: &Pki,
        protocols: &[&str],
        refusals: impl IntoIterator<Item = Option<Refusal>>,
    ) -> Self {
        Self::named(pki, "127.0.0.1", protocols, refusals).await
    }

    /// As [`Gateway::start`], with a name of its own, which only a proxy finds.
    pub(super) async fn named(
        pki: &Pki,
        name: &str,
        protocols: &[&str],
        refusals: impl IntoIterator<Item = Option<Refusal>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let leaf = pki.authority.server(&[name]).unwrap();
        let tls = TlsAcceptor::from(Arc::new(leaf.server_config(None, protocols).unwrap()));
        let shared = Arc::new(Shared {
            refusals: Mutex::new(refusals.into_iter().collect()),
            asked: Mutex::default(),
            permits: Semaphore::new(1_000_000),
            waiting: watch::Sender::default(),
            streams: watch::Sender::default(),
        });
        let mut tasks = Tasks::new();
        tasks.spawn("gateway", serve(listener, tls, Arc::clone(&shared)));
        let log_stream = format!("https://{name}:{}", address.port());
        let api = Api::start(&[("log_stream", Some(log_stream)), ("logging", None)]).await;
        Self { api, address, shared, _tasks: tasks }
    }

    /// The heads of all requests.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Waits until the stream of this number, counted from 0, is open.
    pub(super) async fn stream(&self, number: usize) -> Stream {
        let mut streams = self.shared.streams.subscribe();
        let open = streams.wait_for(|streams| streams.len() > number);
        timeout(DEADLINE, open).await.expect("a stream in time").unwrap()[number].clone().unwrap()
    }

    /// Ends a stream in good order, when all has been sent.
    pub(super) fn end(&self, number: usize) {
        self.shared.streams.send_modify(|streams| streams[number] = None);
    }

    /// From now on answers wait for [`Gateway::answer_one`].
    pub(super) fn hold_answers(&self) {
        self.shared.permits.forget_permits(usize::MAX);
    }

    pub(super) fn answer_one(&self) {
        self.shared.permits.add_permits(1);
    }

    /// Waits until a request waits for its answer; the most that ever did at one time.
    pub(super) async fn one_waits(&self) -> usize {
        let mut waiting = self.shared.waiting.subscribe();
        timeout(DEADLINE, waiting.wait_for(|(now, _)| *now > 0)).await.expect("a request in time").unwrap().1
    }

    /// Forgets how many requests have waited at one time.
    pub(super) fn forget_waiting(&self) {
        self.shared.waiting.send_modify(|(now, most)| *most = *now);
    }

    /// Changes what is refused.
    pub(super) fn refuse(&self, refusals: impl IntoIterator<Item = Option<Refusal>>) {
        self.shared.refusals.lock().unwrap().extend(refusals);
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = Tasks::new();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        connections.spawn("connection", async move {
            let Ok(io) = tls.accept(tcp).await else { return };
            let service = service_fn(|request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(answer(&shared, &request).await) }
            });
            // Clients go as they like.
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(io), service).await;
        });
    }
}

async fn answer(shared: &Shared, request: &Request<Incoming>) -> Response<UnsyncBoxBody<Bytes, io::Error>> {
    let uri = request.uri();
    let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
    shared.asked.lock().unwrap().push(Asked {
        method: request.method().to_string(),
        path_and_query: uri.path_and_query().unwrap().to_string(),
        host: host.unwrap_or_else(|| uri.authority().unwrap().to_string()),
        version: request.version(),
        headers: request.headers().clone(),
    });
    shared.waiting.send_modify(|(now, most)| {
        *now += 1;
        *most = (*most).max(*now);
    });
    shared.permits.acquire().await.unwrap().forget();
    shared.waiting.send_modify(|(now, _)| *now -= 1);
    let refusal = shared.refusals.lock().unwrap().pop_front().flatten();
    if let Some(Refusal(status, body)) = refusal {
        let body = Full::new(Bytes::from(body)).map_err(|never| match never {});
        let response = Response::builder().status(status).header(CONTENT_TYPE, "text/plain; charset=utf-8");
        return response.body(body.boxed_unsync()).unwrap();
    }
    let (sender, mut receiver) = mpsc::channel(1_000);
    shared.streams.send_modify(|streams| streams.push(Some(Stream(sender))));
    let body = StreamBody::new(futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx)));
    let response = Response::builder().header(CONTENT_TYPE, "text/event-stream");
    response.body(body.boxed_unsync()).unwrap()
}
