//! One instance of the nozzle, its streams, and what lies between them and the routers.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::{Loss, whole};

/// Envelopes between the reverse log proxy and its client.
pub(super) const QUEUE: u64 = 10_000;
/// Envelopes move on in batches of so many …
const BATCH: u64 = 100;
/// … or after so many ms.
const LINGER_MS: u64 = 100;

/// An instance waits so long for a request to be full (FLUSH_INTERVAL).
const FLUSH_MS: u64 = 500;

/// A stream, with all that is between the routers and its reader.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) rings: Vec<u64>,
    /// When each ring was emptied last, in ms.
    moved: Vec<u64>,
    queue: u64,
}

/// What an instance does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Reads,
    /// Its streams are open and stand still.
    Unreachable,
    Stops,
    Gone,
}

/// An instance of the nozzle.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) state: State,
    pub(super) streams: Vec<Stream>,
    /// What it holds of the two loudest apps and of all others.
    held: [u64; 3],
    /// A fraction of an envelope that it could have delivered.
    rest: f64,
    /// When it delivered last, or held nothing.
    flushed: u64,
    pub(super) delivered: u64,
    /// Of that, in the present second.
    pub(super) second: u64,
}

impl Stream {
    fn new(routers: usize) -> Self {
        Self { rings: vec![0; routers], moved: vec![0; routers], queue: 0 }
    }

    pub(super) fn under_way(&self) -> u64 {
        self.rings.iter().sum::<u64>() + self.queue
    }

    /// It ends: what is under way to it is nobody's.
    fn end(&mut self, now: u64) -> u64 {
        let under_way = self.under_way();
        self.rings.fill(0);
        self.moved.fill(now);
        self.queue = 0;
        under_way
    }

    /// From the rings to the queue, in batches.
    pub(super) fn pass_on(&mut self, now: u64, lost: &mut BTreeMap<Loss, u64>) {
        for (ring, moved) in self.rings.iter_mut().zip(&mut self.moved) {
            let lingered = now - *moved >= LINGER_MS;
            let batch = if lingered { *ring } else { *ring / BATCH * BATCH };
            if batch == 0 && !lingered {
                continue;
            }
            *moved = now;
            *ring -= batch;
            let taken = batch.min(QUEUE - self.queue);
            self.queue += taken;
            if batch > taken {
                *lost.entry(Loss::Queue).or_default() += batch - taken;
            }
        }
    }
}

impl Instance {
    pub(super) fn new(streams: usize, routers: usize) -> Self {
        Self {
            state: State::Reads,
            streams: vec![Stream::new(routers); streams],
            held: [0; 3],
            rest: 0.0,
            flushed: 0,
            delivered: 0,
            second: 0,
        }
    }

    /// Whether the routers know its streams.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Reads | State::Unreachable)
    }

    pub(super) fn held(&self) -> u64 {
        self.held.iter().sum()
    }

    pub(super) fn enter(&mut self, state: State, now: u64, lost: &mut BTreeMap<Loss, u64>) {
        self.state = state;
        if matches!(state, State::Gone | State::Stops) {
            let under_way = self.streams.iter_mut().map(|stream| stream.end(now)).sum::<u64>();
            *lost.entry(Loss::UnderWay).or_default() += under_way;
        }
        if state == State::Gone {
            *lost.entry(Loss::Held).or_default() += self.held();
            self.held = [0; 3];
        }
    }

    /// Reads what its streams have, so many from each at most.
    pub(super) fn read(&mut self, most: u64, hot: [f64; 2], rng: &mut Rng) {
        if self.state != State::Reads {
            return;
        }
        for stream in &mut self.streams {
            let read = stream.queue.min(most);
            stream.queue -= read;
            let first = share(read, hot[0], rng);
            let second = share(read, hot[1], rng).min(read - first);
            for (held, more) in self.held.iter_mut().zip([first, second, read - first - second]) {
                *held += more;
            }
        }
    }

    /// When the pools are full the app that holds most of them loses; the others together hold little each.
    pub(super) fn shed(&mut self, pool: u64, lost: &mut BTreeMap<Loss, u64>) {
        let mut over = self.held().saturating_sub(pool);
        while over > 0 {
            let loudest = usize::from(self.held[1] > self.held[0]);
            let (at, place) = if self.held[loudest] > 0 { (loudest, Loss::Loud) } else { (2, Loss::Quiet) };
            // Down to the other one, or evenly.
            let level = self.held[1 - loudest.min(1)].min(self.held[at]);
            let less = (self.held[at] - level).max(over.div_ceil(2)).min(over).min(self.held[at]);
            self.held[at] -= less;
            over -= less;
            *lost.entry(place).or_default() += less;
        }
    }

    pub(super) fn deliver(&mut self, now: u64, capacity: f64, request: u64) {
        if self.state == State::Unreachable || self.state == State::Gone {
            return;
        }
        let held = self.held();
        let waits = held < request && now - self.flushed < FLUSH_MS && self.state == State::Reads;
        if held == 0 || !waits {
            self.flushed = now;
        }
        if waits {
            return;
        }
        self.rest += capacity;
        let out = whole(self.rest).min(held);
        // What it could not use now it cannot use later.
        self.rest = (self.rest - out as f64).min(capacity);
        let mut left = out;
        for at in 0..self.held.len() {
            let here = (self.held[at] * out).checked_div(held).unwrap_or(0);
            self.held[at] -= here;
            left -= here;
        }
        for held in &mut self.held {
            let here = left.min(*held);
            *held -= here;
            left -= here;
        }
        self.delivered += out;
        self.second += out;
    }
}

/// How many of `n` are of an app with this share.
fn share(n: u64, share: f64, rng: &mut Rng) -> u64 {
    (0..n).filter(|_| rng.f64() < share).count() as u64
}
