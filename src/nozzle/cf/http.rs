//! The HTTP client for the Cloud Foundry API and UAA.
//!
//! Every request has a connect, a read and a total timeout; every body a cap. Redirects are followed
//! only on the same host and never from https to http, so that no token and no secret goes anywhere
//! else. Errors name the URL without its query and user information.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::Proxy;
use reqwest::redirect::{Attempt, Policy};
use url::Url;

use crate::proxy::ProxySettings;
use crate::tls::{ClientTls, TlsError, cause};

/// A peer that does not accept within this time counts as unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest silence within a reply.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// From the first byte sent to the last received.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(45);
/// Shorter than the idle limit of common load balancers.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// As many as there are concurrent look-ups.
const POOL_IDLE_CONNECTIONS_MAX: usize = 8;
/// More than one hop on the same host is a loop or a mistake.
const REDIRECTS_MAX: usize = 3;
const USER_AGENT: &str = concat!("firehose-nozzle/", env!("CARGO_PKG_VERSION"));

/// Why the client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The TLS settings are not usable.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The HTTP library refuses its settings.
    #[error("cannot set up the HTTP client")]
    Client(#[from] reqwest::Error),
}

/// Why a request brought no reply.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{url}: {fault}")]
pub struct HttpError {
    /// The URL asked, without query and user information.
    pub url: String,
    /// What went wrong.
    pub fault: HttpFault,
}

/// What can go wrong between the request and the end of the reply.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HttpFault {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The certificate is not accepted, or something else is wrong with TLS.
    #[error("TLS failed: {0} (CF_CA_FILE)")]
    Tls(String),
    /// Connected, but too slow.
    #[error("no complete answer in time")]
    Timeout,
    /// The connection broke, or what came was not HTTP.
    #[error("the exchange failed: {0}")]
    Exchange(String),
    /// The body is larger than anything expected here.
    #[error("the answer is larger than {max} bytes")]
    TooLarge {
        /// The limit.
        max: usize,
    },
}

/// A complete reply of any status.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The client; one connection pool, cheap to clone.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
}

impl Http {
    /// A client with the given TLS settings, that goes through these proxies.
    ///
    /// # Errors
    /// The TLS settings are not usable.
    pub fn new(tls: &ClientTls, proxies: &ProxySettings) -> Result<Self, ClientError> {
        let proxies = proxies.clone();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.rustls()?)
            .no_proxy()
            .proxy(Proxy::custom(move |url| proxies.for_url(url).map(|proxy| proxy.url().clone())))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_IDLE_CONNECTIONS_MAX)
            .redirect(Policy::custom(redirect))
            .user_agent(USER_AGENT)
            .build()?;
        Ok(Self { client })
    }

    /// Asks for JSON. Cancel safe: a dropped request is closed.
    pub(crate) async fn get(
        &self,
        url: &Url,
        authorization: Option<HeaderValue>,
        body_bytes_max: usize,
    ) -> Result<Reply, HttpError> {
        let mut request = self.client.get(url.clone()).header(ACCEPT, "application/json");
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        exchange(request, url, body_bytes_max).await
    }

    /// Posts a form, asking for JSON.
    pub(crate) async fn post_form(
        &self,
        url: &Url,
        authorization: HeaderValue,
        form: &'static str,
        body_bytes_max: usize,
    ) -> Result<Reply, HttpError> {
        let request = self
            .client
            .post(url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(AUTHORIZATION, authorization)
            .body(form);
        exchange(request, url, body_bytes_max).await
    }
}

/// A URL fit for logs and errors: no user information, no query.
pub(crate) fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

async fn exchange(request: reqwest::RequestBuilder, url: &Url, max: usize) -> Result<Reply, HttpError> {
    let wrap = |fault| HttpError { url: shown(url), fault };
    let mut response = request.send().await.map_err(|error| wrap(fault(error)))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| wrap(fault(error)))? {
        if body.len() + chunk.len() > max {
            return Err(wrap(HttpFault::TooLarge { max }));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status, headers, body: body.freeze() })
}

fn fault(error: reqwest::Error) -> HttpFault {
    // A connect that timed out is of more use as "cannot connect" than as "too slow".
    if let Some(tls) = cause::find(&error) {
        HttpFault::Tls(cause::explain(tls))
    } else if error.is_connect() {
        HttpFault::Connect(innermost(&error))
    } else if error.is_timeout() {
        HttpFault::Timeout
    } else {
        HttpFault::Exchange(innermost(&error))
    }
}

/// The last cause: the outer ones repeat the URL, query included, and say nothing more.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let followed = attempt.previous().last().is_some_and(|from| {
        let to = attempt.url();
        attempt.previous().len() <= REDIRECTS_MAX
            && from.host_str() == to.host_str()
            && (from.scheme() == to.scheme() || to.scheme() == "https")
    });
    if followed { attempt.follow() } else { attempt.stop() }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::response::Redirect;
    use axum::routing::get;

    use super::*;
    use crate::nozzle::cf::fake::{client, serve};

    #[tokio::test]
    async fn a_body_is_taken_up_to_its_cap_and_not_beyond() {
        let app = Router::new().route("/", get(async || "12345678"));
        let (url, _server) = serve(app).await;
        let reply = client().get(&url, None, 8).await.unwrap();
        assert_eq!((reply.status, &reply.body[..]), (StatusCode::OK, &b"12345678"[..]));

        let error = client().get(&url, None, 7).await.unwrap_err();
        assert!(matches!(error.fault, HttpFault::TooLarge { max: 7 }), "{error}");
    }

    #[tokio::test]
    async fn a_refused_connection_names_the_url_without_its_query() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let url = Url::parse(&format!("http://user:hidden@{address}/path?secret=1")).unwrap();
        let error = client().get(&url, None, 1).await.unwrap_err();
        assert!(matches!(error.fault, HttpFault::Connect(_)), "{error}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("http://{address}/path: cannot connect")), "{text}");
        assert!(!text.contains("secret") && !text.contains("hidden"), "{text}");
    }

    #[tokio::test]
    async fn redirects_stay_on_the_host() {
        let app = Router::new()
            .route("/here", get(async || Redirect::temporary("/end")))
            .route("/away", get(async || Redirect::temporary("http://localhost:1/end")))
            .route("/round", get(async || Redirect::temporary("/round")))
            .route("/end", get(async || "end"));
        let (url, _server) = serve(app).await;
        for (path, status) in [("here", 200), ("away", 307), ("round", 307)] {
            let reply = client().get(&url.join(path).unwrap(), None, 100).await.unwrap();
            assert_eq!(reply.status.as_u16(), status, "{path}");
        }
    }
}
