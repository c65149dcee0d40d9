//! What one stream of the log proxy sends, batch by batch.
//!
//! A batch holds at most so many envelopes, and an envelope waits at most 100 ms for its batch,
//! like the platform's: after a pause the first one goes alone at once, the next ones gather.

use std::time::Duration;
use std::vec::Drain;

use tokio::time::Instant;

use super::faults::End;
use super::mailbox::Look;
use super::router::{Lease, RlpSubscription};
use super::table::RlpItem;

/// An envelope never waits longer for its batch.
const BATCH_LINGER: Duration = Duration::from_millis(100);

/// Takes batches out of a stream's mailbox.
pub(crate) struct Batches {
    lease: Lease<RlpSubscription>,
    /// A batch never holds more envelopes.
    envelopes_max: usize,
    /// Taken from the mailbox, not sent yet; at most a batch.
    taken: Vec<RlpItem>,
    /// `None`: the first envelope does not wait.
    last_sent: Option<Instant>,
    /// Whether the batch to come has been waited for.
    lingered: bool,
}

impl Batches {
    pub(crate) fn new(lease: Lease<RlpSubscription>, envelopes_max: usize) -> Self {
        Self { lease, envelopes_max, taken: Vec::new(), last_sent: None, lingered: false }
    }

    pub(crate) fn stream(&self) -> &RlpSubscription {
        &self.lease
    }

    /// The next batch, or how the stream ends; an orderly end comes after all that is buffered.
    ///
    /// Cancel safe: the mailbox is looked at again after each wait.
    pub(crate) async fn next(&mut self) -> Result<Drain<'_, RlpItem>, End> {
        loop {
            if !self.taken.is_empty() {
                return Ok(self.batch());
            }
            let waiting = match self.lease.mailbox.look() {
                Look::Idle => {
                    self.lease.mailbox.woken().await;
                    continue;
                }
                Look::End(End::Eof, waiting) if waiting > 0 => {
                    self.take(self.envelopes_max);
                    continue;
                }
                Look::End(end, _) => return Err(end),
                Look::Ready(waiting) => waiting,
            };
            let due = self.last_sent.map(|sent| sent + BATCH_LINGER).filter(|&due| due > Instant::now());
            match due {
                _ if waiting >= self.envelopes_max && (due.is_some() || self.lingered) => {
                    self.take(self.envelopes_max);
                }
                None if self.lingered => self.take(waiting),
                None => self.take(1),
                Some(due) => {
                    self.lingered = true;
                    let _ = tokio::time::timeout_at(due, self.lease.mailbox.woken()).await;
                }
            }
        }
    }

    /// What is buffered, as far as it fits into a batch, without waiting.
    pub(crate) fn rest(&mut self) -> Drain<'_, RlpItem> {
        self.take(self.envelopes_max);
        self.batch()
    }

    fn take(&mut self, max: usize) {
        self.lease.mailbox.take(max, &mut self.taken);
        self.last_sent = Some(Instant::now());
        self.lingered = false;
    }

    /// What was taken; whole messages among it stay alone.
    fn batch(&mut self) -> Drain<'_, RlpItem> {
        let whole = self.taken.iter().position(|item| matches!(item, RlpItem::Whole(_)));
        let n = match whole {
            Some(0) => 1,
            Some(at) => at,
            None => self.taken.len(),
        };
        self.taken.drain(..n)
    }
}
