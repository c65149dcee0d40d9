//! The gateway's JSON by way of another parser and generated types, as simple as can be.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use firehose_nozzle::proto::loggregator::envelope::Message;
use firehose_nozzle::proto::loggregator::{Counter, Envelope, Event, Gauge, GaugeValue, Log, Timer};
use serde_json::Value;

/// The envelopes of a batch.
pub(super) fn batch(frame: &str) -> Vec<Envelope> {
    let batch: Value = serde_json::from_str(frame).unwrap();
    batch["batch"].as_array().into_iter().flatten().map(envelope).collect()
}

fn envelope(json: &Value) -> Envelope {
    let message = [
        json.get("log").map(|log| Message::Log(self::log(log))),
        json.get("counter").map(|counter| {
            Message::Counter(Counter {
                name: text(&counter["name"]),
                delta: unsigned(&counter["delta"]),
                total: unsigned(&counter["total"]),
            })
        }),
        json.get("gauge").map(|gauge| {
            let metrics = gauge["metrics"].as_object().into_iter().flatten();
            Message::Gauge(Gauge {
                metrics: metrics.map(|(name, value)| (name.clone(), metric(value))).collect(),
            })
        }),
        json.get("timer").map(|timer| {
            let (start, stop) = (signed(&timer["start"]), signed(&timer["stop"]));
            Message::Timer(Timer { name: text(&timer["name"]), start, stop })
        }),
        json.get("event")
            .map(|event| Message::Event(Event { title: text(&event["title"]), body: text(&event["body"]) })),
    ];
    let tags = json["tags"].as_object().into_iter().flatten();
    Envelope {
        timestamp: signed(&json["timestamp"]),
        source_id: text(either(json, "source_id", "sourceId")),
        instance_id: text(either(json, "instance_id", "instanceId")),
        tags: tags.map(|(key, value)| (key.clone(), text(value))).collect(),
        message: message.into_iter().flatten().next(),
        ..Envelope::default()
    }
}

fn either<'a>(json: &'a Value, one: &str, other: &str) -> &'a Value {
    json.get(one).unwrap_or(&json[other])
}

fn log(json: &Value) -> Log {
    let kind = match &json["type"] {
        Value::Null => 0,
        Value::String(name) => i32::from(name != "OUT"),
        number => i32::try_from(number.as_i64().unwrap()).unwrap(),
    };
    let unpadded = text(&json["payload"]).trim_end_matches('=').to_owned();
    Log { payload: BASE64_STANDARD_NO_PAD.decode(unpadded).unwrap().into(), r#type: kind }
}

fn metric(json: &Value) -> GaugeValue {
    let value = match &json["value"] {
        Value::Null => 0.0,
        // Rust reads the names that JSON gives to NaN and the infinities.
        Value::String(text) => text.parse().unwrap(),
        number => number.as_f64().unwrap(),
    };
    GaugeValue { unit: text(&json["unit"]), value }
}

fn text(json: &Value) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn signed(json: &Value) -> i64 {
    json.as_str().map_or_else(|| json.as_i64().unwrap_or_default(), |text| text.parse().unwrap())
}

fn unsigned(json: &Value) -> u64 {
    json.as_str().map_or_else(|| json.as_u64().unwrap_or_default(), |text| text.parse().unwrap())
}
