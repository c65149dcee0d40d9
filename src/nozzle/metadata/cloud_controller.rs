//! The calls to Cloud Controller's v3 API, and what is read from their answers.
//!
//! Every call waits for its permit, carries a token, and ends in one of the ways of [`CallError`].
//! A refused token is replaced once per call; a 429 stops all calls for as long as it asks.
//!
//! Answers are read tolerantly: what is absent or null is empty, what is not needed is skipped.

mod answers;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use serde::de::DeserializeOwned;
use url::Url;

pub(super) use self::answers::{AppAnswer, AppPage, Included, OrgResource, SpaceResource};
use self::answers::{Environment, Errors};
use super::pacer::{Pacer, Purpose};
use crate::nozzle::cf::http::{Reply, shown};
use crate::nozzle::cf::root::below;
use crate::nozzle::cf::{CfError, Foundation, retry_after};

/// A page of 500 apps with their spaces and orgs is about 2 MiB.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Tries of one call: after a refused token, or after a pause the peer asked for.
const ATTEMPTS: u32 = 3;
/// After a 429 that does not say.
const THROTTLED_PAUSE: Duration = Duration::from_secs(5);
/// A longer pause is not believed; asking once more is cheap.
const THROTTLED_PAUSE_MAX: Duration = Duration::from_secs(300);
/// Cloud Controller's error code for "no such resource".
const RESOURCE_NOT_FOUND: i64 = 10010;

/// The kinds of calls, as counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    App,
    List,
    Environment,
    Space,
    Organization,
}

const CALL_KINDS: usize = 5;

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// Cloud Controller itself says that there is no such thing.
    #[error("{url}: not found")]
    NotFound { url: String },
    /// The request, or the client's right to make it, is refused: soon again is no use.
    #[error("{url} answered {status}: {reason}")]
    Refused { url: String, status: u16, reason: String },
    /// Anything that may pass: 5xx, a broken answer.
    #[error("{url} answered {status}, expected 200 and JSON")]
    Failed { url: String, status: u16 },
    /// No answer, or no token to ask with.
    #[error(transparent)]
    Foundation(#[from] CfError),
}

impl CallError {
    /// Whether it will take more than a moment until asking again can help.
    pub(super) fn is_lasting(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Refused { .. })
    }
}

/// Cloud Controller, with everything that bounds its use.
#[derive(Debug)]
pub(super) struct CloudController {
    foundation: Foundation,
    pacer: Pacer,
    calls: [AtomicU64; CALL_KINDS],
    failures: AtomicU64,
    throttled: AtomicU64,
    /// Whether `include` has been refused; then it is not tried again.
    without_include: AtomicBool,
}

impl CloudController {
    pub(super) fn new(foundation: Foundation, calls_per_second: u32) -> Self {
        Self {
            foundation,
            pacer: Pacer::new(calls_per_second),
            calls: Default::default(),
            failures: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            without_include: AtomicBool::new(false),
        }
    }

    /// One app, with its space and org if `places` and if the server can.
    pub(super) async fn app(&self, guid: &str, places: bool) -> Result<AppAnswer, CallError> {
        let url = self.url(Purpose::Event, &["apps", guid]).await?;
        self.including(Call::App, url, places).await
    }

    /// The first page of all apps, or the one a previous page leads to.
    pub(super) async fn apps(&self, next: Option<&Url>, places: bool) -> Result<AppPage, CallError> {
        if let Some(url) = next {
            return self.get(Call::List, url.clone(), Purpose::List).await;
        }
        let mut url = self.url(Purpose::List, &["apps"]).await?;
        url.query_pairs_mut().append_pair("per_page", "500");
        self.including(Call::List, url, places).await
    }

    /// The link to the next page, unless it leads away from where this page came from.
    pub(super) async fn next_page(&self, href: &str) -> Result<Option<Url>, CallError> {
        let base = self.url(Purpose::List, &[]).await?;
        Ok(base.join(href).ok().filter(|url| url.origin() == base.origin()))
    }

    /// The value of an app's environment variable `SPLUNK_INDEX`, if it has one.
    pub(super) async fn env_index(&self, guid: &str) -> Result<Option<String>, CallError> {
        let url = self.url(Purpose::Event, &["apps", guid, "environment_variables"]).await?;
        let answer: Environment = self.get(Call::Environment, url, Purpose::Event).await?;
        Ok(answer.index())
    }

    pub(super) async fn space(&self, guid: &str) -> Result<SpaceResource, CallError> {
        let url = self.url(Purpose::Event, &["spaces", guid]).await?;
        self.get(Call::Space, url, Purpose::Event).await
    }

    pub(super) async fn organization(&self, guid: &str) -> Result<OrgResource, CallError> {
        let url = self.url(Purpose::Event, &["organizations", guid]).await?;
        self.get(Call::Organization, url, Purpose::Event).await
    }

    /// How often this kind of call has been made.
    pub(super) fn calls(&self, call: Call) -> u64 {
        self.calls[call as usize].load(Ordering::Relaxed)
    }

    /// Calls that ended without a usable answer, absence of an app excepted.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Calls answered with 429.
    pub(super) fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }

    async fn url(&self, purpose: Purpose, segments: &[&str]) -> Result<Url, CallError> {
        if let Some(root) = self.foundation.known_root() {
            return Ok(below(&root.cloud_controller, segments));
        }
        // While the root cannot be read, asking for it is a call like any other.
        self.pacer.permit(purpose).await;
        match self.foundation.root().await {
            Ok(root) => Ok(below(&root.cloud_controller, segments)),
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                Err(CfError::from(error).into())
            }
        }
    }

    /// Asks for spaces and orgs along with apps, where the server can.
    async fn including<T: DeserializeOwned>(
        &self,
        call: Call,
        url: Url,
        places: bool,
    ) -> Result<T, CallError> {
        let purpose = if call == Call::List { Purpose::List } else { Purpose::Event };
        if places && !self.without_include.load(Ordering::Relaxed) {
            let mut with_include = url.clone();
            with_include.query_pairs_mut().append_pair("include", "space.organization");
            match self.get(call, with_include, purpose).await {
                Err(CallError::Refused { status: 400 | 422, reason, .. }) => {
                    tracing::info!(%reason, "the api does not include spaces and orgs with apps");
                    self.without_include.store(true, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        self.get(call, url, purpose).await
    }

    async fn get<T: DeserializeOwned>(&self, call: Call, url: Url, purpose: Purpose) -> Result<T, CallError> {
        let result = self.attempts(call, &url, purpose).await.and_then(|reply| read(&url, &reply));
        match &result {
            Ok(_) | Err(CallError::NotFound { .. }) => {}
            Err(_) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        result
    }

    async fn attempts(&self, call: Call, url: &Url, purpose: Purpose) -> Result<Reply, CallError> {
        let mut attempt = 1;
        loop {
            self.pacer.permit(purpose).await;
            let tokens = self.foundation.tokens().await.map_err(CfError::from)?;
            let token = tokens.token().await.map_err(CfError::from)?;
            self.calls[call as usize].fetch_add(1, Ordering::Relaxed);
            let reply = self.foundation.http().get(url, Some(token.header()), BODY_BYTES_MAX).await;
            let reply = reply.map_err(CfError::from)?;
            match reply.status {
                StatusCode::UNAUTHORIZED => tokens.invalidate(&token),
                StatusCode::TOO_MANY_REQUESTS => {
                    self.throttled.fetch_add(1, Ordering::Relaxed);
                    let pause = retry_after(&reply.headers).unwrap_or(THROTTLED_PAUSE);
                    self.pacer.hold(pause.min(THROTTLED_PAUSE_MAX));
                }
                _ => return Ok(reply),
            }
            if attempt == ATTEMPTS {
                return Ok(reply);
            }
            attempt += 1;
        }
    }
}

fn read<T: DeserializeOwned>(url: &Url, reply: &Reply) -> Result<T, CallError> {
    let (shown, status) = (shown(url), reply.status.as_u16());
    let failed = |url| CallError::Failed { url, status };
    match status {
        200 => serde_json::from_slice(&reply.body).map_err(|_| failed(shown)),
        401 | 429 => Err(failed(shown)),
        400..500 => {
            let errors: Errors = serde_json::from_slice(&reply.body).unwrap_or_default();
            // A 404 without the code comes from a router or proxy: the API is away, not the app.
            match (status, errors.has(RESOURCE_NOT_FOUND)) {
                (404, true) => Err(CallError::NotFound { url: shown }),
                (404, false) => Err(failed(shown)),
                _ => Err(CallError::Refused { url: shown, status, reason: errors.reason() }),
            }
        }
        _ => Err(failed(shown)),
    }
}
