//! What one token puts in, read from its settings once, and written for each event.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::draw::{Draws, Purpose};
use super::language::{self, ByteSet, Language};
use super::path;
use super::random::{Float, Integer, Random, write_integer};
use super::rating::Rating;
use super::state::Counter;
use super::values::{Source, ValueFiles, Values};
use crate::clock::UnixNanos;
use crate::eventgen::config::{ReplacementKind, TokenConfig};
use crate::eventgen::time::Zone;
use crate::eventgen::time::format::{FormatCache, TimeFormat};
use crate::eventgen::time::parse::TimeParser;

/// What a token puts in.
#[derive(Debug)]
pub(super) enum Replacement {
    Static(Box<str>),
    /// The event's time.
    Timestamp(Stamp),
    /// The replay's time; several formats if the text in the sample decides which one.
    ReplayTimestamp(Box<[Stamp]>),
    Random(Random),
    RatedInteger(Integer),
    RatedFloat(Float),
    /// One of them at random.
    Pick(Arc<Values>),
    /// That of the row that was drawn for all tokens of the same file.
    Row {
        values: Arc<Values>,
        row: Purpose,
    },
    /// One after the other.
    InOrder {
        values: Arc<Values>,
        counter: usize,
    },
    /// The next number.
    Id {
        counter: usize,
    },
}

/// A time format, and how the sample's text is read by it.
#[derive(Debug)]
pub(super) struct Stamp {
    format: TimeFormat,
    pub(super) parser: Option<TimeParser>,
    cache: usize,
    text: Box<str>,
}

/// What replacements are read with.
pub(super) struct Reader<'a> {
    pub(super) files: &'a ValueFiles,
    pub(super) working_dir: &'a Path,
    pub(super) variables: &'a BTreeMap<String, String>,
    pub(super) zone: &'a Zone,
    /// Formats read so far; each has a cache of its own.
    pub(super) stamps: usize,
    /// Tokens that count, in the order they were read.
    pub(super) counters: Vec<Counter>,
    /// Files that are drawn from by rows.
    pub(super) rows: Vec<std::path::PathBuf>,
}

/// One event, as its tokens see it.
#[derive(Clone, Copy, Debug)]
pub(in crate::eventgen) struct EventFacts {
    /// What is random in it.
    pub(in crate::eventgen) draws: Draws,
    /// Its instant.
    pub(in crate::eventgen) time: UnixNanos,
    /// What `replaytimestamp` shows.
    pub(in crate::eventgen) replay_time: UnixNanos,
}

/// What writing values reuses from one event to the next.
#[derive(Debug, Default)]
pub(super) struct Pad {
    pub(super) caches: Vec<FormatCache>,
    /// What each counter shows in this event.
    pub(super) counts: Vec<i64>,
    /// The factor of the second it was asked for last.
    pub(super) factor: Option<(i64, f64)>,
}

impl Reader<'_> {
    /// Reads the replacement of token number `number`; an error says why its text stays as it is.
    pub(super) fn read(&mut self, token: &TokenConfig, number: usize) -> Result<Replacement, String> {
        let text = &token.replacement;
        match token.kind {
            ReplacementKind::Static => Ok(Replacement::Static(text.as_str().into())),
            ReplacementKind::Timestamp => self.stamp(text).map(Replacement::Timestamp),
            ReplacementKind::ReplayTimestamp => {
                // A list of formats, or else one format.
                let formats = serde_json::from_str::<Vec<String>>(text).ok().filter(|list| !list.is_empty());
                let formats = formats.unwrap_or_else(|| vec![text.clone()]);
                let stamps: Result<Box<[_]>, _> = formats.iter().map(|format| self.stamp(format)).collect();
                stamps.map(Replacement::ReplayTimestamp)
            }
            ReplacementKind::Random => Random::parse(text).map(Replacement::Random),
            ReplacementKind::Rated => match Random::parse(text) {
                Ok(Random::Integer(integer)) => Ok(Replacement::RatedInteger(integer)),
                Ok(Random::Float(float)) => Ok(Replacement::RatedFloat(float)),
                // As the original: what has no rate is just random.
                other => other.map(Replacement::Random),
            },
            ReplacementKind::File | ReplacementKind::MvFile => {
                let source = self.source(text);
                let values = self.files.load(&source)?;
                Ok(match source.column {
                    None => Replacement::Pick(values),
                    Some(_) => Replacement::Row { values, row: self.row(&source, number) },
                })
            }
            ReplacementKind::SeqFile => {
                let values = self.files.load(&self.source(text))?;
                let counter = self.counter(Counter::of_lines(&token.pattern));
                Ok(Replacement::InOrder { values, counter })
            }
            ReplacementKind::IntegerId => {
                let start = text.trim().parse().map_err(|_| "expected a whole number to start from")?;
                Ok(Replacement::Id { counter: self.counter(Counter::of_ids(&token.pattern, start)) })
            }
        }
    }

    fn source(&self, text: &str) -> Source {
        path::source(text, self.working_dir, self.variables)
    }

    fn stamp(&mut self, format: &str) -> Result<Stamp, String> {
        let cache = self.stamps;
        self.stamps += 1;
        Ok(Stamp {
            format: TimeFormat::compile(format, self.zone)?,
            // Formats that can be written but not read are only ever wanted for writing.
            parser: TimeParser::compile(format, self.zone).ok(),
            cache,
            text: format.into(),
        })
    }

    fn counter(&mut self, counter: Counter) -> usize {
        self.counters.push(counter);
        self.counters.len() - 1
    }

    /// What the row of a file is drawn for: the same for all tokens that name the file.
    fn row(&mut self, source: &Source, number: usize) -> Purpose {
        debug_assert!(self.rows.len() <= number);
        self.rows.resize_with(number, Default::default);
        let first = self.rows.iter().position(|path| *path == source.path).unwrap_or(number);
        self.rows.push(source.path.clone());
        Purpose::token(first)
    }
}

impl Replacement {
    /// Writes the value for an event; false if there is none, and the text stays.
    #[inline]
    pub(super) fn write(
        &self,
        variant: usize,
        own: Purpose,
        event: &EventFacts,
        rates: &Rating,
        pad: &mut Pad,
        out: &mut Vec<u8>,
    ) -> bool {
        match self {
            Self::Static(text) => out.extend_from_slice(text.as_bytes()),
            Self::Timestamp(stamp) => stamp.write(event.time, pad, out),
            Self::ReplayTimestamp(stamps) => match stamps.get(variant) {
                Some(stamp) => stamp.write(event.replay_time, pad, out),
                None => return false,
            },
            Self::Random(random) => return random.write(&mut event.draws.stream(own), out),
            Self::RatedInteger(integer) => {
                let value = integer.draw(&mut event.draws.stream(own)) as f64 * rates.factor(event.time, pad);
                write_integer(value.round_ties_even() as i64, out);
            }
            Self::RatedFloat(float) => {
                let value = float.draw(&mut event.draws.stream(own)) * rates.factor(event.time, pad);
                float.write(float.round(value), out);
            }
            Self::Pick(values) => return copy(values, event.draws.stream(own).index(values.len()), out),
            Self::Row { values, row } => {
                return copy(values, event.draws.stream(*row).index(values.len()), out);
            }
            Self::InOrder { values, counter } => {
                let line = pad.counts.get(*counter).map_or(0, |count| count.rem_euclid(values.len() as i64));
                return copy(values, line as usize, out);
            }
            Self::Id { counter } => write_integer(pad.counts.get(*counter).copied().unwrap_or_default(), out),
        }
        true
    }

    /// What it writes looks like, for each of its formats.
    pub(super) fn languages(&self, zone: &Zone) -> Vec<Arc<Language>> {
        let of_stamp = |stamp: &Stamp| Arc::new(language::of_format(&stamp.text, zone.is_named()));
        let one = match self {
            Self::Timestamp(stamp) => return vec![of_stamp(stamp)],
            Self::ReplayTimestamp(stamps) => return stamps.iter().map(of_stamp).collect(),
            Self::Static(text) => Language::default().then_text(text),
            Self::Random(random) => random.language(),
            Self::RatedInteger(integer) => integer.language(),
            Self::RatedFloat(float) => float.language(),
            Self::Pick(values) | Self::Row { values, .. } | Self::InOrder { values, .. } => values.language(),
            Self::Id { .. } => {
                Language::of(ByteSet::of(b"-"), 0, Some(1)).then(ByteSet::digits(), 1, Some(20))
            }
        };
        vec![Arc::new(one)]
    }

    /// Whether there may be no value for an event.
    pub(super) fn may_decline(&self) -> bool {
        match self {
            Self::Pick(values) | Self::Row { values, .. } | Self::InOrder { values, .. } => {
                values.has_missing()
            }
            _ => false,
        }
    }

    /// The counter it moves on, if any.
    pub(super) fn counter(&self) -> Option<usize> {
        match self {
            Self::InOrder { counter, .. } | Self::Id { counter } => Some(*counter),
            _ => None,
        }
    }

    /// Which format a text of the sample asks for: the first that reads it, else the first.
    pub(super) fn variant(&self, text: &str) -> usize {
        let Self::ReplayTimestamp(stamps) = self else { return 0 };
        if stamps.len() < 2 {
            return 0;
        }
        let reads = |stamp: &Stamp| {
            stamp.parser.as_ref().is_some_and(|parser| parser.parse(text, UnixNanos(0)).is_some())
        };
        stamps.iter().position(reads).unwrap_or(0)
    }

    /// The time a text of the sample tells, for tokens of times.
    pub(super) fn read_time(&self, text: &str, now: UnixNanos) -> Option<UnixNanos> {
        let stamps = match self {
            Self::Timestamp(stamp) => std::slice::from_ref(stamp),
            Self::ReplayTimestamp(stamps) => stamps,
            _ => return None,
        };
        stamps.iter().find_map(|stamp| stamp.parser.as_ref()?.parse(text, now))
    }

    /// Whether it shows parts of a second.
    pub(super) fn shows_fractions(&self) -> bool {
        let Self::Timestamp(stamp) = self else { return false };
        let mut rest = &*stamp.text;
        while let Some(place) = rest.find('%') {
            let conversion = rest[place + 1..].trim_start_matches(|c: char| c.is_ascii_digit());
            if conversion.starts_with(['f', 'N', 'Q']) {
                return true;
            }
            rest = conversion.strip_prefix('%').unwrap_or(conversion);
        }
        false
    }
}

impl Stamp {
    fn write(&self, at: UnixNanos, pad: &mut Pad, out: &mut Vec<u8>) {
        if pad.caches.len() <= self.cache {
            pad.caches.resize_with(self.cache + 1, FormatCache::default);
        }
        if let Some(cache) = pad.caches.get_mut(self.cache) {
            self.format.write(at, cache, out);
        }
    }
}

#[inline]
fn copy(values: &Values, index: usize, out: &mut Vec<u8>) -> bool {
    let Some(value) = values.get(index) else { return false };
    out.extend_from_slice(value);
    true
}
