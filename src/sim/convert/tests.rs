use prost::Message as _;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Case {
    name: String,
    v2_hex: String,
    v1: Vec<String>,
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Encoded again, so that NaN equals NaN and the order of tags does not matter.
fn canonical(envelopes: &[v1::Envelope]) -> Vec<Vec<u8>> {
    envelopes.iter().map(v1::Envelope::encode_to_vec).collect()
}

#[test]
fn every_golden_case_converts_as_the_platform_does() {
    let text = include_str!("../../../tests/golden/v2-to-v1/cases.json");
    let cases: Vec<Case> = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), 43);
    for case in cases {
        let v2 = v2::Envelope::decode(&*bytes(&case.v2_hex)).unwrap();
        let mut expected: Vec<_> =
            case.v1.iter().map(|hex| v1::Envelope::decode(&*bytes(hex)).unwrap()).collect();
        // Some expected values are NaN with a payload that decoding keeps; both sides do.
        expected.sort_by_key(|envelope| envelope.value_metric.as_ref().map(|m| m.name.clone()));
        let actual = to_v1(v2);
        assert_eq!(canonical(&actual), canonical(&expected), "{}: {actual:?}", case.name);
    }
}

#[test]
fn an_app_stream_finds_logs_metrics_and_requests_of_its_app() {
    let guid = "5b5a9c2e-0f53-4f7d-8a61-0123456789ab";
    let envelope = |message| v2::Envelope {
        source_id: guid.to_owned(),
        tags: [("request_id".to_owned(), guid.to_owned())].into(),
        message: Some(message),
        ..Default::default()
    };
    let log = envelope(Message::Log(v2::Log { payload: "x".into(), r#type: 0 }));
    let timer = envelope(Message::Timer(v2::Timer::default()));
    let counter = envelope(Message::Counter(v2::Counter::default()));
    for (v2, expected) in [(log, Some(guid)), (timer, Some(guid)), (counter, None)] {
        assert_eq!(app_of(&to_v1(v2.clone())[0]).as_deref(), expected, "{v2:?}");
    }
}

#[test]
fn ids_are_read_only_in_their_long_form() {
    let id = uuid("5b5a9c2e-0f53-4f7d-8a61-0123456789ab").unwrap();
    assert_eq!(id.low.to_le_bytes(), [0x5b, 0x5a, 0x9c, 0x2e, 0x0f, 0x53, 0x4f, 0x7d]);
    for text in [
        "",
        "gorouter",
        "5b5a9c2e0f534f7d8a610123456789ab",
        "5b5a9c2e-0f53-4f7d-8a61-0123456789ag",
        "+b5a9c2e-0f53-4f7d-8a61-0123456789ab",
        "ééééééééé-0f53-4f7d-8a61-0123456789a",
    ] {
        assert_eq!(uuid(text), None, "{text}");
    }
}
