//! What is to be measured: the matrix that the flags span, or the tables of docs/sizing.md.

use std::fmt;
use std::num::NonZero;
use std::str::FromStr;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde::{Deserialize, Serialize};

use crate::lines::{Form, Lines};
use crate::load::RUNS_PER_SECOND;

/// Streams of the nozzle (LOGGREGATOR_STREAMS), its default.
pub const STREAMS: NonZero<usize> = NonZero::<usize>::MIN.saturating_add(1);
/// Apps that write, unless something else is asked for.
const APPS: u64 = 200;

/// Where the nozzle reads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The reverse log proxy over gRPC; always TLS.
    Grpc,
    /// Its gateway.
    Gateway,
    /// The v1 websocket.
    Firehose,
}

impl Source {
    const ALL: [Self; 3] = [Self::Firehose, Self::Grpc, Self::Gateway];

    /// As LOGGREGATOR_SOURCE has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Gateway => "gateway",
            Self::Firehose => "firehose",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|source| source.name() == text);
        found.ok_or_else(|| format!("{text:?}: expected firehose, grpc or gateway"))
    }
}

/// How many events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rate {
    /// As many as go through.
    Max,
    /// So many a second, by the clock.
    Fixed(u64),
    /// The most without loss is searched for, and then exceeded.
    Search,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u64>().ok().filter(|rate| *rate >= RUNS_PER_SECOND);
        match text {
            "max" => Ok(Self::Max),
            "search" => Ok(Self::Search),
            text => number(text).map(|rate| Self::Fixed(rate - rate % RUNS_PER_SECOND)).ok_or_else(|| {
                format!("{text:?}: expected max, search, or events per second from {RUNS_PER_SECOND}")
            }),
        }
    }
}

/// What one row is measured with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// Where the nozzle reads from.
    pub source: Source,
    /// TLS on both sides, where there can be none.
    pub tls: bool,
    /// Requests are compressed.
    pub gzip: bool,
    /// Names of apps, spaces and orgs are added.
    pub names: bool,
    /// Indexers acknowledge, and nothing counts before (HEC_ACK=required).
    #[serde(default)]
    pub acks: bool,
    /// The disk spool is on (SPOOL_DIR), and not needed.
    #[serde(default)]
    pub spool: bool,
    /// HEC_WORKERS, if it is set.
    pub workers: Option<u64>,
    /// HEC_BATCH_BYTES, if it is set.
    pub batch_bytes: Option<u64>,
    /// The log lines.
    pub lines: Lines,
    /// How many apps write them.
    pub apps: usize,
    /// How many events come.
    pub rate: Rate,
    /// All apps are listed again that often, and measuring begins within such a listing.
    pub list_seconds: Option<u64>,
}

impl Scenario {
    /// The case that all comparisons start from.
    pub const BASE: Self = Self {
        source: Source::Firehose,
        tls: false,
        gzip: false,
        names: true,
        acks: false,
        spool: false,
        workers: None,
        batch_bytes: None,
        lines: Lines { form: Form::Text, bytes: 256 },
        apps: 200,
        rate: Rate::Max,
        list_seconds: None,
    };

    /// `no`, `TLS` or `TLS + gzip`, as the tables have it.
    pub fn wire(&self) -> String {
        let parts = [(self.tls, "TLS"), (self.gzip, "gzip")];
        let parts: Vec<_> = parts.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        if parts.is_empty() { "plain".to_owned() } else { parts.join(" + ") }
    }
}

/// One table.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its mark in docs/sizing.md.
    pub name: &'static str,
    /// Its rows.
    pub scenarios: Vec<Scenario>,
}

/// The flags of `perf/run`.
pub fn command() -> Command {
    let list = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_delimiter(',').action(ArgAction::Append).help(help)
    };
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    let number = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_parser(value_parser!(u64).range(1..)).help(help)
    };
    let yes_no = |name: &'static str, help: &'static str| list(name, help).value_parser(["yes", "no"]);
    Command::new("perf")
        .about("Measures the nozzle between a simulated foundation and a simulated Splunk, each a process of its own")
        .after_help(
            "Flags that take a list span a matrix: --source grpc,gateway --tls yes,no makes four rows.\n\
             Results go to OUT.jsonl, OUT.md and OUT.svg; see docs/sizing.md.",
        )
        .arg(list("source", "firehose, grpc, gateway [default: all]").value_parser(value_parser!(Source)))
        .arg(list("lines", "log lines: text-BYTES, json-BYTES [default: text-256,json-256]").value_parser(value_parser!(Lines)))
        .arg(yes_no("tls", "TLS on both sides, where there can be none [default: yes]"))
        .arg(yes_no("gzip", "compressed requests [default: no]"))
        .arg(yes_no("names", "names of apps, spaces and orgs [default: yes]"))
        .arg(yes_no("acks", "HEC_ACK=required, and indexers that acknowledge after a second [default: no]"))
        .arg(yes_no("spool", "SPOOL_DIR in a temporary folder, while Splunk takes everything [default: no]"))
        .arg(list("workers", "HEC_WORKERS [default: the nozzle's own]").value_parser(value_parser!(u64).range(1..)))
        .arg(list("batch-bytes", "HEC_BATCH_BYTES [default: the nozzle's own]").value_parser(value_parser!(u64).range(1..)))
        .arg(list("rate", "max, search, or events per second [default: max]").value_parser(value_parser!(Rate)))
        .arg(number("apps", "how many apps write [default: 200]"))
        .arg(flag("listing", "measure while all apps are listed again"))
        .arg(flag("search", "as --rate search: the most without loss, and 1.5 times that"))
        .arg(flag("full", "every flag that is not given takes all its values, but --acks and --spool: more than a thousand rows"))
        .arg(flag("docs", "measure the tables of docs/sizing.md and write them there"))
        .arg(number("seconds", "how long each measurement takes [default: 5]"))
        .arg(number("repeat", "how often: the median counts, the spread is shown [default: 1]"))
        .arg(flag("no-ceilings", "do not measure what load and HEC server can do alone"))
        .arg(Arg::new("out").long("out").value_name("OUT").help("where results go [default: target/sizing/run]"))
        .arg(Arg::new("nozzle").long("nozzle").help("the binary to measure [default: beside this one]"))
}

/// The matrix of the flags.
///
/// # Errors
/// A number that is too large for this machine.
pub fn matrix(matches: &ArgMatches) -> anyhow::Result<Section> {
    let full = matches.get_flag("full");
    let given = |name: &str| -> Option<Vec<bool>> {
        Some(matches.get_many::<String>(name)?.map(|value| value == "yes").collect())
    };
    let chosen = |name: &str| given(name).unwrap_or(vec![false]);
    let yes = |name: &str, usual: bool| {
        given(name).unwrap_or_else(|| if full { vec![false, true] } else { vec![usual] })
    };
    let numbers = |name: &str, all: &[u64]| -> Vec<Option<u64>> {
        match matches.get_many::<u64>(name) {
            Some(values) => values.map(|value| Some(*value)).collect(),
            None if full => all.iter().copied().map(Some).collect(),
            None => vec![None],
        }
    };
    let sources = values(matches, "source").unwrap_or(Source::ALL.to_vec());
    let sizes: &[usize] = if full { &[256, 1024] } else { &[256] };
    let usual =
        sizes.iter().flat_map(|bytes| [Form::Text, Form::Json].map(|form| Lines { form, bytes: *bytes }));
    let lines = values(matches, "lines").unwrap_or(usual.collect());
    let searched = if matches.get_flag("search") { Rate::Search } else { Rate::Max };
    let rates = values(matches, "rate").unwrap_or(vec![searched]);
    let apps = matches.get_one::<u64>("apps").copied().unwrap_or(APPS);
    let apps = usize::try_from(apps).context("--apps")?;
    let list_seconds = matches.get_flag("listing").then_some(LIST_SECONDS);
    let base = Scenario { apps, list_seconds, ..Scenario::BASE };
    let mut scenarios = vec![base];
    scenarios = each(scenarios, &lines, |scenario, lines| Scenario { lines, ..scenario });
    scenarios = each(scenarios, &sources, |scenario, source| Scenario { source, ..scenario });
    scenarios = each(scenarios, &yes("tls", true), |scenario, tls| Scenario { tls, ..scenario });
    scenarios = each(scenarios, &yes("gzip", false), |scenario, gzip| Scenario { gzip, ..scenario });
    scenarios = each(scenarios, &yes("names", true), |scenario, names| Scenario { names, ..scenario });
    // Not part of --full: they would make four times as many rows of it.
    scenarios = each(scenarios, &chosen("acks"), |scenario, acks| Scenario { acks, ..scenario });
    scenarios = each(scenarios, &chosen("spool"), |scenario, spool| Scenario { spool, ..scenario });
    let workers = numbers("workers", &[1, 2, 4, 8]);
    scenarios = each(scenarios, &workers, |scenario, workers| Scenario { workers, ..scenario });
    let batches = numbers("batch-bytes", &[65_536, 524_288, 1_000_000]);
    scenarios = each(scenarios, &batches, |scenario, batch_bytes| Scenario { batch_bytes, ..scenario });
    scenarios = each(scenarios, &rates, |scenario, rate| Scenario { rate, ..scenario });
    Ok(Section { name: "run", scenarios })
}

/// Apps are listed again at once, all the time.
const LIST_SECONDS: u64 = 1;

fn values<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> Option<Vec<T>> {
    matches.get_many::<T>(name).map(|values| values.cloned().collect())
}

/// Each scenario with each value.
fn each<T: Copy>(
    scenarios: Vec<Scenario>,
    values: &[T],
    with: impl Fn(Scenario, T) -> Scenario,
) -> Vec<Scenario> {
    scenarios.iter().flat_map(|scenario| values.iter().map(|value| with(*scenario, *value))).collect()
}

/// The tables of docs/sizing.md.
pub fn docs() -> Vec<Section> {
    let base = Scenario::BASE;
    let forms = [Form::Json, Form::Text];
    let lines: Vec<Lines> =
        forms.into_iter().flat_map(|form| [256, 1024].map(|bytes| Lines { form, bytes })).collect();
    let published = each(vec![base], &lines, |base, lines| Scenario { lines, rate: Rate::Search, ..base });
    let wires = [(false, false), (true, false), (true, true)];
    let cost = each(vec![base], &Source::ALL, |base, source| Scenario { source, ..base });
    let cost = each(cost, &wires, |base, (tls, gzip)| Scenario { tls, gzip, ..base });
    let secure = Scenario { tls: true, ..base };
    let others = [lines[0], lines[1], lines[3]];
    let messages = each(vec![secure], &Source::ALL, |base, source| Scenario { source, ..base });
    let messages = each(messages, &others, |base, lines| Scenario { lines, ..base });
    let grpc = Scenario { source: Source::Grpc, ..secure };
    let mut settings = each(vec![grpc], &[1, 2, 4].map(Some), |base, workers| Scenario { workers, ..base });
    let batches = [65_536, 1_000_000].map(Some);
    settings.extend(each(vec![grpc], &batches, |base, batch_bytes| Scenario { batch_bytes, ..base }));
    settings.push(Scenario { names: false, ..grpc });
    let rates = [1_000, 10_000, 50_000].map(Rate::Fixed);
    let paced = each(vec![grpc], &rates, |base, rate| Scenario { rate, ..base });
    let many = Scenario { apps: 50_000, ..grpc };
    let apps = vec![many, Scenario { list_seconds: Some(LIST_SECONDS), ..many }];
    vec![
        Section { name: "published", scenarios: published },
        Section { name: "cost", scenarios: cost },
        Section { name: "messages", scenarios: messages },
        Section { name: "settings", scenarios: settings },
        Section { name: "paced", scenarios: paced },
        Section { name: "apps", scenarios: apps },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(arguments: &[&str]) -> Vec<Scenario> {
        let matches = command().try_get_matches_from([&["perf"], arguments].concat()).unwrap();
        matrix(&matches).unwrap().scenarios
    }

    #[test]
    fn lists_span_a_matrix() {
        assert_eq!(rows(&[]).len(), 6);
        let few =
            rows(&["--source", "grpc,gateway", "--tls", "yes,no", "--lines", "text-1024", "--rate", "12345"]);
        assert_eq!(few.len(), 4);
        assert!(few.iter().all(|row| row.rate == Rate::Fixed(12_300) && row.lines.bytes == 1024));
        assert_eq!(rows(&["--full"]).len(), 3 * 4 * 2 * 2 * 2 * 4 * 3);
        assert_eq!(rows(&["--full", "--source", "grpc", "--workers", "2"]).len(), 4 * 2 * 2 * 2 * 3);
        assert_eq!(rows(&["--search", "--apps", "50000"])[0].rate, Rate::Search);
        assert!(rows(&["--full"]).iter().all(|row| !row.acks && !row.spool));
        let safe = rows(&["--source", "grpc", "--lines", "text-256", "--acks", "no,yes", "--spool", "yes"]);
        let safe: Vec<_> = safe.iter().map(|row| (row.acks, row.spool)).collect();
        assert_eq!(safe, [(false, true), (true, true)]);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for wrong in [
            &["--source", "v3"][..],
            &["--rate", "5"],
            &["--lines", "text"],
            &["--seconds", "0"],
            &["--tls", "maybe"],
            &["--acks"],
        ] {
            assert!(command().try_get_matches_from([&["perf"], wrong].concat()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_tables_of_the_document_have_names_of_their_own() {
        let sections = docs();
        let names: std::collections::BTreeSet<_> = sections.iter().map(|section| section.name).collect();
        assert_eq!(names.len(), sections.len());
        assert!(sections.iter().all(|section| !section.scenarios.is_empty()));
    }
}
