//! What is known about apps: names, index, muting.
//!
//! Workers ask [`Metadata::lookup`] for each app an event names. It never waits: it answers from
//! memory, and what is not there is put in a queue of look-ups.
//!
//! ```text
//! worker ── lookup ──► table ── unknown ──► queues ──► look-ups, many apps a call ─┐
//!    ▲                 ▲ ▲  │                     └──► environments, one by one ───┼─► pacer ─► Cloud Controller
//!    └──── changed ────┘ │  └─ what is new ─► file                                 │
//!                        └ ◄── answers ◄── all apps, page by page; then what has changed
//! ```
//!
//! Invariants:
//! - one look-up per app at a time, however many events ask;
//! - at most [`Settings::app_limit`] entries, [`QUEUE_APPS_MAX`] queued look-ups of each kind,
//!   [`NAME_LOOK_UPS_MAX`] and [`ENVIRONMENT_READS_MAX`] of them under way, and
//!   [`Settings::rate_per_second`] calls per second;
//! - an answer once known is served while it is being renewed; a failure never replaces it, nor does
//!   the end of the app: its last lines still get its names;
//! - a failure is never taken for absence: only Cloud Controller's own "not found", or a complete answer
//!   without it, makes an app [`Lookup::Missing`];
//! - while the Cloud Controller counts as away nobody is told to wait;
//! - no index an app asks for is longer than 255 bytes or holds control characters.
//!
//! Not responsible for: parking events while a look-up is pending, what else an index may be called.

mod app;
mod cloud_controller;
mod engine;
mod moment;
mod outage;
mod pacer;
mod places;
mod record;
mod sparse;
mod stats;
mod store;
mod table;
#[cfg(test)]
pub(crate) mod tests;

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::app::{App, AppNames, Fields};
use self::cloud_controller::CloudController;
use self::engine::{Asked, Engine};
pub use self::stats::{CallStats, ChangeStats, FileStats, ListStats, MetadataStats};
use self::store::Store;
use self::table::{Queues, Table};
use super::cf::Foundation;

/// Entries kept when `APP_LIMITS` does not say.
const APPS_DEFAULT_MAX: usize = 100_000;
/// Apps that may wait for a look-up of their names, and as many for one of their environment.
pub const QUEUE_APPS_MAX: usize = 10_000;
/// Look-ups of names under way at the same time.
pub const NAME_LOOK_UPS_MAX: usize = 4;
/// Apps whose names are asked for in one call; more would make the URL longer than servers take.
pub const NAMES_BATCH_MAX: usize = 50;
/// Environments being read at the same time.
pub const ENVIRONMENT_READS_MAX: usize = 4;

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
    /// How often it is asked what has changed; zero for never.
    pub refresh: Duration,
    /// How long events may wait for a look-up. One that takes longer is answered with what there is:
    /// otherwise the events of an app would be parked again and again.
    pub wait: Duration,
    /// The largest number of apps kept; `None` for 100,000.
    pub app_limit: Option<usize>,
    /// Cloud Controller calls per second, of all kinds together.
    pub rate_per_second: u32,
    /// Whether an app's environment is read: `SPLUNK_INDEX` is its index, `F2S_DISABLE_LOGGING` mutes it.
    pub index_from_env: bool,
    /// Whether an app's index is read from its label `SPLUNK_INDEX`, which wins.
    pub index_from_label: bool,
    /// Whether an app's sourcetype is read from its label `SPLUNK_SOURCETYPE`.
    pub sourcetype_from_label: bool,
    /// Where apps are kept over a restart.
    pub file: Option<PathBuf>,
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
    /// A look-up is queued or under way; see [`Metadata::changed`]. What is known by now, for events
    /// that cannot wait.
    Pending(Option<Arc<App>>),
}

impl Lookup {
    /// The answer for an event that is not to wait.
    fn at_once(self) -> Self {
        match self {
            Self::Pending(Some(app)) => Self::Known(app),
            Self::Pending(None) => Self::Unavailable,
            answer => answer,
        }
    }
}

/// The app metadata; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metadata {
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    wait: Duration,
    table: Table,
    queues: Queues,
    /// Apps out of the queue of environments, to choose the next one from.
    window: Mutex<Vec<Arc<str>>>,
    controller: CloudController,
    list: Mutex<ListStats>,
    changes: Mutex<ChangeStats>,
    file: Mutex<FileStats>,
    /// See [`MetadataStats::indexes_refused`].
    indexes_refused: AtomicU64,
}

impl Shared {
    fn window(&self) -> MutexGuard<'_, Vec<Arc<str>>> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn list(&self) -> MutexGuard<'_, ListStats> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changes(&self) -> MutexGuard<'_, ChangeStats> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self) -> MutexGuard<'_, FileStats> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Metadata {
    /// Metadata that knows nothing and asks for nothing.
    pub fn off() -> Self {
        Self { shared: None }
    }

    /// Sets up the cache and the task that fills it.
    ///
    /// What was saved is read at once, blocking for some tenths of a second. The task makes no request
    /// before it is polled, runs until `cancel`, saves what is new and ends. It never fails: what goes
    /// wrong is logged, counted and tried again.
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
        let table = Table::new(settings.clone(), limit, timing.retry);
        let (store, file) = restore(&settings, &foundation, limit, &table);
        let (names, names_asked) = async_channel::bounded(QUEUE_APPS_MAX);
        let (environments, environments_asked) = async_channel::bounded(QUEUE_APPS_MAX);
        let rate = settings.rate_per_second;
        let shared = Arc::new(Shared {
            wait: settings.wait,
            table,
            queues: Queues { names, environments },
            window: Mutex::default(),
            controller: CloudController::new(foundation, rate, timing.retry.brief),
            list: Mutex::default(),
            changes: Mutex::default(),
            file: Mutex::new(file),
            indexes_refused: AtomicU64::new(0),
        });
        let engine = Engine::new(Arc::clone(&shared), settings, timing, store);
        let asked = Asked { names: names_asked, environments: environments_asked };
        let task = async move {
            // Dropping a look-up half way is harmless: nothing outlives the daemon.
            cancel.run_until_cancelled(engine.run(asked)).await;
            engine.save().await;
        };
        (Self { shared: Some(shared) }, task)
    }

    /// What is known about the app with this id. Never waits.
    pub fn lookup(&self, app_id: &str) -> Lookup {
        match &self.shared {
            Some(shared) => {
                let now = Instant::now();
                let hopeless = shared.controller.outage().is_hopeless(now, shared.wait);
                shared.table.lookup(app_id, now, hopeless, &shared.queues)
            }
            None => Lookup::Missing,
        }
    }

    /// Whether nothing is known and never will be.
    pub fn is_off(&self) -> bool {
        self.shared.is_none()
    }

    /// A number that changes whenever an answer may be no longer right: what a worker remembered under
    /// another generation has to be asked again.
    pub fn generation(&self) -> u64 {
        self.shared.as_ref().map_or(0, |shared| shared.table.generation())
    }

    /// A number that changes whenever a look-up may have ended.
    pub fn news(&self) -> u64 {
        self.shared.as_ref().map_or(0, |shared| shared.table.news())
    }

    /// Waits until the news are no longer those `seen`; for ever when metadata is off.
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

/// Opens the file, if there is to be one, and takes what is in it.
fn restore(
    settings: &Settings,
    foundation: &Foundation,
    limit: usize,
    table: &Table,
) -> (Option<Arc<Store>>, FileStats) {
    let Some(path) = &settings.file else { return (None, FileStats::default()) };
    match Store::open(path, foundation.api().as_str(), limit) {
        Ok((store, apps)) => {
            let restored = table.restore(apps, Instant::now());
            table.save_changes();
            tracing::info!(path = %path.display(), apps = restored, "the app cache is kept in a file");
            (Some(Arc::new(store)), FileStats { enabled: true, restored, ..FileStats::default() })
        }
        Err(error) => {
            tracing::warn!(
                %error,
                next_step = "give BOLTDB_PATH a file the nozzle may write, or off",
                "the app cache is not kept in a file: after a restart all apps are looked up again"
            );
            (None, FileStats::default())
        }
    }
}
