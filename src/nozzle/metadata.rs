//! What is known about apps: names, index, muting.
//!
//! Workers ask [`Metadata::lookup`] for each app an event names. It never waits: it answers from
//! memory, and what is not there is put in a queue of look-ups.
//!
//! ```text
//! worker ── lookup ──► table ── unknown ──► queue ──► look-ups (8 at a time) ─┐
//!    ▲                   ▲                                                    ├─► pacer ─► Cloud Controller
//!    └───── changed ─────┤ ◄──────────── answers ─────────────────────────────┤
//!                        └ ◄──────────── pages ── list of all apps ───────────┘
//! ```
//!
//! Invariants:
//! - one look-up per app at a time, however many events ask;
//! - at most [`Settings::app_limit`] entries, [`QUEUE_APPS_MAX`] queued look-ups, [`LOOK_UPS_MAX`]
//!   look-ups under way and [`Settings::rate_per_second`] calls per second;
//! - an answer once known is served while it is being renewed, and a failure never replaces it;
//! - a failure is never taken for absence: only Cloud Controller's own "not found" makes an app
//!   [`Lookup::Missing`];
//! - no index an app asks for is longer than 255 bytes or holds control characters.
//!
//! Not responsible for: parking events while a look-up is pending, what else an index may be called.

mod app;
mod cloud_controller;
mod engine;
mod pacer;
mod places;
mod stats;
mod table;
#[cfg(test)]
pub(crate) mod tests;

use std::future::Future;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::app::{App, AppNames, Fields};
use self::cloud_controller::CloudController;
use self::engine::Engine;
use self::places::Places;
pub use self::stats::{CallStats, ListStats, MetadataStats};
use self::table::Table;
use super::cf::Foundation;

/// Entries kept when `APP_LIMITS` does not say; about 1 KiB each.
const APPS_DEFAULT_MAX: usize = 200_000;
/// Apps that may wait for a look-up.
pub const QUEUE_APPS_MAX: usize = 10_000;
/// Look-ups under way at the same time.
pub const LOOK_UPS_MAX: usize = 8;
/// After this long a look-up that has not ended is answered with [`Lookup::Unavailable`]: its events
/// are not to be parked again and again.
pub const PENDING_MAX: Duration = Duration::from_secs(5);

/// What to look up, and for how long to believe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The names and ids that go into events.
    pub fields: Fields,
    /// Whether an app that does not exist is remembered for long (10 min; else 30 s).
    pub ignore_missing: bool,
    /// How long an app counts as missing; zero leaves it to `ignore_missing`.
    pub missing_ttl: Duration,
    /// How often all apps are listed again; zero for never.
    pub app_ttl: Duration,
    /// How often the names of orgs and spaces are read again; zero for never.
    pub org_space_ttl: Duration,
    /// The largest number of apps kept; `None` for 200,000.
    pub app_limit: Option<usize>,
    /// Cloud Controller calls per second, of all kinds together.
    pub rate_per_second: u32,
    /// Whether an app's index is read from its environment variable `SPLUNK_INDEX`.
    pub index_from_env: bool,
    /// Whether an app's index is read from its label `SPLUNK_INDEX`, which wins.
    pub index_from_label: bool,
}

/// What is known about an app at this moment.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The app, as far as it could be found out.
    Known(Arc<App>),
    /// There is nothing to know: the app does not exist, the id is not that of an app, or metadata is
    /// switched off.
    Missing,
    /// Not to be had for the time being: a look-up failed, takes long, or could not be queued. Deliver
    /// without it; later events ask again.
    Unavailable,
    /// A look-up is queued or under way; see [`Metadata::changed`].
    Pending,
}

/// The app metadata; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metadata {
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    table: Table,
    queue: async_channel::Sender<Arc<str>>,
    controller: CloudController,
    list: Mutex<ListStats>,
    /// See [`MetadataStats::indexes_refused`].
    indexes_refused: AtomicU64,
}

impl Shared {
    fn list(&self) -> MutexGuard<'_, ListStats> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Metadata {
    /// Metadata that knows nothing and asks for nothing.
    pub fn off() -> Self {
        Self { shared: None }
    }

    /// Sets up the cache and the task that fills it.
    ///
    /// The task makes no request before it is polled, runs until `cancel`, and ends then at once. It
    /// never fails: what goes wrong is logged, counted and tried again.
    pub fn start(
        settings: Settings,
        foundation: Foundation,
        cancel: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        Self::with_timing(settings, foundation, cancel, engine::Timing::default())
    }

    fn with_timing(
        settings: Settings,
        foundation: Foundation,
        cancel: CancellationToken,
        timing: engine::Timing,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let limit = settings.app_limit.unwrap_or(APPS_DEFAULT_MAX).max(1);
        let (sender, receiver) = async_channel::bounded(QUEUE_APPS_MAX);
        let shared = Arc::new(Shared {
            table: Table::new(settings.clone(), limit, timing.retry),
            queue: sender,
            controller: CloudController::new(foundation, settings.rate_per_second),
            list: Mutex::default(),
            indexes_refused: AtomicU64::new(0),
        });
        let places = Places::new(settings.fields, settings.org_space_ttl, timing.retry);
        let engine = Engine { shared: Arc::clone(&shared), settings, places, timing };
        let task = async move {
            // Dropping a look-up half way is harmless: nothing outlives the daemon.
            cancel.run_until_cancelled(engine.run(receiver)).await;
        };
        (Self { shared: Some(shared) }, task)
    }

    /// What is known about the app with this id. Never waits.
    pub fn lookup(&self, app_id: &str) -> Lookup {
        match &self.shared {
            Some(shared) => shared.table.lookup(app_id, Instant::now(), &shared.queue),
            None => Lookup::Missing,
        }
    }

    /// Whether nothing is known and never will be.
    pub fn is_off(&self) -> bool {
        self.shared.is_none()
    }

    /// A number that changes whenever an answer may have: what a worker remembered under another
    /// generation has to be asked again.
    pub fn generation(&self) -> u64 {
        self.shared.as_ref().map_or(0, |shared| shared.table.generation())
    }

    /// Waits until the generation is no longer `seen`; for ever when metadata is off.
    ///
    /// Cancel safe.
    pub async fn changed(&self, seen: u64) {
        match &self.shared {
            Some(shared) => shared.table.changed(seen).await,
            None => std::future::pending().await,
        }
    }

    /// Counts and states, for the status page.
    pub fn stats(&self) -> MetadataStats {
        self.shared.as_ref().map_or_else(MetadataStats::default, |shared| stats::collect(shared))
    }
}
