//! What a turn at the disk came to: the pool, the ledger and the status are told.

use tokio::time::Instant;

use super::job::Done;
use super::{Keeper, SYNC_EVERY};
use crate::hec::batch::Tally;
use crate::hec::spool::{Losses, Spool};
use crate::nozzle::deliver::pool::Admitted;
use crate::nozzle::deliver::room::{Place, cost};
use crate::nozzle::deliver::ticket::Ticket;
use crate::nozzle::ledger::Drop as DropReason;

impl Keeper {
    pub(super) fn account(
        &mut self,
        done: Done,
        places: Vec<Place>,
        place: Option<Place>,
        is_write: bool,
        look: bool,
    ) {
        let Done { spool, unwritten, write_error, read, read_error, next_bytes } = done;
        let mut spool = spool;
        let written = places.len() - unwritten.len();
        let mut places = places.into_iter();
        for place in places.by_ref().take(written) {
            self.ledger.spooled(place.tally());
        }
        let back = |(batch, place)| Admitted { batch, place };
        self.return_unwritten(unwritten.into_iter().zip(places).map(back).collect());
        match write_error {
            Some(error) => self.write.failed(&self.settings.folder, &error),
            None if is_write => self.write.succeeded(),
            None => {}
        }
        match &read_error {
            Some(error) => self.read.cannot_read(&self.settings.folder, error),
            None if look => self.read.can_read(),
            None => {}
        }
        if let (Some(stored), Some(mut place)) = (read, place) {
            let tally = stored.batch.tally();
            place.fill(cost(&stored.batch), tally);
            self.ledger.unspooled(tally);
            let place = place.of(Some(Ticket::new(stored.id, tally, &self.desk)));
            self.pool.ready(Admitted { batch: stored.batch, place });
        }
        self.lose(spool.take_losses());
        if look && read_error.is_none() {
            self.next_bytes = next_bytes;
        }
        let unsynced = spool.is_unsynced();
        self.sync_at = unsynced.then(|| self.sync_at.unwrap_or_else(|| Instant::now() + SYNC_EVERY));
        self.pool.has_unread(spool.figures().batches > 0);
        self.publish(&spool);
        self.spool = Some(spool);
    }

    /// What the disk did not take waits for it, or is sent by others before that.
    fn return_unwritten(&self, batches: Vec<Admitted>) {
        let (left, waiting): (Vec<_>, Vec<_>) =
            batches.into_iter().partition(|admitted| admitted.place.ticket().is_some());
        for Admitted { batch, place } in left {
            self.pool.leave(batch, place);
        }
        if !waiting.is_empty() {
            self.pool.unspill(waiting);
        }
    }

    fn lose(&self, losses: Losses) {
        for (reason, tally) in
            [(DropReason::SpoolFull, losses.evicted), (DropReason::SpoolDamaged, losses.damaged)]
        {
            if tally != Tally::default() {
                self.ledger.unspooled(tally);
                self.ledger.dropped(reason, tally);
            }
        }
        if losses.damaged_batches > 0 {
            self.status().damaged_batches += losses.damaged_batches;
        }
    }

    fn publish(&self, spool: &Spool) {
        let figures = spool.figures();
        let trouble = self.write.text().or_else(|| self.read.text());
        let mut status = self.status();
        status.open = true;
        status.batches = figures.batches;
        status.envelopes = figures.tally.units;
        status.bytes = figures.bytes;
        status.oldest_unix_ms = figures.oldest_ms;
        status.trouble = trouble;
    }
}
