//! What Splunk has, against what the nozzle says.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;

use firehose_nozzle::nozzle::ledger::Snapshot;
use firehose_nozzle::nozzle::status::Status;
use firehose_nozzle::sim::hec::{self, Record};
use firehose_nozzle::sim::load::sequence_in;

use super::world::{Ended, Nozzle, World};

/// How a test ended: both ledgers, already compared.
pub(super) struct Verdict {
    /// What each nozzle says, in the order they were given.
    pub(super) nozzles: Vec<Status>,
    pub(super) hec: hec::Snapshot,
    /// Every event that was indexed.
    pub(super) records: Vec<Record>,
}

impl World {
    /// Stops the nozzle and compares its ledger with Splunk's.
    pub(super) async fn finish(&self, nozzle: Nozzle) -> Verdict {
        self.compare(vec![nozzle.stop().await])
    }

    /// Compares the ledgers of nozzles that have ended with Splunk's.
    pub(super) fn compare(&self, ended: Vec<Ended>) -> Verdict {
        for Ended { report, status } in &ended {
            assert!(report.failures.is_empty(), "{:?}", report.failures);
            check(&report.ledger);
            assert_eq!(report.ledger, status.ledger, "the report is final");
            assert_eq!((status.queue.bytes, status.delivery.bytes), (0, 0), "no room is kept: {status:?}");
        }
        let nozzles: Vec<_> = ended.into_iter().map(|ended| ended.status).collect();
        let hec = self.hec.snapshot();
        let records = self.hec.records().unwrap();
        let verdict = Verdict { nozzles, hec, records };
        verdict.compare();
        verdict
    }
}

/// Both lines balance, and nothing is left anywhere.
fn check(ledger: &Snapshot) {
    ledger.balance().unwrap();
    assert_eq!((ledger.parked, ledger.batched, ledger.events.batched), (0, 0, 0), "{ledger}");
}

impl Verdict {
    /// What the nozzles say was delivered, confirmed or not, is what was indexed: exactly so when no reply was lost,
    /// and nothing sent again for want of an ack.
    fn compare(&self) {
        let events = |nozzle: &Status| nozzle.ledger.events.delivered + nozzle.ledger.events.unconfirmed;
        let delivered: u64 = self.nozzles.iter().map(events).sum();
        let indexed = self.hec.ledger.events;
        assert!(indexed >= delivered, "{delivered} are said to be delivered, {indexed} are indexed");
        let in_doubt = |nozzle: &Status| {
            let resends = nozzle.hec.counters.ambiguous_resends + nozzle.hec.acks.counters.batches_resent;
            resends > 0 || nozzle.ledger.dropped.contains_key("shutdown")
        };
        if !self.nozzles.iter().any(in_doubt) {
            assert_eq!(indexed, delivered, "indexed, delivered");
        }
    }

    /// The ledger of the only nozzle.
    pub(super) fn ledger(&self) -> &Snapshot {
        &self.status().ledger
    }

    /// The last status of the only nozzle.
    pub(super) fn status(&self) -> &Status {
        assert_eq!(self.nozzles.len(), 1);
        &self.nozzles[0]
    }

    /// The numbers of a range that were not indexed.
    pub(super) fn missing(&self, numbers: Range<u64>) -> BTreeSet<u64> {
        let mut missing: BTreeSet<u64> = numbers.collect();
        for number in self.records.iter().filter_map(number) {
            missing.remove(&number);
        }
        missing
    }

    /// How many numbered events are copies of others. One number may stand in several events that
    /// an envelope made, but no two of those are alike.
    pub(super) fn duplicates(&self) -> u64 {
        let numbered = || self.records.iter().filter(|record| number(record).is_some());
        let distinct: HashSet<_> = numbered().map(|record| &record.envelope).collect();
        (numbered().count() - distinct.len()) as u64
    }

    /// Nothing is missing, nothing is there twice, and the nozzles know it.
    pub(super) fn assert_exactly(&self, numbers: Range<u64>) {
        self.assert_at_least(numbers);
        assert_eq!(self.duplicates(), 0);
    }

    /// Nothing is missing, and the nozzles know it.
    pub(super) fn assert_at_least(&self, numbers: Range<u64>) {
        let missing = self.missing(numbers);
        assert!(missing.is_empty(), "{} are missing: {missing:?}", missing.len());
        for nozzle in &self.nozzles {
            assert_eq!(nozzle.ledger.lost(), 0, "{}", nozzle.ledger);
        }
    }

    /// Indexed events by a member of their envelope.
    pub(super) fn by_member(&self, member: &str) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for record in &self.records {
            let value = record.member(member).and_then(|value| value.as_str().map(str::to_owned));
            *counts.entry(value.unwrap_or_default()).or_default() += 1;
        }
        counts
    }
}

/// The number of an indexed event.
pub(super) fn number(record: &Record) -> Option<u64> {
    sequence_in(std::str::from_utf8(&record.envelope).unwrap())
}
