//! What became of a sample's events, counted where it happens and read by progress and report.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A sample that fails again and again says so at most this often.
const LOG_PERIOD: Duration = Duration::from_secs(10);

/// Events and the bytes of their texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Events.
    pub events: u64,
    /// Bytes of their texts.
    pub bytes: u64,
}

impl std::ops::AddAssign for Volume {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.bytes += other.bytes;
    }
}

/// Why an event that was made was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// The output could not write it; its message says why.
    Failed,
    /// The output had ended for good before.
    Closed,
    /// It was still on its way when the time to stop was over.
    Stopped,
}

impl Loss {
    /// As the report calls it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Closed => "output closed",
            Self::Stopped => "stopped",
        }
    }
}

/// Counts of one sample.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    made_events: AtomicU64,
    made_bytes: AtomicU64,
    written_events: AtomicU64,
    written_bytes: AtomicU64,
    runs: AtomicU64,
    skipped: AtomicU64,
    lag_nanos: AtomicU64,
    lag_max_nanos: AtomicU64,
    rare: Mutex<Rare>,
}

/// What is rare, or ought to be.
#[derive(Debug, Default)]
struct Rare {
    lost: BTreeMap<Loss, u64>,
    failures: u64,
    first_failure: Option<String>,
    logged: Option<Instant>,
    unlogged: u64,
}

/// The counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Made by the generator.
    pub made: Volume,
    /// Taken by the output.
    pub written: Volume,
    /// Made and not written.
    pub lost: BTreeMap<Loss, u64>,
    /// Runs begun, backfilled ones included.
    pub runs: u64,
    /// Runs left out because they were too late.
    pub skipped: u64,
    /// By how much the last part was late.
    pub lag: Duration,
    /// By how much the latest one was.
    pub lag_max: Duration,
    /// How often generator or output failed.
    pub failures: u64,
    /// What the first failure said.
    pub first_failure: Option<String>,
}

impl Counts {
    /// Events lost, for whatever reason.
    pub fn lost_events(&self) -> u64 {
        self.lost.values().sum()
    }
}

impl Ledger {
    pub(super) fn run(&self) {
        self.runs.fetch_add(1, Relaxed);
    }

    pub(super) fn skipped(&self, runs: u64) {
        self.skipped.store(runs, Relaxed);
    }

    pub(super) fn lag(&self, nanos: u64) {
        self.lag_nanos.store(nanos, Relaxed);
        self.lag_max_nanos.fetch_max(nanos, Relaxed);
    }

    pub(super) fn made(&self, volume: Volume) {
        self.made_events.fetch_add(volume.events, Relaxed);
        self.made_bytes.fetch_add(volume.bytes, Relaxed);
    }

    pub(super) fn written(&self, volume: Volume) {
        self.written_events.fetch_add(volume.events, Relaxed);
        self.written_bytes.fetch_add(volume.bytes, Relaxed);
    }

    /// Events that are lost although [`Ledger::written`] may have counted them before.
    pub(super) fn lost(&self, why: Loss, events: u64) {
        if events > 0 {
            *self.rare().lost.entry(why).or_default() += events;
        }
    }

    /// Generator or output failed: counted, and logged unless it has just been.
    pub(super) fn failure(&self, stanza: &str, sample: &str, what: &'static str, message: &str) {
        let mut rare = self.rare();
        rare.failures += 1;
        if rare.first_failure.is_none() {
            rare.first_failure = Some(message.to_owned());
        }
        if rare.logged.is_some_and(|at| at.elapsed() < LOG_PERIOD) {
            rare.unlogged += 1;
            return;
        }
        rare.logged = Some(Instant::now());
        let again = std::mem::take(&mut rare.unlogged);
        drop(rare);
        let again = (again > 0).then_some(again);
        tracing::error!(stanza, sample, what, error = message, unlogged_before = again, "failed");
    }

    pub(super) fn counts(&self) -> Counts {
        let rare = self.rare();
        let lost: u64 = rare.lost.values().sum();
        let taken = self.written_events.load(Relaxed);
        let made = Volume { events: self.made_events.load(Relaxed), bytes: self.made_bytes.load(Relaxed) };
        Counts {
            made,
            // An output that gathers learns of a loss after it has taken the events.
            written: Volume {
                events: taken.min(made.events.saturating_sub(lost)),
                bytes: self.written_bytes.load(Relaxed),
            },
            lost: rare.lost.clone(),
            runs: self.runs.load(Relaxed),
            skipped: self.skipped.load(Relaxed),
            lag: Duration::from_nanos(self.lag_nanos.load(Relaxed)),
            lag_max: Duration::from_nanos(self.lag_max_nanos.load(Relaxed)),
            failures: rare.failures,
            first_failure: rare.first_failure.clone(),
        }
    }

    fn rare(&self) -> std::sync::MutexGuard<'_, Rare> {
        self.rare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
