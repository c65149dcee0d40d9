//! Log lines: text, or JSON that is passed on as it is.
//!
//! A line that is, between white space, one JSON object or array becomes that value in the event.
//! It is checked but not parsed into a tree: numbers keep all their digits and keys their order.
//! What a strict parser refuses stays text, white space and all.

use std::borrow::Cow;

use crate::nozzle::encode::json;

/// How deep values may be nested; deeper ones stay text, as in the Go nozzle.
const DEPTH_MAX: usize = 10_000;

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
    let value = match std::str::from_utf8(value) {
        Ok(_) => Cow::Borrowed(value),
        Err(_) => Cow::Owned(replace_invalid(value)),
    };
    match check(&value) {
        Some(Checked { lone_surrogates: false }) => out.extend_from_slice(&value),
        Some(Checked { lone_surrogates: true }) => write_without_lone_surrogates(out, &value),
        None => return false,
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

/// A value that is correct JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Checked {
    /// It holds `\uD800` to `\uDFFF` outside a pair, which stand for no character.
    lone_surrogates: bool,
}

/// Checks that all of the text is one JSON value, within [`DEPTH_MAX`].
fn check(text: &[u8]) -> Option<Checked> {
    let mut checker = Checker { text, at: 0, nesting: Nesting::default(), lone_surrogates: false };
    checker.document()?;
    Some(Checked { lone_surrogates: checker.lone_surrogates })
}

/// Which of the open containers are objects; the last one is the innermost.
#[derive(Default)]
struct Nesting {
    depth: usize,
    /// The innermost 64.
    objects: u64,
    /// Further out, 64 a word.
    outer: Vec<u64>,
}

impl Nesting {
    fn push(&mut self, object: bool) -> Option<()> {
        if self.depth == DEPTH_MAX {
            return None;
        }
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.objects);
        }
        self.objects = self.objects << 1 | u64::from(object);
        self.depth += 1;
        Some(())
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.objects >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.objects = self.outer.pop().unwrap_or_default();
        }
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

struct Checker<'a> {
    text: &'a [u8],
    at: usize,
    nesting: Nesting,
    lone_surrogates: bool,
}

impl Checker<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn document(&mut self) -> Option<()> {
        loop {
            if self.value()? {
                continue;
            }
            // A value has ended; so may the containers around it.
            loop {
                if self.nesting.depth == 0 {
                    self.space();
                    return (self.at == self.text.len()).then_some(());
                }
                self.space();
                let byte = self.peek()?;
                self.at += 1;
                match (byte, self.nesting.in_object()) {
                    (b',', true) => {
                        self.space();
                        self.key()?;
                        break;
                    }
                    (b',', false) => break,
                    (b'}', true) | (b']', false) => self.nesting.pop(),
                    _ => return None,
                }
            }
        }
    }

    /// Reads one value; true if it opened a container whose first value comes next.
    fn value(&mut self) -> Option<bool> {
        self.space();
        let byte = self.peek()?;
        match byte {
            b'{' => {
                self.at += 1;
                self.nesting.push(true)?;
                self.space();
                if self.expect(b'}').is_some() {
                    self.nesting.pop();
                    return Some(false);
                }
                self.key()?;
                Some(true)
            }
            b'[' => {
                self.at += 1;
                self.nesting.push(false)?;
                self.space();
                if self.expect(b']').is_some() {
                    self.nesting.pop();
                    return Some(false);
                }
                Some(true)
            }
            b'"' => self.string().map(|()| false),
            b't' => self.word(b"true").map(|()| false),
            b'f' => self.word(b"false").map(|()| false),
            b'n' => self.word(b"null").map(|()| false),
            _ => self.number().map(|()| false),
        }
    }

    fn key(&mut self) -> Option<()> {
        self.string()?;
        self.space();
        self.expect(b':')
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.text[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    fn string(&mut self) -> Option<()> {
        self.expect(b'"')?;
        loop {
            let rest = self.text.get(self.at..)?;
            self.at += json::plain_run(rest);
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                0..0x20 => return None,
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let unit = self.hex()?;
                match unit {
                    0xd800..0xdc00 if self.low_surrogate_follows() => self.at += 6,
                    0xd800..0xe000 => self.lone_surrogates = true,
                    _ => {}
                }
                Some(())
            }
            _ => None,
        }
    }

    fn hex(&mut self) -> Option<u16> {
        let unit = hex(self.text.get(self.at..self.at + 4)?)?;
        self.at += 4;
        Some(unit)
    }

    fn low_surrogate_follows(&self) -> bool {
        is_low_surrogate(&self.text[self.at..])
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        let _ = self.expect(b'-');
        if self.expect(b'0').is_none() {
            self.digits()?;
        }
        if self.expect(b'.').is_some() {
            self.digits()?;
        }
        let exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if exponent {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        // A number no double can hold is refused by strict parsers, so the line stays text.
        let text = &self.text[start..self.at];
        if (exponent || text.len() > 300)
            && std::str::from_utf8(text).ok()?.parse::<f64>().ok()?.is_infinite()
        {
            return None;
        }
        Some(())
    }
}

fn hex(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |unit, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

fn is_low_surrogate(text: &[u8]) -> bool {
    matches!(text, [b'\\', b'u', digits @ ..] if
        digits.get(..4).and_then(hex).is_some_and(|unit| (0xdc00..0xe000).contains(&unit)))
}

/// Copies correct JSON, with each lone surrogate replaced by `\ufffd`.
fn write_without_lone_surrogates(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before);
        let unit = if escape[1] == b'u' { escape.get(2..6).and_then(hex) } else { None };
        let length = match unit {
            Some(0xd800..0xdc00) if is_low_surrogate(&escape[6..]) => 12,
            Some(_) => 6,
            None => 2,
        };
        match unit {
            Some(0xd800..0xe000) if length == 6 => out.extend_from_slice(b"\\ufffd"),
            _ => out.extend_from_slice(&escape[..length]),
        }
        rest = &escape[length..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

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
            let lone = ours.is_some_and(|checked| checked.lone_surrogates);
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
