//! From a buffer to Splunk: gathers what is there into a request, one at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Way;
use super::buffer::Exit;
use super::ledger::OwnLedger;
use crate::hec::batch::Batch;
use crate::hec::{Client, Rejection};
use crate::nozzle::deliver;

/// How long the first event waits for others.
const GATHER_TIME: Duration = Duration::from_millis(500);

/// From how many bytes on a request is full.
const BATCH_BYTES: usize = 64 << 10;

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
    said: Option<Instant>,
}

impl<T> Lane<T> {
    pub(super) fn new(exit: Exit<T>, index: Arc<str>, way: Way, ledger: Arc<OwnLedger>) -> Self {
        Self { exit, index, way, ledger, said: None }
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
        while let Some(first) = self.next(&close).await {
            let mut batch = Batch::new(Arc::clone(&self.index), 0);
            write(&first, batch.buffer());
            batch.commit(1);
            let over = sleep(GATHER_TIME);
            tokio::pin!(over);
            while batch.committed() < BATCH_BYTES {
                let next = tokio::select! {
                    biased;
                    next = self.next(&close) => next,
                    () = &mut over => None,
                };
                let Some(next) = next else { break };
                write(&next, batch.buffer());
                batch.commit(1);
            }
            self.deliver(batch, &stop).await;
        }
    }

    /// Cancel safe.
    async fn next(&mut self, close: &CancellationToken) -> Option<T> {
        tokio::select! {
            biased;
            () = close.cancelled() => self.exit.close(),
            next = self.exit.next() => return next,
        }
        self.exit.next().await
    }

    async fn deliver(&mut self, batch: Batch, stop: &CancellationToken) {
        match &self.way {
            Way::Print => {
                deliver::print(&batch);
                self.ledger.printed(batch.len() as u64);
            }
            Way::Client(client) => {
                let outcome = Client::deliver(client, batch, stop).await;
                self.ledger.settled(&outcome);
                if let Some(rejection) = outcome.rejected.first() {
                    self.say(rejection);
                }
            }
        }
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
