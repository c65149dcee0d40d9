//! `windbag`: `2024-01-15 12:00:02.500000 -0700 WINDBAG Event 1 of 4`, for load. Needs no sample.
//!
//! The times lie evenly in the window, the last one at its end, in the zone of the sample; `-0700` is part of the text.

use fastrand::Rng;

use super::origin::Origins;
use super::{Shared, only_events, window};
use crate::clock::UnixNanos;
use crate::eventgen::config::SampleConfig;
use crate::eventgen::event::Batch;
use crate::eventgen::plugin::{GenerateError, Generator, Part};
use crate::eventgen::time::format::{FormatCache, TimeFormat};
use crate::eventgen::token::Problem;
use crate::eventgen::token::draw::Draws;

/// Events of a run that says nothing of a count.
const EVENTS_PER_PASS: u64 = 60;

/// What an event takes, about.
const EVENT_BYTES: u64 = 64;

const MICROSECOND: i64 = 1_000;
const SECOND: i64 = 1_000_000_000;

pub(super) struct Windbag {
    times: PythonTime,
    origins: Origins,
}

/// Times as Python prints them: with six digits of a fraction, if there is one.
#[derive(Debug)]
pub(super) struct PythonTime {
    format: TimeFormat,
}

/// A time that was printed, for others within its second.
#[derive(Debug, Default)]
pub(super) struct Printed {
    second: Option<i64>,
    text: Vec<u8>,
    cache: FormatCache,
}

impl PythonTime {
    pub(super) fn new(config: &SampleConfig) -> Result<Self, String> {
        TimeFormat::compile("%Y-%m-%d %H:%M:%S", &config.zone).map(|format| Self { format })
    }

    #[inline]
    pub(super) fn write(&self, at: UnixNanos, printed: &mut Printed, out: &mut Vec<u8>) {
        let second = at.0.div_euclid(SECOND);
        if printed.second != Some(second) {
            printed.text.clear();
            self.format.write(at, &mut printed.cache, &mut printed.text);
            printed.second = Some(second);
        }
        out.extend_from_slice(&printed.text);
        let micros = at.0.rem_euclid(SECOND) / MICROSECOND;
        if micros > 0 {
            // A seventh digit that is cut off again keeps the zeros in front.
            let mut digits = itoa::Buffer::new();
            out.push(b'.');
            out.extend_from_slice(&digits.format(SECOND / MICROSECOND + micros).as_bytes()[1..]);
        }
    }
}

impl Windbag {
    pub(super) fn new(
        config: &SampleConfig,
        shared: &Shared,
        problems: &mut Vec<Problem>,
    ) -> Result<Self, String> {
        Ok(Self { times: PythonTime::new(config)?, origins: Origins::without_file(config, shared, problems) })
    }
}

impl Generator for Windbag {
    fn is_parallel(&self) -> bool {
        true
    }

    fn events_per_pass(&self) -> u64 {
        EVENTS_PER_PASS
    }

    fn event_bytes(&self) -> u64 {
        EVENT_BYTES
    }

    fn generate(&self, part: &Part, out: &mut Batch) -> Result<(), GenerateError> {
        let count = only_events(part, "windbag")?;
        let mut times = Evenly::new(part, window(part)?);
        let mut seeds = Rng::with_seed(part.seed);
        let mut printed = Printed::default();
        let mut digits = itoa::Buffer::new();
        let tail = format!(" of {}", part.total);
        for number in part.first + 1..part.first + count + 1 {
            let time = times.next();
            let text = out.buffer();
            self.times.write(time, &mut printed, text);
            text.extend_from_slice(b" -0700 WINDBAG Event ");
            text.extend_from_slice(digits.format(number).as_bytes());
            text.extend_from_slice(tail.as_bytes());
            let meta = self.origins.number(0, Draws::new(seeds.u64(..)), out);
            out.commit(time, meta);
        }
        Ok(())
    }
}

/// The instants `earliest + n × window / total`, rounded to microseconds, without a division for each.
struct Evenly {
    /// In microseconds.
    at: i64,
    step: i64,
    /// What is over, in parts of `total`, and how much more with each step.
    over: u64,
    more: u64,
    total: u64,
}

impl Evenly {
    /// From the event after the part's first on.
    fn new(part: &Part, window: u64) -> Self {
        let total = part.total.max(1);
        let window = window / MICROSECOND as u64;
        let passed = u128::from(window) * u128::from(part.first) + u128::from(total / 2);
        Self {
            at: part.earliest.0.div_euclid(MICROSECOND) + (passed / u128::from(total)) as i64,
            step: (window / total) as i64,
            over: (passed % u128::from(total)) as u64,
            more: window % total,
            total,
        }
    }

    #[inline]
    fn next(&mut self) -> UnixNanos {
        self.at += self.step;
        self.over += self.more;
        if self.over >= self.total {
            self.over -= self.total;
            self.at += 1;
        }
        UnixNanos(self.at.saturating_mul(MICROSECOND))
    }
}
