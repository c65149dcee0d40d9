//! JSON strings and numbers, fast.

use std::io::Write as _;

use crate::nozzle::json::words::{plain_run, special, word};

/// Writes a JSON string. Bytes that are not UTF-8 become U+FFFD, one for each, as in Go.
#[inline]
pub fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    match scan(text) {
        Scan::Plain => out.extend_from_slice(text),
        Scan::Special => string_contents(out, text),
    }
    out.push(b'"');
}

/// What a look at all bytes of a text tells.
enum Scan {
    /// Printable ASCII without quotes and backslashes: it can be copied.
    Plain,
    /// Something else.
    Special,
}

#[inline]
fn scan(text: &[u8]) -> Scan {
    let (words, tail) = text.as_chunks::<8>();
    let mut found = 0;
    let (blocks, rest) = words.as_chunks::<4>();
    for [a, b, c, d] in blocks {
        found |= special(word(a)) | special(word(b)) | special(word(c)) | special(word(d));
        if found != 0 {
            return Scan::Special;
        }
    }
    for each in rest {
        found |= special(word(each));
    }
    // The last eight bytes once more, overlapping, or what there is.
    found |= match text.last_chunk::<8>() {
        Some(last) => special(word(last)),
        None => u64::from(tail.iter().any(|byte| is_special(*byte))),
    };
    if found == 0 { Scan::Plain } else { Scan::Special }
}

#[inline]
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\' || byte >= 0x80
}

#[inline(never)]
fn string_contents(out: &mut Vec<u8>, mut text: &[u8]) {
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
    integer(out, nanos / 1_000_000_000);
    let mut fraction = *b".000000000";
    let mut rest = nanos % 1_000_000_000;
    for digit in fraction[1..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&fraction);
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
