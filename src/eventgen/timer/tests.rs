//! Virtual time: a timer is asked whenever it said it wanted to be.

use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000_000;
const START: UnixNanos = UnixNanos(1_718_184_605 * SECOND);

fn interval(nanos: u64) -> Period {
    Period::Interval(NonZeroU64::new(nanos).unwrap())
}

fn seconds(n: u64) -> Period {
    interval(n * 1_000_000_000)
}

fn schedule(period: Period) -> Schedule {
    Schedule { start: START, period, backfill: None, runs: None, until: None }
}

/// Runs until `end`, asked in time: seconds against the start.
fn times(timer: &mut Timer, end: UnixNanos) -> Vec<f64> {
    let mut now = UnixNanos(START.0 - SECOND);
    let mut times = Vec::new();
    loop {
        match timer.poll(now) {
            Next::Run(run) => times.push((run.at.0 - START.0) as f64 / SECOND as f64),
            Next::At(at) if at >= end => return times,
            Next::At(at) => {
                assert!(at > now, "a wait that ends before it begins");
                now = at;
            }
            Next::Over => return times,
        }
    }
}

fn at(seconds: f64) -> UnixNanos {
    UnixNanos(START.0 + (seconds * SECOND as f64) as i64)
}

#[test]
fn runs_follow_the_schedule_and_end() {
    let pass = |pass: u64, gap: u64| Period::Pass {
        pass: pass * 1_000_000_000,
        gap: NonZeroU64::new(gap * 1_000_000_000).unwrap(),
    };
    let back = |seconds| Some(Duration::from_secs(seconds));
    #[rustfmt::skip]
    let cases: &[(Schedule, f64, &[f64])] = &[
        (schedule(seconds(2)), 6.0, &[0.0, 2.0, 4.0]),
        (schedule(interval(250_000_000)), 1.0, &[0.0, 0.25, 0.5, 0.75]),
        (Schedule { runs: Some(0), ..schedule(seconds(1)) }, 9.0, &[]),
        (Schedule { runs: Some(2), ..schedule(seconds(1)) }, 9.0, &[0.0, 1.0]),
        (Schedule { until: Some(at(2.0)), ..schedule(seconds(1)) }, 9.0, &[0.0, 1.0]),
        (Schedule { until: Some(at(-1.0)), ..schedule(seconds(1)) }, 9.0, &[]),
        // A window of 20 s has five runs of 5 s; they count as one.
        (Schedule { backfill: back(20), runs: Some(1), ..schedule(seconds(5)) }, 99.0, &[-20.0, -15.0, -10.0, -5.0, 0.0]),
        (Schedule { backfill: back(10), runs: Some(2), ..schedule(seconds(5)) }, 99.0, &[-10.0, -5.0, 0.0, 5.0]),
        (Schedule { backfill: back(10), runs: Some(2), ..schedule(seconds(4)) }, 99.0, &[-10.0, -6.0, -2.0, 4.0]),
        (Schedule { backfill: back(0), runs: Some(2), ..schedule(seconds(4)) }, 99.0, &[0.0, 4.0]),
        (Schedule { backfill: back(10), until: Some(at(-4.0)), ..schedule(seconds(5)) }, 99.0, &[-10.0, -5.0]),
        // A pass of 5 s and a gap of 2 s.
        (schedule(pass(5, 2)), 15.0, &[0.0, 7.0, 14.0]),
        (Schedule { backfill: back(6), runs: Some(2), ..schedule(pass(5, 2)) }, 99.0, &[-10.0, -5.0, 0.0, 7.0]),
        (Schedule { backfill: back(5), runs: Some(1), ..schedule(pass(5, 2)) }, 99.0, &[-5.0, 0.0]),
        (Schedule { backfill: back(0), runs: Some(2), ..schedule(pass(5, 2)) }, 99.0, &[0.0, 7.0]),
        (Schedule { backfill: back(3), runs: Some(1), ..schedule(pass(0, 1)) }, 99.0, &[-3.0, -2.0, -1.0, 0.0]),
    ];
    for (schedule, end, expected) in cases {
        let mut timer = Timer::new(*schedule);
        assert_eq!(times(&mut timer, at(*end)), *expected, "{schedule:?}");
        assert_eq!(timer.skipped(), 0);
    }
}

#[test]
fn runs_of_a_backfill_are_due_at_once_and_know_their_window() {
    let mut timer = Timer::new(Schedule { backfill: Some(Duration::from_secs(10)), ..schedule(seconds(5)) });
    assert_eq!(timer.poll(at(-1.0)), Next::At(START));
    for (number, time) in [-10.0, -5.0, 0.0].into_iter().enumerate() {
        let run = Run { number: number as u64, at: at(time), due: START, backfill_from: Some(at(-10.0)) };
        assert_eq!(timer.poll(START), Next::Run(run));
    }
    assert_eq!(timer.poll(START), Next::At(at(5.0)));
    let live = Run { number: 3, at: at(5.0), due: at(5.0), backfill_from: None };
    assert_eq!(timer.poll(at(5.1)), Next::Run(live));
}

#[test]
fn what_is_too_late_is_skipped_and_counted() {
    // (period s, runs, asked at, skipped, run that begins then)
    let cases = [
        (1, None, 60.0, 0, Some(0.0)),
        (1, None, 60.5, 60, Some(60.0)),
        (7, None, 70.0, 0, Some(0.0)),
        (7, None, 100.0, 14, Some(98.0)),
        (1, Some(10), 100.0, 10, None),
        (1, Some(1000), 100.5, 100, Some(100.0)),
    ];
    for (period, runs, asked, skipped, expected) in cases {
        let mut timer = Timer::new(Schedule { runs, ..schedule(seconds(period)) });
        let begun = match timer.poll(at(asked)) {
            Next::Run(run) => {
                assert_eq!(run.number, skipped);
                Some((run.at.0 - START.0) as f64 / SECOND as f64)
            }
            Next::Over => None,
            Next::At(_) => panic!("late, and it waits"),
        };
        assert_eq!((begun, timer.skipped()), (expected, skipped), "{period} {runs:?} {asked}");
    }
}

#[test]
fn a_run_may_say_how_long_it_lasts() {
    let mut timer = Timer::new(Schedule { runs: Some(3), ..schedule(seconds(60)) });
    let mut begun = Vec::new();
    for now in [0.0, 0.5, 1.0, 1.5] {
        if let Next::Run(run) = timer.poll(at(now)) {
            timer.lasts(&run, Duration::from_millis(750));
            begun.push((run.at.0 - START.0) / 1_000_000);
        }
    }
    assert_eq!(begun, [0, 750, 1500]);
}

proptest! {
    #[test]
    fn no_run_is_lost_doubled_or_early(
        period in 1u64..3_000_000_000,
        delays in prop::collection::vec(0i64..20_000_000_000, 1..200),
    ) {
        let mut timer = Timer::new(schedule(interval(period)));
        let mut now = START;
        let mut number = 0;
        for delay in delays {
            now = UnixNanos(now.0 + delay);
            // Bounded: a nanosecond's period has more runs than there is time for.
            for _ in 0..50 {
                let before = timer.skipped();
                let Next::Run(run) = timer.poll(now) else { break };
                number += timer.skipped() - before;
                prop_assert_eq!(run.number, number);
                prop_assert_eq!(run.at.0, START.0 + (number * period) as i64);
                prop_assert!(run.at <= now);
                number += 1;
            }
        }
    }
}
