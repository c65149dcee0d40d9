//! Whole confs, in folders of their own.

use std::fs;
use std::sync::Arc;

use super::*;
use crate::eventgen::config::{End, SampleConfig};
use crate::eventgen::time::Moment;

/// A folder with files, and what is asked for there.
struct Lab {
    folder: tempfile::TempDir,
    request: Request,
}

/// All plugins there are, by name only: loading makes none.
fn registry() -> Registry {
    let mut registry = Registry::default();
    for name in ["default", "replay", "windbag", "counter", "perdayvolumegenerator"] {
        registry.generators.insert(name.to_owned(), Arc::new(|_| Err(String::new())));
    }
    for name in ["config", "perdayvolume", "counter"] {
        registry.raters.insert(name.to_owned(), Arc::new(|_| Err(String::new())));
    }
    for name in ["stdout", "file", "devnull", "modinput", "httpevent"] {
        registry.outputs.insert(name.to_owned(), Arc::new(|_| Err(String::new())));
    }
    registry
}

impl Lab {
    /// A conf and empty sample files.
    fn new(conf: &str, samples: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let request = Request {
            target: "default/eventgen.conf".into(),
            working_dir: folder.path().into(),
            ..Request::default()
        };
        let lab = Self { folder, request };
        lab.file("default/eventgen.conf", conf);
        fs::create_dir(lab.folder.path().join("samples")).unwrap();
        samples.iter().for_each(|name| lab.file(&format!("samples/{name}"), "x\n"));
        lab
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn load(&self) -> (Option<RunConfig>, Vec<Finding>) {
        load(&self.request, &registry())
    }

    /// The samples of a conf there is nothing to say about.
    fn samples(&self) -> Vec<SampleConfig> {
        let (run, findings) = self.load();
        assert_eq!(findings, []);
        run.unwrap().samples
    }

    fn findings(&self) -> String {
        let (_, findings) = self.load();
        let text: Vec<_> = findings.iter().map(ToString::to_string).collect();
        text.join("\n\n").replace(&self.folder.path().display().to_string(), "/app")
    }
}

fn names(samples: &[SampleConfig]) -> Vec<(&str, &str)> {
    samples.iter().map(|sample| (&*sample.stanza, &*sample.name)).collect()
}

fn replacements(sample: &SampleConfig) -> Vec<&str> {
    sample.tokens.iter().map(|token| token.replacement.as_str()).collect()
}

fn token(number: u32, replacement: &str) -> String {
    format!(
        "token.{number}.token = @{number}\ntoken.{number}.replacementType = static\n\
         token.{number}.replacement = {replacement}\n"
    )
}

#[test]
fn a_stanza_that_says_nothing_has_the_defaults() {
    let lab = Lab::new("[a.txt]", &["a.txt"]);
    let sample = lab.samples().remove(0);
    assert_eq!((&*sample.name, &*sample.stanza), ("a.txt", "a.txt"));
    assert_eq!(sample.file, Some(lab.folder.path().join("samples/a.txt")));
    assert_eq!((sample.generator.as_str(), sample.rater.as_str()), ("default", "config"));
    assert_eq!(sample.output, "modinput");
    assert_eq!(sample.interval, Duration::from_secs(60));
    assert_eq!((sample.count, sample.end), (Count::WholeFile, End::Never));
    assert_eq!((sample.earliest, sample.latest, sample.backfill), (Moment::Now, Moment::Now, None));
    assert_eq!((sample.breaker, sample.per_day_volume), (None, None));
    assert_eq!((&*sample.meta.index, &*sample.meta.source), ("main", "a.txt"));
    assert_eq!((&*sample.meta.host, &*sample.meta.sourcetype), ("127.0.0.1", "eventgen"));
    assert!(sample.settings.is_empty() && sample.tokens.is_empty() && !sample.zone.is_named());
    assert_eq!(sample.place.unwrap().to_string(), "default/eventgen.conf:1:1");
}

#[test]
fn every_setting_arrives() {
    let conf = r#"
[global]
outputCounter = yes
threading = process
generatorWorkers = 3
seed = 7
[a.csv]
sampletype = csv
interval = 0.5
delay = 1m30s
count = 5
end = 3
randomizeCount = 0.2
randomizeEvents = 1
bundlelines = true
hourOfDayRate = {"0": 2}
monthOfYearRate = {"12": 0.5}
earliest = -1d@d
latest = +1h
timezone = +0530
sequentialTimestamp = on
backfill = -10m
autotimestamp = true
breaker = ^\d
extendIndexes = a,b:2
host.token = ^(\w+)
host.replacement = hosts:2
index = i
source = s
sourcetype = st
host = h
hostRegex = r
maxQueueLength = 9
outputMode = file
fileName = $OUT/x.log
timeMultiple = 2
timeField = when
"#;
    let lab = Lab::new(conf, &["a.csv"]);
    let (run, findings) = lab.load();
    assert_eq!(findings, []);
    let RunConfig { engine, samples } = run.unwrap();
    assert_eq!(engine.workers, NonZeroUsize::new(3));
    assert_eq!((engine.seed, engine.output_counter, engine.generator_queue_parts), (Some(7), true, 500));
    assert_eq!(engine.global["seed"].value, "7");
    let sample = &samples[0];
    assert_eq!(sample.interval, Duration::from_millis(500));
    assert_eq!(sample.delay, Duration::from_secs(90));
    assert_eq!((sample.count, &sample.end), (Count::Events(5), &End::Runs(3)));
    assert_eq!(sample.rates.hour_of_day.unwrap()[..2], [2.0, 1.0]);
    assert_eq!(sample.rates.month_of_year.unwrap()[10..], [1.0, 0.5]);
    assert!(sample.randomize_events && sample.bundle_lines && sample.sequential_timestamp);
    assert!(matches!((&sample.earliest, &sample.backfill), (Moment::Relative(_), Some(Moment::Relative(_)))));
    assert!(sample.zone.is_named());
    assert_eq!(sample.breaker.as_deref(), Some(r"^\d"));
    assert_eq!(sample.extend_indexes.join(" "), "a b0 b1");
    assert_eq!(sample.host_token.as_ref().unwrap().replacement, "hosts:2");
    assert_eq!(sample.meta.host_regex.as_ref(), "r");
    assert_eq!(sample.settings["fileName"].value, "$OUT/x.log", "for the output to read");
    assert_eq!(sample.max_queue_length, NonZeroUsize::new(9));
    assert_eq!((sample.time_multiple, sample.time_field.as_str()), (2.0, "when"));
    assert_eq!(sample.auto_timestamps.len(), autotimes::USUAL.len());
}

#[test]
fn each_file_is_one_sample_of_the_stanza_that_fits_best() {
    let lab = Lab::new(
        "[.*\\.log]\ncount = 1\n[a.*\\.log]\n[b.log]\n[.*]\n",
        &["a.log", "b.log", "c.log", "c.logx", "state.x", "d.part", "d.txt"],
    );
    let want = [
        (".*\\.log", "c.log"),
        ("a.*\\.log", "a.log"),
        ("b.log", "b.log"),
        (".*", "c.logx"),
        (".*", "d.txt"),
    ];
    assert_eq!(names(&lab.samples()), want);
}

#[test]
fn settings_and_tokens_are_inherited() {
    let conf = format!(
        "[.*]\ncount = 1\ninterval = 1\nhost = star\n{}[.*\\.log]\ncount = 2\nhost = log\n{}\
         [a.log]\ncount = 3\n{}[DEFAULT]\nindex = d\ninterval = 9\n[global]\nindex = g\nsource = g\n{}",
        token(0, "star0") + &token(5, "star5"),
        token(0, "log0"),
        token(11, "own11") + &token(2, "own2"),
        token(0, "global0"),
    );
    let samples = Lab::new(&conf, &["a.log"]).samples();
    let sample = &samples[0];
    assert_eq!((sample.count, sample.interval), (Count::Events(3), Duration::from_secs(1)));
    // Of two that are inherited from, the later one wins; [DEFAULT] stands over [global].
    assert_eq!((&*sample.meta.host, &*sample.meta.index, &*sample.meta.source), ("log", "d", "g"));
    assert_eq!(replacements(sample), ["own2", "own11", "star0", "star5", "log0", "global0"]);
    assert_eq!(sample.settings["count"].value, "3");
}

#[test]
fn names_are_matched_whole() {
    let conf = format!("[web]\ncount = 1\n{}[web2]\n", token(0, "leaked"));
    let samples = Lab::new(&conf, &["web", "web2"]).samples();
    assert_eq!((samples[0].count, samples[1].count), (Count::Events(1), Count::WholeFile));
    assert!(samples[1].tokens.is_empty());
}

#[test]
fn a_stanza_that_matches_a_file_but_not_the_winner_fills_in() {
    let conf = format!("[a.]\ncount = 2\nhost = short\n{}[a1|b1]\nhost = long\n", token(0, "short0"));
    let samples = Lab::new(&conf, &["a1"]).samples();
    assert_eq!(names(&samples), [("a1|b1", "a1")]);
    assert_eq!((samples[0].count, &*samples[0].meta.host), (Count::Events(2), "long"));
    assert_eq!(replacements(&samples[0]), ["short0"]);
}

#[test]
fn global_is_global() {
    let conf = "[global]\nend = 1\nbackfill = -1h\ntimezone = 0000\nsampleDir = ../$OTHER\nextendIndexes = x\n\
                [a.txt]\n[b.txt]\nend = 2\nsampleDir = ../samples\n";
    let mut lab = Lab::new(conf, &["a.txt", "b.txt"]);
    lab.request.variables.insert("OTHER".to_owned(), "other".to_owned());
    lab.file("other/a.txt", "x\n");
    let samples = lab.samples();
    assert_eq!((&samples[0].end, &samples[1].end), (&End::Runs(1), &End::Runs(2)));
    assert_eq!(samples[0].file, Some(lab.folder.path().join("other/a.txt")));
    assert_eq!(samples[1].file, Some(lab.folder.path().join("samples/b.txt")));
    assert!(samples[0].backfill.is_some() && samples[0].zone.is_named());
}

#[test]
fn layers_of_an_app() {
    let mut lab = Lab::new("[a.txt]\ncount = 1\ninterval = 2\n", &["a.txt"]);
    lab.file("local/eventgen.conf", "[a.txt]\ncount = 2\n");
    for target in [".", "./", ""] {
        lab.request.target = target.into();
        let sample = lab.samples().remove(0);
        assert_eq!((sample.count, sample.interval), (Count::Events(2), Duration::from_secs(2)), "{target}");
    }
}

#[test]
fn generators_that_read_no_file_need_none() {
    let conf = "[wb]\ngenerator = windbag\n[gone.txt]\ndisabled = 1\n";
    let (run, findings) = Lab::new(conf, &[]).load();
    let samples = run.unwrap().samples;
    assert_eq!(names(&samples), [("wb", "wb")]);
    assert_eq!((samples[0].file.as_ref(), &*samples[0].meta.source), (None, "windbag"));
    assert_eq!(findings, []);
}

#[test]
fn replay_and_volume_choose_their_plugins() {
    let conf = "[r.txt]\nmode = replay\ncount = 5\nhourOfDayRate = {\"1\": 2}\nrandomizeCount = 1\n\
                [s.txt]\nmode = replay\ninterval = 5\n[v.txt]\nmode = replay\nperDayVolume = 0.5\n";
    let samples = Lab::new(conf, &["r.txt", "s.txt", "v.txt"]).samples();
    let replay = &samples[0];
    assert_eq!((replay.generator.as_str(), replay.count), ("replay", Count::WholeFile));
    assert_eq!((&replay.rates, replay.randomize_count), (&Default::default(), 0.0));
    assert_eq!((replay.interval, samples[1].interval), (Duration::ZERO, Duration::from_secs(5)));
    assert_eq!(
        (samples[2].generator.as_str(), samples[2].rater.as_str()),
        ("perdayvolumegenerator", "perdayvolume")
    );
    assert_eq!(samples[2].per_day_volume, Some(0.5));
}

#[test]
fn the_command_line_wins_with_and_without_sample_dir() {
    for conf in ["[a.txt]\nbackfill = -1h\n", "[a.txt]\nbackfill = -1h\nsampleDir = ../samples\n"] {
        let mut lab = Lab::new(conf, &["a.txt"]);
        lab.request.overrides = Overrides {
            count: Some(Count::Events(4)),
            interval: Some(Duration::from_secs(7)),
            end: Some("2".to_owned()),
            output: Some("devnull".to_owned()),
            backfill: None,
        };
        lab.request.workers = NonZeroUsize::new(2);
        let sample = lab.samples().remove(0);
        assert_eq!((sample.count, sample.interval), (Count::Events(4), Duration::from_secs(7)));
        assert_eq!((&sample.end, sample.output.as_str()), (&End::Runs(2), "devnull"));
        // --count does away with the backfill of the conf, not with that of the command line.
        assert_eq!(sample.backfill, None);
        lab.request.overrides.backfill = Some("-5m".to_owned());
        assert!(lab.samples()[0].backfill.is_some());
    }
}

#[test]
fn one_sample_alone() {
    let mut lab = Lab::new("[.*\\.log]\n[b.txt]\n", &["a.log", "c.log", "b.txt"]);
    for (name, want) in
        [("b.txt", vec!["b.txt"]), (".*\\.log", vec!["a.log", "c.log"]), ("c.log", vec!["c.log"])]
    {
        lab.request.sample = Some(name.to_owned());
        let samples = lab.samples();
        assert_eq!(samples.iter().map(|sample| &*sample.name).collect::<Vec<_>>(), want);
    }
    lab.request.sample = Some("b.tx".to_owned());
    assert!(lab.load().0.is_none());
    assert_eq!(lab.findings(), "error: there is no sample called b.tx\n  = did you mean b.txt?");
}

#[test]
fn a_value_that_is_wrong_is_dropped_and_the_next_one_counts() {
    let conf = "[.*]\ncount = 5\n[a.txt]\ninterval = abc\ncount = many\nhourOfDayRate = {\"9\": }\n";
    let (run, findings) = Lab::new(conf, &["a.txt"]).load();
    let sample = &run.unwrap().samples[0];
    assert_eq!((sample.interval, sample.count), (Duration::from_secs(60), Count::Events(5)));
    assert_eq!(sample.rates, Default::default());
    assert_eq!(findings.iter().map(|finding| finding.level).collect::<Vec<_>>(), [Level::Warning; 3]);
}

#[test]
fn what_would_be_silently_wrong_stops_its_stanza_alone() {
    let conf =
        "[a.txt]\nearliest = yesterday\n[b.txt]\nbreaker = ((\n[c.txt]\noutputMode = nosuch\n[d.txt]\n";
    let (run, findings) = Lab::new(conf, &["a.txt", "b.txt", "c.txt", "d.txt"]).load();
    assert_eq!(names(&run.unwrap().samples), [("d.txt", "d.txt")]);
    assert_eq!(findings.iter().map(|finding| finding.level).collect::<Vec<_>>(), [Level::Error; 3]);
    // Alone, nothing is left to run.
    assert!(Lab::new("[a.txt]\noutputMode = nosuch\n", &["a.txt"]).load().0.is_none());
    // Nothing to do is no error.
    assert!(Lab::new("[nope.txt]\n", &["a.txt"]).load().0.unwrap().samples.is_empty());
}

#[test]
fn tokens_that_cannot_be_used_are_left_out() {
    let conf = "[a.txt]\ntoken.0.token = ((\ntoken.0.replacementType = static\ntoken.0.replacement = x\n\
                token.1.token = X\ntoken.1.replacementType = bogus\ntoken.1.replacement = x\n\
                token.3.token = Y\ntoken.3.replacementType = STATIC\ntoken.3.replacement =\n\
                token.4.token = Z\n";
    let (run, findings) = Lab::new(conf, &["a.txt"]).load();
    let samples = run.unwrap().samples;
    assert_eq!(samples[0].tokens.len(), 1);
    assert_eq!((samples[0].tokens[0].number, samples[0].tokens[0].replacement.as_str()), (Some(3), ""));
    assert_eq!(findings.len(), 3);
}

#[test]
fn plugins_of_others_may_have_settings_nobody_here_knows() {
    let lab = Lab::new("[a.txt]\nmyPluginSetting = 1\ncoumt = 2\n", &["a.txt"]);
    assert_eq!(lab.load().1.len(), 2);
    let mut registry = registry();
    registry.generators.insert("mine".to_owned(), Arc::new(|_| Err(String::new())));
    let (run, findings) = load(&lab.request, &registry);
    assert_eq!(findings.len(), 1, "the one that is nearly right is still said: {findings:?}");
    assert_eq!(run.unwrap().samples[0].settings["myPluginSetting"].value, "1");
}

#[test]
fn what_findings_look_like() {
    let conf = r#"
[global]
outputWorkers = 4
debug = true
jinja_variables = {}

[default]
index = d

[*.log]
count = 1

[b\.(txt]

[a.txt]
intervall = 5
interval = abc
count = -5
disabled = perhaps
mode = reply
earliest = -1fortnight
hourOfDayRate = {"24": 1}
httpeventServers = {"servers": [{"key": "hush"}
generatorWorkers = 2
spoolDir = $SPLUNK_HOME/spool
outputMode = htpevent
token.0.token = a(b
token.0.replacementType = static
token.0.replacement = x
token.1.token = b
token.1.replacementType = randm
token.1.replacement = ipv4
token.2.token = c
token.3.tokn = c
token.5.token = t
token.5.replacementType = timestamp
token.5.replacement = %12N

[missing.txt]
sampleDir = $NOWHERE/samples

[c.txt]
generator = jinja
spoolDir = $SPLUNK_HOME/spool
outputMode = htpevent
"#;
    let lab = Lab::new(conf, &["a.txt", "c.txt", "mising.txt"]);
    insta::assert_snapshot!(lab.findings());
}
