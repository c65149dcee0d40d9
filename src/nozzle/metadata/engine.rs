//! The task behind the table: look-ups as they are queued, lists of everything and of what changed,
//! the file.

mod changes;
mod list;
mod log;
mod look_up;
mod save;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_channel::Receiver;
use futures_util::future::{join_all, join5};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use self::changes::Marks;
use self::log::Log;
use super::app::Facts;
use super::cloud_controller::{AppResource, CallError, Fault, Included};
use super::places::Places;
use super::store::Store;
use super::{ENVIRONMENT_READS_MAX, NAME_LOOK_UPS_MAX, Settings, Shared};
use crate::clock::millis;
use crate::nozzle::cf::backoff;

/// Apps taken into the table under one lock.
const LEARN_APPS_MAX: usize = 100;

/// How long failures are left alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    min: Duration,
    max: Duration,
    /// After an answer that will not change soon.
    pub(super) lasting: Duration,
    /// Within a call.
    pub(super) brief: Duration,
}

impl Retry {
    /// A jittered pause that grows with the failures in a row.
    pub(super) fn growing(&self, failures: u32) -> Duration {
        backoff::pause(failures, self.min, self.max)
    }

    /// The pause after this error.
    pub(super) fn pause(&self, failures: u32, error: &CallError) -> Duration {
        if error.is_lasting() { self.lasting } else { self.growing(failures) }
    }
}

/// The periods of the task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) retry: Retry,
    /// The pause between two probes while the Cloud Controller is away.
    probe: Duration,
    /// How often the generation moves on by itself, so that a cache in front of this one does not
    /// hide that an answer is due for renewal.
    review: Duration,
    /// How often what is new is written to the file.
    save: Duration,
    /// The pause after a page when all apps are listed again.
    page_pause: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let retry = Retry {
            min: Duration::from_secs(5),
            max: Duration::from_secs(60),
            lasting: Duration::from_secs(600),
            brief: Duration::from_millis(200),
        };
        let (probe, review) = (Duration::from_secs(10), Duration::from_secs(5));
        Self { retry, probe, review, save: review, page_pause: list::PAGE_PAUSE }
    }
}

#[cfg(test)]
impl Timing {
    /// Fails fast and comes back fast.
    pub(super) fn quick() -> Self {
        let (min, lasting) = (Duration::from_millis(5), Duration::from_secs(600));
        let retry = Retry { min, max: Duration::from_millis(20), lasting, brief: Duration::from_millis(1) };
        let quick = Duration::from_millis(5);
        let review = Duration::from_secs(5);
        Self { retry, probe: quick, review, save: quick, page_pause: quick }
    }
}

/// What the task reads from.
pub(super) struct Asked {
    pub(super) names: Receiver<Arc<str>>,
    pub(super) environments: Receiver<Arc<str>>,
}

/// Everything the task needs.
pub(super) struct Engine {
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Settings,
    pub(super) places: Places,
    pub(super) timing: Timing,
    pub(super) store: Option<Arc<Store>>,
    pub(super) log: Log,
}

impl Engine {
    pub(super) fn new(
        shared: Arc<Shared>,
        settings: Settings,
        timing: Timing,
        store: Option<Arc<Store>>,
    ) -> Self {
        let places = Places::new(settings.fields, settings.org_space_ttl, timing.retry);
        Self { shared, settings, places, timing, store, log: Log::default() }
    }

    /// Works for ever.
    pub(super) async fn run(&self, asked: Asked) {
        let names = join_all((0..NAME_LOOK_UPS_MAX).map(|_| self.look_up_names(&asked.names)));
        let reads = join_all((0..ENVIRONMENT_READS_MAX).map(|_| self.read_environments(&asked.environments)));
        let upkeep = async {
            tokio::join!(self.review(), self.watch_outage());
        };
        join5(names, reads, self.keep_up(), upkeep, self.save_regularly()).await;
    }

    /// Reads everything, then what changes, and everything again when it is time.
    async fn keep_up(&self) {
        let ttls = [self.settings.app_ttl, self.settings.org_space_ttl];
        let period = ttls.into_iter().filter(|ttl| !ttl.is_zero()).min();
        let mut marks = Marks::default();
        for pass in 1_u32.. {
            self.pass(pass, &mut marks).await;
            // Instances that were started together drift apart.
            let jittered = |period: Duration| period.mul_f64(0.9 + 0.1 * fastrand::f64());
            let next = period.map(|period| Instant::now() + jittered(period));
            self.follow_changes(&mut marks, next).await;
        }
    }

    /// Takes a part of some list.
    fn learn(&self, apps: Vec<AppResource>, included: Included, pass: Option<u32>) -> usize {
        self.learn_places(included);
        let now = Instant::now();
        // An id that is none of an app would never be asked for.
        let apps = apps.into_iter().filter(|app| Uuid::try_parse(&app.guid).is_ok()).map(|app| {
            let mut facts = app.facts();
            self.check_label(&app.guid, &facts);
            self.places.fill_known(&mut facts, now);
            (Arc::from(app.guid), facts)
        });
        let apps: Vec<_> = apps.collect();
        // In small parts: workers may ask in between.
        apps.chunks(LEARN_APPS_MAX).map(|apps| self.shared.table.learn(apps, pass, now)).sum()
    }

    fn learn_places(&self, included: Included) {
        let now = Instant::now();
        if self.places.learn(included, now) {
            self.shared.table.rename(|facts| self.places.fill_known(facts, now));
        }
    }

    fn check_label(&self, id: &str, facts: &Facts) {
        if facts.labels.index_refused && self.settings.index_from_label {
            self.refuse_index(id, "label");
        }
    }

    fn refuse_index(&self, id: &str, place: &'static str) {
        self.shared.indexes_refused.fetch_add(1, Ordering::Relaxed);
        self.log.index(id, place);
    }

    async fn review(&self) {
        let mut ticks = interval(self.timing.review);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.shared.table.tell(true);
        }
    }

    /// While the Cloud Controller is away, asks now and then whether it is back.
    async fn watch_outage(&self) {
        let outage = self.shared.controller.outage();
        loop {
            outage.until(true).await;
            let since = Instant::now();
            let Fault { error, next_step } = self.shared.controller.fault().unwrap_or_default();
            tracing::warn!(
                error,
                next_step,
                "the cloud controller does not answer: events of unknown apps go out at once, without names, index or muting of their own"
            );
            self.shared.table.tell(false);
            while outage.is_away() {
                sleep(self.timing.probe.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
                if let Err(error) = self.shared.controller.probe().await {
                    self.log.away(&error, since.elapsed());
                }
            }
            self.shared.table.retry_all(Instant::now());
            tracing::info!(away_ms = millis(since.elapsed()), "the cloud controller answers again");
        }
    }
}
