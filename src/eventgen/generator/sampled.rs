//! `default` and `perdayvolumegenerator`: the lines of a sample file, by number or by volume.
//!
//! By number, a run begins at the first line and wraps around. By volume it begins there as well, and ends before the
//! first event that does not fit; what is left of the volume is added to the next part, so that nothing is lost in the
//! long run. With `bundlelines` a run by volume goes on where the one before it ended, so that copies stay whole.

use std::sync::{Mutex, PoisonError};

use fastrand::Rng;

use super::lines::{Lines, Opened, Wanted};
use super::{Shared, instant, window};
use crate::clock::UnixNanos;
use crate::eventgen::config::SampleConfig;
use crate::eventgen::event::Batch;
use crate::eventgen::plugin::{Amount, GenerateError, Generator, Part};
use crate::eventgen::token::draw::{Draws, Purpose};
use crate::eventgen::token::{EventFacts, Problem, Scratch};

const SECOND: u64 = 1_000_000_000;
const MICROSECOND: u64 = 1_000;

pub(super) struct Sampled {
    lines: Lines,
    plan: Plan,
    bundle: bool,
    by_volume: bool,
    volume: Mutex<Volume>,
}

/// Which line an event is made from, and what its tokens see.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    lines: usize,
    randomize: bool,
    times: Times,
}

/// The window of a part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// In whole steps, if instants are drawn in steps.
    earliest: UnixNanos,
    latest: UnixNanos,
    /// In nanoseconds.
    length: u64,
    /// Instants to draw from.
    steps: u64,
    /// Events of the run.
    total: u64,
}

/// How the instants of events lie in their window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Times {
    /// At random, in whole steps of so many nanoseconds.
    Drawn { step: u64 },
    /// Evenly, in order.
    Sequential,
}

/// What a volume leaves for its next part.
#[derive(Debug, Default)]
struct Volume {
    bytes: u64,
    next_line: usize,
    /// A line that was drawn and did not fit: it comes first, or long ones would be rarer than they should.
    drawn: Option<usize>,
}

impl Sampled {
    pub(super) fn new(
        config: &SampleConfig,
        shared: &Shared,
        problems: &mut Vec<Problem>,
    ) -> Result<Self, String> {
        let opened = Opened::read(config, Wanted::Events, shared, problems)?;
        let lines = Lines::new(opened, config, shared, problems)?;
        Ok(Self {
            plan: Plan::new(config, lines.len(), lines.show_fractions()),
            bundle: config.bundle_lines,
            by_volume: config.per_day_volume.is_some(),
            volume: Mutex::default(),
            lines,
        })
    }

    fn by_number(
        &self,
        part: &Part,
        count: u64,
        counts: &mut [i64],
        out: &mut Batch,
    ) -> Result<(), GenerateError> {
        let window = self.plan.window(part)?;
        let mut scratch = Scratch::default();
        let mut seeds = Rng::with_seed(part.seed);
        let mut next = (part.first % self.lines.len() as u64) as usize;
        for number in part.first..part.first + count {
            let draws = Draws::new(seeds.u64(..));
            let line = self.plan.line(next, draws);
            let facts = self.plan.facts(&window, number, draws);
            self.lines.write(line, &facts, counts, &mut scratch, out);
            self.lines.commit(line, &facts, out);
            next = if next + 1 == self.lines.len() { 0 } else { next + 1 };
        }
        Ok(())
    }

    fn by_volume(
        &self,
        part: &Part,
        bytes: u64,
        counts: &mut [i64],
        out: &mut Batch,
    ) -> Result<(), GenerateError> {
        let window = self.plan.window(part)?;
        let mut scratch = Scratch::default();
        let mut seeds = Rng::with_seed(part.seed);
        let mut volume = self.volume.lock().unwrap_or_else(PoisonError::into_inner);
        if part.first == 0 && !self.bundle {
            volume.next_line = 0;
        }
        volume.bytes = volume.bytes.saturating_add(bytes);
        let mut before: Vec<i64> = Vec::with_capacity(counts.len());
        loop {
            let draws = Draws::new(seeds.u64(..));
            let line = volume.drawn.take().unwrap_or_else(|| self.plan.line(volume.next_line, draws));
            // Evenly by bytes: how many events there will be is not known.
            let made = part.first + bytes.saturating_sub(volume.bytes);
            let facts = self.plan.facts(&window, made, draws);
            before.clear();
            before.extend_from_slice(counts);
            let start = out.text_bytes();
            self.lines.write(line, &facts, counts, &mut scratch, out);
            // An event without a text would go on for ever.
            let size = ((out.buffer().len() - start) as u64).max(1);
            if size > volume.bytes {
                out.rollback();
                counts.copy_from_slice(&before);
                volume.drawn = self.plan.randomize.then_some(line);
                return Ok(());
            }
            volume.bytes -= size;
            self.lines.commit(line, &facts, out);
            volume.next_line = (line + 1) % self.lines.len();
        }
    }
}

impl Generator for Sampled {
    fn is_parallel(&self) -> bool {
        !self.by_volume && !self.lines.count()
    }

    fn events_per_pass(&self) -> u64 {
        self.lines.len() as u64
    }

    fn event_bytes(&self) -> u64 {
        self.lines.event_bytes()
    }

    fn generate(&self, part: &Part, out: &mut Batch) -> Result<(), GenerateError> {
        let mut make = |counts: &mut [i64]| match part.amount {
            Amount::Events(count) => self.by_number(part, count, counts, out),
            Amount::Bytes(bytes) => self.by_volume(part, bytes, counts, out),
        };
        if !self.lines.count() {
            return make(&mut []);
        }
        let counts = &mut *self.lines.counts();
        let made = make(&mut counts.next);
        self.lines.save_now_and_then(counts);
        made
    }

    fn finish(&self) -> Result<(), GenerateError> {
        self.lines.finish()
    }
}

impl Plan {
    pub(super) fn new(config: &SampleConfig, lines: usize, show_fractions: bool) -> Self {
        let times = match config.sequential_timestamp {
            true => Times::Sequential,
            // As the original: whole seconds, unless a token would show the rest.
            false => Times::Drawn { step: if show_fractions { MICROSECOND } else { SECOND } },
        };
        Self { lines, randomize: config.randomize_events, times }
    }

    /// The line of an event; `next` if they come in order.
    #[inline]
    pub(super) fn line(&self, next: usize, draws: Draws) -> usize {
        if self.randomize { draws.stream(Purpose::LINE).index(self.lines) } else { next }
    }

    /// The window of a part, made ready for all its events.
    pub(super) fn window(&self, part: &Part) -> Result<Window, GenerateError> {
        let length = window(part)?;
        let Times::Drawn { step } = self.times else {
            return Ok(Window {
                earliest: part.earliest,
                latest: part.latest,
                length,
                steps: 0,
                total: part.total,
            });
        };
        let earliest = UnixNanos(part.earliest.0 - part.earliest.0.rem_euclid(step as i64));
        Ok(Window { earliest, latest: part.latest, length, steps: length / step + 1, total: part.total })
    }

    /// What the tokens of event `number` of a run see.
    #[inline]
    pub(super) fn facts(&self, window: &Window, number: u64, draws: Draws) -> EventFacts {
        let time = match self.times {
            Times::Sequential => instant(window.earliest, window.length, number, window.total),
            Times::Drawn { step } => {
                let offset = draws.stream(Purpose::TIME).below(window.steps) * step;
                UnixNanos(window.earliest.0.saturating_add_unsigned(offset))
            }
        };
        EventFacts { draws, time, replay_time: window.latest }
    }
}
