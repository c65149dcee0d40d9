//! `perf/scale`: many instances behind many routers, simulated, and the arithmetic from 10,000 to a million
//! envelopes a second, on figures that `perf/run` measured.
#![allow(clippy::print_stdout, reason = "tables are the product")]

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use firehose_nozzle_perf::document::replace;
use firehose_nozzle_perf::scale::arithmetic::{Assumptions, Measured};
use firehose_nozzle_perf::scale::{check, scenarios};
use firehose_nozzle_perf::{load, sink};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DOCUMENT: &str = "docs/scaling.md";

/// Numbers that can be set: name, default, what it is.
const NUMBERS: [(&str, &str, &str); 9] = [
    ("router-rate", "16000", "envelopes per second of a router, by the platform's guidance"),
    ("stream-rate", "10000", "envelopes per second to plan with for a stream: half of what one can do"),
    ("streams", "2", "streams of an instance (LOGGREGATOR_STREAMS)"),
    ("cpus", "1", "CPUs of an instance"),
    ("busy-percent", "50", "how much of them it may use, in percent"),
    ("endpoint-mb", "50", "MB per second of events that an endpoint of HEC takes"),
    ("envelope-bytes", "900", "bytes of an envelope on its way into the nozzle"),
    ("check-rate", "8000", "events per second of the check"),
    ("check-seconds", "4", "how long each part of the check takes"),
];

fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    let number = |(name, usual, help): (&'static str, &'static str, &'static str)| {
        Arg::new(name).long(name).default_value(usual).value_parser(value_parser!(u64).range(1..)).help(help)
    };
    Command::new("perf-scale")
        .about("Simulates many instances of the nozzle, and does the arithmetic from 10,000 to a million envelopes a second")
        .arg(
            Arg::new("rows")
                .long("rows")
                .default_value("target/sizing/run.jsonl")
                .help("what perf/run has measured"),
        )
        .arg(
            Arg::new("rate")
                .long("rate")
                .value_delimiter(',')
                .value_parser(value_parser!(u64).range(100..=2_000_000))
                .action(ArgAction::Append)
                .help("envelopes per second that are simulated [default: 10000,100000,1000000]"),
        )
        .args(NUMBERS.map(number))
        .arg(flag("no-check", "do not compare the model with real processes"))
        .arg(flag("docs", "write the tables into docs/scaling.md"))
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    if let (Some(helper), Some(with)) = (arguments.next(), arguments.next()) {
        match helper.as_str() {
            "load" => return load::main(&with),
            "hec" => return sink::main(&with),
            _ => {}
        }
    }
    let matches = command().get_matches();
    let mut tables = vec![arithmetic(&matches)?];
    tables.extend(simulated(&matches)?);
    if !matches.get_flag("no-check") {
        let binary: PathBuf = std::env::current_exe()?.with_file_name("nozzle");
        let seconds = number(&matches, "check-seconds");
        let table = check::check(&binary, integer(&matches, "check-rate"), seconds)?;
        tables.push(("check", table));
    }
    for (name, table) in tables {
        println!("## {name}\n\n{table}");
        if matches.get_flag("docs") {
            replace(Path::new(DOCUMENT), name, &table)?;
        }
    }
    Ok(())
}

fn integer(matches: &ArgMatches, name: &str) -> u64 {
    matches.get_one::<u64>(name).copied().unwrap_or(1)
}

fn number(matches: &ArgMatches, name: &str) -> f64 {
    integer(matches, name) as f64
}

fn assumptions(matches: &ArgMatches) -> Assumptions {
    let number = |name| number(matches, name);
    Assumptions {
        router_rate: number("router-rate"),
        stream_rate: number("stream-rate"),
        streams: integer(matches, "streams"),
        cpus: number("cpus"),
        busy: number("busy-percent") / 100.0,
        endpoint_mb: number("endpoint-mb"),
        envelope_bytes: number("envelope-bytes"),
    }
}

fn measured(matches: &ArgMatches) -> anyhow::Result<(Measured, String)> {
    let path = matches.get_one::<String>("rows").context("rows")?;
    let (measured, row) = Measured::read(Path::new(path))?;
    let noisy = if row.is_noisy() { " (on a machine that others used)" } else { "" };
    let told = format!(
        "Measured: {}, {}, {}: {:.2} µs of CPU{noisy}, {:.0} bytes of body and {:.0} on the wire for each event.",
        row.scenario.source,
        row.scenario.wire(),
        row.scenario.lines,
        measured.micros,
        measured.body_bytes,
        measured.wire_bytes,
    );
    Ok((measured, told))
}

fn arithmetic(matches: &ArgMatches) -> anyhow::Result<(&'static str, String)> {
    let (measured, told) = measured(matches)?;
    let assumed = NUMBERS.iter().take(7).map(|(name, _, what)| format!("{} {what}", integer(matches, name)));
    let assumed = assumed.collect::<Vec<_>>().join("; ");
    let rates = [10_000.0, 30_000.0, 100_000.0, 300_000.0, 1_000_000.0];
    let table = scenarios::arithmetic(&rates, &measured, &assumptions(matches));
    Ok(("arithmetic", format!("{told} Assumed: {assumed}.\n\n{table}")))
}

fn simulated(matches: &ArgMatches) -> anyhow::Result<Vec<(&'static str, String)>> {
    const SEED: u64 = 1;
    let (measured, _) = measured(matches)?;
    let rates = match matches.get_many::<u64>("rate") {
        Some(rates) => rates.copied().collect(),
        None => vec![10_000, 100_000, 1_000_000],
    };
    let tables =
        rates.iter().map(|rate| scenarios::simulated(*rate as f64, &measured, &assumptions(matches), SEED));
    Ok(vec![("simulated", tables.collect::<Vec<_>>().join("\n"))])
}
