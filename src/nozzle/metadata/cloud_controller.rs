//! The calls to Cloud Controller's v3 API, and what is read from their answers.
//!
//! Every call waits for its permit, carries a token, and ends in one of the ways of [`CallError`].
//! A refused token is replaced within the call, and what failed at once is tried again, both a bounded
//! number of times; a 429 stops all calls for as long as it asks. While Cloud Controller counts as away
//! ([`Outage`]) only [`CloudController::probe`] is sent.
//!
//! Answers are read tolerantly: what is absent or null is empty, what is not needed is skipped.

mod answers;
mod count;
mod error;
mod reply;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use http::header::DATE;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use url::Url;

use self::answers::{AnyResource, Variables};
pub(super) use self::answers::{
    AppAnswer, AppResource, Dated, Included, OrgResource, Page, Read, SpaceResource,
};
pub(super) use self::count::Call;
use self::count::{CALL_KINDS, UnderWay};
pub(super) use self::error::CallError;
use self::reply::read_aside;
use super::moment::Moment;
use super::outage::Outage;
use super::pacer::Pacer;
use super::sparse::Sparse;
use crate::clock::millis;
use crate::nozzle::cf::http::{Reply, shown};
use crate::nozzle::cf::root::below;
use crate::nozzle::cf::{CfError, Foundation, retry_after};

/// A page of 500 apps with their spaces and orgs is about 1 MiB.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Tries of one call: after a refused token, a failure, or a pause the peer asked for.
const ATTEMPTS: u32 = 3;
/// After a 429 that does not say.
const THROTTLED_PAUSE: Duration = Duration::from_secs(5);
/// A longer pause is not believed; asking once more is cheap.
const THROTTLED_PAUSE_MAX: Duration = Duration::from_secs(300);

/// What went wrong last, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) error: String,
    pub(super) next_step: &'static str,
}

/// Cloud Controller, with everything that bounds its use.
#[derive(Debug)]
pub(super) struct CloudController {
    foundation: Foundation,
    pacer: Pacer,
    outage: Outage,
    /// The shortest pause before a call is tried again.
    retry_pause: Duration,
    calls: [AtomicU64; CALL_KINDS],
    under_way: AtomicU64,
    failures: AtomicU64,
    throttled: AtomicU64,
    throttled_log: Sparse,
    /// The last call that failed.
    fault: Mutex<Option<Fault>>,
    /// The date of the last answer.
    date: Mutex<Option<Moment>>,
    /// Whether `include` has been refused; then it is not tried again.
    without_include: AtomicBool,
}

impl CloudController {
    pub(super) fn new(foundation: Foundation, calls_per_second: u32, retry_pause: Duration) -> Self {
        Self {
            foundation,
            pacer: Pacer::new(calls_per_second),
            outage: Outage::new(),
            retry_pause,
            calls: Default::default(),
            under_way: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            throttled_log: Sparse::default(),
            fault: Mutex::default(),
            date: Mutex::default(),
            without_include: AtomicBool::new(false),
        }
    }

    /// Whether Cloud Controller can be asked at all.
    pub(super) fn outage(&self) -> &Outage {
        &self.outage
    }

    /// One app, with its space and org if `places` and if the server can.
    pub(super) async fn app(&self, guid: &str, places: bool) -> Result<AppAnswer, CallError> {
        let url = self.url(Call::App, &["apps", guid]).await?;
        self.including(Call::App, url, places).await
    }

    /// A few apps by their guids; those that do not exist are left out.
    pub(super) async fn batch(
        &self,
        guids: &[Arc<str>],
        places: bool,
    ) -> Result<Page<AppResource>, CallError> {
        let mut url = self.url(Call::Batch, &["apps"]).await?;
        let mut joined = String::new();
        for guid in guids {
            let _ = write!(joined, "{}{guid}", if joined.is_empty() { "" } else { "," });
        }
        url.query_pairs_mut().append_pair("guids", &joined).append_pair("per_page", &guids.len().to_string());
        self.including(Call::Batch, url, places).await
    }

    /// A page of all apps.
    pub(super) async fn apps(
        &self,
        page: u64,
        per_page: u64,
        places: bool,
    ) -> Result<Page<AppResource>, CallError> {
        let mut url = self.url(Call::List, &["apps"]).await?;
        // New ones come last, so that a page read before stays what it was.
        url.query_pairs_mut()
            .append_pair("order_by", "created_at")
            .append_pair("page", &page.to_string())
            .append_pair("per_page", &per_page.to_string());
        self.including(Call::List, url, places).await
    }

    /// What of a kind was changed since, the earliest change first.
    pub(super) async fn changed<T: DeserializeOwned + Send + 'static>(
        &self,
        kind: &'static str,
        since: Moment,
        page: u64,
        per_page: u64,
        places: bool,
    ) -> Result<Page<T>, CallError> {
        let mut url = self.url(Call::Changes, &[kind]).await?;
        url.query_pairs_mut()
            .append_pair("updated_ats[gte]", &since.to_string())
            .append_pair("order_by", "updated_at")
            .append_pair("page", &page.to_string())
            .append_pair("per_page", &per_page.to_string());
        self.including(Call::Changes, url, places).await
    }

    /// When anything of a kind was changed last; `None` if there is nothing.
    pub(super) async fn last_change(&self, kind: &'static str) -> Result<Option<Moment>, CallError> {
        let mut url = self.url(Call::Changes, &[kind]).await?;
        url.query_pairs_mut().append_pair("order_by", "-updated_at").append_pair("per_page", "1");
        let page: Page<AnyResource> = self.get(Call::Changes, url).await?;
        Ok(page.resources.first().and_then(Dated::updated_at))
    }

    /// What an app's environment says.
    pub(super) async fn environment(&self, guid: &str) -> Result<Read, CallError> {
        let url = self.url(Call::Environment, &["apps", guid, "environment_variables"]).await?;
        let answer: Variables = self.get(Call::Environment, url).await?;
        Ok(answer.read())
    }

    pub(super) async fn space(&self, guid: &str) -> Result<SpaceResource, CallError> {
        let url = self.url(Call::Space, &["spaces", guid]).await?;
        self.get(Call::Space, url).await
    }

    pub(super) async fn organization(&self, guid: &str) -> Result<OrgResource, CallError> {
        let url = self.url(Call::Organization, &["organizations", guid]).await?;
        self.get(Call::Organization, url).await
    }

    /// Finds out whether Cloud Controller is back; what it answers does not matter.
    pub(super) async fn probe(&self) -> Result<(), CallError> {
        let probe = async {
            let mut url = self.url(Call::Probe, &["apps"]).await?;
            url.query_pairs_mut().append_pair("per_page", "1");
            self.get::<Page<AnyResource>>(Call::Probe, url).await
        };
        probe.await.map(drop)
    }

    /// How often this kind of call has been made.
    pub(super) fn calls(&self, call: Call) -> u64 {
        self.calls[call as usize].load(Ordering::Relaxed)
    }

    /// Requests under way at this moment, those for a token included.
    pub(super) fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Calls that ended without a usable answer, absence of an app excepted.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Calls answered with 429.
    pub(super) fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }

    /// The date of the last answer, if it had one.
    pub(super) fn date(&self) -> Option<Moment> {
        *self.date.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last call that failed, whether or not one was answered since.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn url(&self, call: Call, segments: &[&str]) -> Result<Url, CallError> {
        if let Some(root) = self.foundation.known_root() {
            return Ok(below(&root.cloud_controller, segments));
        }
        // While the root cannot be read, asking for it is a call like any other.
        self.permit(call).await?;
        let _under_way = UnderWay::new(&self.under_way);
        match self.foundation.root().await {
            Ok(root) => Ok(below(&root.cloud_controller, segments)),
            Err(error) => {
                let error = CfError::from(error).into();
                self.failures.fetch_add(1, Ordering::Relaxed);
                self.no_answer(&error);
                Err(error)
            }
        }
    }

    /// Asks for spaces and orgs along with apps, where the server can.
    async fn including<T: DeserializeOwned + Send + 'static>(
        &self,
        call: Call,
        url: Url,
        places: bool,
    ) -> Result<T, CallError> {
        if places && !self.without_include.load(Ordering::Relaxed) {
            let mut with_include = url.clone();
            with_include.query_pairs_mut().append_pair("include", "space.organization");
            match self.get(call, with_include).await {
                Err(CallError::Refused { status: 400 | 422, reason, .. }) => {
                    // It may have been something else that was refused: then this is, too.
                    let plain = self.get(call, url).await?;
                    tracing::info!(%reason, "the api does not include spaces and orgs with apps");
                    self.without_include.store(true, Ordering::Relaxed);
                    return Ok(plain);
                }
                result => return result,
            }
        }
        self.get(call, url).await
    }

    /// Waits for the turn of a call.
    async fn permit(&self, call: Call) -> Result<(), CallError> {
        self.refuse_while_away(call)?;
        self.pacer.permit(call.purpose()).await;
        // The wait may have been long.
        self.refuse_while_away(call)
    }

    fn refuse_while_away(&self, call: Call) -> Result<(), CallError> {
        if self.outage.is_away() && call != Call::Probe { Err(CallError::Away) } else { Ok(()) }
    }

    async fn get<T: DeserializeOwned + Send + 'static>(&self, call: Call, url: Url) -> Result<T, CallError> {
        let mut attempt = 1;
        loop {
            let (error, again) = match self.attempt(call, &url).await {
                Ok(Reply { status: StatusCode::TOO_MANY_REQUESTS, headers, .. }) => {
                    self.throttled.fetch_add(1, Ordering::Relaxed);
                    let pause = retry_after(&headers).unwrap_or(THROTTLED_PAUSE).min(THROTTLED_PAUSE_MAX);
                    self.pacer.hold(pause);
                    self.outage.held(pause);
                    self.outage.answered();
                    let error = CallError::Failed { url: shown(&url), status: 429 };
                    self.throttle(&error, pause);
                    (error, Some(Duration::ZERO))
                }
                // The token will be replaced.
                Ok(Reply { status: StatusCode::UNAUTHORIZED, .. }) => {
                    let error = CallError::Failed { url: shown(&url), status: 401 };
                    self.no_answer(&error);
                    (error, Some(Duration::ZERO))
                }
                Ok(reply) => match read_aside(&url, reply).await {
                    Ok(answer) => {
                        self.outage.answered();
                        return Ok(answer);
                    }
                    // Cloud Controller itself, and nothing in between, has said so.
                    Err(error) if error.is_lasting() => {
                        if !matches!(error, CallError::NotFound { .. }) {
                            self.note(&error);
                        }
                        self.outage.answered();
                        (error, None)
                    }
                    Err(error) => {
                        self.no_answer(&error);
                        (error, Some(self.retry_pause * attempt))
                    }
                },
                Err(CallError::Away) => (CallError::Away, None),
                Err(error) => {
                    self.no_answer(&error);
                    let again = error.is_brief().then(|| self.retry_pause * attempt);
                    (error, again)
                }
            };
            let Some(pause) = again.filter(|_| attempt < ATTEMPTS && call != Call::Probe) else {
                let counts = !matches!(error, CallError::NotFound { .. } | CallError::Away);
                self.failures.fetch_add(u64::from(counts), Ordering::Relaxed);
                return Err(error);
            };
            attempt += 1;
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        }
    }

    /// The error is none that the API itself has answered with.
    fn no_answer(&self, error: &CallError) {
        self.note(error);
        self.outage.failed();
    }

    fn note(&self, error: &CallError) {
        let fault = Fault { error: error.to_string(), next_step: error.next_step() };
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    fn throttle(&self, error: &CallError, pause: Duration) {
        self.note(error);
        if let Some(unlogged) = self.throttled_log.turn(Instant::now()) {
            tracing::warn!(
                %error, pause_ms = millis(pause), unlogged,
                next_step = error.next_step(),
                "the cloud controller asks for a pause: nothing is looked up meanwhile"
            );
        }
    }

    /// One try: a reply of any status.
    async fn attempt(&self, call: Call, url: &Url) -> Result<Reply, CallError> {
        self.permit(call).await?;
        let _under_way = UnderWay::new(&self.under_way);
        let tokens = self.foundation.tokens().await.map_err(CfError::from)?;
        let token = tokens.token().await.map_err(CfError::from)?;
        self.calls[call as usize].fetch_add(1, Ordering::Relaxed);
        let reply = self.foundation.http().get(url, Some(token.header()), BODY_BYTES_MAX).await;
        let reply = reply.map_err(CfError::from)?;
        let date = reply.headers.get(DATE).and_then(|date| Moment::of_http_date(date.to_str().ok()?));
        *self.date.lock().unwrap_or_else(PoisonError::into_inner) = date;
        if reply.status == StatusCode::UNAUTHORIZED {
            tokens.invalidate(&token);
        }
        Ok(reply)
    }
}
