//! What goes when the pool is full: the newest events of the heaviest flows, or the oldest batches.

use super::{Admitted, Pool, State};
use crate::hec::batch::{Batch, EventMark, Tally};
use crate::nozzle::deliver::room::cost;
use crate::nozzle::ledger::Drop as DropReason;

/// When something has to go to make room, it is at least this part of the pool: looking for it goes through
/// what waits, and should not be needed for every batch.
const SHED_PART: usize = 256;

/// How many of the newest batches are looked at for one that a rest can be added to.
const MERGE_LOOKS: usize = 8;

impl Pool {
    /// Drops the newest events of the heaviest flows, among those that come and those that wait.
    pub(super) fn shed(&self, state: &mut State, batch: &mut Batch) {
        let State { waiting, flows, shed, .. } = state;
        let excess = self.room.missing(cost(batch)).max(self.room.capacity_bytes() / SHED_PART) as u64;
        let level = flows.level(excess);
        let mut count = |mark: EventMark, event: &[u8]| shed.count(mark.flow, event);
        let before = batch.tally();
        let mut freed = flows.shed(batch, level, excess, &mut count);
        batch.shrink_to_fit();
        self.drop_difference(before, batch.tally());
        for Admitted { batch, place } in waiting.iter_mut().rev() {
            if freed >= excess {
                break;
            }
            let before = batch.tally();
            freed += flows.shed(batch, level, excess - freed, &mut count);
            if batch.tally() != before {
                batch.shrink_to_fit();
                self.drop_difference(before, batch.tally());
                place.shrink_to(cost(batch), batch.tally());
            }
        }
        waiting.retain(|admitted| !admitted.batch.is_empty());
    }

    fn drop_difference(&self, before: Tally, after: Tally) {
        let mut less = before;
        less -= after;
        self.room.ledger().dropped(DropReason::DeliveryFull, less);
    }

    pub(super) fn drop_oldest(&self, state: &mut State, batch: &Batch) {
        while self.room.missing(cost(batch)) > 0 {
            let Some(oldest) = state.waiting.pop_front() else { return };
            self.room.ledger().dropped(DropReason::DeliveryFull, oldest.batch.tally());
        }
    }

    /// Adds what shedding left of a batch to one of the newest of its index; false if none has room.
    /// Else an outage would turn what is kept of many batches into as many small requests.
    pub(super) fn merge(&self, state: &mut State, rest: &Batch) -> bool {
        let fits = |admitted: &&mut Admitted| {
            let batch = &admitted.batch;
            batch.index() == rest.index()
                && batch.committed() + rest.committed() <= self.merge.bytes
                && batch.len() + rest.len() <= self.merge.events
        };
        let newest = state.waiting.iter_mut().rev().take(MERGE_LOOKS);
        let Some(Admitted { batch, place }) = newest.into_iter().find(fits) else { return false };
        batch.append(rest);
        place.absorb(self.room.take(rest.tally(), cost(rest)));
        place.shrink_to(cost(batch), batch.tally());
        true
    }
}
