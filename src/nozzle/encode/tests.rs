//! Sizes: events that are too large, envelopes that become too many.

use std::sync::Arc;

use prost::Message as _;
use serde_json::Value;

use super::*;
use crate::nozzle::wire::v2;
use crate::proto::loggregator::envelope::Message;
use crate::proto::loggregator::{Envelope, Gauge, GaugeValue, Log};

const ARRIVED: UnixNanos = UnixNanos(1_700_000_000_000_000_000);

/// Takes events into batches of a few, as the batcher does.
struct Batches {
    open: Batch,
    sealed: Vec<Batch>,
}

impl Sink for Batches {
    fn write<T>(&mut self, write: impl FnOnce(&mut Batch, &[u8]) -> T) -> T {
        let written = write(&mut self.open, b",\"index\":\"main\"");
        if self.open.len() >= 3 {
            let next = Batch::new(Arc::from("main"), 0);
            self.sealed.push(std::mem::replace(&mut self.open, next));
        }
        written
    }
}

impl Batches {
    fn new() -> Self {
        Self { open: Batch::new(Arc::from("main"), 0), sealed: Vec::new() }
    }

    fn events(&self) -> Vec<Value> {
        let bodies = self.sealed.iter().chain([&self.open]).map(Batch::body);
        let read = |body| serde_json::Deserializer::from_slice(body).into_iter::<Value>();
        bodies.flat_map(read).map(Result::unwrap).collect()
    }

    fn sizes(&self) -> Vec<usize> {
        let sizes = |batch: &Batch| -> Vec<usize> {
            let mut start = 0;
            batch
                .marks()
                .iter()
                .map(|mark| mark.end as usize - std::mem::replace(&mut start, mark.end as usize))
                .collect()
        };
        self.sealed.iter().chain([&self.open]).flat_map(sizes).collect()
    }

    fn units(&self) -> u64 {
        self.sealed.iter().chain([&self.open]).map(|batch| batch.tally().units).sum()
    }
}

fn settings() -> EncoderSettings {
    EncoderSettings {
        events: EventType::ALL.into_iter().collect(),
        event_bytes_max: 1000,
        ..EncoderSettings::default()
    }
}

fn encode(encoder: &Encoder, envelope: &Envelope, batches: &mut Batches) -> Written {
    let bytes = envelope.encode_to_vec();
    let envelope = v2::Envelope::parse(&bytes).unwrap();
    let event = Event::from_v2(&envelope).unwrap().unwrap();
    let context = Context {
        names: &[],
        app_index: None,
        app_sourcetype: None,
        arrived: ARRIVED,
        flow: encoder.flow(&event),
    };
    encoder.encode(&event, &context, batches)
}

fn log(payload: &str) -> Envelope {
    Envelope {
        timestamp: ARRIVED.0,
        source_id: "app".to_owned(),
        message: Some(Message::Log(Log { payload: payload.as_bytes().to_vec().into(), r#type: 0 })),
        ..Envelope::default()
    }
}

fn gauge(names: impl Iterator<Item = String>, tags: usize) -> Envelope {
    let metrics = names.map(|name| (name, GaugeValue { unit: String::new(), value: 1.0 })).collect();
    Envelope {
        tags: (0..tags).map(|n| (format!("tag-{n}"), "x".repeat(20))).collect(),
        message: Some(Message::Gauge(Gauge { metrics })),
        ..log("")
    }
}

/// Texts that are long in different ways: plain, escaped, of several bytes a character, JSON, no UTF-8.
fn texts() -> Vec<String> {
    let json = format!("{{\"a\":\"{}\"}}", "b".repeat(3000));
    let mut texts: Vec<String> =
        ["x", "\"", "\u{1}", "é", "😀", "a\u{1}😀\\"].map(|text| text.repeat(3000 / text.len())).into();
    texts.push(json);
    texts
}

#[test]
fn a_text_that_is_too_long_is_cut_split_or_dropped() {
    for text in texts() {
        for oversize in [Oversize::Truncate, Oversize::Split, Oversize::Drop] {
            let encoder = Encoder::new(EncoderSettings { oversize, ..settings() });
            let mut batches = Batches::new();
            let written = encode(&encoder, &log(&text), &mut batches);
            let events = batches.events();
            assert!(batches.sizes().iter().all(|size| *size <= 1000), "{oversize:?} {:?}", batches.sizes());
            assert_eq!(written.events, events.len() as u64);
            assert_eq!(batches.units(), u64::from(written.events > 0), "the envelope is settled once");
            let messages: Vec<&str> =
                events.iter().map(|event| event["event"]["msg"].as_str().unwrap()).collect();
            match oversize {
                Oversize::Truncate => {
                    assert_eq!((written.truncated, events.len()), (1, 1));
                    assert!(
                        messages[0].len() > 100 && text.starts_with(messages[0].trim_end_matches('\u{fffd}'))
                    );
                }
                Oversize::Split => {
                    assert_eq!((written.split, written.truncated), (1, 0));
                    assert_eq!(messages.concat(), text, "nothing is lost, no character is torn");
                    for (at, event) in events.iter().enumerate() {
                        let (part, last) = ((at + 1).to_string(), at + 1 == events.len());
                        assert_eq!(event["fields"]["part"], part.as_str());
                        assert_eq!(event["fields"]["parts"], if last { part.into() } else { Value::Null });
                    }
                }
                Oversize::Drop => assert_eq!((written.oversize, events.len()), (1, 0)),
            }
        }
    }
}

#[test]
fn what_cannot_be_split_is_cut() {
    let encoder = Encoder::new(EncoderSettings { oversize: Oversize::Split, add_tags: true, ..settings() });
    let mut batches = Batches::new();
    let name = "n".repeat(3000);
    assert_eq!(encode(&encoder, &gauge([name].into_iter(), 1), &mut batches).truncated, 1);
    // So many tags that hardly any text finds room.
    let mut envelope = log(&"x".repeat(3000));
    envelope.tags = gauge(std::iter::empty(), 30).tags;
    let written = encode(&encoder, &envelope, &mut batches);
    assert_eq!((written.events, written.truncated, written.split), (1, 1, 0));
    assert_eq!(batches.units(), 2);
}

#[test]
fn events_are_numbered_without_a_gap_however_often_they_are_written() {
    for oversize in [Oversize::Truncate, Oversize::Split] {
        let encoder =
            Encoder::new(EncoderSettings { oversize, tracing: Some("id".to_owned()), ..settings() });
        let mut batches = Batches::new();
        for text in texts() {
            encode(&encoder, &log("short"), &mut batches);
            encode(&encoder, &log(&text), &mut batches);
        }
        let numbers: Vec<_> = batches
            .events()
            .iter()
            .map(|event| event["fields"][TRACE_COUNTER].as_str().unwrap().parse::<u64>().unwrap())
            .collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "{oversize:?}");
    }
}

#[test]
fn a_gauge_of_thousands_of_metrics_goes_into_many_batches_and_is_bounded() {
    let encoder = Encoder::new(EncoderSettings { event_bytes_max: 900_000, ..settings() });
    let mut batches = Batches::new();
    let written = encode(&encoder, &gauge((0..3000).map(|n| format!("m{n}")), 0), &mut batches);
    assert_eq!((written.events, written.left_out), (METRICS_MAX, 3000 - METRICS_MAX));
    assert_eq!((batches.events().len() as u64, batches.units()), (METRICS_MAX, 1));
    assert!(batches.sealed.iter().all(|batch| batch.len() == 3));

    let encoder = Encoder::new(EncoderSettings { add_tags: true, event_bytes_max: 900_000, ..settings() });
    let mut batches = Batches::new();
    let written = encode(&encoder, &gauge((0..900).map(|n| format!("m{n}")), 1000), &mut batches);
    assert_eq!(written.events + written.left_out, 900);
    assert!(written.left_out > 0 && written.bytes == batches.sizes().iter().sum::<usize>());
    let one = *batches.sizes().iter().max().unwrap();
    assert!((GAUGE_BYTES_MAX..GAUGE_BYTES_MAX + one).contains(&written.bytes), "{}", written.bytes);
}

#[test]
fn of_two_metrics_with_one_name_the_last_counts() {
    let many: Vec<String> = (0..500).map(|n| format!("m{}", n % 100)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for names in [&["a", "b", "a", "c", "b"][..], &["a", "a", "a"], &["a", "b", "c"], &many] {
        let bytes: Vec<u8> = names
            .iter()
            .enumerate()
            .flat_map(|(at, name)| {
                let value = GaugeValue { unit: String::new(), value: at as f64 };
                Gauge { metrics: [((*name).to_owned(), value)].into() }.encode_to_vec()
            })
            .collect();
        let mut envelope = Envelope { message: None, ..log("") }.encode_to_vec();
        let field = Envelope { message: Some(Message::Gauge(Gauge::default())), ..Envelope::default() };
        // The tag of the gauge; its length and contents follow.
        envelope.push(field.encode_to_vec()[0]);
        prost::encode_length_delimiter(bytes.len(), &mut envelope).unwrap();
        envelope.extend_from_slice(&bytes);
        let envelope = v2::Envelope::parse(&envelope).unwrap();
        let event = Event::from_v2(&envelope).unwrap().unwrap();
        let encoder = Encoder::new(settings());
        let context =
            Context { names: &[], app_index: None, app_sourcetype: None, arrived: ARRIVED, flow: 0 };
        let mut batches = Batches::new();
        encoder.encode(&event, &context, &mut batches);
        let got: Vec<_> = batches
            .events()
            .iter()
            .map(|event| {
                (
                    event["event"]["name"].as_str().unwrap().to_owned(),
                    event["event"]["value"].as_f64().unwrap(),
                )
            })
            .collect();
        let expected: Vec<_> = (0..names.len())
            .filter(|at| !names[at + 1..].contains(&names[*at]))
            .map(|at| (names[at].to_owned(), at as f64))
            .collect();
        assert_eq!(got, expected);
    }
}

#[test]
fn tens_of_thousands_of_tags_take_no_time_to_speak_of() {
    let encoder = Encoder::new(EncoderSettings { add_tags: true, event_bytes_max: 9_000_000, ..settings() });
    let mut envelope = log("x");
    envelope.tags = (0..60_000).map(|n| (format!("tag-{n}"), "v".to_owned())).collect();
    let mut batches = Batches::new();
    encode(&encoder, &envelope, &mut batches);
    assert_eq!(batches.events()[0]["event"]["tags"].as_object().unwrap().len(), 60_001);
}

#[test]
fn events_of_an_app_flow_together() {
    let encoder = Encoder::new(settings());
    let flow = |envelope: &Envelope| {
        let bytes = envelope.encode_to_vec();
        let envelope = v2::Envelope::parse(&bytes).unwrap();
        encoder.flow(&Event::from_v2(&envelope).unwrap().unwrap())
    };
    let of = |source_id: &str| Envelope { source_id: source_id.to_owned(), ..log("x") };
    assert_eq!(flow(&of("a")), flow(&of("a")));
    assert_ne!(flow(&of("a")), flow(&of("b")));
    let job = |job: &str| {
        let mut envelope = gauge(["m".to_owned()].into_iter(), 0);
        envelope.tags.insert("job".to_owned(), job.to_owned());
        envelope
    };
    assert_eq!(flow(&job("router")), flow(&job("router")));
    assert_ne!(flow(&job("router")), flow(&job("diego_cell")));
}
