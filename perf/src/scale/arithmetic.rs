//! How much of everything a rate needs.
//!
//! What is measured comes from rows of `perf/run`; what is assumed is [`Assumptions`], and a flag each.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::plan::Source;
use crate::row::Row;

/// Two instances are the least: one may be lost.
const INSTANCES_MIN: u64 = 2;
/// The nozzle's own bounds: QUEUE_MAX_BYTES and DELIVERY_MAX_BYTES, by default.
pub const POOL_BYTES: f64 = 72.0 * 1024.0 * 1024.0;

/// What one event costs, as measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// CPU time of the nozzle, in µs.
    pub micros: f64,
    /// Bytes of a HEC body, uncompressed.
    pub body_bytes: f64,
    /// Bytes of it on the wire.
    pub wire_bytes: f64,
    /// Bytes of the message.
    pub payload_bytes: f64,
    /// The most memory that any of the measurements took, with full pools if one overloaded it.
    pub memory_mb: f64,
}

impl Measured {
    /// From a file of rows: the dearest way into HEC over gRPC that was measured, or else over another source.
    ///
    /// # Errors
    /// There is no such file, or no row in it.
    pub fn read(path: &Path) -> anyhow::Result<(Self, Row)> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{}: run perf/run first, or say --rows", path.display()))?;
        let rows: Vec<Row> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let grpc = |row: &&Row| row.scenario.source == Source::Grpc;
        let row = rows.iter().filter(grpc).max_by(by_cost).or_else(|| rows.iter().max_by(by_cost));
        let row = row.with_context(|| format!("{}: no rows", path.display()))?.clone();
        let outcome = &row.outcome;
        ensure!(outcome.arrived > 0, "{}: nothing arrived", path.display());
        let each = |amount: u64| amount as f64 / outcome.arrived as f64;
        let outcomes = rows.iter().flat_map(|row| [Some(&row.outcome), row.beyond.as_ref()]).flatten();
        let measured = Self {
            micros: outcome.micros(),
            body_bytes: each(outcome.body_bytes),
            wire_bytes: each(outcome.wire_bytes),
            payload_bytes: outcome.load.payload_bytes as f64 / outcome.load.sent.max(1) as f64,
            memory_mb: outcomes.map(|outcome| outcome.memory_mb).fold(0.0, f64::max),
        };
        Ok((measured, row))
    }
}

/// TLS and gzip with text of 256 bytes are what most have; then what costs most.
fn by_cost(a: &&Row, b: &&Row) -> std::cmp::Ordering {
    let usual = |row: &Row| row.scenario.lines.bytes == 256 && row.scenario.apps <= 1000;
    let rank = |row: &Row| (usual(row), row.scenario.tls, row.scenario.gzip);
    rank(a).cmp(&rank(b)).then(a.outcome.micros().total_cmp(&b.outcome.micros()))
}

/// What is not measured here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assumptions {
    /// Envelopes per second of a router.
    pub router_rate: f64,
    /// Envelopes per second of a stream.
    pub stream_rate: f64,
    /// Streams of an instance.
    pub streams: u64,
    /// CPUs of an instance.
    pub cpus: f64,
    /// How much of them it may use.
    pub busy: f64,
    /// MB per second of bodies, uncompressed, that an endpoint of HEC takes.
    pub endpoint_mb: f64,
    /// Bytes of an envelope on its way into the nozzle.
    pub envelope_bytes: f64,
}

/// What a rate needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Needs {
    /// Envelopes per second.
    pub rate: f64,
    /// Routers of the platform.
    pub routers: u64,
    /// Reverse log proxies or traffic controllers.
    pub proxies: u64,
    /// Instances of the nozzle.
    pub instances: u64,
    /// Streams of all of them.
    pub streams: u64,
    /// CPUs that all instances use together.
    pub cpus_used: f64,
    /// What each uses of one CPU, in percent; when one is lost.
    pub cpu_percent: f64,
    /// See `cpu_percent`.
    pub cpu_percent_less_one: f64,
    /// Into the nozzle, in Mbit/s.
    pub mbit_in: f64,
    /// Out of it.
    pub mbit_out: f64,
    /// Endpoints of HEC.
    pub endpoints: u64,
    /// The most memory that an instance was seen to take, in MB.
    pub memory_mb: f64,
    /// For how long the pools of all hold everything while HEC is away.
    pub outage_seconds: f64,
}

/// The arithmetic. One instance may be lost: the others can take all of it.
pub fn needs(rate: f64, measured: &Measured, assumed: &Assumptions) -> Needs {
    let by_cpu = assumed.cpus * assumed.busy * 1e6 / measured.micros;
    let by_streams = assumed.stream_rate * assumed.streams as f64;
    let instances = (ceil(rate / by_cpu.min(by_streams)) + 1).max(INSTANCES_MIN);
    let routers = ceil(rate / assumed.router_rate).max(2);
    let cpus_used = rate * measured.micros / 1e6;
    Needs {
        rate,
        routers,
        proxies: ceil(routers as f64 / 2.0).max(2),
        instances,
        streams: instances * assumed.streams,
        cpus_used,
        cpu_percent: cpus_used / instances as f64 * 100.0,
        cpu_percent_less_one: cpus_used / (instances - 1) as f64 * 100.0,
        mbit_in: rate * assumed.envelope_bytes * 8.0 / 1e6,
        mbit_out: rate * measured.wire_bytes * 8.0 / 1e6,
        endpoints: ceil(rate * measured.body_bytes / 1e6 / assumed.endpoint_mb).max(1),
        memory_mb: measured.memory_mb,
        outage_seconds: POOL_BYTES / measured.body_bytes * instances as f64 / rate,
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of machines")]
fn ceil(number: f64) -> u64 {
    number.ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURED: Measured = Measured {
        micros: 2.0,
        body_bytes: 900.0,
        wire_bytes: 150.0,
        payload_bytes: 256.0,
        memory_mb: 120.0,
    };
    const ASSUMED: Assumptions = Assumptions {
        router_rate: 16_000.0,
        stream_rate: 10_000.0,
        streams: 4,
        cpus: 1.0,
        busy: 0.5,
        endpoint_mb: 50.0,
        envelope_bytes: 900.0,
    };

    #[test]
    fn what_rates_need() {
        let least = needs(100.0, &MEASURED, &ASSUMED);
        assert_eq!((least.instances, least.routers, least.proxies, least.endpoints), (2, 2, 2, 1));
        let much = needs(1e6, &MEASURED, &ASSUMED);
        // By streams: 25 and one more; by CPU it would be 4.
        assert_eq!((much.instances, much.streams, much.routers, much.proxies), (26, 104, 63, 32));
        assert!((much.cpus_used - 2.0).abs() < 1e-9 && (much.cpu_percent_less_one - 8.0).abs() < 1e-9);
        assert!((much.mbit_in - 7200.0).abs() < 1e-6 && (much.mbit_out - 1200.0).abs() < 1e-6);
        assert_eq!(much.endpoints, 18);
        let dear = needs(1e6, &Measured { micros: 100.0, ..MEASURED }, &ASSUMED);
        assert_eq!(dear.instances, 201, "by CPU");
    }
}
