//! `eventgen generate`: runs a conf.

use std::process::ExitCode;

use clap::ArgMatches;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::screen::Screen;
use super::{EXIT_DEFECT, EXIT_FAILURE, flags};
use crate::eventgen::conf::{self, Level, Request};
use crate::eventgen::config::RunConfig;
use crate::eventgen::engine;
use crate::eventgen::plugin::Registry;
use crate::eventgen::progress::{Bars, Progress};
use crate::process::{on_runtime, watch_signals};
use crate::telemetry::{self, LogFormat};

/// Outputs that share the terminal with the progress.
const ON_STDOUT: [&str; 2] = ["stdout", "modinput"];

pub(super) fn run(matches: &ArgMatches, request: &Request, registry: &Registry, screen: &Screen) -> ExitCode {
    let verbose = matches.get_count("verbose") > 0;
    let bars = Bars::default();
    let beside = bars.clone();
    let writer = BoxMakeWriter::new(move || beside.writer());
    telemetry::init_with(LogFormat::Text, flags::log_level(matches), writer, screen.is_colored(), None);
    for note in flags::idle(matches) {
        screen.print(&format!("{note}\n"));
    }
    let clock = flags::clock(matches);
    let (run, findings) = conf::load(request, registry);
    for finding in findings.iter().filter(|finding| verbose || finding.level != Level::Note) {
        screen.print(&format!("{}\n", finding.render(screen.is_colored())));
    }
    let complete = findings.iter().all(|finding| finding.level != Level::Error);
    let Some(run) = run else { return ExitCode::from(EXIT_FAILURE) };
    if run.samples.is_empty() {
        screen.print("nothing to do: no stanza has a sample\n");
        return ExitCode::from(if complete { 0 } else { EXIT_FAILURE });
    }
    let progress = progress(&run, screen, verbose, bars);
    let every_sample = run.engine.output_counter;
    let shown = every_sample || verbose || screen.is_terminal();
    let report = on_runtime("eventgen", async {
        let stop = CancellationToken::new();
        let mut signals = watch_signals(&stop);
        let report = engine::run(run, registry, clock, stop, progress).await;
        signals.shutdown().await;
        report
    });
    let Some(report) = report else { return ExitCode::from(EXIT_DEFECT) };
    let code = report.exit_code();
    if shown || code != 0 {
        let lines = report.lines(every_sample || verbose);
        screen.print(&(lines.join("\n") + "\n"));
    }
    ExitCode::from(if complete { code } else { code.max(EXIT_FAILURE) })
}

/// Bars where a person watches and nothing else writes there.
fn progress(run: &RunConfig, screen: &Screen, verbose: bool, bars: Bars) -> Progress {
    let shares = run.samples.iter().any(|sample| ON_STDOUT.contains(&sample.output.as_str()));
    if screen.is_terminal() && !shares {
        Progress::Bars(bars)
    } else if verbose {
        Progress::Lines
    } else {
        Progress::Off
    }
}
