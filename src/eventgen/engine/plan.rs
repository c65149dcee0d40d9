//! Who does what next: the samples' timers in one heap, and what is due in one round.
//!
//! Workers ask [`Plan::take`]; there is no queue of parts, a part is cut when a worker has time
//! for it. So what waits is a number in a sample's timer, however late it is.
//!
//! - Samples that are due take turns, part by part.
//! - A part that is made and not yet written counts against its sample ([`PARTS_MAX`]) and
//!   against a pool of bytes, but for the first of each sample: an output that is stuck stops its
//!   own sample only.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::slot::{Slot, Step};
use crate::clock::UnixNanos;
use crate::eventgen::plugin::Part;
use crate::eventgen::time::Clock;

/// Parts of one sample between its timer and its output.
const PARTS_MAX: usize = 8;
/// A wall clock that is off by less from where it should be is not followed: this is jitter.
const DRIFT_MIN: i64 = 1_000_000_000;

/// What a worker is to do.
#[derive(Debug)]
pub(super) enum Turn {
    /// Make this part.
    Job(Job),
    /// The sample makes nothing any more; it has made so many parts.
    Close { sample: usize, parts: u64 },
    /// There is nothing left to do.
    End,
}

/// A part to be made.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) sample: usize,
    /// Its place in the stream of its sample.
    pub(super) sequence: u64,
    pub(super) part: Part,
    /// Bytes taken from the pool for it.
    pub(super) reserved: u64,
}

/// All samples.
pub(super) struct Plan {
    state: Mutex<State>,
    changed: Condvar,
    clock: Clock,
    start: UnixNanos,
    since: Instant,
    /// By how much the clock is ahead from the beginning: what it took to get here.
    ahead: i64,
}

struct State {
    entries: Vec<Entry>,
    ready: VecDeque<usize>,
    sleeping: BinaryHeap<Reverse<(UnixNanos, usize)>>,
    /// Those the pool has no room for.
    short: VecDeque<usize>,
    pool_bytes: u64,
    /// Parts under way, and the most of them.
    parts: usize,
    parts_max: usize,
    open: usize,
    /// Until when a worker sleeps for all.
    alarm: Option<UnixNanos>,
    /// Workers that wait.
    idle: usize,
}

struct Entry {
    slot: Slot,
    place: Place,
    is_parallel: bool,
    sequence: u64,
    under_way: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ready,
    Sleeping,
    /// Its part is being made, and it makes one at a time.
    Busy,
    /// For its own parts to be written, or for the pool.
    Blocked,
    Over,
}

impl Plan {
    pub(super) fn new(
        slots: Vec<Slot>,
        clock: Clock,
        start: UnixNanos,
        pool_bytes: u64,
        parts_max: usize,
    ) -> Self {
        let entries: Vec<_> = (slots.into_iter())
            .map(|slot| Entry {
                is_parallel: slot.generator.is_parallel(),
                slot,
                place: Place::Ready,
                sequence: 0,
                under_way: 0,
            })
            .collect();
        let state = State {
            ready: (0..entries.len()).collect(),
            open: entries.len(),
            entries,
            sleeping: BinaryHeap::new(),
            short: VecDeque::new(),
            pool_bytes,
            parts: 0,
            parts_max,
            alarm: None,
            idle: 0,
        };
        let ahead = clock.now().0.saturating_sub(start.0);
        Self { state: Mutex::new(state), changed: Condvar::new(), clock, start, since: Instant::now(), ahead }
    }

    /// Waits for something to do.
    pub(super) fn take(&self) -> Turn {
        let mut state = self.state();
        loop {
            let now = self.now();
            if let Some(turn) = state.next(now, self.drift(now)) {
                if state.wants_another() {
                    self.changed.notify_one();
                }
                return turn;
            }
            if state.open == 0 {
                self.changed.notify_all();
                return Turn::End;
            }
            state = self.wait(state, now);
        }
    }

    /// A part has been made, though not yet written.
    pub(super) fn made(&self, sample: usize) {
        let mut state = self.state();
        if state.entries.get(sample).is_some_and(|entry| entry.place == Place::Busy) {
            state.ready(sample);
            self.wake(&state);
        }
    }

    /// A part has been written, or is lost.
    pub(super) fn release(&self, sample: usize, reserved: u64) {
        let mut state = self.state();
        state.release(sample, reserved);
        self.wake(&state);
    }

    /// The sample ends: nothing more can be made, or written.
    pub(super) fn end(&self, sample: usize) {
        let mut state = self.state();
        state.end(sample);
        self.wake(&state);
    }

    /// All samples end.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        for sample in 0..state.entries.len() {
            state.end(sample);
        }
        self.changed.notify_all();
    }

    /// The time by the schedule: it starts where the run started and has no steps.
    fn now(&self) -> UnixNanos {
        let since = i64::try_from(self.since.elapsed().as_nanos()).unwrap_or(i64::MAX);
        UnixNanos(self.start.0.saturating_add(since))
    }

    /// How far the wall clock is ahead, when it has been set since the start.
    fn drift(&self, now: UnixNanos) -> i64 {
        let drift = self.clock.now().0.saturating_sub(now.0).saturating_sub(self.ahead);
        if drift.abs() < DRIFT_MIN { 0 } else { drift }
    }

    fn wait<'a>(&self, mut state: MutexGuard<'a, State>, now: UnixNanos) -> MutexGuard<'a, State> {
        let head = state.sleeping.peek().map(|Reverse((at, _))| *at);
        let sooner = head.filter(|at| state.alarm.is_none_or(|alarm| *at < alarm));
        state.idle += 1;
        let mut state = match sooner {
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(at) => {
                state.alarm = Some(at);
                let time = Duration::from_nanos(u64::try_from(at.0.saturating_sub(now.0)).unwrap_or(0));
                let woken = self.changed.wait_timeout(state, time);
                let mut state = woken.unwrap_or_else(PoisonError::into_inner).0;
                if state.alarm == Some(at) {
                    state.alarm = None;
                }
                state
            }
        };
        state.idle -= 1;
        state
    }

    fn wake(&self, state: &State) {
        if state.wants_another() {
            self.changed.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What can be done now; `None`: nothing, until a timer or a release.
    fn next(&mut self, now: UnixNanos, drift: i64) -> Option<Turn> {
        while let Some(Reverse((at, sample))) = self.sleeping.peek().copied() {
            if at > now {
                break;
            }
            self.sleeping.pop();
            // One that was ended meanwhile is ready already.
            if self.entries[sample].place == Place::Sleeping {
                self.ready(sample);
            }
        }
        while let Some(sample) = self.ready.pop_front() {
            if let Some(turn) = self.turn(sample, now, drift) {
                return Some(turn);
            }
        }
        None
    }

    fn turn(&mut self, sample: usize, now: UnixNanos, drift: i64) -> Option<Turn> {
        let entry = &mut self.entries[sample];
        let reserved = if entry.under_way == 0 { 0 } else { entry.slot.reserve() };
        if !entry.slot.ended {
            if entry.under_way >= PARTS_MAX {
                entry.place = Place::Blocked;
                return None;
            }
            if reserved > self.pool_bytes || (entry.under_way > 0 && self.parts >= self.parts_max) {
                entry.place = Place::Blocked;
                self.short.push_back(sample);
                return None;
            }
        }
        match entry.slot.step(now, drift) {
            Step::Part(part) => {
                let job = Job { sample, sequence: entry.sequence, part, reserved };
                entry.sequence += 1;
                entry.under_way += 1;
                self.parts += 1;
                self.pool_bytes -= reserved;
                if entry.is_parallel {
                    self.ready.push_back(sample);
                } else {
                    entry.place = Place::Busy;
                }
                Some(Turn::Job(job))
            }
            Step::At(at) => {
                entry.place = Place::Sleeping;
                self.sleeping.push(Reverse((at, sample)));
                None
            }
            Step::Later => {
                self.ready.push_back(sample);
                None
            }
            Step::Over => {
                entry.place = Place::Over;
                self.open -= 1;
                Some(Turn::Close { sample, parts: entry.sequence })
            }
        }
    }

    fn ready(&mut self, sample: usize) {
        self.entries[sample].place = Place::Ready;
        self.ready.push_back(sample);
    }

    fn release(&mut self, sample: usize, reserved: u64) {
        self.pool_bytes += reserved;
        self.parts -= 1;
        let entry = &mut self.entries[sample];
        entry.under_way -= 1;
        if entry.place == Place::Blocked {
            self.ready(sample);
        }
        // There may be room for one of those the pool was too small for.
        while let Some(waiting) = self.short.pop_front() {
            if self.entries[waiting].place == Place::Blocked {
                self.ready(waiting);
                break;
            }
        }
    }

    fn end(&mut self, sample: usize) {
        let Some(entry) = self.entries.get_mut(sample) else { return };
        entry.slot.ended = true;
        if matches!(entry.place, Place::Sleeping | Place::Blocked) {
            self.ready(sample);
        }
    }

    /// Whether a worker that waits should be woken.
    fn wants_another(&self) -> bool {
        let sooner = || match (self.sleeping.peek(), self.alarm) {
            (Some(Reverse((head, _))), Some(alarm)) => *head < alarm,
            (Some(_), None) => true,
            (None, _) => false,
        };
        self.idle > 0 && (!self.ready.is_empty() || sooner())
    }
}

#[cfg(test)]
mod tests;
