//! When a lane is polled, for which ids, and what the answer means for them.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{Answered, Lane};
use crate::hec::ack::AckTiming;
use crate::hec::ack::poll::NO_ID;

/// The most ids of one poll.
pub(super) const POLL_IDS_MAX: usize = 1000;

/// The same where batches are large: if the reply is lost, all of them may be sent twice.
pub(super) const POLL_IDS_MAX_LARGE: usize = 100;

/// Batches are large from this mean on.
const LARGE_BYTES: usize = 64 << 10;

/// By how much a time between polls is varied, up and down.
const JITTER: f64 = 0.2;

impl<T> Lane<T> {
    /// When it has to be polled to be known at all, if it was made then.
    pub(in crate::hec::ack) fn due_first(&self, created: Instant, timing: &AckTiming) -> Option<Instant> {
        let due = self.poll.used.map_or(created, |used| used + timing.poll_first);
        (!self.poll.under_way).then_some(due)
    }

    /// When it has to be polled; nothing if that is not to be seen, or one is under way. `keep` says that the channel
    /// is to be kept alive although nothing is pending.
    pub(in crate::hec::ack) fn due(&self, keep: bool, timing: &AckTiming) -> Option<Instant> {
        if self.poll.under_way {
            return None;
        }
        if !self.pending.is_empty() {
            return self.poll.next;
        }
        let used = self.poll.used?;
        match (self.late.values().any(|late| !late.told), keep) {
            (true, _) => Some(used + timing.late / 10),
            (false, true) => Some(used + timing.keep_alive),
            (false, false) => None,
        }
    }

    /// What is pending is to be asked for at once.
    pub(in crate::hec::ack) fn poll_now(&mut self, now: Instant) {
        if let Some(next) = &mut self.poll.next {
            *next = now.min(*next);
        }
    }

    /// Begins a poll: for these ids, the least recently asked first, and the oldest of those.
    pub(in crate::hec::ack) fn begin_poll(&mut self, now: Instant) -> Vec<u64> {
        self.late.retain(|_, late| now < late.until);
        let bytes: usize = self.pending.values().map(|entry| entry.bytes).sum();
        let large = bytes > self.pending.len().saturating_mul(LARGE_BYTES);
        let most = if large { POLL_IDS_MAX_LARGE } else { POLL_IDS_MAX };
        let mut ids: Vec<_> =
            self.pending.iter().map(|(id, entry)| (entry.asked, entry.since, *id)).collect();
        ids.sort_unstable();
        let mut ids: Vec<_> = ids.into_iter().take(most).map(|(_, _, id)| id).collect();
        ids.extend(self.late.iter().filter(|(_, late)| !late.told).map(|(id, _)| *id).take(most - ids.len()));
        if ids.is_empty() {
            // Only to be heard of.
            ids.push(self.newest.unwrap_or(NO_ID));
        }
        self.poll.number += 1;
        self.poll.under_way = true;
        self.poll.used = Some(now);
        for id in &ids {
            if let Some(entry) = self.pending.get_mut(id) {
                entry.asked = self.poll.number;
            }
        }
        ids
    }

    /// The poll brought this.
    pub(in crate::hec::ack) fn answered(
        &mut self,
        asked: &[u64],
        statuses: &BTreeMap<u64, bool>,
        now: Instant,
        timing: &AckTiming,
        chance: f64,
    ) -> Answered<T> {
        let mut answered = Answered { indexed: Vec::new(), late: 0 };
        // What was not asked for is not an answer.
        for (id, indexed) in asked.iter().filter_map(|id| Some((id, *statuses.get(id)?))) {
            match self.pending.get_mut(id) {
                Some(entry) if entry.asked == self.poll.number => {
                    entry.heard = true;
                    if indexed {
                        answered.indexed.extend(self.pending.remove(id).map(|entry| entry.item));
                    }
                }
                // It came while the poll was under way.
                Some(_) => {}
                None if indexed => {
                    if let Some(late) = self.late.get_mut(id) {
                        answered.late += usize::from(!std::mem::replace(&mut late.told, true));
                    }
                }
                None => {}
            }
        }
        let progress = !answered.indexed.is_empty();
        self.end_poll(progress, now, timing, chance);
        answered
    }

    /// The poll brought nothing.
    pub(in crate::hec::ack) fn failed(
        &mut self,
        asked: &[u64],
        now: Instant,
        timing: &AckTiming,
        chance: f64,
    ) {
        for id in asked {
            if let Some(entry) = self.pending.get_mut(id) {
                entry.heard = false;
            }
        }
        self.end_poll(false, now, timing, chance);
    }

    fn end_poll(&mut self, progress: bool, now: Instant, timing: &AckTiming, chance: f64) {
        self.poll.under_way = false;
        self.look_for_oldest();
        let wait = if progress { timing.poll_first } else { self.poll.interval };
        self.poll.interval = (wait * 2).min(timing.poll_max);
        let wait = wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance);
        self.poll.next = (!self.pending.is_empty()).then_some(now + wait);
    }

    /// Polls are to come at the first pace: somebody waits for the last ones.
    pub(in crate::hec::ack) fn hasten(&mut self, now: Instant, timing: &AckTiming) {
        self.poll.interval = timing.poll_first;
        if let Some(next) = &mut self.poll.next {
            *next = (*next).min(now + timing.poll_first);
        }
    }
}
