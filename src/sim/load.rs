//! A load for a simulated foundation: realistic envelopes on an absolute schedule.
//!
//! Envelope `i` is due at `start + i / rate`, however late its predecessors were; lateness is
//! reported, so that a load that could not keep up does not pass for one that did. Without a
//! rate it goes as fast as the readers read, and nothing is lost on this side.
//!
//! Every envelope carries a number that survives to Splunk ([`sequence_of`]), so that loss and
//! duplicates can be computed from what a HEC server received.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::envelope::Generator;
use self::schedule::{Due, due};
use super::foundation::{CloudController, Foundation};
use crate::clock::UnixNanos;

mod corpus;
mod envelope;
mod frames;
mod schedule;
mod sequence;
mod world;

pub use frames::LoadFrames;
pub use sequence::{sequence_in, sequence_of};

/// Envelopes published at once; also how many may be late without being noticed.
const CHUNK: usize = 100;
/// One envelope becomes at most so many frames for v1 readers.
const V1_FRAMES_MAX: usize = 2;

/// How a load looks.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// Envelopes per second; 0: as fast as the readers read.
    pub events_per_second: u64,
    /// How many apps there are.
    pub apps: usize,
    /// How often each sort comes.
    pub mix: Mix,
    /// The usual size of an app's log line; half to one and a half of it.
    pub payload_bytes: usize,
    /// How many of an app's log lines are JSON, in percent.
    pub json_percent: u8,
    /// The same seed makes the same apps and, but for the times, the same envelopes.
    pub seed: u64,
    /// The number of the first envelope.
    pub first_sequence: u64,
    /// When it ends by itself.
    pub limit: Limit,
}

impl Default for LoadConfig {
    fn default() -> Self {
        Self {
            events_per_second: 1000,
            apps: 20,
            mix: Mix::default(),
            payload_bytes: 256,
            json_percent: 25,
            seed: 1,
            first_sequence: 0,
            limit: Limit::Never,
        }
    }
}

/// When a load ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// It does not.
    Never,
    /// After so many envelopes.
    Events(u64),
    /// After this time.
    Time(Duration),
}

/// Weights of the sorts of envelopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Lines an app writes to its standard output.
    pub app_logs: u32,
    /// Stack traces an app writes to its standard error.
    pub error_logs: u32,
    /// The router's access log.
    pub router_logs: u32,
    /// The router's timers.
    pub timers: u32,
    /// Container metrics: one gauge of five.
    pub containers: u32,
    /// Counters of the platform.
    pub counters: u32,
    /// Gauges of the platform.
    pub gauges: u32,
    /// Notices of the platform; they have no v1 form.
    pub events: u32,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            app_logs: 55,
            error_logs: 4,
            router_logs: 13,
            timers: 13,
            containers: 8,
            counters: 3,
            gauges: 3,
            events: 1,
        }
    }
}

impl Mix {
    /// Only what has a v1 form, so that both kinds of readers get everything.
    pub fn convertible() -> Self {
        Self { events: 0, ..Self::default() }
    }

    /// Only lines of apps.
    pub fn logs() -> Self {
        Self {
            app_logs: 1,
            error_logs: 0,
            router_logs: 0,
            timers: 0,
            containers: 0,
            counters: 0,
            gauges: 0,
            events: 0,
        }
    }

    fn weights(&self) -> [(Sort, u32); 8] {
        [
            (Sort::AppLog, self.app_logs),
            (Sort::ErrorLog, self.error_logs),
            (Sort::RouterLog, self.router_logs),
            (Sort::Timer, self.timers),
            (Sort::Container, self.containers),
            (Sort::Counter, self.counters),
            (Sort::Gauge, self.gauges),
            (Sort::Event, self.events),
        ]
    }
}

/// A sort of envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    AppLog,
    ErrorLog,
    RouterLog,
    Timer,
    Container,
    Counter,
    Gauge,
    Event,
}

/// How many envelopes of each sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Lines an app writes to its standard output.
    pub app_logs: u64,
    /// Stack traces an app writes to its standard error.
    pub error_logs: u64,
    /// The router's access log.
    pub router_logs: u64,
    /// The router's timers.
    pub timers: u64,
    /// Container metrics.
    pub containers: u64,
    /// Counters.
    pub counters: u64,
    /// Gauges, of one or two metrics.
    pub gauges: u64,
    /// Notices.
    pub events: u64,
}

impl Published {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.logs() + self.timers + self.containers + self.counters + self.gauges + self.events
    }

    /// All log lines.
    pub fn logs(&self) -> u64 {
        self.app_logs + self.error_logs + self.router_logs
    }

    fn count(&mut self, sort: Sort) {
        *match sort {
            Sort::AppLog => &mut self.app_logs,
            Sort::ErrorLog => &mut self.error_logs,
            Sort::RouterLog => &mut self.router_logs,
            Sort::Timer => &mut self.timers,
            Sort::Container => &mut self.containers,
            Sort::Counter => &mut self.counters,
            Sort::Gauge => &mut self.gauges,
            Sort::Event => &mut self.events,
        } += 1;
    }
}

/// What a load did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadReport {
    /// The number of the first envelope; the others follow without a gap.
    pub first_sequence: u64,
    /// How many of each sort.
    pub published: Published,
    /// The size of all envelopes, as encoded for v2.
    pub bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// How late the latest envelope was against the schedule.
    pub lag_max: Duration,
    /// The mark that stands beside the numbers.
    pub run: String,
}

/// A load, ready to run.
#[derive(Debug)]
pub struct Load {
    config: LoadConfig,
    generator: Generator,
    /// Drawn from: one entry for each unit of weight.
    sorts: Vec<Sort>,
    rng: Rng,
}

impl Load {
    /// Makes up the apps. A mix without any weight is taken for the default one.
    pub fn new(config: LoadConfig) -> Self {
        const WEIGHT_MAX: u32 = 10_000;
        let draw = |mix: &Mix| -> Vec<Sort> {
            let weights = mix.weights().into_iter();
            weights.flat_map(|(sort, weight)| (0..weight.min(WEIGHT_MAX)).map(move |_| sort)).collect()
        };
        let mut sorts = draw(&config.mix);
        if sorts.is_empty() {
            sorts = draw(&Mix::default());
        }
        let generator = Generator::new(&config);
        // A stream of its own, so that the sizes of lines do not change which sorts come.
        let rng = Rng::with_seed(config.seed ^ 0x9E37_79B9_7F4A_7C15);
        Self { config, generator, sorts, rng }
    }

    /// Makes the apps, spaces and organizations known to a Cloud Controller.
    pub fn register(&self, capi: &CloudController) {
        self.generator.world.register(capi);
    }

    /// Registers the apps, then publishes until the limit is reached or `stop` is cancelled.
    pub async fn run(mut self, foundation: &Foundation, stop: &CancellationToken) -> LoadReport {
        self.register(foundation.capi());
        let mut report = LoadReport {
            first_sequence: self.config.first_sequence,
            published: Published::default(),
            bytes: 0,
            elapsed: Duration::ZERO,
            lag_max: Duration::ZERO,
            run: self.generator.run().to_owned(),
        };
        let start = Instant::now();
        let mut made = 0;
        while !stop.is_cancelled() {
            let now = start.elapsed();
            let n = match due(now, made, &self.config) {
                Due::Over => break,
                Due::Later(at) => {
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep_until(start + at) => continue,
                    }
                }
                Due::Now { events, lag } => {
                    report.lag_max = report.lag_max.max(lag);
                    events
                }
            };
            if self.config.events_per_second == 0 {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = foundation.room(CHUNK * V1_FRAMES_MAX) => {}
                }
            }
            self.publish(n, made, foundation, &mut report);
            made += n as u64;
            // The readers may share this thread.
            tokio::task::yield_now().await;
        }
        report.elapsed = start.elapsed();
        report
    }

    fn publish(&mut self, n: usize, made: u64, foundation: &Foundation, report: &mut LoadReport) {
        self.generator.set_time(UnixNanos::now().0);
        let mut envelopes = Vec::with_capacity(n);
        for at in 0..n as u64 {
            let sort = self.sorts[self.rng.usize(..self.sorts.len())];
            let envelope = self.generator.make(sort, self.config.first_sequence + made + at);
            report.published.count(sort);
            report.bytes += envelope.record().len() as u64;
            envelopes.push(envelope);
        }
        foundation.publish_encoded(&envelopes);
    }
}

#[cfg(test)]
mod tests;
