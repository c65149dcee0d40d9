//! What became of a batch: every event in exactly one place.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use tokio::sync::oneshot;

use super::ack::receipt::{Fate, Receipt};
use super::batch::{Batch, Tally};
use super::pool::{Doubts, MemberId};
use super::reply::HecCode;
use super::status::Ledger;

/// The most bytes of a refused event that [`Rejection::sample`] shows.
const SAMPLE_BYTES: usize = 256;

/// What became of the events of a batch. The five sums add up to the batch's tally.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Taken by the server and, where indexers are asked to acknowledge, confirmed.
    pub delivered: Tally,
    /// Taken by the server; it would have been confirmed later, and that was not waited for.
    pub unconfirmed: Tally,
    /// Refused for what they are; sending them again would not help.
    pub rejected: Vec<Rejection>,
    /// Given up on: the limit on attempts was reached.
    pub abandoned: Tally,
    /// Not delivered when the delivery was stopped. If a request was under way, the server may
    /// have taken what was in it.
    pub undelivered: Tally,
    /// Of what was taken, that for which another index than its own had to do.
    pub rerouted: Tally,
}

impl Outcome {
    /// All events, wherever they ended.
    pub fn total(&self) -> Tally {
        let mut total = self.delivered;
        total += self.unconfirmed;
        for rejection in &self.rejected {
            total += rejection.tally;
        }
        total += self.abandoned;
        total += self.undelivered;
        total
    }

    /// Adds what became of other events.
    pub(crate) fn add(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.unconfirmed += other.unconfirmed;
        self.rejected.extend(other.rejected);
        self.abandoned += other.abandoned;
        self.undelivered += other.undelivered;
        self.rerouted += other.rerouted;
    }
}

/// What [`Client::deliver_or_defer`](super::Client::deliver_or_defer) has come to.
#[derive(Debug, Default)]
pub struct Delivery {
    /// What became of the events that have a verdict.
    pub outcome: Outcome,
    /// Those that have none yet; several if they are for different indexes.
    pub deferred: Vec<Deferred>,
    /// Those that the outcome counts as undelivered, for callers that can keep them.
    pub undelivered: Vec<Batch>,
    /// Those that HEC has taken and an indexer has yet to confirm.
    pub pending: Vec<Pending>,
}

impl Delivery {
    /// What HEC has taken.
    pub(crate) fn taken(&self) -> Tally {
        let mut taken = self.outcome.delivered;
        taken += self.outcome.unconfirmed;
        self.pending.iter().for_each(|pending| taken += pending.tally());
        taken
    }
}

/// Events that are to be handed in again.
///
/// Either something which does not answer as a HEC does refused each by itself. Whether they are to
/// blame only shows when other data is taken: they are to be handed in after that was tried. Or HEC took them, and
/// they were not confirmed; these are to be handed in soon.
#[derive(Debug)]
pub struct Deferred {
    pub(crate) batch: Batch,
    pub(crate) doubts: Doubts,
    pub(crate) why: Why,
}

/// Why events are handed in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// They are suspects.
    Suspect,
    /// They may be lost.
    Unconfirmed,
}

impl Deferred {
    /// For tests of those who keep them.
    #[cfg(test)]
    pub(crate) fn of(batch: Batch) -> Self {
        Self { batch, doubts: Doubts::default(), why: Why::Suspect }
    }

    /// The events alone, for callers that can keep them until the next start.
    pub fn into_batch(self) -> Batch {
        self.batch
    }

    /// How many they are.
    pub fn tally(&self) -> Tally {
        self.batch.tally()
    }

    /// Bytes of memory they hold.
    pub fn memory(&self) -> usize {
        self.batch.memory()
    }
}

/// Events that HEC has taken and an indexer has yet to confirm. They are kept, for they may have to be sent again.
#[derive(Debug)]
pub struct Pending {
    pub(crate) batch: Batch,
    pub(crate) receipt: Receipt,
    /// Who has taken them.
    pub(crate) by: MemberId,
    pub(crate) ledger: Arc<Ledger>,
}

/// What became of events that were pending.
#[derive(Debug)]
pub enum Confirmation {
    /// They are settled: delivered or unconfirmed.
    Settled(Outcome),
    /// They are to be sent again.
    Again(Deferred),
}

impl Pending {
    /// For tests of those who keep them; its fate is never known.
    #[cfg(test)]
    pub(crate) fn of(batch: Batch) -> Self {
        let (promise, receipt) = super::ack::receipt::pair();
        std::mem::forget(promise);
        Self { batch, receipt, by: MemberId(0), ledger: Arc::default() }
    }

    /// How many they are.
    pub fn tally(&self) -> Tally {
        self.batch.tally()
    }

    /// Bytes of memory they hold.
    pub fn memory(&self) -> usize {
        self.batch.memory()
    }

    /// Calls this when it is known what became of them: soon after, on any thread, and perhaps at once. It must not
    /// block.
    ///
    /// It needs [`Client::keep_up`](super::Client::keep_up): that asks for acks, and ends all waiting when it ends.
    pub fn then(self, then: impl FnOnce(Confirmation) + Send + 'static) {
        let Self { batch, receipt, by, ledger } = self;
        receipt.then(move |fate| {
            let tally = batch.tally();
            let outcome = match fate {
                Fate::Delivered => Outcome { delivered: tally, ..Outcome::default() },
                Fate::Unconfirmed => Outcome { unconfirmed: tally, ..Outcome::default() },
                Fate::Lost => {
                    let doubts = Doubts::unconfirmed(by);
                    return then(Confirmation::Again(Deferred { batch, doubts, why: Why::Unconfirmed }));
                }
            };
            ledger.outcome(&outcome);
            then(Confirmation::Settled(outcome));
        });
    }

    /// They are not waited for: what becomes of them is nobody's concern any more.
    pub fn give_up(self) -> Outcome {
        let outcome = Outcome { unconfirmed: self.tally(), ..Outcome::default() };
        self.ledger.outcome(&outcome);
        outcome
    }

    /// Waits until it is known what became of them.
    pub async fn confirmation(self) -> Option<Confirmation> {
        let (tell, told) = oneshot::channel();
        self.then(move |confirmation| drop(tell.send(confirmation)));
        told.await.ok()
    }
}

/// Neighbouring events that were refused for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Why, where the server named a HEC code.
    pub code: Option<HecCode>,
    /// The HTTP status it came with.
    pub status: StatusCode,
    /// The index they were meant for.
    pub index: Arc<str>,
    /// How many they are.
    pub tally: Tally,
    /// Where each of them ends in `body`.
    pub ends: Vec<usize>,
    /// The events as they were sent. It shares the memory of the whole batch: a dead-letter
    /// writer should not keep it for long.
    pub body: Bytes,
}

impl Rejection {
    /// The first 256 bytes of the first event that was refused, for a log line.
    pub fn sample(&self) -> String {
        let event = self.events().next().unwrap_or_default();
        String::from_utf8_lossy(&event[..event.len().min(SAMPLE_BYTES)]).into_owned()
    }

    /// The events, one by one.
    pub fn events(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| &self.body[std::mem::replace(&mut start, *end)..*end])
    }
}
