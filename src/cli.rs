//! The command line of `nozzle`: `run` (the default), `check`, `demo`, `config`.
//!
//! Arguments and environment are read here and nowhere else; everything further on gets them
//! handed in.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};
use tokio_util::sync::CancellationToken;

use crate::causes::chain;
use crate::nozzle::app::{App, Report};
use crate::nozzle::check;
use crate::nozzle::config::flags::{self, FlagValues};
use crate::nozzle::config::{Config, Faults, Inputs, Warning, render};
use crate::nozzle::demo::{self, DemoOptions, DemoSource};
use crate::nozzle::own;
use crate::process::{on_runtime, watch_signals};
use crate::telemetry::{self, LogFormat, LogTarget};
use crate::tls;
use crate::units::parse_duration;

/// `EX_SOFTWARE`: a defect of the nozzle itself.
const EXIT_DEFECT: u8 = 70;
/// `EX_UNAVAILABLE`: a check has failed.
const EXIT_UNAVAILABLE: u8 = 69;
/// `EX_CONFIG`: the configuration cannot be used.
const EXIT_CONFIG: u8 = 78;

/// Runs the command with the process's arguments and environment.
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the terminal's side")]
pub fn main() -> ExitCode {
    tls::install_provider();
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let code = if error.use_stderr() { EXIT_CONFIG } else { 0 };
            // Nothing can be done if the terminal is gone.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match matches.subcommand() {
        Some(("check", matches)) => with_config(matches, |config, warnings| {
            print_warnings(&warnings);
            check_config(config)
        }),
        Some(("config", matches)) => with_config(matches, |config, warnings| {
            print_warnings(&warnings);
            print!("{}", render(config.show()));
            ExitCode::SUCCESS
        }),
        Some(("demo", matches)) => run_demo(matches),
        Some((_, matches)) => with_config(matches, run),
        None => with_config(&matches, run),
    }
}

fn command() -> Command {
    let settings =
        |name: &'static str, about: &'static str| Command::new(name).about(about).args(flags::args());
    Command::new("nozzle")
        .about("Delivers every log and metric of a Cloud Foundry foundation to Splunk, and accounts for each one")
        .long_about(
            "Delivers every log and metric of a Cloud Foundry foundation to Splunk, and accounts for each one.\n\n\
             Without a command it runs the nozzle. Settings come from flags, environment variables (the names \
             below in upper case, with underscores), CONFIG_FILE and VCAP_SERVICES, in this order.",
        )
        .version(env!("CARGO_PKG_VERSION"))
        .args_conflicts_with_subcommands(true)
        .args(flags::args())
        .subcommand(settings("run", "Run the nozzle (the default)"))
        .subcommand(settings(
            "check",
            "Check the configuration, the token, the log stream and Splunk, and say what is wrong",
        ))
        .subcommand(settings("config", "Show every setting with its value and where it comes from"))
        .subcommand(demo_command())
}

fn demo_command() -> Command {
    Command::new("demo")
        .about("Run the nozzle between a simulated foundation and a simulated Splunk, on loopback")
        .arg(
            Arg::new("events-per-second")
                .long("events-per-second")
                .value_name("N")
                .default_value("5000")
                .value_parser(value_parser!(u64))
                .help("Envelopes per second; 0: as fast as they are read"),
        )
        .arg(
            Arg::new("apps")
                .long("apps")
                .value_name("N")
                .default_value("20")
                .value_parser(value_parser!(u16).range(1..))
                .help("Apps that log"),
        )
        .arg(
            Arg::new("source")
                .long("source")
                .value_name("SOURCE")
                .default_value("grpc")
                .value_parser(["grpc", "gateway", "firehose"])
                .help("How the nozzle reads: RLP over gRPC, the RLP gateway, or the v1 firehose"),
        )
        .arg(
            Arg::new("duration")
                .long("duration")
                .value_name("TIME")
                .default_value("30s")
                .value_parser(parse_demo_duration)
                .help("How long envelopes are sent, such as 30s or 5m"),
        )
}

fn parse_demo_duration(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).map_err(|error| error.to_string())?;
    if duration < Duration::from_secs(1) {
        return Err("expected at least 1s".to_owned());
    }
    Ok(duration)
}

/// Loads the configuration and goes on with it, or says what is wrong with it.
#[allow(clippy::print_stderr, reason = "faults go to standard error: how to log is not known")]
fn with_config(matches: &ArgMatches, then: impl FnOnce(Config, Vec<Warning>) -> ExitCode) -> ExitCode {
    let inputs = Inputs::new(FlagValues::from_matches(matches), std::env::vars_os());
    match Config::load(&inputs) {
        Ok((config, warnings)) => then(config, warnings),
        Err(faults) => {
            eprintln!("{faults}");
            ExitCode::from(Faults::EXIT_CODE)
        }
    }
}

/// Warnings of a command for a person.
#[allow(clippy::print_stderr, reason = "standard output is for the result")]
fn print_warnings(warnings: &[Warning]) {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
}

fn run(config: Config, warnings: Vec<Warning>) -> ExitCode {
    let (tap, lines) = config.own.log_index.is_some().then(own::tap).unzip();
    let tap = tap.map(|tap| -> telemetry::Tap { Box::new(tap) });
    telemetry::init(config.log.format, &config.log.level, LogTarget::Stdout, tap);
    for Warning { name, message } in &warnings {
        tracing::warn!(setting = %name, problem = %message, "look at a setting");
    }
    let ended = on_runtime("nozzle", async {
        let app = match App::build(config) {
            Ok(app) => app.with_log(lines),
            Err(error) => return fail(&error),
        };
        let shutdown = CancellationToken::new();
        let mut signals = watch_signals(&shutdown);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting");
        let ended = app.run(shutdown, |_| {}).await;
        signals.shutdown().await;
        match ended {
            Ok(report) => conclude(&report),
            Err(error) => fail(&error),
        }
    });
    ended.unwrap_or(ExitCode::from(EXIT_DEFECT))
}

/// A configuration that cannot be used although each setting can.
fn fail(error: &dyn std::error::Error) -> ExitCode {
    let cause = chain(error);
    tracing::error!(error = %cause, next_step = "mend the setting and start again", "the configuration cannot be used");
    ExitCode::from(EXIT_CONFIG)
}

/// Logs the final ledger.
fn conclude(report: &Report) -> ExitCode {
    let ledger = &report.ledger;
    let detail = serde_json::to_string(ledger).unwrap_or_default();
    let own = serde_json::to_string(&report.own).unwrap_or_default();
    match report.verdict() {
        Ok(()) => {
            tracing::info!(
                received = ledger.received,
                delivered = ledger.delivered,
                dropped = ledger.lost(),
                balanced = true,
                ledger.json = %detail,
                own.json = %own,
                "stopped"
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(
                ledger.json = %detail,
                own.json = %own,
                error,
                next_step = "please report this with the log",
                "stopped with a defect"
            );
            ExitCode::from(EXIT_DEFECT)
        }
    }
}

#[allow(clippy::print_stdout, reason = "the result of a check is for a person")]
fn check_config(config: Config) -> ExitCode {
    telemetry::init(config.log.format, "off", LogTarget::Stderr, None);
    let mut failed = false;
    let ended = on_runtime(
        "nozzle",
        check::run(&config, |finding| {
            failed |= finding.is_failure();
            println!("{finding}");
        }),
    );
    match (ended, failed) {
        (None, _) => ExitCode::from(EXIT_DEFECT),
        (Some(()), true) => ExitCode::from(EXIT_UNAVAILABLE),
        (Some(()), false) => ExitCode::SUCCESS,
    }
}

#[allow(clippy::print_stderr, reason = "the demo talks to a person")]
fn run_demo(matches: &ArgMatches) -> ExitCode {
    telemetry::init(LogFormat::Text, "warn", LogTarget::Stderr, None);
    let options = DemoOptions {
        events_per_second: *matches.get_one("events-per-second").unwrap_or(&5000),
        apps: usize::from(*matches.get_one::<u16>("apps").unwrap_or(&20)),
        source: match matches.get_one::<String>("source").map(String::as_str) {
            Some("firehose") => DemoSource::Firehose,
            Some("gateway") => DemoSource::Gateway,
            _ => DemoSource::Grpc,
        },
        duration: *matches.get_one("duration").unwrap_or(&Duration::from_secs(30)),
    };
    let ended = on_runtime("nozzle", async {
        let stop = CancellationToken::new();
        let mut signals = watch_signals(&stop);
        let ended = demo::run(&options, &stop).await;
        signals.shutdown().await;
        match ended {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::from(EXIT_DEFECT)
            }
        }
    });
    ended.unwrap_or(ExitCode::from(EXIT_DEFECT))
}
