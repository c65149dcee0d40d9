use std::fs;

use super::*;
use crate::eventgen::testing;

fn read(text: &[u8], set: impl FnOnce(&mut SampleConfig)) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    fs::write(&path, text).unwrap();
    let mut config = testing::sample("a.txt", &[]);
    config.file = Some(path);
    set(&mut config);
    let sample = Sample::read(&config, None, &mut Vec::new())?;
    Ok(sample.texts().map(str::to_owned).collect())
}

#[test]
fn lines_are_events() {
    for (text, expected) in [
        (&b"first\n\n  second  \n\nlast"[..], &["first\n", "  second  \n", "last\n"][..]),
        (b"one\r\ntwo\r\n\r\nthree\rfour", &["one\n", "two\n", "three\n", "four\n"]),
        (b"caf\xe9\n", &["café\n"]),
        (b" \n", &[" \n"]),
    ] {
        assert_eq!(read(text, |_| {}).unwrap(), expected);
    }
}

#[test]
fn a_breaker_begins_events() {
    for (breaker, text, expected) in [
        (r"\r*\n\r*\n", "a\nb\n\nc\n", &["a\nb\n", "\n\nc\n"][..]),
        (r"^\d", "1 a\n x\n2 b", &["1 a\n x\n", "2 b\n"]),
        ("ZZZ", "a\nb\n", &["a\nb\n"]),
        ("HEAD", "HEAD a\nb", &["HEAD a\nb\n"]),
        ("^", "a\nb\n", &["a\n", "b\n"]),
    ] {
        let read = read(text.as_bytes(), |config| config.breaker = Some(breaker.to_owned()));
        assert_eq!(read.unwrap(), expected, "{breaker}");
    }
    let error = read(b"a", |config| config.breaker = Some("((".to_owned())).unwrap_err();
    assert!(error.contains("a.txt: breaker = \"((\" is not a regular expression: missing )"), "{error}");
}

#[test]
fn what_has_no_events_says_so() {
    assert!(read(b"\n\n", |_| {}).unwrap_err().ends_with("a.txt has no events"));
    assert!(
        read(b"", |config| config.breaker = Some("x".to_owned())).unwrap_err().ends_with("has no events")
    );
    let csv = |text: &str| read(text.as_bytes(), |config| config.sample_type = SampleType::Csv);
    assert!(csv("_raw\n").unwrap_err().ends_with("has no events"));
    assert_eq!(csv("\u{feff}_raw,x\n\"a \"\"b\"\"\",1\n").unwrap(), ["a \"b\"\n"]);
    let config = testing::sample("gone.*", &[]);
    let error = Sample::read(&config, None, &mut Vec::new()).unwrap_err();
    assert_eq!(error, "no file in samples has the name [gone.*] asks for");
}

#[test]
fn the_column_of_the_time_is_kept_beside_the_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let mut config = testing::sample("a.csv", &[]);
    config.sample_type = SampleType::Csv;
    config.file = Some(path.clone());
    for (header, field, expected) in [
        ("when", "when", "12:00"),
        ("_time", "when", "12:00"),
        ("when", "_raw", "text\n"),
        ("x", "when", "text\n"),
    ] {
        fs::write(&path, format!("{header},_raw\n12:00,text\n")).unwrap();
        let sample = Sample::read(&config, Some(field), &mut Vec::new()).unwrap();
        assert_eq!(sample.time_text(0), expected, "{header} {field}");
        assert_eq!(sample.text(0), "text\n");
    }
}
