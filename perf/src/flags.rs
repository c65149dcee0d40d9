//! The flags of `perf/run`, and the matrix that they span.

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::lines::{Form, Lines};
use crate::plan::{APPS, LIST_SECONDS, Rate, Scenario, Section, Source, each};

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
        .arg(list("apps", "how many apps write [default: 200]").value_parser(value_parser!(u64).range(1..=100_000)))
        .arg(yes_no("listing", "measure while all apps are listed again [default: no; without a value: yes]").num_args(0..=1).default_missing_value("yes"))
        .arg(flag("search", "as --rate search: the most without loss, and 1.5 times that"))
        .arg(flag("full", "every flag that is not given takes all its values, but --acks and --spool: more than a thousand rows"))
        .arg(flag("docs", "measure the tables of docs/sizing.md and write them there"))
        .arg(number("seconds", "how long each measurement takes [default: 5]"))
        .arg(number("repeat", "how often, but searches: the median counts, the spread is shown [default: 1]"))
        .arg(flag("in-turn", "repeat the rows in turn, each time with new processes: to compare them with each other"))
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
    let apps = values::<u64>(matches, "apps").unwrap_or(vec![APPS]);
    let apps: Vec<usize> =
        apps.into_iter().map(usize::try_from).collect::<Result<_, _>>().context("--apps")?;
    let listing: Vec<_> = chosen("listing").into_iter().map(|on| on.then_some(LIST_SECONDS)).collect();
    let mut scenarios = vec![Scenario::BASE];
    scenarios = each(scenarios, &apps, |scenario, apps| Scenario { apps, ..scenario });
    scenarios = each(scenarios, &listing, |scenario, list_seconds| Scenario { list_seconds, ..scenario });
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
    Ok(Section { name: "run", scenarios, in_turn: matches.get_flag("in-turn") })
}

fn values<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> Option<Vec<T>> {
    matches.get_many::<T>(name).map(|values| values.cloned().collect())
}

/// Each scenario with each value.
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
        let listed =
            rows(&["--source", "grpc", "--lines", "text-256", "--apps", "10,50000", "--listing", "no,yes"]);
        let listed: Vec<_> = listed.iter().map(|row| (row.apps, row.list_seconds.is_some())).collect();
        assert_eq!(listed, [(10, false), (10, true), (50_000, false), (50_000, true)]);
        assert!(rows(&["--listing", "--apps", "5"]).iter().all(|row| row.list_seconds.is_some()));
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
            &["--apps", "0"],
        ] {
            assert!(command().try_get_matches_from([&["perf"], wrong].concat()).is_err(), "{wrong:?}");
        }
    }
}
