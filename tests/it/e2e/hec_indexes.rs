//! Events that Splunk refuses for their index or for themselves: fallback index and dead letters.

use std::collections::BTreeSet;
use std::fs;

use firehose_nozzle::sim::foundation::App;
use firehose_nozzle::sim::load::sequence_in;
use serde_json::Value;

use super::world::{Folder, token};
use super::{Source, World, app_guid, log, long_log};

/// An app whose events are meant for an index of its own.
fn app(index: &str) -> App {
    App {
        guid: app_guid(1),
        name: "astray".to_owned(),
        listed: false,
        environment: [("SPLUNK_INDEX".to_owned(), index.into())].into(),
        ..App::default()
    }
}

const PATIENT: [(&str, &str); 3] =
    [("ADD_APP_INFO", "AppName"), ("METADATA_WAIT", "1m"), ("METADATA_RATE", "1000/s")];

#[tokio::test]
async fn events_of_a_refused_index_arrive_in_the_fallback_marked() {
    let world = World::start().await;
    world.foundation.capi().put_app(app("secret"));
    world.hec.set_tokens(vec![token().with_indexes(["main", "last"])]);
    let settings = [&PATIENT[..], &[("SPLUNK_FALLBACK_INDEX", "last"), ("HEC_BATCH_SIZE", "20")]].concat();
    let nozzle = world.nozzle(Source::Grpc, &settings).await;
    // Of the second app nothing is known: its events go to the default index.
    world.publish(0..200, |n| log(&app_guid(1 + n % 2), n)).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..200);
    assert_eq!((verdict.ledger().rerouted, verdict.ledger().rejected.len()), (100, 0));
    for record in &verdict.records {
        let number = super::verdict::number(record).unwrap();
        let json = record.json();
        let (index, refused) =
            if number.is_multiple_of(2) { ("last", "secret".into()) } else { ("main", Value::Null) };
        assert_eq!((record.index.as_str(), &json["fields"]["refused_index"]), (index, &refused));
    }
    let asked = verdict.hec.status(400);
    assert!((1..=8).contains(&asked), "the refusal is remembered: {asked}");
}

#[tokio::test]
async fn what_is_refused_is_in_the_dead_letters_once() {
    let refused = BTreeSet::from([3, 77, 120, 121]);
    let folder = Folder::new();
    let world = World::with(|_| {}, |hec| hec.behaviour.max_event_bytes = 10_000).await;
    let dir = folder.path().to_str().unwrap();
    let settings = [("DEAD_LETTER_DIR", dir), ("HEC_BATCH_SIZE", "50")];
    let nozzle = world.nozzle(Source::Grpc, &settings).await;
    let line = |n| long_log(&app_guid(1), n, if refused.contains(&n) { 10_000 } else { 0 });
    world.publish(0..200, line).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    assert_eq!((verdict.missing(0..200), verdict.duplicates()), (refused.clone(), 0));
    let letters = verdict.status().dead_letters.clone().unwrap();
    assert_eq!((letters.written, letters.failed), (refused.len() as u64, 0));
    let mut numbers = Vec::new();
    for file in fs::read_dir(folder.path()).unwrap() {
        for line in fs::read_to_string(file.unwrap().path()).unwrap().lines() {
            let letter: Value = serde_json::from_str(line).unwrap();
            assert_eq!((&letter["code"], &letter["reason"]), (&6.into(), &"Invalid data format".into()));
            numbers.push(sequence_in(&letter["event"].to_string()).unwrap());
        }
    }
    numbers.sort_unstable();
    assert_eq!(numbers, refused.into_iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn events_that_are_too_large_are_split_or_dropped_as_configured() {
    for oversize in ["split", "drop"] {
        let world = World::start().await;
        let settings = [("HEC_OVERSIZE", oversize), ("HEC_MAX_EVENT_BYTES", "4KiB")];
        let nozzle = world.nozzle(Source::Grpc, &settings).await;
        let line = |n| long_log(&app_guid(1), n, if n % 10 == 0 { 20_000 } else { 0 });
        world.publish(0..100, line).await;
        world.settled(&nozzle).await;
        let verdict = world.finish(nozzle).await;
        let ledger = verdict.ledger();
        let tens: BTreeSet<u64> = (0..100).step_by(10).collect();
        if oversize == "drop" {
            assert_eq!(ledger.dropped, [("oversize".to_owned(), 10)].into());
            assert_eq!(verdict.missing(0..100), tens);
        } else {
            assert_eq!((ledger.split, ledger.lost(), ledger.delivered), (10, 0, 100));
            assert_eq!(verdict.missing(0..100), BTreeSet::new());
            let bytes: usize = verdict.records.iter().map(|record| record.envelope.len()).sum();
            assert!(bytes > 10 * 20_000, "all of the text is there: {bytes}");
            assert!(verdict.records.iter().all(|record| record.envelope.len() <= 4096));
        }
    }
}
