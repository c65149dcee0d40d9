//! The task behind the table: look-ups as they are queued, and the list of all apps.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_channel::Receiver;
use futures_util::future::{join_all, join3};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use url::Url;

use super::app::{Facts, INDEX_EXPECTED, is_index};
use super::cloud_controller::CallError;
use super::places::Places;
use super::table::{EnvAnswer, Found, Need, Outcome};
use super::{LOOK_UPS_MAX, ListStats, Settings, Shared};
use crate::clock::millis;
use crate::nozzle::cf::backoff;

/// A list that does not end after this many pages (5 million apps) leads in a circle.
const PAGES_MAX: u64 = 10_000;
/// Failures of one kind are logged once in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// How long failures are left alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    min: Duration,
    max: Duration,
    /// After an answer that will not change soon.
    pub(super) lasting: Duration,
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
    /// How often the generation moves on by itself, so that a cache in front of this one does not
    /// hide that an answer is due for renewal.
    review: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let retry = Retry {
            min: Duration::from_secs(5),
            max: Duration::from_secs(60),
            lasting: Duration::from_secs(600),
        };
        Self { retry, review: Duration::from_secs(5) }
    }
}

#[cfg(test)]
impl Timing {
    /// Fails fast and comes back fast.
    pub(super) fn quick() -> Self {
        let (min, lasting) = (Duration::from_millis(5), Duration::from_secs(600));
        let retry = Retry { min, max: Duration::from_millis(20), lasting };
        Self { retry, review: Duration::from_secs(5) }
    }
}

/// Everything the task needs.
pub(super) struct Engine {
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Settings,
    pub(super) places: Places,
    pub(super) timing: Timing,
}

impl Engine {
    /// Works for ever.
    pub(super) async fn run(self, queue: Receiver<Arc<str>>) {
        let log = Log::default();
        let look_ups = join_all((0..LOOK_UPS_MAX).map(|_| self.look_ups(&queue, &log)));
        join3(look_ups, self.list(&log), self.review()).await;
    }

    async fn look_ups(&self, queue: &Receiver<Arc<str>>, log: &Log) {
        while let Ok(id) = queue.recv().await {
            let outcome = match self.shared.table.need(&id, Instant::now()) {
                Need::Nothing => Outcome::Nothing,
                Need::Whole => self.whole(&id, log).await,
                Need::Rest { facts, env } => self.rest(&id, facts, false, env, log).await,
            };
            self.shared.table.settle(&id, outcome, Instant::now());
        }
    }

    async fn whole(&self, id: &str, log: &Log) -> Outcome {
        let answer = match self.shared.controller.app(id, self.settings.fields.needs_space()).await {
            Ok(answer) => answer,
            Err(CallError::NotFound { .. }) => return Outcome::Missing,
            Err(error) => {
                log.look_up(id, &error);
                return Outcome::Failed;
            }
        };
        let facts = answer.app.facts(&self.settings);
        if facts.label_refused {
            self.refuse_index(id, "label", log);
        }
        self.places.learn(answer.included, Instant::now());
        let env = facts.needs_env(&self.settings);
        self.rest(id, facts, true, env, log).await
    }

    async fn rest(&self, id: &str, mut facts: Facts, fresh: bool, env: bool, log: &Log) -> Outcome {
        let controller = &self.shared.controller;
        let names_again = self.places.fill(&mut facts, controller).await;
        let env = match env {
            false => EnvAnswer::Unasked,
            true => match controller.env_index(id).await {
                Ok(Some(index)) if !is_index(&index) => {
                    self.refuse_index(id, "environment variable", log);
                    EnvAnswer::Index(None)
                }
                Ok(index) => EnvAnswer::Index(index.map(Arc::from)),
                Err(error) => {
                    log.environment(id, &error);
                    EnvAnswer::Failed { lasting: error.is_lasting() }
                }
            },
        };
        Outcome::Found(Box::new(Found { facts, fresh, names_again, env }))
    }

    fn refuse_index(&self, id: &str, place: &'static str, log: &Log) {
        self.shared.indexes_refused.fetch_add(1, Ordering::Relaxed);
        log.index(id, place);
    }

    async fn list(&self, log: &Log) {
        let period = [self.settings.app_ttl, self.settings.org_space_ttl];
        let period = period.into_iter().filter(|ttl| !ttl.is_zero()).min();
        loop {
            self.pass(log).await;
            match period {
                // Instances that were started together drift apart.
                Some(period) => sleep(period.mul_f64(0.9 + 0.1 * fastrand::f64())).await,
                None => return,
            }
        }
    }

    /// Reads the list from its start to its end, however long that takes.
    async fn pass(&self, log: &Log) {
        let mut next: Option<Url> = None;
        let mut failures = 0;
        let before = *self.shared.list();
        let fresh = ListStats { running: true, pages: 0, apps: 0, skipped: 0, ..before };
        *self.shared.list() = fresh;
        loop {
            match self.page(next.as_ref(), log).await {
                Ok(Some(url)) => (next, failures) = (Some(url), 0),
                Ok(None) => break,
                Err(error) => {
                    failures += 1;
                    self.shared.list().failures += 1;
                    let pause = self.timing.retry.growing(failures);
                    tracing::warn!(%error, pause_ms = millis(pause), "cannot list apps, will go on later");
                    sleep(pause).await;
                    if next.is_some() && error.is_lasting() {
                        // The place in the list is no longer there: read it anew.
                        next = None;
                        let mut list = self.shared.list();
                        *list = ListStats { failures: list.failures, ..fresh };
                    }
                }
            }
        }
        let mut list = self.shared.list();
        list.running = false;
        list.passes += 1;
        let ListStats { pages, apps, skipped, .. } = *list;
        drop(list);
        if skipped > 0 {
            tracing::warn!(apps, skipped, "there are more apps than APP_LIMITS allows to keep");
        }
        tracing::info!(apps, pages, "listed all apps");
    }

    /// Reads one page; returns where the next one is.
    async fn page(&self, url: Option<&Url>, log: &Log) -> Result<Option<Url>, CallError> {
        let controller = &self.shared.controller;
        let mut page = controller.apps(url, self.settings.fields.needs_space()).await?;
        let next = match page.next() {
            Some(href) => {
                let next = controller.next_page(href).await?;
                if next.is_none() {
                    tracing::warn!(href, "the next page of apps is on another host, read only in part");
                }
                next
            }
            None => None,
        };
        let now = Instant::now();
        self.places.learn(std::mem::take(&mut page.included), now);
        let apps: Vec<_> = page
            .resources
            .into_iter()
            .map(|app| {
                let mut facts = app.facts(&self.settings);
                if facts.label_refused {
                    self.refuse_index(&app.guid, "label", log);
                }
                self.places.fill_known(&mut facts, now);
                (Arc::from(app.guid), facts)
            })
            .collect();
        let seen = apps.len() as u64;
        let skipped = self.shared.table.learn(apps, now) as u64;
        let mut list = self.shared.list();
        list.pages += 1;
        list.apps += seen;
        list.skipped += skipped;
        if next.is_some() && (list.pages >= PAGES_MAX || next.as_ref() == url) {
            tracing::warn!(pages = list.pages, "the list of apps does not end, read only in part");
            return Ok(None);
        }
        Ok(next)
    }

    async fn review(&self) {
        let mut ticks = interval(self.timing.review);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.shared.table.touch();
        }
    }
}

/// Logs of what may go wrong for many apps at once.
#[derive(Default)]
struct Log {
    look_ups: Sparse,
    environments: Sparse,
    indexes: Sparse,
}

impl Log {
    fn look_up(&self, app_guid: &str, error: &CallError) {
        if let Some(unlogged) = self.look_ups.turn(Instant::now()) {
            tracing::warn!(app_guid, %error, unlogged, "cannot look up apps, their events go without names");
        }
    }

    fn environment(&self, app_guid: &str, error: &CallError) {
        if let Some(unlogged) = self.environments.turn(Instant::now()) {
            tracing::warn!(
                app_guid, %error, unlogged,
                "cannot read the environment of apps, their events go to the default index"
            );
        }
    }

    fn index(&self, app_guid: &str, place: &'static str) {
        if let Some(unlogged) = self.indexes.turn(Instant::now()) {
            tracing::warn!(
                app_guid,
                place,
                expected = INDEX_EXPECTED,
                unlogged,
                next_step = "let the app's developer correct SPLUNK_INDEX there",
                "apps ask for an index that cannot be one, their events go to the default index"
            );
        }
    }
}

/// Lets one in a while through, and counts the rest.
#[derive(Default)]
struct Sparse {
    state: Mutex<(Option<Instant>, u64)>,
}

impl Sparse {
    /// How many were held back before this one; `None` if this one is, too.
    fn turn(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.is_some_and(|last| now.saturating_duration_since(last) < LOG_INTERVAL) {
            state.1 += 1;
            return None;
        }
        state.0 = Some(now);
        Some(std::mem::take(&mut state.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_a_minute_is_logged_and_the_others_are_counted() {
        let (sparse, start) = (Sparse::default(), Instant::now());
        assert_eq!(sparse.turn(start), Some(0));
        assert_eq!(sparse.turn(start + LOG_INTERVAL / 2), None);
        assert_eq!(sparse.turn(start + LOG_INTERVAL / 2), None);
        assert_eq!(sparse.turn(start + LOG_INTERVAL), Some(2));
    }
}
