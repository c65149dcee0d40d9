//! The way of one sample's batches to its output: put in order, then written one at a time.
//!
//! Parts may be made in any order; a lane keeps those that are early until the ones before are
//! there. How many that can be is bounded by the plan, which lets a sample have few parts under
//! way. While there is something to write, one activation of the lane writes it: on the worker
//! that brought it, on a thread that may block, or as a task, as the output's nature asks. An
//! idle lane costs nothing but its memory, so that there can be thousands.

use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;

use super::Shared;
use super::ledger::{Ledger, Loss, Volume};
use crate::eventgen::event::Batch;
use crate::eventgen::plugin::{Nature, Output, OutputError};

/// A part that was made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) batch: Batch,
    /// Bytes it has from the plan's pool.
    pub(super) reserved: u64,
}

/// One sample's way to its output.
pub(super) struct Lane {
    sample: usize,
    stanza: Arc<str>,
    name: Arc<str>,
    nature: Nature,
    ledger: Arc<Ledger>,
    state: Mutex<State>,
}

struct State {
    /// `None` while an activation has it, and at the end.
    output: Option<Box<dyn Output>>,
    /// The number of the next part in order.
    next: u64,
    early: BTreeMap<u64, Made>,
    queue: VecDeque<Made>,
    /// Events of the batch that is being written.
    writing: u64,
    /// How many parts there are in all, once that is known.
    parts: Option<u64>,
    /// The output can take no more.
    closed: bool,
    over: bool,
}

/// What an activation does next.
enum Work {
    Write(Made),
    Finish,
}

impl Lane {
    pub(super) fn new(
        sample: usize,
        stanza: Arc<str>,
        name: Arc<str>,
        ledger: Arc<Ledger>,
        output: Box<dyn Output>,
    ) -> Self {
        let nature = output.nature();
        let state = State {
            output: Some(output),
            next: 0,
            early: BTreeMap::new(),
            queue: VecDeque::new(),
            writing: 0,
            parts: None,
            closed: false,
            over: false,
        };
        Self { sample, stanza, name, nature, ledger, state: Mutex::new(state) }
    }

    /// Takes a part that was made; writes it, or has it written.
    pub(super) fn put(self: &Arc<Self>, shared: &Arc<Shared>, sequence: u64, made: Made) {
        let mut state = self.state();
        state.early.insert(sequence, made);
        loop {
            let next = state.next;
            let Some(made) = state.early.remove(&next) else { break };
            state.queue.push_back(made);
            state.next += 1;
        }
        drop(state);
        self.activate(shared);
    }

    /// There are so many parts and no more: what follows the last one is the end.
    pub(super) fn close(self: &Arc<Self>, shared: &Arc<Shared>, parts: u64) {
        self.state().parts = Some(parts);
        self.activate(shared);
    }

    /// Nobody waits any longer: counts what has not been written.
    pub(super) fn give_up(&self) {
        let mut state = self.state();
        if state.over {
            return;
        }
        state.over = true;
        let waiting = state.early.values().chain(&state.queue).map(|made| made.batch.len() as u64);
        self.ledger.lost(Loss::Stopped, waiting.sum::<u64>() + state.writing);
    }

    fn activate(self: &Arc<Self>, shared: &Arc<Shared>) {
        let mut state = self.state();
        if !state.has_work() {
            return;
        }
        let Some(output) = state.output.take() else { return };
        drop(state);
        let lane = Arc::clone(self);
        let with = Arc::clone(shared);
        match self.nature {
            Nature::Instant => shared.runtime.block_on(lane.run(output, with)),
            Nature::Waiting => drop(shared.tasks.spawn_on(lane.run(output, with), &shared.runtime)),
            Nature::Blocking => {
                let runtime = shared.runtime.clone();
                let blocking = move || runtime.block_on(lane.run(output, with));
                drop(shared.tasks.spawn_blocking_on(blocking, &shared.runtime));
            }
        }
    }

    async fn run(self: Arc<Self>, mut output: Box<dyn Output>, shared: Arc<Shared>) {
        loop {
            let work = {
                let mut state = self.state();
                match state.work() {
                    Some(work) => work,
                    None => {
                        state.output = Some(output);
                        return;
                    }
                }
            };
            match work {
                Work::Write(made) => {
                    self.write(output.as_mut(), &made.batch, &shared).await;
                    // However it ended it has been counted; giving up must not count it again.
                    self.state().writing = 0;
                    shared.recycle(made.batch);
                    shared.plan.release(self.sample, made.reserved);
                }
                Work::Finish => {
                    self.finish(output.as_mut(), &shared).await;
                    drop(output);
                    self.state().over = true;
                    shared.lane_over();
                    return;
                }
            }
        }
    }

    async fn write(&self, output: &mut dyn Output, batch: &Batch, shared: &Shared) {
        let volume = Volume { events: batch.len() as u64, bytes: batch.text_bytes() as u64 };
        if volume.events == 0 {
            return;
        }
        if self.state().closed {
            return self.ledger.lost(Loss::Closed, volume.events);
        }
        if shared.hurry.is_cancelled() {
            return self.ledger.lost(Loss::Stopped, volume.events);
        }
        let result = tokio::select! {
            biased;
            result = AssertUnwindSafe(output.write(batch)).catch_unwind() => result,
            () = shared.hurry.cancelled() => return self.ledger.lost(Loss::Stopped, volume.events),
        };
        self.ledger.written(volume);
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.failed(&error, shared),
            Err(_) => self.failed(&panicked(volume.events), shared),
        }
    }

    async fn finish(&self, output: &mut dyn Output, shared: &Shared) {
        let finished = tokio::select! {
            biased;
            result = AssertUnwindSafe(output.finish()).catch_unwind() => Some(result),
            () = shared.hurry.cancelled() => None,
        };
        match finished {
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => self.failed(&error, shared),
            Some(Err(_)) => self.failed(&panicked(0), shared),
            None => self.ledger.lost(Loss::Stopped, output.abandon()),
        }
    }

    fn failed(&self, error: &OutputError, shared: &Shared) {
        self.ledger.lost(Loss::Failed, error.lost);
        self.ledger.failure(&self.stanza, &self.name, "output", &error.message);
        if error.closed {
            self.state().closed = true;
            shared.plan.end(self.sample);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_work(&self) -> bool {
        !self.over && (!self.queue.is_empty() || self.parts == Some(self.next))
    }

    fn work(&mut self) -> Option<Work> {
        if !self.has_work() {
            return None;
        }
        Some(match self.queue.pop_front() {
            Some(made) => {
                self.writing = made.batch.len() as u64;
                Work::Write(made)
            }
            None => Work::Finish,
        })
    }
}

/// What is said of an output that is broken: it is not called again.
fn panicked(lost: u64) -> OutputError {
    OutputError { message: "the output panicked: the sample ends".to_owned(), lost, closed: true }
}
