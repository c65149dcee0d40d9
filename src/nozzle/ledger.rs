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

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::hec::batch::Tally;

/// Declares an enum of reasons with the names they have in the ledger, in metrics and in docs.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every reason, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name used in the ledger, in metrics and in the documentation.
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }
    };
}

pub(in crate::nozzle) use reasons;

reasons! {
    /// Why an envelope was left out on purpose.
    Filter {
        /// EVENTS does not name its type.
        EventType = "event_type",
        /// Its app carries the label F2S_DISABLE_LOGGING=true.
        AppMuted = "app_muted",
        /// It holds no message at all (v2 envelopes may).
        NoMessage = "no_message",
        /// It is a gauge without a metric.
        EmptyGauge = "empty_gauge",
        /// It is a log line of the nozzle itself, of which too many come back.
        OwnLines = "own_lines",
    }
}

reasons! {
    /// Why an envelope was lost.
    Drop {
        /// The queue of raw frames was full: the workers cannot keep up.
        QueueFull = "queue_full",
        /// The delivery pool was full: HEC cannot keep up, or is away.
        DeliveryFull = "delivery_full",
        /// Its events were larger than HEC_MAX_EVENT_BYTES, and HEC_OVERSIZE is `drop`.
        Oversize = "oversize",
        /// HEC_RETRIES attempts failed.
        RetriesExhausted = "retries_exhausted",
        /// SHUTDOWN_TIMEOUT ran out before it could be delivered.
        Shutdown = "shutdown",
        /// The disk spool was full: the oldest made room.
        SpoolFull = "spool_full",
        /// It was damaged in the disk spool, or could not be read from there.
        SpoolDamaged = "spool_damaged",
        /// It was in the disk spool of a container at its end, and that disk dies with the container.
        EphemeralDisk = "ephemeral_disk",
        /// The part of the program that held it failed.
        Defect = "defect",
    }
}

reasons! {
    /// What was wrong with bytes that are not an envelope.
    Malformed {
        /// The frame or a field in it ends too early.
        Truncated = "truncated",
        /// A field has a wire type, in JSON a type, its definition does not allow.
        WireType = "wire_type",
        /// A number runs over its size, or a field number is zero.
        Number = "number",
        /// A required field is missing (v1).
        MissingField = "missing_field",
        /// The envelope's event type is unknown (v1).
        EventType = "event_type",
        /// A frame as a whole: a line too long to be read, or text that has to be UTF-8 and is not,
        /// where nothing can stand for it.
        Frame = "frame",
        /// It is no correct JSON (gateway).
        Json = "json",
        /// A log line is not in base64 (gateway).
        Base64 = "base64",
    }
}

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

/// The ledger at one moment, in envelopes unless said otherwise. Zero rows are left out of maps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Envelopes that came in.
    pub received: u64,
    /// Envelopes that an earlier run left in the disk spool.
    pub recovered_from_spool: u64,
    /// Envelopes HEC has accepted and, where indexers acknowledge, an indexer has confirmed.
    pub delivered: u64,
    /// Envelopes HEC has accepted that an indexer was to confirm, which was not waited for.
    pub unconfirmed: u64,
    /// Envelopes left out on purpose, by reason.
    pub filtered: BTreeMap<String, u64>,
    /// Envelopes lost, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Envelopes HEC refused for what they are, by code.
    pub rejected: BTreeMap<String, u64>,
    /// Envelopes waiting for their app's names.
    pub parked: i64,
    /// Envelopes in open batches, waiting to be sent, or being sent.
    pub batched: i64,
    /// Envelopes in the disk spool.
    pub spooled: i64,
    /// The same in events.
    pub events: Events,
    /// Frames or envelopes that could not be decoded, by kind; not part of the balance.
    pub malformed: BTreeMap<String, u64>,
    /// Events that went out although their app, or the index in its environment, could not be looked
    /// up yet: names from tags only, or the default index instead of the app's own.
    pub unenriched: u64,
    /// Events whose own time was unusable.
    pub retimed: u64,
    /// Events whose text was cut to fit.
    pub truncated: u64,
    /// Events that were split into several to fit.
    pub split: u64,
    /// Metrics left out of gauges that had too many, or were too large.
    pub metrics_left_out: u64,
    /// Envelopes whose app's names were known when they came.
    pub apps_known: u64,
    /// Envelopes whose app had to be looked up, or could not be.
    pub apps_unknown: u64,
    /// Delivered events that went to SPLUNK_FALLBACK_INDEX because their own index is refused.
    pub rerouted: u64,
}

/// Where the events went that were made from envelopes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Events {
    /// Events written into batches.
    pub written: u64,
    /// Of these, further events of an envelope that made more than one.
    pub fanned_out: u64,
    /// Accepted by HEC, and confirmed where indexers acknowledge.
    pub delivered: u64,
    /// Accepted by HEC, and to be confirmed, which was not waited for.
    pub unconfirmed: u64,
    /// Lost.
    pub dropped: u64,
    /// Refused by HEC for what they are.
    pub rejected: u64,
    /// In open batches, waiting to be sent, or being sent.
    pub batched: i64,
    /// Left in the disk spool by an earlier run.
    pub recovered_from_spool: u64,
    /// In the disk spool.
    pub spooled: i64,
}

/// The two sides of a line that should be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger does not balance: {unit} in {input}, accounted for {accounted}")]
pub struct Imbalance {
    unit: &'static str,
    input: i128,
    accounted: i128,
}

impl Snapshot {
    /// Envelopes held somewhere in the nozzle.
    pub fn buffered(&self) -> i64 {
        self.parked + self.batched
    }

    /// Envelopes lost, all reasons together.
    pub fn lost(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Whether both lines balance.
    ///
    /// # Errors
    /// The line that does not, with both sides.
    pub fn balance(&self) -> Result<(), Imbalance> {
        let sum = |map: &BTreeMap<String, u64>| map.values().map(|n| i128::from(*n)).sum::<i128>();
        let envelopes = i128::from(self.delivered)
            + i128::from(self.unconfirmed)
            + sum(&self.filtered)
            + sum(&self.dropped)
            + sum(&self.rejected)
            + i128::from(self.buffered())
            + i128::from(self.spooled);
        let received = i128::from(self.received) + i128::from(self.recovered_from_spool);
        check("envelopes", received, envelopes)?;
        let e = &self.events;
        let settled = [e.delivered, e.unconfirmed, e.dropped, e.rejected].into_iter().map(i128::from);
        let events = settled.sum::<i128>() + i128::from(e.batched) + i128::from(e.spooled);
        check("events", i128::from(e.written) + i128::from(e.recovered_from_spool), events)
    }
}

fn check(unit: &'static str, input: i128, accounted: i128) -> Result<(), Imbalance> {
    if input == accounted { Ok(()) } else { Err(Imbalance { unit, input, accounted }) }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, name: &str, n: i128| writeln!(f, "  {name:<32}{n:>14}");
        let rows = |f: &mut fmt::Formatter<'_>, name: &str, map: &BTreeMap<String, u64>| {
            map.iter().try_for_each(|(label, n)| row(f, &format!("{name} {label}"), i128::from(*n)))
        };
        writeln!(f, "ledger (envelopes)")?;
        row(f, "received", i128::from(self.received))?;
        if self.recovered_from_spool > 0 {
            row(f, "recovered from spool", i128::from(self.recovered_from_spool))?;
        }
        row(f, "delivered", i128::from(self.delivered))?;
        row(f, "unconfirmed", i128::from(self.unconfirmed))?;
        rows(f, "filtered", &self.filtered)?;
        rows(f, "dropped", &self.dropped)?;
        rows(f, "rejected", &self.rejected)?;
        row(f, "buffered", i128::from(self.buffered()))?;
        if self.spooled != 0 {
            row(f, "spooled", i128::from(self.spooled))?;
        }
        rows(f, "beside: malformed", &self.malformed)?;
        row(f, "events delivered", i128::from(self.events.delivered))?;
        row(f, "events fanned out", i128::from(self.events.fanned_out))?;
        match self.balance() {
            Ok(()) => write!(f, "  balanced"),
            Err(imbalance) => write!(f, "  {imbalance}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(events: u64, units: u64) -> Tally {
        Tally { events, units }
    }

    fn intake(received: u64, events: u64, units: u64) -> Intake {
        Intake { received, encoded: tally(events, units), ..Intake::default() }
    }

    #[test]
    fn every_way_out_keeps_the_balance() {
        let ledger = Ledger::new();
        let mut first = intake(10, 9, 6);
        first.filtered[Filter::EventType as usize] = 3;
        first.parked = 1;
        ledger.intake(&first);
        assert!(ledger.snapshot().balance().is_err(), "nobody holds the events");
        ledger.open(Tally::default(), tally(9, 6));
        assert_eq!(ledger.snapshot().balance(), Ok(()));
        ledger.open(tally(9, 6), Tally::default());
        ledger.pooled(tally(9, 6));
        assert_eq!(ledger.snapshot().buffered(), 7);
        ledger.dropped_undecoded(Drop::QueueFull, 5);
        ledger.unpooled(tally(9, 6));
        ledger.delivered(tally(3, 2));
        ledger.unconfirmed(tally(1, 1));
        ledger.rejected("6", tally(1, 1));
        ledger.dropped(Drop::Shutdown, tally(4, 2));
        ledger.dropped_parked(Drop::Shutdown, 1);
        let end = ledger.snapshot();
        assert_eq!(end.balance(), Ok(()));
        assert_eq!((end.received, end.delivered, end.unconfirmed), (15, 2, 1));
        assert_eq!((end.lost(), end.buffered()), (8, 0));
        assert_eq!(end.events.fanned_out, 3);
    }

    #[test]
    fn the_spool_is_a_place_to_be_and_to_come_from() {
        let ledger = Ledger::new();
        ledger.recovered(tally(5, 4));
        ledger.intake(&intake(2, 3, 2));
        ledger.spooled(tally(3, 2));
        let now = ledger.snapshot();
        assert_eq!(now.balance(), Ok(()));
        assert_eq!((now.received, now.recovered_from_spool, now.spooled, now.buffered()), (2, 4, 6, 0));
        assert_eq!((now.events.recovered_from_spool, now.events.spooled), (5, 8));
        ledger.unspooled(tally(5, 4));
        assert!(ledger.snapshot().balance().is_err(), "out of the spool, and in nobody's hands");
        ledger.delivered(tally(2, 2));
        ledger.dropped(Drop::SpoolFull, tally(3, 2));
        assert_eq!(ledger.snapshot().balance(), Ok(()));
        assert!(ledger.snapshot().to_string().contains("spooled"));
    }

    #[test]
    fn a_batch_that_vanishes_is_an_imbalance() {
        let ledger = Ledger::new();
        ledger.intake(&intake(2, 1, 1));
        ledger.open(Tally::default(), tally(1, 1));
        let imbalance = ledger.snapshot().balance().unwrap_err();
        assert_eq!(imbalance.to_string(), "the ledger does not balance: envelopes in 2, accounted for 1");
        let ledger = Ledger::new();
        ledger.intake(&intake(1, 1, 1));
        ledger.pooled(tally(1, 1));
        ledger.unpooled(tally(1, 1));
        assert!(ledger.snapshot().balance().is_err(), "gone without a verdict");
        assert!(ledger.snapshot().to_string().contains("does not balance"));
    }

    #[test]
    fn what_is_settled_twice_is_an_imbalance() {
        let ledger = Ledger::new();
        ledger.intake(&intake(1, 3, 1));
        ledger.delivered(tally(3, 1));
        assert_eq!(ledger.snapshot().balance(), Ok(()));
        ledger.delivered(tally(1, 0));
        let imbalance = ledger.snapshot().balance().unwrap_err();
        assert_eq!(imbalance.to_string(), "the ledger does not balance: events in 3, accounted for 4");
    }

    #[test]
    fn made_up_codes_share_a_row() {
        let ledger = Ledger::new();
        for code in 0..REJECTED_ROWS_MAX + 10 {
            ledger.rejected(&code.to_string(), tally(1, 1));
        }
        let rows = ledger.snapshot().rejected;
        assert_eq!((rows.len(), rows["other"]), (REJECTED_ROWS_MAX + 1, 10));
    }
}
