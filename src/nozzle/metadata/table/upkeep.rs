//! What is done to all entries at once: making room, forgetting, renaming, saving, counting.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::{Entry, Inner, State, Table, Unsaved};
use crate::nozzle::metadata::app::Facts;
use crate::nozzle::metadata::record::Record;

/// When an entry has to make room, this part of the table (one in so many) goes at once.
const EVICTION_SHARE: usize = 64;
/// An app that is no longer in the list is forgotten when no event has asked for it for so long: its
/// last lines are late, but not that late.
const UNLISTED_KEEP_SECONDS: u32 = 3600;

/// How many entries are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Census {
    pub(in super::super) entries: usize,
    pub(in super::super) known: usize,
    pub(in super::super) deleted: usize,
    pub(in super::super) missing: usize,
    pub(in super::super) unavailable: usize,
    pub(in super::super) pending: usize,
}

impl Unsaved {
    /// Adds an app; without a file there is nothing to do.
    pub(super) fn push(&mut self, id: Arc<str>) {
        // While nothing can be saved, apps come and go without end; what is beyond is saved when it changes.
        if self.ids.len() < self.max {
            self.ids.push(id);
        }
    }
}

impl Table {
    /// From here on, what changes is kept for [`Table::take_unsaved`].
    pub(in super::super) fn save_changes(&self) {
        self.write().dirty.max = 2 * self.apps_max;
    }

    /// Puts entries back that were saved; those there is no room for are left out.
    pub(in super::super) fn restore(&self, apps: Vec<(Arc<str>, Record)>, now: Instant) -> usize {
        let mut inner = self.write();
        for (id, record) in apps {
            if inner.entries.len() >= self.apps_max {
                break;
            }
            inner.entries.insert(id, Entry::restored(record, now, &self.rules));
        }
        inner.entries.len()
    }

    /// Takes up to `max` apps whose record on disk is not what is known, with what is; `None` for those
    /// that are no longer known.
    pub(in super::super) fn take_unsaved(&self, max: usize) -> Vec<(Arc<str>, Option<Record>)> {
        if self.read().dirty.ids.is_empty() {
            return Vec::new();
        }
        let mut inner = self.write();
        let Inner { entries, dirty } = &mut *inner;
        let keep = dirty.ids.len().saturating_sub(max);
        dirty
            .ids
            .drain(keep..)
            .map(|id| {
                let record = entries.get_mut(&id).and_then(Entry::saved);
                (id, record)
            })
            .collect()
    }

    /// Takes back that these were saved.
    pub(in super::super) fn not_saved(&self, ids: impl Iterator<Item = Arc<str>>) {
        let mut inner = self.write();
        let Inner { entries, dirty } = &mut *inner;
        for id in ids {
            if entries.get_mut(&id).is_none_or(Entry::mark_dirty) {
                dirty.push(id);
            }
        }
    }

    /// Gives every known app its names anew, after one of a space or org has changed.
    pub(in super::super) fn rename(&self, mut fill: impl FnMut(&mut Facts) -> bool) {
        let mut changed = false;
        let mut inner = self.write();
        let Inner { entries, dirty } = &mut *inner;
        for (id, entry) in entries.iter_mut() {
            changed |= entry.rename(&mut fill);
            if entry.take_unsaved() {
                dirty.push(Arc::clone(id));
            }
        }
        drop(inner);
        self.tell(changed);
    }

    /// Forgets apps that a pass through all apps has not found and no event has asked for lately.
    pub(in super::super) fn forget_unlisted(&self, pass: u32, now: Instant) -> usize {
        let tick = self.tick(now);
        let mut inner = self.write();
        let Inner { entries, dirty } = &mut *inner;
        let before = entries.len();
        entries.retain(|id, entry| {
            let late = tick.saturating_sub(entry.last_asked()) > UNLISTED_KEEP_SECONDS;
            let goes = late && entry.pass != pass && entry.pending_since.is_none();
            if goes && entry.mark_dirty() {
                dirty.push(Arc::clone(id));
            }
            !goes
        });
        before - entries.len()
    }

    /// Lets every look-up that failed be tried again now.
    pub(in super::super) fn retry_all(&self, now: Instant) {
        for entry in self.write().entries.values_mut() {
            entry.retry(now);
        }
        self.tell(false);
    }

    /// Look-ups that found no room in the queue or the table.
    pub(in super::super) fn queue_full(&self) -> u64 {
        self.queue_full.load(Ordering::Relaxed)
    }

    pub(in super::super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    pub(in super::super) fn census(&self) -> Census {
        let inner = self.read();
        let mut census = Census { entries: inner.entries.len(), ..Census::default() };
        for entry in inner.entries.values() {
            census.pending += usize::from(entry.pending_since.is_some());
            match &entry.state {
                State::Unknown => {}
                State::Known(known) => {
                    census.known += 1;
                    census.deleted += usize::from(known.deleted);
                }
                State::Missing { .. } => census.missing += 1,
                State::Unavailable { .. } => census.unavailable += 1,
            }
        }
        census
    }

    /// Drops those entries that events have not asked for the longest, ids that are none of apps before
    /// apps, however many of them come; says whether there is room.
    pub(super) fn make_room(&self, inner: &mut Inner) -> bool {
        let Inner { entries, dirty } = inner;
        if entries.len() < self.apps_max {
            return true;
        }
        let idle = |entry: &Entry| entry.pending_since.is_none();
        let worth = |entry: &Entry| (matches!(entry.state, State::Known(_)), entry.last_asked());
        let mut stamps: Vec<_> = entries.values().filter(|entry| idle(entry)).map(worth).collect();
        if stamps.is_empty() {
            return false;
        }
        let share = (self.apps_max / EVICTION_SHARE).clamp(1, stamps.len());
        let (_, &mut oldest, _) = stamps.select_nth_unstable(share - 1);
        let mut left = share;
        entries.retain(|id, entry| {
            let goes = left > 0 && idle(entry) && worth(entry) <= oldest;
            left -= usize::from(goes);
            if goes && entry.mark_dirty() {
                dirty.push(Arc::clone(id));
            }
            !goes
        });
        self.evicted.fetch_add((share - left) as u64, Ordering::Relaxed);
        true
    }
}
