//! An envelope from an event: a log line as it is, straight in wire form; metrics from JSON.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde::Deserialize;

use super::world::Tenant;
use crate::eventgen::event::Event;
use crate::eventgen::output::lines;
use crate::proto::loggregator::envelope::Message;
use crate::proto::loggregator::{Counter, Envelope, Gauge, GaugeValue, Timer};
use crate::sim::wire::{self, Encoded, FIRST_FIELD, LOG};
use crate::sim::writer::{Head, Tags, Writer};

/// The only instance of each app.
const INSTANCE: &str = "0";

/// What envelopes the events become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Log,
    Counter,
    Gauge,
    Timer,
}

#[derive(Deserialize)]
struct CounterText {
    name: String,
    #[serde(default)]
    delta: u64,
    #[serde(default)]
    total: u64,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct GaugeText {
    metrics: BTreeMap<String, Metric>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Metric {
    Bare(f64),
    WithUnit { value: f64, unit: String },
}

/// Ends with the event, and lasts so many milliseconds.
#[derive(Deserialize)]
struct TimerText {
    name: String,
    milliseconds: f64,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// Makes envelopes, one after another.
#[derive(Debug)]
pub(super) struct Maker {
    kind: Kind,
    writer: Writer,
    /// For the order of tags.
    rng: Rng,
    payload: Vec<u8>,
    message: Vec<u8>,
    no_tags: Tags,
}

impl Maker {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            writer: Writer::default(),
            rng: Rng::new(),
            payload: Vec::new(),
            message: Vec::new(),
            no_tags: Tags::default(),
        }
    }

    /// The envelope of an event of an app.
    ///
    /// # Errors
    /// The text is not what this kind of envelope is made of.
    pub(super) fn envelope(&mut self, event: &Event<'_>, app: &Tenant) -> Result<Encoded, String> {
        if self.kind != Kind::Log {
            return metric(self.kind, event, app).map(|envelope| Encoded::new(&envelope));
        }
        self.payload.clear();
        lines::put(event.text, lines::Ending::Trimmed, &mut self.payload);
        self.payload.pop();
        self.message.clear();
        wire::put_text(FIRST_FIELD, &self.payload, &mut self.message);
        let head = Head {
            unix_nanos: event.time.0,
            source_id: &app.guid,
            instance_id: INSTANCE,
            tags: &app.log_tags,
            more_tags: &self.no_tags,
        };
        Ok(self.writer.envelope(&head, LOG, &self.message, wire::Kind::Log, &mut self.rng))
    }
}

fn metric(kind: Kind, event: &Event<'_>, app: &Tenant) -> Result<Envelope, String> {
    let mut tags: BTreeMap<String, String> = app.tags.iter().cloned().collect();
    let message = match kind {
        // Written by the maker.
        Kind::Log => return Err("a log line is no metric".to_owned()),
        Kind::Counter => {
            let text: CounterText = parse(event.text, r#"{"name": "requests", "delta": 1}"#)?;
            tags.extend(text.tags);
            Message::Counter(Counter { name: text.name, delta: text.delta, total: text.total })
        }
        Kind::Gauge => {
            let text: GaugeText =
                parse(event.text, r#"{"metrics": {"cpu": {"value": 1.5, "unit": "percentage"}}}"#)?;
            tags.extend(text.tags);
            let metrics = text.metrics.into_iter().map(|(name, metric)| match metric {
                Metric::Bare(value) => (name, GaugeValue { unit: String::new(), value }),
                Metric::WithUnit { value, unit } => (name, GaugeValue { unit, value }),
            });
            Message::Gauge(Gauge { metrics: metrics.collect() })
        }
        Kind::Timer => {
            let text: TimerText = parse(event.text, r#"{"name": "http", "milliseconds": 12.5}"#)?;
            tags.extend(text.tags);
            // Saturates; a timer of centuries is as wrong as it is harmless.
            #[allow(clippy::cast_possible_truncation, reason = "saturates")]
            let nanos = (text.milliseconds * 1e6) as i64;
            let stop = event.time.0;
            Message::Timer(Timer { name: text.name, start: stop.saturating_sub(nanos), stop })
        }
    };
    Ok(Envelope {
        timestamp: event.time.0,
        source_id: app.guid.clone(),
        instance_id: INSTANCE.to_owned(),
        tags,
        message: Some(message),
        ..Envelope::default()
    })
}

fn parse<'a, T: Deserialize<'a>>(text: &'a [u8], example: &str) -> Result<T, String> {
    serde_json::from_slice(text)
        .map_err(|error| format!("loggregatorKind: expected a text such as {example}: {error}"))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::eventgen::output::loggregator::world::World;
    use crate::eventgen::testing::{NOON, batch};
    use crate::proto::loggregator::Log;

    fn made(kind: Kind, text: &str) -> Result<Envelope, String> {
        let world = World::new(1, 1, 1);
        let made = Maker::new(kind).envelope(&batch(&[text]).iter().next().unwrap(), world.app(0))?;
        Ok(Envelope::decode(made.body()).unwrap())
    }

    #[test]
    fn each_kind_has_its_text() {
        let log = made(Kind::Log, "hello \n").unwrap();
        assert_eq!(log.message, Some(Message::Log(Log { payload: "hello".into(), r#type: 0 })));
        assert_eq!((log.timestamp, &*log.tags["app_name"]), (NOON.0, "app-1"));
        assert_eq!((&log.source_id, &*log.tags["source_type"]), (&log.tags["app_id"], "APP/PROC/WEB"));

        let counter = made(Kind::Counter, r#"{"name":"n","delta":3,"tags":{"a":"b"}}"#).unwrap();
        assert_eq!(counter.message, Some(Message::Counter(Counter { name: "n".into(), delta: 3, total: 0 })));
        assert_eq!(counter.tags["a"], "b");

        let gauge = made(Kind::Gauge, r#"{"metrics":{"cpu":{"value":1.5,"unit":"%"},"x":2}}"#).unwrap();
        let Some(Message::Gauge(gauge)) = gauge.message else { panic!() };
        assert_eq!(gauge.metrics["cpu"], GaugeValue { unit: "%".into(), value: 1.5 });
        assert_eq!(gauge.metrics["x"], GaugeValue { unit: String::new(), value: 2.0 });

        let timer = made(Kind::Timer, r#"{"name":"http","milliseconds":2.5}"#).unwrap();
        let expected = Timer { name: "http".into(), start: NOON.0 - 2_500_000, stop: NOON.0 };
        assert_eq!(timer.message, Some(Message::Timer(expected)));
    }

    #[test]
    fn other_texts_are_named() {
        for kind in [Kind::Counter, Kind::Gauge, Kind::Timer] {
            for text in ["hello", "{}", "{\"name\":1}"] {
                let error = made(kind, text).unwrap_err();
                assert!(error.contains("expected a text such as {"), "{error}");
            }
        }
    }
}
