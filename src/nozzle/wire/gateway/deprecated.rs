//! Deprecated tags rewritten as plain tags, as from v2.
//!
//! The gateway asks for plain tags itself, so this is for gateways of a kind never seen.

use crate::nozzle::json::Cursor;
use crate::nozzle::ledger::Malformed;
use crate::nozzle::wire::deprecated::{decimal, is_head};
use crate::nozzle::wire::gateway::reader::Reader;

/// Rewrites the text of an envelope: every deprecated tag becomes a tag, with the precedence of
/// [`deprecated::to_tags`](crate::nozzle::wire::deprecated::to_tags).
///
/// # Errors
/// The kind of damage.
pub fn to_tags(envelope: &[u8]) -> Result<Vec<u8>, Malformed> {
    let (mut weak, mut tags, mut strong, mut rest) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    Reader::new(Cursor::new(envelope)).members(|reader, key| match &*key.text() {
        b"tags" => {
            tags.clear();
            reader.members(|reader, key| {
                let value = reader.string()?.raw;
                member(&mut tags, key.raw, &[b"\"", value, b"\""]);
                Ok(())
            })
        }
        b"deprecated_tags" | b"deprecatedTags" => {
            weak.clear();
            strong.clear();
            reader.members(|reader, key| {
                let to = if is_head(&key.text()) { &mut weak } else { &mut strong };
                if let Some(text) = text(reader)? {
                    member(to, key.raw, &[b"\"", &text, b"\""]);
                }
                Ok(())
            })
        }
        _ => {
            let start = reader.start();
            reader.skip()?;
            member(&mut rest, key.raw, &[reader.since(start)]);
            Ok(())
        }
    })?;
    // The last of two tags with one name counts.
    let tags: Vec<_> = [weak, tags, strong].into_iter().filter(|tags| !tags.is_empty()).collect();
    member(&mut rest, b"tags", &[b"{", &tags.join(&b','), b"}"]);
    Ok([b"{", &rest[..], b"}"].concat())
}

fn member(out: &mut Vec<u8>, raw_key: &[u8], value: &[&[u8]]) {
    out.extend_from_slice(if out.is_empty() { b"\"" } else { b",\"" });
    out.extend_from_slice(raw_key);
    out.extend_from_slice(b"\":");
    out.extend(value.iter().copied().flatten());
}

/// The value of a deprecated tag as the contents of a JSON string.
fn text(reader: &mut Reader<'_>) -> Result<Option<Vec<u8>>, Malformed> {
    let mut text = None;
    reader.members(|reader, key| {
        match &*key.text() {
            b"text" => text = Some(reader.string()?.raw.to_vec()),
            b"integer" => text = Some(reader.int64()?.to_string().into_bytes()),
            b"decimal" => text = Some(decimal(reader.double()?).into_bytes()),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(text)
}
