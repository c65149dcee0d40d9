use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::super::batch::Tally;
use super::ring::{find, path};
use super::*;

fn rejection(events: &[&str]) -> Rejection {
    let mut end = 0;
    let ends = events.iter().map(|event| {
        end += event.len();
        end
    });
    Rejection {
        code: Some(HecCode::FORMAT),
        status: StatusCode::BAD_REQUEST,
        index: Arc::from("main"),
        tally: Tally { events: events.len() as u64, units: 1 },
        ends: ends.collect(),
        body: Bytes::from(events.concat()),
    }
}

fn lines(folder: &Path) -> Vec<Value> {
    let files = find(folder).unwrap();
    let text: String =
        files.iter().map(|(number, _)| fs::read_to_string(path(folder, *number)).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_letter_tells_the_event_and_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let letters = DeadLetters::new(folder.path().to_owned(), 1 << 20);
    letters.write(vec![rejection(&[r#"{"event":12345678901234567890}"#, "no \"json\"\n"])]).await;
    letters.write(Vec::new()).await;
    let lines = lines(folder.path());
    assert_eq!(lines.len(), 2);
    for line in &lines {
        let named = (&line["status"], &line["code"], &line["reason"], &line["index"]);
        let expected = (&400.into(), &6.into(), &"Invalid data format".into(), &"main".into());
        assert_eq!(named, expected);
    }
    assert_eq!(lines[0]["event"]["event"].to_string(), "12345678901234567890");
    assert_eq!((&lines[1]["text"], &lines[1]["event"]), (&"no \"json\"\n".into(), &Value::Null));
    let status = letters.status();
    assert_eq!((status.written, status.failed, status.last_error), (2, 0, None));
    let mode = fs::metadata(path(folder.path(), 1)).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
}

#[tokio::test]
async fn the_ring_holds_the_newest_and_never_more_than_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let max = 64 << 10;
    let on_disk = || find(folder.path()).unwrap().iter().map(|(_, length)| length).sum::<u64>();
    for run in 0..3 {
        let letters = DeadLetters::new(folder.path().to_owned(), max);
        for n in 0..100 {
            let event = format!(r#"{{"n":{},"x":"{}"}}"#, run * 100 + n, "x".repeat(n * 20));
            letters.write(vec![rejection(&[&event])]).await;
            assert!(on_disk() <= max, "{}", on_disk());
            assert_eq!(letters.status().bytes, on_disk());
        }
        assert_eq!(letters.status().written, 100);
    }
    let numbers: Vec<_> =
        lines(folder.path()).iter().map(|line| line["event"]["n"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    assert_eq!(numbers.last(), Some(&299));
    assert!(on_disk() > max / 2, "{}", on_disk());
}

#[tokio::test]
async fn an_event_larger_than_the_limit_is_kept_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let letters = DeadLetters::new(folder.path().to_owned(), 64 << 10);
    let event = format!(r#"{{"event":"{}"}}"#, "\u{1}".repeat(100_000));
    letters.write(vec![rejection(&[&event, r#"{"event":"next"}"#])]).await;
    let lines = lines(folder.path());
    assert!(lines[0]["text"].as_str().unwrap().starts_with("{\"event\""));
    assert_eq!(lines[1]["event"]["event"], "next");
    assert!(letters.status().bytes <= 64 << 10);
}

#[tokio::test]
async fn a_disk_that_fails_is_told_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("not there yet");
    let letters = DeadLetters::new(place.clone(), 1 << 20);
    letters.write(vec![rejection(&["{}", "{}"])]).await;
    let status = letters.status();
    assert_eq!((status.written, status.failed), (0, 2));
    assert!(status.last_error.is_some());
    fs::create_dir(&place).unwrap();
    letters.write(vec![rejection(&["{}"])]).await;
    assert_eq!((letters.status().written, lines(&place).len()), (1, 1));
}

#[tokio::test]
async fn several_writers_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let letters = Arc::new(DeadLetters::new(folder.path().to_owned(), 1 << 20));
    let writes = (0..20).map(|n| {
        let letters = letters.clone();
        async move { letters.write(vec![rejection(&[&format!(r#"{{"n":{n}}}"#)])]).await }
    });
    futures_util::future::join_all(writes).await;
    let numbers: BTreeSet<_> =
        lines(folder.path()).iter().map(|line| line["event"]["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..20).collect());
}
