//! `autotimestamp`: tokens for the times a sample's lines carry, found by trying a list of patterns.

use std::collections::BTreeSet;

use super::implied;
use crate::clock::UnixNanos;
use crate::eventgen::config::{ReplacementKind, TokenConfig};
use crate::eventgen::pattern::Pattern;
use crate::eventgen::time::Zone;
use crate::eventgen::time::parse::TimeParser;

/// Bytes of a line its punctuation is taken from.
const PUNCTUATION_BYTES: usize = 256;

/// Timestamp tokens for the patterns (with their formats) that find a time in some line, in the order they are found.
/// Of lines with the same punctuation only the first is tried.
pub(in crate::eventgen) fn timestamps<'a>(
    lines: impl Iterator<Item = &'a str>,
    patterns: &[(String, String)],
    zone: &Zone,
) -> Vec<TokenConfig> {
    let compile = |(pattern, format): &(String, String)| {
        Some((Pattern::new(pattern).ok()?, TimeParser::compile(format, zone).ok()?))
    };
    let compiled: Vec<_> = patterns.iter().map(compile).collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for line in lines {
        if compiled.is_empty() || !seen.insert(punctuation(line)) {
            continue;
        }
        let reads = |(pattern, parser): &(Pattern, TimeParser)| {
            let place = pattern.find(line, 0, &mut pattern.finder())?;
            parser.parse(&line[place.group.unwrap_or(place.whole)], UnixNanos(0))
        };
        let first = compiled.iter().position(|pattern| pattern.as_ref().and_then(reads).is_some());
        if let Some(number) = first.filter(|number| !found.contains(number)) {
            found.push(number);
        }
    }
    let token = |number: usize| {
        let (pattern, format) = &patterns[number];
        implied(ReplacementKind::Timestamp, pattern, format)
    };
    found.into_iter().map(token).collect()
}

/// What a line looks like: letters and digits only by their kind, runs of them once.
fn punctuation(line: &str) -> Vec<u8> {
    let kind = |byte: &u8| match byte {
        b'0'..=b'9' => b'0',
        byte if byte.is_ascii_alphabetic() || !byte.is_ascii() => b'a',
        byte => *byte,
    };
    let mut shape: Vec<u8> = line.as_bytes().iter().take(PUNCTUATION_BYTES).map(kind).collect();
    shape.dedup_by(|one, other| one == other && matches!(one, b'a'));
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_reads_a_time_is_taken_once() {
        let patterns = [
            (r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}", "%Y-%m-%d %H:%M:%S"),
            (r"(\w{3} \d{2} \d{2}:\d{2}:\d{2})", "%b %d %H:%M:%S"),
            (r"\d\d", "%H"),
            ("((", "%H"),
        ]
        .map(|(pattern, format)| (pattern.to_owned(), format.to_owned()));
        let lines = [
            "on Sep 14 16:30:20 x",
            "2012-09-14 16:30:20 one",
            "2013-09-14 16:30:20 two",
            // Looks like a time and is none, by the first pattern; the third reads it.
            "2013-99-14 16:30:20, three",
            "none",
        ];
        let found = timestamps(lines.into_iter(), &patterns, &Zone::utc());
        let formats: Vec<_> = found.iter().map(|token| token.replacement.as_str()).collect();
        assert_eq!(formats, ["%b %d %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%H"]);
        assert!(timestamps(["x"].into_iter(), &[], &Zone::utc()).is_empty());
    }
}
