//! The gateway's batches, recorded and made up ones, against another parser.

mod protojson;
mod reference;

use std::collections::BTreeSet;

use firehose_nozzle::nozzle::event::Event;
use firehose_nozzle::nozzle::ledger::Malformed;
use firehose_nozzle::nozzle::wire::gateway::{Batch, Scratch, count_envelopes};
use firehose_nozzle::nozzle::wire::v2;
use firehose_nozzle::proto::loggregator::envelope::Message;
use firehose_nozzle::proto::loggregator::{
    Counter, Envelope, Event as PlatformEvent, Gauge, GaugeValue, Log, Timer,
};
use proptest::prelude::*;
use prost::Message as _;
use serde_json::Value;

use self::protojson::{Style, style};
use crate::golden;
use crate::golden_frames::{encoder, events};

/// The data of a recorded stream's events that carry batches.
fn frames(name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(golden::path(name)).unwrap();
    text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).map(str::to_owned).collect()
}

/// The HEC events of each envelope of a frame.
fn read(frame: &[u8]) -> Vec<Result<Vec<Value>, Malformed>> {
    let (encoder, mut scratch, mut batch) = (encoder(), Scratch::default(), Batch::new(frame));
    let mut all = Vec::new();
    while let Some(envelope) = batch.next(&mut scratch) {
        all.push(envelope.map(|envelope| {
            assert!(!envelope.has_deprecated_tags);
            let event = Event::from_gateway(&envelope).unwrap();
            event.map(|event| events(&encoder, &event)).unwrap_or_default()
        }));
    }
    all
}

/// The HEC events of an envelope in protobuf.
fn read_v2(envelope: &[u8]) -> Vec<Value> {
    let envelope = v2::Envelope::parse(envelope).unwrap();
    Event::from_v2(&envelope).unwrap().map(|event| events(&encoder(), &event)).unwrap_or_default()
}

#[test]
fn recorded_batches_say_what_another_parser_reads() {
    let (mut envelopes, mut cases) = (0, BTreeSet::new());
    for name in ["all-cases", "14min-idle-heartbeats-closing", "mix-1000"] {
        let frames = frames(&format!("loggregator/gateway-{name}.sse"));
        assert!(!frames.is_empty(), "{name}");
        for frame in frames {
            let reference = reference::batch(&frame);
            let ours = read(frame.as_bytes());
            assert_eq!(ours.len(), reference.len());
            assert_eq!(count_envelopes(frame.as_bytes()), reference.len() as u64);
            envelopes += ours.len();
            for (ours, reference) in ours.into_iter().zip(reference) {
                assert_eq!(ours.unwrap(), read_v2(&reference.encode_to_vec()));
                cases.extend(reference.tags.get("case").cloned());
            }
        }
    }
    assert!(envelopes > 400, "{envelopes}");
    assert!(cases.len() >= 22, "{cases:?}");
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z/ ]{0,12}", ".{0,8}", Just("a\nb".to_owned()), Just("\u{1f600}\"\\".to_owned())]
}

fn message() -> impl Strategy<Value = Option<Message>> {
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        "(\\{\"a\":[0-9]{1,20}\\}|[ -~]{0,60})".prop_map(String::into_bytes)
    ];
    let name = prop_oneof!["(cpu|memory|disk|memory_quota|disk_quota|instance_index)", text()];
    // Doubles that the other parser reads exactly.
    let short = any::<i32>().prop_map(|number| f64::from(number) / 16.0);
    let special = prop::sample::select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    let value = prop_oneof![short, special].boxed();
    let metric = || (text(), value.clone()).prop_map(|(unit, value)| GaugeValue { unit, value });
    let metrics = prop_oneof![
        prop::collection::btree_map(name, metric(), 0..8),
        prop::collection::vec(metric(), 5).prop_map(|values| {
            let names = ["cpu", "memory", "disk", "memory_quota", "disk_quota"];
            names.into_iter().map(str::to_owned).zip(values).collect()
        }),
    ];
    prop_oneof![
        Just(None),
        (payload, 0..2)
            .prop_map(|(payload, kind)| Some(Message::Log(Log { payload: payload.into(), r#type: kind }))),
        (text(), any::<u64>(), any::<u64>())
            .prop_map(|(name, delta, total)| Some(Message::Counter(Counter { name, delta, total }))),
        metrics.prop_map(|metrics| Some(Message::Gauge(Gauge { metrics }))),
        (text(), any::<i64>(), any::<i64>()).prop_map(|(name, start, stop)| Some(Message::Timer(Timer {
            name,
            start,
            stop
        }))),
        (text(), text()).prop_map(|(title, body)| Some(Message::Event(PlatformEvent { title, body }))),
    ]
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let app = Just("abcdef01-2222-4333-8444-000000000001".to_owned());
    let key = prop_oneof![
        "(origin|ip|job|index|deployment|source_type|app_name|source_id|instance_id|source|forwarded)",
        text()
    ];
    let http = ("(GET|get)", text(), "[0-9]{1,4}", text()).prop_map(|(method, uri, status, forwarded)| {
        vec![("method", method), ("uri", uri), ("status_code", status), ("forwarded", forwarded)]
    });
    let error = "-?[0-9]{0,4}".prop_map(|code| vec![("__v1_type", "Error".to_owned()), ("code", code)]);
    let more = prop_oneof![Just(vec![]), http, error];
    let tags = prop::collection::btree_map(key, text(), 0..6);
    (any::<i64>(), prop_oneof![app, text()], "[0-9]{0,3}", tags, more, message()).prop_map(
        |(timestamp, source_id, instance_id, mut tags, more, message)| {
            tags.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
            Envelope { timestamp, source_id, instance_id, tags, message, ..Envelope::default() }
        },
    )
}

proptest! {
    #[test]
    fn every_style_is_read(envelopes in prop::collection::vec(envelope(), 0..4), style in style()) {
        let frame = style.batch(&envelopes);
        let reference = reference::batch(&frame);
        prop_assert_eq!(format!("{:?}", &reference), format!("{:?}", &envelopes), "another parser reads what was written");
        prop_assert_eq!(count_envelopes(frame.as_bytes()), envelopes.len() as u64);
        let ours = read(frame.as_bytes());
        prop_assert_eq!(ours.len(), envelopes.len());
        for (ours, envelope) in ours.into_iter().zip(envelopes) {
            prop_assert_eq!(ours.unwrap(), read_v2(&envelope.encode_to_vec()), "{}", frame);
        }
    }

    #[test]
    fn damage_stays_where_it_is(
        envelopes in prop::collection::vec(envelope(), 3),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let style = Style::usual();
        let frame = style.batch(&envelopes);
        let whole = read(frame.as_bytes());
        let first = style.batch(&envelopes[..1]).len() - "]}".len();
        let last = frame.len() - (style.batch(&envelopes[2..]).len() - "{\"batch\":[".len());
        let mut damaged = frame.into_bytes();
        let place = first + 1 + at.index(last - first - 2);
        let before = std::mem::replace(&mut damaged[place], byte);
        let ours = read(&damaged);
        let structural = |byte: u8| b"[]{},\"\\".contains(&byte);
        if structural(byte) || structural(before) {
            prop_assert!(!ours.is_empty());
        } else {
            prop_assert_eq!(ours.len(), 3);
            prop_assert_eq!(&ours[0], &whole[0]);
            prop_assert_eq!(&ours[2], &whole[2]);
        }
    }
}
