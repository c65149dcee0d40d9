//! The nozzle's metrics by name: the Go nozzle's, each counting what its name says, and the ledger's.
//!
//! All are sums since the start, or measured at the moment; nothing is counted for them alone.

use super::usage::Used;
use crate::nozzle::ledger::Drop as DropReason;
use crate::nozzle::status::Status;

/// The Go nozzle's names, in its order: what its tile exports by default.
pub const GO_METRICS: &str = "nozzle.queue.percentage,splunk.events.dropped.count,splunk.events.sent.count,\
     firehose.events.dropped.count,firehose.events.received.count,splunk.events.throughput,\
     nozzle.usage.ram,nozzle.usage.cpu,nozzle.cache.memory.hit,nozzle.cache.memory.miss,\
     nozzle.cache.remote.hit,nozzle.cache.remote.miss,nozzle.cache.boltdb.hit,\
     nozzle.cache.boltdb.miss";

/// What metrics are made of.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) status: Status,
    pub(super) usage: Used,
}

/// The value of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Count(u64),
    /// Finite.
    Share(f64),
}

type Measure = fn(&Reading) -> Value;

/// Name and meaning.
static METRICS: [(&str, Measure); 21] = [
    // How full the fuller one of the queue and the delivery pool is, in per cent.
    ("nozzle.queue.percentage", |reading| {
        let (queue, delivery) = (&reading.status.queue, &reading.status.delivery);
        let queue = percentage(queue.bytes, queue.capacity_bytes);
        Value::Share(queue.max(percentage(delivery.bytes, delivery.capacity_bytes)))
    }),
    // Events that were written for Splunk and are lost: for want of room, refused, given up.
    ("splunk.events.dropped.count", |reading| {
        let events = &reading.status.ledger.events;
        Value::Count(events.dropped + events.rejected)
    }),
    // Events Splunk has accepted, each once.
    ("splunk.events.sent.count", |reading| Value::Count(reading.status.ledger.events.delivered)),
    // Envelopes lost in front of the workers.
    ("firehose.events.dropped.count", |reading| {
        let dropped = &reading.status.ledger.dropped;
        Value::Count(dropped.get(DropReason::QueueFull.label()).copied().unwrap_or_default())
    }),
    ("firehose.events.received.count", |reading| Value::Count(reading.status.ledger.received)),
    // Bytes of events Splunk has accepted, before compression, own events included.
    ("splunk.events.throughput", |reading| Value::Count(reading.status.hec.counters.bytes_delivered)),
    // Of this process, in per cent of what it may have.
    ("nozzle.usage.ram", |reading| Value::Share(reading.usage.memory)),
    ("nozzle.usage.cpu", |reading| Value::Share(reading.usage.cpu)),
    // Events whose app was known, or not.
    ("nozzle.cache.memory.hit", |reading| Value::Count(reading.status.ledger.apps_known)),
    ("nozzle.cache.memory.miss", |reading| Value::Count(reading.status.ledger.apps_unknown)),
    // Requests to the Cloud Controller with an answer, or without.
    ("nozzle.cache.remote.hit", |reading| {
        let metadata = &reading.status.metadata;
        Value::Count(metadata.calls.total().saturating_sub(metadata.failures))
    }),
    ("nozzle.cache.remote.miss", |reading| Value::Count(reading.status.metadata.failures)),
    // Apps the file had at the start; what was unknown later was not in it either.
    ("nozzle.cache.boltdb.hit", |reading| Value::Count(reading.status.metadata.file.restored as u64)),
    ("nozzle.cache.boltdb.miss", |reading| {
        let file = reading.status.metadata.file.enabled;
        Value::Count(if file { reading.status.ledger.apps_unknown } else { 0 })
    }),
    ("nozzle.envelopes.received", |reading| Value::Count(reading.status.ledger.received)),
    ("nozzle.envelopes.delivered", |reading| Value::Count(reading.status.ledger.delivered)),
    ("nozzle.envelopes.filtered", |reading| Value::Count(reading.status.ledger.filtered.values().sum())),
    ("nozzle.envelopes.dropped", |reading| Value::Count(reading.status.ledger.lost())),
    ("nozzle.envelopes.rejected", |reading| Value::Count(reading.status.ledger.rejected.values().sum())),
    ("nozzle.envelopes.buffered", |reading| {
        Value::Count(u64::try_from(reading.status.ledger.buffered()).unwrap_or_default())
    }),
    // What Loggregator says it lost before, all places together.
    ("nozzle.upstream.lost", |reading| Value::Count(reading.status.upstream.values().sum())),
];

fn percentage(bytes: usize, capacity_bytes: usize) -> f64 {
    100.0 * bytes as f64 / capacity_bytes.max(1) as f64
}

/// Some of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricSet(u32);

impl MetricSet {
    /// Every metric.
    pub const ALL: Self = Self((1 << METRICS.len()) - 1);

    /// No metric.
    pub const NONE: Self = Self(0);

    /// Every metric's name.
    pub fn names() -> impl Iterator<Item = &'static str> {
        METRICS.iter().map(|(name, _)| *name)
    }

    /// Adds the metric of that name; false if there is none.
    pub fn add(&mut self, name: &str) -> bool {
        let at = Self::names().position(|known| known == name);
        self.0 |= at.map_or(0, |at| 1 << at);
        at.is_some()
    }

    /// Those that have a value.
    pub(super) fn values(self, reading: &Reading) -> Vec<(&'static str, Value)> {
        let selected = METRICS.iter().enumerate().filter(|(at, _)| self.0 & (1 << at) != 0);
        let values = selected.map(|(_, (name, measure))| (*name, measure(reading)));
        values.filter(|(_, value)| !matches!(value, Value::Share(share) if !share.is_finite())).collect()
    }
}
