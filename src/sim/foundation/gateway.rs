//! The log stream gateway: v2 envelopes as JSON in an event stream, `GET /v2/read`.
//!
//! It is a client of the log proxy, and adds little: a check of the token, one JSON batch per
//! batch, heartbeats, and an end after 14 minutes. This half decides who may read what, with the
//! platform's status codes and bodies to the letter; [`body`] writes an open stream, [`json`] an
//! envelope.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;

use self::body::EventStream;
use self::json::JsonWriter;
use self::query::Query;
use super::capi::CloudController;
use super::faults::{End, Fault, Target};
use super::rlp::Gate;
use super::router::{Reader, Router};
use super::traffic;
use super::uaa::Uaa;
use crate::sim::listen::ConnectionHandle;
use crate::sim::wire::Encoded;

mod body;
mod config;
pub(crate) mod json;
mod query;

pub use config::{Chunks, GatewayConfig, HttpVersions, JsonStyle, LineEnd, Spacing, Spelling, StreamForm};

/// One batch as the data of an event; what cannot be decoded is left out.
pub(crate) fn batch(envelopes: &[Encoded]) -> Bytes {
    let mut writer = JsonWriter::new(JsonStyle::default());
    let envelopes: Vec<_> = envelopes.iter().filter_map(|envelope| writer.write(envelope)).collect();
    [&b"{\"batch\":["[..], &envelopes.join(&b","[..]), b"]}"].concat().into()
}

/// Either of these may read everything.
const FIREHOSE_SCOPES: [&str; 2] = ["doppler.firehose", "logs.admin"];

/// Whether the gateway reaches the log proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// It does.
    Reachable,
    /// It does not: what is open ends without a word, what is asked for is answered with 503.
    Away,
}

/// The gateway's state.
#[derive(Debug)]
pub(crate) struct Gateway {
    router: Arc<Router>,
    gate: Arc<Gate>,
    uaa: Uaa,
    capi: CloudController,
    config: GatewayConfig,
    away: AtomicBool,
}

/// Why nothing is streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    NotFound,
    MethodNotAllowed,
    EmptyQuery,
    MissingEnvelopeType,
    Unavailable,
}

impl Gateway {
    pub(crate) fn new(
        router: Arc<Router>,
        gate: Arc<Gate>,
        uaa: Uaa,
        capi: CloudController,
        config: GatewayConfig,
    ) -> Arc<Self> {
        Arc::new(Self { router, gate, uaa, capi, config, away: AtomicBool::new(false) })
    }

    pub(crate) fn routes(self: &Arc<Self>) -> axum::Router {
        axum::Router::new()
            .route("/v2/read", any(read))
            .fallback(async || traffic::not_found())
            .with_state(Arc::clone(self))
    }

    pub(crate) fn set_upstream(&self, upstream: Upstream) {
        let away = upstream == Upstream::Away;
        self.away.store(away, Ordering::SeqCst);
        if away {
            self.router.inject(&Target::Gateway, &Fault::End(End::Unavailable));
        }
    }

    fn is_away(&self) -> bool {
        self.away.load(Ordering::SeqCst)
    }

    /// Answers a request, with the checks in the platform's order.
    fn open(&self, request: &Request) -> Result<Response, Refusal> {
        let query = Query::parse(request.uri().query().unwrap_or_default());
        if !self.may_read(request.headers(), &query) {
            return Err(Refusal::NotFound);
        }
        if request.method() != Method::GET {
            return Err(Refusal::MethodNotAllowed);
        }
        if query.is_empty() {
            return Err(Refusal::EmptyQuery);
        }
        let asked = query.request();
        if asked.selectors.is_empty() {
            return Err(Refusal::MissingEnvelopeType);
        }
        if self.is_away() {
            return Err(Refusal::Unavailable);
        }
        // The head is out before the proxy has said what it thinks of the request.
        if self.gate.admit(&self.router.connected().borrow()).is_err() {
            return Ok(event_stream(request.version(), Body::empty()));
        }
        let connection = request.extensions().get::<ConnectionHandle>().cloned();
        let form = Arc::new(Mutex::new(self.config.form));
        let lease = self.router.subscribe_rlp(asked, Reader::Gateway(Arc::clone(&form)), connection);
        if self.is_away() {
            // Since the check before; this stream was not there to be told.
            lease.mailbox.end(End::Unavailable);
        }
        let stream = EventStream::new(lease, form, &self.config);
        Ok(event_stream(request.version(), Body::from_stream(stream.into_stream())))
    }

    /// Whether the token is good for the query, now; nobody asks again while a stream is open.
    fn may_read(&self, headers: &HeaderMap, query: &Query) -> bool {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        // Only this spelling is stripped; another one is taken for a part of the token.
        let token = value.map(|value| value.strip_prefix("bearer ").unwrap_or(value));
        let Some(Ok(scopes)) = token.map(|token| self.uaa.scopes(token)) else { return false };
        if scopes.iter().any(|scope| FIREHOSE_SCOPES.contains(&scope.as_str())) {
            return true;
        }
        let allowed = |source_id: &str| is_guid(source_id) && self.capi.may_read_logs(source_id);
        !query.source_ids.is_empty() && query.source_ids.iter().all(|source_id| allowed(source_id))
    }
}

async fn read(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    gateway.open(&request).unwrap_or_else(IntoResponse::into_response)
}

fn event_stream(version: Version, body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    let mut response = (headers, body).into_response();
    // HTTP/2 has no such header.
    if version < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
    }
    response
}

fn is_guid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, message, error) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "resource not found", "not_found"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method not allowed", "method_not_allowed")
            }
            Self::EmptyQuery => (StatusCode::BAD_REQUEST, "query cannot be empty", "empty_query"),
            Self::MissingEnvelopeType => (
                StatusCode::BAD_REQUEST,
                "query must provide at least one envelope type",
                "missing_envelope_type",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "streaming is temporarily unavailable",
                "streaming_unavailable",
            ),
        };
        // One line feed is the encoder's, one the error writer's.
        let body = format!("{{\"message\":\"{message}\",\"error\":\"{error}\"}}\n\n");
        (status, [(header::X_CONTENT_TYPE_OPTIONS, "nosniff")], body).into_response()
    }
}

#[cfg(test)]
mod tests;
