//! What a v2 envelope means: what the platform's own conversion to v1 gives, and what it loses.
//!
//! Delivered here although v1 never sees them: logs with an empty payload, timers that are no HTTP
//! requests or whose request id is no UUID, the metrics beside the usual five in a container's
//! gauge, and platform events. The rules are the same for protobuf and for the gateway's JSON.

use crate::nozzle::event::{
    AllTags, AppId, Body, Container, Event, Forwarded, Head, HttpStartStop, Id, Metrics, Seen, Symbol,
    TagList, uuid,
};
use crate::nozzle::event_type::EventType;
use crate::nozzle::ledger::Malformed;
use crate::nozzle::wire::tags::{Key, KeySet, Tags};
use crate::nozzle::wire::v2;

/// Tags that stand elsewhere in every event.
const HIDDEN: KeySet =
    KeySet::of(&[Key::V1Type, Key::Origin, Key::Deployment, Key::Job, Key::Index, Key::Ip]);
const HIDDEN_IN_LOGS: KeySet = HIDDEN.and(KeySet::of(&[Key::SourceType]));
const HIDDEN_IN_ERRORS: KeySet = HIDDEN.and(KeySet::of(&[Key::Source, Key::Code]));
const HIDDEN_IN_HTTP: KeySet = HIDDEN.and(KeySet::of(&[
    Key::RequestId,
    Key::PeerType,
    Key::Method,
    Key::Uri,
    Key::RemoteAddress,
    Key::UserAgent,
    Key::StatusCode,
    Key::ContentLength,
    Key::RoutingInstanceId,
    Key::Forwarded,
]));

/// The metrics that make a gauge a container's.
const CONTAINER_METRICS: [&[u8]; 5] = [b"cpu", b"memory", b"disk", b"memory_quota", b"disk_quota"];

/// A v2 envelope, however it was written.
pub(super) struct Facts<'a> {
    pub(super) timestamp: i64,
    pub(super) source_id: &'a [u8],
    pub(super) instance_id: &'a [u8],
    pub(super) tags: &'a Tags<'a>,
    pub(super) all_tags: AllTags<'a>,
}

/// What it carries.
pub(super) enum Message<'a> {
    Log(v2::Log<'a>),
    Counter(v2::Counter<'a>),
    Gauge(Metrics<'a>),
    Timer(v2::Timer<'a>),
    Event(v2::Event<'a>),
}

impl<'a> Facts<'a> {
    /// What the encoder needs to know of it, or what is wrong with a metric.
    // Always inlined, as what calls it.
    #[inline(always)]
    pub(super) fn event(self, message: Message<'a>) -> Result<Event<'a>, Malformed> {
        let (event_type, body, app, hidden) = match message {
            Message::Log(message) => log(&self, message),
            Message::Counter(v2::Counter { name, delta, total }) => {
                (EventType::CounterEvent, Body::Counter { name, delta, total }, AppId::None, HIDDEN)
            }
            Message::Gauge(metrics) => gauge(&self, metrics)?,
            Message::Timer(message) => timer(&self, message),
            Message::Event(v2::Event { title, body }) => {
                (EventType::Event, Body::PlatformEvent { title, body }, AppId::None, HIDDEN)
            }
        };
        let tags = self.tags;
        let shows_instance = matches!(event_type, EventType::CounterEvent | EventType::ValueMetric);
        Ok(Event {
            event_type,
            timestamp: Some(self.timestamp),
            head: Head {
                origin: tags.text(Key::Origin),
                deployment: tags.text(Key::Deployment),
                job: tags.text(Key::Job),
                index: tags.text(Key::Index),
                ip: tags.text(Key::Ip),
            },
            app,
            tags,
            all_tags: TagList {
                all: self.all_tags,
                hidden,
                source_id: self.source_id,
                instance_id: if shows_instance { self.instance_id } else { &[] },
            },
            body,
        })
    }
}

type Parts<'a> = (EventType, Body<'a>, AppId<'a>, KeySet);

#[inline]
fn log<'a>(facts: &Facts<'a>, log: v2::Log<'a>) -> Parts<'a> {
    let tags = &facts.tags;
    if tags.text(Key::V1Type) == b"Error" {
        let code = integer32(tags.text(Key::Code));
        let body = Body::Error { source: tags.text(Key::Source), code, message: log.payload };
        return (EventType::Error, body, AppId::None, HIDDEN_IN_ERRORS);
    }
    let body = Body::Log {
        payload: log.payload,
        message_type: if log.kind == 0 { 1 } else { 2 },
        timestamp: facts.timestamp,
        source_type: tags.text(Key::SourceType),
        source_instance: facts.instance_id,
    };
    (EventType::LogMessage, body, AppId::Text(facts.source_id), HIDDEN_IN_LOGS)
}

fn gauge<'a>(facts: &Facts<'a>, metrics: Metrics<'a>) -> Result<Parts<'a>, Malformed> {
    let (container, repeats) = container(facts, &metrics)?;
    let metrics = metrics.with_repeats(repeats);
    let body = Body::Gauge { container, metrics };
    Ok(if container.is_some() {
        (EventType::ContainerMetric, body, AppId::Text(facts.source_id), HIDDEN)
    } else {
        (EventType::ValueMetric, body, AppId::None, HIDDEN)
    })
}

/// Reads all metrics, so that a later pass over them cannot fail, and tells whether a name may be there twice.
fn container(facts: &Facts<'_>, metrics: &Metrics<'_>) -> Result<(Option<Container>, bool), Malformed> {
    let mut found = [None; CONTAINER_METRICS.len()];
    let mut instance_index = None;
    let mut seen = Seen::default();
    let mut repeats = false;
    metrics.for_each(|metric| {
        repeats |= seen.insert(metric.name);
        if let Some(at) = CONTAINER_METRICS.iter().position(|name| *name == metric.name) {
            // With neither unit nor value it counts as missing.
            found[at] = (!metric.unit.is_empty() || metric.value != 0.0).then_some(metric.value);
        } else if metric.name == INSTANCE_INDEX {
            instance_index = Some(metric.value);
        }
    })?;
    let [Some(cpu_percentage), Some(memory), Some(disk), Some(memory_quota), Some(disk_quota)] = found else {
        return Ok((None, repeats));
    };
    let container = Container {
        instance_index: match instance_index {
            Some(index) => truncated(index),
            None => integer32(facts.instance_id),
        },
        cpu_percentage,
        memory_bytes: whole(memory),
        disk_bytes: whole(disk),
        memory_bytes_quota: whole(memory_quota),
        disk_bytes_quota: whole(disk_quota),
    };
    Ok((Some(container), repeats))
}

const INSTANCE_INDEX: &[u8] = b"instance_index";

/// Whether a container's gauge shows this metric in the event ContainerMetric itself.
pub(in crate::nozzle) fn is_container_metric(name: &[u8]) -> bool {
    name == INSTANCE_INDEX || CONTAINER_METRICS.contains(&name)
}

fn timer<'a>(facts: &Facts<'a>, timer: v2::Timer<'a>) -> Parts<'a> {
    let tags = &facts.tags;
    let (Some(method), Some(uri), Some(status_code)) =
        (tags.get(Key::Method), tags.get(Key::Uri), tags.get(Key::StatusCode))
    else {
        let body = Body::Timer {
            name: timer.name,
            start: timer.start,
            stop: timer.stop,
            source_id: facts.source_id,
            instance_id: facts.instance_id,
        };
        return (EventType::Timer, body, AppId::None, HIDDEN);
    };
    let request_id = tags.text(Key::RequestId);
    let body = Body::HttpStartStop(HttpStartStop {
        start: timer.start,
        stop: timer.stop,
        request_id: uuid::normalise(request_id).map_or(Id::Text(request_id), Id::Uuid),
        peer_type: Symbol::Text(tags.text(Key::PeerType)),
        method: Symbol::Text(method),
        uri,
        remote_address: tags.text(Key::RemoteAddress),
        user_agent: tags.text(Key::UserAgent),
        status_code: integer32(status_code),
        content_length: integer(tags.text(Key::ContentLength)),
        instance_index: integer32(facts.instance_id),
        instance_id: tags.text(Key::RoutingInstanceId),
        forwarded: Forwarded::Lines(tags.get(Key::Forwarded)),
    });
    let app = uuid::normalise(facts.source_id).map_or(AppId::Text(&[]), AppId::Uuid);
    (EventType::HttpStartStop, body, app, HIDDEN_IN_HTTP)
}

/// A number in a tag; 0 if it is none, as in the platform's conversion.
fn integer(text: &[u8]) -> i64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[allow(clippy::cast_possible_truncation, reason = "as the platform's conversion: the low 32 bits")]
fn integer32(text: &[u8]) -> i32 {
    integer(text) as i32
}

#[allow(clippy::cast_possible_truncation, reason = "toward zero, at most the largest i32")]
fn truncated(value: f64) -> i32 {
    value as i32
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "toward zero, never below it")]
fn whole(value: f64) -> u64 {
    value as u64
}
