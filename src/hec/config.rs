//! What a [`Client`](super::Client) needs to know, and whether it makes sense.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::ack::AckConfig;
use super::backoff::RetryLimit;
use super::classify::ResponseMode;
use super::compress::Compression;
use super::pool::resolve::{Resolve, SystemResolver};
use super::pool::{FAILOVER_AFTER, Site};
use super::token::TokenSource;
use crate::proxy::ProxySettings;
use crate::tls::{ClientTls, TlsError};

/// Where events go, below the base URL.
const EVENT_PATH: [&str; 3] = ["services", "collector", "event"];

/// Settings of a client.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The HEC's base URLs, such as `https://splunk.example.com:8088`; the path of the collector
    /// or of its event endpoint may follow. Every address behind each name gets its share.
    pub urls: Vec<Url>,
    /// The HEC token, the same for all URLs.
    pub token: TokenSource,
    /// Where events go whose index is refused; `None`: nowhere, they are rejected.
    pub fallback_index: Option<String>,
    /// Another HEC that gets the events while the first takes none.
    pub failover: Option<FailoverConfig>,
    /// For how long the first must take none before that.
    pub failover_after: Duration,
    /// Which of the URLs are reached through a proxy.
    pub proxies: ProxySettings,
    /// Finds the addresses behind names.
    pub resolver: Arc<dyn Resolve>,
    /// Trust, and a client certificate where the server asks for one.
    pub tls: ClientTls,
    /// Whether bodies are compressed.
    pub compression: Compression,
    /// The longest a request may take, from connecting to the last byte of the reply.
    pub timeout: Duration,
    /// The longest connecting may take, TLS included.
    pub connect_timeout: Duration,
    /// What counts as success.
    pub response: ResponseMode,
    /// When to give up on a batch.
    pub retries: RetryLimit,
    /// Whether indexers have to confirm what the HEC took.
    pub acks: AckConfig,
    /// Who sends: the name in `User-Agent` and `__splunk_app_name`.
    pub product: String,
    /// Its version.
    pub version: String,
}

/// A second HEC.
#[derive(Clone, Debug)]
pub struct FailoverConfig {
    /// Its URLs.
    pub urls: Vec<Url>,
    /// Its token.
    pub token: TokenSource,
}

impl ClientConfig {
    /// The defaults: one URL, no proxy, gzip, 30 s for a request, 10 s to connect, strict, unlimited
    /// retries, no acknowledgement.
    pub fn new(url: Url, token: TokenSource) -> Self {
        Self::with_urls(vec![url], token)
    }

    /// The same, with several URLs.
    pub fn with_urls(urls: Vec<Url>, token: TokenSource) -> Self {
        Self {
            urls,
            token,
            fallback_index: None,
            failover: None,
            failover_after: FAILOVER_AFTER,
            proxies: ProxySettings::default(),
            resolver: Arc::new(SystemResolver),
            tls: ClientTls::default(),
            compression: Compression::default(),
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            response: ResponseMode::default(),
            retries: RetryLimit::default(),
            acks: AckConfig::default(),
            product: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// Why a client cannot be made. Names no secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A site without a URL.
    #[error("no url for the {} HEC, expected at least one, as in https://splunk.example.com:8088", site.label())]
    NoUrl {
        /// The site.
        site: Site,
    },
    /// Neither http nor https.
    #[error(
        "HEC url has the scheme {scheme:?}, expected http or https, as in https://splunk.example.com:8088"
    )]
    Scheme {
        /// What it has.
        scheme: String,
    },
    /// User name or password in the URL.
    #[error(
        "HEC url for host {host:?} holds a user name or password, expected only the token setting to hold a secret"
    )]
    Credentials {
        /// The host.
        host: String,
    },
    /// Parameters or a fragment, which could hold a token.
    #[error("HEC url for host {host:?} holds a query or fragment, expected none: metadata is in each event")]
    Query {
        /// The host.
        host: String,
    },
    /// The path of another endpoint of HEC.
    #[error(
        "HEC url has the path {path:?}, expected the base url or one that ends in /services/collector/event"
    )]
    Path {
        /// What it has.
        path: String,
    },
    /// Empty, or with characters a header cannot hold.
    #[error(
        "HEC token of {length} characters is not usable, expected visible ASCII characters, usually a GUID"
    )]
    Token {
        /// How long it is.
        length: usize,
    },
    /// The file of the token cannot be read.
    #[error("cannot read the HEC token from {path}")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Not usable in a header.
    #[error("{what} {value:?} is not usable in a header, expected visible ASCII characters")]
    Product {
        /// Name or version.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// No time at all.
    #[error("{what} is 0 s, expected more")]
    Timeout {
        /// Which one.
        what: &'static str,
    },
    /// Certificates or keys.
    #[error("TLS for the HEC cannot be set up")]
    Tls(#[from] TlsError),
    /// The HTTP library refuses.
    #[error("HTTP client for the HEC cannot be set up")]
    Http(#[source] reqwest::Error),
}

/// The URL events are posted to.
pub(crate) fn event_url(base: &Url) -> Result<Url, ConfigError> {
    let host = || base.host_str().unwrap_or_default().to_owned();
    if !matches!(base.scheme(), "http" | "https") {
        return Err(ConfigError::Scheme { scheme: base.scheme().to_owned() });
    }
    if !base.username().is_empty() || base.password().is_some() {
        return Err(ConfigError::Credentials { host: host() });
    }
    if base.query().is_some() || base.fragment().is_some() {
        return Err(ConfigError::Query { host: host() });
    }
    let mut segments: Vec<&str> = base.path().split('/').filter(|segment| !segment.is_empty()).collect();
    let collector = segments.windows(2).position(|pair| pair == &EVENT_PATH[..2]);
    match collector.map(|at| (at, &segments[at + 2..])) {
        None => {}
        Some((at, [] | ["event"] | ["event", "1.0"])) => segments.truncate(at),
        Some(_) => return Err(ConfigError::Path { path: base.path().to_owned() }),
    }
    segments.extend(EVENT_PATH);
    let mut url = base.clone();
    url.set_path(&segments.join("/"));
    Ok(url)
}

/// The value of `Authorization`, marked so that no debug output shows it.
pub(crate) fn authorization(token: &SecretString) -> Result<HeaderValue, ConfigError> {
    let secret = token.expose_secret();
    let invalid = || ConfigError::Token { length: secret.chars().count() };
    if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid());
    }
    let mut value = HeaderValue::from_str(&format!("Splunk {secret}")).map_err(|_| invalid())?;
    value.set_sensitive(true);
    Ok(value)
}

/// A header value of the sender's name or version.
pub(crate) fn product_header(what: &'static str, value: &str) -> Result<HeaderValue, ConfigError> {
    let invalid = || ConfigError::Product { what, value: value.to_owned() };
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid());
    }
    HeaderValue::from_str(value).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_url_is_found_from_any_usual_form() {
        let cases = [
            ("https://s:8088", "https://s:8088/services/collector/event"),
            ("https://s:8088/", "https://s:8088/services/collector/event"),
            ("https://s:8088/services/collector", "https://s:8088/services/collector/event"),
            ("https://s:8088/services/collector/", "https://s:8088/services/collector/event"),
            ("https://s:8088/services/collector/event", "https://s:8088/services/collector/event"),
            ("https://s:8088/services/collector/event/1.0", "https://s:8088/services/collector/event"),
            ("http://s/hec//", "http://s/hec/services/collector/event"),
            ("http://s/a/services/collector", "http://s/a/services/collector/event"),
            ("http://[::1]:8088", "http://[::1]:8088/services/collector/event"),
        ];
        for (base, expected) in cases {
            assert_eq!(event_url(&Url::parse(base).unwrap()).unwrap().as_str(), expected, "{base}");
        }
    }

    #[test]
    fn urls_that_cannot_be_meant_are_refused_without_naming_a_secret() {
        let cases = [
            ("ftp://s", "scheme"),
            ("splunk:8088", "scheme"),
            ("https://user:s3cret@s:8088", "user name"),
            ("https://s3cret@s:8088", "user name"),
            ("https://s:8088?token=s3cret", "query"),
            ("https://s:8088/#s3cret", "fragment"),
            ("https://s:8088/services/collector/raw", "path"),
            ("https://s:8088/services/collector/event/2.0", "path"),
        ];
        for (base, named) in cases {
            let error = event_url(&Url::parse(base).unwrap()).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("expected"), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn tokens_and_names_must_fit_a_header() {
        for bad in ["", "with space", "line\nbreak", "naïve"] {
            let error = authorization(&SecretString::from(bad)).unwrap_err().to_string();
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
            assert!(product_header("product", bad).is_err());
        }
        let value = authorization(&SecretString::from("12345678-aaaa")).unwrap();
        assert_eq!(value.as_bytes(), b"Splunk 12345678-aaaa");
        assert!(value.is_sensitive());
    }
}
