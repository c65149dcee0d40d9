//! One sample as the plan sees it: its timer, the run it is in, and what it is due for next.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::cutter::{Cut, Cutter, Pace};
use super::ledger::Ledger;
use super::seed;
use crate::clock::UnixNanos;
use crate::eventgen::plugin::{Amount, Generator, Part, Rated, Rater};
use crate::eventgen::time::{Moment, Zone};
use crate::eventgen::timer::{Next, Run, Timer};

/// Runs that make nothing which are gone through in one step: others wait meanwhile.
const EMPTY_RUNS_MAX: u32 = 64;
/// With `--rate`, a part is what is made in this time: so bursts stay short.
const SLICE: Duration = Duration::from_millis(50);

/// One sample.
pub(super) struct Slot {
    pub(super) stanza: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) timer: Timer,
    pub(super) rater: Box<dyn Rater>,
    pub(super) generator: Arc<dyn Generator>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) earliest: Moment,
    pub(super) latest: Moment,
    pub(super) zone: Zone,
    pub(super) interval: Duration,
    pub(super) until: Option<UnixNanos>,
    pub(super) seed: u64,
    /// The largest part: events, and bytes.
    pub(super) part_events: u64,
    pub(super) part_bytes: u64,
    /// With `--rate`: this sample's share, in events per second.
    pub(super) share: Option<f64>,
    pub(super) cutter: Option<Cutter>,
    pub(super) ended: bool,
}

/// What a sample is due for.
#[derive(Debug)]
pub(super) enum Step {
    /// This part.
    Part(Part),
    /// Nothing before this time.
    At(UnixNanos),
    /// More at once, but others first.
    Later,
    /// Nothing any more.
    Over,
}

impl Slot {
    /// What is due at `now`; `drift` is what the wall clock is ahead of `now`.
    pub(super) fn step(&mut self, now: UnixNanos, drift: i64) -> Step {
        for _ in 0..EMPTY_RUNS_MAX {
            if self.ended {
                return Step::Over;
            }
            let generator = Arc::clone(&self.generator);
            if let Some(cutter) = &mut self.cutter {
                match cutter.next(now, generator.schedule().unwrap_or_default()) {
                    Cut::Part(part, due) => {
                        self.ledger.lag(u64::try_from(now.0.saturating_sub(due.0)).unwrap_or(0));
                        return Step::Part(part);
                    }
                    Cut::At(at) => return Step::At(at),
                    Cut::Done => self.cutter = None,
                }
            }
            match self.timer.poll(now) {
                Next::Run(run) => self.begin(run, drift),
                Next::At(at) => return Step::At(at),
                Next::Over => self.ended = true,
            }
        }
        Step::Later
    }

    /// Estimated bytes of a part.
    pub(super) fn reserve(&self) -> u64 {
        self.part_bytes
    }

    fn begin(&mut self, run: Run, drift: i64) {
        self.ledger.run();
        self.ledger.skipped(self.timer.skipped());
        let shown =
            if run.backfill_from.is_some() { run.at } else { UnixNanos(run.at.0.saturating_add(drift)) };
        let amount = self.rate(&run, shown);
        let pace = self.pace(&run, amount);
        let mut cutter = Cutter::new(run, amount, pace, self.seed, self.part_max(amount));
        cutter.until = self.until;
        (cutter.earliest, cutter.latest) = self.window(&run, shown);
        if let (Pace::Pass, Some(from)) = (pace, run.backfill_from) {
            cutter.skip_to(from, self.generator.schedule().unwrap_or_default());
        }
        self.cutter = Some(cutter);
    }

    fn rate(&mut self, run: &Run, shown: UnixNanos) -> Amount {
        let pass = self.generator.events_per_pass();
        if self.generator.schedule().is_some() {
            return Amount::Events(pass);
        }
        let random = seed::of_rate(self.seed, run.number);
        match catch_unwind(AssertUnwindSafe(|| self.rater.rate(shown, pass, random))) {
            Ok(Rated { amount }) => amount,
            Err(_) => {
                self.ledger.failure(&self.stanza, &self.name, "rater", "the rater panicked: the sample ends");
                self.ended = true;
                Amount::Events(0)
            }
        }
    }

    /// The window event times are drawn from. What is backfilled is spread over its interval.
    fn window(&self, run: &Run, shown: UnixNanos) -> (UnixNanos, UnixNanos) {
        if self.generator.schedule().is_some() {
            (shown, shown)
        } else if run.backfill_from.is_some() {
            let interval = i64::try_from(self.interval.as_nanos()).unwrap_or(i64::MAX);
            (shown, UnixNanos(shown.0.saturating_add(interval)))
        } else {
            (self.earliest.resolve(shown, &self.zone), self.latest.resolve(shown, &self.zone))
        }
    }

    fn pace(&mut self, run: &Run, amount: Amount) -> Pace {
        if self.generator.schedule().is_some() {
            return Pace::Pass;
        }
        let Some(share) = self.share else { return Pace::AtOnce };
        let events = match amount {
            Amount::Events(events) => events,
            Amount::Bytes(bytes) => bytes / self.generator.event_bytes().max(1),
        };
        if events == 0 {
            return Pace::AtOnce;
        }
        #[allow(clippy::cast_precision_loss, reason = "a duration, not a count")]
        let time = Duration::try_from_secs_f64(events as f64 / share).unwrap_or(Duration::MAX);
        self.timer.lasts(run, time);
        Pace::Even(time)
    }

    fn part_max(&self, amount: Amount) -> u64 {
        let event_bytes = self.generator.event_bytes().max(1);
        let most = (self.part_bytes / event_bytes).clamp(1, self.part_events);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, as is wanted")]
        let slice = self.share.map_or(u64::MAX, |share| (share * SLICE.as_secs_f64()) as u64).max(1);
        match amount {
            Amount::Events(_) => most.min(slice),
            Amount::Bytes(_) => self.part_bytes.min(slice.saturating_mul(event_bytes)),
        }
    }
}
