//! One view of an envelope, whichever version of the protocol it came in.
//!
//! [`from_v1`](Event::from_v1), [`from_v2`](Event::from_v2) and [`from_gateway`](Event::from_gateway)
//! give the same [`Event`] for the same fact, following the conversion the platform itself does
//! between the versions, except where that loses something. Everything is borrowed from the
//! frame; nothing is written yet.

mod facts;
mod from_gateway;
mod from_v1;
mod from_v2;
mod maps;
mod seen;
pub mod uuid;

use crate::nozzle::event_type::EventType;
use crate::nozzle::wire::tags::Tags;

pub(in crate::nozzle) use self::facts::is_container_metric;
use self::maps::AllTags;
pub use self::maps::{Metrics, TagList};
pub(in crate::nozzle) use self::seen::Seen;
use self::uuid::UuidText;

/// What the encoder needs to know of one envelope.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// Its type. A container gauge counts as ContainerMetric although further metrics in it
    /// become events of type ValueMetric.
    pub event_type: EventType,
    /// When it happened, if the envelope says so.
    pub timestamp: Option<i64>,
    /// Where it comes from.
    pub head: Head<'a>,
    /// The app it belongs to.
    pub app: AppId<'a>,
    /// The tags with a meaning.
    pub tags: &'a Tags<'a>,
    /// All tags, as they are shown.
    pub all_tags: TagList<'a>,
    /// The rest.
    pub body: Body<'a>,
}

impl Event<'_> {
    /// Whether it is a gauge without any metric.
    pub fn is_empty_gauge(&self) -> bool {
        let Body::Gauge { metrics, .. } = self.body else { return false };
        let mut empty = true;
        metrics.for_each(|_| empty = false).is_ok() && empty
    }
}

/// The emitting component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head<'a> {
    /// Its name.
    pub origin: &'a [u8],
    /// The BOSH deployment.
    pub deployment: &'a [u8],
    /// The BOSH job.
    pub job: &'a [u8],
    /// The BOSH instance id.
    pub index: &'a [u8],
    /// The VM's address.
    pub ip: &'a [u8],
}

/// The GUID of an app, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppId<'a> {
    /// The event type has no app.
    None,
    /// As the envelope has it; may be empty, or no GUID.
    Text(&'a [u8]),
    /// From the binary form, or brought into the usual spelling.
    Uuid(UuidText),
}

impl AppId<'_> {
    /// The text; empty if there is none.
    #[inline]
    pub fn text(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Text(text) => text,
            Self::Uuid(text) => text,
        }
    }
}

/// A request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id<'a> {
    /// As the envelope has it.
    Text(&'a [u8]),
    /// In the usual spelling.
    Uuid(UuidText),
}

impl Id<'_> {
    /// The text; empty if there is none.
    pub fn text(&self) -> &[u8] {
        match self {
            Self::Text(text) => text,
            Self::Uuid(text) => text,
        }
    }
}

/// A value of an enumeration: v1 has numbers, v2 has text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symbol<'a> {
    /// A number of the v1 definition.
    Number(i32),
    /// A name.
    Text(&'a [u8]),
}

/// What an event says, by type.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// A log line.
    Log {
        /// The line.
        payload: &'a [u8],
        /// 1 OUT, 2 ERR.
        message_type: i32,
        /// Nanoseconds since the Unix epoch.
        timestamp: i64,
        /// What wrote the line.
        source_type: &'a [u8],
        /// Which instance wrote it.
        source_instance: &'a [u8],
    },
    /// A request and its answer.
    HttpStartStop(HttpStartStop<'a>),
    /// A request that came in.
    HttpStart(crate::nozzle::wire::v1::HttpStart<'a>),
    /// A request that was answered.
    HttpStop(crate::nozzle::wire::v1::HttpStop<'a>),
    /// A span of time that is no HTTP request.
    Timer {
        /// Its name.
        name: &'a [u8],
        /// Nanoseconds since the Unix epoch.
        start: i64,
        /// Nanoseconds since the Unix epoch.
        stop: i64,
        /// What it belongs to.
        source_id: &'a [u8],
        /// Which instance measured it.
        instance_id: &'a [u8],
    },
    /// One metric.
    Value {
        /// Its name.
        name: &'a [u8],
        /// Its unit.
        unit: &'a [u8],
        /// Its value.
        value: f64,
    },
    /// A counter.
    Counter {
        /// Its name.
        name: &'a [u8],
        /// The increase since the last report.
        delta: u64,
        /// The sum so far.
        total: u64,
    },
    /// An error of a component.
    Error {
        /// The component.
        source: &'a [u8],
        /// Its code.
        code: i32,
        /// What it said.
        message: &'a [u8],
    },
    /// An app instance's use of resources.
    Container(Container),
    /// A v2 gauge: a container's use of resources, further metrics, or both.
    Gauge {
        /// The container's use of resources, if it is such a gauge.
        container: Option<Container>,
        /// All metrics, those of the container too.
        metrics: Metrics<'a>,
    },
    /// Something that happened on the platform.
    PlatformEvent {
        /// What happened.
        title: &'a [u8],
        /// The details.
        body: &'a [u8],
    },
}

/// A request and its answer.
#[derive(Clone, Copy, Debug)]
pub struct HttpStartStop<'a> {
    /// Nanoseconds since the Unix epoch.
    pub start: i64,
    /// Nanoseconds since the Unix epoch.
    pub stop: i64,
    /// The request's id.
    pub request_id: Id<'a>,
    /// Which side measured.
    pub peer_type: Symbol<'a>,
    /// The method.
    pub method: Symbol<'a>,
    /// The URI.
    pub uri: &'a [u8],
    /// The caller's address.
    pub remote_address: &'a [u8],
    /// The caller's User-Agent.
    pub user_agent: &'a [u8],
    /// The reply's status.
    pub status_code: i32,
    /// The reply's size in bytes.
    pub content_length: i64,
    /// The app instance's index.
    pub instance_index: i32,
    /// The app instance's id.
    pub instance_id: &'a [u8],
    /// The X-Forwarded-For addresses.
    pub forwarded: Forwarded<'a>,
}

/// X-Forwarded-For addresses.
#[derive(Clone, Copy, Debug)]
pub enum Forwarded<'a> {
    /// Fields of this v1 payload.
    Fields(&'a [u8]),
    /// One a line; `None` without the tag.
    Lines(Option<&'a [u8]>),
}

/// An app instance's use of resources.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Container {
    /// The app instance's index.
    pub instance_index: i32,
    /// Of one core, in per cent.
    pub cpu_percentage: f64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of disk.
    pub disk_bytes: u64,
    /// The most memory allowed, in bytes.
    pub memory_bytes_quota: u64,
    /// The most disk allowed, in bytes.
    pub disk_bytes_quota: u64,
}
