//! The entries: what is known about each app, and when to ask again.
//!
//! No I/O and no clock of its own: time comes in as an argument. Readers take a shared lock for the
//! time of one hash look-up; writers come a few times a second (answers) or with a page of a list.
//!
//! Two numbers tell that something is new. The *generation* moves when an answer that somebody may have
//! remembered is no longer right; *news* whenever any answer has come, so that what waits can go on.

mod entry;
mod known;
mod upkeep;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use async_channel::Sender;
use foldhash::fast::RandomState;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use self::entry::{Answer, Entry, State};
pub(super) use self::entry::{Found, Need, Outcome};
pub(super) use self::known::{EnvironmentAnswer, EnvironmentRead};
use super::app::Facts;
use super::engine::Retry;
use super::{Lookup, Settings};

/// How long a missing app is remembered.
const MISSING_LONG: Duration = Duration::from_secs(600);
const MISSING_SHORT: Duration = Duration::from_secs(30);

/// What entries need to know to judge themselves.
#[derive(Debug)]
struct Rules {
    settings: Settings,
    retry: Retry,
    missing_for: Duration,
}

/// The entries.
#[derive(Debug)]
pub(super) struct Table {
    rules: Rules,
    apps_max: usize,
    started: Instant,
    inner: RwLock<Inner>,
    generation: AtomicU64,
    news: AtomicU64,
    changed: Notify,
    queue_full: AtomicU64,
    evicted: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Entries,
    dirty: Unsaved,
}

/// Apps whose record on disk is not what is known; each at most once as long as it is known.
#[derive(Debug, Default)]
struct Unsaved {
    ids: Vec<Arc<str>>,
    /// How many are kept; 0 if nothing is saved at all.
    max: usize,
}

type Entries = HashMap<Arc<str>, Entry, RandomState>;

/// Where look-ups wait for their turn.
#[derive(Debug)]
pub(super) struct Queues {
    /// Apps whose names are to be found.
    pub(super) names: Sender<Arc<str>>,
    /// Apps whose environment is to be read.
    pub(super) environments: Sender<Arc<str>>,
}

/// What a look-up would be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Names,
    Environment,
}

impl Queues {
    fn of(&self, want: Want) -> &Sender<Arc<str>> {
        match want {
            Want::Names => &self.names,
            Want::Environment => &self.environments,
        }
    }
}

impl Table {
    pub(super) fn new(settings: Settings, apps_max: usize, retry: Retry) -> Self {
        let missing_for = match (settings.missing_ttl, settings.ignore_missing) {
            (Duration::ZERO, true) => MISSING_LONG,
            (Duration::ZERO, false) => MISSING_SHORT,
            (ttl, _) => ttl,
        };
        Self {
            rules: Rules { settings, retry, missing_for },
            apps_max,
            started: Instant::now(),
            inner: RwLock::default(),
            generation: AtomicU64::new(1),
            news: AtomicU64::new(1),
            changed: Notify::new(),
            queue_full: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// What is known; queues a look-up if it is time for one, unless it would be `hopeless`.
    pub(super) fn lookup(&self, id: &str, now: Instant, hopeless: bool, queues: &Queues) -> Lookup {
        if let Some(entry) = self.read().entries.get(id) {
            entry.stamp(self.tick(now));
            entry.count();
            let Answer { lookup, want } = entry.answer(now, &self.rules);
            let Some(want) = want.filter(|_| !hopeless) else {
                return if hopeless { lookup.at_once() } else { lookup };
            };
            if queues.of(want).is_full() {
                return self.not_queued(lookup);
            }
        } else if Uuid::try_parse(id).is_err() {
            return Lookup::Missing;
        } else if hopeless {
            return Lookup::Unavailable;
        } else if queues.names.is_full() {
            // While the queue is full each event comes here: none may hold up the others.
            return self.not_queued(Lookup::Unavailable);
        }
        self.ask(id, now, queues)
    }

    /// The slow way: there is a look-up to queue, unless another worker was quicker.
    fn ask(&self, id: &str, now: Instant, queues: &Queues) -> Lookup {
        let mut inner = self.write();
        let Some((key, entry)) = inner.entries.get_key_value(id) else {
            let key: Arc<str> = id.into();
            if !self.make_room(&mut inner) || queues.names.try_send(Arc::clone(&key)).is_err() {
                return self.not_queued(Lookup::Unavailable);
            }
            let entry = Entry::asked_for(now, self.tick(now));
            let lookup = entry.answer(now, &self.rules).lookup;
            inner.entries.insert(key, entry);
            return lookup;
        };
        let Answer { lookup, want } = entry.answer(now, &self.rules);
        let Some(want) = want else { return lookup };
        if queues.of(want).try_send(Arc::clone(key)).is_err() {
            return self.not_queued(lookup);
        }
        let Some(entry) = inner.entries.get_mut(id) else { return Lookup::Unavailable };
        entry.pending_since = Some(now);
        entry.answer(now, &self.rules).lookup
    }

    fn not_queued(&self, lookup: Lookup) -> Lookup {
        self.queue_full.fetch_add(1, Ordering::Relaxed);
        lookup.at_once()
    }

    /// What a queued look-up of names has to find out.
    pub(super) fn need(&self, id: &str, now: Instant) -> Need {
        self.read().entries.get(id).map_or(Need::Nothing, |entry| entry.need(now, &self.rules))
    }

    /// Whether an environment that was queued is still to be read.
    pub(super) fn needs_environment(&self, id: &str, now: Instant) -> bool {
        self.read().entries.get(id).is_some_and(|entry| entry.needs_environment(now, &self.rules))
    }

    /// Which of these apps events have asked for most since they wait.
    pub(super) fn busiest(&self, ids: &[Arc<str>]) -> Option<usize> {
        let inner = self.read();
        let asks = |id: &Arc<str>| inner.entries.get(id).map_or(0, Entry::asks);
        // The first of those that are alike has waited longest.
        let of = ids.iter().map(asks).enumerate().rev();
        of.max_by_key(|(_, asks)| *asks).map(|(place, _)| place)
    }

    /// Takes the result of a look-up.
    pub(super) fn settle(&self, id: &str, outcome: Outcome, now: Instant) {
        let mut inner = self.write();
        let Inner { entries, dirty } = &mut *inner;
        let mut changed = false;
        if let Some(entry) = entries.get_mut(id) {
            changed = entry.settle(outcome, now, &self.rules);
            if entry.take_unsaved() {
                dirty.push(id.into());
            }
        }
        drop(inner);
        self.tell(changed);
    }

    /// Takes apps from a list; `pass` is the number of the pass through all apps, if it is one. Returns
    /// how many apps there was no room for.
    pub(super) fn learn(&self, apps: &[(Arc<str>, Facts)], pass: Option<u32>, now: Instant) -> usize {
        let (mut skipped, mut changed) = (0, false);
        let mut inner = self.write();
        let Inner { entries, dirty } = &mut *inner;
        for (id, facts) in apps {
            let full = entries.len() >= self.apps_max;
            let entry = match entries.get_mut(id) {
                Some(entry) => {
                    changed |= entry.learn(facts.clone(), now, &self.rules);
                    entry
                }
                // A list never displaces an app that events ask for.
                None if full => {
                    skipped += 1;
                    continue;
                }
                None => {
                    let entry = Entry::listed(facts.clone(), now, &self.rules);
                    entries.entry(Arc::clone(id)).or_insert(entry)
                }
            };
            entry.pass = pass.unwrap_or(entry.pass);
            if entry.take_unsaved() {
                dirty.push(Arc::clone(id));
            }
        }
        drop(inner);
        self.tell(changed);
        skipped
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn news(&self) -> u64 {
        self.news.load(Ordering::Acquire)
    }

    /// Says that an answer has come, and whether one that was given before is no longer right.
    pub(super) fn tell(&self, changed: bool) {
        self.generation.fetch_add(u64::from(changed), Ordering::AcqRel);
        self.news.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    pub(super) async fn changed(&self, seen: u64) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no notification is missed.
            changed.as_mut().enable();
            if self.news() != seen {
                return;
            }
            changed.await;
        }
    }

    /// Seconds since the start, from 1: 0 is for what no event has asked for.
    fn tick(&self, now: Instant) -> u32 {
        let seconds = now.saturating_duration_since(self.started).as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX - 1) + 1
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
