//! `perf/run`: measures the nozzle between a simulated foundation and a simulated Splunk. All three are
//! processes of their own; see the library.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "tables are the product")]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::ArgMatches;
use firehose_nozzle_perf::ceilings::Ceilings;
use firehose_nozzle_perf::document;
use firehose_nozzle_perf::flags;
use firehose_nozzle_perf::load::Run;
use firehose_nozzle_perf::plan::{self, Rate, Scenario, Section};
use firehose_nozzle_perf::plot::{self, Bar, Whose};
use firehose_nozzle_perf::published::GO;
use firehose_nozzle_perf::report;
use firehose_nozzle_perf::row::{self, Row};
use firehose_nozzle_perf::search::search;
use firehose_nozzle_perf::trial::{Outcome, Setup};
use firehose_nozzle_perf::{blaster, load, null, sink};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where the tables of the document are.
const DOCUMENT: &str = "docs/sizing.md";
const PICTURE: &str = "docs/sizing.svg";
/// How long a measurement takes, unless something else is asked for.
const SECONDS: u64 = 5;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    if let (Some(helper), Some(with)) = (arguments.next(), arguments.next()) {
        match helper.as_str() {
            "load" => return load::main(&with),
            "hec" => return sink::main(&with),
            "null" => return null::main(&with),
            "blast" => return blaster::main(&with),
            _ => {}
        }
    }
    let matches = flags::command().get_matches();
    let sections = if matches.get_flag("docs") { plan::docs() } else { vec![flags::matrix(&matches)?] };
    let mut bench = Bench::new(&matches)?;
    let rows = bench.all(&sections)?;
    bench.write(&sections, &rows)?;
    if matches.get_flag("docs") {
        write_document(&sections, &rows)?;
    }
    ensure!(bench.failed == 0, "{} rows could not be measured", bench.failed);
    Ok(())
}

/// What the trials of a scenario showed.
#[derive(Default)]
struct Measured {
    outcomes: Vec<Outcome>,
    /// The longest of all.
    first_event_ms: f64,
    /// After a search: whether it was confirmed, and what more than that did.
    found: Option<(bool, Outcome)>,
}

struct Bench {
    nozzle: PathBuf,
    seconds: f64,
    repeat: u64,
    ceilings: Option<Ceilings>,
    out: PathBuf,
    /// Rows that could not be measured.
    failed: usize,
}

impl Bench {
    fn new(matches: &ArgMatches) -> anyhow::Result<Self> {
        let number = |name: &str, usual| matches.get_one::<u64>(name).copied().unwrap_or(usual);
        let beside = std::env::current_exe()?.with_file_name("nozzle");
        let seconds = number("seconds", SECONDS) as f64;
        let out = matches.get_one::<String>("out").map_or("target/sizing/run", String::as_str);
        Ok(Self {
            nozzle: matches.get_one::<String>("nozzle").map_or(beside, PathBuf::from),
            seconds,
            repeat: number("repeat", 1),
            ceilings: (!matches.get_flag("no-ceilings")).then(|| Ceilings::new((seconds / 3.0).max(1.0))),
            out: out.into(),
            failed: 0,
        })
    }

    /// Measures everything; each row is on disk as soon as it is known.
    fn all(&mut self, sections: &[Section]) -> anyhow::Result<Vec<Row>> {
        let total: usize = sections.iter().map(|section| section.scenarios.len()).sum();
        if let Some(folder) = self.out.parent() {
            fs::create_dir_all(folder)?;
        }
        let path = self.out.with_extension("jsonl");
        let mut file = File::create(&path).with_context(|| path.display().to_string())?;
        let mut rows = Vec::new();
        for section in sections {
            let together = if section.in_turn { section.scenarios.len() } else { 1 };
            for scenarios in section.scenarios.chunks(together.max(1)) {
                let measured = self.measure(scenarios, section.in_turn);
                for (scenario, measured) in scenarios.iter().zip(measured) {
                    let row = match measured.and_then(|measured| self.row(section.name, scenario, measured)) {
                        Ok(row) => row,
                        Err(error) => {
                            eprintln!("not measured: {scenario:?}: {error:#}");
                            self.failed += 1;
                            continue;
                        }
                    };
                    writeln!(file, "{}", serde_json::to_string(&row)?)?;
                    eprintln!("{}/{total} {}", rows.len() + 1, report::summary(&row));
                    rows.push(row);
                }
            }
        }
        Ok(rows)
    }

    /// Measures some scenarios: in turn, or one after the other.
    fn measure(&self, scenarios: &[Scenario], in_turn: bool) -> Vec<anyhow::Result<Measured>> {
        let (rounds, times) = if in_turn { (self.repeat, 1) } else { (1, self.repeat) };
        let mut all: Vec<_> = scenarios.iter().map(|_| Ok(Measured::default())).collect();
        for _ in 0..rounds {
            for (scenario, measured) in scenarios.iter().zip(&mut all) {
                if let Ok(so_far) = measured
                    && let Err(error) = self.trials(scenario, times, so_far)
                {
                    *measured = Err(error);
                }
            }
        }
        all
    }

    /// So many trials with the same processes.
    fn trials(&self, scenario: &Scenario, times: u64, measured: &mut Measured) -> anyhow::Result<()> {
        let mut setup = Setup::start(scenario, &self.nozzle)?;
        measured.first_event_ms = measured.first_event_ms.max(setup.first_event.as_secs_f64() * 1e3);
        let rate = match scenario.rate {
            Rate::Max => 0,
            Rate::Fixed(rate) => rate,
            Rate::Search => {
                // Many trials already, and a long one that confirms.
                if measured.outcomes.is_empty() {
                    let found = search(&mut setup, self.seconds)?;
                    measured.outcomes.push(found.best);
                    measured.found = Some((found.is_confirmed, found.beyond));
                }
                return setup.end();
            }
        };
        for _ in 0..times {
            measured.outcomes.push(setup.trial(Run { rate, seconds: self.seconds })?);
        }
        setup.end()
    }

    fn row(&mut self, section: &str, scenario: &Scenario, measured: Measured) -> anyhow::Result<Row> {
        let (load_ceiling, hec_ceiling) = match &mut self.ceilings {
            Some(ceilings) => (Some(ceilings.load(scenario)?), Some(ceilings.hec(scenario)?)),
            None => (None, None),
        };
        let Some((outcome, spread)) = row::median(measured.outcomes) else { bail!("nothing was measured") };
        Ok(Row {
            section: section.to_owned(),
            scenario: *scenario,
            outcome,
            first_event_ms: measured.first_event_ms,
            load_ceiling,
            hec_ceiling,
            limit: row::limit(scenario.rate, &outcome, load_ceiling, hec_ceiling),
            spread,
            is_confirmed: measured.found.map(|(is_confirmed, _)| is_confirmed),
            beyond: measured.found.map(|(_, beyond)| beyond),
        })
    }

    fn write(&self, sections: &[Section], rows: &[Row]) -> anyhow::Result<()> {
        let mut text = report::machine_line(rows);
        for section in sections {
            text += &format!("\n## {}\n\n{}", section.name, report::markdown(&of(rows, section)));
        }
        fs::write(self.out.with_extension("md"), &text)?;
        fs::write(self.out.with_extension("svg"), picture("The nozzle", rows))?;
        println!("{text}");
        eprintln!("written: {}.jsonl, .md, .svg", self.out.display());
        Ok(())
    }
}

fn of(rows: &[Row], section: &Section) -> Vec<Row> {
    rows.iter().filter(|row| row.section == section.name).cloned().collect()
}

fn write_document(sections: &[Section], rows: &[Row]) -> anyhow::Result<()> {
    let path = Path::new(DOCUMENT);
    document::replace(path, "machine", &report::machine_line(rows))?;
    for section in sections {
        let rows = of(rows, section);
        document::replace(path, section.name, &report::markdown(&rows))?;
        match section.name {
            "published" => document::replace(path, "comparison", &report::comparison(&rows))?,
            "cost" => fs::write(PICTURE, picture("Log lines of 256 bytes, names of 200 apps", &rows))?,
            _ => {}
        }
    }
    Ok(())
}

/// The rows as bars, and the Go nozzle's where there are lines of the same kind.
fn picture(title: &str, rows: &[Row]) -> String {
    let varying = report::varying(rows);
    let mut bars: Vec<Bar> = (rows.iter())
        .map(|row| Bar {
            label: report::label(row, &varying),
            micros: row.outcome.micros(),
            events_per_second: Some(row.outcome.events_per_second()),
            whose: if row.is_noisy() { Whose::Noisy } else { Whose::Ours },
        })
        .collect();
    for go in GO.iter().filter(|go| rows.iter().any(|row| row.scenario.lines == go.lines)) {
        for (name, micros) in [("tuned", go.tuned_micros), ("default", go.default_micros)] {
            let label = format!("Go nozzle, {name}, {}", go.lines);
            bars.push(Bar { label, micros, events_per_second: None, whose: Whose::Others });
        }
    }
    plot::svg(title, &bars)
}
