//! Recorded frames of the real platform: nothing in them is lost, every field is as another decoder
//! reads it, and every envelope becomes valid events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use firehose_nozzle::clock::UnixNanos;
use firehose_nozzle::hec::batch::Batch;
use firehose_nozzle::nozzle::encode::{Context, Encoder, EncoderSettings};
use firehose_nozzle::nozzle::event::Event;
use firehose_nozzle::nozzle::event_type::EventType;
use firehose_nozzle::nozzle::wire::tags::known;
use firehose_nozzle::nozzle::wire::{deprecated, v1, v2};
use firehose_nozzle::proto::{dropsonde, loggregator};
use prost::Message;
use serde_json::Value;

use crate::golden;

const BATCHES: [&str; 4] = [
    "loggregator/rlp-batches-preferred-tags.hex",
    "loggregator/rlp-batches-deprecated-tags.hex",
    "loggregator/rlp-mix-1000.hex",
    "loggregator/rlp-counters-during-loss.hex",
];
const SINGLE: &str = "loggregator/rlp-receiver-single-envelopes.hex";
const WEBSOCKET: [&str; 5] = [
    "loggregator/ws-firehose-all-cases.hex",
    "loggregator/ws-firehose-filter-logs.hex",
    "loggregator/ws-firehose-filter-metrics.hex",
    "loggregator/ws-app-stream.hex",
    "loggregator/ws-mix-1000.hex",
];

/// All v2 envelopes of the recordings, as bytes.
fn v2_envelopes() -> Vec<Vec<u8>> {
    let mut envelopes = golden::messages(SINGLE);
    for file in BATCHES {
        for message in golden::messages(file) {
            let batch: Vec<_> =
                v2::Batch::new(&message).map(|each| each.expect("recorded").to_vec()).collect();
            assert_eq!(v2::count_envelopes(&message), batch.len() as u64);
            let theirs = loggregator::EnvelopeBatch::decode(&message[..]).expect("recorded");
            assert_eq!(batch.len(), theirs.batch.len(), "{file}");
            envelopes.extend(batch);
        }
    }
    envelopes
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text is UTF-8 in the recordings")
}

/// What we read, in the other decoder's types.
fn read_v2(bytes: &[u8]) -> loggregator::Envelope {
    use loggregator::envelope::Message as Theirs;
    let envelope = v2::Envelope::parse(bytes).expect("recorded");
    let message = match envelope.message {
        v2::Message::None => None,
        v2::Message::Log(bytes) => {
            let log = v2::Log::parse(bytes).expect("recorded");
            Some(Theirs::Log(loggregator::Log { payload: log.payload.to_vec().into(), r#type: log.kind }))
        }
        v2::Message::Counter(bytes) => {
            let counter = v2::Counter::parse(bytes).expect("recorded");
            let (delta, total) = (counter.delta, counter.total);
            Some(Theirs::Counter(loggregator::Counter { name: text(counter.name), delta, total }))
        }
        v2::Message::Gauge(bytes) => {
            let mut metrics = BTreeMap::new();
            let read = v2::Metrics::new(bytes).for_each(|metric| {
                let value = loggregator::GaugeValue { unit: text(metric.unit), value: metric.value };
                metrics.insert(text(metric.name), value);
            });
            read.expect("recorded");
            Some(Theirs::Gauge(loggregator::Gauge { metrics }))
        }
        v2::Message::Timer(bytes) => {
            let timer = v2::Timer::parse(bytes).expect("recorded");
            Some(Theirs::Timer(loggregator::Timer {
                name: text(timer.name),
                start: timer.start,
                stop: timer.stop,
            }))
        }
        v2::Message::Event(bytes) => {
            let event = v2::Event::parse(bytes).expect("recorded");
            Some(Theirs::Event(loggregator::Event { title: text(event.title), body: text(event.body) }))
        }
    };
    loggregator::Envelope {
        timestamp: envelope.timestamp,
        source_id: text(envelope.source_id),
        instance_id: text(envelope.instance_id),
        message,
        ..loggregator::Envelope::default()
    }
}

#[test]
fn v2_envelopes_read_as_by_another_decoder() {
    let envelopes = v2_envelopes();
    assert!(envelopes.len() > 300, "{}", envelopes.len());
    let (mut kinds, mut longest) = (BTreeSet::new(), 0);
    for bytes in &envelopes {
        let theirs = loggregator::Envelope::decode(&bytes[..]).expect("recorded");
        let ours = read_v2(bytes);
        // Debug text compares NaN with NaN, and tells 0 from -0.
        let without_tags = loggregator::Envelope {
            tags: BTreeMap::new(),
            deprecated_tags: BTreeMap::new(),
            ..theirs.clone()
        };
        assert_eq!(format!("{ours:?}"), format!("{without_tags:?}"));
        let envelope = v2::Envelope::parse(bytes).expect("recorded");
        assert_eq!(envelope.has_deprecated_tags, !theirs.deprecated_tags.is_empty());
        for (key, value) in &theirs.tags {
            if let Some(key) = known(key.as_bytes()) {
                assert_eq!(envelope.tags.get(key), Some(value.as_bytes()));
            }
        }
        kinds.insert(
            theirs.message.as_ref().map(|message| format!("{message:?}").chars().take(4).collect::<String>()),
        );
        if let Some(loggregator::envelope::Message::Log(log)) = theirs.message {
            longest = longest.max(log.payload.len());
        }
    }
    assert_eq!(kinds.len(), 5, "all five kinds of message are in the recordings: {kinds:?}");
    assert_eq!(longest, 61_440, "the largest log line is in the recordings");
}

#[test]
fn v1_envelopes_read_as_by_another_decoder() {
    let mut types = BTreeSet::new();
    let mut n = 0;
    for bytes in WEBSOCKET.into_iter().flat_map(golden::messages) {
        n += 1;
        let theirs = dropsonde::Envelope::decode(&bytes[..]).expect("recorded");
        let ours = v1::Envelope::parse(&bytes).expect("recorded");
        types.insert(ours.event_type);
        assert_eq!(ours.timestamp, theirs.timestamp);
        assert_eq!(text(ours.origin), theirs.origin);
        for (ours, theirs) in [
            (ours.deployment, &theirs.deployment),
            (ours.job, &theirs.job),
            (ours.index, &theirs.index),
            (ours.ip, &theirs.ip),
        ] {
            assert_eq!(text(ours), theirs.clone().unwrap_or_default());
        }
        for (key, value) in &theirs.tags {
            if let Some(key) = known(key.as_bytes()) {
                assert_eq!(ours.tags.get(key), Some(value.as_bytes()));
            }
        }
        check_v1_payload(&ours, &theirs);
    }
    assert!(n > 300, "{n}");
    assert_eq!(types.len(), 6, "all six types of today's platform are in the recordings: {types:?}");
}

fn check_v1_payload(ours: &v1::Envelope<'_>, theirs: &dropsonde::Envelope) {
    let payload = ours.payload.expect("recorded");
    match ours.event_type {
        EventType::LogMessage => {
            let (log, theirs) =
                (v1::LogMessage::parse(payload).unwrap(), theirs.log_message.as_ref().unwrap());
            assert_eq!(
                (log.message, log.message_type, log.timestamp),
                (&theirs.message[..], theirs.message_type, theirs.timestamp)
            );
            assert_eq!(text(log.app_id), theirs.app_id());
            assert_eq!(text(log.source_type), theirs.source_type());
            assert_eq!(text(log.source_instance), theirs.source_instance());
        }
        EventType::ValueMetric => {
            let (metric, theirs) =
                (v1::ValueMetric::parse(payload).unwrap(), theirs.value_metric.as_ref().unwrap());
            assert_eq!((text(metric.name), text(metric.unit)), (theirs.name.clone(), theirs.unit.clone()));
            assert_eq!(metric.value.to_bits(), theirs.value.to_bits());
        }
        EventType::CounterEvent => {
            let (counter, theirs) =
                (v1::CounterEvent::parse(payload).unwrap(), theirs.counter_event.as_ref().unwrap());
            assert_eq!(
                (text(counter.name), counter.delta, counter.total),
                (theirs.name.clone(), theirs.delta, theirs.total())
            );
        }
        EventType::ContainerMetric => {
            let (ours, theirs) =
                (v1::ContainerMetric::parse(payload).unwrap(), theirs.container_metric.as_ref().unwrap());
            assert_eq!(
                (text(ours.app_id), ours.instance_index),
                (theirs.application_id.clone(), theirs.instance_index)
            );
            assert_eq!(ours.cpu_percentage.to_bits(), theirs.cpu_percentage.to_bits());
            assert_eq!((ours.memory_bytes, ours.disk_bytes), (theirs.memory_bytes, theirs.disk_bytes));
            assert_eq!(
                (ours.memory_bytes_quota, ours.disk_bytes_quota),
                (theirs.memory_bytes_quota(), theirs.disk_bytes_quota())
            );
        }
        EventType::HttpStartStop => {
            let (ours, theirs) =
                (v1::HttpStartStop::parse(payload).unwrap(), theirs.http_start_stop.as_ref().unwrap());
            assert_eq!((ours.start, ours.stop), (theirs.start_timestamp, theirs.stop_timestamp));
            assert_eq!((ours.peer_type, ours.method), (theirs.peer_type, theirs.method));
            assert_eq!(
                (text(ours.uri), text(ours.user_agent)),
                (theirs.uri.clone(), theirs.user_agent.clone())
            );
            assert_eq!((ours.status_code, ours.content_length), (theirs.status_code, theirs.content_length));
            let forwarded: Vec<_> = v1::forwarded(ours.bytes).map(text).collect();
            assert_eq!(forwarded, theirs.forwarded);
        }
        EventType::Error => {
            let (error, theirs) = (v1::Error::parse(payload).unwrap(), theirs.error.as_ref().unwrap());
            assert_eq!(
                (text(error.source), error.code, text(error.message)),
                (theirs.source.clone(), theirs.code, theirs.message.clone())
            );
        }
        other => panic!("{other} is not sent by today's platform"),
    }
}

/// When the envelopes "arrive": after they were recorded.
const ARRIVED: UnixNanos = UnixNanos(1_800_000_000_000_000_000);

pub(crate) fn encoder() -> Encoder {
    Encoder::new(EncoderSettings {
        events: EventType::ALL.into_iter().collect(),
        add_tags: true,
        event_bytes_max: 900 << 10,
        ..EncoderSettings::default()
    })
}

/// The events of one envelope, parsed back.
pub(crate) fn events(encoder: &Encoder, event: &Event<'_>) -> Vec<Value> {
    let mut batch = Batch::new(Arc::from("main"), 0);
    let context = Context { names: &[], app_index: None, app_sourcetype: None, arrived: ARRIVED, flow: 0 };
    let written = encoder.encode(event, &context, &mut batch);
    let events: Vec<Value> = serde_json::Deserializer::from_slice(batch.body())
        .into_iter()
        .collect::<Result<_, _>>()
        .expect("valid JSON");
    assert_eq!(events.len() as u64, written.events);
    assert_eq!(batch.tally().units, u64::from(written.events > 0));
    events
}

#[test]
fn every_recorded_envelope_with_a_message_becomes_events() {
    let encoder = encoder();
    let (mut empty, mut extra, mut notable) = (0, 0, BTreeSet::new());
    for bytes in v2_envelopes() {
        let plain = deprecated::to_tags(&bytes).expect("recorded");
        let envelope = v2::Envelope::parse(&plain).expect("recorded");
        let event = Event::from_v2(&envelope).expect("recorded").expect("all of them carry a message");
        let events = events(&encoder, &event);
        match events.len() {
            0 => empty += u64::from(event.is_empty_gauge()),
            n => extra += n - 1,
        }
        for each in &events {
            let tags = &each["event"]["tags"];
            if let Some(case) = tags["case"].as_str() {
                notable.insert(case.to_owned());
            }
            if tags["case"] == "invalid-utf8" {
                assert_eq!(each["event"]["msg"], "\u{fffd}\u{fffd}a\u{fffd}\u{fffd}(");
            }
            if tags["case"] == "counter-max-uint64" {
                assert_eq!(each["event"]["total"], u64::MAX);
            }
        }
    }
    assert_eq!(empty, 3, "the gauge without metrics, once in each recording of the cases");
    assert!(extra > 20, "gauges with several metrics give several events: {extra}");
    assert!(notable.len() >= 20, "{notable:?}");
    for bytes in WEBSOCKET.into_iter().flat_map(golden::messages) {
        let envelope = v1::Envelope::parse(&bytes).expect("recorded");
        let event = Event::from_v1(&envelope).expect("recorded");
        assert_eq!(events(&encoder, &event).len(), 1);
    }
}

#[test]
fn deprecated_tags_say_the_same_as_plain_ones() {
    let encoder = encoder();
    let by_case = |file| {
        let mut cases = BTreeMap::new();
        for message in golden::messages(file) {
            for bytes in v2::Batch::new(&message) {
                let plain = deprecated::to_tags(bytes.expect("recorded")).expect("recorded");
                let envelope = v2::Envelope::parse(&plain).expect("recorded");
                let event = Event::from_v2(&envelope).expect("recorded").expect("a message");
                for each in events(&encoder, &event) {
                    if let Some(case) = each["event"]["tags"]["case"].as_str() {
                        let key = format!("{case} {} {}", each["sourcetype"], each["event"]["name"]);
                        cases.insert(key, each);
                    }
                }
            }
        }
        cases
    };
    let mut plain = by_case(BATCHES[0]);
    let mut deprecated = by_case(BATCHES[1]);
    // The one case with numbers as tags: the RLP writes decimals in their shortest form, the
    // platform's conversion to v1, which we follow, with six places.
    assert!(plain.remove("deprecated-tags \"cf:logmessage\" null").is_some());
    assert!(deprecated.remove("deprecated-tags \"cf:logmessage\" null").is_some());
    assert!(plain.len() > 20, "{}", plain.len());
    assert_eq!(plain, deprecated);
}

#[test]
fn a_text_that_is_cut_keeps_what_fits() {
    let encoder = Encoder::new(EncoderSettings {
        events: EventType::ALL.into_iter().collect(),
        event_bytes_max: 10_000,
        ..EncoderSettings::default()
    });
    // Each byte of these takes one, two, three or six bytes of JSON.
    for filler in [&b"x"[..], b"\"", b"\xff", b"\x01"] {
        let log = loggregator::Log { payload: filler.repeat(20_000).into(), r#type: 0 };
        let message = Some(loggregator::envelope::Message::Log(log));
        let bytes = loggregator::Envelope { timestamp: 1, message, ..Default::default() }.encode_to_vec();
        let envelope = v2::Envelope::parse(&bytes).unwrap();
        let event = Event::from_v2(&envelope).unwrap().unwrap();
        let mut batch = Batch::new(Arc::from("main"), 0);
        let context =
            Context { names: &[], app_index: None, app_sourcetype: None, arrived: UnixNanos::now(), flow: 0 };
        assert_eq!(encoder.encode(&event, &context, &mut batch).truncated, 1);
        assert!(batch.committed() <= 10_000, "{filler:?}: {}", batch.committed());
        assert!(batch.committed() > 9_000, "{filler:?}: {}", batch.committed());
    }
}
