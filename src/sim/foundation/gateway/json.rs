//! Envelopes as the gateway's JSON, written straight from their encoded bytes.
//!
//! The usual envelope is read in place and written in one pass, because this is the load of
//! measurements. What is unusual (fields twice, deprecated tags, unknown fields) goes through the
//! generated types first; what they refuse has no JSON, as the platform's decoders refuse it too.

use bytes::Bytes;
use prost::encoding::{WireType, decode_key, decode_varint};

use self::object::Object;
use super::config::JsonStyle;
use crate::sim::wire::{self, Encoded, Kind, TagForm};

mod object;

/// How many tags an envelope has, usually at most.
const TAGS_USUAL: usize = 32;

/// Writes one envelope after another.
#[derive(Debug)]
pub(crate) struct JsonWriter {
    style: JsonStyle,
    /// Used again and again; what waits in a mailbox has the size it needs.
    buffer: Vec<u8>,
}

impl JsonWriter {
    pub(crate) fn new(style: JsonStyle) -> Self {
        Self { style, buffer: Vec::new() }
    }

    /// The JSON of one envelope, all its tags as `tags`; `None` if it cannot be decoded.
    pub(crate) fn write(&mut self, envelope: &Encoded) -> Option<Bytes> {
        let written = envelope.tag_form() == TagForm::Preferred && self.put(&envelope.body()).is_some();
        if !written {
            let usual = Encoded::new(&wire::prefer_tags(envelope.decode()?));
            self.put(&usual.body())?;
        }
        Some(Bytes::copy_from_slice(&self.buffer))
    }

    fn put(&mut self, body: &[u8]) -> Option<()> {
        self.buffer.clear();
        let mut object = Object::open(&mut self.buffer, self.style);
        envelope(body, &mut object)?;
        object.close();
        // All of it at once: what stands between the strings is ASCII.
        std::str::from_utf8(&self.buffer).ok().map(drop)
    }
}

/// The value of a field.
enum Value<'a> {
    Varint(u64),
    Double(f64),
    Bytes(&'a [u8]),
}

/// Goes through the fields of a message; `None` for anything unusual.
fn each<'a>(mut rest: &'a [u8], mut field: impl FnMut(u32, Value<'a>) -> Option<()>) -> Option<()> {
    while !rest.is_empty() {
        let (number, wire_type) = decode_key(&mut rest).ok()?;
        let value = match wire_type {
            WireType::Varint => Value::Varint(decode_varint(&mut rest).ok()?),
            WireType::SixtyFourBit => {
                let (bytes, after) = rest.split_first_chunk()?;
                rest = after;
                Value::Double(f64::from_le_bytes(*bytes))
            }
            WireType::LengthDelimited => {
                let len = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
                let (bytes, after) = rest.split_at_checked(len)?;
                rest = after;
                Value::Bytes(bytes)
            }
            WireType::StartGroup | WireType::EndGroup | WireType::ThirtyTwoBit => return None,
        };
        field(number, value)?;
    }
    Some(())
}

fn envelope(body: &[u8], out: &mut Object<'_>) -> Option<()> {
    let (mut timestamp, mut source_id, mut instance_id) = (0, &body[..0], &body[..0]);
    let mut tags = Vec::with_capacity(TAGS_USUAL);
    let mut message = None;
    each(body, |number, value| {
        match (number, value) {
            (1, Value::Varint(varint)) => timestamp = varint.cast_signed(),
            (2, Value::Bytes(text)) => source_id = text,
            (8, Value::Bytes(text)) => instance_id = text,
            (9, Value::Bytes(entry)) => tags.push(tag(entry)?),
            (4 | 5 | 6 | 7 | 10, Value::Bytes(bytes)) if message.is_none() => message = Some((number, bytes)),
            _ => return None,
        }
        Some(())
    })?;
    out.signed("timestamp", timestamp);
    out.text(out.spelled("source_id", "sourceId"), source_id);
    out.text(out.spelled("instance_id", "instanceId"), instance_id);
    // They have been moved to the tags.
    out.map("deprecated_tags", &mut [], |_, ()| {})?;
    out.map("tags", &mut tags, |out, text| out.quoted(text))?;
    let Some((number, bytes)) = message else { return Some(()) };
    match Kind::of_field(number)? {
        Kind::Log => log(bytes, out),
        Kind::Counter => counter(bytes, out),
        Kind::Gauge => gauge(bytes, out),
        Kind::Timer => timer(bytes, out),
        Kind::Event => event(bytes, out),
    }
}

fn tag(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut name, mut text) = (&entry[..0], &entry[..0]);
    each(entry, |number, value| {
        match (number, value) {
            (1, Value::Bytes(bytes)) => name = bytes,
            (2, Value::Bytes(bytes)) => text = bytes,
            _ => return None,
        }
        Some(())
    })?;
    Some((name, text))
}

fn log(message: &[u8], out: &mut Object<'_>) -> Option<()> {
    let (mut payload, mut stream) = (&message[..0], 0);
    each(message, |number, value| {
        match (number, value) {
            (1, Value::Bytes(bytes)) => payload = bytes,
            (2, Value::Varint(varint)) => stream = varint,
            _ => return None,
        }
        Some(())
    })?;
    out.key("log");
    out.object(|out| {
        out.base64("payload", payload);
        out.stream("type", stream);
    });
    Some(())
}

fn counter(message: &[u8], out: &mut Object<'_>) -> Option<()> {
    let (mut name, mut delta, mut total) = (&message[..0], 0, 0);
    each(message, |number, value| {
        match (number, value) {
            (1, Value::Bytes(text)) => name = text,
            (2, Value::Varint(varint)) => delta = varint,
            (3, Value::Varint(varint)) => total = varint,
            _ => return None,
        }
        Some(())
    })?;
    out.key("counter");
    out.object(|out| {
        out.text("name", name);
        out.unsigned("delta", delta);
        out.unsigned("total", total);
    });
    Some(())
}

fn gauge(message: &[u8], out: &mut Object<'_>) -> Option<()> {
    let mut metrics = Vec::new();
    each(message, |number, value| {
        let (1, Value::Bytes(entry)) = (number, value) else { return None };
        metrics.push(metric(entry)?);
        Some(())
    })?;
    out.key("gauge");
    out.object(|out| {
        out.map("metrics", &mut metrics, |out, (unit, value)| {
            out.object(|out| {
                out.text("unit", unit);
                out.double("value", value);
            });
        })
    })
}

type Metric<'a> = (&'a [u8], (&'a [u8], f64));

fn metric(entry: &[u8]) -> Option<Metric<'_>> {
    let (mut name, mut unit, mut number_value) = (&entry[..0], &entry[..0], 0.0);
    each(entry, |number, value| {
        match (number, value) {
            (1, Value::Bytes(bytes)) => name = bytes,
            (2, Value::Bytes(gauge_value)) => each(gauge_value, |number, value| {
                match (number, value) {
                    (1, Value::Bytes(bytes)) => unit = bytes,
                    (2, Value::Double(double)) => number_value = double,
                    _ => return None,
                }
                Some(())
            })?,
            _ => return None,
        }
        Some(())
    })?;
    Some((name, (unit, number_value)))
}

fn timer(message: &[u8], out: &mut Object<'_>) -> Option<()> {
    let (mut name, mut start, mut stop) = (&message[..0], 0, 0);
    each(message, |number, value| {
        match (number, value) {
            (1, Value::Bytes(text)) => name = text,
            (2, Value::Varint(varint)) => start = varint.cast_signed(),
            (3, Value::Varint(varint)) => stop = varint.cast_signed(),
            _ => return None,
        }
        Some(())
    })?;
    out.key("timer");
    out.object(|out| {
        out.text("name", name);
        out.signed("start", start);
        out.signed("stop", stop);
    });
    Some(())
}

fn event(message: &[u8], out: &mut Object<'_>) -> Option<()> {
    let (mut title, mut body) = (&message[..0], &message[..0]);
    each(message, |number, value| {
        match (number, value) {
            (1, Value::Bytes(text)) => title = text,
            (2, Value::Bytes(text)) => body = text,
            _ => return None,
        }
        Some(())
    })?;
    out.key("event");
    out.object(|out| {
        out.text("title", title);
        out.text("body", body);
    });
    Some(())
}

#[cfg(test)]
mod tests;
