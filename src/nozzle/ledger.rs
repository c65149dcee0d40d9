//! The ledger: where every envelope went.
//!
//! Two lines hold whenever nothing is on its way into the workers, and at exit:
//!
//! ```text
//! received + recovered_from_spool =
//!     delivered + unconfirmed + filtered + dropped + rejected + buffered + spooled   (envelopes)
//! events = envelopes that became events + fanned_out                                 (events)
//! ```
//!
//! `received` counts envelopes as workers decode them (or hop over them, when whole frames are
//! dropped undecoded). `buffered` is what the holders hold: workers report the contents of their
//! open batches, and a batch in the delivery pool counts itself as long as it exists. `spooled` is what is on disk and
//! in nobody's hands; what an earlier run left there comes in as `recovered_from_spool`. Neither is
//! computed from the others, so an envelope that gets lost on the way, or is settled twice, shows as
//! an imbalance. Malformed frames and requests sent twice are counted beside: they are not envelopes.
//!
//! Counters are updated per batch or per group of frames, never per event.

mod reasons;
mod snapshot;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

pub(in crate::nozzle) use self::reasons::reasons;
pub use self::reasons::{Drop, Filter, Malformed};
pub use self::snapshot::{Events, Imbalance, Snapshot};
use crate::hec::batch::Tally;

/// Codes of rejections counted apart.
const REJECTED_ROWS_MAX: usize = 64;

/// Counters for everything that came in. Shared by all stages.
#[derive(Debug, Default)]
pub struct Ledger {
    received: AtomicU64,
    filtered: [AtomicU64; Filter::ALL.len()],
    malformed: [AtomicU64; Malformed::ALL.len()],
    encoded: AtomicTally,
    delivered: AtomicTally,
    unconfirmed: AtomicTally,
    dropped: [AtomicTally; Drop::ALL.len()],
    rejected: Mutex<BTreeMap<String, Tally>>,
    parked: AtomicI64,
    open: Held,
    pooled: Held,
    recovered: AtomicTally,
    spooled: Held,
    unenriched: AtomicU64,
    retimed: AtomicU64,
    truncated: AtomicU64,
    split: AtomicU64,
    left_out: AtomicU64,
    apps_known: AtomicU64,
    apps_unknown: AtomicU64,
    rerouted: AtomicU64,
}

#[derive(Debug, Default)]
struct AtomicTally {
    events: AtomicU64,
    units: AtomicU64,
}

impl AtomicTally {
    fn add(&self, tally: Tally) {
        self.events.fetch_add(tally.events, Relaxed);
        self.units.fetch_add(tally.units, Relaxed);
    }

    fn get(&self) -> Tally {
        Tally { events: self.events.load(Relaxed), units: self.units.load(Relaxed) }
    }
}

/// What some holders hold together; they add when they take and subtract when they give.
#[derive(Debug, Default)]
struct Held {
    events: AtomicI64,
    units: AtomicI64,
}

impl Held {
    fn add(&self, tally: Tally, sign: i64) {
        self.events.fetch_add(sign * signed(tally.events), Relaxed);
        self.units.fetch_add(sign * signed(tally.units), Relaxed);
    }
}

/// What one worker saw in one group of frames; added to the ledger at once.
#[derive(Debug, Default)]
pub struct Intake {
    /// Envelopes decoded.
    pub received: u64,
    /// Envelopes left out, by [`Filter`].
    pub filtered: [u64; Filter::ALL.len()],
    /// Bytes that are no envelope, by [`Malformed`].
    pub malformed: [u64; Malformed::ALL.len()],
    /// Events written into batches.
    pub encoded: Tally,
    /// Envelopes that went to, or (negative) came back from parking.
    pub parked: i64,
    /// Events that went out although their app, or the index in its environment, could not be looked
    /// up yet.
    pub unenriched: u64,
    /// Events whose own time was unusable and that carry the time of arrival instead.
    pub retimed: u64,
    /// Events whose text was cut to fit HEC_MAX_EVENT_BYTES.
    pub truncated: u64,
    /// Events that were split into several to fit HEC_MAX_EVENT_BYTES.
    pub split: u64,
    /// Envelopes that were lost because their events were too large.
    pub oversize: u64,
    /// Metrics left out of gauges that had too many, or were too large.
    pub left_out: u64,
    /// Envelopes of apps that were known.
    pub apps_known: u64,
    /// Envelopes of apps that had to be looked up.
    pub apps_unknown: u64,
}

impl Ledger {
    /// A ledger with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what a worker saw.
    pub fn intake(&self, intake: &Intake) {
        self.received.fetch_add(intake.received, Relaxed);
        let filtered = self.filtered.iter().zip(intake.filtered);
        let malformed = self.malformed.iter().zip(intake.malformed);
        // Mostly there is nothing to add, and each addition locks a line of memory that all workers share.
        for (counter, n) in filtered.chain(malformed).filter(|(_, n)| *n > 0) {
            counter.fetch_add(n, Relaxed);
        }
        self.parked.fetch_add(intake.parked, Relaxed);
        self.unenriched.fetch_add(intake.unenriched, Relaxed);
        self.retimed.fetch_add(intake.retimed, Relaxed);
        self.truncated.fetch_add(intake.truncated, Relaxed);
        self.split.fetch_add(intake.split, Relaxed);
        self.left_out.fetch_add(intake.left_out, Relaxed);
        self.apps_known.fetch_add(intake.apps_known, Relaxed);
        self.apps_unknown.fetch_add(intake.apps_unknown, Relaxed);
        self.dropped[Drop::Oversize as usize].units.fetch_add(intake.oversize, Relaxed);
        self.encoded.add(intake.encoded);
    }

    /// Replaces what one worker said before that its open batches hold.
    pub fn open(&self, before: Tally, now: Tally) {
        self.open.add(now, 1);
        self.open.add(before, -1);
    }

    /// Counts a batch as held by the delivery pool.
    pub fn pooled(&self, tally: Tally) {
        self.pooled.add(tally, 1);
    }

    /// Counts a batch as no longer held by the delivery pool, whatever became of it.
    pub fn unpooled(&self, tally: Tally) {
        self.pooled.add(tally, -1);
    }

    /// Counts what an earlier run left in the disk spool.
    pub fn recovered(&self, tally: Tally) {
        self.recovered.add(tally);
        self.spooled(tally);
    }

    /// Counts a batch as held by the disk spool.
    pub fn spooled(&self, tally: Tally) {
        self.spooled.add(tally, 1);
    }

    /// Counts a batch as no longer held by the disk spool, whatever became of it.
    pub fn unspooled(&self, tally: Tally) {
        self.spooled.add(tally, -1);
    }

    /// What the disk spool holds.
    pub fn held_by_spool(&self) -> Tally {
        let count = |held: &AtomicI64| u64::try_from(held.load(Relaxed)).unwrap_or(0);
        Tally { events: count(&self.spooled.events), units: count(&self.spooled.units) }
    }

    /// Adds frames that could not be read as a whole.
    pub fn malformed_frames(&self, frames: u64) {
        self.malformed[Malformed::Frame as usize].fetch_add(frames, Relaxed);
    }

    /// Counts envelopes of frames that were dropped before they were decoded.
    pub fn dropped_undecoded(&self, reason: Drop, envelopes: u64) {
        self.received.fetch_add(envelopes, Relaxed);
        self.dropped[reason as usize].units.fetch_add(envelopes, Relaxed);
    }

    /// Counts parked envelopes that can no longer be delivered.
    pub fn dropped_parked(&self, reason: Drop, envelopes: u64) {
        self.parked.fetch_sub(signed(envelopes), Relaxed);
        self.dropped[reason as usize].units.fetch_add(envelopes, Relaxed);
    }

    /// Settles batched events as delivered.
    pub fn delivered(&self, tally: Tally) {
        self.delivered.add(tally);
    }

    /// Settles batched events that HEC has taken and nobody waits for an indexer to confirm.
    pub fn unconfirmed(&self, tally: Tally) {
        self.unconfirmed.add(tally);
    }

    /// Counts events, delivered as well, that another index than their own had to do for.
    pub fn rerouted(&self, tally: Tally) {
        self.rerouted.fetch_add(tally.events, Relaxed);
    }

    /// Settles batched events as lost.
    pub fn dropped(&self, reason: Drop, tally: Tally) {
        self.dropped[reason as usize].add(tally);
    }

    /// Settles batched events as refused by HEC for what they are; `code` says how.
    pub fn rejected(&self, code: &str, tally: Tally) {
        if tally == Tally::default() {
            return;
        }
        let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        // The server makes up the codes: one that makes up many shares one row.
        let known = rejected.contains_key(code) || rejected.len() < REJECTED_ROWS_MAX;
        *rejected.entry(if known { code } else { "other" }.to_owned()).or_default() += tally;
    }

    /// The present figures. Exact when nothing moves, else within what is moving.
    pub fn snapshot(&self) -> Snapshot {
        let dropped: Vec<_> =
            Drop::ALL.iter().map(|r| (r.label(), self.dropped[*r as usize].get())).collect();
        let rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let encoded = self.encoded.get();
        let recovered = self.recovered.get();
        Snapshot {
            received: self.received.load(Relaxed),
            recovered_from_spool: recovered.units,
            delivered: self.delivered.get().units,
            unconfirmed: self.unconfirmed.get().units,
            filtered: labelled(
                Filter::ALL.iter().map(|r| (r.label(), self.filtered[*r as usize].load(Relaxed))),
            ),
            dropped: labelled(dropped.iter().map(|(label, tally)| (*label, tally.units))),
            rejected: rejected.iter().map(|(code, tally)| (code.clone(), tally.units)).collect(),
            parked: self.parked.load(Relaxed),
            batched: self.open.units.load(Relaxed) + self.pooled.units.load(Relaxed),
            spooled: self.spooled.units.load(Relaxed),
            events: Events {
                written: encoded.events,
                fanned_out: encoded.events.saturating_sub(encoded.units),
                delivered: self.delivered.get().events,
                unconfirmed: self.unconfirmed.get().events,
                dropped: dropped.iter().map(|(_, tally)| tally.events).sum(),
                rejected: rejected.values().map(|tally| tally.events).sum(),
                batched: self.open.events.load(Relaxed) + self.pooled.events.load(Relaxed),
                recovered_from_spool: recovered.events,
                spooled: self.spooled.events.load(Relaxed),
            },
            malformed: labelled(
                Malformed::ALL.iter().map(|r| (r.label(), self.malformed[*r as usize].load(Relaxed))),
            ),
            unenriched: self.unenriched.load(Relaxed),
            retimed: self.retimed.load(Relaxed),
            truncated: self.truncated.load(Relaxed),
            split: self.split.load(Relaxed),
            metrics_left_out: self.left_out.load(Relaxed),
            apps_known: self.apps_known.load(Relaxed),
            apps_unknown: self.apps_unknown.load(Relaxed),
            rerouted: self.rerouted.load(Relaxed),
        }
    }
}

/// Counts fit an `i64` for some 300,000 years at a million envelopes a second.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn labelled(rows: impl Iterator<Item = (&'static str, u64)>) -> BTreeMap<String, u64> {
    rows.filter(|(_, n)| *n > 0).map(|(label, n)| (label.to_owned(), n)).collect()
}

#[cfg(test)]
mod tests;
