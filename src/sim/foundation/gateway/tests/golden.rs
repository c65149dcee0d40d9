//! Against what the real gateway was recorded to say.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::*;
use crate::sim::wire::{self, Encoded};

const EVERYTHING: &str = "log&counter&gauge&timer&event";

fn recorded(file: &str) -> String {
    let path = format!("{}/tests/golden/loggregator/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The envelopes of recorded gRPC messages.
fn envelopes(file: &str) -> Vec<Encoded> {
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    let hex = |line: &str| -> Vec<u8> {
        line.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    };
    recorded(file)
        .lines()
        .flat_map(|line| {
            let message = hex(line);
            wire::fields(&message).map(|entry| Encoded::from_bytes(entry.value, None)).collect::<Vec<_>>()
        })
        .collect()
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    batch: Vec<&'a RawValue>,
}

/// The text of each envelope in data events, by its time.
fn by_time<'a>(events: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, &'a str> {
    let data = events.into_iter().filter_map(|event| event.strip_prefix("data: "));
    let batches = data.map(|json| serde_json::from_str::<Batch<'_>>(json).unwrap());
    let texts = batches.flat_map(|batch| batch.batch.into_iter().map(RawValue::get));
    texts
        .map(|text| {
            let json: Value = serde_json::from_str(text).unwrap();
            (json["timestamp"].as_str().unwrap().to_owned(), text)
        })
        .collect()
}

#[tokio::test]
async fn envelopes_are_spelled_as_recorded_to_the_byte() {
    let foundation = start().await;
    let mut stream = Events::open(&foundation, EVERYTHING).await;
    let published = envelopes("rlp-batches-preferred-tags.hex");
    foundation.publish_encoded(&published);
    let mut events = Vec::new();
    while events.iter().map(|event: &String| event.matches(r#"{"timestamp""#).count()).sum::<usize>()
        < published.len()
    {
        events.push(stream.next().await.expect("the stream ended"));
    }
    let got = by_time(events.iter().map(String::as_str));
    let recording = recorded("gateway-all-cases.sse");
    let mut cases = BTreeSet::new();
    for (time, expected) in by_time(recording.split("\n\n")) {
        let json: Value = serde_json::from_str(expected).unwrap();
        let case = json["tags"]["case"].as_str();
        match got.get(&time) {
            Some(got) => assert_eq!(*got, expected),
            // The platform's own metrics go to one stream or the other.
            None => assert_eq!(case, None, "{expected}"),
        }
        cases.extend(case.map(str::to_owned));
    }
    assert!(cases.len() >= 22, "{cases:?}");
}

#[test]
fn tags_recorded_in_the_deprecated_form_become_plain_ones() {
    let mut writer = JsonWriter::new(JsonStyle::default());
    let mut tags = |file: &str| -> BTreeMap<String, Value> {
        let written = envelopes(file).into_iter().map(|envelope| writer.write(&envelope).unwrap());
        let read = written.map(|text| serde_json::from_slice::<Value>(&text).unwrap());
        let mut all: Vec<_> = read.map(|json| json["tags"].clone()).collect();
        all.retain(|tags| tags["case"].is_string());
        // Which of two tags of one name wins was decided before the recording.
        all.iter_mut().filter_map(Value::as_object_mut).for_each(|tags| drop(tags.remove("both")));
        all.into_iter().map(|tags| (tags["case"].to_string(), tags)).collect()
    };
    let preferred = tags("rlp-batches-preferred-tags.hex");
    assert!(preferred.len() >= 22, "{}", preferred.len());
    assert_eq!(preferred, tags("rlp-batches-deprecated-tags.hex"));
}

/// One recorded request and its answer.
struct Exchange {
    title: String,
    request: String,
    head: String,
    body: String,
}

fn exchanges() -> Vec<Exchange> {
    let literal = |line: &str| -> String {
        let (_, rest) = line.split_once('\'').unwrap();
        rest.strip_suffix('\'').unwrap().replace("\\r", "\r").replace("\\n", "\n")
    };
    let recording = recorded("http-exchanges.txt");
    let blocks = recording.split("### ").filter_map(|block| block.strip_prefix("gateway: "));
    blocks
        .map(|block| {
            let mut lines = block.lines();
            let title = lines.next().unwrap().to_owned();
            let request = literal(lines.next().unwrap());
            let response = literal(lines.next().unwrap());
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            Exchange { title, request, head: head.to_owned(), body: body.to_owned() }
        })
        .collect()
}

/// Status line and headers, in an order of their own, but for the time.
fn comparable(head: &str) -> (String, BTreeSet<String>) {
    let (status, headers) = head.split_once("\r\n").unwrap();
    let named = headers.lines().map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        format!("{}: {value}", name.to_lowercase())
    });
    (status.to_owned(), named.filter(|line| !line.starts_with("date: ")).collect())
}

#[tokio::test]
async fn requests_are_answered_as_recorded() {
    let foundation = start().await;
    let app = "abcd1111-2222-4333-8444-000000000001";
    foundation.capi().put_app(App { guid: app.into(), ..Default::default() });
    let firehose = foundation.uaa().issue("a", &["doppler.firehose"]);
    let plain = foundation.uaa().issue("b", &[]);
    let address = foundation.gateway_url().strip_prefix("https://").unwrap().parse().unwrap();
    let exchanges = exchanges();
    assert_eq!(exchanges.len(), 11);
    for recorded in exchanges {
        let request = recorded.request.replace("TOKEN-WITH-doppler.firehose", &firehose);
        let request = request.replace("TOKEN-WITHOUT-SCOPES", &plain);
        let mut connection = tls(address, client(&foundation, Present::Nothing), "http/1.1").await.unwrap();
        let (head, body) = exchange(&mut connection, &request).await;
        assert_eq!(comparable(&head), comparable(&recorded.head), "{}", recorded.title);
        assert_eq!(body, recorded.body, "{}", recorded.title);
    }
}

#[tokio::test]
async fn signs_of_life_have_the_recorded_form() {
    let second = std::time::Duration::from_secs(1);
    let config = GatewayConfig {
        heartbeat_interval: second / 100,
        stream_lifetime: second / 10,
        ..Default::default()
    };
    let foundation = with(config).await;
    let mut stream = Events::open(&foundation, "log").await;
    // Times differ, words do not.
    let form = |event: &str| event.replace(|c: char| c.is_ascii_digit(), "0");
    let recording = recorded("gateway-14min-idle-heartbeats-closing.sse");
    let named = |event: &&str| event.starts_with("event: ");
    let expected: Vec<String> = recording.split("\n\n").filter(named).map(form).collect();
    let mut got = Vec::new();
    while let Some(event) = stream.next().await {
        got.push(form(&event));
    }
    let last = got.pop();
    assert_eq!(last.as_ref(), expected.last());
    let beats: BTreeSet<_> = got.into_iter().collect();
    let recorded_beats: BTreeSet<_> = expected[..expected.len() - 1].iter().cloned().collect();
    assert!(beats.is_subset(&recorded_beats), "{beats:?}");
}
