//! Where own events went.
//!
//! `written = delivered + unconfirmed + dropped + waiting`, in events, at any moment at rest; no side is computed from the
//! other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use crate::hec::Outcome;
use crate::nozzle::ledger::reasons;

reasons! {
    /// Why an own event was lost.
    OwnDrop {
        /// Too many wait already.
        BufferFull = "buffer_full",
        /// Too many came at once.
        Rate = "rate",
        /// HEC refused it.
        Rejected = "rejected",
        /// HEC_RETRIES attempts failed.
        RetriesExhausted = "retries_exhausted",
        /// There was no time left to deliver it.
        Shutdown = "shutdown",
    }
}

/// Counters for own events.
#[derive(Debug, Default)]
pub struct OwnLedger {
    written: AtomicU64,
    delivered: AtomicU64,
    unconfirmed: AtomicU64,
    dropped: [AtomicU64; OwnDrop::ALL.len()],
    waiting: AtomicI64,
}

impl OwnLedger {
    /// An event that is kept to be delivered.
    pub(super) fn kept(&self) {
        self.written.fetch_add(1, Relaxed);
        self.waiting.fetch_add(1, Relaxed);
    }

    /// An event that is not kept.
    pub(super) fn not_kept(&self, reason: OwnDrop) {
        self.written.fetch_add(1, Relaxed);
        self.drop(reason, 1);
    }

    /// What became of events that were kept.
    pub(super) fn settled(&self, outcome: &Outcome) {
        let rejected = outcome.rejected.iter().map(|rejection| rejection.tally.events).sum();
        self.leave(outcome.total().events);
        self.delivered.fetch_add(outcome.delivered.events, Relaxed);
        self.unconfirmed.fetch_add(outcome.unconfirmed.events, Relaxed);
        self.drop(OwnDrop::Rejected, rejected);
        self.drop(OwnDrop::RetriesExhausted, outcome.abandoned.events);
        self.drop(OwnDrop::Shutdown, outcome.undelivered.events);
    }

    /// Events that were kept and printed.
    pub(super) fn printed(&self, events: u64) {
        self.leave(events);
        self.delivered.fetch_add(events, Relaxed);
    }

    /// An event that was kept, and is not any more.
    pub(super) fn gave_way(&self, reason: OwnDrop) {
        self.leave(1);
        self.drop(reason, 1);
    }

    /// Nobody delivers any more: what still waits is lost.
    pub(super) fn given_up(&self) {
        let waiting = self.waiting.swap(0, Relaxed);
        self.drop(OwnDrop::Shutdown, u64::try_from(waiting).unwrap_or(0));
    }

    fn leave(&self, events: u64) {
        self.waiting.fetch_sub(i64::try_from(events).unwrap_or(i64::MAX), Relaxed);
    }

    fn drop(&self, reason: OwnDrop, events: u64) {
        self.dropped[reason as usize].fetch_add(events, Relaxed);
    }

    /// The present figures.
    pub fn status(&self) -> OwnStatus {
        let dropped =
            OwnDrop::ALL.iter().map(|reason| (reason, self.dropped[*reason as usize].load(Relaxed)));
        OwnStatus {
            written: self.written.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            unconfirmed: self.unconfirmed.load(Relaxed),
            dropped: dropped
                .filter(|(_, n)| *n > 0)
                .map(|(reason, n)| (reason.label().to_owned(), n))
                .collect(),
            waiting: self.waiting.load(Relaxed),
        }
    }
}

/// The nozzle's own events: log lines and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OwnStatus {
    /// Events that there were.
    pub written: u64,
    /// Events that HEC has accepted and, where indexers are asked to acknowledge, an indexer has confirmed.
    pub delivered: u64,
    /// Events that HEC has accepted, and whose acknowledgement was not waited for.
    pub unconfirmed: u64,
    /// Events lost, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Events that wait, are being sent or are yet to be confirmed.
    pub waiting: i64,
}

impl OwnStatus {
    /// Whether each event is accounted for.
    pub fn is_balanced(&self) -> bool {
        let taken = i128::from(self.delivered) + i128::from(self.unconfirmed);
        let out = taken + self.dropped.values().map(|n| i128::from(*n)).sum::<i128>();
        i128::from(self.written) == out + i128::from(self.waiting)
    }
}
