//! The room between workers and senders, bounded in bytes.
//!
//! Invariants: what waits, what is being sent, what is set aside and what is to be confirmed take no more than the capacity together,
//! counted as the memory they hold; every event that comes in leaves to a sender or is counted as
//! dropped; the ledger counts a batch as pooled as long as its [`Place`] exists. What goes to disk and comes from there passes
//! through `overflow`.

mod full;
mod overflow;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::overflow::Overflow;
pub(super) use self::overflow::{Draining, OnDisk};
use super::fair::Flows;
use super::room::{Place, Room, cost, deferred_cost, pending_cost};
use super::shed::{Shed, ShedApp};
use super::ticket::Desk;
use crate::hec::batch::{Batch, Tally};
use crate::hec::{Deferred, Pending};
use crate::nozzle::config::WhenFull;
use crate::nozzle::ledger::{Drop as DropReason, Ledger};

/// How many requests that were set aside are looked at for one that can be judged. What shows that of one
/// shows it of those set aside before, too, so no more are needed.
const ASIDE_LOOKS: usize = 64;

/// How large batches may become by adding the rests of others.
#[derive(Clone, Copy, Debug)]
pub struct MergeLimits {
    /// HEC_BATCH_BYTES.
    pub bytes: usize,
    /// HEC_BATCH_SIZE.
    pub events: usize,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Pool {
    room: Arc<Room>,
    when_full: WhenFull,
    merge: MergeLimits,
    state: Mutex<State>,
    /// Told when something may be taken, and when the pool is closed.
    arrived: Notify,
    /// Workers that wait for room do so one after another, or large batches would never get any.
    turn: tokio::sync::Mutex<()>,
    /// What there is to do for the spool.
    desk: Arc<Desk>,
}

#[derive(Debug)]
struct State {
    /// Oldest first.
    waiting: VecDeque<Admitted>,
    /// What cannot be judged until other data was tried.
    aside: VecDeque<SetAside>,
    /// Whether one of these is with a sender although it cannot be judged.
    testing: bool,
    /// Batches that HEC has taken and an indexer has yet to confirm.
    unconfirmed: usize,
    unconfirmed_bytes: usize,
    flows: Flows,
    shed: Shed,
    overflow: Overflow,
    closed: bool,
}

/// A batch in the pool.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) batch: Batch,
    pub(super) place: Place,
}

/// Events in the pool that are to be tried again after others.
#[derive(Debug)]
pub(super) struct SetAside {
    pub(super) deferred: Deferred,
    pub(super) place: Place,
}

/// What is left of a batch that was with a sender.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// To be tried again after others.
    pub(super) deferred: Vec<Deferred>,
    /// To be confirmed.
    pub(super) pending: Vec<Pending>,
    /// What could not be delivered in time and is to go to disk.
    pub(super) left: Vec<Batch>,
}

/// What a sender gets to do.
#[derive(Debug)]
pub(super) enum Work<'a> {
    /// A batch.
    New(Admitted),
    /// A batch from disk.
    Spooled(Admitted, Draining<'a>),
    /// Events that were set aside.
    Again(SetAside, Option<Test<'a>>),
}

/// Leave to try what cannot be judged, for one at a time: the others are to take what comes in.
#[derive(Debug)]
pub(super) struct Test<'a>(&'a Pool);

impl Drop for Test<'_> {
    fn drop(&mut self) {
        self.0.lock().testing = false;
        self.0.arrived.notify_waiters();
    }
}

/// How full the pool is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolStatus {
    /// Batches waiting for a sender.
    pub waiting_batches: usize,
    /// Requests set aside until other data shows whether they, or what refused them, are to blame.
    pub set_aside: usize,
    /// Batches that HEC has taken and an indexer has yet to confirm.
    pub awaiting_acks: usize,
    /// Bytes of batches waiting, being sent, set aside or to be confirmed.
    pub bytes: usize,
    /// The most there has been.
    pub high_water_bytes: usize,
    /// DELIVERY_MAX_BYTES.
    pub capacity_bytes: usize,
    /// Whose events were dropped for want of room, with QUEUE_WHEN_FULL=fair: the heaviest first.
    pub shed: Vec<ShedApp>,
}

impl Pool {
    pub(super) fn new(
        capacity_bytes: usize,
        when_full: WhenFull,
        merge: MergeLimits,
        ledger: Arc<Ledger>,
    ) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            aside: VecDeque::new(),
            testing: false,
            unconfirmed: 0,
            unconfirmed_bytes: 0,
            flows: Flows::new(),
            shed: Shed::default(),
            overflow: Overflow::default(),
            closed: false,
        };
        Self {
            room: Arc::new(Room::new(capacity_bytes, ledger)),
            when_full,
            merge,
            state: Mutex::new(state),
            arrived: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            desk: Arc::default(),
        }
    }

    /// Takes a batch in, or drops and counts what there is no room for.
    ///
    /// Waits only with [`WhenFull::Block`], and then until there is room or `stop` is cancelled.
    pub(super) async fn admit(&self, mut batch: Batch, stop: &CancellationToken) {
        batch.shrink();
        loop {
            if self.when_full == WhenFull::Block && !self.wait_for_room(cost(&batch), stop).await {
                return self.room.ledger().dropped(DropReason::Shutdown, batch.tally());
            }
            match self.push(batch, stop) {
                None => return self.arrived.notify_one(),
                // Another worker was faster than the one that waited.
                Some(refused) => batch = refused,
            }
        }
    }

    /// Takes a batch in as far as there is room, and gives it back if it should wait.
    fn push(&self, mut batch: Batch, stop: &CancellationToken) -> Option<Batch> {
        let before = batch.tally();
        let mut state = self.lock();
        self.count_in(&mut state, &batch);
        if self.room.missing(cost(&batch)) > 0 {
            match self.when_full {
                WhenFull::Fair => self.shed(&mut state, &mut batch),
                WhenFull::DropOldest => self.drop_oldest(&mut state, &batch),
                WhenFull::DropNewest => {}
                WhenFull::Block => return Some(batch),
            }
        }
        if batch.is_empty() {
            return None;
        }
        if self.room.missing(cost(&batch)) > 0 {
            self.count_out(&mut state, &batch);
            let reason = if stop.is_cancelled() { DropReason::Shutdown } else { DropReason::DeliveryFull };
            self.room.ledger().dropped(reason, batch.tally());
            return None;
        }
        let is_rest = batch.tally() != before;
        if !(is_rest && self.merge(&mut state, &batch)) {
            let place = self.room.take(batch.tally(), cost(&batch));
            state.waiting.push_back(Admitted { batch, place });
        }
        self.tell_of_overflow(&state);
        None
    }

    /// Whether batches wait for a sender.
    pub(super) fn is_backlogged(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// What is to be done next: what was set aside and can be judged, else the batch that has waited
    /// longest, or one from disk if it is their turn and fewer than `drains_max` are being sent, else something to test
    /// with. `None` when the pool is closed and empty.
    ///
    /// Cancel safe.
    pub(super) async fn take(
        &self,
        drains_max: usize,
        can_judge: impl Fn(&Deferred) -> bool,
    ) -> Option<Work<'_>> {
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            // Registered before looking, so that nothing that comes in between is missed.
            arrived.as_mut().enable();
            {
                let mut state = self.lock();
                let mut aside = state.aside.iter().take(ASIDE_LOOKS);
                let ripe = aside.position(|aside| can_judge(&aside.deferred));
                if let Some(aside) = ripe.and_then(|at| state.aside.remove(at)) {
                    return Some(Work::Again(aside, None));
                }
                if let Some(spooled) = self.take_spooled(&mut state, drains_max) {
                    return Some(spooled);
                }
                if let Some(admitted) = state.waiting.pop_front() {
                    state.overflow.live_sent(cost(&admitted.batch));
                    self.count_out(&mut state, &admitted.batch);
                    return Some(Work::New(admitted));
                }
                if !state.testing
                    && let Some(aside) = state.aside.pop_front()
                {
                    state.testing = true;
                    return Some(Work::Again(aside, Some(Test(self))));
                }
                // What is to be confirmed may have to be sent again.
                if state.closed
                    && state.aside.is_empty()
                    && !state.testing
                    && state.unconfirmed == 0
                    && !state.overflow.is_drained_to_the_end()
                {
                    return None;
                }
            }
            arrived.await;
        }
    }

    /// Keeps the rest of a batch in place of the whole. Gives places to what is to be confirmed; each of them has to
    /// come back by [`Pool::confirmed`].
    pub(super) fn keep(&self, rest: Rest, mut place: Place) -> Vec<(Pending, Place)> {
        let Rest { deferred, pending, left } = rest;
        if deferred.is_empty() && pending.is_empty() && left.is_empty() {
            return Vec::new();
        }
        let (has_deferred, has_left) = (!deferred.is_empty(), !left.is_empty());
        let ticket = place.ticket().cloned();
        let in_place = |tally, bytes| self.room.take(tally, bytes).of(ticket.clone());
        let mut state = self.lock();
        // It takes no more than before, and the lock keeps others from taking the room in between.
        place.shrink_to(0, Tally::default());
        for deferred in deferred {
            let place = in_place(deferred.tally(), deferred_cost(&deferred));
            state.aside.push_back(SetAside { deferred, place });
        }
        for batch in left {
            let place = in_place(batch.tally(), cost(&batch));
            state.overflow.leave(Admitted { batch, place });
        }
        let mut unconfirmed = Vec::with_capacity(pending.len());
        for pending in pending {
            let place = in_place(pending.tally(), pending_cost(&pending));
            state.unconfirmed += 1;
            state.unconfirmed_bytes += place.bytes();
            unconfirmed.push((pending, place));
        }
        drop(state);
        if has_deferred {
            self.arrived.notify_one();
        }
        if has_left {
            self.desk.wake.notify_one();
        }
        unconfirmed
    }

    /// It is known what became of a batch that was to be confirmed; what has to be sent again comes back.
    pub(super) fn confirmed(&self, again: Option<Deferred>, place: Place) {
        let mut state = self.lock();
        state.unconfirmed -= 1;
        state.unconfirmed_bytes -= place.bytes();
        if let Some(deferred) = again {
            // It can be sent at once: before what only waits to be judged, of which not all is looked at.
            state.aside.push_front(SetAside { deferred, place });
        }
        drop(state);
        // Senders may be waiting for the last one.
        self.arrived.notify_waiters();
    }

    /// Nothing will come in any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_waiters();
    }

    pub(super) fn status(&self) -> PoolStatus {
        let state = self.lock();
        PoolStatus {
            waiting_batches: state.waiting.len(),
            set_aside: state.aside.len(),
            awaiting_acks: state.unconfirmed,
            bytes: self.room.used_bytes(),
            high_water_bytes: self.room.high_water_bytes(),
            capacity_bytes: self.room.capacity_bytes(),
            shed: state.shed.top(),
        }
    }

    fn count_in(&self, state: &mut State, batch: &Batch) {
        if self.when_full == WhenFull::Fair {
            state.flows.add(batch);
        }
    }

    fn count_out(&self, state: &mut State, batch: &Batch) {
        if self.when_full == WhenFull::Fair {
            state.flows.remove(batch);
        }
    }

    /// Waits until there is room; false if `stop` came first.
    async fn wait_for_room(&self, bytes: usize, stop: &CancellationToken) -> bool {
        let wait = async {
            let _turn = self.turn.lock().await;
            loop {
                let freed = self.room.freed();
                tokio::pin!(freed);
                freed.as_mut().enable();
                if self.room.missing(bytes) == 0 {
                    return;
                }
                freed.await;
            }
        };
        tokio::select! {
            biased;
            () = wait => true,
            () = stop.cancelled() => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
