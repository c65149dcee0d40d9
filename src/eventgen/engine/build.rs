//! Makes what runs out of what was asked for.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::lane::Lane;
use super::ledger::Ledger;
use super::plan::Plan;
use super::report::{Failed, SampleView};
use super::slot::Slot;
use super::{POOL_BYTES, Shared, interval, seed};
use crate::clock::UnixNanos;
use crate::eventgen::config::{Count, End, EngineConfig, RunConfig, SampleConfig};
use crate::eventgen::plugin::{Generator, MakeError, Output, Rater, Registry};
use crate::eventgen::time::Clock;
use crate::eventgen::timer::{Period, Schedule, Timer};

/// The most events of a part.
const PART_EVENTS: u64 = 1000;
/// The most bytes of a part, about; fewer when there are many samples.
const PART_BYTES: u64 = 256 * 1024;
const PART_BYTES_MIN: u64 = 16 * 1024;
/// All samples together may have so many bytes in their first parts.
const FIRST_PARTS_BYTES: u64 = 16 * 1024 * 1024;
const SECONDS_PER_DAY: f64 = 86_400.0;
const GIBIBYTE: f64 = 1_073_741_824.0;

/// What is ready to run, and what could not be made.
pub(super) struct Built {
    pub(super) shared: Shared,
    pub(super) failed: Vec<Failed>,
}

/// What is known of a sample all the time.
pub(super) struct Sample {
    pub(super) stanza: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) ledger: Arc<Ledger>,
    /// Runs until its end, if that is known.
    pub(super) runs: Option<u64>,
}

impl Sample {
    pub(super) fn view(&self) -> SampleView {
        SampleView::new(Arc::clone(&self.stanza), Arc::clone(&self.name), self.runs, Arc::clone(&self.ledger))
    }
}

/// The plugins of one sample.
struct Plugins {
    generator: Arc<dyn Generator>,
    rater: Box<dyn Rater>,
    output: Box<dyn Output>,
}

pub(super) fn build(config: RunConfig, registry: &Registry, clock: Clock) -> Built {
    let process_seed = config.engine.seed.unwrap_or_else(|| fastrand::u64(..));
    let now = clock.started();
    let mut failed = Vec::new();
    let mut ready = Vec::new();
    for sample in config.samples {
        match plugins(&sample, registry) {
            Ok(plugins) => ready.push((sample, plugins)),
            Err(message) => {
                tracing::error!(
                    stanza = &*sample.stanza,
                    sample = &*sample.name,
                    error = message,
                    "the sample cannot run"
                );
                failed.push(Failed { stanza: sample.stanza, name: sample.name, message });
            }
        }
    }
    let part_bytes = (FIRST_PARTS_BYTES / (ready.len() as u64).max(1)).clamp(PART_BYTES_MIN, PART_BYTES);
    let shares = shares(&config.engine, &ready);
    let mut slots = Vec::new();
    let mut lanes = Vec::new();
    let mut generators = Vec::new();
    let mut samples = Vec::new();
    let mut namesakes = HashMap::new();
    for (number, ((sample, plugins), share)) in ready.into_iter().zip(shares).enumerate() {
        let ledger = Arc::new(Ledger::default());
        let copies: &mut u64 =
            namesakes.entry((Arc::clone(&sample.stanza), Arc::clone(&sample.name))).or_default();
        let seed = seed::of_sample(process_seed.wrapping_add(*copies), &sample.stanza, &sample.name);
        *copies += 1;
        let (stanza, name) = (Arc::clone(&sample.stanza), Arc::clone(&sample.name));
        lanes.push(Arc::new(Lane::new(
            number,
            Arc::clone(&stanza),
            Arc::clone(&name),
            Arc::clone(&ledger),
            plugins.output,
        )));
        generators.push(Arc::clone(&plugins.generator));
        let runs = if let End::Runs(runs) = sample.end { Some(runs) } else { None };
        samples.push(Sample { stanza, name, ledger: Arc::clone(&ledger), runs });
        slots.push(slot(
            sample,
            plugins.generator,
            plugins.rater,
            Set { ledger, seed, part_bytes, share, now },
        ));
    }
    let open = AtomicUsize::new(slots.len());
    let plan = Plan::new(slots, clock, now, POOL_BYTES, config.engine.generator_queue_parts.max(1));
    let shared = Shared {
        plan,
        lanes,
        generators,
        samples,
        idle: Mutex::new(Vec::new()),
        open,
        over: Notify::new(),
        hurry: CancellationToken::new(),
        runtime: Handle::current(),
        tasks: TaskTracker::new(),
    };
    Built { shared, failed }
}

fn plugins(sample: &SampleConfig, registry: &Registry) -> Result<Plugins, MakeError> {
    let generator = registry.generators.get(&sample.generator);
    let generator =
        generator.ok_or_else(|| unknown("generator", &sample.generator, registry.generators.keys()))?;
    let rater = registry.raters.get(&sample.rater);
    let rater = rater.ok_or_else(|| unknown("rater", &sample.rater, registry.raters.keys()))?;
    let output = registry.outputs.get(&sample.output);
    let output = output.ok_or_else(|| unknown("outputMode", &sample.output, registry.outputs.keys()))?;
    Ok(Plugins { generator: generator(sample)?, rater: rater(sample)?, output: output(sample)? })
}

fn unknown<'a>(setting: &str, value: &str, known: impl Iterator<Item = &'a String>) -> MakeError {
    let known: Vec<_> = known.map(String::as_str).collect();
    format!("{setting} = {value:?} is not known: expected one of {}", known.join(", "))
}

/// What a slot is made of beside its sample.
struct Set {
    ledger: Arc<Ledger>,
    seed: u64,
    part_bytes: u64,
    share: Option<f64>,
    now: UnixNanos,
}

fn slot(sample: SampleConfig, generator: Arc<dyn Generator>, rater: Box<dyn Rater>, set: Set) -> Slot {
    let gap = interval(sample.interval);
    let start = UnixNanos(set.now.0.saturating_add(signed(sample.delay)));
    let until =
        if let End::At(moment) = &sample.end { Some(moment.resolve(set.now, &sample.zone)) } else { None };
    let backfill = sample.backfill.as_ref().map(|moment| {
        let from = moment.resolve(start, &sample.zone);
        Duration::from_nanos(u64::try_from(start.0.saturating_sub(from.0)).unwrap_or(0))
    });
    let period = match generator.schedule() {
        None => Period::Interval(gap),
        Some(schedule) => {
            let pass = schedule.last().copied().unwrap_or_default();
            Period::Pass { pass: u64::try_from(pass.as_nanos()).unwrap_or(u64::MAX), gap }
        }
    };
    let runs = if let End::Runs(runs) = sample.end { Some(runs) } else { None };
    let gathered = sample.max_queue_length.map_or(u64::MAX, |events| events.get() as u64);
    Slot {
        stanza: sample.stanza,
        name: sample.name,
        timer: Timer::new(Schedule { start, period, backfill, runs, until }),
        rater,
        generator,
        ledger: set.ledger,
        earliest: sample.earliest,
        latest: sample.latest,
        zone: sample.zone,
        interval: Duration::from_nanos(gap.get()),
        until,
        seed: set.seed,
        part_events: gathered.min(PART_EVENTS),
        part_bytes: set.part_bytes,
        share: set.share,
        cutter: None,
        ended: false,
    }
}

/// With an overall rate: what each sample has of it, as the conf would have them make events.
/// Samples that are paced by their data keep their pace.
fn shares(engine: &EngineConfig, samples: &[(SampleConfig, Plugins)]) -> Vec<Option<f64>> {
    let Some(rate) = engine.rate else { return vec![None; samples.len()] };
    let weights: Vec<_> = samples.iter().map(|(sample, plugins)| weight(sample, plugins)).collect();
    let sum: f64 = weights.iter().flatten().sum();
    weights.into_iter().map(|weight| Some(weight? / sum * rate).filter(|share| *share > 0.0)).collect()
}

/// Events per second as the conf has them.
#[allow(clippy::cast_precision_loss, reason = "a ratio of rates")]
fn weight(sample: &SampleConfig, plugins: &Plugins) -> Option<f64> {
    if plugins.generator.schedule().is_some() {
        return None;
    }
    if let Some(volume) = sample.per_day_volume {
        return Some(volume * GIBIBYTE / SECONDS_PER_DAY / plugins.generator.event_bytes().max(1) as f64);
    }
    let events = match sample.count {
        Count::WholeFile => plugins.generator.events_per_pass(),
        Count::Events(events) => events,
    };
    Some(events as f64 / Duration::from_nanos(interval(sample.interval).get()).as_secs_f64())
}

fn signed(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
