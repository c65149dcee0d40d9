//! Writes HEC events: the JSON objects the Go nozzle posted, once, into the body that is sent.
//!
//! [`json`] writes strings and numbers, [`message`] decides whether a log line is JSON itself,
//! [`Encoder`] knows the shape of each event type. Pure: no clock, no network, no allocation
//! beyond the growth of the buffer.

pub mod json;
pub mod message;
mod shape;
mod tags;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::clock::UnixNanos;
use crate::hec::batch::Batch;
use crate::nozzle::event::{Body, Event};
use crate::nozzle::event_type::{EventSet, EventType};
use crate::nozzle::metadata::Fields;
use crate::nozzle::wire::tags::{Key, Tags};

/// How far ahead of its arrival an event may be dated; more is a broken clock.
const FUTURE_MAX_NANOS: i64 = 24 * 3600 * 1_000_000_000;

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
}

/// What is known of the app an event belongs to, and of the batch it goes to.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// `,"index":"…"`, rendered.
    pub index: &'a [u8],
    /// The selected names, rendered, each with a comma before it; empty if they are not known.
    pub names: &'a [u8],
    /// The app's own index, if it has one; shown in the event as the Go nozzle did.
    pub app_index: Option<&'a str>,
    /// The sourcetype the app asks for; for its log lines only.
    pub app_sourcetype: Option<&'a str>,
    /// When the envelope was read.
    pub arrived: UnixNanos,
}

/// What became of one envelope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Events written; 0 if EVENTS wants none of it.
    pub events: u64,
    /// Whether its own time was unusable.
    pub retimed: bool,
    /// Whether a message was cut to fit.
    pub truncated: bool,
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
                .map(|(member, key)| (format!(",\"{member}\":").into_bytes().into(), key))
                .collect(),
            add_tags: settings.add_tags,
            fields: fields.into(),
            counter: counted.then(Arc::default),
            event_bytes_max: settings.event_bytes_max,
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

    /// Writes the events of one envelope and commits them; the first settles the envelope.
    #[inline]
    pub fn encode(&self, event: &Event<'_>, context: &Context<'_>, batch: &mut Batch) -> Written {
        let mut written = Written::default();
        let time = event_time(event.timestamp, context.arrived);
        written.retimed = time.original.is_some();
        let line = Line { encoder: self, event, context, time };
        match event.body {
            Body::Gauge { container, metrics } => {
                if let Some(container) = container
                    && self.events.contains(EventType::ContainerMetric)
                {
                    line.write(batch, &mut written, EventType::ContainerMetric, &Body::Container(container));
                }
                if !self.events.contains(EventType::ValueMetric) {
                    return written;
                }
                // The metrics were all read before, so there is nothing malformed to stop at.
                let _ = metrics.for_each(|metric| {
                    if container.is_none() || !crate::nozzle::event::is_container_metric(metric.name) {
                        let body = Body::Value { name: metric.name, unit: metric.unit, value: metric.value };
                        line.write(batch, &mut written, EventType::ValueMetric, &body);
                    }
                });
            }
            body => line.write(batch, &mut written, event.event_type, &body),
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

/// One envelope on its way into a batch.
struct Line<'a> {
    encoder: &'a Encoder,
    event: &'a Event<'a>,
    context: &'a Context<'a>,
    time: EventTime,
}

impl Line<'_> {
    #[inline]
    fn write(&self, batch: &mut Batch, written: &mut Written, event_type: EventType, body: &Body<'_>) {
        let start = batch.committed();
        self.write_object(batch.buffer(), event_type, body);
        let length = batch.buffer().len() - start;
        if length > self.encoder.event_bytes_max {
            batch.rollback();
            self.write_truncated(batch, event_type, body, length);
            written.truncated = true;
        }
        batch.commit(u32::from(written.events == 0));
        written.events += 1;
    }

    /// Writes the event with its text cut, so that it fits.
    fn write_truncated(&self, batch: &mut Batch, event_type: EventType, body: &Body<'_>, mut length: usize) {
        let mut text_bytes = shape::text(body).len();
        loop {
            // As much as would fit if all of the event were text, and a little less each time: how much a
            // byte of text takes depends on how it is escaped.
            let share = text_bytes.saturating_mul(self.encoder.event_bytes_max) / length.max(1);
            text_bytes = share.min(text_bytes - text_bytes / 32).min(text_bytes.saturating_sub(1));
            self.write_object(batch.buffer(), event_type, &shape::with_text_cut(*body, text_bytes));
            length = batch.buffer().len() - batch.committed();
            if length <= self.encoder.event_bytes_max || text_bytes == 0 {
                return;
            }
            batch.rollback();
        }
    }

    #[inline]
    fn write_object(&self, out: &mut Vec<u8>, event_type: EventType, body: &Body<'_>) {
        let head = &self.event.head;
        out.extend_from_slice(b"{\"time\":\"");
        json::seconds(out, self.time.nanos);
        out.extend_from_slice(b"\",\"host\":");
        json::string(out, head.ip);
        out.extend_from_slice(b",\"source\":");
        json::string(out, head.job);
        match self.context.app_sourcetype {
            Some(sourcetype) if event_type == EventType::LogMessage => {
                out.extend_from_slice(b",\"sourcetype\":");
                json::string(out, sourcetype.as_bytes());
            }
            _ => out.extend_from_slice(shape::sourcetype(event_type)),
        }
        out.extend_from_slice(self.context.index);
        out.extend_from_slice(b",\"fields\":{");
        self.write_fields(out);
        out.extend_from_slice(shape::event_type(event_type));
        json::string(out, head.origin);
        out.extend_from_slice(b",\"deployment\":");
        json::string(out, head.deployment);
        out.extend_from_slice(b",\"ip\":");
        json::string(out, head.ip);
        out.extend_from_slice(b",\"job\":");
        json::string(out, head.job);
        out.extend_from_slice(b",\"job_index\":");
        json::string(out, head.index);
        shape::body(out, &self.event.app, body);
        if shape::has_app(event_type) {
            self.write_names(out);
            if let Some(index) = self.context.app_index {
                out.extend_from_slice(b",\"info_splunk_index\":");
                json::string(out, index.as_bytes());
            }
        }
        if self.encoder.add_tags {
            tags::write(out, &self.event.all_tags);
        }
        out.extend_from_slice(b"}}");
    }

    #[inline]
    fn write_fields(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.encoder.fields);
        let mut empty = self.encoder.fields.is_empty();
        let mut extra = |key: &[u8], value: &mut dyn FnMut(&mut Vec<u8>)| {
            out.extend_from_slice(if empty { b"\"" } else { b",\"" });
            empty = false;
            out.extend_from_slice(key);
            out.extend_from_slice(b"\":\"");
            value(out);
            out.push(b'"');
        };
        if let Some(counter) = &self.encoder.counter {
            let n = counter.fetch_add(1, Relaxed) + 1;
            extra(TRACE_COUNTER.as_bytes(), &mut |out| json::integer(out, n));
        }
        if let Some(original) = self.time.original {
            extra(b"original_timestamp", &mut |out| json::integer(out, original));
        }
    }

    /// The app's names: from the envelope's tags if it has all that are wanted, else as looked up.
    #[inline]
    fn write_names(&self, out: &mut Vec<u8>) {
        let names = &self.encoder.names;
        let tags: &Tags<'_> = self.event.tags;
        if !self.context.names.is_empty() && names.iter().any(|(_, key)| tags.get(*key).is_none()) {
            out.extend_from_slice(self.context.names);
            return;
        }
        for (member, key) in names.iter() {
            let value = tags.text(*key);
            if !value.is_empty() {
                out.extend_from_slice(member);
                json::string(out, value);
            }
        }
    }
}
