//! The request for a stream, over HTTP/2 or HTTP/1.1, whichever the server chose.

use std::future::{pending, poll_fn};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue, USER_AGENT};
use http::{Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use url::Url;

use super::answer::{self, Answer};
use super::body::{Body, Carrier, Driver};
use crate::causes::chain;
use crate::nozzle::source::dial::Wire;
use crate::nozzle::source::end::End;
use crate::nozzle::source::endpoint::Endpoint;
use crate::nozzle::source::http2;

/// The longest wait for the answer. The gateway asks the UAA first, and then answers at once,
/// whether there is anything to send or not.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Where a stream leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) endpoint: Endpoint,
    path_and_query: String,
}

impl Target {
    /// # Errors
    /// The address is not one of a gateway.
    pub(super) fn new(url: &Url, query: &str) -> Result<Self, End> {
        let endpoint = Endpoint::new(url).ok_or_else(|| {
            End::Refused(format!("{url} is not a gateway's address: expected https://host[:port]"))
        })?;
        let path_and_query = format!("{}/v2/read?{query}", endpoint.base_path);
        Ok(Self { endpoint, path_and_query })
    }

    /// Asks for the stream on an open connection.
    ///
    /// # Errors
    /// The connection breaks, or the answer is none.
    pub(super) async fn ask(&self, authorization: HeaderValue, wire: Wire) -> Result<Answer, End> {
        let asked = async {
            match wire.is_http2() {
                true => self.ask_http2(authorization, wire).await,
                false => self.ask_http1(authorization, wire).await,
            }
        };
        timeout(ANSWER_TIMEOUT, asked).await.unwrap_or_else(|_| {
            let cause = format!("connected, but no answer within {} s", ANSWER_TIMEOUT.as_secs());
            Err(End::Connect { address: self.endpoint.address.clone(), cause })
        })
    }

    async fn ask_http1(&self, authorization: HeaderValue, wire: Wire) -> Result<Answer, End> {
        let log = wire.log();
        let lost = |error: hyper::Error| match error {
            error if error.is_parse() => End::Protocol(format!("not an HTTP answer: {}", chain(&error))),
            error => log.end(|| chain(&error)),
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(wire)).await.map_err(lost)?;
        let mut driver = Box::new(Driver::new(connection));
        let mut request = self.request(&self.path_and_query, authorization)?;
        request.headers_mut().insert(HOST, self.endpoint.host.clone());
        let driving = async {
            poll_fn(|cx| driver.poll(cx)).await;
            // The request learns of the end by itself.
            pending().await
        };
        let response = tokio::select! {
            response = sender.send_request(request) => response.map_err(lost)?,
            response = driving => response,
        };
        let (head, incoming) = response.into_parts();
        Ok(answer::of(&head, Body::new(incoming, Carrier::Http1(driver)), log).await)
    }

    async fn ask_http2(&self, authorization: HeaderValue, wire: Wire) -> Result<Answer, End> {
        let log = wire.log();
        let lost = |error: hyper::Error| log.end(|| chain(&error));
        let connection = http2::Connection::start(wire).await.map_err(lost)?;
        let host = String::from_utf8_lossy(self.endpoint.host.as_bytes());
        let uri = format!("https://{host}{}", self.path_and_query);
        let request = self.request(&uri, authorization)?;
        let response = connection.sender().send_request(request).await.map_err(lost)?;
        let (head, incoming) = response.into_parts();
        Ok(answer::of(&head, Body::new(incoming, Carrier::Http2(connection)), log).await)
    }

    fn request(&self, uri: &str, authorization: HeaderValue) -> Result<Request<Empty<Bytes>>, End> {
        let uri: Uri = uri.parse().map_err(|error| End::Refused(format!("{uri} is no URI: {error}")))?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("firehose-nozzle/", env!("CARGO_PKG_VERSION"))),
        );
        Ok(request)
    }
}
