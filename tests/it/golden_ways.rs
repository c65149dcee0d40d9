//! The same push, recorded on every way out of the platform, read by every reader: the events are
//! the same, but for what the platform itself leaves out on a way.
//!
//! | recording | read by |
//! |---|---|
//! | log proxy in batches, with plain or deprecated tags, or one by one | the reader of v2 |
//! | gateway | the reader of the gateway's JSON |
//! | firehose, all or in part, and the stream of one app | the reader of v1 |

use std::collections::BTreeMap;

use firehose_nozzle::nozzle::event::Event;
use firehose_nozzle::nozzle::wire::gateway::{self, Scratch};
use firehose_nozzle::nozzle::wire::{deprecated, v1, v2};
use serde_json::Value;

use crate::golden;
use crate::golden_frames::{encoder, events};

/// The events of the apps that the push was made for; what the platform says of itself differs
/// from one recording to the next.
fn of_apps(events: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let app = |event: &Value| {
        let ids = [&event["event"]["cf_app_id"], &event["event"]["tags"]["source_id"]];
        ids.iter().any(|id| id.as_str().is_some_and(|id| id.contains("-2222-4333-8444-0000")))
    };
    events.into_iter().filter(app).collect()
}

fn of_v2(envelope: &[u8]) -> Vec<Value> {
    let plain = deprecated::to_tags(envelope).unwrap();
    let envelope = v2::Envelope::parse(&plain).unwrap();
    Event::from_v2(&envelope).unwrap().map(|event| events(&encoder(), &event)).unwrap_or_default()
}

fn batches(file: &str) -> Vec<Value> {
    let messages = golden::messages(file);
    of_apps(messages.iter().flat_map(|message| v2::Batch::new(message)).flat_map(|each| of_v2(each.unwrap())))
}

fn singles(file: &str) -> Vec<Value> {
    of_apps(golden::messages(file).iter().flat_map(|envelope| of_v2(envelope)))
}

fn frames(file: &str) -> Vec<Value> {
    let read =
        |frame: &Vec<u8>| events(&encoder(), &Event::from_v1(&v1::Envelope::parse(frame).unwrap()).unwrap());
    of_apps(golden::messages(file).iter().flat_map(read))
}

fn stream(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(golden::path(file)).unwrap();
    let (mut all, mut scratch) = (Vec::new(), Scratch::default());
    for frame in text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")) {
        let mut batch = gateway::Batch::new(frame.as_bytes());
        while let Some(envelope) = batch.next(&mut scratch) {
            let envelope = envelope.unwrap();
            let event = Event::from_gateway(&envelope).unwrap();
            all.extend(event.map(|event| events(&encoder(), &event)).unwrap_or_default());
        }
    }
    of_apps(all)
}

/// The events of the one that are not in the other; an event that is there twice has to be twice.
fn less(one: &[Value], other: &[Value]) -> Vec<Value> {
    let mut left = BTreeMap::<String, u64>::new();
    for event in other {
        *left.entry(event.to_string()).or_default() += 1;
    }
    let absent = |event: &&Value| match left.get_mut(&event.to_string()) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    };
    one.iter().filter(absent).cloned().collect()
}

/// How many events there are of each case.
fn cases(events: &[Value]) -> BTreeMap<&str, u64> {
    let mut cases = BTreeMap::new();
    for event in events {
        *cases.entry(event["event"]["tags"]["case"].as_str().unwrap()).or_default() += 1;
    }
    cases
}

/// The one case with numbers among its deprecated tags: the log proxy writes them in one way when it
/// makes plain tags of them, the conversion to v1, which we follow, in another.
const NUMBERS: &str = "deprecated-tags";

#[test]
fn every_way_to_v2_gives_the_same_events() {
    let reference = batches("loggregator/rlp-batches-preferred-tags.hex");
    assert_eq!((reference.len(), cases(&reference).len()), (32, 21));
    let single = singles("loggregator/rlp-receiver-single-envelopes.hex");
    let gateway = stream("loggregator/gateway-all-cases.sse");
    for other in [single, gateway] {
        assert_eq!(less(&other, &reference), [Value::Null; 0]);
        assert_eq!(less(&reference, &other), [Value::Null; 0]);
    }
    let deprecated = batches("loggregator/rlp-batches-deprecated-tags.hex");
    assert_eq!(cases(&less(&deprecated, &reference)), [(NUMBERS, 1)].into());
    assert_eq!(cases(&less(&reference, &deprecated)), [(NUMBERS, 1)].into());
}

#[test]
fn v1_gives_the_same_events_but_for_what_has_no_form_there() {
    let reference = batches("loggregator/rlp-batches-preferred-tags.hex");
    let all = frames("loggregator/ws-firehose-all-cases.hex");
    assert_eq!(cases(&less(&all, &reference)), [(NUMBERS, 1)].into());
    let without_form = [
        ("plain-event", 1),
        ("event-unicode-empty-body", 1),
        ("empty-payload", 1),
        ("timer-no-request-id", 1),
        // A container's metrics beyond the five.
        ("container-extra-metrics", 5),
        (NUMBERS, 1),
    ];
    assert_eq!(cases(&less(&reference, &all)), without_form.into());
}

#[test]
fn parts_of_v1_are_parts_of_the_whole() {
    let all = frames("loggregator/ws-firehose-all-cases.hex");
    let logs = frames("loggregator/ws-firehose-filter-logs.hex");
    let metrics = frames("loggregator/ws-firehose-filter-metrics.hex");
    let both = [&logs[..], &metrics[..]].concat();
    assert_eq!((less(&both, &all), less(&all, &both)), (vec![], vec![]));
    assert!(logs.iter().all(|event| event["sourcetype"] == "cf:logmessage"));
    assert!(metrics.iter().all(|event| event["sourcetype"] != "cf:logmessage"));
    let app = frames("loggregator/ws-app-stream.hex");
    assert!(app.len() >= 5, "{}", app.len());
    assert_eq!(less(&app, &all), [Value::Null; 0]);
}

#[test]
fn ordinary_envelopes_are_the_same_on_every_way() {
    let recordings = [
        batches("loggregator/rlp-mix-1000.hex"),
        stream("loggregator/gateway-mix-1000.sse"),
        frames("loggregator/ws-mix-1000.hex"),
    ];
    // Each is cut after a message of its own: compared is what they have all come to.
    let time = |event: &Value| event["time"].as_str().unwrap().to_owned();
    let end = recordings.iter().map(|events| events.iter().map(time).max().unwrap()).min().unwrap();
    let [rlp, gateway, v1] =
        recordings.map(|events| events.into_iter().filter(|event| time(event) < end).collect::<Vec<_>>());
    assert!(rlp.len() >= 150, "{}", rlp.len());
    assert_eq!((less(&rlp, &gateway), less(&gateway, &rlp)), (vec![], vec![]));
    assert_eq!(less(&v1, &rlp), [Value::Null; 0]);
    let only_v2 = less(&rlp, &v1);
    assert!(!only_v2.is_empty() && only_v2.iter().all(|event| event["sourcetype"] == "cf:event"));
}
