//! Delivery: sealed batches wait here for HEC, bounded in bytes, and are settled in the ledger.
//!
//! The `pool` decides when there is no room ([`WhenFull`]), by `fair` shares if so configured, and `shed` remembers
//! whose events went; `refused` keeps events that Splunk refuses. Senders take batches in order, as many as HEC's
//! endpoints can do with, and hand them to the HEC client, which answers for each event. With a disk spool the `keeper` moves what
//! the pool has too much of to disk and back; a `ticket` ties a batch from there to its record.

mod fair;
mod keeper;
mod pool;
mod refused;
mod room;
mod shed;
mod ticket;

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

pub use self::keeper::{Ends, Keeper, RETRY_EVERY, SpoolSettings, SpoolStatus};
use self::pool::{Admitted, OnDisk, Pool, Rest, SetAside, Work};
pub use self::pool::{MergeLimits, PoolStatus};
use self::refused::Refused;
use self::room::Place;
pub use self::shed::ShedApp;
use crate::hec::batch::Batch;
use crate::hec::dead_letter::{DeadLetterStatus, DeadLetters};
use crate::hec::{Client, Confirmation, Deferred, Delivery, Pending, Slot};
use crate::nozzle::config::WhenFull;
use crate::nozzle::ledger::{Drop as DropReason, Ledger};

/// The most requests under way at once; how many each endpoint gets is the client's to find out.
pub const SENDERS: usize = 64;

/// The part of the slots that batches from disk may have: a live batch finds one of the others.
const DRAIN_PART: usize = 2;

/// Makes a pool for `capacity_bytes` of batches: waiting, being sent, being tried again.
pub fn pool(
    capacity_bytes: usize,
    when_full: WhenFull,
    merge: MergeLimits,
    dead_letters: Option<DeadLetters>,
    ledger: Arc<Ledger>,
) -> (Admission, Outbox) {
    let pool = Arc::new(Pool::new(capacity_bytes, when_full, merge, Arc::clone(&ledger)));
    let refused = Arc::new(Refused::new(dead_letters));
    let outbox = Outbox { pool: Arc::clone(&pool), refused, ledger, spool: None };
    (Admission { entrance: Arc::new(Entrance(pool)) }, outbox)
}

/// The workers' end of the pool. It closes when the last clone is gone.
#[derive(Clone, Debug)]
pub struct Admission {
    entrance: Arc<Entrance>,
}

#[derive(Debug)]
struct Entrance(Arc<Pool>);

impl Drop for Entrance {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Admission {
    /// Hands over a batch; what there is no room for is dropped and counted, there or of what waits.
    ///
    /// Waits only with [`WhenFull::Block`], and then until there is room or `stop` is cancelled.
    pub async fn admit(&self, batch: Batch, stop: &CancellationToken) {
        self.entrance.0.admit(batch, stop).await;
    }

    /// Whether batches wait for a sender: then sealing small ones early gains nothing.
    pub fn is_backlogged(&self) -> bool {
        self.entrance.0.is_backlogged()
    }
}

/// The senders' end of the pool.
#[derive(Clone, Debug)]
pub struct Outbox {
    pool: Arc<Pool>,
    refused: Arc<Refused>,
    ledger: Arc<Ledger>,
    spool: Option<Arc<Mutex<SpoolStatus>>>,
}

impl Outbox {
    /// Lets what the pool has no room for go to disk; the keeper is to be run.
    pub fn spool_to(&mut self, settings: SpoolSettings) -> Keeper {
        let status = Arc::new(Mutex::new(SpoolStatus::new(&settings)));
        self.spool = Some(Arc::clone(&status));
        Keeper::new(Arc::clone(&self.pool), Arc::clone(&self.ledger), settings, status)
    }

    /// How the disk spool is, if there is one.
    pub fn spool(&self) -> Option<SpoolStatus> {
        self.spool.as_ref().map(|status| status.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// How full the pool is.
    pub fn status(&self) -> PoolStatus {
        self.pool.status()
    }

    /// What became of dead letters, if they are written.
    pub fn dead_letters(&self) -> Option<DeadLetterStatus> {
        self.refused.status()
    }

    /// Sends batches until the pool is closed and empty, and all are confirmed that are to be. After `stop` is
    /// cancelled nothing is sent any more: what is left is counted as lost, or as unconfirmed if HEC has taken it.
    pub async fn send_all(self, client: Arc<Client>, stop: CancellationToken) {
        loop {
            // What no endpoint could take yet stays in the pool, where it counts as waiting.
            let slot = stop.run_until_cancelled(client.slot()).await;
            let drains_max = slot.as_ref().map_or(0, Slot::of) / DRAIN_PART;
            let Some(work) = self.next(&client, drains_max, &stop).await else { break };
            let (delivery, place) = match work {
                // What need not be sent any more, nor is lost.
                Work::New(Admitted { batch, place }) if stop.is_cancelled() && self.keeps() => {
                    self.pool.leave(batch, place);
                    continue;
                }
                Work::New(Admitted { batch, place }) => (client.deliver_or_defer(batch, &stop).await, place),
                Work::Spooled(Admitted { batch, place }, _draining) => {
                    (client.deliver_or_defer(batch, &stop).await, place)
                }
                Work::Again(SetAside { deferred, place }, _test) => {
                    (client.resume(deferred, &stop).await, place)
                }
            };
            self.settle(delivery, place, &stop).await;
        }
    }

    async fn next(&self, client: &Client, drains_max: usize, stop: &CancellationToken) -> Option<Work<'_>> {
        let take = self.pool.take(drains_max, |deferred| client.can_judge(deferred));
        tokio::pin!(take);
        tokio::select! {
            biased;
            work = &mut take => return work,
            () = stop.cancelled() => {}
        }
        client.give_up_acks();
        take.await
    }

    /// No sender waits for an ack: it may take minutes. The batch keeps its place.
    fn await_ack(&self, pending: Pending, place: Place) {
        let (pool, ledger) = (Arc::clone(&self.pool), Arc::clone(&self.ledger));
        pending.then(move |confirmation| {
            let again = match confirmation {
                Confirmation::Settled(outcome) => {
                    ledger.delivered(outcome.delivered);
                    ledger.unconfirmed(outcome.unconfirmed);
                    None
                }
                Confirmation::Again(deferred) => Some(deferred),
            };
            pool.confirmed(again, place);
        });
    }

    /// Counts what became of a batch. When its place is gone it is settled on disk as well, if it came from there.
    async fn settle(&self, delivery: Delivery, place: Place, stop: &CancellationToken) {
        let Delivery { outcome, deferred, pending, undelivered } = delivery;
        let keeps = self.keeps();
        self.ledger.delivered(outcome.delivered);
        self.ledger.unconfirmed(outcome.unconfirmed);
        self.ledger.rerouted(outcome.rerouted);
        self.ledger.dropped(DropReason::RetriesExhausted, outcome.abandoned);
        if !keeps {
            self.ledger.dropped(DropReason::Shutdown, outcome.undelivered);
        }
        for rejection in &outcome.rejected {
            self.ledger.rejected(&refused::label(rejection), rejection.tally);
        }
        self.refused.keep(outcome.rejected).await;
        let mut rest = Rest { deferred, pending, left: Vec::new() };
        if keeps {
            rest.left = undelivered;
            if stop.is_cancelled() {
                rest.left.extend(rest.deferred.drain(..).map(Deferred::into_batch));
            }
        }
        for (pending, place) in self.pool.keep(rest, place) {
            self.await_ack(pending, place);
        }
    }

    /// Whether what cannot be delivered in time goes to disk, and is there at the next start.
    fn keeps(&self) -> bool {
        self.pool.on_disk() == OnDisk::Kept
    }

    /// Prints bodies instead of sending them (DEBUG).
    pub async fn print_all(self, stop: CancellationToken) {
        while let Some(work) = self.pool.take(0, |_| false).await {
            // Nothing is ever set aside, nobody refuses anything; nor is there a spool.
            let Work::New(Admitted { batch, place }) = work else { continue };
            if stop.is_cancelled() {
                self.ledger.dropped(DropReason::Shutdown, batch.tally());
            } else {
                print(&batch);
                self.ledger.delivered(batch.tally());
            }
            drop(place);
        }
    }
}

#[allow(clippy::print_stdout, reason = "DEBUG asks for bodies on standard output")]
pub(in crate::nozzle) fn print(batch: &Batch) {
    println!("{}", String::from_utf8_lossy(batch.body()));
}

#[cfg(test)]
mod tests;
