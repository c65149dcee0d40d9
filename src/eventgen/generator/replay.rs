//! `replay`: the lines of a sample file, at the times they carry, moved to now.
//!
//! Event `i` is due as long after the first one as its line's time is after the first line's, times `timeMultiple`. A
//! line whose time is before that of the line above it comes at once, and the lines after it keep their distances. Lines
//! without a time are left out, and told of.

use std::time::Duration;

use fastrand::Rng;

use super::lines::{Lines, Opened, Wanted};
use super::{Shared, only_events};
use crate::clock::UnixNanos;
use crate::eventgen::config::SampleConfig;
use crate::eventgen::event::Batch;
use crate::eventgen::plugin::{GenerateError, Generator, Part};
use crate::eventgen::token::draw::Draws;
use crate::eventgen::token::{EventFacts, Problem, Scratch};

/// What is missing in a line's time is taken from here: 2024-01-01, in a year that has a 29 February.
const REFERENCE: UnixNanos = UnixNanos(1_704_067_200_000_000_000);

pub(super) struct Replay {
    lines: Lines,
    schedule: Box<[Duration]>,
}

/// The lines that are replayed, and what is odd about the others.
#[derive(Debug, Default)]
pub(super) struct Timed {
    pub(super) lines: Vec<usize>,
    pub(super) schedule: Vec<Duration>,
    pub(super) without_time: usize,
    pub(super) out_of_order: usize,
}

impl Timed {
    /// Reads the times of all lines.
    pub(super) fn read(opened: &Opened, time_multiple: f64) -> Self {
        let mut timed = Self::default();
        let (mut last, mut offset) = (None, Duration::ZERO);
        for line in 0..opened.sample.len() {
            let Some(time) = opened.tokens.read_time(opened.sample.time_text(line), REFERENCE) else {
                timed.without_time += 1;
                continue;
            };
            let gap = last.map_or(0, |last: UnixNanos| time.0.saturating_sub(last.0));
            timed.out_of_order += usize::from(gap < 0);
            let gap =
                Duration::from_nanos(u64::try_from(gap).unwrap_or(0)).as_secs_f64() * time_multiple.max(0.0);
            offset = offset.saturating_add(Duration::try_from_secs_f64(gap).unwrap_or(Duration::MAX));
            last = Some(time);
            timed.lines.push(line);
            timed.schedule.push(offset);
        }
        timed
    }

    /// Why there is nothing to replay, if there is not.
    pub(super) fn why_nothing(&self, opened: &Opened) -> Option<String> {
        if !self.lines.is_empty() {
            return None;
        }
        if !opened.tokens.have_times() {
            return Some(
                "replay needs a token of the type replaytimestamp that finds the time of each line"
                    .to_owned(),
            );
        }
        Some(format!(
            "none of {} lines carries a time that a replaytimestamp token reads: its pattern has to find the time, and \
             its replacement has to be the format it is written in",
            self.without_time
        ))
    }

    /// Tells what is odd about lines.
    pub(super) fn report(&self, config: &SampleConfig, problems: &mut Vec<Problem>) {
        let mut say = |message| problems.push(Problem { message, place: config.place.clone() });
        if self.without_time > 0 && !self.lines.is_empty() {
            say(format!(
                "{} lines carry no time that a token reads; they are not replayed",
                self.without_time
            ));
        }
        if self.out_of_order > 0 {
            say(format!(
                "{} lines are earlier than the line above them; they follow it at once",
                self.out_of_order
            ));
        }
    }
}

impl Replay {
    pub(super) fn new(
        config: &SampleConfig,
        shared: &Shared,
        problems: &mut Vec<Problem>,
    ) -> Result<Self, String> {
        let mut opened = Opened::read(config, Wanted::Replay, shared, problems)?;
        let timed = Timed::read(&opened, config.time_multiple);
        if let Some(why) = timed.why_nothing(&opened) {
            return Err(why);
        }
        timed.report(config, problems);
        opened.sample.keep(&timed.lines);
        let lines = Lines::new(opened, config, shared, problems)?;
        Ok(Self { lines, schedule: timed.schedule.into() })
    }

    fn make(&self, part: &Part, count: u64, counts: &mut [i64], out: &mut Batch) {
        let mut scratch = Scratch::default();
        let mut seeds = Rng::with_seed(part.seed);
        let length = self.schedule.len() as u64;
        for number in part.first..part.first + count {
            let line = (number % length) as usize;
            let offset = self.schedule.get(line).map_or(0, Duration::as_nanos);
            let time = part.earliest.0.saturating_add_unsigned(u64::try_from(offset).unwrap_or(u64::MAX));
            let time = UnixNanos(time);
            let facts = EventFacts { draws: Draws::new(seeds.u64(..)), time, replay_time: time };
            self.lines.write(line, &facts, counts, &mut scratch, out);
            self.lines.commit(line, &facts, out);
        }
    }
}

impl Generator for Replay {
    fn is_parallel(&self) -> bool {
        !self.lines.count()
    }

    fn events_per_pass(&self) -> u64 {
        self.lines.len() as u64
    }

    fn event_bytes(&self) -> u64 {
        self.lines.event_bytes()
    }

    fn schedule(&self) -> Option<&[Duration]> {
        Some(&self.schedule)
    }

    fn generate(&self, part: &Part, out: &mut Batch) -> Result<(), GenerateError> {
        let count = only_events(part, "replay")?;
        if !self.lines.count() {
            self.make(part, count, &mut [], out);
            return Ok(());
        }
        let counts = &mut *self.lines.counts();
        self.make(part, count, &mut counts.next, out);
        self.lines.save_now_and_then(counts);
        Ok(())
    }

    fn finish(&self) -> Result<(), GenerateError> {
        self.lines.finish()
    }
}
