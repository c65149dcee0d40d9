//! What became of a batch: every event in exactly one place.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use super::batch::{Batch, Tally};
use super::pool::Doubts;
use super::reply::HecCode;

/// The most bytes of a refused event that [`Rejection::sample`] shows.
const SAMPLE_BYTES: usize = 256;

/// What became of the events of a batch. The four sums add up to the batch's tally.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Taken by the server.
    pub delivered: Tally,
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
}

/// Events that something which does not answer as a HEC does refused each by itself. Whether they are to
/// blame only shows when other data is taken: they are to be handed in again after that was tried.
#[derive(Debug)]
pub struct Deferred {
    pub(crate) batch: Batch,
    pub(crate) doubts: Doubts,
}

impl Deferred {
    /// For tests of those who keep them.
    #[cfg(test)]
    pub(crate) fn of(batch: Batch) -> Self {
        Self { batch, doubts: Doubts::default() }
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
