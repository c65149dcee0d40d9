//! An API root that names what a test says, and a UAA whose tokens are numbered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use crate::nozzle::cf::Foundation;
use crate::nozzle::cf::fake::{self, Server};
use crate::nozzle::cf::http::Http;
use crate::nozzle::cf::token::Credentials;
use crate::proxy::ProxySettings;
use crate::tls::ClientTls;

/// The servers; they end with this value.
pub(super) struct Api {
    pub(super) foundation: Foundation,
    pub(super) url: Url,
    tokens: Arc<AtomicU64>,
    failures: Arc<AtomicU64>,
    _server: Server,
}

impl Api {
    /// Serves a root with these links, beside the UAA's; null is no link.
    pub(super) async fn start(links: &[(&str, Option<String>)]) -> Self {
        let named: Vec<(String, Value)> =
            links.iter().map(|(name, href)| ((*name).to_owned(), json!({ "href": href }))).collect();
        let (tokens, failures) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let root = {
            let failures = Arc::clone(&failures);
            move |host: http::HeaderMap| async move {
                if failures.try_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                    return Err(StatusCode::BAD_GATEWAY);
                }
                let uaa = format!("http://{}", host["host"].to_str().unwrap());
                let mut links = json!({ "uaa": { "href": uaa } });
                links.as_object_mut().unwrap().extend(named);
                Ok(axum::Json(json!({ "links": links })))
            }
        };
        let token = {
            let tokens = Arc::clone(&tokens);
            move || async move {
                let token = format!("t{}", tokens.fetch_add(1, Relaxed) + 1);
                axum::Json(json!({ "access_token": token, "token_type": "bearer", "expires_in": 600 }))
            }
        };
        let app = Router::new().route("/", get(root)).route("/oauth/token", post(token));
        let (url, server) = fake::serve(app).await;
        let foundation = foundation(&url, &ProxySettings::default());
        Self { foundation, url, tokens, failures, _server: server }
    }

    /// How many tokens the UAA has given.
    pub(super) fn tokens(&self) -> u64 {
        self.tokens.load(Relaxed)
    }

    /// The root answers so many requests with 502.
    pub(super) fn fail(&self, requests: u64) {
        self.failures.store(requests, Relaxed);
    }
}

/// A handle on the foundation at `url`.
pub(super) fn foundation(url: &Url, proxies: &ProxySettings) -> Foundation {
    crate::tls::install_provider();
    let client_secret = SecretString::from("secret".to_owned());
    let credentials = Credentials { client_id: "nozzle".to_owned(), client_secret };
    let http = Http::new(&ClientTls::default(), proxies).unwrap();
    Foundation::new(http, url.clone(), credentials)
}
