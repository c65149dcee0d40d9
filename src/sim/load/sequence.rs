//! The number every envelope of the load carries, and how to find it again in a HEC event.
//!
//! It must survive without tags and through the v1 conversion: `seq=` and at least nine digits
//! stand in the text of a log, in the name of a metric, in the URI of a request, in the body of
//! a notice. A container metric has no text of its own; there it is the disk use, in blocks.

use bytes::BufMut;
use memchr::memmem;
use serde_json::Value;

const MARK: &str = "seq=";
/// What the encoder of a container metric calls the disk use.
const DISK: &str = "disk_bytes";
const BLOCK_BYTES: u64 = 4096;
const DIGITS: usize = 9;

/// The sequence number in a HEC event, if it came from the load.
pub fn sequence_of(event: &Value) -> Option<u64> {
    match event {
        Value::String(text) => marked(text.as_bytes()),
        Value::Array(values) => values.iter().find_map(sequence_of),
        Value::Object(members) => {
            let disk = members.get(DISK).and_then(Value::as_u64).and_then(from_disk_bytes);
            disk.or_else(|| members.values().find_map(sequence_of))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// As [`sequence_of`], from the text of the event: for ledgers that cannot afford to parse.
pub fn sequence_in(event: &str) -> Option<u64> {
    let event = event.as_bytes();
    marked(event).or_else(|| {
        let at = memmem::find(event, b"\"disk_bytes\":")? + DISK.len() + 3;
        let rest = event[at..].trim_ascii_start();
        from_disk_bytes(digits(rest)?)
    })
}

/// The disk use that stands for a number.
pub(super) fn disk_bytes(sequence: u64) -> u64 {
    (sequence + 1) * BLOCK_BYTES
}

fn from_disk_bytes(bytes: u64) -> Option<u64> {
    (bytes > 0 && bytes.is_multiple_of(BLOCK_BYTES)).then(|| bytes / BLOCK_BYTES - 1)
}

/// Writes `seq=000000123`.
pub(super) fn put(sequence: u64, out: &mut Vec<u8>) {
    out.put_slice(MARK.as_bytes());
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(sequence);
    out.put_bytes(b'0', DIGITS.saturating_sub(text.len()));
    out.put_slice(text.as_bytes());
}

fn marked(text: &[u8]) -> Option<u64> {
    memmem::find_iter(text, MARK).find_map(|at| {
        let rest = &text[at + MARK.len()..];
        let enough = rest.iter().take(DIGITS).filter(|byte| byte.is_ascii_digit()).count() == DIGITS;
        if enough { digits(rest) } else { None }
    })
}

fn digits(text: &[u8]) -> Option<u64> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    std::str::from_utf8(&text[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_found_in_every_shape_of_event() {
        for (event, expected) in [
            (json!({"event": {"msg": "GET / seq=000000123 run=ab12"}}), Some(123)),
            (json!({"event": {"msg": {"ref": "seq=000000123 run=ab12", "n": 5}}}), Some(123)),
            (json!({"event": {"name": "latency.seq=000000000"}}), Some(0)),
            (json!({"event": {"uri": "/a?seq=1234567890123&run=ab12"}}), Some(1_234_567_890_123)),
            (json!({"event": {"forwarded": ["x", "seq=000000007"]}}), Some(7)),
            (json!({"event": {"disk_bytes": disk_bytes(0)}}), Some(0)),
            (json!({"event": {"disk_bytes": disk_bytes(123), "cpu_percentage": 1.5}}), Some(123)),
            (json!({"event": {"disk_bytes": 4097}}), None),
            (json!({"event": {"disk_bytes": 0}}), None),
            (json!({"event": {"msg": "seq=12345678 is short, seq= nothing"}}), None),
            (json!({"event": {"msg": "seq=1 seq=000000002"}}), Some(2)),
            (json!({}), None),
        ] {
            assert_eq!(sequence_of(&event), expected, "{event}");
            assert_eq!(sequence_in(&event.to_string()), expected, "{event}");
            let pretty = serde_json::to_string_pretty(&event).unwrap();
            assert_eq!(sequence_in(&pretty), expected, "{pretty}");
        }
    }

    #[test]
    fn written_numbers_are_found() {
        for number in [0, 1, 999_999_999, 1_000_000_000, u64::MAX] {
            let mut text = Vec::new();
            put(number, &mut text);
            assert_eq!(marked(&text), Some(number));
        }
    }
}
