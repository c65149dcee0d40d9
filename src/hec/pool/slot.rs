//! How many batches callers should have in hand: as many as the endpoints can take at present.
//!
//! A batch that a delivery has taken can no longer be merged with others, nor make room for more
//! important ones. So a caller with many batches takes a slot before it takes a batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::{Notify, Semaphore};

use super::{Pool, Site};

/// Slots there always are, so that a batch is at hand when an endpoint comes back or gets room.
const SLOTS_MIN: usize = 8;

/// Who has a slot, and who waits for one.
#[derive(Debug)]
pub(super) struct Slots {
    taken: Arc<AtomicUsize>,
    /// Who waits waits in turn.
    turnstile: Semaphore,
}

impl Default for Slots {
    fn default() -> Self {
        Self { taken: Arc::default(), turnstile: Semaphore::new(1) }
    }
}

/// Leave to take a batch; given back when dropped.
#[derive(Debug)]
#[must_use]
pub struct Slot {
    taken: Arc<AtomicUsize>,
    moved: Arc<Notify>,
    of: usize,
}

impl Slot {
    /// How many there were when it was taken.
    pub fn of(&self) -> usize {
        self.of
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Relaxed);
        self.moved.notify_waiters();
    }
}

impl Pool {
    /// Waits until there is a slot. Cancel safe; but who asks anew comes last.
    pub(crate) async fn slot(&self) -> Slot {
        // It is never closed. Only who has the turn takes one, so looking and taking are one step.
        let _turn = self.slots.turnstile.acquire().await;
        let taken = &self.slots.taken;
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // From here on no change is missed.
            moved.as_mut().enable();
            let capacity = self.capacity();
            if taken.load(Relaxed) < capacity {
                taken.fetch_add(1, Relaxed);
                return Slot { taken: Arc::clone(taken), moved: Arc::clone(&self.moved), of: capacity };
            }
            moved.await;
        }
    }

    /// Requests the endpoints that take data may have under way, at the site where most may.
    fn capacity(&self) -> usize {
        let members = self.members();
        let of = |site| {
            let open = members.iter().filter(|it| it.target.site == site && it.gate.entry().is_open());
            open.map(|member| member.in_flight_max()).sum::<usize>()
        };
        of(Site::Primary).max(of(Site::Failover)).max(SLOTS_MIN)
    }
}
