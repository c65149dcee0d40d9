//! One JSON object, member by member, as the platform's encoders write it.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BufMut as _;

use crate::sim::foundation::gateway::config::{JsonStyle, Spelling};

/// Whole doubles up to this are integers, exactly.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// An object that is being written.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    style: JsonStyle,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(super) fn open(out: &'a mut Vec<u8>, style: JsonStyle) -> Self {
        out.put_u8(b'{');
        Self { out, style, empty: true }
    }

    pub(super) fn close(self) {
        self.out.put_u8(b'}');
    }

    /// Writes an object as the value of the last key.
    pub(super) fn object<R>(&mut self, fill: impl FnOnce(&mut Object<'_>) -> R) -> R {
        let mut inner = Object::open(self.out, self.style);
        let result = fill(&mut inner);
        inner.close();
        result
    }

    fn older(&self) -> bool {
        self.style.spelling == Spelling::Older
    }

    pub(super) fn spelled(&self, current: &'static str, older: &'static str) -> &'static str {
        if self.older() { older } else { current }
    }

    /// The comma, if one is due.
    fn next(&mut self) {
        if !std::mem::take(&mut self.empty) {
            self.out.put_slice(self.style.spacing.comma());
        }
    }

    pub(super) fn key(&mut self, name: &'static str) {
        self.next();
        self.out.put_u8(b'"');
        self.out.put_slice(name.as_bytes());
        self.out.put_slice(b"\":");
    }

    pub(super) fn text(&mut self, name: &'static str, text: &[u8]) {
        if self.older() && text.is_empty() {
            return;
        }
        self.key(name);
        self.quoted(text);
    }

    pub(super) fn quoted(&mut self, text: &[u8]) {
        self.out.put_u8(b'"');
        if self.older() {
            escape(text, is_special_to_older, self.out);
        } else if text.iter().fold(false, |any, &byte| any | is_special(byte)) {
            escape(text, is_special, self.out);
        } else {
            self.out.put_slice(text);
        }
        self.out.put_u8(b'"');
    }

    pub(super) fn signed(&mut self, name: &'static str, number: i64) {
        self.integer(name, number == 0, itoa::Buffer::new().format(number));
    }

    pub(super) fn unsigned(&mut self, name: &'static str, number: u64) {
        self.integer(name, number == 0, itoa::Buffer::new().format(number));
    }

    fn integer(&mut self, name: &'static str, zero: bool, digits: &str) {
        if self.older() && zero {
            return;
        }
        self.key(name);
        self.out.put_u8(b'"');
        self.out.put_slice(digits.as_bytes());
        self.out.put_u8(b'"');
    }

    pub(super) fn double(&mut self, name: &'static str, number: f64) {
        if self.older() && number == 0.0 {
            return;
        }
        self.key(name);
        put_double(number, self.out);
    }

    pub(super) fn base64(&mut self, name: &'static str, bytes: &[u8]) {
        if self.older() && bytes.is_empty() {
            return;
        }
        self.key(name);
        self.out.put_u8(b'"');
        let at = self.out.len();
        self.out.put_bytes(0, bytes.len().div_ceil(3) * 4);
        // It has exactly the room it needs.
        let _ = STANDARD.encode_slice(bytes, &mut self.out[at..]);
        self.out.put_u8(b'"');
    }

    /// Where a line was written to; a number that has no name stays a number.
    pub(super) fn stream(&mut self, name: &'static str, stream: u64) {
        if self.older() && stream == 0 {
            return;
        }
        self.key(name);
        match stream {
            0 => self.out.put_slice(b"\"OUT\""),
            1 => self.out.put_slice(b"\"ERR\""),
            // Enumerations are 32 bits wide.
            _ => {
                let number = (stream as u32).cast_signed();
                self.out.put_slice(itoa::Buffer::new().format(number).as_bytes());
            }
        }
    }

    /// A map in the order of its keys; `None` if one comes twice.
    pub(super) fn map<T: Copy>(
        &mut self,
        name: &'static str,
        entries: &mut [(&[u8], T)],
        mut value: impl FnMut(&mut Object<'_>, T),
    ) -> Option<()> {
        if self.older() && entries.is_empty() {
            return Some(());
        }
        entries.sort_unstable_by_key(|&(key, _)| key);
        if entries.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None;
        }
        self.key(name);
        self.object(|out| {
            for &(key, item) in &*entries {
                out.next();
                out.quoted(key);
                out.out.put_u8(b':');
                value(out, item);
            }
        });
        Some(())
    }
}

fn is_special(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// Older encoders made their output fit for pages of HTML.
fn is_special_to_older(byte: u8) -> bool {
    /// How U+2028 and U+2029 begin, among many others.
    const LINE_SEPARATOR: u8 = 0xE2;
    is_special(byte) || matches!(byte, b'<' | b'>' | b'&' | LINE_SEPARATOR)
}

fn escape(text: &[u8], special: fn(u8) -> bool, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| special(byte)) {
        let (plain, tail) = rest.split_at(at);
        out.put_slice(plain);
        let len = match tail {
            [0xE2, 0x80, last @ (0xA8 | 0xA9), ..] => {
                out.put_slice(if *last == 0xA8 { b"\\u2028" } else { b"\\u2029" });
                3
            }
            [byte, ..] => {
                put_escaped(*byte, out);
                1
            }
            [] => 0,
        };
        rest = &tail[len..];
    }
    out.put_slice(rest);
}

fn put_escaped(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0C => b'f',
        0x80.. => return out.put_u8(byte),
        _ => {
            out.put_slice(b"\\u00");
            out.put_u8(HEX[usize::from(byte >> 4)]);
            return out.put_u8(HEX[usize::from(byte & 15)]);
        }
    };
    out.put_slice(&[b'\\', short]);
}

/// The shortest digits that mean the same; an exponent below 1e-6 and from 1e21 on.
fn put_double(number: f64, out: &mut Vec<u8>) {
    let size = number.abs();
    if number.is_nan() {
        out.put_slice(b"\"NaN\"");
    } else if size.is_infinite() {
        out.put_slice(if number > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
    } else if number == 0.0 {
        out.put_slice(if number.is_sign_negative() { b"-0" } else { b"0" });
    } else if size <= WHOLE_MAX && number.trunc() == number {
        out.put_slice(itoa::Buffer::new().format(number as i64).as_bytes());
    } else if (1e-6..1e21).contains(&size) {
        // Writing to memory does not fail.
        let _ = write!(out, "{number}");
    } else if size < 1.0 {
        let _ = write!(out, "{number:e}");
    } else {
        out.put_slice(format!("{number:e}").replace('e', "e+").as_bytes());
    }
}
