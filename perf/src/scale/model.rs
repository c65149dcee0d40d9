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

/// Envelopes between a router and one stream.
const RING: u64 = 1_000;
/// Envelopes between the reverse log proxy and its client.
const QUEUE: u64 = 10_000;
/// Envelopes move on in batches of so many …
const BATCH: u64 = 100;
/// … or after so many ms.
const LINGER_MS: u64 = 100;
const MS: f64 = 1e-3;
/// An instance waits so long for a request to be full (FLUSH_INTERVAL).
const FLUSH_MS: u64 = 500;

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
    /// How long, in ms.
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

#[derive(Clone, Debug, Default)]
struct Stream {
    rings: Vec<u64>,
    /// When each ring was emptied last, in ms.
    moved: Vec<u64>,
    queue: u64,
    read: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reads,
    /// Its streams are open and stand still.
    Unreachable,
    Stops,
    Gone,
}

#[derive(Clone, Debug)]
struct Instance {
    state: State,
    streams: Vec<Stream>,
    /// What it holds of the two loudest apps and of all others.
    held: [u64; 3],
    /// A fraction of an envelope that it could have delivered.
    rest: f64,
    /// When it delivered last, or held nothing.
    flushed: u64,
    delivered: u64,
    second: u64,
}

/// Runs a simulation.
pub fn run(config: &Config) -> Report {
    let mut world = World::new(config);
    for now in 0..config.length_ms {
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
        let stream =
            Stream { rings: vec![0; config.routers], moved: vec![0; config.routers], queue: 0, read: 0 };
        let instance = Instance {
            state: State::Reads,
            streams: vec![stream; config.streams],
            held: [0; 3],
            rest: 0.0,
            flushed: 0,
            delivered: 0,
            second: 0,
        };
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
        let open = |instance: &Instance| matches!(instance.state, State::Reads | State::Unreachable);
        let open = self.instances.iter().enumerate().filter(|(_, instance)| open(instance));
        self.open = open.flat_map(|(n, _)| (0..self.config.streams).map(move |at| (n, at))).collect();
    }

    fn change(&mut self, change: Change, now: u64) {
        let (n, state) = match change {
            Change::Kill(n) => (n, State::Gone),
            Change::Lose(n) => (n, State::Unreachable),
            Change::Stop(n) => (n, State::Stops),
            Change::Start(n) => (n, State::Reads),
        };
        let instance = &mut self.instances[n];
        instance.state = state;
        if matches!(state, State::Gone | State::Stops) {
            for stream in &mut instance.streams {
                let under_way = stream.rings.iter().sum::<u64>() + stream.queue;
                *self.report.lost.entry(Loss::UnderWay).or_default() += under_way;
                stream.rings.fill(0);
                stream.moved.fill(now);
                stream.queue = 0;
            }
        }
        if state == State::Gone {
            *self.report.lost.entry(Loss::Held).or_default() += instance.held.iter().sum::<u64>();
            instance.held = [0; 3];
        }
        self.list();
    }

    fn step(&mut self, now: u64) {
        self.publish();
        let config = self.config;
        for instance in &mut self.instances {
            for stream in &mut instance.streams {
                stream.pass_on(now, &mut self.report.lost);
                if instance.state == State::Reads {
                    let read = stream.queue.min(whole(config.stream_rate * MS));
                    stream.queue -= read;
                    stream.read += read;
                    let loud = [
                        share(read, config.hot[0], &mut self.rng),
                        share(read, config.hot[1], &mut self.rng),
                    ];
                    let loud = [loud[0], loud[1].min(read - loud[0])];
                    for (held, more) in
                        instance.held.iter_mut().zip([loud[0], loud[1], read - loud[0] - loud[1]])
                    {
                        *held += more;
                    }
                }
            }
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
            let under_way = |stream: &Stream| stream.rings.iter().sum::<u64>() + stream.queue;
            self.report.buffered +=
                instance.held.iter().sum::<u64>() + instance.streams.iter().map(under_way).sum::<u64>();
            self.report.delivered.push(instance.delivered);
        }
        self.report
    }
}

impl Stream {
    /// From the rings to the queue, in batches.
    fn pass_on(&mut self, now: u64, lost: &mut BTreeMap<Loss, u64>) {
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
    /// When the pools are full the app that holds most of them loses; the others together hold little each.
    fn shed(&mut self, pool: u64, lost: &mut BTreeMap<Loss, u64>) {
        let mut over = self.held.iter().sum::<u64>().saturating_sub(pool);
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

    fn deliver(&mut self, now: u64, capacity: f64, request: u64) {
        if self.state == State::Unreachable || self.state == State::Gone {
            return;
        }
        let held: u64 = self.held.iter().sum();
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

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are positive and small")]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            routers: 3,
            instances: 4,
            streams: 2,
            rate: 40_000.0,
            stream_rate: 20_000.0,
            capacity: 100_000.0,
            pool: 80_000,
            request: 600,
            hot: [0.0; 2],
            changes: Vec::new(),
            length_ms: 5_000,
            seed: 1,
        }
    }

    fn check(config: &Config) -> Report {
        let report = run(config);
        let delivered: u64 = report.delivered.iter().sum();
        assert_eq!(report.offered, delivered + report.lost() + report.buffered, "{report:?}");
        assert_eq!(report, run(config), "the same seed, the same run");
        report
    }

    #[test]
    fn envelopes_are_split_evenly_and_none_is_lost() {
        let report = check(&config());
        assert_eq!((report.offered, report.lost()), (199_998, 0));
        let mean = 50_000.0;
        for delivered in &report.delivered {
            assert!((*delivered as f64 - mean).abs() / mean < 0.03, "{report:?}");
        }
    }

    #[test]
    fn what_a_killed_instance_had_is_lost_and_the_others_take_its_share() {
        let report = check(&Config { changes: vec![(2_000, Change::Kill(1))], ..config() });
        assert!(report.lost[&Loss::UnderWay] < 4_000, "a tenth of a second of its share at most");
        assert!(report.delivered[0] > report.delivered[1] * 2);
        assert!(report.lost.keys().all(|loss| matches!(loss, Loss::UnderWay | Loss::Held)), "{report:?}");
    }

    #[test]
    fn what_goes_to_an_unreachable_instance_is_lost_beyond_its_buffers() {
        let report = check(&Config { changes: vec![(0, Change::Lose(1))], ..config() });
        let (queues, share) = (2 * QUEUE, 50_000);
        assert!(report.lost[&Loss::Queue] + report.buffered + 2_000 > share, "{report:?}");
        assert!(report.buffered >= queues);
    }

    #[test]
    fn stopping_delivers_what_is_held_and_starting_reads_again() {
        let changes = vec![(1_000, Change::Stop(0)), (2_000, Change::Start(0))];
        let report = check(&Config { capacity: 12_000.0, changes, ..config() });
        assert!(!report.lost.contains_key(&Loss::Held), "{report:?}");
        assert!(report.lost() < 3_000 && report.delivered[0] > 30_000, "{report:?}");
        let all: Vec<_> = (0..4).map(|n| (1_000, Change::Stop(n))).collect();
        let report = check(&Config { changes: all, ..config() });
        assert!(report.lost[&Loss::NoReader] > 150_000);
    }

    #[test]
    fn slow_streams_lose_in_front_of_them() {
        let report = check(&Config { stream_rate: 4_000.0, length_ms: 20_000, ..config() });
        assert!(report.lost[&Loss::Queue] > 60_000 && report.delivered.iter().sum::<u64>() <= 8 * 80_000);
    }

    #[test]
    fn who_is_loudest_loses() {
        let hot = [0.4, 0.3];
        let report = check(&Config { hot, capacity: 6_000.0, pool: 1_000, ..config() });
        assert!(report.lost[&Loss::Loud] > 60_000 && !report.lost.contains_key(&Loss::Quiet), "{report:?}");
        let none = check(&Config { capacity: 6_000.0, pool: 1_000, ..config() });
        assert!(none.lost[&Loss::Quiet] > 60_000, "where nobody is loud, all lose");
        assert_eq!(none.busiest_percent, 100);
    }
}
