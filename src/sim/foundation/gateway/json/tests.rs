use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::*;
use crate::proto::loggregator as v2;
use crate::proto::loggregator::envelope::Message;
use crate::sim::foundation::gateway::config::{Spacing, Spelling};

const CURRENT: JsonStyle = JsonStyle { spelling: Spelling::Current, spacing: Spacing::Compact };
const OLDER: JsonStyle = JsonStyle { spelling: Spelling::Older, spacing: Spacing::Compact };

fn write(style: JsonStyle, envelope: &v2::Envelope) -> String {
    let json = JsonWriter::new(style).write(&Encoded::new(envelope)).expect("it is well formed");
    String::from_utf8(json.to_vec()).unwrap()
}

fn write_bytes(body: &[u8]) -> Option<Bytes> {
    JsonWriter::new(CURRENT).write(&Encoded::from_bytes(body, None))
}

fn with(message: Message) -> v2::Envelope {
    v2::Envelope { message: Some(message), ..Default::default() }
}

fn log(payload: &'static [u8], stream: i32) -> v2::Envelope {
    with(Message::Log(v2::Log { payload: payload.into(), r#type: stream }))
}

fn gauge(metrics: &[(&str, &str, f64)]) -> v2::Envelope {
    let metric = |&(name, unit, value): &(&str, &str, f64)| {
        (name.to_owned(), v2::GaugeValue { unit: unit.into(), value })
    };
    with(Message::Gauge(v2::Gauge { metrics: metrics.iter().map(metric).collect() }))
}

#[test]
fn both_generations_write_their_own_spelling() {
    let mut full = log(b"line", 1);
    full.timestamp = -1;
    full.source_id = "app".into();
    full.instance_id = "0".into();
    full.tags = [("b", "2"), ("a", "1")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let counter =
        |name: &str, delta, total| with(Message::Counter(v2::Counter { name: name.into(), delta, total }));
    let head = r#""timestamp":"0","source_id":"","instance_id":"","deprecated_tags":{},"tags":{}"#;
    for (envelope, current, older) in [
        (
            full,
            r#"{"timestamp":"-1","source_id":"app","instance_id":"0","deprecated_tags":{},"tags":{"a":"1","b":"2"},"log":{"payload":"bGluZQ==","type":"ERR"}}"#,
            r#"{"timestamp":"-1","sourceId":"app","instanceId":"0","tags":{"a":"1","b":"2"},"log":{"payload":"bGluZQ==","type":"ERR"}}"#,
        ),
        (v2::Envelope::default(), "{HEAD}", "{}"),
        (log(b"", 0), r#"{HEAD,"log":{"payload":"","type":"OUT"}}"#, r#"{"log":{}}"#),
        (log(b"", 7), r#"{HEAD,"log":{"payload":"","type":7}}"#, r#"{"log":{"type":7}}"#),
        (log(b"", -1), r#"{HEAD,"log":{"payload":"","type":-1}}"#, r#"{"log":{"type":-1}}"#),
        (
            counter("c", 0, u64::MAX),
            r#"{HEAD,"counter":{"name":"c","delta":"0","total":"18446744073709551615"}}"#,
            r#"{"counter":{"name":"c","total":"18446744073709551615"}}"#,
        ),
        (gauge(&[]), r#"{HEAD,"gauge":{"metrics":{}}}"#, r#"{"gauge":{}}"#),
        (
            gauge(&[("b", "", 0.0), ("a", "x", 1.5)]),
            r#"{HEAD,"gauge":{"metrics":{"a":{"unit":"x","value":1.5},"b":{"unit":"","value":0}}}}"#,
            r#"{"gauge":{"metrics":{"a":{"unit":"x","value":1.5},"b":{}}}}"#,
        ),
        (
            with(Message::Timer(v2::Timer { name: "http".into(), start: i64::MIN, stop: 0 })),
            r#"{HEAD,"timer":{"name":"http","start":"-9223372036854775808","stop":"0"}}"#,
            r#"{"timer":{"name":"http","start":"-9223372036854775808"}}"#,
        ),
        (
            with(Message::Event(v2::Event { title: "t".into(), body: String::new() })),
            r#"{HEAD,"event":{"title":"t","body":""}}"#,
            r#"{"event":{"title":"t"}}"#,
        ),
    ] {
        assert_eq!(write(CURRENT, &envelope), current.replace("HEAD", head));
        assert_eq!(write(OLDER, &envelope), older);
        let spaced = JsonStyle { spacing: Spacing::Spaced, ..CURRENT };
        assert_eq!(write(spaced, &envelope).replace(", ", ","), current.replace("HEAD", head));
    }
}

#[test]
fn strings_are_escaped_as_each_generation_does() {
    for (text, current, older) in [
        ("plain ñ 名 🚀", "plain ñ 名 🚀", "plain ñ 名 🚀"),
        ("\"\\/", "\\\"\\\\/", "\\\"\\\\/"),
        ("\u{8}\u{c}\n\r\t", "\\b\\f\\n\\r\\t", "\\b\\f\\n\\r\\t"),
        ("\0\u{1b}\u{1f}\u{7f}", "\\u0000\\u001b\\u001f\u{7f}", "\\u0000\\u001b\\u001f\u{7f}"),
        ("<a & b>", "<a & b>", "\\u003ca \\u0026 b\\u003e"),
        ("€ \u{2028}\u{2029}\u{202a}", "€ \u{2028}\u{2029}\u{202a}", "€ \\u2028\\u2029\u{202a}"),
    ] {
        let envelope = with(Message::Event(v2::Event { title: text.into(), body: String::new() }));
        let expected = format!(r#""event":{{"title":"{current}","body":""}}"#);
        assert!(write(CURRENT, &envelope).contains(&expected), "{text:?}");
        assert_eq!(write(OLDER, &envelope), format!(r#"{{"event":{{"title":"{older}"}}}}"#), "{text:?}");
    }
}

#[test]
fn doubles_have_the_platforms_digits() {
    for (value, expected) in [
        (0.0, "0"),
        (1.0, "1"),
        (-1_073_741_824.0, "-1073741824"),
        (12.25, "12.25"),
        (1.0 / 3.0, "0.3333333333333333"),
        (9_007_199_254_740_993.0, "9007199254740992"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (f64::MAX, "1.7976931348623157e+308"),
        (-f64::MAX, "-1.7976931348623157e+308"),
        (1e-6, "0.000001"),
        (1.5e-7, "1.5e-7"),
        (5e-324, "5e-324"),
        (f64::NAN, "\"NaN\""),
        (f64::INFINITY, "\"Infinity\""),
        (f64::NEG_INFINITY, "\"-Infinity\""),
    ] {
        let json = write(CURRENT, &gauge(&[("m", "", value)]));
        assert!(json.ends_with(&format!(r#""value":{expected}}}}}}}}}"#)), "{value}: {json}");
    }
    // The generated types take this for nothing and do not write it.
    let negative_zero = b"\x32\x10\x0a\x0e\x0a\x01m\x12\x09\x11\0\0\0\0\0\0\0\x80";
    let json = write_bytes(negative_zero).unwrap();
    assert!(json.ends_with(br#""value":-0}}}}"#), "{json:?}");
}

#[test]
fn unusual_envelopes_go_the_long_way_and_broken_ones_have_no_json() {
    let mut old = log(b"x", 0);
    let text = |text: &str| v2::Value { data: Some(v2::value::Data::Text(text.into())) };
    old.deprecated_tags = [("both".to_owned(), text("deprecated"))].into();
    old.tags = [("both".to_owned(), "plain".to_owned())].into();
    assert!(write(CURRENT, &old).contains(r#""deprecated_tags":{},"tags":{"both":"deprecated"}"#));

    let tag = |value: &[u8]| [b"\x4a\x06\x0a\x01k\x12\x01", value].concat();
    for (body, part) in [
        // A tag twice, a message twice, a field nobody knows.
        ([tag(b"1"), tag(b"2")].concat(), r#""tags":{"k":"2"}"#),
        (b"\x22\x00\x2a\x03\x0a\x01c".to_vec(), r#""counter":{"name":"c","delta":"0","total":"0"}"#),
        (b"\xa2\x06\x01x\x22\x00".to_vec(), r#""log":{"payload":"","type":"OUT"}"#),
        // An entry without a value.
        (b"\x32\x05\x0a\x03\x0a\x01m".to_vec(), r#""metrics":{"m":{"unit":"","value":0}}"#),
    ] {
        let json = write_bytes(&body).expect("it can be decoded");
        let json = std::str::from_utf8(&json).unwrap();
        assert!(json.contains(part), "{body:?}: {json}");
    }
    for body in [&b"\xff\xff"[..], b"\x22\x7fshort", b"\x12\x01\xff", b"\x4a\x03\x0a\x01\xc3", b"\x0f"] {
        assert_eq!(write_bytes(body), None, "{body:?}");
    }
}

#[test]
fn one_that_fails_leaves_nothing_behind() {
    let mut writer = JsonWriter::new(CURRENT);
    let good = Encoded::new(&log(b"x", 0));
    let before = writer.write(&good).unwrap();
    assert_eq!(writer.write(&Encoded::from_bytes(b"\x12\x01\xff", Some(Kind::Log))), None);
    assert_eq!(writer.write(&good), Some(before));
}

fn number(text: impl ToString) -> Json {
    Json::String(text.to_string())
}

/// What the encoder must mean, made from the generated types.
fn expected(envelope: &v2::Envelope, older: bool) -> Json {
    use base64::Engine as _;
    let payload = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let (key, message) = match envelope.message.as_ref().unwrap() {
        Message::Log(log) => {
            let stream = if log.r#type == 1 { "ERR" } else { "OUT" };
            ("log", json!({ "payload": payload(&log.payload), "type": stream }))
        }
        Message::Counter(c) => {
            ("counter", json!({ "name": c.name, "delta": number(c.delta), "total": number(c.total) }))
        }
        Message::Gauge(gauge) => {
            let metric = |(name, m): (&String, &v2::GaugeValue)| {
                (name.clone(), json!({ "unit": m.unit, "value": m.value }))
            };
            ("gauge", json!({ "metrics": gauge.metrics.iter().map(metric).collect::<Map<_, _>>() }))
        }
        Message::Timer(t) => {
            ("timer", json!({ "name": t.name, "start": number(t.start), "stop": number(t.stop) }))
        }
        Message::Event(e) => ("event", json!({ "title": e.title, "body": e.body })),
    };
    let spelled = |current: &'static str, old: &'static str| if older { old } else { current };
    let mut all = Map::new();
    all.insert("timestamp".into(), number(envelope.timestamp));
    all.insert(spelled("source_id", "sourceId").into(), envelope.source_id.clone().into());
    all.insert(spelled("instance_id", "instanceId").into(), envelope.instance_id.clone().into());
    all.insert("deprecated_tags".into(), json!({}));
    all.insert("tags".into(), json!(envelope.tags));
    let message = if older { without_zeroes(message) } else { message };
    if older {
        let Json::Object(rest) = without_zeroes(Json::Object(all)) else { unreachable!() };
        all = rest;
        all.retain(|key, value| key != "tags" || *value != json!({}));
        // Tags may be empty texts, whichever generation writes.
        if !envelope.tags.is_empty() {
            all.insert("tags".into(), json!(envelope.tags));
        }
    }
    all.insert(key.into(), message);
    Json::Object(all)
}

/// Of a message: what it says by default is not said.
fn without_zeroes(message: Json) -> Json {
    let Json::Object(mut all) = message else { return message };
    if let Some(Json::Object(metrics)) = all.get_mut("metrics") {
        metrics.values_mut().for_each(|metric| *metric = without_zeroes(metric.take()));
    }
    all.retain(|_, value| {
        let text = value.as_str();
        !(text == Some("") || text == Some("0") || text == Some("OUT") || value.as_f64() == Some(0.0))
            && *value != json!({})
    });
    Json::Object(all)
}

fn message() -> impl Strategy<Value = Message> {
    let text =
        || any::<String>().prop_filter("a text that looks like a zero", |text| text != "0" && text != "OUT");
    // The same in every parser.
    let double = || any::<i32>().prop_map(|n| f64::from(n) + 0.5);
    let metric = (text(), double()).prop_map(|(unit, value)| v2::GaugeValue { unit, value });
    prop_oneof![
        (vec(any::<u8>(), 0..40), 0..2).prop_map(|(payload, stream)| {
            Message::Log(v2::Log { payload: payload.into(), r#type: stream })
        }),
        (text(), any::<u64>(), 0..3_u64).prop_map(|(name, delta, total)| Message::Counter(v2::Counter {
            name,
            delta,
            total
        })),
        btree_map(any::<String>(), metric, 0..6).prop_map(|metrics| Message::Gauge(v2::Gauge { metrics })),
        (text(), any::<i64>(), -1..2_i64).prop_map(|(name, start, stop)| Message::Timer(v2::Timer {
            name,
            start,
            stop
        })),
        (text(), text()).prop_map(|(title, body)| Message::Event(v2::Event { title, body })),
    ]
}

fn envelope() -> impl Strategy<Value = v2::Envelope> {
    let text =
        || any::<String>().prop_filter("a text that looks like a zero", |text| text != "0" && text != "OUT");
    let tags = btree_map(any::<String>(), any::<String>(), 0..30);
    (any::<i64>(), text(), text(), tags, message()).prop_map(
        |(timestamp, source_id, instance_id, tags, message)| {
            let (deprecated_tags, message) = (BTreeMap::new(), Some(message));
            v2::Envelope { timestamp, source_id, instance_id, tags, deprecated_tags, message }
        },
    )
}

proptest! {
    #[test]
    fn it_means_what_the_generated_types_mean(envelope in envelope(), spaced: bool) {
        let spacing = if spaced { Spacing::Spaced } else { Spacing::Compact };
        for spelling in [Spelling::Current, Spelling::Older] {
            let text = write(JsonStyle { spelling, spacing }, &envelope);
            let got: Json = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(got, expected(&envelope, spelling == Spelling::Older), "{}", text);
        }
    }

    #[test]
    fn every_double_reads_back(bits: u64) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        let json = write(CURRENT, &gauge(&[("m", "", value)]));
        let digits = json.split(r#""value":"#).nth(1).unwrap().trim_end_matches('}');
        prop_assert_eq!(digits.parse::<f64>().unwrap().to_bits(), bits, "{}", digits);
        serde_json::from_str::<Json>(&json).unwrap();
    }

    #[test]
    fn damaged_bytes_are_decoded_whenever_the_generated_types_decode_them(
        envelope in envelope(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let mut body = Encoded::new(&envelope).body().to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        body.truncate(cut.index(body.len()) + 1);
        let encoded = Encoded::from_bytes(&body, None);
        let json = JsonWriter::new(CURRENT).write(&encoded);
        prop_assert_eq!(json.is_some(), encoded.decode().is_some());
        if let Some(json) = json {
            serde_json::from_slice::<Json>(&json).unwrap();
        }
    }
}
