//! From a stanza with all it inherits to a [`SampleConfig`].

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::autotimes::USUAL;
use super::finding::{Finding, Level, Spot};
use super::settings::{LATER_GENERATORS, LATER_OUTPUTS, known, nearest};
use super::values::{self, Kind};
use super::view::View;
use super::{Findings, Request};
use crate::eventgen::config::{Count, End, Rates, ReplacementKind, SampleConfig, SampleType, TokenConfig};
use crate::eventgen::event::Meta;
use crate::eventgen::plugin::Registry;
use crate::eventgen::time::{Moment, Zone};

/// The breaker that means: one event a line.
const LINES: &str = r"[^\r\n\s]+";

pub(super) struct Builder<'a> {
    request: &'a Request,
    registry: &'a Registry,
    variables: Arc<BTreeMap<String, String>>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(request: &'a Request, registry: &'a Registry) -> Self {
        Self { request, registry, variables: Arc::new(request.variables.clone()) }
    }

    /// The sample of a stanza and one of its files; `None` if it is not to run, or cannot.
    pub(super) fn build(
        &self,
        view: &View<'_>,
        folder: &Path,
        file: Option<&str>,
        findings: &mut Findings,
    ) -> Option<SampleConfig> {
        if view.flag("disabled") {
            let spot = view.get("disabled").map(|checked| &checked.entry.value_spot)?;
            findings.push(Finding::at(Level::Note, spot, format!("[{}] is disabled", view.stanza.name)));
            return None;
        }
        // Its own finding has said why.
        if view.broken().is_some() {
            return None;
        }
        let plugins = Plugins::of(view, self.request);
        plugins.check(view, self.registry, findings)?;
        Some(self.sample(view, &plugins, folder, file))
    }

    fn sample(
        &self,
        view: &View<'_>,
        plugins: &Plugins<'_>,
        folder: &Path,
        file: Option<&str>,
    ) -> SampleConfig {
        let is_replay = plugins.generator == "replay";
        let zone = view.given("timezone").and_then(|text| Zone::parse(text).ok()).unwrap_or_else(Zone::local);
        let moment = |name| view.read(name, |text| Moment::parse(text, &zone)).unwrap_or(Moment::Now);
        let number = |name| view.read(name, values::number);
        let breaker = view.text("breaker");
        SampleConfig {
            stanza: Arc::clone(&view.stanza.name),
            place: view.stanza.spot.as_ref().map(Spot::place),
            name: file.map_or_else(|| Arc::clone(&view.stanza.name), Arc::from),
            file: file.map(|file| folder.join(file)),
            sample_dir: folder.to_owned(),
            working_dir: self.request.working_dir.clone(),
            variables: Arc::clone(&self.variables),
            sample_type: if view.text("sampletype") == "csv" { SampleType::Csv } else { SampleType::Raw },
            generator: plugins.generator.to_owned(),
            rater: plugins.rater.to_owned(),
            output: plugins.output.to_owned(),
            interval: self.interval(view, is_replay),
            delay: view.read("delay", values::seconds).unwrap_or_default(),
            // A replay is one pass through the file, at the pace of the file.
            count: if is_replay { Count::WholeFile } else { self.count(view) },
            per_day_volume: number("perDayVolume"),
            randomize_count: number("randomizeCount").filter(|_| !is_replay).unwrap_or_default(),
            randomize_events: view.flag("randomizeEvents"),
            bundle_lines: view.flag("bundlelines"),
            rates: if is_replay { Rates::default() } else { rates(view) },
            earliest: moment("earliest"),
            latest: moment("latest"),
            sequential_timestamp: view.flag("sequentialTimestamp"),
            backfill: self.backfill(view, &zone),
            end: self.end(view, &zone),
            time_multiple: number("timeMultiple").unwrap_or(1.0),
            time_field: view.text("timeField").to_owned(),
            auto_timestamps: auto_timestamps(view),
            breaker: (breaker != LINES).then(|| breaker.to_owned()),
            tokens: view.tokens(),
            host_token: host_token(view),
            extend_indexes: view.read("extendIndexes", values::indexes).unwrap_or_default(),
            meta: meta(view, file.unwrap_or(plugins.generator)),
            max_queue_length: view.text("maxQueueLength").parse().ok().and_then(NonZeroUsize::new),
            settings: view.settings(),
            zone,
        }
    }

    fn count(&self, view: &View<'_>) -> Count {
        let overriding = self.request.overrides.count;
        overriding.or_else(|| view.read("count", values::count)).unwrap_or(Count::WholeFile)
    }

    /// A replay begins again at once, unless it is told to wait.
    fn interval(&self, view: &View<'_>, is_replay: bool) -> Duration {
        match self.request.overrides.interval {
            Some(interval) => interval,
            None if is_replay && view.given("interval").is_none() => Duration::ZERO,
            None => view.read("interval", values::seconds).unwrap_or_default(),
        }
    }

    fn backfill(&self, view: &View<'_>, zone: &Zone) -> Option<Moment> {
        let overrides = &self.request.overrides;
        let text = match (&overrides.backfill, overrides.count) {
            (Some(text), _) => text.as_str(),
            (None, Some(_)) => return None,
            (None, None) => view.given("backfill")?,
        };
        Moment::parse(text, zone).ok()
    }

    fn end(&self, view: &View<'_>, zone: &Zone) -> End {
        let text = self.request.overrides.end.as_deref().unwrap_or_else(|| view.text("end"));
        values::end(text, zone).unwrap_or(End::Never)
    }
}

/// The plugins of a sample.
struct Plugins<'a> {
    generator: &'a str,
    rater: &'a str,
    output: &'a str,
}

impl<'a> Plugins<'a> {
    fn of(view: &View<'a>, request: &'a Request) -> Self {
        let (generator, rater) = if view.given("perDayVolume").is_some() {
            ("perdayvolumegenerator", "perdayvolume")
        } else if view.text("mode") == "replay" {
            ("replay", view.text("rater"))
        } else {
            (view.text("generator"), view.text("rater"))
        };
        let output = request.overrides.output.as_deref().unwrap_or_else(|| view.text("outputMode"));
        Self { generator, rater, output }
    }

    /// Says which of them are not there.
    fn check(&self, view: &View<'_>, registry: &Registry, findings: &mut Findings) -> Option<()> {
        let raters = &registry.raters;
        let kinds = [
            ("generator", self.generator, names(&registry.generators), LATER_GENERATORS),
            ("rater", self.rater, names(raters), &[]),
            ("outputMode", self.output, names(&registry.outputs), LATER_OUTPUTS),
        ];
        let mut all = Some(());
        for (setting, name, known, later) in kinds {
            if known.contains(&name) {
                continue;
            }
            all = None;
            let (message, help) = match later.iter().find(|(later, _)| *later == name) {
                Some((_, what)) => (format!("{setting} = {name}: {what} not there yet"), None),
                None => (
                    format!("{setting} = {name}: there is none of this name"),
                    Some(match nearest(name, known.iter().copied()) {
                        Some(near) => format!("did you mean {near}?"),
                        None => format!("there are {}", known.join(", ")),
                    }),
                ),
            };
            let spot = view.get(setting).map(|checked| &checked.entry.value_spot);
            let finding = match spot.or(view.stanza.spot.as_ref()) {
                Some(spot) => Finding::at(Level::Error, spot, message),
                None => Finding::new(Level::Error, message),
            };
            findings.push(match help {
                Some(help) => finding.help(help),
                None => finding,
            });
        }
        all
    }
}

fn names<T>(plugins: &BTreeMap<String, T>) -> Vec<&str> {
    plugins.keys().map(String::as_str).collect()
}

fn meta(view: &View<'_>, source: &str) -> Arc<Meta> {
    Arc::new(Meta {
        index: view.text("index").into(),
        host: view.text("host").into(),
        source: view.given("source").unwrap_or(source).into(),
        sourcetype: view.text("sourcetype").into(),
        host_regex: view.text("hostRegex").into(),
    })
}

fn rates(view: &View<'_>) -> Rates {
    fn fixed<const N: usize>(view: &View<'_>, name: &'static str) -> Option<[f64; N]> {
        let Kind::Rates(first, count) = known(name)?.kind else { return None };
        values::rates(view.given(name)?, first, count).ok()?.try_into().ok()
    }
    Rates {
        hour_of_day: fixed(view, "hourOfDayRate"),
        day_of_week: fixed(view, "dayOfWeekRate"),
        minute_of_hour: fixed(view, "minuteOfHourRate"),
        day_of_month: fixed(view, "dayOfMonthRate"),
        month_of_year: fixed(view, "monthOfYearRate"),
    }
}

fn auto_timestamps(view: &View<'_>) -> Arc<[(String, String)]> {
    if !view.flag("autotimestamp") {
        return Arc::default();
    }
    match view.given("autotimestamps").and_then(|text| values::timestamps(text).ok()) {
        Some(pairs) => pairs.into(),
        None => USUAL.iter().map(|(pattern, format)| ((*pattern).to_owned(), (*format).to_owned())).collect(),
    }
}

fn host_token(view: &View<'_>) -> Option<TokenConfig> {
    let (pattern, replacement) = (view.get("host.token")?, view.get("host.replacement")?);
    Some(TokenConfig {
        number: None,
        pattern: pattern.entry.value.clone(),
        pattern_place: Some(pattern.entry.value_spot.place()),
        kind: ReplacementKind::File,
        replacement: replacement.entry.value.clone(),
        replacement_place: Some(replacement.entry.value_spot.place()),
    })
}
