//! What the original made of whole confs (`tests/golden/eventgen`), made by conf, raters and generators here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::eventgen::conf::{self, Request};
use crate::eventgen::config::{End, RunConfig};
use crate::eventgen::pattern::Pattern;
use crate::eventgen::rater;
use crate::eventgen::time::Zone;

/// What differs from the original, and why.
enum Own {
    /// This is what comes out.
    Stdout(&'static str),
    /// The original's defect is not ours; each line looks like this, and there are so many.
    Lines(&'static str, usize),
    /// Nothing is made, with this message.
    Refused(&'static str),
}

const DIFFERENT: &[(&str, Own)] = &[
    ("tok_bad_regex", Own::Stdout("x\n")),
    ("tok_list_numbers", Own::Stdout("v=42\n")),
    ("tok_mvfile_quotes", Own::Stdout("[a,b][c]\n")),
    ("tok_mvfile_relative_first", Own::Lines("alice/10|bob/20|carol/30", 40)),
    ("tok_rated_integer", Own::Stdout("v=50\n")),
    ("tok_inherit_over_ten", Own::Stdout("0 1 2 3 4 5 6 7 8 9 10 Z\n")),
    // A zone that is written is meant.
    ("ts_abs_with_zone", Own::Stdout("2024-01-15T10:00:01\n")),
    ("ts_earliest_after_latest", Own::Refused("earliest")),
    ("ts_epoch_trailing_zero", Own::Stdout("1705320000\n")),
    ("ts_micro_always_zero", Own::Lines(r"\d{6}", 20)),
    ("ts_rel_bare_snap", Own::Lines("2024-05-15 (0[0-9]|1[0-3]):[0-5][0-9]", 1)),
    ("ts_rel_month_end", Own::Lines("2024", 1)),
    ("ts_rel_month_underflow", Own::Lines("202[34]", 1)),
    ("ts_rel_quarter_snap", Own::Stdout("2024-01-01 00:00\n")),
    ("ts_sequential", Own::Stdout("12:00:00\n12:00:10\n12:00:20\n12:00:30\n")),
    ("brk_invalid", Own::Refused("breaker")),
    ("csv_no_raw", Own::Refused("there is no column _raw; the columns are x, y")),
    ("pdv_never", Own::Lines("x{99}", 3)),
    ("replay_format_mismatch", Own::Refused("none of 5 lines carries a time")),
];

fn cases() -> Vec<Value> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "golden", "eventgen"].iter().collect();
    let mut cases: Vec<Value> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
        .collect();
    cases.sort_by_key(|case: &Value| case["name"].as_str().map(str::to_owned));
    cases
}

/// One case, run up to where outputs begin.
struct Trial {
    folder: tempfile::TempDir,
    start: UnixNanos,
    stdout: String,
    files: BTreeMap<String, String>,
    schedules: Vec<Vec<u128>>,
    complaints: String,
}

impl Trial {
    fn of(case: &Value) -> Self {
        let zone = case["env"]["TZ"].as_str().unwrap_or("UTC");
        let start = case["clock_start"].as_str().unwrap_or("2024-06-12 09:30:05");
        let named = Zone::parse(zone).unwrap();
        let Ok(Moment::At(start)) = Moment::parse(start, &named) else { panic!("{start} is no time") };
        let mut trial = Self {
            folder: tempfile::tempdir().unwrap(),
            start,
            stdout: String::new(),
            files: BTreeMap::new(),
            schedules: Vec::new(),
            complaints: String::new(),
        };
        for name in ["samples", "default", "out"] {
            fs::create_dir(trial.folder.path().join(name)).unwrap();
        }
        for (name, text) in case["files"].as_object().unwrap() {
            let text = trial.rooted(text.as_str().unwrap());
            let text = if name.ends_with(".conf") { with_zone(&text, zone) } else { text };
            fs::write(trial.folder.path().join(name), text).unwrap();
        }
        let registry = registry();
        let request = Request {
            target: trial.folder.path().join("default/eventgen.conf"),
            working_dir: trial.folder.path().into(),
            variables: trial.variables(case),
            seed: Some(1),
            ..Request::default()
        };
        let (run, findings) = conf::load(&request, &registry);
        findings.iter().for_each(|finding| trial.complaints.push_str(&format!("{finding}\n")));
        trial.run(run, &registry);
        trial
    }

    fn rooted(&self, text: &str) -> String {
        text.replace("{{ROOT}}", self.folder.path().to_str().unwrap()).replace("{{PORT}}", "1")
    }

    fn variables(&self, case: &Value) -> BTreeMap<String, String> {
        let of = |(name, value): (&String, &Value)| (name.clone(), self.rooted(value.as_str().unwrap()));
        case["env"].as_object().unwrap().iter().map(of).collect()
    }

    fn run(&mut self, run: Option<RunConfig>, registry: &Registry) {
        for sample in run.into_iter().flat_map(|run| run.samples) {
            match registry.generators[&sample.generator](&sample) {
                Ok(generator) => self.sample(&sample, &*generator, registry),
                Err(why) => self.complaints.push_str(&why),
            }
        }
    }

    fn sample(&mut self, sample: &SampleConfig, generator: &dyn Generator, registry: &Registry) {
        let End::Runs(runs) = sample.end else { return };
        let mut rater = registry.raters[&sample.rater](sample).unwrap();
        let interval = i64::try_from(sample.interval.as_nanos()).unwrap().max(SECOND);
        let mut batch = Batch::new();
        for run in 0..runs {
            let at = UnixNanos(self.start.0 + run as i64 * interval);
            let amount = rater.rate(at, generator.events_per_pass(), (run as f64 * 0.3) % 1.0).amount;
            let (Amount::Events(total) | Amount::Bytes(total)) = amount;
            let resolve = |moment: &Moment| moment.resolve(at, &sample.zone);
            let (earliest, latest) = match generator.schedule() {
                Some(_) => (at, at),
                None => (resolve(&sample.earliest), resolve(&sample.latest)),
            };
            let part = Part { run, first: 0, total, amount, earliest, latest, seed: run };
            if let Err(error) = generator.generate(&part, &mut batch) {
                self.complaints.push_str(&error.message);
            }
        }
        if let Some(schedule) = generator.schedule() {
            self.schedules.push(schedule.iter().map(std::time::Duration::as_millis).collect());
        }
        self.write(sample, &batch);
    }

    fn write(&mut self, sample: &SampleConfig, batch: &Batch) {
        for event in batch.iter() {
            let text = std::str::from_utf8(event.text).unwrap();
            match sample.output.as_str() {
                "file" => self.files.entry(format!("out/{}", sample.name)).or_default().push_str(text),
                "modinput" => self.stdout.push_str(&format!(
                    "  <event>\n    <time>{}</time>\n    <index>{}</index>\n    <source>{}</source>\n    \
                     <sourcetype>{}</sourcetype>\n    <host>{}</host>\n    <data>{text}</data>\n  </event>\n",
                    event.time.0 / SECOND,
                    event.meta.index,
                    event.meta.source,
                    event.meta.sourcetype,
                    event.meta.host,
                )),
                _ => {
                    self.stdout.push_str(text.trim_end());
                    self.stdout.push('\n');
                }
            }
        }
    }
}

/// The machine's zone is not the case's: the stanza names it.
fn with_zone(conf: &str, zone: &str) -> String {
    // Unnamed, it prints nothing.
    let conf = conf.replace("%z", "");
    if conf.contains("timezone") {
        return conf.replace("timezone = local", &format!("timezone = {zone}"));
    }
    let lines = conf.split('\n').map(|line| match line.starts_with('[') {
        true => format!("{line}\ntimezone = {zone}"),
        false => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn registry() -> Registry {
    let mut registry = Registry::default();
    register(&mut registry);
    rater::register(&mut registry);
    for name in ["stdout", "modinput", "file", "splunkstream"] {
        registry.outputs.insert(name.to_owned(), Arc::new(|_| Err(String::new())));
    }
    registry
}

fn each_line(stdout: &str, pattern: &str, name: &str) {
    let pattern = Pattern::new(&format!(r"(?:{pattern})\Z")).unwrap();
    for line in stdout.lines() {
        let found = pattern.find(line, 0, &mut pattern.finder());
        assert!(found.is_some_and(|found| found.whole == (0..line.len())), "{name}: {line}");
    }
}

fn as_expected(name: &str, expected: &Value, trial: &Trial) {
    let texts = |key: &str| {
        expected[key]
            .as_array()
            .map(|list| list.iter().map(|text| text.as_str().unwrap()).collect::<Vec<_>>())
    };
    if let Some(stdout) = expected["stdout"].as_str() {
        assert_eq!(trial.stdout, corrected(name, stdout), "{name}: {}", trial.complaints);
    }
    if let Some(lines) = texts("stdout_each_line_in") {
        assert!(trial.stdout.lines().all(|line| lines.contains(&line)), "{name}: {}", trial.stdout);
    }
    if let Some(pattern) = expected["stdout_each_line_matches"].as_str() {
        each_line(&trial.stdout, pattern, name);
    }
    let count = trial.stdout.lines().count() as u64;
    if let Some(lines) = expected["stdout_line_count"].as_u64() {
        assert_eq!(count, lines, "{name}: {}", trial.complaints);
    }
    if let Some(range) = expected["stdout_line_count_range"].as_array() {
        assert!(
            (range[0].as_u64().unwrap()..=range[1].as_u64().unwrap()).contains(&count),
            "{name}: {count}"
        );
    }
    for (file, text) in expected["files"].as_object().into_iter().flatten() {
        assert_eq!(trial.files.get(file).map(String::as_str), text.as_str(), "{name}: {file}");
    }
}

/// What the original would have written without two of its defects.
fn corrected(name: &str, stdout: &str) -> String {
    if name == "csv_columns" {
        // A row's index was used for all rows.
        let second = stdout.match_indices("idx1").nth(1).unwrap().0;
        return format!("{}idx2{}", &stdout[..second], &stdout[second + 4..]);
    }
    if name.starts_with("ts_timezone_") {
        // The wall clock of the zone was read as that of the machine: 13:45:30 in New York is what it was.
        let (before, rest) = stdout.split_once("<time>").unwrap();
        return format!("{before}<time>1715795130{}", &rest[10..]);
    }
    stdout.to_owned()
}

#[test]
fn as_the_original() {
    let groups = ["token", "timestamp", "breaker", "csv", "meta", "rate", "pdv", "generator"];
    let mut tried = 0;
    for case in cases().iter().filter(|case| groups.contains(&case["group"].as_str().unwrap())) {
        let name = case["name"].as_str().unwrap();
        let trial = Trial::of(case);
        match DIFFERENT.iter().find(|(other, _)| *other == name).map(|(_, own)| own) {
            None => {
                assert_ne!(case["verdict"], "broken in original", "{name} needs a decision");
                as_expected(name, &case["expected"], &trial);
            }
            Some(Own::Stdout(stdout)) => assert_eq!(trial.stdout, *stdout, "{name}: {}", trial.complaints),
            Some(Own::Lines(pattern, count)) => {
                each_line(&trial.stdout, pattern, name);
                assert_eq!(trial.stdout.lines().count(), *count, "{name}: {}", trial.complaints);
            }
            Some(Own::Refused(message)) => {
                assert_eq!(trial.stdout, "", "{name}");
                assert!(trial.complaints.contains(message), "{name}: {}", trial.complaints);
            }
        }
        tried += 1;
    }
    assert!(tried >= 90, "{tried} cases");
}

#[test]
fn replays_have_the_gaps_of_their_files() {
    let by_name: BTreeMap<_, _> =
        cases().into_iter().map(|case| (case["name"].as_str().unwrap().to_owned(), case)).collect();
    let plain = "09:30:05 one\n09:30:06 two\n09:30:08 three\n09:30:08 four\n09:30:10 five\n";
    for (name, schedule, expected) in [
        ("replay_gaps", &[0, 1000, 3000, 3000, 5000][..], plain),
        ("replay_maxqueue1", &[0, 1000, 3000, 3000, 5000], plain),
        ("replay_timestamp_token", &[0, 1000, 3000, 3000, 5000], plain),
        (
            "replay_timemultiple",
            &[0, 500, 1500, 1500, 2500],
            "09:30:05 one\n09:30:05 two\n09:30:06 three\n09:30:06 four\n09:30:07 five\n",
        ),
        ("replay_epoch", &[0, 1000, 2500], "ts=1718184605 a\nts=1718184606 b\nts=1718184607 c\n"),
        ("replay_no_timestamp", &[0, 1000], "09:30:05 one\n09:30:06 two\n"),
        ("replay_out_of_order", &[0, 0, 1000], "09:30:05 one\n09:30:05 two\n09:30:06 three\n"),
        ("replay_csv_metadata", &[0, 0], "09:30:05 one\n09:30:05 two\n"),
    ] {
        let trial = Trial::of(&by_name[name]);
        assert_eq!(trial.schedules, [schedule], "{name}: {}", trial.complaints);
        assert_eq!(trial.stdout.replace("2024-06-12 ", ""), expected, "{name}");
    }
    let trial = Trial::of(&by_name["replay_csv_timefield"]);
    assert_eq!(trial.schedules, [[0, 1000, 2000]]);
    assert!(trial.stdout.contains("<time>1718184607</time>\n    <index>i3</index>"), "{}", trial.stdout);
    assert!(Path::new(trial.folder.path()).exists());
    let mismatch = Trial::of(&by_name["replay_format_mismatch"]);
    assert!(mismatch.complaints.contains("none of 5 lines carries a time"), "{}", mismatch.complaints);
}
