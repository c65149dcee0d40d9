//! The three kinds of plugins and where they are registered.
//!
//! A plugin is made from a [`SampleConfig`] once, before anything runs, by a constructor of the
//! [`Registry`]; a constructor's error stops that sample, with its message, and no other. Adding
//! one needs no change here: see `examples/eventgen_plugin.rs`.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use super::config::SampleConfig;
use super::event::Batch;
use crate::clock::UnixNanos;

/// What a part of a run is to be filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many events.
    Events(u64),
    /// Whole events while their texts stay within so many bytes; what is left over is the
    /// generator's to carry into the next part.
    Bytes(u64),
}

/// A piece of a run: what one call of a generator makes.
///
/// A run is cut into parts by the timer; `(run, first)` names a part for ever, and with the seed
/// of the process decides everything random in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Runs of this sample before, backfilled ones included.
    pub run: u64,
    /// Events (or bytes) of this run in parts before.
    pub first: u64,
    /// Events (or bytes) of the whole run; for replay, of the whole file.
    pub total: u64,
    /// What to make.
    pub amount: Amount,
    /// Start of the window for event times. For replay: when the pass through the file began.
    pub earliest: UnixNanos,
    /// Its end.
    pub latest: UnixNanos,
    /// Seed of this part's random generator.
    pub seed: u64,
}

/// Why a part could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct GenerateError {
    /// What went wrong, for a person.
    pub message: String,
    /// Whether later parts will fail as well: the sample ends.
    pub fatal: bool,
}

/// Makes events. One for each sample, shared by all workers.
pub trait Generator: Send + Sync {
    /// Whether parts may be made at the same time and in any order. If not, the engine calls
    /// [`Generator::generate`] for one part at a time, in order.
    fn is_parallel(&self) -> bool;

    /// How many events one pass of [`super::config::Count::WholeFile`] has.
    fn events_per_pass(&self) -> u64;

    /// What an event usually takes, in bytes: parts are cut so that they stay about the same size.
    fn event_bytes(&self) -> u64 {
        256
    }

    /// When each event of a pass is due after its start, in order, for generators that pace
    /// themselves by their data (replay); the last entry is the length of the pass.
    fn schedule(&self) -> Option<&[std::time::Duration]> {
        None
    }

    /// Appends the events of a part to `out`.
    ///
    /// # Errors
    /// Nothing, or less than asked for, could be made; what is committed in `out` counts.
    fn generate(&self, part: &Part, out: &mut Batch) -> Result<(), GenerateError>;

    /// Called once after the last part: keeps what has to survive a restart.
    ///
    /// # Errors
    /// It could not be kept.
    fn finish(&self) -> Result<(), GenerateError> {
        Ok(())
    }
}

/// What a rater says about one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rated {
    /// How much the run is to make.
    pub amount: Amount,
}

/// Says how much each run makes. One for each sample; called by its timer only.
pub trait Rater: Send {
    /// The amount of the run that begins at `at` (the run's own time, also in a backfill).
    ///
    /// `events_per_pass` is the generator's; `random` is uniform in [0, 1), drawn from the seed.
    fn rate(&mut self, at: UnixNanos, events_per_pass: u64, random: f64) -> Rated;
}

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct OutputError {
    /// What went wrong, for a person.
    pub message: String,
    /// Events of this batch, and of earlier ones that were held back, that are surely not written;
    /// counted as lost.
    pub lost: u64,
    /// Whether nothing can be written any more: the sample ends.
    pub closed: bool,
}

/// Where an output's calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// It neither waits nor blocks: called by the worker that made the batch.
    Instant,
    /// It blocks its thread (files, pipes): called on threads that may be blocked.
    Blocking,
    /// It waits asynchronously (network): a task.
    Waiting,
}

/// A future of an output.
pub type OutputFuture<'a> = Pin<Box<dyn Future<Output = Result<(), OutputError>> + Send + 'a>>;

/// Writes events. Called for one batch at a time, in the stanza's order.
pub trait Output: Send {
    /// Where its calls are to be made.
    fn nature(&self) -> Nature;

    /// Writes all of a batch; retries are its own, bounded.
    fn write<'a>(&'a mut self, batch: &'a Batch) -> OutputFuture<'a>;

    /// Writes what is held back and closes; nothing is written afterwards.
    fn finish(&mut self) -> OutputFuture<'_>;

    /// The time is up: gives up what is held back of earlier batches, and says how many events
    /// that is. A batch whose writing was cut off is counted by the caller.
    fn abandon(&mut self) -> u64 {
        0
    }
}

/// What a constructor fails with: a sentence that names setting, value and what was expected.
pub type MakeError = String;
/// Makes a generator.
pub type MakeGenerator = Arc<dyn Fn(&SampleConfig) -> Result<Arc<dyn Generator>, MakeError> + Send + Sync>;
/// Makes a rater.
pub type MakeRater = Arc<dyn Fn(&SampleConfig) -> Result<Box<dyn Rater>, MakeError> + Send + Sync>;
/// Makes an output.
pub type MakeOutput = Arc<dyn Fn(&SampleConfig) -> Result<Box<dyn Output>, MakeError> + Send + Sync>;

/// All plugins by name. The names are those of conf files, compared exactly.
#[derive(Clone, Default)]
pub struct Registry {
    /// Generators.
    pub generators: BTreeMap<String, MakeGenerator>,
    /// Raters.
    pub raters: BTreeMap<String, MakeRater>,
    /// Outputs.
    pub outputs: BTreeMap<String, MakeOutput>,
}
