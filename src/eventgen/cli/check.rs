//! `eventgen check`: what a conf will do, sample by sample, and everything that is wrong with it.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;

use super::forecast::{self, Known};
use super::screen::Screen;
use super::{EXIT_DEFECT, EXIT_FAILURE, flags};
use crate::clock::UnixNanos;
use crate::eventgen::conf::{self, Finding, Level, Request};
use crate::eventgen::config::{Count, End, Place, ReplacementKind, SampleConfig};
use crate::eventgen::engine::report::grouped;
use crate::eventgen::generator::{Examination, examine, preview};
use crate::eventgen::plugin::Registry;
use crate::eventgen::time::Zone;
use crate::eventgen::time::format::{FormatCache, TimeFormat};
use crate::process::on_runtime;

/// Events that sizes are judged by.
const SIZED_EVENTS: usize = 100;

pub(super) fn run(matches: &ArgMatches, request: &Request, registry: &Registry, screen: &Screen) -> ExitCode {
    let now = flags::clock(matches).now();
    // Some outputs are made of things that want a runtime around them.
    let Some(report) = on_runtime("eventgen", async { Report::make(request, registry, now) }) else {
        return ExitCode::from(EXIT_DEFECT);
    };
    screen.print(&report.render(screen.is_colored(), matches.get_count("verbose") > 0));
    ExitCode::from(if report.is_good() { 0 } else { EXIT_FAILURE })
}

/// What there is to say.
struct Report {
    samples: Vec<String>,
    findings: Vec<Finding>,
}

impl Report {
    fn make(request: &Request, registry: &Registry, now: UnixNanos) -> Self {
        let (run, findings) = conf::load(request, registry);
        let mut maker = Maker { request, registry, now, findings, tokens: BTreeMap::new() };
        let samples: Vec<_> =
            run.iter().flat_map(|run| &run.samples).map(|sample| maker.sample(sample)).collect();
        maker.tokens_that_never_match();
        let mut seen = HashSet::new();
        maker.findings.retain(|finding| seen.insert(finding.to_string()));
        maker.findings.sort_by(|a, b| a.place.cmp(&b.place));
        Self { samples, findings: maker.findings }
    }

    fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// Whether everything the conf asks for will happen.
    fn is_good(&self) -> bool {
        self.count(Level::Error) + self.count(Level::Warning) == 0
    }

    fn render(&self, colored: bool, notes: bool) -> String {
        let mut text = String::new();
        for sample in &self.samples {
            text += sample;
            text.push('\n');
        }
        for finding in self.findings.iter().filter(|finding| notes || finding.level != Level::Note) {
            let _ = writeln!(text, "{}\n", finding.render(colored));
        }
        let number =
            |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let mut counts = vec![number(self.samples.len(), "sample")];
        for (level, what) in [(Level::Error, "error"), (Level::Warning, "warning"), (Level::Note, "note")] {
            let count = self.count(level);
            if count > 0 {
                counts.push(number(count, what));
            }
        }
        let hidden = if self.count(Level::Note) > 0 && !notes { " (-v shows notes)" } else { "" };
        let _ = writeln!(text, "{}{hidden}", counts.join(", "));
        text
    }
}

struct Maker<'a> {
    request: &'a Request,
    registry: &'a Registry,
    now: UnixNanos,
    findings: Vec<Finding>,
    /// For each token: its number, and whether it matches in any of the samples it applies to.
    tokens: BTreeMap<Place, (u32, bool)>,
}

impl Maker<'_> {
    /// Looks at a sample and describes it.
    fn sample(&mut self, sample: &SampleConfig) -> String {
        let examination = examine(sample);
        self.problems(sample, &examination);
        let known = self.known(sample, &examination);
        let mut text = match *sample.name == *sample.stanza {
            true => format!("[{}]\n", sample.stanza),
            false => format!("[{}] {}\n", sample.stanza, sample.name),
        };
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:<8}{value}");
        };
        if let Some(file) = &sample.file {
            let shown = file.strip_prefix(&self.request.working_dir).unwrap_or(file);
            line("reads", &shown.display().to_string());
        }
        line("makes", &makes(sample, &examination));
        line("runs", &self.runs(sample));
        line("writes", &sample.output);
        if known.events > 0 {
            line("volume", &forecast::sentence(sample, known, self.now));
        }
        if !examination.tokens.is_empty() {
            line("tokens", &tokens(&examination));
        }
        text
    }

    fn known(&self, sample: &SampleConfig, examination: &Examination) -> Known {
        let seed = self.request.seed.unwrap_or_default();
        let Ok(events) = preview(sample, SIZED_EVENTS, self.now, seed) else { return Known::default() };
        let size: usize = events.iter().map(|event| event.text.len()).sum();
        let pass = || {
            let make = self.registry.generators.get(&sample.generator)?;
            make(sample).ok()?.schedule()?.last().copied()
        };
        Known {
            events: examination.events.unwrap_or_default(),
            event_bytes: size as f64 / events.len().max(1) as f64,
            pass: if sample.generator == "replay" { pass() } else { None },
        }
    }

    fn problems(&mut self, sample: &SampleConfig, examination: &Examination) {
        let at = |level, place: Option<&Place>, message: String| match place {
            Some(place) => Finding::at_place(level, place, &self.request.working_dir, message),
            None => Finding::new(level, message),
        };
        if let Some(why) = &examination.nothing {
            let message = format!("[{}] makes nothing: {why}", sample.stanza);
            self.findings.push(at(Level::Error, sample.place.as_ref(), message));
        }
        let rater = self.registry.raters.get(&sample.rater).and_then(|make| make(sample).err());
        let output = self.registry.outputs.get(&sample.output).and_then(|make| make(sample).err());
        for why in [rater, output].into_iter().flatten() {
            // A plugin may have said the place in its own words.
            let places = sample.settings.values().filter_map(|setting| setting.place.as_ref());
            let said = |place| why.strip_prefix(&format!("{place}: ")).map(|rest| (Some(place), rest));
            let (place, why) = places.into_iter().find_map(said).unwrap_or((sample.place.as_ref(), &why));
            let message = format!("[{}] does not run: {why}", sample.stanza);
            self.findings.push(at(Level::Error, place, message));
        }
        for problem in &examination.problems {
            self.findings.push(at(Level::Warning, problem.place.as_ref(), problem.message.clone()));
        }
        let window = [&sample.earliest, &sample.latest].map(|moment| moment.resolve(self.now, &sample.zone));
        if window[0] > window[1] && sample.generator != "replay" {
            let place = sample.settings.get("earliest").or_else(|| sample.settings.get("latest"));
            let message = format!("[{}] makes nothing: earliest is later than latest", sample.stanza);
            self.findings.push(at(Level::Error, place.and_then(|setting| setting.place.as_ref()), message));
        }
        for (token, matches) in sample.tokens.iter().zip(&examination.tokens) {
            let said = examination.problems.iter().any(|problem| problem.place == token.replacement_place);
            if let (false, Some(place), Some(number)) = (said, &token.pattern_place, token.number) {
                self.tokens.entry(place.clone()).or_insert((number, false)).1 |= matches.lines > 0;
            }
            let asks_for_zone = ["%z", "%:z", "%Z"].iter().any(|part| token.replacement.contains(part));
            let is_time = matches!(token.kind, ReplacementKind::Timestamp | ReplacementKind::ReplayTimestamp);
            if is_time && asks_for_zone && !sample.zone.is_named() {
                let message = format!("%z and %Z print nothing, as [{}] names no zone", sample.stanza);
                let finding = at(Level::Note, token.replacement_place.as_ref(), message);
                self.findings.push(finding.help("timezone = local makes them print the machine's"));
            }
        }
    }

    /// Of an inherited token it is enough that it matches somewhere.
    fn tokens_that_never_match(&mut self) {
        let never = self.tokens.iter().filter(|(_, (_, matches))| !matches);
        self.findings.extend(never.map(|(place, (number, _))| {
            let message = format!("token {number} never matches");
            Finding::at_place(Level::Warning, place, &self.request.working_dir, message)
                .help("no event of the samples it applies to has it; it is a regular expression")
        }));
    }

    fn runs(&self, sample: &SampleConfig) -> String {
        let delay = i64::try_from(sample.delay.as_nanos()).unwrap_or(i64::MAX);
        let first = UnixNanos(self.now.0.saturating_add(delay));
        let mut text = String::new();
        if let Some(backfill) = &sample.backfill {
            let from = backfill.resolve(self.now, &sample.zone);
            let _ = write!(text, "back to {}, then ", shown(from, &sample.zone));
        }
        let _ = write!(text, "at {}", shown(first, &sample.zone));
        if sample.end == End::Runs(1) {
            return text + ", once";
        }
        let _ = match (sample.generator.as_str(), sample.interval) {
            ("replay", Duration::ZERO) => write!(text, " and again at once"),
            ("replay", interval) => write!(text, " and again after {}", length(interval)),
            (_, Duration::ZERO) => write!(text, " and every 1s"),
            (_, interval) => write!(text, " and every {}", length(interval)),
        };
        let _ = match &sample.end {
            End::Never => write!(text, ", without an end"),
            End::Runs(runs) => write!(text, ", until {} runs are made", grouped(*runs)),
            End::At(end) => {
                write!(text, ", until {}", shown(end.resolve(self.now, &sample.zone), &sample.zone))
            }
        };
        text
    }
}

fn makes(sample: &SampleConfig, examination: &Examination) -> String {
    let pass = examination.events.unwrap_or_default();
    let events = |count: u64| format!("{} event{}", grouped(count), if count == 1 { "" } else { "s" });
    let amount = match (sample.per_day_volume, sample.count) {
        _ if examination.nothing.is_some() => return "nothing".to_owned(),
        _ if sample.end == End::Runs(0) => return "nothing: end = 0".to_owned(),
        (Some(gib), _) => format!("{gib} GiB a day out of {}", events(pass)),
        (None, Count::Events(0)) => return "nothing: count = 0".to_owned(),
        (None, Count::Events(count)) if sample.bundle_lines => {
            format!("{} times all {} a run", grouped(count), events(pass))
        }
        (None, Count::Events(count)) if sample.file.is_some() => {
            format!("{} a run out of {}", events(count), events(pass))
        }
        (None, Count::Events(count)) => format!("{} a run", events(count)),
        (None, Count::WholeFile) => format!("{} a run", events(pass)),
    };
    let how = if sample.randomize_events { ", picked at random" } else { "" };
    match sample.generator.as_str() {
        "default" | "perdayvolumegenerator" => format!("{amount}{how}"),
        generator => format!("{amount}{how}, by {generator}"),
    }
}

fn tokens(examination: &Examination) -> String {
    let events = examination.events.unwrap_or_default();
    let matches = examination.tokens.iter().map(|token| {
        let name = token.number.map_or_else(|| "found time".to_owned(), |number| number.to_string());
        match token.lines {
            0 => format!("{name} nowhere"),
            lines if lines >= events => format!("{name} everywhere"),
            lines => format!("{name} in {}", grouped(lines)),
        }
    });
    matches.collect::<Vec<_>>().join(", ")
}

fn shown(at: UnixNanos, zone: &Zone) -> String {
    let mut text = Vec::new();
    if let Ok(format) = TimeFormat::compile("%Y-%m-%d %H:%M:%S", zone) {
        format.write(at, &mut FormatCache::default(), &mut text);
    }
    String::from_utf8(text).unwrap_or_default()
}

/// `90s`, `0.5s`.
fn length(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests;
