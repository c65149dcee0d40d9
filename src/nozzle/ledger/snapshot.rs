//! The ledger at one moment, whether it balances, and how it is shown to people.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

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
