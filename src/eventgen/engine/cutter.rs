//! Cuts a run into parts, and says when each is due. Pure.
//!
//! Where a run is cut depends on the run alone, never on how late it is or who has time: a part
//! has its own seed, so the cuts decide what is random in it.

use std::time::Duration;

use super::seed;
use crate::clock::UnixNanos;
use crate::eventgen::plugin::{Amount, Part};
use crate::eventgen::timer::Run;

/// Events of a pass that are due within this time go together, when the last of them is due.
const GROUP: Duration = Duration::from_millis(5);

/// One run, as far as it has been cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cutter {
    pub(super) run: Run,
    pub(super) amount: Amount,
    pub(super) pace: Pace,
    /// The window of event times.
    pub(super) earliest: UnixNanos,
    pub(super) latest: UnixNanos,
    /// Of the sample.
    pub(super) seed: u64,
    /// The largest part, in events or bytes.
    pub(super) part_max: u64,
    /// Nothing is due then or later.
    pub(super) until: Option<UnixNanos>,
    first: u64,
}

/// When the parts of a run are due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// As soon as the run begins.
    AtOnce,
    /// Evenly over this time.
    Even(Duration),
    /// By the generator's schedule.
    Pass,
}

/// What a cutter says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cut {
    /// This part is due, since then.
    Part(Part, UnixNanos),
    /// Nothing before this time.
    At(UnixNanos),
    /// The run is over.
    Done,
}

impl Cutter {
    pub(super) fn new(run: Run, amount: Amount, pace: Pace, seed: u64, part_max: u64) -> Self {
        Self {
            run,
            amount,
            pace,
            earliest: run.at,
            latest: run.at,
            seed,
            part_max: part_max.max(1),
            until: None,
            first: 0,
        }
    }

    /// Leaves out the events of a pass that a backfill does not reach back to.
    pub(super) fn skip_to(&mut self, from: UnixNanos, schedule: &[Duration]) {
        let reach = from.0.saturating_sub(self.run.at.0);
        let reach = Duration::from_nanos(u64::try_from(reach).unwrap_or(0));
        self.first = schedule.partition_point(|offset| *offset < reach) as u64;
    }

    /// The next part, if it is due at `now`; `schedule` is the generator's.
    pub(super) fn next(&mut self, now: UnixNanos, schedule: &[Duration]) -> Cut {
        let (total, bytes) = match self.amount {
            Amount::Events(total) => (total, false),
            Amount::Bytes(total) => (total, true),
        };
        if self.first >= total {
            return Cut::Done;
        }
        let left = (total - self.first).min(self.part_max);
        let (size, due) = match self.pace {
            Pace::AtOnce => (left, self.run.due),
            Pace::Even(time) => (left, after(self.run.at, time.mul_f64(share(self.first, total)))),
            Pace::Pass => self.group(left, schedule),
        };
        if self.until.is_some_and(|until| due >= until) {
            return Cut::Done;
        }
        if due > now {
            return Cut::At(due);
        }
        let part = Part {
            run: self.run.number,
            first: self.first,
            total,
            amount: if bytes { Amount::Bytes(size) } else { Amount::Events(size) },
            earliest: self.earliest,
            latest: self.latest,
            seed: seed::of_part(self.seed, self.run.number, self.first),
        };
        self.first += size;
        Cut::Part(part, due)
    }

    /// The events of a pass that go together, and when.
    fn group(&self, left: u64, schedule: &[Duration]) -> (u64, UnixNanos) {
        if self.run.backfill_from.is_some() {
            return (left, self.run.due);
        }
        let rest =
            usize::try_from(self.first).ok().and_then(|first| schedule.get(first..)).unwrap_or_default();
        let Some(first) = rest.first() else { return (left, self.run.due) };
        let end = first.saturating_add(GROUP);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        let together = rest[..most].partition_point(|offset| *offset <= end).max(1);
        (together as u64, after(self.run.at, rest[together - 1]))
    }
}

/// `first / total`; both are far below 2^53 in any run that ends.
#[allow(clippy::cast_precision_loss, reason = "a part's place within a run need not be exact")]
fn share(first: u64, total: u64) -> f64 {
    first as f64 / total as f64
}

fn after(at: UnixNanos, time: Duration) -> UnixNanos {
    UnixNanos(at.0.saturating_add_unsigned(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixNanos = UnixNanos(1_000_000_000_000);

    fn run() -> Run {
        Run { number: 7, at: START, due: START, backfill_from: None }
    }

    /// (first, size, due in ms) of all parts, asked whenever they are due.
    fn cut(mut cutter: Cutter, schedule: &[Duration]) -> Vec<(u64, u64, i64)> {
        let mut now = START;
        let mut parts = Vec::new();
        loop {
            match cutter.next(now, schedule) {
                Cut::Part(part, due) => {
                    assert!(due <= now);
                    assert_eq!((part.run, part.seed), (7, seed::of_part(3, 7, part.first)));
                    let (Amount::Events(size) | Amount::Bytes(size)) = part.amount;
                    parts.push((part.first, size, (due.0 - START.0) / 1_000_000));
                }
                Cut::At(at) => {
                    assert!(at > now);
                    now = at;
                }
                Cut::Done => return parts,
            }
        }
    }

    #[test]
    fn every_event_is_in_one_part_and_on_time() {
        let ms = |list: &[u64]| list.iter().copied().map(Duration::from_millis).collect::<Vec<_>>();
        let second = Pace::Even(Duration::from_secs(1));
        #[rustfmt::skip]
        let cases = [
            (Amount::Events(0), Pace::AtOnce, 10, vec![], vec![]),
            (Amount::Events(25), Pace::AtOnce, 10, vec![], vec![(0, 10, 0), (10, 10, 0), (20, 5, 0)]),
            (Amount::Bytes(25), Pace::AtOnce, 20, vec![], vec![(0, 20, 0), (20, 5, 0)]),
            (Amount::Events(4), second, 2, vec![], vec![(0, 2, 0), (2, 2, 500)]),
            // 0, 2 and 4 ms go together when the last is due; 9 and 20 ms alone.
            (Amount::Events(5), Pace::Pass, 10, ms(&[0, 2, 4, 9, 20]), vec![(0, 3, 4), (3, 1, 9), (4, 1, 20)]),
            (Amount::Events(5), Pace::Pass, 2, ms(&[0, 0, 0, 0, 0]), vec![(0, 2, 0), (2, 2, 0), (4, 1, 0)]),
            (Amount::Events(2), Pace::Pass, 10, ms(&[1000, 3000]), vec![(0, 1, 1000), (1, 1, 3000)]),
        ];
        for (amount, pace, part_max, schedule, expected) in cases {
            let cutter = Cutter::new(run(), amount, pace, 3, part_max);
            assert_eq!(cut(cutter, &schedule), expected, "{amount:?} {pace:?}");
        }
    }

    #[test]
    fn a_pass_ends_at_the_end_of_the_sample() {
        let schedule: Vec<_> = [0, 1, 2, 3].map(Duration::from_secs).to_vec();
        let mut cutter = Cutter::new(run(), Amount::Events(4), Pace::Pass, 3, 10);
        cutter.until = Some(UnixNanos(START.0 + 2_000_000_000));
        assert_eq!(cut(cutter, &schedule), [(0, 1, 0), (1, 1, 1000)]);
    }

    #[test]
    fn a_backfilled_pass_begins_within_the_window_and_goes_at_once() {
        let schedule: Vec<_> = [0, 1, 3, 3, 5].map(Duration::from_secs).to_vec();
        let past = Run {
            at: UnixNanos(START.0 - 10_000_000_000),
            backfill_from: Some(UnixNanos(START.0 - 8_000_000_000)),
            ..run()
        };
        let mut cutter = Cutter::new(past, Amount::Events(5), Pace::Pass, 3, 10);
        cutter.skip_to(UnixNanos(START.0 - 8_000_000_000), &schedule);
        assert_eq!(cut(cutter, &schedule), [(2, 3, 0)]);
    }
}
