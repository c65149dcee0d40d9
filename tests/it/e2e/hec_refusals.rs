//! A Splunk that refuses some events, or requests of some size: only what is to blame is lost.

use std::collections::BTreeSet;

use firehose_nozzle::sim::hec::{Action, Rule};

use super::{Source, World, app_guid, log, long_log};

/// Events Splunk takes in these tests are no larger.
const EVENT_BYTES_MAX: usize = 10_000;

#[tokio::test]
async fn an_event_splunk_refuses_costs_itself_only() {
    let refused = BTreeSet::from([0, 37, 38, 120, 199]);
    for batch in ["10", "200"] {
        let world = World::with(|_| {}, |hec| hec.behaviour.max_event_bytes = EVENT_BYTES_MAX).await;
        let nozzle = world.nozzle(Source::Grpc, &[("HEC_BATCH_SIZE", batch), ("FLUSH_INTERVAL", "1s")]).await;
        let line = |n| long_log(&app_guid(1), n, if refused.contains(&n) { EVENT_BYTES_MAX } else { 0 });
        world.publish(0..200, line).await;
        world.settled(&nozzle).await;
        let verdict = world.finish(nozzle).await;
        assert_eq!(verdict.missing(0..200), refused);
        assert_eq!(verdict.duplicates(), 0);
        assert_eq!(verdict.ledger().rejected, [("code_6".to_owned(), refused.len() as u64)].into());
        assert_eq!(verdict.ledger().lost(), 0);
    }
}

#[tokio::test]
async fn requests_that_are_too_large_are_sent_in_parts() {
    let world = World::with(|_| {}, |hec| hec.behaviour.max_content_bytes = 40_000).await;
    let nozzle = world.nozzle(Source::Grpc, &[("FLUSH_INTERVAL", "1s")]).await;
    world.publish(0..500, |n| long_log(&app_guid(1), n, 2000)).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..500);
    assert!(verdict.hec.status(413) > 0);
    assert_eq!(verdict.ledger().rejected.len(), 0);
}

#[tokio::test]
async fn an_event_no_request_can_hold_costs_itself_only() {
    let world = World::with(|_| {}, |hec| hec.behaviour.max_content_bytes = 40_000).await;
    let nozzle = world.nozzle(Source::Grpc, &[("FLUSH_INTERVAL", "1s")]).await;
    let line = |n| if n == 50 { long_log(&app_guid(1), n, 50_000) } else { log(&app_guid(1), n) };
    world.publish(0..100, line).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    assert_eq!(verdict.missing(0..100), [50].into());
    assert_eq!(verdict.duplicates(), 0);
    assert_eq!(verdict.ledger().rejected, [("http_413".to_owned(), 1)].into());
}

#[tokio::test]
async fn a_server_without_gzip_gets_plain_requests() {
    let world = World::start().await;
    let rule = world.hec.add_rule(Rule::always(Action::RefuseGzip));
    let nozzle = world.nozzle(Source::Grpc, &[("HEC_COMPRESSION", "gzip"), ("HEC_BATCH_SIZE", "20")]).await;
    world.publish(0..400, |n| log(&app_guid(1), n)).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..400);
    let refused = verdict.hec.status(415);
    assert!(0 < refused && refused <= 8, "only those that were under way: {refused}");
    assert!(world.hec.fired(rule) > refused);
}
