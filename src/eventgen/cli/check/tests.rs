//! What `check` says of whole confs.

use std::fs;

use super::*;
use crate::eventgen::cli::registry;

/// 2024-06-12 09:30:05 UTC.
const NOW: UnixNanos = UnixNanos(1_718_184_605_000_000_000);

fn check(conf: &str, samples: &[(&str, &str)]) -> (String, bool) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("samples")).unwrap();
    fs::create_dir(folder.path().join("default")).unwrap();
    fs::write(folder.path().join("default/eventgen.conf"), conf).unwrap();
    for (name, text) in samples {
        fs::write(folder.path().join("samples").join(name), text).unwrap();
    }
    let request = Request {
        target: "default/eventgen.conf".into(),
        working_dir: folder.path().into(),
        seed: Some(1),
        ..Request::default()
    };
    let report = Report::make(&request, &registry(), NOW);
    let text = report.render(false, true).replace(&folder.path().display().to_string(), "/app");
    (text, report.is_good())
}

#[test]
fn a_conf_that_is_good() {
    let conf = r#"
[global]
timezone = 0000
outputMode = devnull

[.*\.log]
interval = 10
end = 3
token.0.token = user=(\w+)
token.0.replacementType = static
token.0.replacement = root
token.1.token = only in one of them
token.1.replacementType = static
token.1.replacement = x

[b.log]
count = 4
delay = 5
backfill = -1m
randomizeEvents = true

[windbag]
generator = windbag
count = 1000
interval = 0.5
end = +1h
hourOfDayRate = {"9": 0.5}

[replayed.txt]
mode = replay
token.0.token = ^(\d+)
token.0.replacementType = replaytimestamp
token.0.replacement = %s

[volume.csv]
sampletype = csv
perDayVolume = 0.5

[off.txt]
disabled = true
"#;
    let samples = [
        ("a.log", "user=joe\nuser=ann, only in one of them\nnobody\n"),
        ("b.log", "user=joe\n"),
        ("replayed.txt", "1704067200 a\n1704067290 b\n"),
        ("volume.csv", "_raw,host\n\"one, two\",h\nthree,\n"),
        ("off.txt", "x\n"),
    ];
    let (text, is_good) = check(conf, &samples);
    assert!(is_good, "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_conf_with_everything_wrong() {
    let conf = r"
[global]
timezone = 0000
outputMode = devnull
end = 1

[a.txt]
intervall = 5
count = many
token.0.token = @@user@@
token.0.replacementType = static
token.0.replacement = x
token.1.token = line
token.1.replacementType = random
token.1.replacement = integer[9:1]
token.2.token = line(
token.2.replacementType = static
token.2.replacement = x

[late.txt]
earliest = now
latest = -1h

[empty.txt]

[noraw.csv]
sampletype = csv

[r.txt]
mode = replay
token.0.token = ^(\d+)
token.0.replacementType = replaytimestamp
token.0.replacement = %Y-%m-%d

[hec.txt]
outputMode = httpevent
httpeventServers = {}

[gone.txt]

[zero.txt]
count = 0
";
    let samples = [
        ("a.txt", "line1\n"),
        ("late.txt", "x\n"),
        ("empty.txt", ""),
        ("noraw.csv", "host\nh\n"),
        ("r.txt", "1704067200 a\n"),
        ("hec.txt", "x\n"),
        ("zero.txt", "x\n"),
    ];
    let (text, is_good) = check(conf, &samples);
    assert!(!is_good);
    insta::assert_snapshot!(text);
}

#[test]
fn zones_that_print_nothing_are_noted() {
    let conf = "[a.txt]\noutputMode = devnull\nend = 1\ntoken.0.token = T\ntoken.0.replacementType = timestamp\n\
                token.0.replacement = %H:%M %z\n";
    let (text, is_good) = check(conf, &[("a.txt", "T\n")]);
    assert!(is_good, "a note is no fault");
    assert!(text.contains("note: %z and %Z print nothing, as [a.txt] names no zone"), "{text}");
    let (text, _) = check(&conf.replace("end = 1", "end = 1\ntimezone = local"), &[("a.txt", "T\n")]);
    assert!(!text.contains("note: "), "{text}");
}

#[test]
fn what_cannot_be_read_is_all_there_is_to_say() {
    let (text, is_good) = check("count = 1\n", &[]);
    assert!(!is_good);
    assert!(text.starts_with("error: \"count\" stands before the first stanza"), "{text}");
    assert!(text.ends_with("0 samples, 1 error\n"), "{text}");
}
