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

/// What makes a gauge a container metric when all of them are there.
const CONTAINER_METRICS: [&str; 5] = ["cpu", "memory", "disk", "memory_quota", "disk_quota"];

/// Tags that v1 has fields for, or that only say how the envelope came in.
const NOT_TAGS: [&str; 6] = ["__v1_type", "origin", "deployment", "job", "index", "ip"];

/// The v1 envelopes a v1 consumer gets for one v2 envelope; often one, sometimes none.
pub fn to_v1(envelope: &v2::Envelope) -> Vec<v1::Envelope> {
    match &envelope.message {
        Some(Message::Log(log)) => from_log(envelope, log).into_iter().collect(),
        Some(Message::Counter(counter)) => vec![from_counter(envelope, counter)],
        Some(Message::Gauge(gauge)) => from_gauge(envelope, gauge),
        Some(Message::Timer(timer)) => from_timer(envelope, timer).into_iter().collect(),
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

fn from_log(envelope: &v2::Envelope, log: &v2::Log) -> Option<v1::Envelope> {
    if tag(envelope, "__v1_type").as_deref() == Some("Error") {
        return Some(from_error(envelope, log));
    }
    if log.payload.is_empty() {
        return None;
    }
    let mut tags = tags(envelope);
    let source_type = tag(envelope, "source_type").unwrap_or_default();
    tags.remove("source_type");
    let kind = if log.r#type == v2::log::Type::Out as i32 {
        v1::log_message::MessageType::Out
    } else {
        v1::log_message::MessageType::Err
    };
    Some(v1::Envelope {
        log_message: Some(v1::LogMessage {
            message: log.payload.clone(),
            message_type: kind as i32,
            timestamp: envelope.timestamp,
            app_id: Some(envelope.source_id.clone()),
            source_type: Some(source_type),
            source_instance: Some(envelope.instance_id.clone()),
        }),
        ..base(envelope, EventType::LogMessage, tags)
    })
}

fn from_error(envelope: &v2::Envelope, log: &v2::Log) -> v1::Envelope {
    let mut tags = tags(envelope);
    let source = tag(envelope, "source").unwrap_or_default();
    let code = integer(tag(envelope, "code").as_deref());
    tags.remove("source");
    tags.remove("code");
    let message = String::from_utf8_lossy(&log.payload).into_owned();
    v1::Envelope {
        error: Some(v1::Error { source, code: wrap_i32(code), message }),
        ..base(envelope, EventType::Error, tags)
    }
}

fn from_counter(envelope: &v2::Envelope, counter: &v2::Counter) -> v1::Envelope {
    v1::Envelope {
        counter_event: Some(v1::CounterEvent {
            name: counter.name.clone(),
            delta: counter.delta,
            total: Some(counter.total),
        }),
        ..base(envelope, EventType::CounterEvent, tags_with_instance(envelope))
    }
}

fn from_gauge(envelope: &v2::Envelope, gauge: &v2::Gauge) -> Vec<v1::Envelope> {
    if let Some(container) = from_container_gauge(envelope, gauge) {
        return vec![container];
    }
    let tags = tags_with_instance(envelope);
    let metric = |(name, metric): (&String, &v2::GaugeValue)| v1::Envelope {
        value_metric: Some(v1::ValueMetric {
            name: name.clone(),
            value: metric.value,
            unit: metric.unit.clone(),
        }),
        ..base(envelope, EventType::ValueMetric, tags.clone())
    };
    gauge.metrics.iter().map(metric).collect()
}

fn from_container_gauge(envelope: &v2::Envelope, gauge: &v2::Gauge) -> Option<v1::Envelope> {
    // A metric with neither unit nor value counts as missing.
    let value = |name: &str| {
        let metric = gauge.metrics.get(name)?;
        (!metric.unit.is_empty() || metric.value != 0.0).then_some(metric.value)
    };
    let [cpu, memory, disk, memory_quota, disk_quota] = CONTAINER_METRICS.map(value);
    let instance_index = match gauge.metrics.get("instance_index") {
        Some(metric) => wrap_i32(truncate(metric.value)),
        None => wrap_i32(integer(Some(&envelope.instance_id))),
    };
    Some(v1::Envelope {
        container_metric: Some(v1::ContainerMetric {
            application_id: envelope.source_id.clone(),
            instance_index,
            cpu_percentage: cpu?,
            memory_bytes: unsigned(memory?),
            disk_bytes: unsigned(disk?),
            memory_bytes_quota: Some(unsigned(memory_quota?)),
            disk_bytes_quota: Some(unsigned(disk_quota?)),
        }),
        ..base(envelope, EventType::ContainerMetric, tags(envelope))
    })
}

fn from_timer(envelope: &v2::Envelope, timer: &v2::Timer) -> Option<v1::Envelope> {
    let mut tags = tags(envelope);
    let mut take = |name: &str| {
        tags.remove(name);
        tag(envelope, name).unwrap_or_default()
    };
    let peer_type = v1::PeerType::from_str_name(&take("peer_type")).map_or(0, |kind| kind as i32);
    let method = v1::Method::from_str_name(&take("method")).map_or(0, |method| method as i32);
    let request_id = uuid(&take("request_id"));
    let start_stop = v1::HttpStartStop {
        start_timestamp: timer.start,
        stop_timestamp: timer.stop,
        request_id: request_id?,
        peer_type,
        method,
        uri: take("uri"),
        remote_address: take("remote_address"),
        user_agent: take("user_agent"),
        status_code: wrap_i32(integer(Some(&take("status_code")))),
        content_length: integer(Some(&take("content_length"))),
        application_id: uuid(&envelope.source_id),
        instance_index: Some(wrap_i32(integer(Some(&envelope.instance_id)))),
        instance_id: Some(take("routing_instance_id")),
        forwarded: take("forwarded").split('\n').map(str::to_owned).collect(),
    };
    Some(v1::Envelope { http_start_stop: Some(start_stop), ..base(envelope, EventType::HttpStartStop, tags) })
}

fn base(envelope: &v2::Envelope, kind: EventType, tags: BTreeMap<String, String>) -> v1::Envelope {
    // Written even when empty: the platform does so.
    let field = |name| Some(tag(envelope, name).unwrap_or_default());
    v1::Envelope {
        origin: tag(envelope, "origin").unwrap_or_default(),
        event_type: kind as i32,
        timestamp: Some(envelope.timestamp),
        deployment: field("deployment"),
        job: field("job"),
        index: field("index"),
        ip: field("ip"),
        tags,
        ..v1::Envelope::default()
    }
}

/// One tag as text: a plain one first, else a deprecated one.
fn tag(envelope: &v2::Envelope, name: &str) -> Option<String> {
    envelope.tags.get(name).cloned().or_else(|| deprecated(envelope.deprecated_tags.get(name)?))
}

/// All tags that stay tags. Here a deprecated one wins over a plain one of the same name.
fn tags(envelope: &v2::Envelope) -> BTreeMap<String, String> {
    let mut tags = envelope.tags.clone();
    for (name, value) in &envelope.deprecated_tags {
        if let Some(text) = deprecated(value) {
            tags.insert(name.clone(), text);
        }
    }
    for name in NOT_TAGS {
        tags.remove(name);
    }
    if !envelope.source_id.is_empty() {
        tags.insert("source_id".to_owned(), envelope.source_id.clone());
    }
    tags
}

fn tags_with_instance(envelope: &v2::Envelope) -> BTreeMap<String, String> {
    let mut tags = tags(envelope);
    if !envelope.instance_id.is_empty() {
        tags.insert("instance_id".to_owned(), envelope.instance_id.clone());
    }
    tags
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
fn integer(text: Option<&str>) -> i64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
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
