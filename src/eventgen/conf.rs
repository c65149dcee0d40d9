//! Conf files: from text to [`RunConfig`], with everything there is to say about it.
//!
//! ```text
//!  locate ─► ini (each layer) ─► overlay ─► section: each setting and token checked on its own
//!                                               │
//!       files of sampleDir ─► claim ─► view (inheritance) ─► build ─► SampleConfig
//! ```
//!
//! - Nothing stops at the first fault: [`load`] returns all findings, and as much of a run as can be.
//! - A value that cannot be used is dropped with a warning and the stanza runs as if it had not been
//!   set; only where that would make silently wrong events (times, zones, breakers, plugins that are
//!   not there) the stanza is left out, with an error.
//! - What a stanza does depends on the conf and the names of the files beside it, never on the order
//!   in which a folder lists them.
//!
//! Not responsible for what plugins do with their own settings, nor for reading sample files.

mod autotimes;
mod build;
mod claim;
pub mod finding;
mod ini;
mod locate;
mod section;
mod settings;
mod tokens;
mod values;
mod view;

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

pub use self::finding::{Finding, Level};
use self::ini::Conf;
use self::section::Sections;
use super::config::{Count, End, EngineConfig, RunConfig};
use super::plugin::Registry;
use super::time::Zone;

/// What to load, and what the command line says differently.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// A conf file, the folder of an app, or the name of an app under `$SPLUNK_HOME/etc/apps`.
    pub target: PathBuf,
    /// What relative paths start from.
    pub working_dir: PathBuf,
    /// The environment.
    pub variables: BTreeMap<String, String>,
    /// Only this sample, by the name of its stanza or of its file.
    pub sample: Option<String>,
    /// For every sample, whatever its stanza says.
    pub overrides: Overrides,
    /// Worker threads.
    pub workers: Option<NonZeroUsize>,
    /// Parts that may wait for a worker.
    pub generator_queue_parts: Option<usize>,
    /// Makes the run repeatable.
    pub seed: Option<u64>,
    /// Count what is made, whatever the conf says.
    pub output_counter: bool,
    /// Events per second over all samples.
    pub rate: Option<f64>,
}

/// What the command line sets for every sample.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--count`; no backfill then, unless one is given too.
    pub count: Option<Count>,
    /// `--interval`.
    pub interval: Option<Duration>,
    /// `--backfill`, as written.
    pub backfill: Option<String>,
    /// `--end`, as written.
    pub end: Option<String>,
    /// `--devnull`, `--modinput`.
    pub output: Option<String>,
}

/// Parts that wait for a worker if nobody says otherwise.
pub const GENERATOR_QUEUE_PARTS: usize = 500;

/// Loads a conf with its layers. Findings come in the order of their places, those without one first.
///
/// The run is `None` if there is an error that concerns all of it; a stanza that cannot run is left out
/// and has a finding of level error.
pub fn load(request: &Request, registry: &Registry) -> (Option<RunConfig>, Vec<Finding>) {
    let mut findings = Findings::default();
    let run = load_into(request, registry, &mut findings);
    let mut list = findings.list;
    list.sort_by(|a, b| a.place.cmp(&b.place));
    (run, list)
}

/// Reads a `count` as a conf file would have it.
///
/// # Errors
/// What was expected.
pub fn parse_count(text: &str) -> Result<Count, String> {
    values::count(text)
}

/// Reads an `interval` as a conf file would have it.
///
/// # Errors
/// What was expected.
pub fn parse_interval(text: &str) -> Result<Duration, String> {
    values::seconds(text)
}

/// Reads an `end` as a conf file would have it.
///
/// # Errors
/// What was expected.
pub fn parse_end(text: &str) -> Result<End, String> {
    values::end(text, &Zone::utc())
}

/// Explains the settings with this in their names.
pub fn reference(part: &str) -> String {
    settings::reference(part)
}

fn load_into(request: &Request, registry: &Registry, findings: &mut Findings) -> Option<RunConfig> {
    let located = locate::locate(request).map_err(|finding| findings.push(finding)).ok()?;
    let mut conf = Conf::default();
    for file in &located.files {
        conf.overlay(ini::read(&request.working_dir, file, &mut findings.list));
    }
    if findings.list.iter().any(|finding| finding.level == Level::Error) {
        return None;
    }
    let custom = settings::has_more_than_ours(registry);
    let sections = Sections::check(conf, custom, findings);
    let engine = engine(request, &sections);
    let samples = claim::samples(request, registry, &sections, &located, findings);
    let stopped = findings.list.iter().any(|finding| finding.level == Level::Error);
    (!samples.is_empty() || !stopped).then_some(RunConfig { engine, samples })
}

fn engine(request: &Request, sections: &Sections) -> EngineConfig {
    let global = |name| sections.global.value(name);
    let configured = || {
        let workers = global("generatorWorkers").and_then(|workers| workers.parse().ok());
        workers.filter(|_| global("threading") == Some("process"))
    };
    EngineConfig {
        workers: request.workers.or_else(configured),
        generator_queue_parts: request.generator_queue_parts.unwrap_or(GENERATOR_QUEUE_PARTS),
        seed: request.seed.or_else(|| global("seed")?.parse().ok().map(i64::cast_unsigned)),
        output_counter: request.output_counter
            || global("outputCounter").is_some_and(|value| values::boolean(value) == Ok(true)),
        rate: request.rate,
        global: sections.global.as_written(),
    }
}

/// Findings, each once.
#[derive(Debug, Default)]
struct Findings {
    list: Vec<Finding>,
    seen: HashSet<String>,
}

impl Findings {
    fn push(&mut self, finding: Finding) {
        if self.seen.insert(finding.to_string()) {
            self.list.push(finding);
        }
    }
}

#[cfg(test)]
mod tests;
