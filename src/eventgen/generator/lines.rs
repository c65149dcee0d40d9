//! The lines of a sample file, ready to be written: what `default` and `replay` have in common.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Shared;
use super::origin::Origins;
use crate::eventgen::config::SampleConfig;
use crate::eventgen::event::Batch;
use crate::eventgen::plugin::GenerateError;
use crate::eventgen::sample::Sample;
use crate::eventgen::token::compile::Compiled;
use crate::eventgen::token::{EventFacts, HostToken, Problem, Scratch, Settings, Tokens, timestamps};

/// How often counts are kept while they go on.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// What a value of a slot takes, about, in bytes.
const SLOT_BYTES: u64 = 16;

/// The compiled lines of a sample.
pub(super) struct Lines {
    compiled: Compiled,
    /// The base of each line's origin; empty if there is only one.
    bases: Box<[u32]>,
    origins: Origins,
    counts: Mutex<Counts>,
}

/// Where the counters of tokens are.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) next: Vec<i64>,
    saved: Vec<i64>,
    saved_at: Instant,
    /// Whether it was said that they cannot be kept.
    complained: bool,
}

/// What a sample file is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Its lines.
    Events,
    /// Its lines at the times they carry.
    Replay,
}

/// A sample and its tokens before they are compiled.
pub(super) struct Opened {
    pub(super) sample: Sample,
    pub(super) tokens: Tokens,
    hosts: Option<HostToken>,
}

impl Opened {
    /// Reads the sample and its tokens.
    pub(super) fn read(
        config: &SampleConfig,
        wanted: Wanted,
        shared: &Shared,
        problems: &mut Vec<Problem>,
    ) -> Result<Self, String> {
        let time_field = (wanted == Wanted::Replay).then_some(config.time_field.as_str());
        let sample = Sample::read(config, time_field, problems)?;
        let mut tokens = config.tokens.clone();
        for found in timestamps(sample.texts(), &config.auto_timestamps, &config.zone) {
            if !tokens.iter().any(|token| token.pattern == found.pattern) {
                tokens.push(found);
            }
        }
        let settings = Settings { sample: config, tokens: &tokens, files: &shared.files };
        let tokens = Tokens::new(&settings, problems);
        let hosts = config
            .host_token
            .as_ref()
            .and_then(|host| HostToken::new(&settings, host).map_err(|problem| problems.push(problem)).ok());
        Ok(Self { sample, tokens, hosts })
    }
}

impl Lines {
    /// Compiles what was read.
    pub(super) fn new(
        opened: Opened,
        config: &SampleConfig,
        shared: &Shared,
        problems: &mut Vec<Problem>,
    ) -> Result<Self, String> {
        let Opened { sample, tokens, hosts } = opened;
        for file in tokens.count_files() {
            shared.claim(file, config, problems);
        }
        let next = tokens.load_counts(problems);
        let counts = Counts { saved: next.clone(), next, saved_at: Instant::now(), complained: false };
        let bases: Box<[u32]> = match sample.metas() {
            [_] => Box::default(),
            _ => sample.meta_numbers().collect(),
        };
        Ok(Self {
            compiled: Compiled::new(tokens, sample.texts())?,
            bases,
            origins: Origins::new(sample.metas().to_vec(), &config.extend_indexes, hosts),
            counts: Mutex::new(counts),
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.compiled.len()
    }

    /// What an event takes, about, in bytes.
    pub(super) fn event_bytes(&self) -> u64 {
        let all = self.compiled.literal_bytes() as u64 + SLOT_BYTES * self.compiled.slots() as u64;
        all / (self.len() as u64).max(1)
    }

    /// Whether tokens count from event to event, so that events have to be made in order.
    pub(super) fn count(&self) -> bool {
        self.compiled.tokens().count()
    }

    /// Whether event times are seen with parts of seconds.
    pub(super) fn show_fractions(&self) -> bool {
        self.compiled.tokens().show_fractions()
    }

    /// The counters, for as long as a part is made.
    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends the text of an event.
    #[inline]
    pub(super) fn write(
        &self,
        line: usize,
        facts: &EventFacts,
        counts: &mut [i64],
        scratch: &mut Scratch,
        out: &mut Batch,
    ) {
        self.compiled.write(line, facts, counts, scratch, out.buffer());
    }

    /// Makes an event of the text that was appended.
    #[inline]
    pub(super) fn commit(&self, line: usize, facts: &EventFacts, out: &mut Batch) {
        let base = self.bases.get(line).map_or(0, |base| *base as usize);
        let meta = self.origins.number(base, facts.draws, out);
        out.commit(facts.time, meta);
    }

    /// Keeps the counts if it is time to.
    pub(super) fn save_now_and_then(&self, counts: &mut Counts) {
        if counts.next != counts.saved && counts.saved_at.elapsed() >= SAVE_EVERY {
            let saved = self.save(counts);
            if let Err(message) = saved
                && !std::mem::replace(&mut counts.complained, true)
            {
                tracing::warn!("{message}");
            }
        }
    }

    /// Keeps the counts.
    pub(super) fn finish(&self) -> Result<(), GenerateError> {
        let counts = &mut *self.counts();
        if counts.next == counts.saved {
            return Ok(());
        }
        self.save(counts).map_err(|message| GenerateError { message, fatal: false })
    }

    fn save(&self, counts: &mut Counts) -> Result<(), String> {
        counts.saved_at = Instant::now();
        self.compiled.tokens().save_counts(&counts.next)?;
        counts.saved.clone_from(&counts.next);
        Ok(())
    }
}
