//! Writes envelopes as JSON in every style a gateway might have.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use firehose_nozzle::proto::loggregator::envelope::Message;
use firehose_nozzle::proto::loggregator::{Envelope, Gauge};
use proptest::prelude::*;
use serde_json::json;

/// How a batch is written.
#[derive(Clone, Debug)]
pub(super) struct Style {
    /// `sourceId` instead of `source_id`.
    camel_case: bool,
    /// Zero values are left out.
    sparse: bool,
    /// Integers stand without quotes.
    bare_integers: bool,
    /// Base64 is padded.
    padded: bool,
    /// Every character of every string is an escape.
    escapes: bool,
    /// What stands between all signs.
    space: &'static str,
    /// Members that mean nothing are added.
    noise: bool,
    /// Members are turned round by so many places, maps too.
    rotation: usize,
}

pub(super) fn style() -> impl Strategy<Value = Style> {
    let flags = any::<(bool, bool, bool, bool, bool)>();
    (flags, prop::bool::weighted(0.2), prop::sample::select(vec!["", " ", "\n\t\r "]), 0..20_usize).prop_map(
        |((camel_case, sparse, bare_integers, padded, noise), escapes, space, rotation)| Style {
            camel_case,
            sparse,
            bare_integers,
            padded,
            escapes,
            space,
            noise,
            rotation,
        },
    )
}

impl Style {
    /// What today's gateways write, but for the order of keys.
    pub(super) fn usual() -> Self {
        Self {
            camel_case: false,
            sparse: false,
            bare_integers: false,
            padded: true,
            escapes: false,
            space: "",
            noise: false,
            rotation: 0,
        }
    }

    pub(super) fn batch(&self, envelopes: &[Envelope]) -> String {
        let envelopes: Vec<_> = envelopes.iter().map(|envelope| self.envelope(envelope)).collect();
        let space = self.space;
        let array = format!("[{space}{}{space}]", envelopes.join(&format!("{space},{space}")));
        self.object(vec![("batch".to_owned(), array)])
    }

    fn envelope(&self, envelope: &Envelope) -> String {
        let name =
            |snake: &str, camel: &str| if self.camel_case { camel.to_owned() } else { snake.to_owned() };
        let tags = envelope.tags.iter().map(|(key, value)| (key.clone(), self.string(value))).collect();
        let mut members = vec![
            ("timestamp".to_owned(), self.integer(envelope.timestamp)),
            (name("source_id", "sourceId"), self.string(&envelope.source_id)),
            (name("instance_id", "instanceId"), self.string(&envelope.instance_id)),
            (name("deprecated_tags", "deprecatedTags"), "{}".to_owned()),
            ("tags".to_owned(), self.object(tags)),
        ];
        if self.sparse {
            members.retain(|(name, value)| !is_zero(name, value));
        }
        if let Some(message) = &envelope.message {
            members.push(self.message(message));
        }
        if self.noise && !self.sparse {
            members.insert(0, ("tags".to_owned(), "{\"ip\":\"none\",\"x\":\"\\n\"}".to_owned()));
            members.insert(0, ("timestamp".to_owned(), "17".to_owned()));
            members.push(("type_url".to_owned(), "{\"a\":[1,{\"\\u0000\":null}],\"b\":-1.5e-3}".to_owned()));
            members.push(("instance_id_2".to_owned(), "null".to_owned()));
        }
        self.object(members)
    }

    fn message(&self, message: &Message) -> (String, String) {
        let (name, mut members) = match message {
            Message::Log(log) => {
                let base64 = if self.padded { BASE64_STANDARD } else { BASE64_STANDARD_NO_PAD };
                let kind = match (self.bare_integers, log.r#type) {
                    (true, kind) => kind.to_string(),
                    (false, 0) => "\"OUT\"".to_owned(),
                    (false, _) => "\"ERR\"".to_owned(),
                };
                ("log", vec![("payload", self.string(&base64.encode(&log.payload))), ("type", kind)])
            }
            Message::Counter(counter) => {
                let (delta, total) = (self.integer(counter.delta), self.integer(counter.total));
                ("counter", vec![("name", self.string(&counter.name)), ("delta", delta), ("total", total)])
            }
            Message::Gauge(gauge) => ("gauge", vec![("metrics", self.metrics(gauge))]),
            Message::Timer(timer) => {
                let (start, stop) = (self.integer(timer.start), self.integer(timer.stop));
                ("timer", vec![("name", self.string(&timer.name)), ("start", start), ("stop", stop)])
            }
            Message::Event(event) => {
                ("event", vec![("title", self.string(&event.title)), ("body", self.string(&event.body))])
            }
        };
        if self.sparse {
            members.retain(|(name, value)| !is_zero(name, value));
        }
        let members = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        (name.to_owned(), self.object(members))
    }

    fn metrics(&self, gauge: &Gauge) -> String {
        let metric = |value: f64| match value {
            value if value.is_nan() => "\"NaN\"".to_owned(),
            f64::INFINITY => "\"Infinity\"".to_owned(),
            f64::NEG_INFINITY => "\"-Infinity\"".to_owned(),
            value => json!(value).to_string(),
        };
        let members = gauge.metrics.iter().map(|(name, value)| {
            let members = vec![
                ("unit".to_owned(), self.string(&value.unit)),
                ("value".to_owned(), metric(value.value)),
            ];
            (name.clone(), self.object(members))
        });
        self.object(members.collect())
    }

    fn object(&self, mut members: Vec<(String, String)>) -> String {
        if !members.is_empty() && !self.noise {
            // Noise has to stay before what it is to be replaced by.
            let places = self.rotation % members.len();
            members.rotate_left(places);
        }
        let space = self.space;
        let members: Vec<_> = members
            .iter()
            .map(|(key, value)| format!("{}{space}:{space}{value}", self.string(key)))
            .collect();
        format!("{{{space}{}{space}}}", members.join(&format!("{space},{space}")))
    }

    fn integer(&self, number: impl Into<i128>) -> String {
        let number: i128 = number.into();
        if self.bare_integers { number.to_string() } else { format!("\"{number}\"") }
    }

    fn string(&self, text: &str) -> String {
        if !self.escapes {
            return json!(text).to_string();
        }
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        format!("\"{units}\"")
    }
}

/// Whether a value is what the field has without it.
fn is_zero(name: &str, value: &str) -> bool {
    match name {
        "timestamp" | "delta" | "total" | "start" | "stop" => matches!(value, "0" | "\"0\""),
        "type" => matches!(value, "0" | "\"OUT\""),
        _ => matches!(value, "\"\"" | "{}"),
    }
}
