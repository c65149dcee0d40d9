//! Writes HEC events: the JSON objects the Go nozzle posted, once, into the body that is sent.
//!
//! [`json`] writes strings and numbers, [`message`] decides whether a log line is JSON itself, `shape`
//! knows the members of each event type, `line` puts an event together and keeps it below the limit.
//! Pure: no clock, no network, no allocation beyond the growth of the buffer.
//!
//! What one envelope can become is bounded: see [`METRICS_MAX`] and [`GAUGE_BYTES_MAX`].

pub mod json;
mod line;
pub mod message;
mod shape;
mod tags;

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use foldhash::fast::RandomState;

use crate::clock::UnixNanos;
use crate::hec::batch::Batch;
use crate::nozzle::encode::line::Line;
use crate::nozzle::event::{Body, Event, is_container_metric};
use crate::nozzle::event_type::{EventSet, EventType};
use crate::nozzle::metadata::Fields;
use crate::nozzle::wire::tags::Key;

/// How far ahead of its arrival an event may be dated; more is a broken clock.
const FUTURE_MAX_NANOS: i64 = 24 * 3600 * 1_000_000_000;

/// Metrics of one gauge that become events; those beyond are left out and counted.
pub const METRICS_MAX: u64 = 1000;

/// Bytes of events that one gauge may become, give or take an event: each metric repeats all tags of
/// the envelope. Metrics beyond are left out and counted.
pub const GAUGE_BYTES_MAX: usize = 8 << 20;

/// What happens to an event that is larger than HEC_MAX_EVENT_BYTES: HEC_OVERSIZE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Oversize {
    /// Its text is cut.
    #[default]
    Truncate,
    /// Its text goes into several events.
    Split,
    /// It is dropped, and counted.
    Drop,
}

/// Where events go: into the batch that is open for them.
pub trait Sink {
    /// Lets `write` append one event, or several, to the open batch. It gets the batch and the
    /// rendered member `,"index":"…"`.
    fn write<T>(&mut self, write: impl FnOnce(&mut Batch, &[u8]) -> T) -> T;
}

/// A batch by itself, which takes whatever comes: for those who encode an envelope or two.
impl Sink for Batch {
    fn write<T>(&mut self, write: impl FnOnce(&mut Batch, &[u8]) -> T) -> T {
        let index = index_member(self.index());
        write(self, &index)
    }
}

/// `,"index":"…"`
pub(in crate::nozzle) fn index_member(index: &str) -> Box<[u8]> {
    let mut member = b",\"index\":".to_vec();
    json::string(&mut member, index.as_bytes());
    member.into()
}

/// The members for the names that are selected, each with the tag that may hold its value.
fn selected(fields: Fields) -> impl Iterator<Item = (&'static str, Key)> {
    [
        (fields.app_name, "cf_app_name", Key::AppName),
        (fields.space_guid, "cf_space_id", Key::SpaceId),
        (fields.space_name, "cf_space_name", Key::SpaceName),
        (fields.org_guid, "cf_org_id", Key::OrgId),
        (fields.org_name, "cf_org_name", Key::OrgName),
    ]
    .into_iter()
    .filter_map(|(selected, member, key)| selected.then_some((member, key)))
}

/// What decides the shape of events.
#[derive(Clone, Debug, Default)]
pub struct EncoderSettings {
    /// The types that are written at all: EVENTS.
    pub events: EventSet,
    /// The names that are added: ADD_APP_INFO.
    pub names: Fields,
    /// Whether tags are added: ADD_TAGS.
    pub add_tags: bool,
    /// Written into `fields` of every event: EXTRA_FIELDS.
    pub extra_fields: Vec<(String, String)>,
    /// Whether every event is marked for tracing, with this subscription id: ENABLE_EVENT_TRACING.
    pub tracing: Option<String>,
    /// The largest event, in bytes of JSON: HEC_MAX_EVENT_BYTES.
    pub event_bytes_max: usize,
    /// What happens to a larger one: HEC_OVERSIZE.
    pub oversize: Oversize,
}

/// Writes events in the configured shape. Clones share the tracing counter.
#[derive(Clone, Debug)]
pub struct Encoder {
    events: EventSet,
    /// Members and the tags that may hold their values, as `,"cf_app_name":"` and so on.
    names: Arc<[(Box<[u8]>, Key)]>,
    add_tags: bool,
    /// The members of `fields` that are the same in every event, without a comma at the end.
    fields: Arc<[u8]>,
    /// Counts events if they are traced and the count is not overridden by an extra field.
    counter: Option<Arc<AtomicU64>>,
    event_bytes_max: usize,
    oversize: Oversize,
    /// Nobody outside can choose names that fall together.
    flows: RandomState,
}

/// What is known of the app an event belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The selected names, rendered, each with a comma before it; empty if they are not known.
    pub names: &'a [u8],
    /// The app's own index, if it has one; shown in the event as the Go nozzle did.
    pub app_index: Option<&'a str>,
    /// The sourcetype the app asks for; for its log lines only.
    pub app_sourcetype: Option<&'a str>,
    /// When the envelope was read.
    pub arrived: UnixNanos,
    /// Whose events are shed together when there is no room: the same for all of an app.
    pub flow: u32,
}

/// What became of one envelope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Events written; 0 if EVENTS wants none of it, or they were all too large.
    pub events: u64,
    /// Bytes of them.
    pub bytes: usize,
    /// Whether its own time was unusable.
    pub retimed: bool,
    /// Events whose text was cut to fit.
    pub truncated: u64,
    /// Events that were split into several to fit.
    pub split: u64,
    /// Events dropped because they were too large.
    pub oversize: u64,
    /// Metrics left out because there were too many.
    pub left_out: u64,
}

const TRACE_ID: &str = "uuid";
const TRACE_SUBSCRIPTION: &str = "firehose-subscription-id";
const TRACE_COUNTER: &str = "nozzle-event-counter";

impl Encoder {
    /// Prepares everything that is the same in every event.
    pub fn new(settings: EncoderSettings) -> Self {
        let overridden = |name: &str| settings.extra_fields.iter().any(|(key, _)| key == name);
        let mut fields = Vec::new();
        let mut field = |key: &str, value: &str| {
            if !fields.is_empty() {
                fields.push(b',');
            }
            json::string(&mut fields, key.as_bytes());
            fields.push(b':');
            json::string(&mut fields, value.as_bytes());
        };
        for (key, value) in &settings.extra_fields {
            field(key, value);
        }
        if let Some(subscription) = &settings.tracing {
            let id = uuid::Uuid::new_v4().to_string();
            for (key, value) in [(TRACE_ID, id.as_str()), (TRACE_SUBSCRIPTION, subscription)] {
                if !overridden(key) {
                    field(key, value);
                }
            }
        }
        let counted = settings.tracing.is_some() && !overridden(TRACE_COUNTER);
        Self {
            events: settings.events,
            names: selected(settings.names)
                .map(|(member, key)| (format!(",\"{member}\":\"").into_bytes().into(), key))
                .collect(),
            add_tags: settings.add_tags,
            fields: fields.into(),
            counter: counted.then(Arc::default),
            event_bytes_max: settings.event_bytes_max,
            oversize: settings.oversize,
            flows: RandomState::default(),
        }
    }

    /// Whether EVENTS wants anything of an envelope with this event.
    ///
    /// A container's gauge may hold metrics of type ValueMetric, so that it can be wanted for them.
    #[inline]
    pub fn wants(&self, event: &Event<'_>) -> bool {
        let event_type = event.event_type;
        match event.body {
            Body::Gauge { .. } => {
                self.events.contains(event_type) || self.events.contains(EventType::ValueMetric)
            }
            // A timer that is no HTTP request comes with the same selection as one that is.
            Body::Timer { .. } => self.events.contains(EventType::HttpStartStop),
            _ => self.events.contains(event_type),
        }
    }

    /// Whose events are shed together with those of this envelope: those of its app, else of its job.
    #[inline]
    pub fn flow(&self, event: &Event<'_>) -> u32 {
        let app = event.app.text();
        let hash = match app.is_empty() {
            false => self.flows.hash_one(app),
            true => self.flows.hash_one((event.head.origin, event.head.job)),
        };
        (hash >> 32) as u32
    }

    /// Writes the events of one envelope, each by itself; the first settles the envelope.
    #[inline]
    pub fn encode(&self, event: &Event<'_>, context: &Context<'_>, sink: &mut impl Sink) -> Written {
        let mut written = Written::default();
        let time = event_time(event.timestamp, context.arrived);
        written.retimed = time.original.is_some();
        let line = Line { encoder: self, event, context, time };
        match &event.body {
            Body::Gauge { container, metrics } => {
                if let Some(container) = *container
                    && self.events.contains(EventType::ContainerMetric)
                {
                    line.write(sink, &mut written, EventType::ContainerMetric, &Body::Container(container));
                }
                if !self.events.contains(EventType::ValueMetric) {
                    return written;
                }
                // The metrics were all read before, so there is nothing malformed to stop at.
                let _ = metrics.for_each(|metric| {
                    if container.is_some() && is_container_metric(metric.name) {
                        return;
                    }
                    if written.events >= METRICS_MAX || written.bytes >= GAUGE_BYTES_MAX {
                        written.left_out += 1;
                        return;
                    }
                    let body = Body::Value { name: metric.name, unit: metric.unit, value: metric.value };
                    line.write(sink, &mut written, EventType::ValueMetric, &body);
                });
            }
            body => line.write(sink, &mut written, event.event_type, body),
        }
        written
    }
}

/// The time an event is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EventTime {
    nanos: i64,
    /// The envelope's own time, if it was unusable.
    original: Option<i64>,
}

fn event_time(timestamp: Option<i64>, arrived: UnixNanos) -> EventTime {
    match timestamp {
        Some(nanos) if nanos > 0 && nanos <= arrived.0.saturating_add(FUTURE_MAX_NANOS) => {
            EventTime { nanos, original: None }
        }
        original => EventTime { nanos: arrived.0, original },
    }
}

#[cfg(test)]
mod tests;
