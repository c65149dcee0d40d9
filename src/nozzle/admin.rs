//! The admin server: `/health`, `/ready`, `/status.json`, `/metrics`.
//!
//! `/health` says that the process lives, `/ready` whether it does its work and why not,
//! `/status.json` and `/metrics` everything. Without ADMIN_TOKEN on an address open to all, only the first two
//! are served.
//!
//! It answers whoever else has connections open and does not use them: see `connections`.

mod connections;
mod metrics;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::nozzle::config::{AdminConfig, AdminScope};
use crate::nozzle::status::StatusView;

/// The bound address, before anything is served.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    token: Option<Arc<SecretString>>,
    scope: AdminScope,
}

impl Admin {
    /// Binds the configured address. An address that cannot be bound is a warning, not an end.
    pub fn bind(config: &AdminConfig) -> Option<Self> {
        let address: SocketAddr = config.address?;
        let bound = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        });
        match bound {
            Ok((address, listener)) => {
                tracing::info!(%address, "serving health and status");
                Some(Self { listener, token: config.token.clone().map(Arc::new), scope: config.scope })
            }
            Err(error) => {
                tracing::warn!(%address, %error, next_step = "choose another ADMIN_ADDRESS or PORT", "health and status are not served");
                None
            }
        }
    }
}

/// Serves until `stop` is cancelled.
pub async fn serve(admin: Admin, view: StatusView, stop: CancellationToken) {
    let mut router = Router::new().route("/health", get(health)).route("/ready", get(ready));
    if admin.scope == AdminScope::Full {
        let status = Router::new().route("/status.json", get(status)).route("/metrics", get(metrics));
        router = router.merge(match admin.token {
            Some(token) => status.layer(from_fn_with_state(token, require_token)),
            None => status,
        });
    }
    match tokio::net::TcpListener::from_std(admin.listener) {
        Ok(listener) => connections::serve(listener, router.with_state(view), stop).await,
        Err(error) => tracing::warn!(%error, "health and status are not served"),
    }
}

async fn health() -> &'static str {
    "ok\n"
}

async fn ready(State(view): State<StatusView>) -> Response {
    let reasons = view.not_ready();
    let code = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "ready": reasons.is_empty(), "reasons": reasons }))).into_response()
}

async fn status(State(view): State<StatusView>) -> Response {
    Json(view.get()).into_response()
}

async fn metrics(State(view): State<StatusView>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render(&view.get())).into_response()
}

async fn require_token(State(token): State<Arc<SecretString>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let given = given
        .and_then(|value| value.split_at_checked(7))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    if given.is_some_and(|(_, given)| same(given, token.expose_secret().as_bytes())) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, "ADMIN_TOKEN is required: Authorization: Bearer …\n")
        .into_response()
}

/// Compares without telling by the time it takes where two secrets differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}
