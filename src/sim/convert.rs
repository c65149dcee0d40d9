//! The platform's conversion of v2 envelopes for v1 consumers, defects included.
//!
//! The platform's router converts at ingress and drops what has no valid v1 form without a
//! trace: logs with an empty payload, timers without a request id, events, gauges without
//! metrics. A container gauge loses its extra metrics and a timer loses its name. All of that
//! is wanted here: whoever reads the v1 firehose sees exactly this.

use std::collections::BTreeMap;

use crate::proto::dropsonde as v1;
use crate::proto::dropsonde::envelope::EventType;
use crate::proto::loggregator as v2;
use crate::proto::loggregator::envelope::Message;
use crate::proto::loggregator::value::Data;

mod log;

pub(crate) use log::usual as usual_log;

/// What makes a gauge a container metric when all of them are there.
const CONTAINER_METRICS: [&str; 5] = ["cpu", "memory", "disk", "memory_quota", "disk_quota"];

/// Only says how the envelope came in.
const V1_TYPE: &str = "__v1_type";

/// The v1 envelopes a v1 consumer gets for one v2 envelope; often one, sometimes none.
pub fn to_v1(mut envelope: v2::Envelope) -> Vec<v1::Envelope> {
    let mut tags = Tags::of(&mut envelope);
    let message = envelope.message.take();
    match message {
        Some(Message::Log(log)) => from_log(&envelope, log, tags).into_iter().collect(),
        Some(Message::Counter(counter)) => {
            tags.add_instance(&envelope);
            let counter_event =
                v1::CounterEvent { name: counter.name, delta: counter.delta, total: Some(counter.total) };
            let base = base(&envelope, EventType::CounterEvent, tags);
            vec![v1::Envelope { counter_event: Some(counter_event), ..base }]
        }
        Some(Message::Gauge(gauge)) => from_gauge(&envelope, gauge, tags),
        Some(Message::Timer(timer)) => from_timer(&envelope, &timer, tags).into_iter().collect(),
        Some(Message::Event(_)) | None => Vec::new(),
    }
}

/// The app an app stream finds this envelope under; `None` for what belongs to the platform.
pub fn app_of(envelope: &v1::Envelope) -> Option<String> {
    if let Some(log) = &envelope.log_message {
        return log.app_id.clone().filter(|id| !id.is_empty());
    }
    if let Some(metric) = &envelope.container_metric {
        return Some(metric.application_id.clone());
    }
    envelope.http_start_stop.as_ref()?.application_id.as_ref().map(uuid_text)
}

fn from_log(envelope: &v2::Envelope, log: v2::Log, mut tags: Tags) -> Option<v1::Envelope> {
    if tags.take(V1_TYPE) == "Error" {
        let error = v1::Error {
            source: tags.take("source"),
            code: wrap_i32(integer(&tags.take("code"))),
            message: String::from_utf8_lossy(&log.payload).into_owned(),
        };
        return Some(v1::Envelope { error: Some(error), ..base(envelope, EventType::Error, tags) });
    }
    if log.payload.is_empty() {
        return None;
    }
    let kind = if log.r#type == v2::log::Type::Out as i32 {
        v1::log_message::MessageType::Out
    } else {
        v1::log_message::MessageType::Err
    };
    let log_message = v1::LogMessage {
        message: log.payload,
        message_type: kind as i32,
        timestamp: envelope.timestamp,
        app_id: Some(envelope.source_id.clone()),
        source_type: Some(tags.take("source_type")),
        source_instance: Some(envelope.instance_id.clone()),
    };
    let base = base(envelope, EventType::LogMessage, tags);
    Some(v1::Envelope { log_message: Some(log_message), ..base })
}

fn from_gauge(envelope: &v2::Envelope, gauge: v2::Gauge, mut tags: Tags) -> Vec<v1::Envelope> {
    if let Some(metric) = container_metric(envelope, &gauge) {
        let base = base(envelope, EventType::ContainerMetric, tags);
        return vec![v1::Envelope { container_metric: Some(metric), ..base }];
    }
    tags.add_instance(envelope);
    let base = base(envelope, EventType::ValueMetric, tags);
    let metric = |(name, metric): (String, v2::GaugeValue)| v1::Envelope {
        value_metric: Some(v1::ValueMetric { name, value: metric.value, unit: metric.unit }),
        ..base.clone()
    };
    gauge.metrics.into_iter().map(metric).collect()
}

fn container_metric(envelope: &v2::Envelope, gauge: &v2::Gauge) -> Option<v1::ContainerMetric> {
    // A metric with neither unit nor value counts as missing.
    let value = |name: &str| {
        let metric = gauge.metrics.get(name)?;
        (!metric.unit.is_empty() || metric.value != 0.0).then_some(metric.value)
    };
    let [cpu, memory, disk, memory_quota, disk_quota] = CONTAINER_METRICS.map(value);
    let instance_index = match gauge.metrics.get("instance_index") {
        Some(metric) => wrap_i32(truncate(metric.value)),
        None => wrap_i32(integer(&envelope.instance_id)),
    };
    Some(v1::ContainerMetric {
        application_id: envelope.source_id.clone(),
        instance_index,
        cpu_percentage: cpu?,
        memory_bytes: unsigned(memory?),
        disk_bytes: unsigned(disk?),
        memory_bytes_quota: Some(unsigned(memory_quota?)),
        disk_bytes_quota: Some(unsigned(disk_quota?)),
    })
}

fn from_timer(envelope: &v2::Envelope, timer: &v2::Timer, mut tags: Tags) -> Option<v1::Envelope> {
    let peer_type = v1::PeerType::from_str_name(&tags.take("peer_type"));
    let method = v1::Method::from_str_name(&tags.take("method"));
    let start_stop = v1::HttpStartStop {
        start_timestamp: timer.start,
        stop_timestamp: timer.stop,
        request_id: uuid(&tags.take("request_id"))?,
        // 0 is no number of these enumerations; the platform writes it all the same.
        peer_type: peer_type.map_or(0, |kind| kind as i32),
        method: method.map_or(0, |method| method as i32),
        uri: tags.take("uri"),
        remote_address: tags.take("remote_address"),
        user_agent: tags.take("user_agent"),
        status_code: wrap_i32(integer(&tags.take("status_code"))),
        content_length: integer(&tags.take("content_length")),
        application_id: uuid(&envelope.source_id),
        instance_index: Some(wrap_i32(integer(&envelope.instance_id))),
        instance_id: Some(tags.take("routing_instance_id")),
        forwarded: tags.take("forwarded").split('\n').map(str::to_owned).collect(),
    };
    let base = base(envelope, EventType::HttpStartStop, tags);
    Some(v1::Envelope { http_start_stop: Some(start_stop), ..base })
}

fn base(envelope: &v2::Envelope, kind: EventType, mut tags: Tags) -> v1::Envelope {
    tags.take(V1_TYPE);
    v1::Envelope {
        origin: tags.take("origin"),
        event_type: kind as i32,
        timestamp: Some(envelope.timestamp),
        // Written even when empty: the platform does so.
        deployment: Some(tags.take("deployment")),
        job: Some(tags.take("job")),
        index: Some(tags.take("index")),
        ip: Some(tags.take("ip")),
        tags: tags.all,
        ..v1::Envelope::default()
    }
}

/// The tags of an envelope, both maps as one.
struct Tags {
    /// Here a deprecated tag wins over a plain one of the same name.
    all: BTreeMap<String, String>,
    /// The plain ones that lost; they win where a tag becomes a field.
    shadowed: BTreeMap<String, String>,
}

impl Tags {
    /// Moves the tags out of an envelope.
    fn of(envelope: &mut v2::Envelope) -> Self {
        let mut tags = Self { all: std::mem::take(&mut envelope.tags), shadowed: BTreeMap::new() };
        for (name, value) in std::mem::take(&mut envelope.deprecated_tags) {
            let Some(text) = deprecated(&value) else { continue };
            if let Some(plain) = tags.all.insert(name.clone(), text) {
                tags.shadowed.insert(name, plain);
            }
        }
        if !envelope.source_id.is_empty() {
            tags.all.insert("source_id".to_owned(), envelope.source_id.clone());
        }
        tags
    }

    /// Removes a tag and gives its value, empty if there is none.
    fn take(&mut self, name: &str) -> String {
        let value = self.all.remove(name);
        self.shadowed.remove(name).or(value).unwrap_or_default()
    }

    fn add_instance(&mut self, envelope: &v2::Envelope) {
        if !envelope.instance_id.is_empty() {
            self.all.insert("instance_id".to_owned(), envelope.instance_id.clone());
        }
    }
}

fn deprecated(value: &v2::Value) -> Option<String> {
    Some(match value.data.as_ref()? {
        Data::Text(text) => text.clone(),
        Data::Integer(integer) => integer.to_string(),
        Data::Decimal(decimal) if decimal.is_infinite() => {
            if *decimal > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
        }
        Data::Decimal(decimal) => format!("{decimal:.6}"),
    })
}

/// A decimal number, or 0.
fn integer(text: &str) -> i64 {
    text.parse().unwrap_or(0)
}

/// Keeps the low 32 bits, as the platform does: 4294967496 becomes 200.
#[allow(clippy::cast_possible_truncation, reason = "the platform's own truncation is imitated")]
fn wrap_i32(value: i64) -> i32 {
    value as i32
}

#[allow(clippy::cast_possible_truncation, reason = "the platform's own truncation is imitated")]
fn truncate(value: f64) -> i64 {
    value as i64
}

/// As amd64 converts: negative numbers wrap, and what is no number is the top bit alone.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the platform's own conversion is imitated"
)]
fn unsigned(value: f64) -> u64 {
    if value.is_nan() {
        1 << 63
    } else if value < 0.0 {
        value as i64 as u64
    } else {
        value as u64
    }
}

/// Only the form of 36 characters is read; what stands between the groups is not looked at.
fn uuid(text: &str) -> Option<v1::Uuid> {
    const GROUPS: [(usize, usize); 5] = [(0, 8), (9, 13), (14, 18), (19, 23), (24, 36)];
    if text.len() != 36 {
        return None;
    }
    let mut hex = String::with_capacity(32);
    for (start, end) in GROUPS {
        hex.push_str(text.get(start..end)?);
    }
    // Read as one big-endian number, its bytes are those of the id in order.
    let bytes = u128::from_str_radix(&hex, 16).ok().filter(|_| !hex.contains('+'))?.to_be_bytes();
    let half = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    Some(v1::Uuid { low: half(&bytes[..8]), high: half(&bytes[8..]) })
}

/// The text form of an id: eight bytes of each half, lowest first.
fn uuid_text(id: &v1::Uuid) -> String {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&id.low.to_le_bytes());
    bytes[8..].copy_from_slice(&id.high.to_le_bytes());
    uuid::Uuid::from_bytes(bytes).to_string()
}

#[cfg(test)]
mod tests;
