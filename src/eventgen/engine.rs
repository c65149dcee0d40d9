//! Runs samples: timers, workers, outputs; counts what becomes of every event.
//!
//! ```text
//!  plan ──────────────► workers ──────────► lanes ─────────────► outputs
//!  timers in one heap;  threads: cut parts, one per sample:      on the worker, a thread that
//!  who is due, in turn  make batches        batches in order     may block, or as a task
//!    ▲                                         │
//!    └──── released when written ◄─────────────┘
//! ```
//!
//! - `plan`: a part is cut when a worker has time for it, so nothing queues in front
//!   of the workers; what is between a worker and an output is bounded for each sample and for all.
//! - `slot`: one sample's timer, rater and the run it is in; `cutter`: a run into parts.
//! - `lane`: order, and the calls of an output.
//! - [`report`]: what became of everything.
//!
//! # What holds
//!
//! - `made = written + lost`, for each sample, at the end.
//! - Where a run is cut, and every seed, depends on conf, seed and start of the clock alone.
//! - Only the plan is shared by all samples. It is locked for moments, and nothing waits in it for
//!   a generator or an output.

use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::build::Built;
use self::lane::{Lane, Made};
use self::ledger::Volume;
use self::plan::{Job, Plan, Turn};
use self::report::Report;
use super::config::RunConfig;
use super::event::Batch;
use super::plugin::{GenerateError, Generator, Registry};
use super::progress::Progress;
use super::time::Clock;

mod build;
mod cutter;
mod lane;
mod ledger;
mod plan;
pub mod report;
mod seed;
mod slot;

pub use self::ledger::{Counts, Loss, Volume as EventVolume};

/// Bytes of batches between workers and outputs, beside the first of each sample.
const POOL_BYTES: u64 = 8 * 1024 * 1024;
/// A batch that has grown beyond this is not kept for the next part.
const RECYCLED_BYTES_MAX: usize = 1024 * 1024;
/// Batches kept for the next parts.
const RECYCLED_MAX: usize = 64;
/// After it has been told to stop, writing what is made already may take so long.
pub const STOP_MAX: Duration = Duration::from_secs(10);
/// What is left is given up; an output that blocks may not notice.
const GIVE_UP_MAX: Duration = Duration::from_secs(1);

/// What workers and lanes share.
struct Shared {
    plan: Plan,
    lanes: Vec<Arc<Lane>>,
    generators: Vec<Arc<dyn Generator>>,
    samples: Vec<build::Sample>,
    idle: Mutex<Vec<Batch>>,
    /// Lanes that are not over.
    open: AtomicUsize,
    over: Notify,
    hurry: CancellationToken,
    runtime: Handle,
    tasks: TaskTracker,
}

/// Runs all samples to their end, or until `stop`; needs a runtime of several threads around it.
///
/// A sample that cannot be made is reported and does not stop the others. After `stop` nothing new
/// is begun, and what has been made is written within [`STOP_MAX`].
pub async fn run(
    config: RunConfig,
    registry: &Registry,
    clock: Clock,
    stop: CancellationToken,
    progress: Progress,
) -> Report {
    run_within(STOP_MAX, config, registry, clock, stop, progress).await
}

/// As [`run`], with another time for what is left at a stop.
async fn run_within(
    stop_max: Duration,
    config: RunConfig,
    registry: &Registry,
    clock: Clock,
    stop: CancellationToken,
    progress: Progress,
) -> Report {
    let started = std::time::Instant::now();
    let workers = config.engine.workers.map_or_else(cpus, std::num::NonZero::get);
    let Built { shared, failed } = build::build(config, registry, clock);
    let shared = Arc::new(shared);
    let shown = progress.start(shared.view(), started);
    let threads: Vec<_> = (0..workers).map_while(|number| spawn_worker(number, &shared)).collect();
    let no_workers = threads.is_empty();
    if !no_workers {
        shared.wait(&stop, stop_max).await;
    }
    let generators = Arc::clone(&shared);
    // State files are written: a thread that may block.
    let finished = tokio::task::spawn_blocking(move || generators.finish()).await;
    if finished.is_err() {
        tracing::error!("a generator panicked at the end: its state may not be kept");
    }
    shown.stop().await;
    let mut report = Report::new(shared.view(), failed, started.elapsed());
    report.no_workers = no_workers;
    report
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Starts a worker; fewer than wanted is no reason to give up.
fn spawn_worker(number: usize, shared: &Arc<Shared>) -> Option<std::thread::JoinHandle<()>> {
    let with = Arc::clone(shared);
    let spawned = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || work(&with));
    spawned.inspect_err(|error| tracing::error!(%error, number, "a worker cannot be started")).ok()
}

fn work(shared: &Arc<Shared>) {
    loop {
        match shared.plan.take() {
            Turn::Job(job) => make(shared, &job),
            Turn::Close { sample, parts } => shared.lanes[sample].close(shared, parts),
            Turn::End => return,
        }
    }
}

/// Makes one part and hands it on, whatever became of it.
fn make(shared: &Arc<Shared>, job: &Job) {
    let mut batch = shared.batch();
    let generator = &shared.generators[job.sample];
    let made = catch_unwind(AssertUnwindSafe(|| generator.generate(&job.part, &mut batch)));
    batch.rollback();
    let sample = &shared.samples[job.sample];
    sample.ledger.made(Volume { events: batch.len() as u64, bytes: batch.text_bytes() as u64 });
    let failure = match made {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(_) => {
            Some(GenerateError { message: "the generator panicked: the sample ends".to_owned(), fatal: true })
        }
    };
    if let Some(error) = failure {
        sample.ledger.failure(&sample.stanza, &sample.name, "generator", &error.message);
        if error.fatal {
            shared.plan.end(job.sample);
        }
    }
    shared.plan.made(job.sample);
    shared.lanes[job.sample].put(shared, job.sequence, Made { batch, reserved: job.reserved });
}

impl Shared {
    /// Waits for the end of all lanes; after `stop` for so long, and then a little.
    async fn wait(&self, stop: &CancellationToken, stop_max: Duration) {
        tokio::select! {
            () = self.all_over() => return,
            () = stop.cancelled() => {}
        }
        self.plan.stop();
        if tokio::time::timeout(stop_max, self.all_over()).await.is_ok() {
            return;
        }
        tracing::warn!(
            seconds = stop_max.as_secs(),
            "outputs do not take what is left in time: it is given up"
        );
        self.hurry.cancel();
        if tokio::time::timeout(GIVE_UP_MAX, self.all_over()).await.is_err() {
            self.lanes.iter().for_each(|lane| lane.give_up());
        }
    }

    async fn all_over(&self) {
        loop {
            let notified = self.over.notified();
            if self.open.load(Ordering::Acquire) == 0 {
                return;
            }
            notified.await;
        }
    }

    fn lane_over(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.over.notify_waiters();
        }
    }

    fn finish(&self) {
        for (generator, sample) in self.generators.iter().zip(&self.samples) {
            if let Err(error) = generator.finish() {
                sample.ledger.failure(&sample.stanza, &sample.name, "generator", &error.message);
            }
        }
    }

    fn batch(&self) -> Batch {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn recycle(&self, mut batch: Batch) {
        if batch.capacity_bytes() > RECYCLED_BYTES_MAX {
            return;
        }
        batch.clear();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < RECYCLED_MAX {
            idle.push(batch);
        }
    }

    fn view(&self) -> report::View {
        report::View::new(self.samples.iter().map(build::Sample::view))
    }
}

/// Nanoseconds of a duration that is not zero; zero stands for the original's tick of a second.
fn interval(time: Duration) -> NonZeroU64 {
    const SECOND: NonZeroU64 = NonZeroU64::MIN.saturating_add(999_999_999);
    u64::try_from(time.as_nanos()).ok().and_then(NonZeroU64::new).unwrap_or(SECOND)
}

#[cfg(test)]
mod tests;
