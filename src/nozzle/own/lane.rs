//! From a buffer to Splunk: gathers what is there into a request, one at a time.
//!
//! The next request does not wait until an indexer has confirmed the last one: where confirmations do not come, these
//! events are what tells of it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Way;
use super::buffer::Exit;
use super::ledger::OwnLedger;
use crate::hec::batch::Batch;
use crate::hec::{Confirmation, Deferred, Delivery, Rejection};
use crate::nozzle::deliver;

/// How long the first event waits for others.
const GATHER_TIME: Duration = Duration::from_millis(500);

/// From how many bytes on a request is full.
const BATCH_BYTES: usize = 64 << 10;

/// The most requests whose confirmation is waited for; the others count as unconfirmed.
const PENDING_MAX: usize = 32;

/// How often a refusal is said at most.
const SAY_EVERY: Duration = Duration::from_mins(5);

tokio::task_local! {
    /// Set while own events are delivered.
    static DELIVERING: ();
}

/// Runs a task that delivers own events: what it logs becomes only few of them.
pub(super) fn delivering(task: impl Future<Output = ()> + Send) -> impl Future<Output = ()> + Send {
    DELIVERING.scope((), task)
}

/// Whether the present task is such a one.
pub(super) fn is_delivering() -> bool {
    DELIVERING.try_with(|()| ()).is_ok()
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Lane<T> {
    exit: Exit<T>,
    index: Arc<str>,
    way: Way,
    ledger: Arc<OwnLedger>,
    /// What HEC has taken and an indexer has yet to confirm.
    pending: FuturesUnordered<BoxFuture<'static, Option<Confirmation>>>,
    said: Option<Instant>,
}

impl<T> Lane<T> {
    pub(super) fn new(exit: Exit<T>, index: Arc<str>, way: Way, ledger: Arc<OwnLedger>) -> Self {
        Self { exit, index, way, ledger, pending: FuturesUnordered::new(), said: None }
    }

    /// Where its events go.
    pub(super) fn index(&self) -> &str {
        &self.index
    }

    /// Delivers until the buffer is closed, or `close` closes it, and it is empty. After `stop` what is
    /// left is counted.
    pub(super) async fn run(
        mut self,
        write: impl Fn(&T, &mut Vec<u8>),
        close: CancellationToken,
        stop: CancellationToken,
    ) {
        loop {
            let first = tokio::select! {
                biased;
                Some(confirmed) = self.pending.next() => {
                    self.confirmed(confirmed, &stop).await;
                    continue;
                }
                first = next(&mut self.exit, &close) => first,
            };
            let Some(first) = first else { break };
            let mut batch = Batch::new(Arc::clone(&self.index), 0);
            write(&first, batch.buffer());
            batch.commit(1);
            let over = sleep(GATHER_TIME);
            tokio::pin!(over);
            while batch.committed() < BATCH_BYTES {
                let next = tokio::select! {
                    biased;
                    next = next(&mut self.exit, &close) => next,
                    () = &mut over => None,
                };
                let Some(next) = next else { break };
                write(&next, batch.buffer());
                batch.commit(1);
            }
            self.deliver(batch, &stop).await;
        }
        while let Some(Some(confirmed)) = stop.run_until_cancelled(self.pending.next()).await {
            self.confirmed(confirmed, &stop).await;
        }
    }

    async fn deliver(&mut self, batch: Batch, stop: &CancellationToken) {
        match &self.way {
            Way::Print => {
                deliver::print(&batch);
                self.ledger.printed(batch.len() as u64);
            }
            Way::Client(client) => {
                let delivery = client.deliver_or_defer(batch, stop).await;
                self.settle(delivery, stop).await;
            }
        }
    }

    /// It is known what became of events that were pending; `None` if nobody will ever tell.
    async fn confirmed(&mut self, confirmed: Option<Confirmation>, stop: &CancellationToken) {
        match confirmed {
            Some(Confirmation::Settled(outcome)) => self.ledger.settled(&outcome),
            Some(Confirmation::Again(again)) => {
                let delivery = Delivery { deferred: vec![again], ..Delivery::default() };
                self.settle(delivery, stop).await;
            }
            None => {}
        }
    }

    /// Counts what became of events. Those without a verdict are handed in again until they have one or are pending.
    async fn settle(&mut self, delivery: Delivery, stop: &CancellationToken) {
        let mut deferred = self.note(delivery);
        while let (Some(again), Way::Client(client)) = (deferred.pop(), &self.way) {
            let delivery = client.resume(again, stop).await;
            deferred.extend(self.note(delivery));
        }
    }

    fn note(&mut self, delivery: Delivery) -> Vec<Deferred> {
        let Delivery { outcome, deferred, pending, undelivered: _ } = delivery;
        self.ledger.settled(&outcome);
        if let Some(rejection) = outcome.rejected.first() {
            self.say(rejection);
        }
        for pending in pending {
            if self.pending.len() < PENDING_MAX {
                self.pending.push(Box::pin(pending.confirmation()));
            } else {
                self.ledger.settled(&pending.give_up());
            }
        }
        deferred
    }

    fn say(&mut self, rejection: &Rejection) {
        let now = Instant::now();
        if self.said.is_some_and(|said| now - said < SAY_EVERY) {
            return;
        }
        self.said = Some(now);
        tracing::error!(
            index = %self.index,
            status = rejection.status.as_u16(),
            code = rejection.code.map(|code| code.0),
            next_step = "let the token use this index, or set SPLUNK_LOGGING_INDEX or SPLUNK_METRIC_INDEX (of type metrics) to another; other events are not touched",
            "splunk refuses the nozzle's own events"
        );
    }
}

/// The next item; `close` closes the exit. Cancel safe.
async fn next<T>(exit: &mut Exit<T>, close: &CancellationToken) -> Option<T> {
    tokio::select! {
        biased;
        () = close.cancelled() => exit.close(),
        next = exit.next() => return next,
    }
    exit.next().await
}

#[cfg(test)]
mod tests {
    use super::super::buffer;
    use super::*;
    use crate::hec::Pending;

    #[tokio::test]
    async fn of_what_no_indexer_confirms_the_rest_is_unconfirmed() {
        let ledger = Arc::new(OwnLedger::default());
        let (entry, exit) = buffer::buffer(1 << 20, Arc::clone(&ledger));
        let mut lane = Lane::new(exit, Arc::from("own"), Way::Print, Arc::clone(&ledger));
        for _ in 0..PENDING_MAX + 5 {
            entry.offer((), 1);
            let mut batch = Batch::new(Arc::from("own"), 0);
            batch.buffer().extend_from_slice(b"{}");
            batch.commit(1);
            let pending = vec![Pending::of(batch)];
            assert!(lane.note(Delivery { pending, ..Delivery::default() }).is_empty());
        }
        let status = ledger.status();
        assert_eq!((status.unconfirmed, status.waiting), (5, PENDING_MAX as i64));
        assert!(status.is_balanced(), "{status:?}");
    }
}
