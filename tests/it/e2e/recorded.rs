//! Recorded frames of the real platform, byte for byte through the whole daemon.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use firehose_nozzle::nozzle::status::Status;
use firehose_nozzle::nozzle::wire::{gateway, v2};
use firehose_nozzle::sim::foundation::HttpVersions;
use firehose_nozzle::sim::hec::Record;
use firehose_nozzle::sim::wire::Encoded;

use super::{Nozzle, Source, Verdict, World};
use crate::golden;

const ALL_TYPES: &str =
    "HttpStart,HttpStop,HttpStartStop,LogMessage,ValueMetric,CounterEvent,Error,ContainerMetric,Event";

/// Waits until the nozzle has made something of so many frames, and ends it.
async fn finish_after(world: &World, nozzle: Nozzle, envelopes: u64) -> Verdict {
    let decoded =
        |status: &Status| status.ledger.received + status.ledger.malformed.values().sum::<u64>() == envelopes;
    nozzle.until("all frames are decoded", decoded).await;
    world.finish(nozzle).await
}

/// Publishes frames one by one, as fast as they are sent.
async fn publish_frames(world: &World, frames: impl IntoIterator<Item = Vec<u8>>) -> u64 {
    let mut n = 0;
    for frame in frames {
        world.foundation.room(1).await;
        world.foundation.publish_frame(&frame);
        n += 1;
    }
    n
}

#[tokio::test]
async fn frames_made_to_test_the_go_nozzle() {
    let world = World::start().await;
    let nozzle = world.nozzle(Source::Firehose, &[("EVENTS", ALL_TYPES)]).await;
    let cases = golden::cases("nozzle/base.json");
    let frames = cases.iter().map(|case| golden::hex(case["envelope_hex"].as_str().unwrap()));
    let published = publish_frames(&world, frames).await;
    let verdict = finish_after(&world, nozzle, published).await;

    // What the Go nozzle posted, and the two it lost because it could not write them as JSON.
    let encodable = cases.iter().filter(|case| !case["expected_body"].is_null()).count() as u64;
    let ledger = verdict.ledger();
    assert_eq!(ledger.delivered, encodable);
    assert_eq!(verdict.hec.ledger.events, encodable, "one event each");
    // The nine it dropped without a trace have a name each.
    let malformed = [("missing_field", 6), ("event_type", 2), ("truncated", 1)];
    let malformed: BTreeMap<_, u64> = malformed.map(|(kind, n)| (kind.to_owned(), n)).into();
    assert_eq!(ledger.malformed, malformed);
    assert_eq!((ledger.lost(), ledger.filtered.len()), (0, 0), "{ledger}");
}

#[tokio::test]
async fn frames_of_the_traffic_controller() {
    let world = World::start().await;
    let nozzle = world.nozzle(Source::Firehose, &[("EVENTS", ALL_TYPES)]).await;
    let files = ["ws-firehose-all-cases", "ws-app-stream", "ws-mix-1000"];
    let frames = files.iter().flat_map(|file| golden::messages(&format!("loggregator/{file}.hex")));
    let published = publish_frames(&world, frames).await;
    let verdict = finish_after(&world, nozzle, published).await;
    assert!(published > 300, "{published}");
    assert_eq!(verdict.ledger().delivered, published);
    assert_eq!(verdict.hec.ledger.events, published, "one event each");
    assert_eq!(verdict.by_member("sourcetype").len(), 6, "{:?}", verdict.by_member("sourcetype"));
}

#[tokio::test]
async fn messages_of_the_log_proxy() {
    let world = World::start().await;
    let nozzle = world.nozzle(Source::Grpc, &[("EVENTS", ALL_TYPES), ("ADD_TAGS", "true")]).await;
    let mut envelopes = 0;
    for file in [
        "rlp-batches-preferred-tags",
        "rlp-batches-deprecated-tags",
        "rlp-mix-1000",
        "rlp-counters-during-loss",
    ] {
        for message in golden::messages(&format!("loggregator/{file}.hex")) {
            envelopes += v2::count_envelopes(&message);
            world.foundation.room(1).await;
            world.foundation.publish_message(message.into());
        }
    }
    // These were read from the other method, which sends them one by one.
    for envelope in golden::messages("loggregator/rlp-receiver-single-envelopes.hex") {
        envelopes += 1;
        let message = Encoded::from_bytes(&envelope, None).record().clone();
        world.foundation.publish_message(message);
    }
    let verdict = finish_after(&world, nozzle, envelopes).await;
    assert!(envelopes > 300, "{envelopes}");
    let ledger = verdict.ledger();
    assert_eq!(ledger.received, envelopes);
    assert_eq!(ledger.malformed, BTreeMap::new());
    assert_eq!(ledger.filtered, [("empty_gauge".to_owned(), 3)].into(), "it was recorded three times");
    assert_eq!(ledger.delivered, envelopes - 3);
    assert!(ledger.events.fanned_out > 20, "gauges of several metrics: {ledger}");
    assert_eq!(verdict.hec.ledger.events, ledger.delivered + ledger.events.fanned_out);
    let tag = |record: &Record| record.json()["event"]["tags"]["case"].as_str().map(str::to_owned);
    let cases: BTreeSet<String> = verdict.records.iter().filter_map(tag).collect();
    for case in ["unicode", "invalid-utf8", "big-60KiB", "gauge-nan-inf", "deprecated-tags", "v1-error"] {
        assert!(cases.contains(case), "{case}: {cases:?}");
    }
}

#[tokio::test]
async fn the_whole_life_of_a_gateway_stream() {
    let recorded =
        std::fs::read(golden::path("loggregator/gateway-14min-idle-heartbeats-closing.sse")).unwrap();
    let text = std::str::from_utf8(&recorded).unwrap();
    let batches = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    let envelopes: u64 = batches.map(|batch| gateway::count_envelopes(batch.as_bytes())).sum();
    assert!(envelopes > 80, "{envelopes}");
    let settings = [("EVENTS", ALL_TYPES), ("ADD_TAGS", "true"), ("LOGGREGATOR_STREAMS", "1")];
    for http in [HttpVersions::Both, HttpVersions::One] {
        let world = World::with(|config| config.gateway.http = http, |_| {}).await;
        let nozzle = world.nozzle(Source::Gateway, &settings).await;
        for piece in recorded.chunks(7_001) {
            world.foundation.room(1).await;
            world.foundation.publish_text(Bytes::copy_from_slice(piece));
        }
        // Its last event is the one that closes it.
        nozzle.until("it is opened again", |status| status.source.streams[0].connects == 2).await;
        let verdict = finish_after(&world, nozzle, envelopes).await;
        let ledger = verdict.ledger();
        assert_eq!((ledger.received, ledger.malformed.len()), (envelopes, 0), "{http:?}: {ledger}");
        assert_eq!(ledger.filtered, [("empty_gauge".to_owned(), 4)].into(), "{http:?}: once in each round");
        assert_eq!(ledger.delivered, envelopes - 4, "{http:?}");
        assert_eq!(verdict.hec.ledger.events, ledger.delivered + ledger.events.fanned_out, "{http:?}");
        assert_eq!(verdict.status().source.ends.get("closing"), Some(&1), "{http:?}");
    }
}
