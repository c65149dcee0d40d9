//! What a run is asked to do, as types: the whole of what generators, raters, outputs and timers
//! know of conf files.
//!
//! Made by `conf` from files and command line; everything here has been checked, so nothing
//! downstream validates again. A plugin's own settings stay text and are read from
//! [`SampleConfig::settings`] by the plugin that knows them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::event::Meta;
use super::time::{Moment, Zone};

/// A place in a conf file, for messages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: Arc<PathBuf>,
    /// Line, from 1.
    pub line: u32,
    /// Column of the first character of what is meant, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// A setting as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The text after the `=`.
    pub value: String,
    /// Where; `None` for command line and built-in defaults.
    pub place: Option<Place>,
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// What concerns all samples.
    pub engine: EngineConfig,
    /// One for each (stanza, file); in the order of the conf.
    pub samples: Vec<SampleConfig>,
}

/// What concerns all samples.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Worker threads; `None`: one per CPU.
    pub workers: Option<std::num::NonZeroUsize>,
    /// Parts that may be between a timer and an output, beside the first of each sample.
    pub generator_queue_parts: usize,
    /// Makes a run repeatable; drawn at random if absent.
    pub seed: Option<u64>,
    /// Count what was made and say so at the end, for each stanza (`outputCounter`).
    pub output_counter: bool,
    /// Overall events per second over all samples; `None`: as the conf says.
    pub rate: Option<f64>,
    /// Settings of `[global]` as written.
    pub global: BTreeMap<String, Setting>,
}

/// One sample: a stanza bound to one file, or to a generator that needs none.
#[derive(Clone, Debug)]
pub struct SampleConfig {
    /// The stanza's name.
    pub stanza: Arc<str>,
    /// Where its heading stands.
    pub place: Option<Place>,
    /// What the sample is called: the file's base name, else the stanza.
    pub name: Arc<str>,
    /// The sample file, absolute; `None` for generators that read none.
    pub file: Option<PathBuf>,
    /// Where sample files are.
    pub sample_dir: PathBuf,
    /// What relative paths in replacements start from.
    pub working_dir: PathBuf,
    /// Environment variables, which paths in replacements may name.
    pub variables: Arc<BTreeMap<String, String>>,
    /// How the file is read.
    pub sample_type: SampleType,
    /// Plugin that makes the events.
    pub generator: String,
    /// Plugin that says how many.
    pub rater: String,
    /// Plugin they go to (`outputMode`).
    pub output: String,
    /// Between runs; zero: once a second.
    pub interval: Duration,
    /// Before the first run.
    pub delay: Duration,
    /// Events per run.
    pub count: Count,
    /// GiB a day; overrides count and generator.
    pub per_day_volume: Option<f64>,
    /// `randomizeCount`: the factor is uniform in 1 ± half of it.
    pub randomize_count: f64,
    /// Lines at random, with replacement.
    pub randomize_events: bool,
    /// `count` means copies of the whole file.
    pub bundle_lines: bool,
    /// Factors by time.
    pub rates: Rates,
    /// Start of the window event times are drawn from.
    pub earliest: Moment,
    /// Its end.
    pub latest: Moment,
    /// The zone `now`, snapping and formats are in.
    pub zone: Zone,
    /// Event times evenly from earliest to latest.
    pub sequential_timestamp: bool,
    /// How far back to start.
    pub backfill: Option<Moment>,
    /// When it ends by itself.
    pub end: End,
    /// Replay: gaps are multiplied by it.
    pub time_multiple: f64,
    /// Replay of CSV: the column that holds the time.
    pub time_field: String,
    /// Patterns tried on each line for a time, with their `strptime` formats; empty: not wanted.
    pub auto_timestamps: Arc<[(String, String)]>,
    /// Regular expression an event starts at; `None`: each line is an event.
    pub breaker: Option<String>,
    /// In the order they apply.
    pub tokens: Vec<TokenConfig>,
    /// Rewrites the host with a line of a file.
    pub host_token: Option<TokenConfig>,
    /// Indexes one is drawn from for each event; empty: that of `meta`.
    pub extend_indexes: Vec<Arc<str>>,
    /// Where events say they come from, unless their row says otherwise.
    pub meta: Arc<Meta>,
    /// Events per write; `None`: the output's own choice.
    pub max_queue_length: Option<std::num::NonZeroUsize>,
    /// Every setting of the stanza after inheritance, as written.
    pub settings: BTreeMap<String, Setting>,
}

/// How a sample file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleType {
    /// Lines, or pieces by a breaker.
    Raw,
    /// A table with a header and a column `_raw`.
    Csv,
}

/// Events per run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// As many as the file has.
    WholeFile,
    /// So many, wrapping around.
    Events(u64),
}

/// When a sample ends.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// Never.
    Never,
    /// After so many runs; a backfill is one.
    Runs(u64),
    /// At a time.
    At(Moment),
}

/// Factors on the count by calendar; `None`: not set. A missing key has been filled with 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates {
    /// Hour 0–23.
    pub hour_of_day: Option<[f64; 24]>,
    /// Day 0–6; 0 is Sunday.
    pub day_of_week: Option<[f64; 7]>,
    /// Minute 0–59.
    pub minute_of_hour: Option<[f64; 60]>,
    /// Day 1–31, at its number less one.
    pub day_of_month: Option<[f64; 31]>,
    /// Month 1–12, at its number less one.
    pub month_of_year: Option<[f64; 12]>,
}

/// One token: a pattern and what to put in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenConfig {
    /// The N of `token.N.…`; `None` for the host token.
    pub number: Option<u32>,
    /// Python regular expression.
    pub pattern: String,
    /// Where the pattern stands.
    pub pattern_place: Option<Place>,
    /// `replacementType`, as known kinds.
    pub kind: ReplacementKind,
    /// `replacement`, as written.
    pub replacement: String,
    /// Where the replacement stands.
    pub replacement_place: Option<Place>,
}

/// `replacementType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplacementKind {
    /// The text itself.
    Static,
    /// The event's time by a format.
    Timestamp,
    /// The replay's time by a format, or by the first of a list of formats that fits.
    ReplayTimestamp,
    /// Something drawn: `ipv4`, `integer[1:9]`, …
    Random,
    /// A number times the rates of the hour and the day.
    Rated,
    /// A random line of a file, or a column of it.
    File,
    /// A column of a file, the same row for all tokens of an event.
    MvFile,
    /// The lines of a file in order.
    SeqFile,
    /// A number that grows with each event, kept across restarts.
    IntegerId,
}
