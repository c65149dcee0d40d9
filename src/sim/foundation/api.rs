//! What answers under the API's address: the root, the token server, the Cloud Controller.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::capi::CloudController;
use super::uaa::{self, Uaa};

/// What the root says besides; absent services are null.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) logging: Option<String>,
    pub(crate) log_stream: Option<String>,
}

pub(crate) fn routes(base_url: &str, links: &Links, uaa: &Uaa, capi: &CloudController) -> axum::Router {
    let root = root(base_url, links);
    let token_server = axum::Router::new()
        .route("/oauth/token", post(uaa::token))
        .route("/check_token", post(uaa::check_token))
        .with_state(uaa.clone());
    axum::Router::new()
        .route("/", get(async move || Json(root.clone())))
        .merge(token_server)
        .merge(capi.routes())
        .fallback(unknown)
}

async fn unknown() -> impl IntoResponse {
    let error = json!({ "code": 10000, "title": "CF-NotFound", "detail": "Unknown request" });
    (StatusCode::NOT_FOUND, Json(json!({ "errors": [error] })))
}

fn root(base_url: &str, links: &Links) -> Value {
    let link = |url: &str| json!({ "href": url });
    json!({
        "links": {
            "self": link(base_url),
            "cloud_controller_v2": null,
            "cloud_controller_v3": {
                "href": format!("{base_url}/v3"),
                "meta": { "version": "3.190.0" },
            },
            "login": link(base_url),
            "uaa": link(base_url),
            "logging": links.logging.as_deref().map(link),
            "log_cache": null,
            "log_stream": links.log_stream.as_deref().map(link),
            "app_ssh": null,
        },
    })
}
