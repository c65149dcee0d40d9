//! The end of the keeper: what is left goes to disk, and what dies with that is counted.

use std::pin::Pin;

use tokio::task::spawn_blocking;

use super::Keeper;
use super::job::Job;
use crate::nozzle::deliver::room::Place;
use crate::nozzle::ledger::Drop as DropReason;

impl Keeper {
    /// The end: all that is left goes to disk, and what dies with that is counted.
    pub(super) async fn finish(&mut self, mut limit: Pin<&mut impl Future<Output = ()>>) {
        self.end_draining();
        loop {
            let write = self.pool.spill_all();
            let job = Job { settled: self.desk.take_settled(), write, sync: true, ..Job::default() };
            if job.is_idle() {
                break;
            }
            if self.spool.is_some() && self.write.is_due() {
                self.carry_out(job, limit.as_mut()).await;
            } else {
                job.write.into_iter().for_each(|admitted| self.give_up(&admitted.place));
            }
        }
        let last = Job { sync: self.write.is_due(), ..Job::default() };
        if self.status().open && (self.spool.is_none() || !self.carry_out(last, limit.as_mut()).await) {
            self.write.too_slow(&self.settings.folder);
        }
        if !self.settings.persistent {
            self.clear(limit).await;
        }
    }

    /// What is in the spool of a container at its end is lost with the container.
    async fn clear(&mut self, limit: Pin<&mut impl Future<Output = ()>>) {
        let spooled = self.ledger.held_by_spool();
        self.ledger.unspooled(spooled);
        self.ledger.dropped(DropReason::EphemeralDisk, spooled);
        let Some(mut spool) = self.spool.take() else { return };
        // Where the disk lives on all the same, the next start must not count it again.
        let cleared = tokio::select! {
            cleared = spawn_blocking(move || spool.clear()) => cleared,
            () = limit => return,
        };
        if let Ok(Err(error)) = cleared {
            self.write.failed(&self.settings.folder, &error);
        }
    }

    /// There is no time for what is here: it is on disk if it came from there, else lost.
    pub(super) fn give_up(&self, place: &Place) {
        match place.ticket() {
            Some(ticket) => {
                ticket.keep();
                self.ledger.spooled(place.tally());
            }
            None => self.ledger.dropped(DropReason::Shutdown, place.tally()),
        }
    }
}
