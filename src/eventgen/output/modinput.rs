//! XML of Splunk's modular inputs, on standard output.

use std::io::Write as _;

use super::ready;
use super::stdout::print;
use crate::clock::UnixNanos;
use crate::eventgen::event::{Batch, Event};
use crate::eventgen::plugin::{Nature, Output, OutputFuture};

/// The output `modinput`.
#[derive(Debug, Default)]
pub(super) struct Modinput {
    scratch: Vec<u8>,
}

impl Output for Modinput {
    fn nature(&self) -> Nature {
        Nature::Blocking
    }

    fn write<'a>(&'a mut self, batch: &'a Batch) -> OutputFuture<'a> {
        self.scratch.clear();
        for event in batch.iter() {
            put(&event, &mut self.scratch);
        }
        ready(print(&self.scratch, batch.len()))
    }

    fn finish(&mut self) -> OutputFuture<'_> {
        ready(Ok(()))
    }
}

fn put(event: &Event<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"  <event>\n    <time>");
    put_seconds(event.time, out);
    out.extend_from_slice(b"</time>\n");
    let meta = event.meta;
    for (name, value) in [
        ("index", &meta.index),
        ("source", &meta.source),
        ("sourcetype", &meta.sourcetype),
        ("host", &meta.host),
    ] {
        // A vector takes everything.
        let _ = write!(out, "    <{name}>");
        escape(value.as_bytes(), out);
        let _ = writeln!(out, "</{name}>");
    }
    out.extend_from_slice(b"    <data>");
    escape(event.text, out);
    out.extend_from_slice(b"</data>\n  </event>\n");
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr3(b'&', b'<', b'>', rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(match rest[at] {
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            _ => b"&gt;",
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Seconds since the epoch, with a fraction only if there is one.
pub(super) fn put_seconds(time: UnixNanos, out: &mut Vec<u8>) {
    const SECOND: i64 = 1_000_000_000;
    // Towards zero, with one sign in front: -0.25 s is not -1 s and 0.75.
    if time.0 < 0 {
        out.push(b'-');
    }
    let nanos = time.0.unsigned_abs();
    let (seconds, fraction) = (nanos / SECOND.unsigned_abs(), nanos % SECOND.unsigned_abs());
    out.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes());
    if fraction > 0 {
        let digits = format!(".{fraction:09}");
        out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventgen::testing::batch;

    #[test]
    fn everything_is_escaped() {
        let batch = batch(&["<x a=\"1\">&amp; 'q'</x>\n"]);
        let mut out = Vec::new();
        put(&batch.iter().next().unwrap(), &mut out);
        let expected = "  <event>\n    <time>1705320001</time>\n    <index>i</index>\n    <source>s/x</source>\n    \
             <sourcetype>st</sourcetype>\n    <host>h</host>\n    \
             <data>&lt;x a=\"1\"&gt;&amp;amp; 'q'&lt;/x&gt;\n</data>\n  </event>\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn seconds_have_the_digits_they_need() {
        for (nanos, expected) in [
            (0, "0"),
            (1_705_320_001_000_000_000, "1705320001"),
            (1_705_320_001_250_000_000, "1705320001.25"),
            (1, "0.000000001"),
            (-250_000_000, "-0.25"),
            (-2_000_000_000, "-2"),
        ] {
            let mut out = Vec::new();
            put_seconds(UnixNanos(nanos), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
