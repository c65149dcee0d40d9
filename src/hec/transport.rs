//! HTTP to one URL, at one of its addresses: connections, time-outs, reading a reply within bounds.
//!
//! HTTP/1.1 without redirects, cookies of its own or proxies from the environment. Connections live a
//! minute, or a thousand requests: behind a load balancer that decides per connection, longer ones
//! pin the load to the node they first met. Idle ones are closed before a busy splunkd does (12 s),
//! so that a request seldom meets a connection that is just going.
//!
//! Whatever the address, the certificate has to be of the URL's name, and `Host` is that name.

mod failure;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, RETRY_AFTER, SET_COOKIE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

use self::failure::{sort, words};
use super::ack::poll::{question, statuses};
use super::backoff;
use super::classify::TransportFailure;
use super::compress::{Compression, Wire};
use super::config::{ClientConfig, ConfigError, product_header};
use super::pool::resolve::{ByName, Resolve};
use super::reply::{REPLY_BYTES_MAX, ReplyBody};
use crate::proxy::ProxySettings;
use crate::tls::{self, TlsError};

/// An idle connection is closed after this long.
const POOL_IDLE: Duration = Duration::from_secs(10);

/// Idle connections kept.
const POOL_IDLE_MAX: usize = 32;

/// A connection is replaced at this age, give or take a quarter.
const CONNECTION_AGE: Duration = Duration::from_secs(60);

/// Connections are replaced after so many requests over them, too.
const CONNECTION_REQUESTS: u32 = 1000;

/// The most cookies looked at in one reply.
const SET_COOKIES_MAX: usize = 16;

const APP_NAME: HeaderName = HeaderName::from_static("__splunk_app_name");
const APP_VERSION: HeaderName = HeaderName::from_static("__splunk_app_version");
const CHANNEL: HeaderName = HeaderName::from_static("x-splunk-request-channel");

/// What came back for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// A reply, whole or in part.
    Reply {
        status: StatusCode,
        /// Within bounds.
        retry_after: Option<Duration>,
        body: ReplyBody,
    },
    /// No status line.
    Failed {
        failure: TransportFailure,
        /// The chain of causes, without URL or secret.
        text: String,
    },
}

/// What a request shows of itself beside its body.
#[derive(Clone, Debug)]
pub(crate) struct By {
    /// The value of `Authorization`.
    pub(crate) token: HeaderValue,
    pub(crate) channel: Option<Uuid>,
    /// The value of `Cookie`.
    pub(crate) cookies: Option<HeaderValue>,
}

/// What came back for a body.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) exchange: Exchange,
    pub(crate) set_cookies: Vec<HeaderValue>,
}

/// What came back for a poll.
#[derive(Debug)]
pub(crate) struct Polled {
    pub(crate) exchange: Exchange,
    pub(crate) set_cookies: Vec<HeaderValue>,
    /// Which ids are indexed, if the reply says so.
    pub(crate) statuses: Option<BTreeMap<u64, bool>>,
}

/// What came back, with the body as it came.
struct Replied {
    exchange: Exchange,
    set_cookies: Vec<HeaderValue>,
    body: Vec<u8>,
}

/// See the module's documentation.
pub(crate) struct Transport {
    url: Url,
    /// `None`: connects by name, as a proxy does, and where the name is an address.
    address: Option<SocketAddr>,
    settings: Arc<Settings>,
    generation: Mutex<Generation>,
}

/// What all connections of a site have in common.
pub(crate) struct Settings {
    tls: Mutex<Tls>,
    headers: HeaderMap,
    user_agent: String,
    timeout: Duration,
    connect_timeout: Duration,
    proxies: ProxySettings,
    resolver: Arc<dyn Resolve>,
}

/// Which certificates are trusted and shown.
#[derive(Clone)]
struct Tls {
    config: rustls::ClientConfig,
    /// How often they were replaced.
    version: u64,
}

/// Connections of about the same age.
struct Generation {
    http: reqwest::Client,
    expires: Instant,
    requests_left: u32,
    /// That of [`Tls`].
    tls_version: u64,
}

impl Transport {
    /// For the event URL of a HEC.
    pub(crate) fn new(
        settings: &Arc<Settings>,
        url: Url,
        address: Option<SocketAddr>,
    ) -> Result<Self, ConfigError> {
        let generation = settings.generation(&url, address).map_err(ConfigError::Http)?;
        Ok(Self { url, address, settings: Arc::clone(settings), generation: Mutex::new(generation) })
    }

    /// Where requests go; holds no secret.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The address they go to, if it is settled.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Posts a body and reads the reply.
    pub(crate) async fn post(&self, wire: &Wire, by: By) -> Posted {
        let mut request = by.put_on(self.http().post(self.url.clone()), &wire.bytes);
        if wire.encoding == Compression::Gzip {
            request = request.header(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let Replied { exchange, set_cookies, .. } = exchange(request).await;
        Posted { exchange, set_cookies }
    }

    /// Asks which requests of a channel are indexed.
    pub(crate) async fn poll(&self, ids: &[u64], by: By, timeout: Duration) -> Polled {
        let request = self.http().post(self.beside("ack")).timeout(timeout.min(self.settings.timeout));
        let Replied { exchange, set_cookies, body } = exchange(by.put_on(request, &question(ids))).await;
        Polled { exchange, set_cookies, statuses: statuses(&body) }
    }

    /// Asks how the HEC is.
    pub(crate) async fn health(&self, token: HeaderValue) -> Exchange {
        exchange(self.http().get(self.beside("health")).header(AUTHORIZATION, token)).await.exchange
    }

    /// The URL of another endpoint of the collector.
    fn beside(&self, name: &str) -> Url {
        self.url.join(name).unwrap_or_else(|_| self.url.clone())
    }

    /// The client of the present generation, with the present certificates. Requests under way keep
    /// the one before alive until they end; its idle connections go with it.
    fn http(&self) -> reqwest::Client {
        let mut generation = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        generation.requests_left = generation.requests_left.saturating_sub(1);
        let is_aged = Instant::now() >= generation.expires || generation.requests_left == 0;
        if is_aged || generation.tls_version != self.settings.tls().version {
            match self.settings.generation(&self.url, self.address) {
                Ok(fresh) => *generation = fresh,
                // The same settings worked before; old connections are better than none.
                Err(error) => tracing::warn!(
                    error = words(&error.without_url()),
                    "cannot replace aged connections to the HEC"
                ),
            }
        }
        generation.http.clone()
    }
}

impl Settings {
    /// For a site with these URLs.
    pub(crate) fn new(config: &ClientConfig, urls: &[Url]) -> Result<Self, ConfigError> {
        for (what, time) in [("HEC timeout", config.timeout), ("HEC connect timeout", config.connect_timeout)]
        {
            if time.is_zero() {
                return Err(ConfigError::Timeout { what });
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(APP_NAME, product_header("product", &config.product)?);
        headers.insert(APP_VERSION, product_header("version", &config.version)?);
        // Without TLS no roots are looked for: there may be none.
        let tls = if is_secure(urls) { config.tls.rustls()? } else { trusting_nobody()? };
        Ok(Self {
            tls: Mutex::new(Tls { config: tls, version: 0 }),
            headers,
            user_agent: format!("{}/{}", config.product, config.version),
            timeout: config.timeout,
            connect_timeout: config.connect_timeout,
            proxies: config.proxies.clone(),
            resolver: Arc::clone(&config.resolver),
        })
    }

    /// Whether connections to the URL go through a proxy.
    pub(crate) fn is_proxied(&self, url: &Url) -> bool {
        self.proxies.for_url(url).is_some()
    }

    /// Finds addresses.
    pub(crate) fn resolver(&self) -> &dyn Resolve {
        self.resolver.as_ref()
    }

    /// All endpoints make new connections with these certificates from now on; those under way end
    /// as they began.
    pub(crate) fn replace_tls(&self, config: rustls::ClientConfig) {
        let mut tls = self.tls();
        tls.config = config;
        tls.version += 1;
    }

    fn tls(&self) -> MutexGuard<'_, Tls> {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn generation(&self, url: &Url, address: Option<SocketAddr>) -> Result<Generation, reqwest::Error> {
        let Tls { config, version: tls_version } = self.tls().clone();
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .default_headers(self.headers.clone())
            .user_agent(&self.user_agent)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .timeout(self.timeout)
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_IDLE_MAX)
            .tcp_nodelay(true)
            .dns_resolver(ByName(Arc::clone(&self.resolver)));
        if let Some(proxy) = self.proxies.for_url(url) {
            builder = builder.proxy(reqwest::Proxy::all(proxy.url().clone())?);
        } else if let (Some(host), Some(address)) = (url.host_str(), address) {
            builder = builder.resolve(host, address);
        }
        let http = builder.build()?;
        // So that the connections of many instances do not all move at once.
        let age = CONNECTION_AGE.mul_f64(0.75 + 0.5 * fastrand::f64());
        Ok(Generation {
            http,
            expires: Instant::now() + age,
            requests_left: CONNECTION_REQUESTS,
            tls_version,
        })
    }
}

/// Whether TLS is used for any of these.
pub(crate) fn is_secure(urls: &[Url]) -> bool {
    urls.iter().any(|url| url.scheme() == "https")
}

impl By {
    fn put_on(self, request: reqwest::RequestBuilder, body: &Bytes) -> reqwest::RequestBuilder {
        let mut request = request.body(body.clone()).header(AUTHORIZATION, self.token);
        // Said even for an empty body: some gateways refuse a request that does not say.
        request = request.header(CONTENT_LENGTH, body.len());
        if let Some(channel) = self.channel {
            request = request.header(CHANNEL, channel.hyphenated().to_string());
        }
        match self.cookies {
            Some(cookies) => request.header(COOKIE, cookies),
            None => request,
        }
    }
}

async fn exchange(request: reqwest::RequestBuilder) -> Replied {
    match request.send().await {
        Ok(response) => read(response).await,
        Err(error) => {
            let error = error.without_url();
            let exchange = Exchange::Failed { failure: sort(&error), text: words(&error) };
            Replied { exchange, set_cookies: Vec::new(), body: Vec::new() }
        }
    }
}

/// TLS settings for a client that never uses them; without any, reqwest looks for roots itself.
fn trusting_nobody() -> Result<rustls::ClientConfig, TlsError> {
    let versions = rustls::ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Unusable { what: "TLS versions", path: "built in".into(), source })?;
    Ok(versions.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

async fn read(mut response: reqwest::Response) -> Replied {
    let status = response.status();
    let set_cookies = response.headers().get_all(SET_COOKIE).iter().take(SET_COOKIES_MAX).cloned().collect();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| backoff::retry_after(value, SystemTime::now()));
    let mut bytes = Vec::new();
    let body = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                append(&mut bytes, &chunk);
                if bytes.len() >= REPLY_BYTES_MAX {
                    break ReplyBody::parse(&bytes);
                }
            }
            Ok(None) => break ReplyBody::parse(&bytes),
            Err(_) => break ReplyBody::Cut,
        }
    };
    Replied { exchange: Exchange::Reply { status, retry_after, body }, set_cookies, body: bytes }
}

fn append(body: &mut Vec<u8>, chunk: &Bytes) {
    let room = REPLY_BYTES_MAX.saturating_sub(body.len());
    body.extend_from_slice(&chunk[..chunk.len().min(room)]);
}

#[cfg(test)]
mod tests;
