//! The flags: those of the original, all of them effective, and a few more.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, value_parser};

use crate::clock::UnixNanos;
use crate::eventgen::conf::{self, GENERATOR_QUEUE_PARTS, Overrides, Request};
use crate::eventgen::config::Count;
use crate::eventgen::time::{Clock, Moment, Zone};

/// Flags without effect, and why they need none.
const IDLE: [(&str, &str); 5] = [
    ("outputters", "each stanza has an output of its own"),
    ("disableOutputQueue", "each stanza has an output of its own"),
    ("multiprocess", "threads use all CPUs"),
    ("profiler", "any profiler for native programs can be used"),
    ("modinput-mode", "it had no effect before either"),
];

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn option(
    name: &'static str,
    value: &'static str,
    parser: impl Into<ValueParser>,
    help: &'static str,
) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(value)
        .value_parser(parser.into())
        .allow_hyphen_values(true)
        .help(help)
}

/// Before or after the command.
pub(super) fn global() -> Vec<Arg> {
    vec![
        Arg::new("verbose")
            .short('v')
            .long("verbose")
            .action(ArgAction::Count)
            .global(true)
            .help("Say more: -v also what is merely good to know, -vv everything"),
        flag("counter-output", "Count what is made and written, as outputCounter").global(true),
        option("modinput-mode", "VALUE", value_parser!(String), "Without effect").global(true).hide(true),
    ]
}

/// What to load.
pub(super) fn conf() -> Vec<Arg> {
    vec![
        Arg::new("file")
            .value_name("CONFIGFILE")
            .required(true)
            .value_parser(value_parser!(PathBuf))
            .help("A conf file, the folder of an app, or the name of an app under $SPLUNK_HOME/etc/apps"),
        option("sample", "NAME", value_parser!(String), "Only the sample of this stanza or file").short('s'),
        option("count", "N", count, "Events per run, for every stanza; no backfill then").short('c'),
        option("interval", "TIME", interval, "Time from run to run, in seconds or such as 1m30s").short('i'),
        option("backfill", "TIME", moment, "How far back to start, such as -1h").short('b'),
        option("end", "RUNS|TIME", end, "Number of runs, or a time, such as +10m").short('e'),
        flag("devnull", "Write to nowhere").conflicts_with_all(["modinput", "keepoutput"]),
        flag("modinput", "Write as a modular input of Splunk").conflicts_with("keepoutput"),
        flag("keepoutput", "Write to where the conf says (the default)"),
        option(
            "seed",
            "N",
            value_parser!(u64),
            "The same seed, conf and start of the clock make the same events",
        ),
        option(
            "clock-start",
            "TIME",
            moment,
            "A clock that shows this time at the start, and runs on from there",
        ),
    ]
}

/// How to run.
pub(super) fn run() -> Vec<Arg> {
    let workers = || value_parser!(NonZeroUsize);
    vec![
        option("workers", "N", workers(), "Worker threads; one for each CPU by default"),
        option("generators", "N", workers(), "As --workers").hide(true),
        option("rate", "N", rate, "Events per second over all stanzas"),
        option(
            "generator-queue-size",
            "N",
            value_parser!(i64),
            "Pieces of runs on their way to outputs, over all samples [default: 500]",
        ),
        flag("disable-logging", "No log lines"),
        option("outputters", "N", value_parser!(String), "Without effect").hide(true),
        flag("disableOutputQueue", "Without effect").hide(true),
        flag("multiprocess", "Without effect").hide(true),
        flag("profiler", "Without effect").hide(true),
    ]
}

/// What to show.
pub(super) fn preview() -> Vec<Arg> {
    vec![
        Arg::new("stanza")
            .value_name("STANZA")
            .value_parser(value_parser!(String))
            .conflicts_with("sample")
            .help("Only the sample of this stanza or file"),
        option("events", "N", value_parser!(usize), "Events of each sample").short('n').default_value("5"),
    ]
}

fn count(text: &str) -> Result<Count, String> {
    conf::parse_count(text)
}

fn interval(text: &str) -> Result<Duration, String> {
    conf::parse_interval(text)
}

/// Kept as written: a stanza's own zone says what it means.
fn moment(text: &str) -> Result<String, String> {
    Moment::parse(text, &Zone::utc()).map(|_| text.trim().to_owned())
}

fn end(text: &str) -> Result<String, String> {
    conf::parse_end(text).map(|_| text.trim().to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("expected a number of events per second above 0".to_owned()),
    }
}

/// The request of these flags; where it starts and its environment are the caller's.
pub(super) fn request(matches: &ArgMatches) -> Request {
    let given = |name: &str| matches.try_get_one::<String>(name).ok().flatten().cloned();
    let workers = |name: &str| matches.try_get_one::<NonZeroUsize>(name).ok().flatten().copied();
    let output = if matches.get_flag("devnull") {
        Some("devnull".to_owned())
    } else {
        matches.get_flag("modinput").then(|| "modinput".to_owned())
    };
    Request {
        target: matches.get_one::<PathBuf>("file").cloned().unwrap_or_default(),
        sample: given("sample").or_else(|| given("stanza")),
        overrides: Overrides {
            count: matches.get_one("count").copied(),
            interval: matches.get_one("interval").copied(),
            backfill: given("backfill"),
            end: given("end"),
            output,
        },
        workers: workers("workers").or_else(|| workers("generators")),
        generator_queue_parts: queue_parts(matches),
        seed: matches.get_one("seed").copied(),
        output_counter: matches.get_flag("counter-output"),
        rate: matches.try_get_one("rate").ok().flatten().copied(),
        ..Request::default()
    }
}

/// Less than one was without a bound once; there is always one here.
fn queue_parts(matches: &ArgMatches) -> Option<usize> {
    let parts = *matches.try_get_one::<i64>("generator-queue-size").ok()??;
    Some(usize::try_from(parts).ok().filter(|parts| *parts > 0).unwrap_or(GENERATOR_QUEUE_PARTS))
}

/// The clock of a run. `--clock-start` is in the machine's zone unless it has its own.
pub(super) fn clock(matches: &ArgMatches) -> Clock {
    let zone = Zone::local();
    match matches.get_one::<String>("clock-start").and_then(|text| Moment::parse(text, &zone).ok()) {
        Some(start) => Clock::starting_at(start.resolve(UnixNanos::now(), &zone)),
        None => Clock::system(),
    }
}

/// How much is logged.
pub(super) fn log_level(matches: &ArgMatches) -> &'static str {
    match matches.get_count("verbose") {
        _ if matches.get_flag("disable-logging") => "off",
        0 => "warn",
        1 => "info",
        _ => "debug",
    }
}

/// What to say of flags that do nothing.
pub(super) fn idle(matches: &ArgMatches) -> Vec<String> {
    let given = |name: &str| {
        let source =
            matches.try_contains_id(name).is_ok_and(|there| there).then(|| matches.value_source(name));
        source.flatten() == Some(clap::parser::ValueSource::CommandLine)
    };
    let notes = IDLE.iter().filter(|(name, _)| given(name));
    notes.map(|(name, why)| format!("note: --{name} has no effect: {why}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<ArgMatches, clap::Error> {
        let matches = super::super::command().try_get_matches_from(line.split(' '))?;
        Ok(matches.subcommand().unwrap().1.clone())
    }

    #[test]
    fn flags_of_the_original() {
        let matches = parse(
            "eventgen -v generate x.conf -s a.txt -c 4 -i 2 -b -20s -e -1 --devnull --generators 3 \
             --outputters 2 --disableOutputQueue --multiprocess --profiler --generator-queue-size -5 \
             --counter-output --modinput-mode false",
        )
        .unwrap();
        let request = request(&matches);
        assert_eq!(request.target, PathBuf::from("x.conf"));
        assert_eq!(request.sample.as_deref(), Some("a.txt"));
        let overrides = &request.overrides;
        assert_eq!(
            (overrides.count, overrides.interval),
            (Some(Count::Events(4)), Some(Duration::from_secs(2)))
        );
        assert_eq!((overrides.backfill.as_deref(), overrides.end.as_deref()), (Some("-20s"), Some("-1")));
        assert_eq!(overrides.output.as_deref(), Some("devnull"));
        assert_eq!((request.workers, request.generator_queue_parts), (NonZeroUsize::new(3), Some(500)));
        assert!(request.output_counter);
        assert_eq!(log_level(&matches), "info");
        assert_eq!(idle(&matches).len(), 5);
    }

    #[test]
    fn flags_of_our_own() {
        let matches =
            parse("eventgen generate x --seed 7 --workers 2 --generators 9 --rate 2.5 --clock-start 2024-06-12T09:30:05Z")
                .unwrap();
        let request = request(&matches);
        assert_eq!((request.seed, request.workers, request.rate), (Some(7), NonZeroUsize::new(2), Some(2.5)));
        let shown = clock(&matches).now().0 - 1_718_184_605_000_000_000;
        assert!((0..60_000_000_000).contains(&shown), "{shown}");
        assert!(idle(&matches).is_empty());
        assert_eq!(log_level(&parse("eventgen generate x --disable-logging -vv").unwrap()), "off");
        assert_eq!(log_level(&parse("eventgen generate x -vv").unwrap()), "debug");
    }

    #[test]
    fn wrong_values_name_the_flag_and_what_was_expected() {
        for (flags, why) in [
            ("-c many", "expected a whole number, at least -1"),
            ("-i soon", "expected seconds"),
            ("-b yesterday", "is not a time"),
            ("-e soon", "or a number of runs"),
            ("--rate 0", "events per second above 0"),
            ("--workers 0", "--workers"),
            ("--clock-start noon", "is not a time"),
            ("--devnull --modinput", "cannot be used with"),
        ] {
            let error = parse(&format!("eventgen generate x {flags}")).unwrap_err();
            assert!(error.to_string().contains(why), "{flags}: {error}");
        }
    }

    #[test]
    fn the_stanza_of_a_preview() {
        let matches = parse("eventgen preview x a.txt -n 3").unwrap();
        assert_eq!(request(&matches).sample.as_deref(), Some("a.txt"));
        assert_eq!(matches.get_one::<usize>("events"), Some(&3));
    }
}
