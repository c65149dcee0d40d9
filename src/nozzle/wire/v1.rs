//! Dropsonde v1: one envelope a frame, read in place.
//!
//! The format has required fields; an envelope that lacks one is malformed, as for every other
//! reader of it. A payload that does not belong to the event type is not looked at, and a missing
//! one reads as its zero values: so did the Go nozzle, and dashboards count these events.

use crate::nozzle::event_type::EventType;
use crate::nozzle::ledger::Malformed;
use crate::nozzle::wire::reader::{Reader, Value};
use crate::nozzle::wire::tags::{Tags, entry};

/// Field number of `tags`.
pub const TAGS: u32 = 17;

/// The type with this number, and the envelope's field that holds its payload.
fn event_type(number: i32) -> Option<(EventType, u32)> {
    Some(match number {
        2 => (EventType::HttpStart, 4),
        3 => (EventType::HttpStop, 5),
        4 => (EventType::HttpStartStop, 7),
        5 => (EventType::LogMessage, 8),
        6 => (EventType::ValueMetric, 9),
        7 => (EventType::CounterEvent, 10),
        8 => (EventType::Error, 11),
        9 => (EventType::ContainerMetric, 12),
        _ => return None,
    })
}

/// An envelope with its payload still undecoded.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// What it carries.
    pub event_type: EventType,
    /// Nanoseconds since the Unix epoch, if given.
    pub timestamp: Option<i64>,
    /// The emitting component.
    pub origin: &'a [u8],
    /// The BOSH deployment.
    pub deployment: &'a [u8],
    /// The BOSH job.
    pub job: &'a [u8],
    /// The BOSH instance id.
    pub index: &'a [u8],
    /// The VM's address.
    pub ip: &'a [u8],
    /// The tags with a meaning.
    pub tags: Tags<'a>,
    /// The payload of the event type, if there is one.
    pub payload: Option<&'a [u8]>,
    /// All of the envelope, for a second pass over its tags.
    pub bytes: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Reads an envelope, in place.
    ///
    /// # Errors
    /// The kind of damage, a missing required field, or an unknown event type.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut envelope = Self {
            event_type: EventType::LogMessage,
            timestamp: None,
            origin: &[],
            deployment: &[],
            job: &[],
            index: &[],
            ip: &[],
            tags: Tags::default(),
            payload: None,
            bytes,
        };
        let (mut type_number, mut has_origin) = (None, false);
        // By field number; which one belongs to the type is known at the end only.
        let mut payloads = [None; 13];
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field()? {
            match number {
                TAGS => envelope.tags.insert(entry(value.bytes()?)?),
                1 => (envelope.origin, has_origin) = (value.bytes()?, true),
                2 => type_number = Some(value.int32()?),
                6 => envelope.timestamp = Some(value.int64()?),
                13 => envelope.deployment = value.bytes()?,
                14 => envelope.job = value.bytes()?,
                15 => envelope.index = value.bytes()?,
                16 => envelope.ip = value.bytes()?,
                4 | 5 | 7..=12 => payloads[number as usize] = Some(value.bytes()?),
                _ => {}
            }
        }
        if !has_origin {
            return Err(Malformed::MissingField);
        }
        let type_number = type_number.ok_or(Malformed::MissingField)?;
        let (event_type, payload_field) = event_type(type_number).ok_or(Malformed::EventType)?;
        Ok(Self { event_type, payload: payloads[payload_field as usize], ..envelope })
    }
}

/// A UUID as v1 carries it; [`Uuid::bytes`] gives it in the order it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uuid {
    low: u64,
    high: u64,
}

impl Uuid {
    /// The 16 bytes in the order of the text form.
    pub fn bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.low.to_le_bytes());
        bytes[8..].copy_from_slice(&self.high.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut uuid = Self::default();
        read(bytes, &[1, 2], |number, value| {
            match number {
                1 => uuid.low = value.varint()?,
                2 => uuid.high = value.varint()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(uuid)
    }
}

/// Hands each field to `each` and checks that the required ones were there.
#[inline]
fn read<'a>(
    bytes: &'a [u8],
    required: &[u32],
    mut each: impl FnMut(u32, Value<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut seen = 0_u64;
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next_field()? {
        seen |= 1 << number.min(63);
        each(number, value)?;
    }
    let wanted = required.iter().fold(0_u64, |bits, number| bits | 1 << number);
    if seen & wanted == wanted { Ok(()) } else { Err(Malformed::MissingField) }
}

/// A log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogMessage<'a> {
    /// The line's bytes; not always UTF-8.
    pub message: &'a [u8],
    /// 1 is OUT, 2 is ERR.
    pub message_type: i32,
    /// Nanoseconds since the Unix epoch.
    pub timestamp: i64,
    /// The app's GUID.
    pub app_id: &'a [u8],
    /// What part of the platform or app wrote the line.
    pub source_type: &'a [u8],
    /// The app instance's index.
    pub source_instance: &'a [u8],
}

impl<'a> LogMessage<'a> {
    /// Reads a log message.
    ///
    /// # Errors
    /// The kind of damage, or a missing required field.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut log = Self::default();
        read(bytes, &[1, 2, 3], |number, value| {
            match number {
                1 => log.message = value.bytes()?,
                2 => log.message_type = value.int32()?,
                3 => log.timestamp = value.int64()?,
                4 => log.app_id = value.bytes()?,
                5 => log.source_type = value.bytes()?,
                6 => log.source_instance = value.bytes()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(log)
    }
}

/// A request and its answer. The zero value is what a missing payload reads as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpStartStop<'a> {
    /// Nanoseconds since the Unix epoch.
    pub start: i64,
    /// Nanoseconds since the Unix epoch.
    pub stop: i64,
    /// The request's id.
    pub request_id: Option<Uuid>,
    /// 1 Client, 2 Server.
    pub peer_type: i32,
    /// See `method_name` in the encoder.
    pub method: i32,
    /// The URI.
    pub uri: &'a [u8],
    /// The caller's address.
    pub remote_address: &'a [u8],
    /// The caller's User-Agent.
    pub user_agent: &'a [u8],
    /// The reply's status.
    pub status_code: i32,
    /// The reply's size in bytes; -1 if unknown.
    pub content_length: i64,
    /// The app's id.
    pub app_id: Option<Uuid>,
    /// The app instance's index.
    pub instance_index: i32,
    /// The app instance's id.
    pub instance_id: &'a [u8],
    /// The payload, for a second pass over its `forwarded` addresses.
    pub bytes: &'a [u8],
}

/// Field number of `forwarded` in [`HttpStartStop`].
const FORWARDED: u32 = 15;

impl<'a> HttpStartStop<'a> {
    /// Reads a request.
    ///
    /// # Errors
    /// The kind of damage, or a missing required field.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut http = Self { bytes, ..Self::default() };
        read(bytes, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], |number, value| {
            match number {
                1 => http.start = value.int64()?,
                2 => http.stop = value.int64()?,
                3 => http.request_id = Some(Uuid::parse(value.bytes()?)?),
                4 => http.peer_type = value.int32()?,
                5 => http.method = value.int32()?,
                6 => http.uri = value.bytes()?,
                7 => http.remote_address = value.bytes()?,
                8 => http.user_agent = value.bytes()?,
                9 => http.status_code = value.int32()?,
                10 => http.content_length = value.int64()?,
                12 => http.app_id = Some(Uuid::parse(value.bytes()?)?),
                13 => http.instance_index = value.int32()?,
                14 => http.instance_id = value.bytes()?,
                FORWARDED => drop(value.bytes()?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(http)
    }

    /// The X-Forwarded-For addresses, in order.
    pub fn forwarded(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut reader = Reader::new(self.bytes);
        // The payload was read whole before, so there is nothing malformed to stop at.
        std::iter::from_fn(move || reader.next_field().ok().flatten())
            .filter(|(number, _)| *number == FORWARDED)
            .filter_map(|(_, value)| value.bytes().ok())
    }
}

/// A request that came in (retired).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpStart<'a> {
    /// Nanoseconds since the Unix epoch.
    pub timestamp: i64,
    /// The request's id.
    pub request_id: Option<Uuid>,
    /// The method.
    pub method: i32,
    /// The URI.
    pub uri: &'a [u8],
    /// The caller's address.
    pub remote_address: &'a [u8],
    /// The caller's User-Agent.
    pub user_agent: &'a [u8],
    /// The id of the request this one belongs to.
    pub parent_request_id: Option<Uuid>,
    /// The app's id.
    pub app_id: Option<Uuid>,
    /// The app instance's index.
    pub instance_index: i32,
    /// The app instance's id.
    pub instance_id: &'a [u8],
}

impl<'a> HttpStart<'a> {
    /// Reads the start of a request.
    ///
    /// # Errors
    /// The kind of damage, or a missing required field.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut http = Self::default();
        read(bytes, &[1, 2, 3, 4, 5, 6, 7], |number, value| {
            match number {
                1 => http.timestamp = value.int64()?,
                2 => http.request_id = Some(Uuid::parse(value.bytes()?)?),
                3 => drop(value.int32()?),
                4 => http.method = value.int32()?,
                5 => http.uri = value.bytes()?,
                6 => http.remote_address = value.bytes()?,
                7 => http.user_agent = value.bytes()?,
                8 => http.parent_request_id = Some(Uuid::parse(value.bytes()?)?),
                9 => http.app_id = Some(Uuid::parse(value.bytes()?)?),
                10 => http.instance_index = value.int32()?,
                11 => http.instance_id = value.bytes()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(http)
    }
}

/// A request that was answered (retired).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpStop<'a> {
    /// Nanoseconds since the Unix epoch.
    pub timestamp: i64,
    /// The URI.
    pub uri: &'a [u8],
    /// The request's id.
    pub request_id: Option<Uuid>,
    /// 1 Client, 2 Server.
    pub peer_type: i32,
    /// The reply's status.
    pub status_code: i32,
    /// The reply's size in bytes; -1 if unknown.
    pub content_length: i64,
    /// The app's id.
    pub app_id: Option<Uuid>,
}

impl<'a> HttpStop<'a> {
    /// Reads the end of a request.
    ///
    /// # Errors
    /// The kind of damage, or a missing required field.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut http = Self::default();
        read(bytes, &[1, 2, 3, 4, 5, 6], |number, value| {
            match number {
                1 => http.timestamp = value.int64()?,
                2 => http.uri = value.bytes()?,
                3 => http.request_id = Some(Uuid::parse(value.bytes()?)?),
                4 => http.peer_type = value.int32()?,
                5 => http.status_code = value.int32()?,
                6 => http.content_length = value.int64()?,
                7 => http.app_id = Some(Uuid::parse(value.bytes()?)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(http)
    }
}

/// A metric.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ValueMetric<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its value; may be NaN or infinite.
    pub value: f64,
    /// Its unit.
    pub unit: &'a [u8],
}

impl<'a> ValueMetric<'a> {
    /// Reads a metric.
    ///
    /// # Errors
    /// The kind of damage, or a missing required field.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut metric = Self::default();
        read(bytes, &[1, 2, 3], |number, value| {
            match number {
                1 => metric.name = value.bytes()?,
                2 => metric.value = value.double()?,
                3 => metric.unit = value.bytes()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(metric)
    }
}

/// A counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterEvent<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The increase since the last report.
    pub delta: u64,
    /// The sum so far; 0 if absent.
    pub total: u64,
}

impl<'a> CounterEvent<'a> {
    /// Reads a counter.
    ///
    /// # Errors
    /// The kind of damage, or a missing required field.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut counter = Self::default();
        read(bytes, &[1, 2], |number, value| {
            match number {
                1 => counter.name = value.bytes()?,
                2 => counter.delta = value.varint()?,
                3 => counter.total = value.varint()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(counter)
    }
}

/// An app instance's use of resources.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ContainerMetric<'a> {
    /// The app's GUID.
    pub app_id: &'a [u8],
    /// The app instance's index.
    pub instance_index: i32,
    /// Of one core, in per cent.
    pub cpu_percentage: f64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of disk.
    pub disk_bytes: u64,
    /// The most memory allowed, in bytes; 0 if absent.
    pub memory_bytes_quota: u64,
    /// The most disk allowed, in bytes; 0 if absent.
    pub disk_bytes_quota: u64,
}

impl<'a> ContainerMetric<'a> {
    /// Reads a container's metrics.
    ///
    /// # Errors
    /// The kind of damage, or a missing required field.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut container = Self::default();
        read(bytes, &[1, 2, 3, 4, 5], |number, value| {
            match number {
                1 => container.app_id = value.bytes()?,
                2 => container.instance_index = value.int32()?,
                3 => container.cpu_percentage = value.double()?,
                4 => container.memory_bytes = value.varint()?,
                5 => container.disk_bytes = value.varint()?,
                6 => container.memory_bytes_quota = value.varint()?,
                7 => container.disk_bytes_quota = value.varint()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(container)
    }
}

/// An error of a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Error<'a> {
    /// The component.
    pub source: &'a [u8],
    /// Its code.
    pub code: i32,
    /// What it said; not always UTF-8.
    pub message: &'a [u8],
}

impl<'a> Error<'a> {
    /// Reads an error.
    ///
    /// # Errors
    /// The kind of damage, or a missing required field.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut error = Self::default();
        read(bytes, &[1, 2, 3], |number, value| {
            match number {
                1 => error.source = value.bytes()?,
                2 => error.code = value.int32()?,
                3 => error.message = value.bytes()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(error)
    }
}
