//! Deprecated tags (`map<string, Value>`) rewritten as plain tags.
//!
//! The nozzle asks the RLP for plain tags, so this is the rare path: it allocates, and keeps the
//! fast path free of a second kind of tag.

use crate::nozzle::ledger::Malformed;
use crate::nozzle::wire::reader::{Reader, Value};
use crate::nozzle::wire::tags::{Key, KeySet, entry, known};
use crate::nozzle::wire::v2::{DEPRECATED_TAGS, TAGS};

/// Rewrites an envelope: every deprecated tag becomes a tag.
///
/// It wins over a tag of the same name, except for those that say where the envelope comes from.
/// Numbers become text as the platform's own conversion to v1 writes them: integers in decimal,
/// decimals with six places. A value with nothing set is left out.
///
/// # Errors
/// The kind of damage.
pub fn to_tags(envelope: &[u8]) -> Result<Vec<u8>, Malformed> {
    let (mut weak, mut rest, mut strong) = (Vec::new(), Vec::with_capacity(envelope.len()), Vec::new());
    let mut reader = Reader::new(envelope);
    while let Some((number, value)) = reader.next_field()? {
        if number != DEPRECATED_TAGS {
            put(&mut rest, number, value);
            continue;
        }
        let (key, value) = entry(value.bytes()?)?;
        let Some(text) = text(value)? else { continue };
        let mut tag = Vec::with_capacity(key.len() + text.len() + 8);
        put(&mut tag, 1, Value::Bytes(key));
        put(&mut tag, 2, Value::Bytes(&text));
        // The last entry of a key counts.
        put(if is_head(key) { &mut weak } else { &mut strong }, TAGS, Value::Bytes(&tag));
    }
    Ok([weak, rest, strong].concat())
}

const HEAD: KeySet = KeySet::of(&[Key::Origin, Key::Deployment, Key::Job, Key::Index, Key::Ip]);

/// Whether a tag says where the envelope comes from: then a deprecated one does not replace it.
pub(super) fn is_head(key: &[u8]) -> bool {
    known(key).is_some_and(|key| HEAD.contains(key))
}

fn text(value: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    let mut text = None;
    let mut reader = Reader::new(value);
    while let Some((number, value)) = reader.next_field()? {
        match number {
            1 => text = Some(value.bytes()?.to_vec()),
            2 => text = Some(value.int64()?.to_string().into_bytes()),
            3 => text = Some(decimal(value.double()?).into_bytes()),
            _ => {}
        }
    }
    Ok(text)
}

/// A decimal with six places, as Go writes it.
pub(super) fn decimal(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    format!("{number:.6}")
}

fn put(out: &mut Vec<u8>, number: u32, value: Value<'_>) {
    let wire_type = match value {
        Value::Varint(_) => 0,
        Value::Fixed64(_) => 1,
        Value::Bytes(_) => 2,
        Value::Fixed32(_) => 5,
    };
    put_varint(out, u64::from(number) << 3 | wire_type);
    match value {
        Value::Varint(n) => put_varint(out, n),
        Value::Fixed64(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::Fixed32(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::Bytes(bytes) => {
            put_varint(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
    }
}

fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}
