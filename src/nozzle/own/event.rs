//! The JSON of own events, as the Go nozzle has it.

use std::net::IpAddr;

use tracing::Level;

use super::metrics::Value;
use super::tap::Line;
use crate::clock::UnixNanos;
use crate::nozzle::encode::{index_member, json};

/// What all events of a lane have in common.
#[derive(Debug)]
pub(super) struct Place {
    host: String,
    ip: String,
    /// `,"index":"…"`, rendered.
    index_member: Box<[u8]>,
}

impl Place {
    pub(super) fn new(host: &str, ip: Option<IpAddr>, index: &str) -> Self {
        let ip = ip.map(|ip| ip.to_string()).unwrap_or_default();
        Self { host: host.to_owned(), ip, index_member: index_member(index) }
    }
}

/// Metrics at one moment.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) time: UnixNanos,
    pub(super) values: Vec<(&'static str, Value)>,
}

impl Measured {
    /// Bytes it takes, about.
    pub(super) fn cost(&self) -> usize {
        self.values.len() * size_of::<(&str, Value)>() + size_of::<Self>()
    }
}

/// How the Go nozzle numbers levels. Where it logs what heals by itself, such as a failed attempt, that is an error.
fn level(level: Level) -> u8 {
    match level {
        Level::ERROR | Level::WARN => 2,
        Level::INFO => 1,
        Level::DEBUG | Level::TRACE => 0,
    }
}

/// Writes a line of the log: sourcetype `cf:splunknozzle`.
pub(super) fn log_line(out: &mut Vec<u8>, place: &Place, line: &Line) {
    out.extend_from_slice(b"{\"time\":\"");
    json::seconds(out, line.time.0);
    out.extend_from_slice(b"\",\"host\":");
    json::string(out, place.host.as_bytes());
    out.extend_from_slice(b",\"sourcetype\":\"cf:splunknozzle\"");
    out.extend_from_slice(&place.index_member);
    out.extend_from_slice(b",\"event\":{\"logger_source\":\"splunk-nozzle-logger\",\"message\":");
    json::string(out, format!("splunk-nozzle-logger.{}", line.message).as_bytes());
    out.extend_from_slice(b",\"ip\":");
    json::string(out, place.ip.as_bytes());
    out.extend_from_slice(b",\"origin\":\"splunk_nozzle\",\"log_level\":");
    json::integer(out, level(line.level));
    if !line.data.is_empty() {
        out.extend_from_slice(b",\"data\":{");
        out.extend_from_slice(line.data.as_bytes());
        out.push(b'}');
    }
    out.extend_from_slice(b"}}");
}

/// Writes metrics, all of one moment in one event: sourcetype `cf:nozzlemetrics`.
pub(super) fn metrics(out: &mut Vec<u8>, place: &Place, instance: Option<&str>, measured: &Measured) {
    out.extend_from_slice(b"{\"time\":\"");
    json::seconds(out, measured.time.0);
    out.extend_from_slice(b"\",\"sourcetype\":\"cf:nozzlemetrics\"");
    out.extend_from_slice(&place.index_member);
    out.extend_from_slice(b",\"event\":\"metric\",\"fields\":{");
    if let Some(instance) = instance {
        out.extend_from_slice(b"\"instance_index\":");
        json::string(out, instance.as_bytes());
    }
    for (name, value) in &measured.values {
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        out.extend_from_slice(b"\"metric_name:");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        match *value {
            Value::Count(count) => json::integer(out, count),
            Value::Share(share) => json::double(out, share),
        }
    }
    out.extend_from_slice(b"}}");
}
