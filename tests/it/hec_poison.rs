//! The HEC client against the simulated HEC: bad events anywhere in a batch, of every kind a HEC refuses.
//!
//! Loss and duplicates are computed from the server's ledger, never from what the client believes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use firehose_nozzle::hec::batch::{Batch, Tally};
use firehose_nozzle::hec::dead_letter::DeadLetters;
use firehose_nozzle::hec::{Client, ClientConfig, Compression, Outcome};
use firehose_nozzle::sim::hec::{HecServer, HecServerConfig, Profile, Token};
use firehose_nozzle::sim::load::sequence_in;
use firehose_nozzle::tls;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "22222222-2222-3333-4444-555555555555";

/// Why HEC refuses an event, and the code it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poison {
    NotJson,
    FieldsNoObject,
    NoEvent,
    BlankEvent,
    NestedField,
    TooLarge,
}

const POISONS: [(Poison, i64); 6] = [
    (Poison::NotJson, 6),
    (Poison::FieldsNoObject, 6),
    (Poison::NoEvent, 12),
    (Poison::BlankEvent, 13),
    (Poison::NestedField, 15),
    (Poison::TooLarge, 6),
];

/// Events larger than this are refused.
const EVENT_BYTES_MAX: usize = 20_000;

fn event(number: usize, poison: Option<Poison>) -> String {
    let text = format!("seq={number:09}");
    let event = |rest: &str| format!("{{\"host\":\"{text}\",\"index\":\"main\"{rest}}}");
    match poison {
        None => event(r#","fields":{"a":"b"},"event":"x""#),
        Some(Poison::NotJson) => event(r#","event":tru"#),
        Some(Poison::FieldsNoObject) => event(r#","fields":[1],"event":"x""#),
        Some(Poison::NoEvent) => event(r#","time":"1""#),
        Some(Poison::BlankEvent) => event(r#","event":"""#),
        Some(Poison::NestedField) => event(r#","fields":{"a":{"b":1}},"event":"x""#),
        Some(Poison::TooLarge) => event(&format!(r#","event":"{}""#, "x".repeat(EVENT_BYTES_MAX))),
    }
}

fn batch(poison: &BTreeMap<usize, Poison>, n: usize) -> Batch {
    let mut batch = Batch::new(Arc::from("main"), 1024);
    for number in 0..n {
        let event = event(number, poison.get(&number).copied());
        batch.buffer().extend_from_slice(event.as_bytes());
        batch.commit(1);
    }
    batch
}

async fn server(profile: Profile) -> HecServer {
    tls::install_provider();
    let mut config = HecServerConfig::new(vec![Token::new("test", TOKEN)]).with_profile(profile);
    config.behaviour.max_event_bytes = EVENT_BYTES_MAX;
    HecServer::start(config).await.unwrap()
}

fn client(server: &HecServer, compression: Compression) -> Client {
    let config =
        ClientConfig { compression, ..ClientConfig::new(server.url().parse().unwrap(), TOKEN.into()) };
    Client::new(config).unwrap()
}

/// How often each number is in the ledger.
fn indexed(server: &HecServer) -> BTreeMap<usize, u32> {
    let mut counts = BTreeMap::new();
    for record in server.records().unwrap() {
        let number = sequence_in(std::str::from_utf8(&record.envelope).unwrap()).unwrap();
        *counts.entry(usize::try_from(number).unwrap()).or_default() += 1;
    }
    counts
}

fn rejected(outcome: &Outcome) -> BTreeMap<usize, i64> {
    let mut rejected = BTreeMap::new();
    for rejection in &outcome.rejected {
        for event in rejection.events() {
            let number = sequence_in(std::str::from_utf8(event).unwrap()).unwrap();
            let code = rejection.code.expect("HEC names one").0;
            assert_eq!(rejected.insert(usize::try_from(number).unwrap(), code), None, "rejected twice");
        }
    }
    rejected
}

#[tokio::test]
async fn poison_anywhere_is_found_once_and_its_neighbours_arrive_once() {
    let mut chance = fastrand::Rng::with_seed(11);
    for round in 0..60 {
        let server = server(if round % 2 == 0 { Profile::Enterprise } else { Profile::Cloud }).await;
        let n = chance.usize(1..150);
        let share = [0.0, 0.02, 0.2, 0.9][round % 4];
        let mut poison = BTreeMap::new();
        for number in 0..n {
            if chance.f64() < share {
                poison.insert(number, POISONS[chance.usize(..POISONS.len())].0);
            }
        }
        let compression = if chance.bool() { Compression::Gzip } else { Compression::None };
        let client = client(&server, compression);
        let outcome = client.deliver(batch(&poison, n), &CancellationToken::new()).await;

        let case = format!("round {round}: {n} events, {poison:?}");
        assert_eq!(outcome.total(), Tally { events: n as u64, units: n as u64 }, "{case}");
        let expected: BTreeMap<_, _> = poison
            .iter()
            .map(|(number, poison)| (*number, POISONS.iter().find(|(kind, _)| kind == poison).unwrap().1))
            .collect();
        assert_eq!(rejected(&outcome), expected, "{case}");
        let good: BTreeMap<usize, u32> =
            (0..n).filter(|number| !poison.contains_key(number)).map(|number| (number, 1)).collect();
        assert_eq!(indexed(&server), good, "{case}");
        let requests = client.status().counters.requests;
        assert!(requests <= 50 + 2 * n as u64, "{case}: {requests} requests");
    }
}

#[tokio::test]
async fn each_kind_of_poison_is_known_by_its_code() {
    let server = server(Profile::Enterprise).await;
    let client = client(&server, Compression::None);
    for (kind, code) in POISONS {
        for place in [0, 3, 6] {
            let poison = BTreeMap::from([(place, kind)]);
            let outcome = client.deliver(batch(&poison, 7), &CancellationToken::new()).await;
            assert_eq!(rejected(&outcome), [(place, code)].into(), "{kind:?} at {place}");
            assert_eq!(outcome.delivered.events, 6);
        }
    }
    let expected: BTreeMap<usize, u32> =
        (0..7).map(|n| (n, if [0, 3, 6].contains(&n) { 12 } else { 18 })).collect();
    assert_eq!(indexed(&server), expected);
}

fn letters(folder: &Path) -> Vec<Value> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn poison_is_in_the_dead_letters_exactly_once_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let dead_letters = DeadLetters::new(folder.path().to_owned(), 8 << 20);
    let server = server(Profile::Enterprise).await;
    let client = client(&server, Compression::Gzip);
    let poison: BTreeMap<usize, Poison> =
        POISONS.iter().enumerate().map(|(at, (kind, _))| (at * 5 + 2, *kind)).collect();
    let outcome = client.deliver(batch(&poison, 40), &CancellationToken::new()).await;
    dead_letters.write(outcome.rejected).await;
    let letters = letters(folder.path());
    let reasons = [
        "Invalid data format",
        "Invalid data format",
        "Event field is required",
        "Event field cannot be blank",
        "Error in handling indexed fields",
        "Invalid data format",
    ];
    let told: Vec<&str> = letters.iter().map(|letter| letter["reason"].as_str().unwrap()).collect();
    assert_eq!(told, reasons);
    let numbers: BTreeSet<u64> = letters
        .iter()
        .map(|letter| sequence_in(&letter.get("event").unwrap_or(&letter["text"]).to_string()).unwrap())
        .collect();
    assert_eq!(numbers, poison.keys().map(|number| *number as u64).collect());
    assert!(letters.iter().all(|letter| letter["index"] == "main" && letter["status"] == 400));
}

#[tokio::test]
async fn a_refused_index_is_understood_by_either_way_of_counting() {
    for profile in [Profile::Enterprise, Profile::Naive] {
        for n in [1, 5] {
            let server = server(profile).await;
            server.set_tokens(vec![Token::new("test", TOKEN).with_indexes(["elsewhere"])]);
            let client = client(&server, Compression::None);
            let outcome = client.deliver(batch(&BTreeMap::new(), n), &CancellationToken::new()).await;
            let expected: BTreeMap<usize, i64> = (0..n).map(|number| (number, 7)).collect();
            assert_eq!(rejected(&outcome), expected, "{profile:?} {n}");
            assert_eq!(client.status().counters.requests, 1, "{profile:?} {n}");
            assert!(indexed(&server).is_empty());
        }
    }
}

#[tokio::test]
async fn a_cloud_that_names_event_zero_of_what_is_too_large_costs_that_alone() {
    let mut config = HecServerConfig::new(vec![Token::new("test", TOKEN)]).with_profile(Profile::Cloud);
    config.behaviour.max_content_bytes = 1_200_000;
    tls::install_provider();
    let server = HecServer::start(config).await.unwrap();
    let client = client(&server, Compression::None);
    let mut batch = Batch::new(Arc::from("main"), 1 << 20);
    // Together far more than a request may hold; number 30 by itself as well.
    for number in 0..60 {
        let bytes = if number == 30 { 1_500_000 } else { 40_000 };
        let event = format!(r#"{{"event":"seq={number:09} {}"}}"#, "x".repeat(bytes));
        batch.buffer().extend_from_slice(event.as_bytes());
        batch.commit(1);
    }
    let outcome = client.deliver(batch, &CancellationToken::new()).await;
    assert_eq!(rejected(&outcome), [(30, 6)].into());
    let expected: BTreeMap<usize, u32> = (0..60).filter(|n| *n != 30).map(|number| (number, 1)).collect();
    assert_eq!(indexed(&server), expected);
}
