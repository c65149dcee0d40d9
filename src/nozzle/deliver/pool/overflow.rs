//! The pool's side of the disk spool: what goes there, what comes from there, and whose turn it is.
//!
//! When more than half of the room is used, what has waited longest goes to disk: memory holds the newest, the spool all
//! that is older. Live batches go first; what is on disk gets every fourth byte while some of them wait, and all that is left
//! over while none does.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Admitted, Pool, Rest, State, Tally, Work};
use crate::hec::batch::Batch;
use crate::nozzle::deliver::room::{Place, cost};
use crate::nozzle::deliver::ticket::Desk;

/// Part of the room, without what is to be confirmed, from which on batches go to disk. The rest is for what comes while the disk writes.
const MARK_PART: usize = 2;

/// The most bytes that are handed to the disk at once.
const ROUND_BYTES: usize = 8 << 20;

/// Batches from disk that are kept at hand.
const READY_MAX: usize = 2;

/// Bytes of live batches for each byte from disk while both wait.
const LIVE_SHARE: usize = 3;

/// What a spool that was slow may catch up on: the largest batch there is.
const CREDIT_MAX: usize = 4 << 20;

/// What there is on disk, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::nozzle::deliver) enum OnDisk {
    /// There is no spool.
    #[default]
    Nothing,
    /// What is there at the end is lost.
    Ephemeral,
    /// What is there at the end is there at the next start.
    Kept,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Overflow {
    on_disk: OnDisk,
    /// Whether there is more to read.
    unread: bool,
    /// No more is read.
    ended: bool,
    /// Oldest first.
    ready: VecDeque<Admitted>,
    /// Batches from disk that are with senders.
    sending: usize,
    /// Bytes the spool may send although live batches wait.
    credit: usize,
    /// What could not be delivered in time and is to go to disk.
    left: Vec<Admitted>,
}

impl Overflow {
    pub(super) fn live_sent(&mut self, bytes: usize) {
        self.credit = (self.credit + bytes / LIVE_SHARE).min(CREDIT_MAX);
    }

    /// Keeps what could not be delivered in time; the keeper is to be woken.
    pub(super) fn leave(&mut self, admitted: Admitted) {
        self.left.push(admitted);
    }

    /// Whether the pool only counts as empty when the spool is.
    pub(super) fn is_drained_to_the_end(&self) -> bool {
        self.on_disk == OnDisk::Ephemeral && !self.ended && (self.unread || !self.ready.is_empty())
    }
}

/// A batch from disk is with a sender.
#[derive(Debug)]
pub(in crate::nozzle::deliver) struct Draining<'a>(&'a Pool);

impl Drop for Draining<'_> {
    fn drop(&mut self) {
        self.0.lock().overflow.sending -= 1;
        self.0.arrived.notify_one();
        // The next one may be read.
        self.0.desk.wake.notify_one();
    }
}

impl Pool {
    /// There is a spool from now on.
    pub(in crate::nozzle::deliver) fn has_spool(&self, on_disk: OnDisk) {
        self.lock().overflow.on_disk = on_disk;
    }

    /// What is on disk.
    pub(in crate::nozzle::deliver) fn on_disk(&self) -> OnDisk {
        self.lock().overflow.on_disk
    }

    pub(in crate::nozzle::deliver) fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// Wakes the keeper if there is too much.
    pub(super) fn tell_of_overflow(&self, state: &State) {
        if state.overflow.on_disk != OnDisk::Nothing && self.room.used_bytes() > self.mark(state) {
            self.desk.wake.notify_one();
        }
    }

    /// Bytes used from which on batches go to disk: what is to be confirmed stays in memory and does not count.
    fn mark(&self, state: &State) -> usize {
        let pending = state.unconfirmed_bytes;
        pending + self.room.capacity_bytes().saturating_sub(pending) / MARK_PART
    }

    /// The next batch from disk, if it is its turn.
    pub(super) fn take_spooled(&self, state: &mut State, drains_max: usize) -> Option<Work<'_>> {
        let State { overflow, waiting, .. } = state;
        let next = cost(&overflow.ready.front()?.batch);
        let is_due = waiting.is_empty() || overflow.credit >= next;
        if !is_due || overflow.sending >= drains_max {
            return None;
        }
        if !waiting.is_empty() {
            overflow.credit -= next;
        }
        overflow.sending += 1;
        self.desk.wake.notify_one();
        Some(Work::Spooled(overflow.ready.pop_front()?, Draining(self)))
    }

    /// What is to go to disk now: what is left over at the end, and while the pool holds too much what has waited longest.
    pub(in crate::nozzle::deliver) fn spill(&self) -> Vec<Admitted> {
        let mut state = self.lock();
        let mut out = std::mem::take(&mut state.overflow.left);
        let mut bytes: usize = out.iter().map(|admitted| cost(&admitted.batch)).sum();
        let mark = self.mark(&state);
        while bytes < ROUND_BYTES && self.room.used_bytes() - bytes.min(self.room.used_bytes()) > mark {
            let Some(oldest) = state.waiting.pop_front() else { break };
            self.count_out(&mut state, &oldest.batch);
            bytes += cost(&oldest.batch);
            out.push(oldest);
        }
        out
    }

    /// Everything that waits, for those who only count it.
    pub(in crate::nozzle::deliver) fn spill_all(&self) -> Vec<Admitted> {
        let mut state = self.lock();
        let mut out = std::mem::take(&mut state.overflow.left);
        while let Some(admitted) = state.waiting.pop_front() {
            self.count_out(&mut state, &admitted.batch);
            out.push(admitted);
        }
        out
    }

    /// Takes back what the disk did not take, in order.
    pub(in crate::nozzle::deliver) fn unspill(&self, batches: Vec<Admitted>) {
        let mut state = self.lock();
        for admitted in batches.into_iter().rev() {
            self.count_in(&mut state, &admitted.batch);
            state.waiting.push_front(admitted);
        }
        drop(state);
        self.arrived.notify_waiters();
    }

    /// Keeps a batch that could not be delivered in time.
    pub(in crate::nozzle::deliver) fn leave(&self, batch: Batch, place: Place) {
        // Nothing of it is to be confirmed.
        drop(self.keep(Rest { left: vec![batch], ..Rest::default() }, place));
    }

    /// Room for a batch from disk, if one should be read. It is not to take the room of what comes in, nor drive that to
    /// disk; but one at a time may come as long as there is any.
    pub(in crate::nozzle::deliver) fn reserve(&self, bytes: usize) -> Option<Place> {
        let state = self.lock();
        let overflow = &state.overflow;
        let wanted = !overflow.ended && overflow.ready.len() < READY_MAX;
        let is_only = overflow.ready.is_empty() && overflow.sending == 0;
        let fits = is_only || self.room.used_bytes() + bytes <= self.mark(&state);
        // Under the lock, as all who take room.
        (wanted && fits && self.room.missing(bytes) == 0).then(|| self.room.take(Tally::default(), bytes))
    }

    /// A batch from disk is at hand.
    pub(in crate::nozzle::deliver) fn ready(&self, admitted: Admitted) {
        self.lock().overflow.ready.push_back(admitted);
        self.arrived.notify_one();
    }

    /// Whether there is more on disk.
    pub(in crate::nozzle::deliver) fn has_unread(&self, unread: bool) {
        self.lock().overflow.unread = unread;
        if !unread {
            self.arrived.notify_waiters();
        }
    }

    /// No more is sent from disk; gives what was at hand.
    pub(in crate::nozzle::deliver) fn end_draining(&self) -> Vec<Admitted> {
        let mut state = self.lock();
        state.overflow.ended = true;
        let ready = state.overflow.ready.drain(..).collect();
        drop(state);
        self.arrived.notify_waiters();
        ready
    }

    /// Waits until something has left.
    pub(in crate::nozzle::deliver) fn freed(&self) -> tokio::sync::futures::Notified<'_> {
        self.room.freed()
    }
}
