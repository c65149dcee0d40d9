//! What is to be measured, and the tables of docs/sizing.md.

use std::fmt;
use std::num::NonZero;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::lines::{Form, Lines};
use crate::load::RUNS_PER_SECOND;

/// Streams of the nozzle (LOGGREGATOR_STREAMS), its default.
pub const STREAMS: NonZero<usize> = NonZero::<usize>::MIN.saturating_add(1);
/// Apps that write, unless something else is asked for.
pub const APPS: u64 = 200;

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
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Firehose, Self::Grpc, Self::Gateway];

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

/// Apps are listed again at once, all the time.
pub const LIST_SECONDS: u64 = 1;

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
    /// Repetitions take turns, each with processes of its own: the rows are to be compared with each other, and what
    /// the machine does meanwhile shall meet all of them.
    pub in_turn: bool,
}

/// Each scenario with each of the values.
pub fn each<T: Copy>(
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
    let apps =
        vec![Scenario { apps: 10, ..grpc }, many, Scenario { list_seconds: Some(LIST_SECONDS), ..many }];
    let section = |name, scenarios| Section { name, scenarios, in_turn: false };
    vec![
        section("published", published),
        section("cost", cost),
        section("messages", messages),
        section("settings", settings),
        section("paced", paced),
        Section { in_turn: true, ..section("apps", apps) },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_document_have_names_of_their_own() {
        let sections = docs();
        let names: std::collections::BTreeSet<_> = sections.iter().map(|section| section.name).collect();
        assert_eq!(names.len(), sections.len());
        assert!(sections.iter().all(|section| !section.scenarios.is_empty()));
    }
}
