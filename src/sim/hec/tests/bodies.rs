//! Which events of a body are indexed: the tables, and properties over all bodies.

use proptest::prelude::*;
use serde_json::json;

use super::super::events::{Judge, Outcome};
use super::super::intake::{Digest, Encoding, Intake};
use super::super::scan::{Ending, Scanner};
use super::*;

/// Judges a body with the token that may write to `main` and `cf` only.
fn judge(body: &str) -> (Vec<String>, Outcome) {
    judge_as(Profile::Enterprise.behaviour(), body.as_bytes())
}

fn judge_as(behaviour: Behaviour, body: &[u8]) -> (Vec<String>, Outcome) {
    let token = Token::new("limited", "limited").with_indexes(["main", "cf"]);
    let judge = Judge { token: &token, defaults: &Defaults::default(), behaviour: &behaviour };
    let verdict = judge.envelopes(body, |_| true);
    (verdict.indexed.iter().map(|event| event.text.to_owned()).collect(), verdict.outcome)
}

fn failed(code: Code, number: impl Into<Option<u64>>) -> Outcome {
    Outcome::failed(code, number)
}

#[test]
fn the_bad_event_ends_the_request_and_its_prefix_is_indexed() {
    let bad = [
        ("{\"event\":", Code::InvalidDataFormat, 0),
        ("{\"event\":1,}", Code::InvalidDataFormat, 0),
        ("\"event\"", Code::InvalidDataFormat, 0),
        ("17", Code::InvalidDataFormat, 0),
        ("null", Code::InvalidDataFormat, 0),
        ("}", Code::InvalidDataFormat, 0),
        (",", Code::InvalidDataFormat, 0),
        ("[[{\"event\":1}]]", Code::InvalidDataFormat, 0),
        ("[{\"event\":\"in the array\"},]", Code::InvalidDataFormat, 1),
        ("[{\"event\":\"in the array\"}", Code::InvalidDataFormat, 1),
        ("{\"event\":1,\"host\":1}", Code::InvalidDataFormat, 0),
        ("{\"event\":1,\"fields\":[]}", Code::InvalidDataFormat, 0),
        ("{\"event\":1,\"fields\":\"a\"}", Code::InvalidDataFormat, 0),
        ("{\"event\":1,\"index\":\"secret\"}", Code::IncorrectIndex, 1),
        ("{\"index\":\"secret\"}", Code::IncorrectIndex, 1),
        ("{}", Code::EventRequired, 0),
        ("{\"event\":null}", Code::EventRequired, 0),
        ("{\"event\":null,\"fields\":null}", Code::EventRequired, 0),
        ("{\"event\":\"\"}", Code::EventBlank, 0),
        ("{\"event\":1,\"fields\":{\"a\":{\"b\":1}}}", Code::IndexedFields, 0),
        ("{\"event\":1,\"fields\":{\"a\":[[1]]}}", Code::IndexedFields, 0),
        ("{\"event\":1,\"fields\":{\"a\":null}}", Code::IndexedFields, 0),
    ];
    for (bad, code, offset) in bad {
        for before in 0..3u64 {
            let body =
                format!("{}{bad} {{\"event\":\"after\"}}", "{\"event\":\"good\"}".repeat(before as usize));
            let (indexed, outcome) = judge(&body);
            assert_eq!(outcome, failed(code, before + offset), "{body}");
            let in_array = u64::from(bad.contains("in the array"));
            assert_eq!(indexed.len() as u64, before + in_array, "{body}");
        }
    }
}

#[test]
fn what_is_accepted() {
    for good in [
        r#"{"event":"a"}"#,
        r#"{"event":" "}"#,
        r#"{"event":0}"#,
        r#"{"event":false}"#,
        r#"{"event":[]}"#,
        r#"{"event":{}}"#,
        r#"{"event":1,"index":"cf"}"#,
        r#"{"event":1,"index":"\u0063f"}"#,
        r#"{"\u0065vent":1}"#,
        r#"{"event":1,"index":null,"host":null}"#,
        r#"{"event":1,"time":"1.5","host":"h","source":"s","sourcetype":"t"}"#,
        r#"{"event":1,"time":"yesterday"}"#,
        r#"{"event":1,"fields":{}}"#,
        r#"{"event":1,"fields":{"a":"x","b":1,"c":true,"d":["x",1,false],"e":"{","f":"null"}}"#,
        "{\"event\":\"brace } quote \\\" backslash \\\\\"}",
    ] {
        let (indexed, outcome) = judge(good);
        assert_eq!(outcome, Outcome::Accepted, "{good}");
        assert_eq!(indexed, [good]);
    }
}

#[test]
fn invalid_utf_8_is_a_format_error_of_its_event() {
    let behaviour = Profile::Enterprise.behaviour();
    let (indexed, outcome) = judge_as(behaviour, b"{\"event\":1}{\"event\":\"\xff\"}{\"event\":2}");
    assert_eq!(indexed, [r#"{"event":1}"#]);
    assert_eq!(outcome, failed(Code::InvalidDataFormat, 1));
}

#[test]
fn an_unknown_key_stops_silently_unless_it_is_all_there_is() {
    let unknown = r#"{"event":"u","extra":1}"#;
    let (a, b) = (r#"{"event":"a"}"#, r#"{"event":"b"}"#);
    let table = [
        (unknown.to_owned(), failed(Code::NoData, None), 0),
        (format!(" [{unknown}] "), failed(Code::NoData, None), 0),
        (format!("{unknown}{a}"), Outcome::Accepted, 0),
        (format!("{a}{unknown}"), Outcome::Accepted, 1),
        (format!("{a}{unknown}{b}"), Outcome::Accepted, 1),
        (format!("{a}{unknown}{{"), Outcome::Accepted, 1),
    ];
    for (body, outcome, indexed) in table {
        let got = judge(&body);
        assert_eq!((got.1, got.0.len()), (outcome, indexed), "{body}");
    }
}

#[test]
fn fields_alone_are_passed_over_or_a_metric() {
    let (indexed, outcome) = judge(r#"{"fields":{"a":1}}"#);
    assert_eq!((indexed.len(), outcome), (0, Outcome::Accepted));
    let (indexed, outcome) = judge(r#"{"fields":{"a":1}}{"event":1}{"event":""}"#);
    assert_eq!((indexed.len(), outcome), (1, failed(Code::EventBlank, 2)), "it is counted over");

    let token = Token::new("any", "any");
    let behaviour = Profile::Enterprise.behaviour();
    let judge = Judge { token: &token, defaults: &Defaults::default(), behaviour: &behaviour };
    let table = [
        (r#"{"event":"metric","fields":{"metric_name:cpu":1.5,"app":"x"}}"#, Kind::Metric),
        (r#"{"event":"metric","fields":{"metric_name":"cpu","_value":"1.5"}}"#, Kind::Metric),
        (r#"{"fields":{"metric_name:cpu":"1"}}"#, Kind::Metric),
        (r#"{"event":"metric","fields":{"metric_name":"cpu"}}"#, Kind::Event),
        (r#"{"event":"metric","fields":{"metric_name:cpu":"NaN"}}"#, Kind::Event),
        (r#"{"event":"other","fields":{"metric_name:cpu":1}}"#, Kind::Event),
    ];
    for (body, kind) in table {
        let verdict = judge.envelopes(body.as_bytes(), |_| true);
        assert_eq!(verdict.indexed.iter().map(|event| event.kind).collect::<Vec<_>>(), [kind], "{body}");
    }
}

#[test]
fn the_largest_event() {
    let behaviour = Behaviour { max_event_bytes: 20, ..Profile::Enterprise.behaviour() };
    for (length, outcome) in
        [(19, Outcome::Accepted), (20, Outcome::Accepted), (21, failed(Code::InvalidDataFormat, 1))]
    {
        let body = format!("{{\"event\":1}}{{\"event\":\"{}\"}}", "x".repeat(length - 12));
        assert_eq!(judge_as(behaviour, body.as_bytes()).1, outcome, "{length}");
    }
}

#[test]
fn times_may_be_rejected() {
    let behaviour = Behaviour { bad_time: BadTime::Rejected, ..Profile::Enterprise.behaviour() };
    for (time, legal) in [
        ("1", true),
        ("1.25", true),
        ("\"1.25\"", true),
        ("null", true),
        ("\"now\"", false),
        ("true", false),
        ("{}", false),
        ("\"inf\"", false),
    ] {
        let body = format!("{{\"event\":1,\"time\":{time}}}");
        let accepted = judge_as(behaviour, body.as_bytes()).1 == Outcome::Accepted;
        assert_eq!(accepted, legal, "{time}");
    }
}

#[tokio::test]
async fn what_the_query_string_sets_the_envelope_overrides() {
    let server = start(config()).await;
    let request = post(&client(), &server, "/event?index=q&sourcetype=t&host=h%20h&source=s");
    let body = r#"{"event":1}{"event":2,"index":"e","host":"own"}"#;
    assert_eq!(answer(request.body(body)).await, success());
    let request = post(&client(), &server, "/raw?sourcetype=lines");
    assert_eq!(answer(request.body("one\r\n\ntwo")).await, success());
    let records = server.records().unwrap();
    let indexes: Vec<_> = records.iter().map(|record| record.index.as_str()).collect();
    assert_eq!(indexes, ["q", "e", "main", "main"]);
    let hosts: Vec<_> = records.iter().map(|record| record.member("host")).collect();
    assert_eq!(hosts, [Some(json!("h h")), Some(json!("own")), None, None]);
    let lines: Vec<_> = records[2..].iter().map(|record| (record.kind, record.json())).collect();
    assert_eq!(lines, [(Kind::Raw, json!("one")), (Kind::Raw, json!("two"))]);
    let summary = server.summary().unwrap();
    let groups: Vec<_> = summary.groups().map(|(index, kind, group)| (index, kind, group.events)).collect();
    assert_eq!(groups, [("e", "t", 1), ("main", "lines", 2), ("q", "t", 1)]);
}

/// Events with everything in them that could confuse a splitter, and how each is written.
fn arbitrary_event() -> impl Strategy<Value = String> {
    let text = prop_oneof![".{0,40}", r#"[{}\[\]"\\,: ]{0,20}"#];
    let leaf = prop_oneof![text.prop_map(Value::from), any::<i64>().prop_map(Value::from), Just(json!(true))];
    let event = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map(".{0,8}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    });
    (event, any::<bool>()).prop_map(|(event, pretty)| {
        let event = if event == json!("") { json!("-") } else { event };
        let envelope = json!({ "event": event, "host": "h", "time": 1.5 });
        if pretty { format!("{envelope:#}") } else { envelope.to_string() }
    })
}

fn scan(body: &[u8], chunk: usize) -> Scanner {
    let mut scanner = Scanner::new(Endpoint::Event);
    body.chunks(chunk).for_each(|chunk| scanner.feed(chunk));
    scanner
}

proptest! {
    #[test]
    fn any_separators_give_the_same_events(
        events in prop::collection::vec((arbitrary_event(), "[ \t\r\n]{0,3}"), 1..8),
        lead in "[ \t\r\n]{0,3}",
        array in any::<bool>(),
        chunk in 1..50usize,
    ) {
        let comma = if array { "," } else { "" };
        let pieces: Vec<String> = events.iter().map(|(event, space)| format!("{event}{space}")).collect();
        let mut body = format!("{lead}{}", pieces.join(&format!("{comma}{lead}")));
        if array {
            body = format!("[{body}]");
        }
        let (indexed, outcome) = judge(&body);
        prop_assert_eq!(outcome, Outcome::Accepted);
        let expected: Vec<String> = events.into_iter().map(|(event, _)| event).collect();
        prop_assert_eq!(&indexed, &expected);

        let scanner = scan(body.as_bytes(), chunk);
        prop_assert_eq!(scanner.events(), expected.len() as u64);
        prop_assert_eq!(scanner.event_bytes(), expected.iter().map(|event| event.len() as u64).sum::<u64>());
        prop_assert_eq!(scanner.ending(), Ending::Clean);
    }

    #[test]
    fn a_cut_body_keeps_its_whole_events(
        events in prop::collection::vec(arbitrary_event(), 1..5),
        at in any::<prop::sample::Index>(),
    ) {
        let body = events.concat();
        let cut = at.index(body.len());
        let mut whole = Vec::new();
        let mut end = 0;
        for event in &events {
            end += event.len();
            if end <= cut {
                whole.push(event.clone());
            }
        }
        let at_boundary = whole.iter().map(String::len).sum::<usize>() == cut;
        let (indexed, outcome) = judge_as(Profile::Enterprise.behaviour(), &body.as_bytes()[..cut]);
        prop_assert_eq!(&indexed, &whole);
        let expected = match (at_boundary, whole.len() as u64) {
            (true, 0) => failed(Code::NoData, None),
            (true, _) => Outcome::Accepted,
            (false, events) => failed(Code::InvalidDataFormat, events),
        };
        prop_assert_eq!(outcome, expected);
        let scanner = scan(&body.as_bytes()[..cut], 7);
        prop_assert_eq!(scanner.events(), whole.len() as u64);
        prop_assert_eq!(scanner.ending(), if at_boundary { Ending::Clean } else { Ending::Broken });
    }

    #[test]
    fn no_bytes_break_it(body in prop::collection::vec(any::<u8>(), 0..200), nearly in r#"[{}\[\]"\\,:a1 ]{0,60}"#) {
        judge_as(Profile::Enterprise.behaviour(), &body);
        judge(&nearly);
        scan(nearly.as_bytes(), 3);
        for encoding in [Encoding::Identity, Encoding::Gzip] {
            let mut intake = Intake::new(encoding, Digest::Collected(Vec::new()), 1000);
            let fed = intake.feed(&body);
            prop_assert!(fed.is_err() || intake.finish().is_ok() || encoding == Encoding::Gzip);
        }
    }
}
