//! The traffic controller: v1 envelopes over websockets.
//!
//! This half decides who may open one, with the platform's status codes and bodies to the
//! letter; [`session`] is what happens on an open one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper_util::rt::TokioIo;
use sha1_smol::Sha1;
use tokio::task::JoinSet;

use self::session::Session;
use super::capi::CloudController;
use super::router::{Filter, Router, V1Key};
use super::uaa::Uaa;

mod session;

/// The only scope the firehose accepts; `logs.admin` is not enough here.
const FIREHOSE_SCOPE: &str = "doppler.firehose";
/// How long a stop waits for sessions to say good-bye.
const STOP_GRACE: Duration = Duration::from_secs(5);
const WEBSOCKET_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How patient the traffic controller is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From a pong to the next ping.
    pub ping_interval: Duration,
    /// Without a pong for this long after a ping, the connection is closed with 1008.
    pub pong_timeout: Duration,
    /// A write that takes this long makes the reader a slow consumer.
    pub slow_after: Duration,
    /// A write that takes this long is abandoned in the middle of a frame.
    pub cut_after: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(15),
            pong_timeout: Duration::from_secs(30),
            slow_after: Duration::from_secs(5),
            cut_after: Duration::from_secs(6),
        }
    }
}

/// The traffic controller's state.
#[derive(Debug)]
pub(crate) struct TrafficController {
    router: Arc<Router>,
    uaa: Uaa,
    capi: CloudController,
    patience: Patience,
    slots: usize,
    slow_consumers: Arc<AtomicU64>,
    sessions: Mutex<JoinSet<()>>,
}

impl TrafficController {
    pub(crate) fn new(
        router: Arc<Router>,
        uaa: Uaa,
        capi: CloudController,
        patience: Patience,
        slots: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            router,
            uaa,
            capi,
            patience,
            slots,
            slow_consumers: Arc::default(),
            sessions: Mutex::default(),
        })
    }

    pub(crate) fn routes(self: &Arc<Self>) -> axum::Router {
        axum::Router::new()
            .route("/firehose/{subscription}", get(firehose))
            .route("/apps/{app}/stream", get(app_stream))
            .fallback(async || not_found())
            .with_state(Arc::clone(self))
    }

    /// How many connections were cut because they read too slowly.
    pub(crate) fn slow_consumers(&self) -> u64 {
        self.slow_consumers.load(Ordering::Relaxed)
    }

    /// Waits a short while for sessions that were told to end, then ends the rest.
    pub(crate) async fn stop(&self) {
        let mut sessions = std::mem::take(&mut *self.sessions());
        let ended = async { while sessions.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(STOP_GRACE, ended).await;
        sessions.shutdown().await;
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        // The set is usable whatever a panic interrupted.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the handshake; the session starts when the connection has been taken over.
    fn upgrade(&self, mut request: Request, key: V1Key) -> Response {
        let Some(accept) = accept_key(request.headers()) else {
            let version = (header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return (StatusCode::BAD_REQUEST, [version], plain("Bad Request\n")).into_response();
        };
        let mut sessions = self.sessions();
        while sessions.try_join_next().is_some() {}
        // Those whose handshake is under way have their slot already.
        if sessions.len() >= self.slots {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let path = request.uri().path().to_owned();
        let upgrade = hyper::upgrade::on(&mut request);
        // Not the controller itself: it owns the sessions, and would never be dropped.
        let (router, slow_consumers) = (Arc::clone(&self.router), Arc::clone(&self.slow_consumers));
        let patience = self.patience;
        sessions.spawn(async move {
            // A client that left during the handshake has no session.
            if let Ok(upgraded) = upgrade.await {
                let lease = router.subscribe_v1(key);
                let slow = || {
                    slow_consumers.fetch_add(1, Ordering::Relaxed);
                    router.publish(&[super::metrics::slow_consumer_event(&path)]);
                };
                Session::new(TokioIo::new(upgraded), lease, patience).run(slow).await;
            }
        });
        let headers = [
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::CONNECTION, HeaderValue::from_static("Upgrade")),
            (header::SEC_WEBSOCKET_ACCEPT, accept),
        ];
        (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
    }
}

async fn firehose(
    State(controller): State<Arc<TrafficController>>,
    Path(subscription): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    // The platform's router looks at the decoded path.
    if subscription.contains('/') {
        return not_found();
    }
    let Some(token) = token(request.headers()) else {
        return unauthorized("You are not authorized. authorization not provided");
    };
    let scopes = controller.uaa.scopes(&token).unwrap_or_default();
    if !scopes.iter().any(|scope| scope == FIREHOSE_SCOPE) {
        return unauthorized("You are not authorized. invalid authorization");
    }
    let filter = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .find(|(name, _)| name == "filter-type")
        .map_or(Filter::All, |(_, value)| match &*value {
            "logs" => Filter::Logs,
            "metrics" => Filter::Metrics,
            _ => Filter::All,
        });
    controller.upgrade(request, V1Key::Firehose { subscription, filter })
}

async fn app_stream(
    State(controller): State<Arc<TrafficController>>,
    Path(app): Path<String>,
    request: Request,
) -> Response {
    if uuid::Uuid::try_parse(&app).is_err() || app.len() != 36 {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let accepted = token(request.headers()).is_some_and(|token| controller.uaa.scopes(&token).is_ok());
    if !accepted {
        return unauthorized("");
    }
    match controller.capi.log_access(&app) {
        200 => controller.upgrade(request, V1Key::App(app)),
        401 => unauthorized(""),
        403 | 404 => StatusCode::NOT_FOUND.into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The token of the header, else of the cookie; only lower-case `bearer` is known.
fn token(headers: &HeaderMap) -> Option<String> {
    let value = match headers.get(header::AUTHORIZATION) {
        Some(value) => value.to_str().ok()?.to_owned(),
        None => cookie(headers)?,
    };
    let token = value.strip_prefix("bearer ").unwrap_or(&value);
    (!token.is_empty()).then(|| token.to_owned())
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let encoded = values
        .flat_map(|value| value.split(';'))
        .find_map(|cookie| cookie.trim().strip_prefix("authorization="))?;
    // A field of a form has the same encoding.
    let field = format!("value={encoded}");
    url::form_urlencoded::parse(field.as_bytes()).next().map(|(_, value)| value.into_owned())
}

/// The answer to a good handshake.
fn accept_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let has = |name: header::HeaderName, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    };
    let good = has(header::CONNECTION, "upgrade")
        && has(header::UPGRADE, "websocket")
        && has(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| good)?;
    let mut sha = Sha1::new();
    sha.update(key.as_bytes());
    sha.update(WEBSOCKET_GUID);
    HeaderValue::try_from(STANDARD.encode(sha.digest().bytes())).ok()
}

fn unauthorized(body: &'static str) -> Response {
    let challenge = (header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
    if body.is_empty() {
        return (StatusCode::UNAUTHORIZED, [challenge]).into_response();
    }
    (StatusCode::UNAUTHORIZED, [challenge], body).into_response()
}

/// The answer of both the traffic controller and the gateway to other paths.
pub(super) fn not_found() -> Response {
    (StatusCode::NOT_FOUND, plain("404 page not found\n")).into_response()
}

fn plain(body: &'static str) -> impl IntoResponse {
    ([(header::X_CONTENT_TYPE_OPTIONS, "nosniff")], body)
}

#[cfg(test)]
mod tests;
