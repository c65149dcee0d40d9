//! Room in the pool: a bound in bytes, and places that give back what they took.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::ticket::Ticket;
use crate::hec::batch::{Batch, Tally};
use crate::hec::{Deferred, Pending};
use crate::nozzle::ledger::Ledger;

/// What a batch takes beside its body and its marks, generously.
pub(super) const BATCH_BYTES: usize = 512;

/// What is used, and where it is counted.
#[derive(Debug)]
pub(super) struct Room {
    capacity_bytes: usize,
    used_bytes: AtomicUsize,
    high_water_bytes: AtomicUsize,
    ledger: Arc<Ledger>,
    /// Told when something has left.
    freed: Notify,
}

impl Room {
    pub(super) fn new(capacity_bytes: usize, ledger: Arc<Ledger>) -> Self {
        Self {
            capacity_bytes,
            used_bytes: AtomicUsize::new(0),
            high_water_bytes: AtomicUsize::new(0),
            ledger,
            freed: Notify::new(),
        }
    }

    pub(super) fn capacity_bytes(&self) -> usize {
        self.capacity_bytes
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.used_bytes.load(Relaxed)
    }

    pub(super) fn high_water_bytes(&self) -> usize {
        self.high_water_bytes.load(Relaxed)
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Waits until something has left.
    pub(super) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }

    /// Bytes missing for so many more.
    pub(super) fn missing(&self, bytes: usize) -> usize {
        // A batch larger than the whole pool takes all of it, rather than never fitting.
        let bytes = bytes.min(self.capacity_bytes);
        (self.used_bytes.load(Relaxed) + bytes).saturating_sub(self.capacity_bytes)
    }

    /// Only with the pool's lock held, after a look that nothing is missing.
    pub(super) fn take(self: &Arc<Self>, tally: Tally, bytes: usize) -> Place {
        let bytes = bytes.min(self.capacity_bytes);
        let used = self.used_bytes.fetch_add(bytes, Relaxed) + bytes;
        self.high_water_bytes.fetch_max(used, Relaxed);
        self.ledger.pooled(tally);
        Place { tally, bytes, ticket: None, room: Arc::clone(self) }
    }
}

/// The place of a batch in the pool: its room, and its share of what is held. Both are given back
/// when it is dropped, so a batch that vanishes without a verdict shows in the ledger.
#[derive(Debug)]
pub(super) struct Place {
    tally: Tally,
    bytes: usize,
    /// The record on disk, if the batch comes from there.
    ticket: Option<Arc<Ticket>>,
    room: Arc<Room>,
}

impl Place {
    /// What the batch comes from on disk.
    pub(super) fn ticket(&self) -> Option<&Arc<Ticket>> {
        self.ticket.as_ref()
    }

    /// The same place, for what comes from this record.
    pub(super) fn of(mut self, ticket: Option<Arc<Ticket>>) -> Self {
        self.ticket = ticket;
        self
    }

    /// A place that was taken in advance holds a batch from now on.
    pub(super) fn fill(&mut self, bytes: usize, tally: Tally) {
        self.shrink_to(bytes, self.tally);
        self.room.ledger.pooled(tally);
        self.tally += tally;
    }

    /// The room it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is held here.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Gives back what the batch no longer takes.
    pub(super) fn shrink_to(&mut self, bytes: usize, tally: Tally) {
        let bytes = bytes.min(self.bytes);
        self.room.used_bytes.fetch_sub(self.bytes - bytes, Relaxed);
        let mut less = self.tally;
        less -= tally;
        self.room.ledger.unpooled(less);
        (self.bytes, self.tally) = (bytes, tally);
        self.room.freed.notify_waiters();
    }

    /// Takes over the place of what was added to the batch.
    pub(super) fn absorb(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
        self.tally += std::mem::take(&mut other.tally);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.used_bytes.fetch_sub(self.bytes, Relaxed);
        self.room.ledger.unpooled(self.tally);
        self.room.freed.notify_waiters();
    }
}

/// What a batch takes.
pub(super) fn cost(batch: &Batch) -> usize {
    batch.memory() + BATCH_BYTES
}

/// What deferred events take.
pub(super) fn deferred_cost(deferred: &Deferred) -> usize {
    deferred.memory() + BATCH_BYTES
}

/// What events take that are to be confirmed.
pub(super) fn pending_cost(pending: &Pending) -> usize {
    pending.memory() + BATCH_BYTES
}
