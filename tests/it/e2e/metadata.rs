//! Names, indexes and muting of apps, whatever the Cloud Controller does.

use std::collections::BTreeMap;
use std::time::Duration;

use firehose_nozzle::sim::foundation::{App, Organization, Space};

use super::{Source, Verdict, World, app_guid, log};

/// Settings that let no time-out of the nozzle's own come in between.
const PATIENT: [(&str, &str); 3] =
    [("ADD_APP_INFO", "AppName,SpaceName,OrgName"), ("METADATA_WAIT", "1m"), ("METADATA_RATE", "1000/s")];

/// An app that no list shows, so that it has to be looked up when its first event comes.
fn app(n: u64) -> App {
    App {
        guid: app_guid(n),
        name: format!("shop-{n}"),
        space_guid: "space".to_owned(),
        listed: false,
        ..App::default()
    }
}

async fn world(apps: impl IntoIterator<Item = App>) -> World {
    let world = World::start().await;
    let capi = world.foundation.capi();
    capi.put_organization(Organization { guid: "org".to_owned(), name: "retail".to_owned() });
    let organization_guid = "org".to_owned();
    capi.put_space(Space { guid: "space".to_owned(), name: "production".to_owned(), organization_guid });
    apps.into_iter().for_each(|app| capi.put_app(app));
    world
}

fn app_path(n: u64) -> String {
    format!("/v3/apps/{}", app_guid(n))
}

/// The event of each number, by number.
fn events(verdict: &Verdict) -> BTreeMap<u64, serde_json::Value> {
    let numbered = verdict.records.iter();
    numbered.map(|record| (super::verdict::number(record).unwrap(), record.json()["event"].clone())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_event_of_an_unknown_app_waits_for_its_names() {
    const APPS: u64 = 10;
    for source in Source::ALL {
        let world = world((0..APPS).map(app)).await;
        let settings = [&PATIENT[..], &[("HEC_WORKERS", "3")]].concat();
        let nozzle = world.nozzle(source, &settings).await;
        world.publish(0..500, |n| log(&app_guid(n % APPS), n)).await;
        world.settled(&nozzle).await;
        let verdict = world.finish(nozzle).await;
        verdict.assert_exactly(0..500);
        assert_eq!(verdict.ledger().unenriched, 0);
        for (number, event) in events(&verdict) {
            assert_eq!(event["cf_app_name"], format!("shop-{}", number % APPS));
            assert_eq!(
                (&event["cf_space_name"], &event["cf_org_name"]),
                (&"production".into(), &"retail".into())
            );
        }
        let calls = world
            .foundation
            .capi()
            .calls_where(|path| path.starts_with("/v3/apps/") && !path.ends_with("variables"));
        assert!(calls <= APPS, "one look-up for all events and workers: {calls}");
    }
}

#[tokio::test]
async fn a_failing_cloud_controller_costs_names_and_no_events() {
    // Broken, refusing us, not knowing the app; only the last is an answer.
    for (status, unenriched) in [(500, 50), (403, 50), (404, 0)] {
        let world = world([app(1), app(2)]).await;
        world.foundation.capi().set_status(&app_path(1), Some(status));
        let nozzle = world.nozzle(Source::Grpc, &PATIENT).await;
        // One after the other: together they would be asked for in one call.
        for (numbers, app) in [(0..50, 1), (50..100, 2)] {
            world.publish(numbers, |n| log(&app_guid(app), n)).await;
            world.settled(&nozzle).await;
        }
        let verdict = world.finish(nozzle).await;
        verdict.assert_exactly(0..100);
        for (number, event) in events(&verdict) {
            let name = event.get("cf_app_name").and_then(|name| name.as_str());
            assert_eq!(name, (number >= 50).then_some("shop-2"), "{status}: {event}");
        }
        assert_eq!(verdict.ledger().unenriched, unenriched, "{status}");
    }
}

#[tokio::test]
async fn apps_choose_their_index_or_silence() {
    let by_variable = App { environment: [("SPLUNK_INDEX".to_owned(), "team-a".into())].into(), ..app(1) };
    let labelled =
        |n, label: &str, value: &str| App { labels: [(label.to_owned(), value.to_owned())].into(), ..app(n) };
    let by_label =
        App { environment: by_variable.environment.clone(), ..labelled(2, "SPLUNK_INDEX", "team-b") };
    let muted = labelled(3, "F2S_DISABLE_LOGGING", "true");
    let world = world([by_variable, by_label, muted, app(4)]).await;
    let settings = [&PATIENT[..], &[("USE_LABELS_FOR_SPLUNK_INDEX", "true")]].concat();
    let nozzle = world.nozzle(Source::Grpc, &settings).await;
    world.publish(0..400, |n| log(&app_guid(1 + n % 4), n)).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;

    let mut by_index = BTreeMap::<_, Vec<_>>::new();
    for record in &verdict.records {
        by_index.entry(record.index.as_str()).or_default().push(super::verdict::number(record).unwrap() % 4);
    }
    for (index, app) in [("team-a", 0), ("team-b", 1), ("main", 3)] {
        assert_eq!(by_index.get(index), Some(&vec![app; 100]), "{index}");
    }
    assert_eq!(by_index.len(), 3, "{:?}", by_index.keys());
    assert_eq!(verdict.ledger().filtered, [("app_muted".to_owned(), 100)].into());
    assert_eq!(verdict.duplicates(), 0);
}

#[tokio::test]
async fn an_app_is_muted_by_its_variable_and_labelled_with_its_sourcetype() {
    let muted = App { environment: [("F2S_DISABLE_LOGGING".to_owned(), "true".into())].into(), ..app(1) };
    let labels = [("SPLUNK_SOURCETYPE".to_owned(), "nginx".to_owned())].into();
    let world = world([muted, App { labels, ..app(2) }, app(3)]).await;
    let settings = [&PATIENT[..], &[("USE_LABELS_FOR_SPLUNK_SOURCETYPE", "true")]].concat();
    let nozzle = world.nozzle(Source::Grpc, &settings).await;
    world.publish(0..300, |n| log(&app_guid(1 + n % 3), n)).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    assert_eq!(verdict.ledger().filtered, [("app_muted".to_owned(), 100)].into());
    assert_eq!(verdict.ledger().unenriched, 0);
    for record in &verdict.records {
        let expected =
            if super::verdict::number(record).unwrap() % 3 == 1 { "nginx" } else { "cf:logmessage" };
        assert_eq!(record.json()["sourcetype"], expected);
    }
}

#[tokio::test]
async fn a_restart_enriches_its_first_event_without_the_cloud_controller() {
    let world = world([App { listed: true, ..app(1) }]).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cache.db");
    let settings = [&PATIENT[..], &[("BOLTDB_PATH", file.to_str().unwrap())]].concat();
    let nozzle = world.nozzle(Source::Grpc, &settings).await;
    world.publish(0..10, |n| log(&app_guid(1), n)).await;
    world.settled(&nozzle).await;
    nozzle.until("the app is in the file", |status| status.metadata.file.written > 0).await;
    let before = nozzle.stop().await;
    world.foundation.wait_connected(super::world::DEADLINE, |open| open.rlp == 0).await.unwrap();

    world.foundation.capi().set_failing(100, 503);
    let nozzle = world.nozzle(Source::Grpc, &settings).await;
    world.publish(10..20, |n| log(&app_guid(1), n)).await;
    nozzle.until("the other half is delivered", |status| status.ledger.delivered == 10).await;
    let after = nozzle.stop().await;
    assert_eq!(after.report.ledger.unenriched, 0);
    let verdict = world.compare(vec![before, after]);
    verdict.assert_exactly(0..20);
    for event in events(&verdict).into_values() {
        assert_eq!(event["cf_app_name"], "shop-1");
    }
}

#[tokio::test]
async fn while_the_cloud_controller_is_away_nothing_is_parked() {
    let world = world((1..=200).map(app)).await;
    world.foundation.capi().set_failing(100, 503);
    let nozzle = world.nozzle(Source::Grpc, &PATIENT).await;
    nozzle.until("the cloud controller counts as away", |status| status.metadata.away).await;
    world.publish(0..200, |n| log(&app_guid(1 + n), n)).await;
    // METADATA_WAIT is a minute: nobody waits for it.
    let status = nozzle.until("all go out", |status| status.ledger.delivered == 200).await;
    assert_eq!((status.ledger.parked, status.ledger.unenriched), (0, 200));
    world.finish(nozzle).await.assert_exactly(0..200);
}

#[tokio::test]
async fn an_index_splunk_refuses_costs_the_events_of_that_app_only() {
    let elsewhere = App { environment: [("SPLUNK_INDEX".to_owned(), "secret".into())].into(), ..app(1) };
    let world = world([elsewhere, app(2)]).await;
    world.hec.set_tokens(vec![super::world::token().with_indexes(["main"])]);
    let nozzle = world.nozzle(Source::Grpc, &PATIENT).await;
    world.publish(0..200, |n| log(&app_guid(1 + n % 2), n)).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    assert_eq!(verdict.ledger().rejected, [("code_7".to_owned(), 100)].into());
    assert_eq!(verdict.missing(0..200), (0..200).step_by(2).collect());
    assert_eq!(verdict.duplicates(), 0);
}

#[tokio::test]
async fn a_hanging_cloud_controller_does_not_hold_up_other_apps() {
    let world = world([app(1), app(2)]).await;
    let nozzle = world.nozzle(Source::Grpc, &PATIENT).await;
    world.publish(0..100, |n| log(&app_guid(1), n)).await;
    world.settled(&nozzle).await;

    world.foundation.capi().set_latency(Duration::from_hours(1));
    world.publish(100..200, |n| log(&app_guid(2), n)).await;
    nozzle.until("those of the other app are parked", |status| status.ledger.parked == 100).await;
    world.publish(200..300, |n| log(&app_guid(1), n)).await;
    let status = nozzle.until("the known app goes on", |status| status.ledger.delivered >= 200).await;
    assert_eq!(status.ledger.received, 300);

    // Stopping waits for no look-up either.
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..300);
    assert_eq!(verdict.ledger().unenriched, 100);
    for (number, event) in events(&verdict) {
        let known = !(100..200).contains(&number);
        assert_eq!(event.get("cf_app_name").is_some(), known, "{event}");
    }
}

#[tokio::test]
async fn events_wait_for_names_no_longer_than_they_are_told_to() {
    let world = world([app(1)]).await;
    world.foundation.capi().set_latency(Duration::from_hours(1));
    let settings = [("ADD_APP_INFO", "AppName"), ("METADATA_WAIT", "100ms")];
    let nozzle = world.nozzle(Source::Grpc, &settings).await;
    world.publish(0..100, |n| log(&app_guid(1), n)).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..100);
    assert_eq!(verdict.ledger().unenriched, 100);
}
