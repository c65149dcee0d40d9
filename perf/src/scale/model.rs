//! Routers, buffers and instances in steps of a millisecond.
//!
//! ```text
//!  router ─┬─ ring of 1,000 ──┐
//!  router ─┼─ ring of 1,000 ──┼─► queue of 10,000 ─► stream ─┐
//!    …     │  (for each stream, in the router)               ├─► instance: pools ─► HEC
//!          └─ the rings of the other streams …      stream ──┘
//! ```
//!
//! The rules are those of the platform: each router gives each envelope to one stream of the shard, at
//! random; envelopes move on when there are 100 of them or 100 ms have passed; a ring that is lapped loses a
//! thousand, a full queue loses what is new. Every envelope is counted once at the end, wherever it is.
//!
//! Not here: the network, and pauses of the routers.

use std::collections::BTreeMap;

use fastrand::Rng;

use self::instance::{Instance, State, Stream};

mod instance;

/// Envelopes between a router and one stream.
const RING: u64 = 1_000;
const MS: f64 = 1e-3;
/// After its end a simulation goes on for so long, without new envelopes.
const DRAIN_MS: u64 = 1_000;

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Config {
    /// Routers; each takes the same share.
    pub routers: usize,
    /// Instances of the nozzle.
    pub instances: usize,
    /// Streams of each.
    pub streams: usize,
    /// Envelopes a second.
    pub rate: f64,
    /// What a stream can read, in a second.
    pub stream_rate: f64,
    /// What an instance can deliver, in a second.
    pub capacity: f64,
    /// Envelopes that the pools of an instance hold.
    pub pool: u64,
    /// Events of a full request.
    pub request: u64,
    /// Shares of the two loudest apps; the others share the rest.
    pub hot: [f64; 2],
    /// What happens, and when.
    pub changes: Vec<(u64, Change)>,
    /// How long envelopes come, in ms.
    pub length_ms: u64,
    /// The same seed, the same run.
    pub seed: u64,
}

/// What happens to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is killed: its connections break at once.
    Kill(usize),
    /// It can no longer be reached; its streams stay open.
    Lose(usize),
    /// It is told to end: it stops reading and delivers what it holds.
    Stop(usize),
    /// It reads again.
    Start(usize),
}

/// Where envelopes were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// Nobody read at all.
    NoReader,
    /// A router's ring was lapped.
    Ring,
    /// The queue in front of the client was full.
    Queue,
    /// On the way to a stream that ended.
    UnderWay,
    /// In an instance that was killed.
    Held,
    /// Its pools were full: one of the two loudest apps.
    Loud,
    /// Likewise: another app.
    Quiet,
}

/// What became of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Envelopes that the routers had.
    pub offered: u64,
    /// Envelopes delivered to HEC, by instance.
    pub delivered: Vec<u64>,
    /// Envelopes lost, by place.
    pub lost: BTreeMap<Loss, u64>,
    /// Envelopes that are still somewhere.
    pub buffered: u64,
    /// The most that an instance delivered in any second, in percent of what it can.
    pub busiest_percent: u64,
}

impl Report {
    /// All that was lost.
    pub fn lost(&self) -> u64 {
        self.lost.values().sum()
    }
}

/// Runs a simulation; what is under way at its end has a little time to arrive.
pub fn run(config: &Config) -> Report {
    let mut world = World::new(config);
    for now in 0..config.length_ms + DRAIN_MS {
        for (_, change) in config.changes.iter().filter(|(at, _)| *at == now) {
            world.change(*change, now);
        }
        world.step(now);
    }
    world.report()
}

struct World<'a> {
    config: &'a Config,
    rng: Rng,
    instances: Vec<Instance>,
    /// Streams that the routers know: instance and number.
    open: Vec<(usize, usize)>,
    /// Fractions of envelopes that are due, by router.
    due: Vec<f64>,
    report: Report,
}

impl<'a> World<'a> {
    fn new(config: &'a Config) -> Self {
        let instance = Instance::new(config.streams, config.routers);
        let mut world = Self {
            config,
            rng: Rng::with_seed(config.seed),
            instances: vec![instance; config.instances],
            open: Vec::new(),
            due: vec![0.0; config.routers],
            report: Report::default(),
        };
        world.list();
        world
    }

    fn list(&mut self) {
        let open = self.instances.iter().enumerate().filter(|(_, instance)| instance.is_open());
        self.open = open.flat_map(|(n, _)| (0..self.config.streams).map(move |at| (n, at))).collect();
    }

    fn change(&mut self, change: Change, now: u64) {
        let (n, state) = match change {
            Change::Kill(n) => (n, State::Gone),
            Change::Lose(n) => (n, State::Unreachable),
            Change::Stop(n) => (n, State::Stops),
            Change::Start(n) => (n, State::Reads),
        };
        self.instances[n].enter(state, now, &mut self.report.lost);
        self.list();
    }

    fn step(&mut self, now: u64) {
        let config = self.config;
        if now < config.length_ms {
            self.publish();
        }
        for instance in &mut self.instances {
            for stream in &mut instance.streams {
                stream.pass_on(now, &mut self.report.lost);
            }
            instance.read(whole(config.stream_rate * MS), config.hot, &mut self.rng);
            instance.shed(config.pool, &mut self.report.lost);
            instance.deliver(now, config.capacity * MS, config.request);
            if (now + 1).is_multiple_of(1000) {
                let percent = instance.second as f64 / config.capacity * 100.0;
                self.report.busiest_percent = self.report.busiest_percent.max(whole(percent));
                instance.second = 0;
            }
        }
    }

    /// Each router gives what it has to streams at random.
    fn publish(&mut self) {
        for router in 0..self.config.routers {
            self.due[router] += self.config.rate / self.config.routers as f64 * MS;
            let envelopes = whole(self.due[router]);
            self.due[router] -= envelopes as f64;
            self.report.offered += envelopes;
            if self.open.is_empty() {
                *self.report.lost.entry(Loss::NoReader).or_default() += envelopes;
                continue;
            }
            for _ in 0..envelopes {
                let (instance, stream) = self.open[self.rng.usize(..self.open.len())];
                let ring = &mut self.instances[instance].streams[stream].rings[router];
                *ring += 1;
                if *ring > RING {
                    *ring -= RING;
                    *self.report.lost.entry(Loss::Ring).or_default() += RING;
                }
            }
        }
    }

    fn report(mut self) -> Report {
        for instance in &self.instances {
            let under_way = instance.streams.iter().map(Stream::under_way).sum::<u64>();
            self.report.buffered += instance.held() + under_way;
            self.report.delivered.push(instance.delivered);
        }
        self.report
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are positive and small")]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests;
