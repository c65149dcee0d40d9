//! Everything that is published arrives once, as it should look.

use std::collections::BTreeMap;

use firehose_nozzle::sim::load::{Limit, Load, LoadConfig, LoadReport, Mix};
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{DEADLINE, Source, Verdict, World};

const NAMES: &str = "AppName,OrgName,OrgGuid,SpaceName,SpaceGuid";

/// Publishes a load as fast as the streams read.
async fn send(world: &World, load: LoadConfig) -> LoadReport {
    let load = Load::new(LoadConfig { events_per_second: 0, ..load });
    timeout(DEADLINE, load.run(&world.foundation, &CancellationToken::new())).await.unwrap()
}

/// The most events of one request.
fn largest_request(verdict: &Verdict) -> u64 {
    let mut requests = BTreeMap::<u64, u64>::new();
    for record in &verdict.records {
        *requests.entry(record.request).or_default() += 1;
    }
    requests.into_values().max().unwrap()
}

async fn mixed_load(source: Source, workers: &str, compression: &str, batch_events: u64) {
    const ENVELOPES: u64 = 3000;
    let world = World::start().await;
    let batch = batch_events.to_string();
    let settings = [
        ("HEC_WORKERS", workers),
        ("HEC_COMPRESSION", compression),
        ("HEC_BATCH_SIZE", &batch),
        ("ADD_APP_INFO", NAMES),
        ("METADATA_RATE", "1000/s"),
        ("METADATA_WAIT", "1m"),
    ];
    let nozzle = world.nozzle(source, &settings).await;
    let mix = if source == Source::Firehose { Mix::convertible() } else { Mix::default() };
    let sent =
        send(&world, LoadConfig { mix, limit: Limit::Events(ENVELOPES), ..LoadConfig::default() }).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;

    verdict.assert_exactly(0..ENVELOPES);
    assert_eq!(verdict.ledger().received, world.sent());
    assert_eq!(verdict.ledger().delivered, world.sent());
    assert_eq!(verdict.ledger().malformed, BTreeMap::new());
    let published = sent.published;
    let by_sourcetype = verdict.by_member("sourcetype");
    for (sourcetype, envelopes) in [
        ("cf:logmessage", published.logs()),
        ("cf:httpstartstop", published.timers),
        ("cf:containermetric", published.containers),
        ("cf:counterevent", published.counters),
    ] {
        assert!(envelopes > 0);
        assert_eq!(by_sourcetype.get(sourcetype), Some(&envelopes), "{sourcetype}");
    }
    assert!(by_sourcetype["cf:valuemetric"] > published.gauges, "some gauges hold two metrics");
    assert_eq!(by_sourcetype.get("cf:event").copied().unwrap_or(0), published.events);

    let of_apps = verdict.records.iter().map(|record| record.json()["event"].clone());
    let of_apps: Vec<Value> = of_apps.filter(|event| event["cf_app_id"].is_string()).collect();
    assert!(of_apps.len() as u64 > ENVELOPES / 2, "{}", of_apps.len());
    for event in of_apps {
        for name in ["cf_app_name", "cf_org_name", "cf_org_id", "cf_space_name", "cf_space_id"] {
            assert!(event[name].as_str().is_some_and(|name| !name.is_empty()), "{name}: {event}");
        }
    }
    // An envelope is never torn: one that gives two events may go over the limit by one.
    assert!(largest_request(&verdict) <= batch_events + 1, "{}", largest_request(&verdict));
    assert_eq!(verdict.hec.bytes_raw < verdict.hec.bytes_inflated, compression == "gzip");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_with_four_workers_and_small_compressed_batches() {
    mixed_load(Source::Grpc, "4", "gzip", 7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_with_one_worker_and_large_plain_batches() {
    mixed_load(Source::Grpc, "1", "off", 5000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_with_two_workers_and_small_compressed_batches() {
    mixed_load(Source::Gateway, "2", "gzip", 13).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firehose_with_three_workers_and_small_plain_batches() {
    mixed_load(Source::Firehose, "3", "off", 11).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firehose_with_two_workers_and_large_compressed_batches() {
    mixed_load(Source::Firehose, "2", "gzip", 5000).await;
}

#[tokio::test]
async fn types_that_events_does_not_name_are_counted_and_not_sent() {
    const ENVELOPES: u64 = 1000;
    for (source, events, sourcetypes) in [
        (Source::Grpc, "LogMessage,ValueMetric", ["cf:logmessage", "cf:valuemetric"]),
        (Source::Grpc, "ContainerMetric,HttpStartStop", ["cf:containermetric", "cf:httpstartstop"]),
        (Source::Firehose, "LogMessage,CounterEvent", ["cf:counterevent", "cf:logmessage"]),
        (Source::Firehose, "ContainerMetric,HttpStartStop", ["cf:containermetric", "cf:httpstartstop"]),
    ] {
        let world = World::start().await;
        let nozzle = world.nozzle(source, &[("EVENTS", events)]).await;
        let limit = Limit::Events(ENVELOPES);
        let load = LoadConfig { mix: Mix::convertible(), limit, ..LoadConfig::default() };
        let published = send(&world, load).await.published;
        world.settled(&nozzle).await;
        let verdict = world.finish(nozzle).await;

        let case = format!("{source:?} {events}");
        let by_sourcetype = verdict.by_member("sourcetype");
        assert_eq!(by_sourcetype.keys().collect::<Vec<_>>(), sourcetypes, "{case}");
        let ledger = verdict.ledger();
        let left_out = ledger.received - ledger.delivered;
        assert_eq!(ledger.filtered, [("event_type".to_owned(), left_out)].into(), "{case}");
        assert_eq!(ledger.received, world.sent(), "{case}");
        if source != Source::Firehose {
            // The platform is not even asked for other kinds; only gauges are of two types.
            let other = if events.contains("ValueMetric") { published.containers } else { published.gauges };
            assert_eq!(left_out, other, "{case}");
        }
        assert!(left_out > 0, "{case}");
    }
}
