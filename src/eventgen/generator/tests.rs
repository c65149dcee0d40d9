use std::fs;

use proptest::prelude::*;

use super::*;
use crate::eventgen::config::{Count, ReplacementKind, SampleType, TokenConfig};
use crate::eventgen::event::Batch;
use crate::eventgen::plugin::Amount;
use crate::eventgen::testing;
use crate::eventgen::time::Moment;

mod golden;

/// 2024-01-15 12:00:00 UTC.
const NOON: i64 = 1_705_320_000_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// A sample of this text.
struct Lab {
    folder: tempfile::TempDir,
    sample: SampleConfig,
}

impl Lab {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut sample = testing::sample("a.txt", &[]);
        let path = folder.path().join("a.txt");
        fs::write(&path, text).unwrap();
        sample.file = Some(path);
        sample.sample_dir = folder.path().into();
        sample.working_dir = folder.path().into();
        Self { folder, sample }
    }

    fn token(mut self, pattern: &str, kind: ReplacementKind, replacement: &str) -> Self {
        self.sample.tokens.push(TokenConfig {
            number: Some(self.sample.tokens.len() as u32),
            pattern: pattern.to_owned(),
            pattern_place: None,
            kind,
            replacement: replacement.to_owned(),
            replacement_place: None,
        });
        self
    }

    fn set(mut self, set: impl FnOnce(&mut SampleConfig)) -> Self {
        set(&mut self.sample);
        self
    }

    fn make(&self, generator: &str) -> Result<Arc<dyn Generator>, String> {
        make(generator, &self.sample, &Shared::default(), &mut Vec::new())
    }
}

/// A minute from noon on.
fn part(first: u64, amount: Amount) -> Part {
    let total = match amount {
        Amount::Events(count) | Amount::Bytes(count) => first + count,
    };
    Part {
        run: 0,
        first,
        total,
        amount,
        earliest: UnixNanos(NOON),
        latest: UnixNanos(NOON + 60 * SECOND),
        seed: 5,
    }
}

fn events(count: u64) -> Part {
    part(0, Amount::Events(count))
}

fn texts(generator: &dyn Generator, part: &Part) -> Vec<String> {
    let mut batch = Batch::new();
    generator.generate(part, &mut batch).unwrap();
    batch.iter().map(|event| String::from_utf8(event.text.to_vec()).unwrap()).collect()
}

#[test]
fn parts_may_be_made_in_any_order() {
    let lab = Lab::new("a @t @i\nb @g\nc\n")
        .token("@t", ReplacementKind::Timestamp, "%H:%M:%S.%f")
        .token("@i", ReplacementKind::Random, "integer[1:1000000]")
        .token("@g", ReplacementKind::Random, "guid");
    for (generator, count) in [("default", 40), ("windbag", 40), ("counter", 40)] {
        let generator = lab.make(generator).unwrap();
        assert!(generator.is_parallel());
        let parts: Vec<_> =
            (0..4).map(|n| Part { total: count, seed: n, ..part(n * 10, Amount::Events(10)) }).collect();
        let forward: Vec<_> = parts.iter().map(|part| texts(&*generator, part)).collect();
        let mut backward: Vec<_> = parts.iter().rev().map(|part| texts(&*generator, part)).collect();
        backward.reverse();
        assert_eq!(forward, backward);
        assert_ne!(forward[0], forward[1]);
    }
    let lines = texts(&*lab.make("default").unwrap(), &part(4, Amount::Events(4)));
    let heads: String = lines.iter().map(|line| &line[..1]).collect();
    assert_eq!(heads, "bcab", "a part goes on where its run was");
}

#[test]
fn random_lines_are_all_drawn() {
    let lab = Lab::new("a\nb\nc\n").set(|sample| sample.randomize_events = true);
    let lines = texts(&*lab.make("default").unwrap(), &events(300));
    for line in ["a\n", "b\n", "c\n"] {
        let count = lines.iter().filter(|other| *other == line).count();
        assert!((50..150).contains(&count), "{line}: {count}");
    }
}

#[test]
fn instants_lie_in_the_window() {
    let instants = |lab: &Lab| {
        let mut batch = Batch::new();
        lab.make("default").unwrap().generate(&events(600), &mut batch).unwrap();
        batch.iter().map(|event| event.time.0 - NOON).collect::<Vec<_>>()
    };
    let whole = instants(&Lab::new("x\n"));
    assert!(whole.iter().all(|at| (0..=60 * SECOND).contains(at) && at % SECOND == 0));
    assert!(
        (0..=60).all(|second| whole.contains(&(second * SECOND))),
        "every second is drawn, the last one too"
    );
    let fine = instants(&Lab::new("x\n").token("x", ReplacementKind::Timestamp, "%S.%3N"));
    assert!(fine.iter().all(|at| (0..=60 * SECOND).contains(at) && at % 1000 == 0));
    assert!(fine.iter().any(|at| at % SECOND != 0));
    let even = instants(&Lab::new("x\n").set(|sample| sample.sequential_timestamp = true));
    assert!(even.iter().enumerate().all(|(number, at)| *at == number as i64 * SECOND / 10));
}

#[test]
fn a_window_that_ends_before_it_begins_is_an_error() {
    let lab = Lab::new("x\n");
    let part = Part { latest: UnixNanos(NOON - 3_500_000_000), ..events(1) };
    for generator in ["default", "windbag", "counter"] {
        let error = lab.make(generator).unwrap().generate(&part, &mut Batch::new()).unwrap_err();
        assert_eq!(
            error.message,
            "earliest is 3.5 s after latest: no event can be in between; check both settings"
        );
        assert!(!error.fatal);
    }
}

#[test]
fn rows_have_metas_of_their_own() {
    let lab = Lab::new("host,_raw,index,other\nh1,one,i1,x\n,two\nh1,\"thr\nee\",i1\nh4\n")
        .set(|sample| sample.sample_type = SampleType::Csv);
    let mut batch = Batch::new();
    lab.make("default").unwrap().generate(&events(3), &mut batch).unwrap();
    let shown: Vec<_> = batch
        .iter()
        .map(|event| (std::str::from_utf8(event.text).unwrap(), &*event.meta.host, &*event.meta.index))
        .collect();
    assert_eq!(shown, [("one\n", "h1", "i1"), ("two\n", "h", "i"), ("thr\nee\n", "h1", "i1")]);
    let metas: Vec<_> = batch.iter().map(|event| Arc::clone(event.meta)).collect();
    assert!(Arc::ptr_eq(&metas[0], &metas[2]));
    let problems = examine(&lab.sample).problems;
    assert_eq!(problems[0].message, "1 rows have no cell for the column _raw and are left out");
}

#[test]
fn indexes_and_hosts_are_drawn_for_each_event() {
    let lab = Lab::new("x\n").set(|sample| {
        sample.extend_indexes = vec!["web0".into(), "web1".into()];
        sample.host_token = Some(TokenConfig {
            number: None,
            pattern: "^h".to_owned(),
            pattern_place: None,
            kind: ReplacementKind::File,
            replacement: "hosts".to_owned(),
            replacement_place: None,
        });
    });
    fs::write(lab.folder.path().join("hosts"), "alpha\nbeta\n").unwrap();
    for generator in ["default", "windbag"] {
        let mut batch = Batch::new();
        lab.make(generator).unwrap().generate(&events(100), &mut batch).unwrap();
        let seen: std::collections::BTreeSet<_> =
            batch.iter().map(|event| format!("{}@{}", event.meta.host, event.meta.index)).collect();
        assert_eq!(
            seen.into_iter().collect::<Vec<_>>(),
            ["alpha@web0", "alpha@web1", "beta@web0", "beta@web1"]
        );
    }
}

#[test]
fn counts_go_on_after_a_restart() {
    let lab = Lab::new("@i @s\n").token("@i", ReplacementKind::IntegerId, "100").token(
        "@s",
        ReplacementKind::SeqFile,
        "list",
    );
    fs::write(lab.folder.path().join("list"), "a\nb\nc\n").unwrap();
    let generator = lab.make("default").unwrap();
    assert!(!generator.is_parallel());
    assert_eq!(texts(&*generator, &events(2)), ["100 a\n", "101 b\n"]);
    generator.finish().unwrap();
    let generator = lab.make("default").unwrap();
    assert_eq!(texts(&*generator, &events(2)), ["102 c\n", "103 a\n"]);
    assert_eq!(fs::read_to_string(lab.folder.path().join("state.%40i")).unwrap(), "102\n");
    assert_eq!(fs::read_to_string(lab.folder.path().join("state.seqfile.%40s")).unwrap(), "2\n");
    fs::remove_dir_all(lab.folder.path()).unwrap();
    let error = generator.finish().unwrap_err();
    assert!(error.message.contains("state.%40i cannot be written"), "{error}");
}

#[test]
fn two_samples_with_one_state_file_are_told_of() {
    let lab = Lab::new("@i\n").token("@i", ReplacementKind::IntegerId, "1");
    let other = SampleConfig { name: "b.txt".into(), ..lab.sample.clone() };
    let shared = Shared::default();
    let mut problems = Vec::new();
    for sample in [&lab.sample, &lab.sample, &other] {
        make("default", sample, &shared, &mut problems).unwrap();
    }
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("state.%40i is used by a.txt ([a.txt]) as well"), "{problems:?}");
}

#[test]
fn a_volume_is_exact_in_the_long_run() {
    for (text, randomize, bundle) in [
        ("a long line @s\nshort\n", false, false),
        ("a long line @s\nshort\n", true, false),
        ("a long line @s\nshort\n", false, true),
    ] {
        let lab = Lab::new(text).token("@s", ReplacementKind::Random, "string(40)").set(|sample| {
            sample.per_day_volume = Some(1.0);
            (sample.randomize_events, sample.bundle_lines) = (randomize, bundle);
        });
        let generator = lab.make("perdayvolumegenerator").unwrap();
        assert!(!generator.is_parallel());
        let (mut asked, mut made) = (0, 0);
        let mut batch = Batch::new();
        for run in 0..500 {
            batch.clear();
            let bytes = 37 + run % 5;
            generator.generate(&Part { seed: run, ..part(0, Amount::Bytes(bytes)) }, &mut batch).unwrap();
            asked += bytes;
            made += batch.text_bytes() as u64;
            assert!(made <= asked && asked - made < 60, "{asked} {made}");
        }
    }
}

#[test]
fn a_run_by_volume_begins_at_the_top_and_copies_stay_whole_when_bundled() {
    let lab = Lab::new("aaaa\nbbbb\ncccc\n").set(|sample| sample.per_day_volume = Some(1.0));
    let heads = |lab: &Lab| {
        let generator = lab.make("default").unwrap();
        let runs = [(0, 9), (0, 9), (9, 7)];
        runs.map(|(first, bytes)| {
            let lines = texts(&*generator, &part(first, Amount::Bytes(bytes)));
            lines.iter().map(|line| &line[..1]).collect::<String>()
        })
    };
    // 9 of 10 bytes, then 13 with what was left, then 3 + 7; the third is a part of the second's run.
    assert_eq!(heads(&lab), ["a", "ab", "ca"]);
    assert_eq!(heads(&lab.set(|sample| sample.bundle_lines = true)), ["a", "bc", "ab"]);
}

#[test]
fn an_event_that_does_not_fit_has_not_counted() {
    let lab = Lab::new("@i\n")
        .token("@i", ReplacementKind::IntegerId, "1")
        .set(|sample| sample.per_day_volume = Some(1.0));
    let generator = lab.make("default").unwrap();
    let volume = |bytes| texts(&*generator, &part(0, Amount::Bytes(bytes)));
    assert_eq!(volume(5), ["1\n", "2\n"]);
    assert_eq!(volume(1), ["3\n"]);
    assert_eq!(volume(1), [""; 0]);
}

#[test]
fn events_without_text_end() {
    let lab = Lab::new("x\n").token("x\n", ReplacementKind::Static, "");
    let lab = lab.set(|sample| sample.per_day_volume = Some(1.0));
    assert_eq!(texts(&*lab.make("default").unwrap(), &part(0, Amount::Bytes(3))), ["", "", ""]);
}

fn replay(text: &str) -> Lab {
    Lab::new(text).token(r"\d\d:\d\d:\d\d", ReplacementKind::ReplayTimestamp, "%H:%M:%S")
}

#[test]
fn a_replay_has_the_gaps_of_its_lines() {
    let text =
        "00:00:00 one\n00:00:01 two\nnone\n00:00:03 three\n00:00:03 four\n00:00:01 early\n00:00:02 five\n";
    for (multiple, expected) in
        [(1.0, [0, 1000, 3000, 3000, 3000, 4000]), (0.5, [0, 500, 1500, 1500, 1500, 2000])]
    {
        let lab = replay(text).set(|sample| sample.time_multiple = multiple);
        let generator = lab.make("replay").unwrap();
        let offsets: Vec<_> =
            generator.schedule().unwrap().iter().map(std::time::Duration::as_millis).collect();
        assert_eq!(offsets, expected);
        assert_eq!(generator.events_per_pass(), 6);
    }
    let generator = replay(text).make("replay").unwrap();
    let shown = texts(&*generator, &Part { total: 6, ..part(1, Amount::Events(3)) });
    assert_eq!(shown, ["12:00:01 two\n", "12:00:03 three\n", "12:00:03 four\n"]);
    let examined = examine(&replay(text).set(|sample| sample.generator = "replay".to_owned()).sample);
    assert_eq!(examined.events, Some(6));
    let messages: Vec<_> = examined.problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "1 lines carry no time that a token reads; they are not replayed",
            "1 lines are earlier than the line above them; they follow it at once"
        ]
    );
}

#[test]
fn what_cannot_be_replayed_says_why() {
    let error = |lab: Lab| lab.make("replay").err().unwrap();
    assert!(error(Lab::new("00:00:00\n")).contains("needs a token of the type replaytimestamp"));
    assert!(error(replay("x\ny\n")).contains("none of 2 lines carries a time"));
    let wrong = Lab::new("00:00:00\n").token("[0-9:]+", ReplacementKind::ReplayTimestamp, "%Y");
    assert!(error(wrong).contains("its replacement has to be the format it is written in"));
    let by_volume = replay("00:00:00\n").make("replay").unwrap();
    let error = by_volume.generate(&part(0, Amount::Bytes(1)), &mut Batch::new()).unwrap_err();
    assert!(error.fatal && error.message.contains("replay makes events by number"), "{error}");
}

#[test]
fn a_counter_counts() {
    let lab = |settings: &[(&str, &str)], count| {
        let mut sample = testing::sample("c", settings);
        sample.count = count;
        Lab { folder: tempfile::tempdir().unwrap(), sample }
    };
    for (settings, count, expected) in [
        (&[("start_count", "2"), ("end_count", "6"), ("count_by", "2")][..], Count::WholeFile, "2 4 6"),
        (&[("end_count", "5"), ("count_by", "2")], Count::WholeFile, "0 2 4"),
        (&[("start_count", "3"), ("count_by", "-1"), ("end_count", "1")], Count::WholeFile, "3 2 1"),
        (&[("start_count", "5"), ("end_count", "2")], Count::WholeFile, "5 6 7"),
        (
            &[("start_count", "0.5"), ("end_count", "1.5"), ("count_by", "0.5")],
            Count::WholeFile,
            "0.5 1.0 1.5",
        ),
        (&[("count_by", "1")], Count::Events(3), "0 1 2 3"),
    ] {
        let mut settings = settings.to_vec();
        settings.push(("count_template", "{current_count}"));
        let generator = lab(&settings, count).make("counter").unwrap();
        let made = texts(&*generator, &events(generator.events_per_pass()));
        assert_eq!(made.join(" "), expected, "{settings:?}");
    }
    let settings = [
        ("end_count", "1"),
        (
            "count_template",
            "{{{samplename}}} {event_ts} {loop_count}/{max_loop} {start_count}-{end_count} +{count_by}",
        ),
    ];
    let looped = lab(&settings, Count::Events(2));
    assert_eq!(loops(&looped), 2);
    let made = texts(&*looped.make("counter").unwrap(), &events(4));
    assert_eq!(made[2], "{c} 2024-01-15 12:01:00 2/2 0-1 +1");
    assert_eq!(made[3], "{c} 2024-01-15 12:02:00 2/2 0-1 +1");
    let default = texts(&*lab(&[], Count::WholeFile).make("counter").unwrap(), &events(61));
    assert_eq!(
        default[59],
        "2024-01-15 12:01:00-0700 Counter for sample:c, Now processing event counting 1 of 1 cycles. Counter Values: \
         Start_Count: 0 Current_Counter:59 End_Count:60 Counting_By: 1"
    );
    for (settings, message) in [
        (&[("end_count", "x")][..], "end_count = \"x\" is not a number"),
        (&[("count_by", "0")], "count_by = 0 never reaches"),
        (&[("end_count", "5"), ("count_by", "-1")], "never reaches end_count = 5"),
        (&[("count_template", "{x}")], "there is no field {x}: the fields are samplename"),
        (&[("count_template", "a } b")], "a single }"),
    ] {
        let error = lab(settings, Count::WholeFile).make("counter").err().unwrap();
        assert!(error.contains(message), "{error}");
    }
    fn loops(lab: &Lab) -> u64 {
        counter_loops(&lab.sample)
    }
}

#[test]
fn an_examination_knows_what_never_matches() {
    let mut lab = Lab::new("a1\nb\nb2\n")
        .token("b", ReplacementKind::Static, "c")
        .token("zzz", ReplacementKind::Static, "c")
        .token("((", ReplacementKind::Static, "c")
        .token("c", ReplacementKind::Static, "d");
    let examined = examine(&lab.sample);
    let lines: Vec<_> = examined.tokens.iter().map(|token| (token.number.unwrap(), token.lines)).collect();
    assert_eq!(lines, [(0, 2), (1, 0), (2, 0), (3, 2)]);
    assert_eq!((examined.events, examined.nothing, examined.problems.len()), (Some(3), None, 1));
    lab.sample.sample_type = SampleType::Csv;
    let nothing = examine(&lab.sample).nothing.unwrap();
    assert!(nothing.contains("a.txt: there is no column _raw; the columns are a1"), "{nothing}");
    lab.sample.file = None;
    assert!(examine(&lab.sample).nothing.unwrap().contains("no file in"));
    lab.sample.generator = "windbag".to_owned();
    assert_eq!(examine(&lab.sample).events, Some(60));
}

#[test]
fn a_preview_is_what_will_be_made() {
    let plain = Lab::new("a @i @t\nb\n")
        .token("@i", ReplacementKind::Random, "integer[1:1000000]")
        .token("@t", ReplacementKind::Timestamp, "%T")
        .set(|sample| sample.latest = Moment::At(UnixNanos(NOON + 60 * SECOND)));
    let replayed = replay("00:00:00 a\n00:00:05 b\n").set(|sample| sample.generator = "replay".to_owned());
    let windbag = Lab::new("x\n").set(|sample| sample.generator = "windbag".to_owned());
    for (lab, count) in [(plain, 5), (replayed, 2), (windbag, 3)] {
        let shown = preview(&lab.sample, count, UnixNanos(NOON), 9).unwrap();
        let latest = lab.sample.latest.resolve(UnixNanos(NOON), &lab.sample.zone);
        let part = Part { seed: 9, latest, ..events(count as u64) };
        let made = texts(&*lab.make(&lab.sample.generator).unwrap(), &part);
        assert_eq!(
            shown.iter().map(|event| &event.text).collect::<Vec<_>>(),
            made.iter().collect::<Vec<_>>()
        );
        if lab.sample.generator == "default" {
            let value = |number: usize| &shown[0].text[shown[0].replaced[number].clone()];
            assert_eq!(format!("a {} {}\n", value(0), value(1)), shown[0].text);
        }
    }
    let mut other = Lab::new("x\n").sample;
    other.generator = "mine".to_owned();
    assert!(preview(&other, 1, UnixNanos(NOON), 1).unwrap_err().contains("generator = mine"));
}

proptest! {
    #[test]
    fn windbag_times_are_exact(window in 0..10_000_000_000_000_u64, total in 1..5000_u64, split in 0..5000_u64) {
        let split = split.min(total);
        let window = window / 1000 * 1000;
        let lab = Lab::new("x\n");
        let generator = lab.make("windbag").unwrap();
        let mut batch = Batch::new();
        for (first, count) in [(0, split), (split, total - split)] {
            let latest = UnixNanos(NOON + window as i64);
            let part = Part { total, latest, ..part(first, Amount::Events(count)) };
            generator.generate(&part, &mut batch).unwrap();
        }
        prop_assert_eq!(batch.len() as u64, total);
        for (number, event) in batch.iter().enumerate() {
            let micros = (u128::from(window / 1000) * (number as u128 + 1) * 2 + u128::from(total)) / (2 * u128::from(total));
            let exact = NOON / 1000 + micros as i64;
            prop_assert!((event.time.0 / 1000 - exact).abs() <= i64::from(total % 2 == 1), "{} {}", event.time.0, exact);
        }
    }
}
