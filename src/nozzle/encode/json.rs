//! JSON strings and numbers, fast.

use std::io::Write as _;

use crate::nozzle::json::words::{plain_run, special, word};

/// Writes a JSON string. Bytes that are not UTF-8 become U+FFFD, one for each, as in Go.
#[inline]
pub fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    contents(out, text);
    out.push(b'"');
}

/// Writes what stands between the quotes of a JSON string: for those who write the quotes with what is around them.
#[inline]
pub fn contents(out: &mut Vec<u8>, text: &[u8]) {
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        escaped_contents(out, text);
    }
}

/// Whether all of the text is printable ASCII without quotes and backslashes, so that it can be copied.
///
/// Looks at as many whole words as there are, and at the end once more: nothing is done byte by byte but in the shortest
/// of texts.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    let (blocks, _) = text.as_chunks::<32>();
    if blocks.iter().any(|block| special_in(block) != 0) {
        return false;
    }
    if let Some(end) = text.last_chunk::<32>() {
        return special_in(end) == 0;
    }
    let found = match (text.first_chunk::<16>(), text.last_chunk::<16>()) {
        (Some(start), Some(end)) => special_in(start) | special_in(end),
        _ => match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
            (Some(start), Some(end)) => special_in(start) | special_in(end),
            _ => return !text.iter().any(|byte| is_special(*byte)),
        },
    };
    found == 0
}

/// Not zero if there is any special byte.
#[inline(always)]
fn special_in(text: &[u8]) -> u64 {
    text.as_chunks::<8>().0.iter().fold(0, |found, chunk| found | special(word(chunk)))
}

#[inline]
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\' || byte >= 0x80
}

#[inline(never)]
fn escaped_contents(out: &mut Vec<u8>, mut text: &[u8]) {
    loop {
        match std::str::from_utf8(text) {
            Ok(valid) => return escape(out, valid),
            Err(error) => {
                let (valid, rest) = text.split_at(error.valid_up_to());
                // Cannot fail: the error says how far the text is valid.
                escape(out, std::str::from_utf8(valid).unwrap_or_default());
                out.extend_from_slice("\u{fffd}".as_bytes());
                text = rest.split_first().map_or(&[], |(_, rest)| rest);
            }
        }
    }
}

/// Copies runs between the characters that have to be escaped.
fn escape(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_run(rest));
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else { return };
        escape_byte(out, *byte);
        rest = after;
    }
}

fn escape_byte(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Writes an integer in decimal.
#[inline]
pub fn integer(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes a number; NaN and the infinities, which JSON does not have, as the strings the Go
/// nozzle used: `"NaN"`, `"Infinity"`, `"-Infinity"`.
pub fn double(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
    } else if number.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if number > 0.0 {
        out.extend_from_slice(b"\"Infinity\"");
    } else {
        out.extend_from_slice(b"\"-Infinity\"");
    }
}

/// Writes a time after the epoch as seconds with nine decimals, by integer arithmetic.
#[inline]
pub fn seconds(out: &mut Vec<u8>, nanos: i64) {
    let nanos = nanos.max(0).unsigned_abs();
    let mut buffer = itoa::Buffer::new();
    match buffer.format(nanos).as_bytes().split_last_chunk::<9>() {
        Some((seconds @ [_, ..], fraction)) => {
            out.extend_from_slice(seconds);
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
        _ => display(out, format_args!("0.{nanos:09}")),
    }
}

/// Writes anything that can be displayed, for the rare cases.
pub fn display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{value}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_escaped_as_json_wants_it() {
        for (text, json) in [
            (&b""[..], r#""""#),
            (b"plain", r#""plain""#),
            (b"a \"quoted\" \\ back", r#""a \"quoted\" \\ back""#),
            (b"\x00\x01\x1f\n\r\t\x7f", "\"\\u0000\\u0001\\u001f\\n\\r\\t\x7f\""),
            ("häß🎉\u{2028}".as_bytes(), "\"häß🎉\u{2028}\""),
            (b"\xff\xfea\x80\xc3(", "\"\u{fffd}\u{fffd}a\u{fffd}\u{fffd}(\""),
            (b"\xe2\x82", "\"\u{fffd}\u{fffd}\""),
        ] {
            assert_eq!(written(|out| string(out, text)), json);
        }
    }

    #[test]
    fn numbers_keep_every_digit() {
        assert_eq!(written(|out| integer(out, u64::MAX)), "18446744073709551615");
        assert_eq!(written(|out| double(out, f64::NAN)), "\"NaN\"");
        assert_eq!(written(|out| double(out, f64::NEG_INFINITY)), "\"-Infinity\"");
        for number in [0.0, -0.0, 1.0, 0.1, 1.0 / 3.0, 5e-324, f64::MAX, 1e21] {
            let text = written(|out| double(out, number));
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), f64::to_bits(number), "{text}");
            assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
        }
        assert_eq!(written(|out| seconds(out, 1_467_040_874_046_121_775)), "1467040874.046121775");
        assert_eq!(written(|out| seconds(out, 1)), "0.000000001");
        assert_eq!(written(|out| seconds(out, i64::MAX)), "9223372036.854775807");
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in ".*", pad in "[ -~]{0,40}") {
            let text = format!("{pad}{text}{pad}");
            let json = written(|out| string(out, text.as_bytes()));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn any_bytes_become_a_string(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let json = written(|out| string(out, &bytes));
            prop_assert!(serde_json::from_str::<String>(&json).is_ok());
        }
    }
}
