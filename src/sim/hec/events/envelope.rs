//! Walking the envelopes of a body: what JSON says, and nothing else.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of one envelope; a repeated key counts with its last value.
#[derive(Debug, Default)]
pub(super) struct Envelope<'a> {
    pub(super) time: Option<&'a RawValue>,
    pub(super) host: Option<&'a RawValue>,
    pub(super) source: Option<&'a RawValue>,
    pub(super) sourcetype: Option<&'a RawValue>,
    pub(super) index: Option<&'a RawValue>,
    pub(super) event: Option<&'a RawValue>,
    pub(super) fields: Option<&'a RawValue>,
    pub(super) unknown_key: bool,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Time,
    Host,
    Source,
    Sourcetype,
    Index,
    Event,
    Fields,
    #[serde(other)]
    Unknown,
}

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Envelope<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an event envelope")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
                let mut envelope = Envelope::default();
                while let Some(key) = map.next_key()? {
                    let value: &'de RawValue = map.next_value()?;
                    match key {
                        Key::Time => envelope.time = Some(value),
                        Key::Host => envelope.host = Some(value),
                        Key::Source => envelope.source = Some(value),
                        Key::Sourcetype => envelope.sourcetype = Some(value),
                        Key::Index => envelope.index = Some(value),
                        Key::Event => envelope.event = Some(value),
                        Key::Fields => envelope.fields = Some(value),
                        Key::Unknown => envelope.unknown_key = true,
                    }
                }
                Ok(envelope)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// What stands in an event's place is no envelope.
pub(super) struct Malformed;

/// Walks the envelopes of a body.
pub(super) struct Envelopes<'a> {
    body: &'a [u8],
    at: usize,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    /// After `[`.
    ArrayStart,
    /// After an element.
    ArrayNext,
}

impl<'a> Envelopes<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0, place: Place::Outside }
    }

    /// The next envelope with its text; after an error the walk is over.
    pub(super) fn next(&mut self) -> Option<Result<(&'a str, Envelope<'a>), Malformed>> {
        loop {
            let Some(byte) = self.peek() else {
                return (self.place != Place::Outside).then_some(Err(Malformed));
            };
            match (self.place, byte) {
                (Place::Outside, b'[') => self.step(Place::ArrayStart),
                (Place::ArrayStart | Place::ArrayNext, b']') => self.step(Place::Outside),
                (Place::ArrayNext, b',') => {
                    self.step(Place::ArrayNext);
                    return Some(self.envelope());
                }
                (Place::ArrayNext, _) => return Some(Err(Malformed)),
                (Place::Outside | Place::ArrayStart, _) => return Some(self.envelope()),
            }
        }
    }

    pub(super) fn is_at_end(&mut self) -> bool {
        while self.peek() == Some(b']') {
            self.step(Place::Outside);
        }
        self.peek().is_none()
    }

    fn step(&mut self, place: Place) {
        self.at += 1;
        self.place = place;
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.body.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn envelope(&mut self) -> Result<(&'a str, Envelope<'a>), Malformed> {
        // An array's comma may have been followed by white space.
        self.peek();
        let rest = &self.body[self.at..];
        let mut stream = serde_json::Deserializer::from_slice(rest).into_iter::<Envelope<'a>>();
        let Some(Ok(envelope)) = stream.next() else {
            return Err(Malformed);
        };
        let length = stream.byte_offset();
        let text = std::str::from_utf8(&rest[..length]).map_err(|_| Malformed)?;
        self.at += length;
        if self.place == Place::ArrayStart {
            self.place = Place::ArrayNext;
        }
        Ok((text, envelope))
    }
}
