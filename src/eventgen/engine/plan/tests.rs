//! The plan in virtual time, asked by one worker.

use std::sync::Arc;

use super::*;
use crate::eventgen::engine::ledger::Ledger;
use crate::eventgen::event::Batch;
use crate::eventgen::plugin::{Amount, GenerateError, Generator, Rated, Rater};
use crate::eventgen::time::{Moment, Zone};
use crate::eventgen::timer::{Period, Schedule, Timer};

const SECOND: i64 = 1_000_000_000;
const START: UnixNanos = UnixNanos(1_000 * SECOND);

struct Fake {
    is_parallel: bool,
    schedule: Option<Vec<Duration>>,
}

impl Generator for Fake {
    fn is_parallel(&self) -> bool {
        self.is_parallel
    }

    fn events_per_pass(&self) -> u64 {
        self.schedule.as_ref().map_or(3, |schedule| schedule.len() as u64)
    }

    fn schedule(&self) -> Option<&[Duration]> {
        self.schedule.as_deref()
    }

    fn generate(&self, _: &Part, _: &mut Batch) -> Result<(), GenerateError> {
        Ok(())
    }
}

struct Fixed(Amount);

impl Rater for Fixed {
    fn rate(&mut self, _: UnixNanos, _: u64, _: f64) -> Rated {
        Rated { amount: self.0 }
    }
}

fn slot(events: u64, runs: u64, generator: Fake) -> Slot {
    let period = Period::Interval((SECOND as u64).try_into().unwrap());
    Slot {
        stanza: "s".into(),
        name: "s".into(),
        timer: Timer::new(Schedule { start: START, period, backfill: None, runs: Some(runs), until: None }),
        rater: Box::new(Fixed(Amount::Events(events))),
        generator: Arc::new(generator),
        ledger: Arc::new(Ledger::default()),
        earliest: Moment::Now,
        latest: Moment::Now,
        zone: Zone::utc(),
        interval: Duration::from_secs(1),
        until: None,
        seed: 1,
        part_events: 10,
        part_bytes: 10_000,
        share: None,
        cutter: None,
        ended: false,
    }
}

fn parallel() -> Fake {
    Fake { is_parallel: true, schedule: None }
}

fn state(slots: Vec<Slot>, pool_bytes: u64) -> State {
    Plan::new(slots, Clock::starting_at(START), START, pool_bytes, 1000).state.into_inner().unwrap()
}

fn at(seconds: f64) -> UnixNanos {
    UnixNanos(START.0 + (seconds * SECOND as f64) as i64)
}

fn job(turn: Option<Turn>) -> Job {
    match turn {
        Some(Turn::Job(job)) => job,
        other => panic!("{other:?}"),
    }
}

#[test]
fn samples_take_turns_part_by_part() {
    let mut state = state(vec![slot(30, 1, parallel()), slot(20, 1, parallel())], 1 << 30);
    let mut turns = Vec::new();
    while let Some(turn) = state.next(START, 0) {
        turns.push(match turn {
            Turn::Job(job) => {
                state.release(job.sample, job.reserved);
                (job.sample, job.sequence)
            }
            Turn::Close { sample, parts } => (sample + 100, parts),
            Turn::End => break,
        });
    }
    assert_eq!(turns, [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (101, 2), (100, 3)]);
    assert_eq!((state.open, state.parts), (0, 0));
}

#[test]
fn a_sample_whose_output_is_stuck_stops_alone() {
    let mut state = state(vec![slot(1_000_000, 1, parallel()), slot(1_000_000, 1, parallel())], 1 << 30);
    let mut stuck = Vec::new();
    for _ in 0..200 {
        let job = job(state.next(START, 0));
        if job.sample == 0 {
            stuck.push(job);
        } else {
            state.release(job.sample, job.reserved);
        }
    }
    assert_eq!(stuck.len(), PARTS_MAX);
    // One is written: one more is made.
    state.release(0, stuck[0].reserved);
    let next: Vec<_> = (0..4).map(|_| job(state.next(START, 0)).sample).collect();
    assert_eq!(next.iter().filter(|sample| **sample == 0).count(), 1);
}

#[test]
fn the_pool_bounds_all_but_the_first_part_of_each() {
    // Room for two parts of 10,000 bytes beside the first ones.
    let mut state = state((0..3).map(|_| slot(1000, 1, parallel())).collect(), 25_000);
    let jobs: Vec<_> = std::iter::from_fn(|| state.next(START, 0)).map(|turn| job(Some(turn))).collect();
    assert_eq!(jobs.len(), 5);
    assert_eq!(jobs.iter().map(|job| job.reserved).sum::<u64>(), 20_000);
    for job in jobs {
        state.release(job.sample, job.reserved);
    }
    assert_eq!(state.pool_bytes, 25_000);
    // Nobody is left waiting for what is free again.
    let again: Vec<_> = std::iter::from_fn(|| state.next(START, 0)).collect();
    assert_eq!(again.len(), 5);
}

#[test]
fn a_generator_that_wants_order_makes_one_part_at_a_time() {
    let mut state = state(vec![slot(30, 1, Fake { is_parallel: false, schedule: None })], 1 << 30);
    assert_eq!(job(state.next(START, 0)).sequence, 0);
    assert!(state.next(START, 0).is_none());
    assert_eq!(state.entries[0].place, Place::Busy);
    // Made, though not yet written.
    state.ready(0);
    assert_eq!(job(state.next(START, 0)).part.first, 10);
}

#[test]
fn what_is_due_later_waits_in_the_heap() {
    let schedule = [0, 500, 2000].map(Duration::from_millis).to_vec();
    let mut pass = slot(3, 1, Fake { is_parallel: true, schedule: Some(schedule) });
    pass.timer = Timer::new(Schedule {
        start: START,
        period: Period::Pass { pass: 2 * SECOND as u64, gap: 1.try_into().unwrap() },
        backfill: None,
        runs: Some(1),
        until: None,
    });
    let mut state = state(vec![pass, slot(1, 2, parallel())], 1 << 30);
    let mut made = Vec::new();
    for now in [0.0, 0.4999, 0.5, 1.0, 1.9, 2.0] {
        while let Some(turn) = state.next(at(now), 0) {
            if let Turn::Job(job) = turn {
                made.push((now, job.sample, job.part.first));
            }
        }
    }
    assert_eq!(made, [(0.0, 0, 0), (0.0, 1, 0), (0.5, 0, 1), (1.0, 1, 0), (2.0, 0, 2)]);
}

#[test]
fn an_ended_sample_is_closed_wherever_it_is() {
    let mut state = state(vec![slot(1, 9, parallel()), slot(1_000_000, 1, parallel())], 1 << 30);
    while let Some(turn) = state.next(START, 0) {
        job(Some(turn));
    }
    assert_eq!((state.entries[0].place, state.entries[1].place), (Place::Sleeping, Place::Blocked));
    state.end(0);
    state.end(1);
    let closed: Vec<_> = std::iter::from_fn(|| state.next(START, 0)).collect();
    assert!(matches!(closed[..], [Turn::Close { sample: 0, parts: 1 }, Turn::Close { sample: 1, parts: 8 }]));
    // Its entry in the heap is stale, and what it still has under way comes back.
    assert!(state.next(at(9.0), 0).is_none());
    state.release(1, 0);
    assert!(state.next(at(9.0), 0).is_none());
}

#[test]
fn an_overall_rate_spreads_runs_evenly() {
    let mut one = slot(100, 2, parallel());
    one.share = Some(40.0);
    let mut state = state(vec![one], 1 << 30);
    // 2 events each 50 ms: 100 events take 2.5 s, and then the next run follows.
    let mut made = 0;
    for tick in 0..=200u32 {
        let now = at(f64::from(tick) * 0.025);
        while let Some(Turn::Job(job)) = state.next(now, 0) {
            let Amount::Events(events) = job.part.amount else { panic!() };
            assert_eq!(events, 2);
            made += events;
            state.release(job.sample, job.reserved);
        }
        let due = u64::from(tick) + 2;
        assert!(made <= due && made + 4 > due.min(200), "{made} at {tick}");
    }
    assert_eq!(made, 200);
}

#[test]
fn a_clock_that_was_set_moves_event_times_and_not_the_schedule() {
    let mut state = state(vec![slot(1, 9, parallel())], 1 << 30);
    let hour = 3600 * SECOND;
    let part = job(state.next(START, hour)).part;
    assert_eq!((part.earliest.0, part.run), (START.0 + hour, 0));
    assert!(state.next(at(0.9), hour).is_none());
    assert_eq!(job(state.next(at(1.0), hour)).part.run, 1);
}
