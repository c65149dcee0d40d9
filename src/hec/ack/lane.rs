//! One channel at one endpoint: ids that are pending, when to ask for them, and whether they can be believed.
//!
//! A server counts the ids of a channel up, so the reply to a request brings a higher id than any reply that was
//! there before the request was sent. One that does not, or an id that came before, is from a server that began
//! anew, or from another one: the lane is *broken*. What was pending then is lost, as far as anybody can find out.
//! Requests that were under way together may be answered in any order.
//!
//! Generic over what waits, so that it can be tested by itself. Pure: time and chance are handed in.

mod asking;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::AckTiming;

/// The most ids that are remembered when they were given up.
const LATE_MAX: usize = 2000;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Lane<T> {
    pending: BTreeMap<u64, Entry<T>>,
    /// Since when the oldest is, or something that is gone was: this is asked for with each batch.
    oldest: Option<Instant>,
    /// Ids that were given up.
    late: BTreeMap<u64, Late>,
    /// The highest id so far.
    newest: Option<u64>,
    /// Ids that came since the oldest request under way was sent.
    recent: BTreeSet<u64>,
    /// For each request under way the highest id when it was sent.
    floors: BTreeMap<Option<u64>, usize>,
    broken: bool,
    poll: Poll,
}

#[derive(Debug)]
struct Entry<T> {
    item: T,
    bytes: usize,
    since: Instant,
    /// In which poll it was asked for last; 0 for none.
    asked: u64,
    /// Whether that was answered.
    heard: bool,
}

#[derive(Debug)]
struct Late {
    /// Until when it is asked for.
    until: Instant,
    /// Whether it was confirmed after all. It is remembered all the same: on a broken lane another server may have
    /// given out the same id.
    told: bool,
}

#[derive(Debug)]
struct Poll {
    under_way: bool,
    number: u64,
    /// How long to wait after a poll that brought nothing.
    interval: Duration,
    /// When what is pending is asked for next.
    next: Option<Instant>,
    /// When the server last heard of the channel.
    used: Option<Instant>,
}

/// What was learned when a request began, to judge its reply by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Floor(Option<u64>);

/// What an id means for the lane.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inserted<T> {
    /// It is pending.
    Pending,
    /// The lane broke with it; these are lost.
    Broke(Vec<T>),
    /// The lane was broken before, and the id cannot be told from another one: what has either is lost.
    Lost(Vec<T>),
}

/// What is no longer waited for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expired<T> {
    pub(super) item: T,
    pub(super) bytes: usize,
    /// Whether the server said that it is not indexed, rather than nothing.
    pub(super) denied: bool,
}

/// What a poll found out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answered<T> {
    /// Indexed.
    pub(super) indexed: Vec<T>,
    /// How many ids turned out to be indexed after they were given up.
    pub(super) late: usize,
}

impl<T> Lane<T> {
    pub(super) fn new(timing: &AckTiming) -> Self {
        Self {
            pending: BTreeMap::new(),
            oldest: None,
            late: BTreeMap::new(),
            newest: None,
            recent: BTreeSet::new(),
            floors: BTreeMap::new(),
            broken: false,
            poll: Poll { under_way: false, number: 0, interval: timing.poll_first, next: None, used: None },
        }
    }

    /// How many batches are pending.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Since when the oldest is; exact after each poll.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.oldest.filter(|_| !self.pending.is_empty())
    }

    fn look_for_oldest(&mut self) {
        self.oldest = self.pending.values().map(|entry| entry.since).min();
    }

    /// When the server last heard of the channel.
    pub(super) fn used(&self) -> Option<Instant> {
        self.poll.used
    }

    /// How many requests are under way.
    pub(super) fn under_way(&self) -> usize {
        self.floors.values().sum()
    }

    /// A request is about to be sent.
    pub(super) fn began(&mut self) -> Floor {
        *self.floors.entry(self.newest).or_default() += 1;
        Floor(self.newest)
    }

    /// It has ended, whatever came of it. To be called after [`Lane::insert`].
    pub(super) fn ended(&mut self, floor: Floor) {
        if let Some(count) = self.floors.get_mut(&floor.0) {
            *count -= 1;
            if *count == 0 {
                self.floors.remove(&floor.0);
            }
        }
        match self.floors.first_key_value() {
            // Those up to there are below every floor.
            Some((Some(lowest), _)) => self.recent = self.recent.split_off(&(lowest + 1)),
            Some((None, _)) => {}
            None => self.recent.clear(),
        }
    }

    /// The reply to a request brought an id.
    pub(super) fn insert(
        &mut self,
        id: u64,
        floor: Floor,
        item: T,
        bytes: usize,
        now: Instant,
        timing: &AckTiming,
    ) -> Inserted<T> {
        self.poll.used = Some(now);
        let entry = Entry { item, bytes, since: now, asked: 0, heard: false };
        if self.broken {
            if let Some(other) = self.pending.remove(&id) {
                self.remember(id, now, timing);
                return Inserted::Lost(vec![other.item, entry.item]);
            }
            if self.late.contains_key(&id) {
                return Inserted::Lost(vec![entry.item]);
            }
            self.add(id, entry, now, timing);
            return Inserted::Pending;
        }
        if floor.0.is_some_and(|floor| id <= floor) || self.recent.contains(&id) {
            self.broken = true;
            let mut lost = self.give_up_all(now, timing);
            // Two batches of one id: an answer would be for either.
            if self.late.contains_key(&id) {
                lost.push(entry.item);
            } else {
                self.add(id, entry, now, timing);
            }
            return Inserted::Broke(lost);
        }
        self.newest = self.newest.max(Some(id));
        self.recent.insert(id);
        self.add(id, entry, now, timing);
        Inserted::Pending
    }

    fn add(&mut self, id: u64, entry: Entry<T>, now: Instant, timing: &AckTiming) {
        if self.pending.is_empty() {
            self.poll.interval = timing.poll_first;
            self.poll.next = Some(now + timing.poll_first);
            self.oldest = Some(now);
        }
        self.pending.insert(id, entry);
    }

    /// Gives up what has been pending for longer than this.
    pub(super) fn expire(&mut self, limit: Duration, now: Instant, timing: &AckTiming) -> Vec<Expired<T>> {
        if self.oldest().is_none_or(|oldest| now.saturating_duration_since(oldest) < limit) {
            return Vec::new();
        }
        let is_old = |entry: &Entry<T>| now.saturating_duration_since(entry.since) >= limit;
        let old: Vec<_> = self.pending.iter().filter(|(_, entry)| is_old(entry)).map(|(id, _)| *id).collect();
        let mut expired = Vec::new();
        for id in old {
            if let Some(Entry { item, bytes, heard, .. }) = self.pending.remove(&id) {
                self.remember(id, now, timing);
                expired.push(Expired { item, bytes, denied: heard });
            }
        }
        self.look_for_oldest();
        expired
    }

    /// Gives up all that is pending.
    pub(super) fn give_up_all(&mut self, now: Instant, timing: &AckTiming) -> Vec<T> {
        let all = std::mem::take(&mut self.pending);
        all.into_iter()
            .map(|(id, entry)| {
                self.remember(id, now, timing);
                entry.item
            })
            .collect()
    }

    fn remember(&mut self, id: u64, now: Instant, timing: &AckTiming) {
        self.late.insert(id, Late { until: now + timing.late, told: false });
        while self.late.len() > LATE_MAX {
            self.late.pop_first();
        }
    }

    /// Whether nothing is left to ask for, nor to come.
    pub(super) fn is_done(&self, now: Instant) -> bool {
        self.pending.is_empty()
            && self.floors.is_empty()
            && !self.poll.under_way
            && self.late.values().all(|late| late.told || now >= late.until)
    }
}

#[cfg(test)]
mod tests;
