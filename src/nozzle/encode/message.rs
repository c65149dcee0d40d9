//! Log lines: text, or JSON that is passed on as it is.
//!
//! A line that is, between white space, one JSON object or array becomes that value in the event.
//! It is checked but not parsed into a tree: numbers keep all their digits and keys their order.
//! What a strict parser refuses stays text, white space and all; so does what is nested deeper than
//! 10,000, as in the Go nozzle.

use std::borrow::Cow;

use crate::nozzle::encode::json;
use crate::nozzle::json::{Cursor, words, write_without_lone_surrogates};

/// Writes a log line as a JSON value: itself if it is an object or array, else a string.
#[inline]
pub fn write(out: &mut Vec<u8>, line: &[u8]) {
    if let Some(value) = candidate(line)
        && write_json(out, value)
    {
        return;
    }
    json::string(out, line);
}

/// The trimmed line, if it looks like an object or array.
#[inline]
fn candidate(line: &[u8]) -> Option<&[u8]> {
    // Cheap tests first: nearly all text fails here.
    let first = line.first()?;
    if !matches!(first, b'{' | b'[' | b' ' | b'\t'..=b'\r' | 0x80..) {
        return None;
    }
    let value = trim(line);
    matches!(value, [b'{', .., b'}'] | [b'[', .., b']']).then_some(value)
}

/// Cuts off Unicode white space at both ends.
fn trim(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii();
    if line.first().is_none_or(u8::is_ascii) && line.last().is_none_or(u8::is_ascii) {
        // The vertical tab counts as white space to Unicode, not to ASCII.
        if line.first() != Some(&0x0b) && line.last() != Some(&0x0b) {
            return line;
        }
    }
    // What is not UTF-8 is no white space either: look at the valid parts of both ends only.
    let start = match std::str::from_utf8(line) {
        Ok(text) => return text.trim().as_bytes(),
        Err(error) => {
            let valid = std::str::from_utf8(&line[..error.valid_up_to()]).unwrap_or_default();
            valid.len() - valid.trim_start().len()
        }
    };
    let line = &line[start..];
    let end = (1..=line.len().min(64)).rev().find_map(|n| {
        let tail = std::str::from_utf8(&line[line.len() - n..]).ok()?;
        Some(line.len() - (tail.len() - tail.trim_end().len()))
    });
    &line[..end.unwrap_or(line.len())]
}

fn write_json(out: &mut Vec<u8>, value: &[u8]) -> bool {
    let value = if words::is_utf8(value) { Cow::Borrowed(value) } else { Cow::Owned(replace_invalid(value)) };
    let Some(checked) = check(&value) else { return false };
    if checked.has_seen_lone_surrogates() {
        write_without_lone_surrogates(out, &value);
    } else {
        out.extend_from_slice(&value);
    }
    true
}

/// Replaces each byte that is not part of valid UTF-8 with U+FFFD.
fn replace_invalid(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 16);
    while let Err(error) = std::str::from_utf8(bytes) {
        let (valid, rest) = bytes.split_at(error.valid_up_to());
        out.extend_from_slice(valid);
        out.extend_from_slice("\u{fffd}".as_bytes());
        bytes = rest.split_first().map_or(&[], |(_, rest)| rest);
    }
    out.extend_from_slice(bytes);
    out
}

/// Whether all of the text is one JSON value; with what has to be known for copying it.
fn check(text: &[u8]) -> Option<Cursor<'_>> {
    let mut cursor = Cursor::new(text);
    cursor.value()?;
    cursor.space();
    cursor.is_end().then_some(cursor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// How deep values may be nested.
    const DEPTH_MAX: usize = 10_000;

    fn written(line: &[u8]) -> String {
        let mut out = Vec::new();
        write(&mut out, line);
        String::from_utf8(out).unwrap()
    }

    fn passes(line: &str) -> bool {
        written(line.as_bytes()) == line.trim()
    }

    #[test]
    fn objects_and_arrays_pass_as_they_are() {
        for line in [
            "{}",
            "[]",
            " {\"a\" : 12345678901234567890, \"b\":1.0}\n",
            "[1,-0,0.5,1e5,1E-7,true,false,null,\"x\\u00e9\\n\",{},[[]]]",
            "\u{a0}{\"a\":1}\u{2003}",
            "{\"p\":\"\\ud83d\\ude00\"}",
            "{\"z\":1,\"a\":{\"z\":[{}],\"y\":\"\"}}",
        ] {
            assert!(passes(line), "{line} gave {}", written(line.as_bytes()));
        }
    }

    #[test]
    fn what_is_not_exactly_json_stays_text() {
        for line in [
            "",
            "{",
            "}",
            "plain",
            "null",
            "12",
            "\"s\"",
            "{a:1}",
            "{'a':1}",
            "[1,2",
            "[1,2,]",
            "{\"a\":1]",
            "{\"a\":1} end",
            "{\"a\":1}{\"b\":2}",
            "\u{feff}{\"a\":1}",
            "{\"a\":NaN}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":+1}",
            "{\"a\":\"x\ny\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u12g4\"}",
            "{\"a\"}",
            "{\"a\":1,}",
            "{,}",
            "[,]",
            "{\"a\":1e400}",
            "{\"a\":tru}",
            "{\"a\":1/*c*/}",
            "[1 2]",
            "[}",
            "{]",
        ] {
            assert_eq!(serde_json::from_str::<Value>(&written(line.as_bytes())).unwrap(), Value::from(line));
        }
    }

    #[test]
    fn nesting_is_bounded() {
        for (depth, json) in
            [(63, true), (64, true), (65, true), (129, true), (DEPTH_MAX, true), (DEPTH_MAX + 1, false)]
        {
            let line = format!("{}{{}}{}", "[".repeat(depth - 1), "]".repeat(depth - 1));
            assert_eq!(passes(&line), json, "{depth}");
            let full = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(passes(&full), json, "{depth}");
            let objects = format!("{}1{}", "{\"a\":[".repeat(depth / 2), "]}".repeat(depth / 2));
            assert!(passes(&objects), "{depth}");
            let crossed = format!("{}1{}", "{\"a\":[".repeat(depth / 2), "}]".repeat(depth / 2));
            assert!(!passes(&crossed), "{depth}");
        }
    }

    #[test]
    fn what_stands_for_no_character_is_replaced() {
        assert_eq!(written(b"{\"a\":\"\xff\"}"), "{\"a\":\"\u{fffd}\"}");
        assert_eq!(
            written(b"{\"s\":\"\\ud800 \\\\\\udc00\\ud83d\\ude00\\ud83d\"}"),
            "{\"s\":\"\\ufffd \\\\\\ufffd\\ud83d\\ude00\\ufffd\"}"
        );
    }

    proptest! {
        #[test]
        fn agrees_with_another_parser(line in "[\\[{][\\[\\]{}:,\"\\\\a0-2eE.\\- tu]{0,12}[\\]}]") {
            // serde_json reads numbers beyond a double as errors too, and knows no depth over 128.
            let other = serde_json::from_str::<Value>(&line);
            let ours = check(line.as_bytes());
            let lone = ours.is_some_and(|checked| checked.has_seen_lone_surrogates());
            prop_assert!(lone || other.is_ok() == ours.is_some(), "{line}: {other:?} {ours:?}");
        }

        #[test]
        fn always_writes_one_json_value(line in prop::collection::vec(any::<u8>(), 0..60), json in any::<bool>()) {
            let line = if json { [b"{\"a\":\"", &line[..], b"\"}"].concat() } else { line };
            let text = written(&line);
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
        }
    }
}
