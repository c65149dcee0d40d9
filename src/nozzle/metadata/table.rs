//! The entries: what is known about each app, and when to ask again.
//!
//! No I/O and no clock of its own: time comes in as an argument. Readers take a shared lock for the
//! time of one hash look-up; writers come a few times a second (answers) or with a page of the list.

mod entry;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use async_channel::Sender;
use foldhash::fast::RandomState;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use self::entry::{Entry, State};
pub(super) use self::entry::{EnvAnswer, Found, Need, Outcome};
use super::app::Facts;
use super::engine::Retry;
use super::{Lookup, Settings};

/// When an entry has to make room, this part of the table (one in so many) goes at once.
const EVICTION_SHARE: usize = 64;
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
    entries: RwLock<HashMap<Arc<str>, Entry, RandomState>>,
    generation: AtomicU64,
    changed: Notify,
    queue_full: AtomicU64,
    evicted: AtomicU64,
}

/// How many entries are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    pub(super) entries: usize,
    pub(super) known: usize,
    pub(super) missing: usize,
    pub(super) unavailable: usize,
    pub(super) pending: usize,
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
            entries: RwLock::default(),
            generation: AtomicU64::new(1),
            changed: Notify::new(),
            queue_full: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// What is known; queues a look-up if it is time for one.
    pub(super) fn lookup(&self, id: &str, now: Instant, queue: &Sender<Arc<str>>) -> Lookup {
        if let Some(entry) = self.read().get(id) {
            entry.stamp(self.tick(now));
            let (answer, due) = entry.answer(now);
            if !due {
                return answer;
            }
            if queue.is_full() {
                self.queue_full.fetch_add(1, Ordering::Relaxed);
                return entry.answer_if_not_queued(now);
            }
        } else if Uuid::try_parse(id).is_err() {
            return Lookup::Missing;
        } else if queue.is_full() {
            // While the queue is full each event comes here: none may hold up the others.
            self.queue_full.fetch_add(1, Ordering::Relaxed);
            return Lookup::Unavailable;
        }
        self.ask(id, now, queue)
    }

    /// The slow way: there is a look-up to queue, unless another worker was quicker.
    fn ask(&self, id: &str, now: Instant, queue: &Sender<Arc<str>>) -> Lookup {
        let mut entries = self.write();
        let Some((key, entry)) = entries.get_key_value(id) else {
            let key: Arc<str> = id.into();
            if !self.make_room(&mut entries) || queue.try_send(Arc::clone(&key)).is_err() {
                self.queue_full.fetch_add(1, Ordering::Relaxed);
                return Lookup::Unavailable;
            }
            entries.insert(key, Entry::asked_for(now, self.tick(now)));
            return Lookup::Pending;
        };
        let (answer, due) = entry.answer(now);
        if !due {
            return answer;
        }
        let queued = queue.try_send(Arc::clone(key)).is_ok();
        if queued && let Some(entry) = entries.get_mut(id) {
            entry.pending_since = Some(now);
        } else {
            self.queue_full.fetch_add(1, Ordering::Relaxed);
        }
        entries.get(id).map_or(Lookup::Unavailable, |entry| entry.answer_if_not_queued(now))
    }

    /// What a queued look-up has to find out.
    pub(super) fn need(&self, id: &str, now: Instant) -> Need {
        self.read().get(id).map_or(Need::Nothing, |entry| entry.need(now, &self.rules))
    }

    /// Takes the result of a look-up.
    pub(super) fn settle(&self, id: &str, outcome: Outcome, now: Instant) {
        if let Some(entry) = self.write().get_mut(id) {
            entry.settle(outcome, now, &self.rules);
        }
        self.touch();
    }

    /// Takes a page of the list; returns how many apps there was no room for.
    pub(super) fn learn(&self, apps: Vec<(Arc<str>, Facts)>, now: Instant) -> usize {
        let mut skipped = 0;
        let mut entries = self.write();
        for (id, facts) in apps {
            if let Some(entry) = entries.get_mut(&id) {
                entry.learn(facts, now, &self.rules);
            } else if entries.len() < self.apps_max {
                entries.insert(id, Entry::listed(facts, now, &self.rules));
            } else {
                // The list never displaces an app that events ask for.
                skipped += 1;
            }
        }
        drop(entries);
        self.touch();
        skipped
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Moves the generation on.
    pub(super) fn touch(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    pub(super) async fn changed(&self, seen: u64) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no notification is missed.
            changed.as_mut().enable();
            if self.generation() != seen {
                return;
            }
            changed.await;
        }
    }

    /// Look-ups that found no room in the queue or the table.
    pub(super) fn queue_full(&self) -> u64 {
        self.queue_full.load(Ordering::Relaxed)
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    pub(super) fn census(&self) -> Census {
        let entries = self.read();
        let mut census = Census { entries: entries.len(), ..Census::default() };
        for entry in entries.values() {
            census.pending += usize::from(entry.pending_since.is_some());
            match entry.state {
                State::Unknown => {}
                State::Known(_) => census.known += 1,
                State::Missing { .. } => census.missing += 1,
                State::Unavailable { .. } => census.unavailable += 1,
            }
        }
        census
    }

    /// Drops those entries that events have not asked for the longest; says whether there is room.
    fn make_room(&self, entries: &mut HashMap<Arc<str>, Entry, RandomState>) -> bool {
        if entries.len() < self.apps_max {
            return true;
        }
        let idle = |entry: &Entry| entry.pending_since.is_none();
        let mut stamps: Vec<u32> =
            entries.values().filter(|entry| idle(entry)).map(Entry::last_asked).collect();
        if stamps.is_empty() {
            return false;
        }
        let share = (self.apps_max / EVICTION_SHARE).clamp(1, stamps.len());
        let (_, &mut oldest, _) = stamps.select_nth_unstable(share - 1);
        let mut left = share;
        entries.retain(|_, entry| {
            let goes = left > 0 && idle(entry) && entry.last_asked() <= oldest;
            left -= usize::from(goes);
            !goes
        });
        self.evicted.fetch_add((share - left) as u64, Ordering::Relaxed);
        true
    }

    /// Seconds since the start, from 1: 0 is for what no event has asked for.
    fn tick(&self, now: Instant) -> u32 {
        let seconds = now.saturating_duration_since(self.started).as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX - 1) + 1
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Arc<str>, Entry, RandomState>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Arc<str>, Entry, RandomState>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
