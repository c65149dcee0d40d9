//! Spellings, damage and bounds.

use proptest::prelude::*;

use super::*;
use crate::nozzle::wire::tags::known;

/// An envelope as one text, for comparing.
fn summary(envelope: &Envelope<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut tags = Vec::new();
    envelope.all_tags.for_each(|key, value| {
        tags.push(format!("{}={}", text(key), text(value)));
        if let Some(key) = known(key) {
            assert!(envelope.tags.get(key).is_some(), "{key:?}");
        }
    });
    let message = match envelope.message {
        Message::None => "none".to_owned(),
        Message::Log(log) => format!("log {:?} {}", text(log.payload), log.kind),
        Message::Counter(counter) => {
            format!("counter {} {} {}", text(counter.name), counter.delta, counter.total)
        }
        Message::Gauge(metrics) => {
            let mut all = String::from("gauge");
            metrics.for_each(|m| all += &format!(" {}={:?}{}", text(m.name), m.value, text(m.unit)));
            all
        }
        Message::Timer(timer) => format!("timer {} {} {}", text(timer.name), timer.start, timer.stop),
        Message::Event(event) => format!("event {} {:?}", text(event.title), text(event.body)),
    };
    let (source, instance) = (text(envelope.source_id), text(envelope.instance_id));
    format!("{} {source} {instance} [{}] {message}", envelope.timestamp, tags.join(","))
}

/// Everything a frame gives.
fn read(frame: &[u8]) -> Vec<Result<String, Malformed>> {
    let mut scratch = Scratch::default();
    let mut batch = Batch::new(frame);
    let mut read = Vec::new();
    while let Some(next) = batch.next(&mut scratch) {
        if let Ok(envelope) = &next {
            let again = Envelope::parse(envelope.text, &mut Scratch::default()).map(|again| summary(&again));
            assert_eq!(again, Ok(summary(envelope)), "alone as in its batch");
        }
        read.push(next.map(|envelope| summary(&envelope)));
        assert!(read.len() <= frame.len() + 1, "there is an end");
    }
    read
}

/// What one envelope gives.
fn one(envelope: &str) -> Result<String, Malformed> {
    let frame = format!("{{\"batch\":[{envelope}]}}");
    let mut read = read(frame.as_bytes());
    assert_eq!(read.len(), 1, "{envelope}: {read:?}");
    read.remove(0)
}

#[test]
fn every_spelling_says_the_same() {
    for envelope in [
        r#"{"timestamp":"-7","source_id":"s","instance_id":"0","deprecated_tags":{},"tags":{"ip":"1","x":"y"},"counter":{"name":"n","delta":"1","total":"18446744073709551615"}}"#,
        r#"{"timestamp":-7, "sourceId":"s", "instanceId":"0", "deprecatedTags":{}, "tags":{"ip":"1", "x":"y"}, "counter":{"name":"n", "delta":1, "total":18446744073709551615}}"#,
        r#" { "counter" : { "total" : "18446744073709551615" , "delta" : "1.0e0" , "name" : "n" } , "tags" : { "ip" : "1" , "x" : "y" } , "instance_id" : "0" , "source_id" : "s" , "timestamp" : -0.7e1 } "#,
        r#"{"timestamp":"-7","source_id":"\u0073","instance_id":"0","\u0074ags":{"\u0069p":"\u0031","x":"\u0079"},"counter":{"n\u0061me":"n","delta":"\u0031","total":"18446744073709551615"}}"#,
        r#"{"timestamp":1,"timestamp":null,"timestamp":-7,"source_id":"s","instance_id":"0","tags":{"a":"b"},"tags":{"ip":"1","x":"y"},"log":null,"log":{"payload":"aGk="},"counter":{"name":"m"},"counter":{"name":"x","name":"n","delta":1,"total":18446744073709551615,"none":null},"event":null}"#,
        r#"{"new":{"a":[1,-2.5e3,true,false,null,"\ud800",{"b":[]}]},"timestamp":-7,"source_id":"s","instance_id":"0","tags":{"ip":"1","x":"y","z":null},"counter":{"name":"n","delta":1,"more":[[]],"total":18446744073709551615}}"#,
    ] {
        assert_eq!(
            one(envelope).as_deref(),
            Ok("-7 s 0 [ip=1,x=y] counter n 1 18446744073709551615"),
            "{envelope}"
        );
    }
}

#[test]
fn messages_of_every_kind() {
    for (message, wanted) in [
        ("", "none"),
        (r#","log":{"payload":"aGk=","type":"OUT"}"#, r#"log "hi" 0"#),
        (r#","log":{"payload":"aGk","type":"ERR"}"#, r#"log "hi" 1"#),
        (r#","log":{"payload":"","type":1}"#, r#"log "" 1"#),
        (r#","log":{"payload":"Pz8\/","type":0}"#, r#"log "???" 0"#),
        (r#","log":{"payload":"aGl="}"#, r#"log "hi" 0"#),
        (r#","log":{"type":"NEW"}"#, r#"log "" 1"#),
        (r#","log":{}"#, r#"log "" 0"#),
        (r#","timer":{"name":"http","start":"1","stop":2}"#, "timer http 1 2"),
        (r#","event":{"title":"t\/","body":"\ud83d\ude00\ud83d\n"}"#, r#"event t/ "😀�\n""#),
        (r#","gauge":{}"#, "gauge"),
        (r#","gauge":{"metrics":{}}"#, "gauge"),
        (r#","gauge":{"metrics":null}"#, "gauge"),
        (
            r#","gauge":{"metrics":{"a":{"unit":"u","value":"NaN"},"b":{"value":-0},"c":{"unit":"","value":5e-324},"d":{},"e":{"value":"-Infinity"},"f":{"value":"1.5"},"g":null}}"#,
            "gauge a=NaNu b=-0.0 c=5e-324 d=0.0 e=-inf f=1.5",
        ),
        (
            r#","gauge":{"metrics":{"b":{"value":1,"value":2},"a":{"value":3},"\u0062":{"value":4,"unit":"x"}}}"#,
            "gauge a=3.0 b=4.0x",
        ),
    ] {
        let read = one(&format!("{{\"timestamp\":\"1\"{message}}}"));
        assert_eq!(read, Ok(format!("1   [] {wanted}")), "{message}");
    }
    assert_eq!(one("null").as_deref(), Ok("0   [] none"));
}

#[test]
fn damage_is_named_and_costs_one_envelope() {
    for (envelope, kind) in [
        (r#""text""#, Malformed::WireType),
        ("7", Malformed::WireType),
        ("[]", Malformed::WireType),
        ("", Malformed::Json),
        ("nul", Malformed::Json),
        (r#"{"timestamp"}"#, Malformed::Json),
        (r#"{"timestamp":}"#, Malformed::Json),
        (r#"{"timestamp":1"source_id":"s"}"#, Malformed::Json),
        (r#"{"timestamp":1,}"#, Malformed::Json),
        (r#"{timestamp:1}"#, Malformed::Json),
        (r#"{"timestamp":1} x"#, Malformed::Json),
        (r#"{"timestamp":01}"#, Malformed::Json),
        (r#"{"timestamp":1.}"#, Malformed::Json),
        (r#"{"timestamp":-}"#, Malformed::Json),
        (r#"{"timestamp":true}"#, Malformed::WireType),
        (r#"{"timestamp":[1]}"#, Malformed::WireType),
        (r#"{"timestamp":""}"#, Malformed::Number),
        (r#"{"timestamp":"x"}"#, Malformed::Number),
        (r#"{"timestamp":"1 "}"#, Malformed::Number),
        (r#"{"timestamp":1.5}"#, Malformed::Number),
        (r#"{"timestamp":1e400}"#, Malformed::Number),
        (r#"{"timestamp":"9223372036854775808"}"#, Malformed::Number),
        (r#"{"timestamp":"-9223372036854775809"}"#, Malformed::Number),
        (r#"{"counter":{"delta":"-1"}}"#, Malformed::Number),
        (r#"{"counter":{"total":18446744073709551616}}"#, Malformed::Number),
        (r#"{"counter":7}"#, Malformed::WireType),
        (r#"{"source_id":7}"#, Malformed::WireType),
        (r#"{"tags":[]}"#, Malformed::WireType),
        (r#"{"tags":{"a":1}}"#, Malformed::WireType),
        (r#"{"log":{"payload":"a"}}"#, Malformed::Base64),
        (r#"{"log":{"payload":"a-_b"}}"#, Malformed::Base64),
        (r#"{"log":{"payload":"aGk=aGk="}}"#, Malformed::Base64),
        (r#"{"log":{"type":2147483648}}"#, Malformed::Number),
        (r#"{"gauge":{"metrics":{"a":{"value":"nan"}}}}"#, Malformed::Number),
        (r#"{"gauge":{"metrics":{"a":{"value":"1e400"}}}}"#, Malformed::Number),
        (r#"{"gauge":{"metrics":{"a":5}}}"#, Malformed::WireType),
        (r#"{"source_id":"\x"}"#, Malformed::Json),
        (r#"{"source_id":"\u12g4"}"#, Malformed::Json),
        ("{\"source_id\":\"a\nb\"}", Malformed::Json),
        (r#"{"unknown":tru}"#, Malformed::Json),
        (r#"{"unknown":{"a":1]}"#, Malformed::Json),
        (r#"{"deprecated_tags":{"a":1,}}"#, Malformed::Json),
    ] {
        let frame = format!(r#"{{"batch":[{{"timestamp":1}},{envelope},{{"timestamp":3}}]}}"#);
        let wanted = [Ok("1   [] none".to_owned()), Err(kind), Ok("3   [] none".to_owned())];
        assert_eq!(read(frame.as_bytes()), wanted, "{envelope}");
        assert_eq!(count_envelopes(frame.as_bytes()), 3, "{envelope}");
    }
}

#[test]
fn without_structure_the_rest_is_one_piece_of_damage() {
    const ONE: Result<&str, Malformed> = Ok("1   [] none");
    type Case = (&'static str, &'static [Result<&'static str, Malformed>], u64);
    let cases: &[Case] = &[
        ("", &[Err(Malformed::Truncated)], 0),
        ("closing due to stream timeout", &[Err(Malformed::Json)], 0),
        ("1795319239", &[Err(Malformed::WireType)], 0),
        ("{}", &[], 0),
        (r#"{"batch":[]}"#, &[], 0),
        (r#"{"batch":null}"#, &[], 0),
        (r#"{"batch":{}}"#, &[Err(Malformed::WireType)], 0),
        (r#" { "batch" : [ { "timestamp" : 1 } ] } "#, &[ONE], 1),
        (r#"{"a":{"batch":[{}]},"b\u0061tch":[{"timestamp":1}],"c":[]}"#, &[ONE], 1),
        (r#"{"batch":[{"timestamp":1}],"batch":[{"timestamp":1}]}"#, &[ONE, ONE], 2),
        (r#"{"a":tru,"batch":[{"timestamp":1}]}"#, &[ONE, Err(Malformed::Json)], 1),
        (r#"{"batch":[{"timestamp":1}]"#, &[ONE, Err(Malformed::Truncated)], 1),
        (r#"{"batch":[{"timestamp":1}]]"#, &[ONE, Err(Malformed::Json)], 1),
        (r#"{"batch":[{"timestamp":1}]}}"#, &[ONE, Err(Malformed::Json)], 1),
        (r#"{"batch":[{"timestamp":1},{"timestamp":2"#, &[ONE, Err(Malformed::Truncated)], 1),
        (r#"{"batch":[{"timestamp":1},{"source_id":"abc"#, &[ONE, Err(Malformed::Truncated)], 1),
        (r#"{"batch":[{"timestamp":1},{"log":{"payload":"aGk"#, &[ONE, Err(Malformed::Truncated)], 1),
        (r#"{"batch":[{"timestamp":1},"#, &[ONE, Err(Malformed::Truncated)], 1),
        (r#"{"batch":[{"timestamp":1}"#, &[Err(Malformed::Truncated)], 0),
        (r#"{"batch":[{"timestamp":1},{]},{}]}"#, &[ONE, Err(Malformed::Json)], 1),
        (r#"{"batch":[{"timestamp":1},]}"#, &[ONE, Err(Malformed::Json)], 2),
    ];
    for (frame, wanted, count) in cases {
        let wanted: Vec<_> = wanted.iter().map(|each| each.map(str::to_owned)).collect();
        assert_eq!(read(frame.as_bytes()), wanted, "{frame}");
        assert_eq!(count_envelopes(frame.as_bytes()), *count, "{frame}");
    }
}

#[test]
fn what_is_no_utf8_costs_its_own_envelope() {
    let frame = b"{\"batch\":[{\"timestamp\":1},{\"source_id\":\"\xff\"},{\"source_id\":\"h\xc3\xa4\"}]}";
    let wanted = [Ok("1   [] none".to_owned()), Err(Malformed::Frame), Ok("0 hä  [] none".to_owned())];
    assert_eq!(read(frame), wanted);
    assert_eq!(read(b"{\"\xff\":1,\"batch\":[]}"), [Err(Malformed::Frame)]);
}

#[test]
fn nesting_is_bounded() {
    for (depth, wanted) in [(9_999, Ok("0   [] none".to_owned())), (10_001, Err(Malformed::Json))] {
        let value = "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(one(&format!("{{\"unknown\":{value}}}")), wanted, "{depth}");
    }
}

#[test]
fn deprecated_tags_become_tags() {
    let envelope = r#"{"timestamp":1,"tags":{"ip":"1","a":"plain","\u0062":"\n"},"sourceId":"s","deprecatedTags":{"ip":{"text":"2"},"job":{"text":"j"},"a":{"text":"\"wins"},"i":{"integer":"-42"},"d":{"decimal":3.25},"inf":{"decimal":"Infinity"},"nothing":{},"null":null},"deprecated_tags":null}"#;
    let mut scratch = Scratch::default();
    assert!(Envelope::parse(envelope.as_bytes(), &mut scratch).unwrap().has_deprecated_tags);
    let rewritten = to_tags(envelope.as_bytes()).unwrap();
    let plain = Envelope::parse(&rewritten, &mut scratch).unwrap();
    assert!(!plain.has_deprecated_tags);
    assert_eq!(
        summary(&plain),
        "1 s  [ip=2,job=j,ip=1,a=plain,b=\n,a=\"wins,i=-42,d=3.250000,inf=+Inf] none"
    );
    assert_eq!(plain.tags.text(crate::nozzle::wire::tags::Key::Ip), b"1", "where it comes from stays");
    assert_eq!(to_tags(br#"{"deprecated_tags":{"a":{"integer":"x"}}}"#), Err(Malformed::Number));
}

#[test]
fn room_for_large_frames_is_given_back() {
    let mut scratch = Scratch::default();
    let payload = "QUJD".repeat(100_000);
    let frame = format!(r#"{{"batch":[{{"log":{{"payload":"{payload}"}}}}]}}"#);
    let log = Batch::new(frame.as_bytes()).next(&mut scratch).unwrap().unwrap().message;
    assert!(matches!(log, Message::Log(log) if log.payload == "ABC".repeat(100_000).as_bytes()));
    scratch.trim();
    assert_eq!(scratch.held_bytes(), 0);
    Batch::new(br#"{"batch":[{}]}"#).next(&mut scratch).unwrap().unwrap();
    scratch.trim();
    assert_eq!(scratch.held_bytes(), 14, "a small frame's is kept");
}

proptest! {
    #[test]
    fn any_bytes_are_counted(bytes in prop::collection::vec(any::<u8>(), 0..80), framed in any::<bool>()) {
        let frame = if framed { [b"{\"batch\":[", &bytes[..], b"]}"].concat() } else { bytes };
        let read = read(&frame);
        let count = count_envelopes(&frame) as usize;
        prop_assert!(read.len() == count || read.len() == count + 1 && read[count].is_err(), "{read:?} {count}");
        prop_assert!(!read.is_empty() || serde_json::from_slice::<serde_json::Value>(&frame).is_ok());
    }

    #[test]
    fn numbers_keep_every_digit(bits in any::<u64>(), quoted in any::<bool>()) {
        let double = f64::from_bits(bits);
        let quote = if quoted || !double.is_finite() { "\"" } else { "" };
        let value = match double {
            value if value.is_nan() => "NaN".to_owned(),
            f64::INFINITY => "Infinity".to_owned(),
            f64::NEG_INFINITY => "-Infinity".to_owned(),
            value => serde_json::to_string(&value).unwrap(),
        };
        let gauge = one(&format!("{{\"gauge\":{{\"metrics\":{{\"a\":{{\"value\":{quote}{value}{quote}}}}}}}}}"));
        prop_assert_eq!(gauge, Ok(format!("0   [] gauge a={double:?}")));
        let (signed, quote) = (bits.cast_signed(), if quoted { "\"" } else { "" });
        let both = one(&format!("{{\"timestamp\":{quote}{signed}{quote},\"counter\":{{\"total\":{quote}{bits}{quote}}}}}"));
        prop_assert_eq!(both, Ok(format!("{signed}   [] counter  0 {bits}")));
    }

    #[test]
    fn tokens_in_any_order_are_counted(tokens in prop::collection::vec(0..TOKENS.len(), 0..30)) {
        let frame: String = tokens.iter().map(|token| TOKENS[*token]).collect();
        for frame in [frame.clone(), format!("{{\"batch\":[{frame}]}}"), format!("{{\"batch\":[{{{frame}}},{{}}]}}")] {
            let read = read(frame.as_bytes());
            let count = count_envelopes(frame.as_bytes()) as usize;
            prop_assert!(read.len() == count || read.len() == count + 1 && read[count].is_err(), "{read:?} {count}");
            let correct = serde_json::from_str::<serde_json::Value>(&frame).is_ok();
            prop_assert!(correct || read.iter().any(Result::is_err), "{frame}: {read:?}");
        }
    }
}

const TOKENS: [&str; 22] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    " ",
    "null",
    "1",
    "-",
    "\"batch\":[",
    "\"tags\":{",
    "\"log\":{",
    "\"timestamp\":",
    "\"source_id\":",
    "\"a\"",
    "\"payload\":\"",
    "\"gauge\":{\"metrics\":{",
    "true",
    "\u{e4}",
];
