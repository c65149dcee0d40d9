//! A Splunk that is busy, broken or gone for a moment: events wait, and are sent again. Nothing is
//! lost; nothing comes twice either, but where the fault hides whether the events were taken.

use firehose_nozzle::hec::GateState;
use firehose_nozzle::nozzle::status::Status;
use firehose_nozzle::sim::hec::{Action, Code, Cut, CutPoint, Endpoint, Prefix, Reply, Rule, Stage};
use futures_util::future::join_all;
use http::StatusCode;

use super::{DEADLINE, Source, World, app_guid, log};

const ENVELOPES: u64 = 400;
/// Events of one request, at most.
const BATCH: u64 = 20;

/// Whether the client can know what became of the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// They were surely not taken.
    Clear,
    /// They may have been.
    InDoubt,
}

/// HEC_TIMEOUT where no request is to run into it, however slow the machine.
const NEVER: &str = "1m";

/// Delivers while requests go wrong by the rule: a fault costs nothing, and duplicates only where
/// they cannot be avoided.
async fn check(case: &str, rule: Rule, fate: Fate, hec_timeout: &str) {
    let world = World::start().await;
    let rule = world.hec.add_rule(rule);
    let batch = BATCH.to_string();
    let settings = [("HEC_BATCH_SIZE", batch.as_str()), ("HEC_TIMEOUT", hec_timeout)];
    let nozzle = world.nozzle(Source::Grpc, &settings).await;
    world.publish(0..ENVELOPES, |n| log(&app_guid(1), n)).await;
    world.settled(&nozzle).await;
    assert!(world.hec.fired(rule) > 0, "{case}");
    let verdict = world.finish(nozzle).await;
    let resends = verdict.status().hec.counters.ambiguous_resends;
    match fate {
        Fate::Clear => {
            verdict.assert_exactly(0..ENVELOPES);
            assert_eq!(resends, 0, "{case}");
        }
        Fate::InDoubt => {
            verdict.assert_at_least(0..ENVELOPES);
            assert!(resends > 0, "{case}");
            let duplicates = verdict.duplicates();
            assert!(duplicates <= resends * BATCH, "{case}: {duplicates} after {resends} resends");
        }
    }
    assert_eq!(verdict.ledger().rejected.len(), 0, "{case}");
}

/// A fault of each fifth request.
fn now_and_then(action: Action) -> Rule {
    Rule::on(Endpoint::Event, action).every(5)
}

fn answer(reply: Reply) -> Rule {
    now_and_then(Action::Answer(reply))
}

#[tokio::test]
async fn replies_that_say_try_again() {
    let gateway = |status| Reply::html(status, "no upstream");
    let cases = [
        ("503 code 9", answer(Reply::hec(Code::ServerBusy)), Fate::Clear),
        ("503 code 9 at event 0", answer(Reply::hec(Code::ServerBusy).with_event_number(0)), Fate::Clear),
        ("503 code 23", answer(Reply::hec(Code::ShuttingDown)), Fate::Clear),
        ("503 of a gateway", answer(gateway(StatusCode::SERVICE_UNAVAILABLE)), Fate::Clear),
        ("429 code 26", answer(Reply::hec(Code::QueueFull)), Fate::Clear),
        ("429 of a gateway", answer(gateway(StatusCode::TOO_MANY_REQUESTS)), Fate::Clear),
        ("500 code 8", answer(Reply::hec(Code::InternalError)), Fate::InDoubt),
        ("502", answer(gateway(StatusCode::BAD_GATEWAY)), Fate::InDoubt),
        ("504", answer(gateway(StatusCode::GATEWAY_TIMEOUT)), Fate::InDoubt),
    ];
    join_all(cases.map(|(case, rule, fate)| check(case, rule, fate, NEVER))).await;
}

#[tokio::test]
async fn a_queue_that_blocks_in_the_middle_of_a_request() {
    let busy = |prefix| now_and_then(Action::BusyAfter { events: 5, prefix });
    let cases = [("indexed", busy(Prefix::Indexed)), ("discarded", busy(Prefix::Discarded))];
    join_all(cases.map(|(case, rule)| check(case, rule, Fate::InDoubt, NEVER))).await;
}

#[tokio::test]
async fn connections_that_break_before_the_reply() {
    let points =
        [CutPoint::BeforeRead, CutPoint::MidBody, CutPoint::AfterIndex, CutPoint::MidReply].into_iter();
    let cases = points.flat_map(|point| [Cut::Reset, Cut::Close].map(|cut| (point, cut)));
    join_all(cases.map(async |(point, cut)| {
        let case = format!("{cut:?} {point:?}");
        check(&case, now_and_then(Action::Cut(point, cut)), Fate::InDoubt, NEVER).await;
    }))
    .await;
}

#[tokio::test]
async fn replies_that_never_come() {
    let hang = |stage| Rule::on(Endpoint::Event, Action::Hang(stage)).first(2);
    let cases = [("not taken", hang(Stage::BeforeRead)), ("taken", hang(Stage::AfterIndex))];
    join_all(cases.map(|(case, rule)| check(case, rule, Fate::InDoubt, "1s"))).await;
}

#[tokio::test]
async fn a_server_that_says_how_long_to_wait_is_left_alone() {
    let world = World::start().await;
    let busy = Reply::hec(Code::QueueFull).with_retry_after("300");
    let rule = world.hec.add_rule(Rule::on(Endpoint::Event, Action::Answer(busy)));
    let settings = [("HEC_BATCH_SIZE", "10"), ("SHUTDOWN_TIMEOUT", "1s")];
    let nozzle = world.nozzle(Source::Grpc, &settings).await;
    world.publish(0..500, |n| log(&app_guid(1), n)).await;
    let paused = |status: &Status| status.ledger.buffered() == 500 && status.hec.gate == GateState::Paused;
    let all_in = nozzle.until("everything is in, and has to wait", paused).await;
    // No pause of the client's own choice is that long.
    assert!(all_in.hec.next_try_ms > Some(60_000), "{:?}", all_in.hec.next_try_ms);
    assert!(all_in.not_ready.iter().any(|reason| reason.contains("429")), "{:?}", all_in.not_ready);

    let verdict = world.finish(nozzle).await;
    assert_eq!(verdict.ledger().dropped, [("shutdown".to_owned(), 500)].into());
    let asked = world.hec.fired(rule);
    assert!(asked <= 8, "only requests that were already under way: {asked}");
}

#[tokio::test]
async fn a_server_whose_connections_are_reset_again_and_again() {
    let world = World::start().await;
    let nozzle = world.nozzle(Source::Grpc, &[("HEC_BATCH_SIZE", "20")]).await;
    for round in 0..5 {
        let from = round * 200;
        world.publish(from..from + 200, |n| log(&app_guid(1), n)).await;
        world.hec.wait_until(DEADLINE, |hec| hec.ledger.events > from).await.unwrap();
        world.hec.reset_connections();
    }
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_at_least(0..1000);
    assert!(verdict.duplicates() <= verdict.status().hec.counters.ambiguous_resends * BATCH);
}
