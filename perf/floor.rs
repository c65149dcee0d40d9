//! `perf/floor`: what this machine takes for what no nozzle can do without, and what the nozzle takes beside it. For Linux.
//!
//! No other allocator than the system's: the reference was measured so.
#![allow(clippy::print_stdout, reason = "tables are the product")]

use std::path::Path;

use anyhow::Context as _;
use clap::{Arg, ArgAction, Command};
use firehose_nozzle_perf::document::replace;
use firehose_nozzle_perf::floor::{Floor, multiples};

const DOCUMENT: &str = "docs/performance.md";

fn main() -> anyhow::Result<()> {
    let matches = Command::new("perf-floor")
        .about("Measures what no nozzle can do without on this machine, and tells rows of perf/run as multiples of it")
        .arg(
            Arg::new("rows")
                .long("rows")
                .default_value("target/sizing/run.jsonl")
                .help("what perf/run has measured on this machine"),
        )
        .arg(
            Arg::new("docs")
                .long("docs")
                .action(ArgAction::SetTrue)
                .help("write the tables into docs/performance.md"),
        )
        .get_matches();
    let floor = Floor::measure()?;
    let rows = matches.get_one::<String>("rows").context("rows")?;
    println!("{}", floor.table());
    let multiples = multiples::table(Path::new(rows), &floor)?;
    println!("{multiples}");
    if matches.get_flag("docs") {
        replace(Path::new(DOCUMENT), "floor", &floor.table())?;
        replace(Path::new(DOCUMENT), "multiples", &multiples)?;
    }
    Ok(())
}
