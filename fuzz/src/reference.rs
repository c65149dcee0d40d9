//! The gateway's JSON by way of another parser and generated types: what it must mean, wherever there can
//! be no doubt. `None` is no verdict: the text may be damaged, or say something twice.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use firehose_nozzle::proto::loggregator::envelope::Message;
use firehose_nozzle::proto::loggregator::value::Data;
use firehose_nozzle::proto::loggregator::{self as v2, Counter, Envelope, Event, Gauge, GaugeValue, Log, Timer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// The envelopes of a batch.
pub fn batch(frame: &[u8]) -> Option<Vec<Envelope>> {
    let batch: Json = serde_json::from_slice(frame).ok()?;
    match batch.object()?.get("batch") {
        None => Some(Vec::new()),
        Some(Json::Array(envelopes)) => envelopes.iter().map(envelope).collect(),
        Some(_) => None,
    }
}

/// A value none of whose objects has a name twice; members that are null are left out.
enum Json {
    Null,
    Bool,
    Number(Number),
    String(String),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    fn object(&self) -> Option<&BTreeMap<String, Self>> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    fn text(&self) -> Option<&String> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// A number, which may stand in quotes.
    fn number(&self) -> Option<Number> {
        match self {
            Self::Number(number) => Some(number.clone()),
            Self::String(text) => serde_json::from_str(text).ok().filter(|_| text.trim() == text),
            _ => None,
        }
    }
}

fn envelope(json: &Json) -> Option<Envelope> {
    let Json::Object(members) = json else { return matches!(json, Json::Null).then(Envelope::default) };
    let mut messages = members.iter().filter_map(|(name, value)| message(name, value));
    let message = match (messages.next(), messages.next()) {
        (None, _) => None,
        (Some(message), None) => Some(message?),
        (Some(_), Some(_)) => return None,
    };
    Some(Envelope {
        timestamp: integer(members.get("timestamp"))?,
        source_id: string(either(members, "source_id", "sourceId")?)?,
        instance_id: string(either(members, "instance_id", "instanceId")?)?,
        deprecated_tags: map(either(members, "deprecated_tags", "deprecatedTags")?, deprecated_tag)?,
        tags: map(members.get("tags"), |value| value.text().cloned())?,
        message,
    })
}

fn message(name: &str, json: &Json) -> Option<Option<Message>> {
    Some(match name {
        "log" => log(json).map(Message::Log),
        "counter" => counter(json).map(Message::Counter),
        "gauge" => gauge(json).map(Message::Gauge),
        "timer" => timer(json).map(Message::Timer),
        "event" => event(json).map(Message::Event),
        _ => return None,
    })
}

fn log(json: &Json) -> Option<Log> {
    let members = json.object()?;
    let kind = match members.get("type") {
        Some(Json::String(name)) => i32::from(name != "OUT"),
        number => integer::<i64>(number)?.try_into().ok()?,
    };
    let payload = BASE64_STANDARD.decode(string(members.get("payload"))?).ok()?;
    Some(Log { payload: payload.into(), r#type: kind })
}

fn counter(json: &Json) -> Option<Counter> {
    let members = json.object()?;
    let (delta, total) = (integer(members.get("delta"))?, integer(members.get("total"))?);
    Some(Counter { name: string(members.get("name"))?, delta, total })
}

fn gauge(json: &Json) -> Option<Gauge> {
    Some(Gauge { metrics: map(json.object()?.get("metrics"), metric)? })
}

fn metric(json: &Json) -> Option<GaugeValue> {
    let members = json.object()?;
    Some(GaugeValue { unit: string(members.get("unit"))?, value: double(members.get("value"))? })
}

fn timer(json: &Json) -> Option<Timer> {
    let members = json.object()?;
    let (start, stop) = (integer(members.get("start"))?, integer(members.get("stop"))?);
    Some(Timer { name: string(members.get("name"))?, start, stop })
}

fn event(json: &Json) -> Option<Event> {
    let members = json.object()?;
    Some(Event { title: string(members.get("title"))?, body: string(members.get("body"))? })
}

fn deprecated_tag(json: &Json) -> Option<v2::Value> {
    let mut data = Vec::new();
    for (name, value) in json.object()? {
        data.push(match name.as_str() {
            "text" => Data::Text(value.text()?.clone()),
            "integer" => Data::Integer(integer(Some(value))?),
            "decimal" => Data::Decimal(double(Some(value))?),
            _ => continue,
        });
    }
    // Of several the last counts, and their order is not known here.
    (data.len() <= 1).then(|| v2::Value { data: data.pop() })
}

/// The one of two spellings that is there; no verdict on both.
fn either<'a>(members: &'a BTreeMap<String, Json>, one: &str, other: &str) -> Option<Option<&'a Json>> {
    match (members.get(one), members.get(other)) {
        (Some(_), Some(_)) => None,
        (one, other) => Some(one.or(other)),
    }
}

fn map<T>(json: Option<&Json>, value: impl Fn(&Json) -> Option<T>) -> Option<BTreeMap<String, T>> {
    let Some(json) = json else { return Some(BTreeMap::new()) };
    json.object()?.iter().map(|(name, json)| Some((name.clone(), value(json)?))).collect()
}

fn string(json: Option<&Json>) -> Option<String> {
    json.map_or(Some(String::new()), |json| json.text().cloned())
}

/// Integers only as digits: what 1e3 or 1.0 mean is for tests of their own.
fn integer<T: std::str::FromStr + Default>(json: Option<&Json>) -> Option<T> {
    let Some(json) = json else { return Some(T::default()) };
    json.number()?.to_string().parse().ok()
}

fn double(json: Option<&Json>) -> Option<f64> {
    match json {
        None => Some(0.0),
        Some(Json::String(name)) if name == "NaN" => Some(f64::NAN),
        Some(Json::String(name)) if name == "Infinity" => Some(f64::INFINITY),
        Some(Json::String(name)) if name == "-Infinity" => Some(f64::NEG_INFINITY),
        Some(json) => json.number()?.as_f64(),
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Read)
    }
}

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = Json;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Bool)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Json, E> {
        Number::from_f64(number).map(Json::Number).ok_or_else(|| E::custom("not finite"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        while let Some(element) = elements.next_element()? {
            all.push(element);
        }
        Ok(Json::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let (mut all, mut names) = (BTreeMap::new(), std::collections::BTreeSet::new());
        while let Some((name, value)) = members.next_entry::<String, Json>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom("a name twice"));
            }
            if !matches!(value, Json::Null) {
                all.insert(name, value);
            }
        }
        Ok(Json::Object(all))
    }
}
