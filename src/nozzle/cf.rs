//! The Cloud Foundry API: where things are, and the token that opens them.
//!
//! [`Foundation`] is the one handle the rest of the nozzle holds. It asks for nothing when it is
//! made: the API root is read on first use and kept, tokens are fetched and renewed as needed.
//! So the daemon starts, and receives, while the API is away.
//!
//! Not responsible for: retrying a discovery that failed (each caller has its own pace), the
//! firehose connections themselves, app metadata.

pub(crate) mod backoff;
#[cfg(test)]
pub(crate) mod fake;
pub mod http;
pub mod root;
pub mod token;

use std::sync::Arc;

use ::http::HeaderMap;
use tokio::sync::OnceCell;
use url::Url;

use self::http::{Http, HttpError};
use self::root::{Root, RootError};
use self::token::{Credentials, TokenError, TokenSource};

/// Why the foundation could not be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CfError {
    /// The API root was not answered as expected.
    #[error(transparent)]
    Root(#[from] RootError),
    /// No token was to be had.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The API gave no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// One Cloud Foundry foundation, reached through its API endpoint. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Foundation {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: Http,
    api: Url,
    credentials: Credentials,
    found: OnceCell<Found>,
}

/// What is kept once the root has been read.
#[derive(Debug)]
struct Found {
    root: Root,
    tokens: TokenSource,
}

impl Foundation {
    /// A handle on the foundation whose API endpoint is `api`; makes no request.
    pub fn new(http: Http, api: Url, credentials: Credentials) -> Self {
        Self { inner: Arc::new(Inner { http, api, credentials, found: OnceCell::new() }) }
    }

    /// Where the foundation's parts are; read from the API root once, then kept.
    ///
    /// Concurrent callers share one request at a time. Cancel safe.
    ///
    /// # Errors
    /// The root cannot be reached or is not one; the next call asks again.
    pub async fn root(&self) -> Result<&Root, RootError> {
        Ok(&self.found().await?.root)
    }

    /// The root if it has been read; never waits.
    pub fn known_root(&self) -> Option<&Root> {
        Some(&self.inner.found.get()?.root)
    }

    /// The source of access tokens.
    ///
    /// # Errors
    /// As [`Foundation::root`], which says where the UAA is.
    pub async fn tokens(&self) -> Result<&TokenSource, RootError> {
        Ok(&self.found().await?.tokens)
    }

    /// The HTTP client for everything behind the API's TLS settings.
    pub fn http(&self) -> &Http {
        &self.inner.http
    }

    /// The API endpoint as configured.
    pub fn api(&self) -> &Url {
        &self.inner.api
    }

    async fn found(&self) -> Result<&Found, RootError> {
        let Inner { http, api, credentials, found } = &*self.inner;
        found
            .get_or_try_init(|| async {
                let root = Root::discover(http, api).await?;
                let tokens = TokenSource::new(http.clone(), &root.uaa, credentials.clone());
                tracing::info!(api = %http::shown(api), uaa = %http::shown(&root.uaa), "found the foundation");
                Ok(Found { root, tokens })
            })
            .await
    }
}

/// The moment a `Retry-After` header names, as a pause from now.
///
/// Seconds, an HTTP date, or, as Cloud Controller's own rate limiter writes it, seconds since the
/// Unix epoch. `None` when the header is absent or says nothing usable.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<std::time::Duration> {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    /// No pause is this long (31 years); it can only be a date.
    const EPOCH_MIN: u64 = 1_000_000_000;
    let text = headers.get(::http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    let until = match text.parse::<u64>() {
        Ok(seconds) if seconds < EPOCH_MIN => return Some(Duration::from_secs(seconds)),
        Ok(epoch) => UNIX_EPOCH.checked_add(Duration::from_secs(epoch))?,
        Err(_) => httpdate::parse_http_date(text).ok()?,
    };
    Some(until.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        let minute = Duration::from_secs(60);
        let later = SystemTime::now() + minute;
        let epoch = later.duration_since(UNIX_EPOCH).unwrap().as_secs().to_string();
        let past = "Sun, 06 Nov 1994 08:49:37 GMT".to_owned();
        let cases = [
            ("7".to_owned(), Some((7, 7))),
            (" 0 ".to_owned(), Some((0, 0))),
            (epoch, Some((50, 60))),
            (httpdate::fmt_http_date(later), Some((50, 60))),
            (past, Some((0, 0))),
            ("soon".to_owned(), None),
            ("-1".to_owned(), None),
            (u64::MAX.to_string(), None),
        ];
        for (text, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(::http::header::RETRY_AFTER, text.parse().unwrap());
            let seconds = retry_after(&headers).map(|pause| pause.as_secs());
            match expected {
                Some((low, high)) => {
                    assert!(seconds.is_some_and(|n| (low..=high).contains(&n)), "{text}: {seconds:?}");
                }
                None => assert_eq!(seconds, None, "{text}"),
            }
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
