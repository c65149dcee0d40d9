//! When a sample runs: a state machine without a clock, told the time by who asks.
//!
//! - Run `k` is due at `start + k × period`, however late the runs before were; nothing drifts.
//! - A backfill comes first: its runs lie in the past and are due at once. It is as many runs as
//!   the original makes: one per period of the window, and one for the present, which is the first
//!   one `end` counts. Passes of a backfill are part of the first live pass.
//! - A run that is later than the catch-up limit is skipped and counted, with all the others
//!   before the present one; nothing else is ever left out.
//!
//! Not here: how much a run makes (raters), and in which pieces (`engine`'s cutter).

use std::num::NonZeroU64;
use std::time::Duration;

use crate::clock::UnixNanos;

/// The catch-up limit is at least so long; an output that was away for less loses nothing.
const CATCH_UP_MIN: Duration = Duration::from_secs(60);
/// And at least so many periods.
const CATCH_UP_PERIODS: u32 = 10;

/// When a sample is to run.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The first live run.
    pub start: UnixNanos,
    /// From the beginning of one run to that of the next.
    pub period: Period,
    /// The time before `start` that is made up for.
    pub backfill: Option<Duration>,
    /// Ends after so many runs; a backfill is one, or part of the first pass.
    pub runs: Option<u64>,
    /// No run begins then or later.
    pub until: Option<UnixNanos>,
}

/// From the beginning of one run to that of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// Runs are moments.
    Interval(NonZeroU64),
    /// Runs are passes through a file, in nanoseconds: each takes `pass`, and the next begins
    /// `gap` after its end. In a backfill they follow without a gap, so that the last one ends
    /// with the present.
    Pass {
        /// What a pass takes.
        pass: u64,
        /// From the end of one to the beginning of the next.
        gap: NonZeroU64,
    },
}

impl Period {
    fn live(self) -> u64 {
        match self {
            Self::Interval(interval) => interval.get(),
            Self::Pass { pass, gap } => pass.saturating_add(gap.get()),
        }
    }

    fn past(self) -> u64 {
        match self {
            Self::Interval(interval) => interval.get(),
            Self::Pass { pass: 0, gap } => gap.get(),
            Self::Pass { pass, .. } => pass,
        }
    }
}

/// One run of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// How many there were before, backfilled and skipped ones included.
    pub number: u64,
    /// Its own time, by the schedule.
    pub at: UnixNanos,
    /// When it was to begin: `at`, or the start of the sample for what is backfilled.
    pub due: UnixNanos,
    /// For a run of a backfill: the start of the backfill's window.
    pub backfill_from: Option<UnixNanos>,
}

/// What a timer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This run begins.
    Run(Run),
    /// Nothing before this time.
    At(UnixNanos),
    /// Nothing any more.
    Over,
}

/// The timer of one sample.
#[derive(Clone, Debug)]
pub struct Timer {
    schedule: Schedule,
    /// Runs of the backfill still to come.
    past_left: u64,
    backfill_from: UnixNanos,
    number: u64,
    /// Runs as `end` counts them.
    counted: u64,
    next_at: UnixNanos,
    skipped: u64,
}

impl Timer {
    /// A timer before its first run.
    pub fn new(schedule: Schedule) -> Self {
        let (past_left, first) = match schedule.backfill {
            None => (0, schedule.start),
            Some(window) => first_of(schedule.start, nanos(window), schedule.period),
        };
        let window = schedule.backfill.map_or(0, nanos);
        Self {
            schedule,
            past_left,
            backfill_from: before(schedule.start, window),
            number: 0,
            counted: 0,
            next_at: first,
            skipped: 0,
        }
    }

    /// What is to be done at `now`; a run that is given is begun.
    pub fn poll(&mut self, now: UnixNanos) -> Next {
        if self.schedule.runs.is_some_and(|runs| self.counted >= runs) {
            return Next::Over;
        }
        if now < self.schedule.start {
            return Next::At(self.schedule.start);
        }
        if self.past_left == 0 {
            self.skip(now);
        }
        let ended = self.schedule.runs.is_some_and(|runs| self.counted >= runs);
        if ended || self.schedule.until.is_some_and(|until| self.next_at >= until) {
            return Next::Over;
        }
        if self.past_left > 0 {
            return Next::Run(self.begin_past());
        }
        if now < self.next_at {
            return Next::At(self.next_at);
        }
        Next::Run(self.begin_live())
    }

    /// The run that was begun last takes so long: the next one follows at its end, whatever the
    /// period is. Changes nothing within a backfill.
    pub fn lasts(&mut self, run: &Run, time: Duration) {
        if run.backfill_from.is_none() {
            self.next_at = after(run.at, nanos(time));
        }
    }

    /// Runs left out because they were too late.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// When the next run will begin, if nothing ends it before.
    pub fn upcoming(&self) -> UnixNanos {
        self.next_at.max(self.schedule.start)
    }

    fn begin_past(&mut self) -> Run {
        let run = self.run(self.schedule.start, Some(self.backfill_from));
        self.next_at = after(self.next_at, self.schedule.period.past());
        self.past_left -= 1;
        if self.past_left == 0 {
            self.next_at = match self.schedule.period {
                // The last one of the backfill was the present.
                Period::Interval(interval) => {
                    self.counted += 1;
                    after(self.schedule.start, interval.get())
                }
                Period::Pass { .. } => self.schedule.start,
            };
        }
        run
    }

    fn begin_live(&mut self) -> Run {
        let run = self.run(self.next_at, None);
        self.next_at = after(self.next_at, self.schedule.period.live());
        self.counted += 1;
        run
    }

    fn run(&mut self, due: UnixNanos, backfill_from: Option<UnixNanos>) -> Run {
        let run = Run { number: self.number, at: self.next_at, due, backfill_from };
        self.number += 1;
        run
    }

    /// Leaves out what is too late to be made up for.
    fn skip(&mut self, now: UnixNanos) {
        let period = self.schedule.period.live();
        let limit = nanos(CATCH_UP_MIN).max(period.saturating_mul(u64::from(CATCH_UP_PERIODS)));
        let late = u64::try_from(now.0.saturating_sub(self.next_at.0)).unwrap_or(0);
        if late <= limit {
            return;
        }
        let left = self.schedule.runs.map_or(u64::MAX, |runs| runs - self.counted);
        let runs = (late / period).min(left);
        self.skipped += runs;
        self.counted += runs;
        self.number += runs;
        self.next_at = after(self.next_at, period.saturating_mul(runs));
    }
}

/// How many runs a backfill has, and the time of the first.
fn first_of(start: UnixNanos, window: u64, period: Period) -> (u64, UnixNanos) {
    let step = period.past();
    match period {
        Period::Interval(_) => (window / step + 1, before(start, window)),
        // The last pass ends with the present; the first one may begin before the window.
        Period::Pass { .. } => {
            let passes = window.div_ceil(step);
            (passes, before(start, step.saturating_mul(passes)))
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn after(at: UnixNanos, nanos: u64) -> UnixNanos {
    UnixNanos(at.0.saturating_add_unsigned(nanos))
}

fn before(at: UnixNanos, nanos: u64) -> UnixNanos {
    UnixNanos(at.0.saturating_sub_unsigned(nanos))
}

#[cfg(test)]
mod tests;
