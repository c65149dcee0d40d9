//! Delivery: sealed batches wait here for HEC, bounded in bytes, and are settled in the ledger.
//!
//! The `pool` decides when there is no room ([`WhenFull`]), by `fair` shares if so configured, and `shed` remembers
//! whose events went; `refused` keeps events that Splunk refuses. Senders take batches in order, as many as HEC's
//! endpoints can do with, and hand them to the HEC client, which answers for each event.

mod fair;
mod pool;
mod refused;
mod room;
mod shed;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use self::pool::{Admitted, Pool, SetAside, Work};
pub use self::pool::{MergeLimits, PoolStatus};
use self::refused::Refused;
use self::room::Place;
pub use self::shed::ShedApp;
use crate::hec::batch::Batch;
use crate::hec::dead_letter::{DeadLetterStatus, DeadLetters};
use crate::hec::{Client, Confirmation, Delivery, Outcome, Pending};
use crate::nozzle::config::WhenFull;
use crate::nozzle::ledger::{Drop as DropReason, Ledger};

/// The most requests under way at once; how many each endpoint gets is the client's to find out.
pub const SENDERS: usize = 64;

/// Makes a pool for `capacity_bytes` of batches: waiting, being sent, being tried again.
pub fn pool(
    capacity_bytes: usize,
    when_full: WhenFull,
    merge: MergeLimits,
    dead_letters: Option<DeadLetters>,
    ledger: Arc<Ledger>,
) -> (Admission, Outbox) {
    let pool = Arc::new(Pool::new(capacity_bytes, when_full, merge, Arc::clone(&ledger)));
    let outbox = Outbox { pool: Arc::clone(&pool), refused: Arc::new(Refused::new(dead_letters)), ledger };
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
}

impl Outbox {
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
            let _slot = stop.run_until_cancelled(client.slot()).await;
            let Some(work) = self.next(&client, &stop).await else { break };
            let (delivery, place) = match work {
                Work::New(Admitted { batch, place }) => (client.deliver_or_defer(batch, &stop).await, place),
                Work::Again(SetAside { deferred, place }, _test) => {
                    (client.resume(deferred, &stop).await, place)
                }
            };
            let Delivery { outcome, deferred, pending } = delivery;
            self.settle(outcome).await;
            for (pending, place) in self.pool.keep(deferred, pending, place) {
                self.await_ack(pending, place);
            }
        }
    }

    async fn next(&self, client: &Client, stop: &CancellationToken) -> Option<Work<'_>> {
        let take = self.pool.take(|deferred| client.can_judge(deferred));
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

    async fn settle(&self, outcome: Outcome) {
        self.ledger.delivered(outcome.delivered);
        self.ledger.unconfirmed(outcome.unconfirmed);
        self.ledger.rerouted(outcome.rerouted);
        self.ledger.dropped(DropReason::RetriesExhausted, outcome.abandoned);
        self.ledger.dropped(DropReason::Shutdown, outcome.undelivered);
        for rejection in &outcome.rejected {
            self.ledger.rejected(&refused::label(rejection), rejection.tally);
        }
        self.refused.keep(outcome.rejected).await;
    }

    /// Prints bodies instead of sending them (DEBUG).
    pub async fn print_all(self, stop: CancellationToken) {
        while let Some(work) = self.pool.take(|_| false).await {
            // Nothing is ever set aside: nobody refuses anything.
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
fn print(batch: &Batch) {
    println!("{}", String::from_utf8_lossy(batch.body()));
}

#[cfg(test)]
mod tests;
