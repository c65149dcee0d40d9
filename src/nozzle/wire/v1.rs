//! Dropsonde v1: one envelope a frame, read in place.
//!
//! The format has required fields; an envelope that lacks one is malformed, as for every other
//! reader of it. A payload that does not belong to the event type is not looked at, and a missing
//! one reads as its zero values: so did the Go nozzle, and dashboards count these events.

mod http;
mod payload;

pub use self::http::{HttpStart, HttpStartStop, HttpStop, forwarded};
pub use self::payload::{ContainerMetric, CounterEvent, Error, LogMessage, ValueMetric};

use crate::nozzle::event_type::EventType;
use crate::nozzle::ledger::Malformed;
use crate::nozzle::wire::reader::{Reader, Value};
use crate::nozzle::wire::tags::{Name, Tags, entry};

/// Field number of `tags`.
pub const TAGS: u32 = 17;

/// What stands before each of them.
const TAGS_KEY: &[u8; 2] = &[(TAGS << 3 | 2) as u8 | 0x80, (TAGS << 3 >> 7) as u8];

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

impl Default for Envelope<'_> {
    #[inline]
    fn default() -> Self {
        Self {
            event_type: EventType::LogMessage,
            timestamp: None,
            origin: &[],
            deployment: &[],
            job: &[],
            index: &[],
            ip: &[],
            tags: Tags::default(),
            payload: None,
            bytes: &[],
        }
    }
}

impl<'a> Envelope<'a> {
    /// Reads an envelope, in place.
    ///
    /// # Errors
    /// The kind of damage, a missing required field, or an unknown event type.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut envelope = Self::default();
        envelope.read(bytes)?;
        Ok(envelope)
    }

    /// The same where the envelope is to be: it is large, and would be copied on its way out.
    ///
    /// # Errors
    /// As for [`parse`](Self::parse). What is in the envelope then means nothing.
    #[inline]
    pub fn read(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        *self = Self { bytes, ..Self::default() };
        let (mut type_number, mut has_origin) = (None, false);
        // By field number; which one belongs to the type is known at the end only.
        let mut payloads = [None; 13];
        let mut reader = Reader::new(bytes);
        loop {
            reader.usual_entries(TAGS_KEY, |key, value| self.tags.insert(key, value));
            let Some((number, value)) = reader.next_field()? else { break };
            match number {
                TAGS => {
                    let (key, value) = entry(value.bytes()?)?;
                    self.tags.insert(Name::starting(key, key.len()), value);
                }
                1 => (self.origin, has_origin) = (value.bytes()?, true),
                2 => type_number = Some(value.int32()?),
                6 => self.timestamp = Some(value.int64()?),
                13 => self.deployment = value.bytes()?,
                14 => self.job = value.bytes()?,
                15 => self.index = value.bytes()?,
                16 => self.ip = value.bytes()?,
                4 | 5 | 7..=12 => payloads[number as usize] = Some(value.bytes()?),
                _ => {}
            }
        }
        if !has_origin {
            return Err(Malformed::MissingField);
        }
        let type_number = type_number.ok_or(Malformed::MissingField)?;
        let (event_type, payload_field) = event_type(type_number).ok_or(Malformed::EventType)?;
        self.event_type = event_type;
        self.payload = payloads[payload_field as usize];
        Ok(())
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
