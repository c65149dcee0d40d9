//! A Splunk that is slow, full, or tired of connections, without refusing anything: nothing is lost, and
//! nothing comes twice.

use std::time::Duration;

use firehose_nozzle::sim::hec::{
    Action, BytesPerSecond, Code, CookieValue, Direction, Endpoint, InputQueueConfig, Reply, Rule, Stage,
};
use futures_util::future::join_all;

use super::{Source, World, app_guid, log};

const ENVELOPES: u64 = 400;

async fn world(action: Action) -> World {
    let world = World::start().await;
    world.hec.add_rule(Rule::on(Endpoint::Event, action).every(3));
    world
}

async fn check(case: &str, world: World) {
    let settings = [("HEC_BATCH_SIZE", "20"), ("HEC_TIMEOUT", "1m")];
    let nozzle = world.nozzle(Source::Grpc, &settings).await;
    world.publish(0..ENVELOPES, |n| log(&app_guid(1), n)).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..ENVELOPES);
    assert_eq!(verdict.ledger().rejected.len(), 0, "{case}");
}

#[tokio::test]
async fn delays_drips_and_closed_connections_cost_nothing() {
    let while_waiting = Duration::from_millis(50);
    let cases = [
        ("a delay before", Action::Delay(Stage::BeforeRead, while_waiting)),
        ("a delay after", Action::Delay(Stage::AfterIndex, while_waiting)),
        ("a dripping request", Action::Drip(Direction::Read, BytesPerSecond(50_000))),
        ("a dripping reply", Action::Drip(Direction::Reply, BytesPerSecond(500))),
        ("closed after three", Action::CloseAfter(3)),
        ("closed each time", Action::connection_close()),
        (
            "another cookie each time",
            Action::SetCookie { name: "node".to_owned(), value: CookieValue::Rotating },
        ),
        ("a warning of a full queue", Action::AnswerAfterIndex(warning(Code::QueueNearlyFull))),
        ("a warning of many acks", Action::AnswerAfterIndex(warning(Code::AckNearlyFull))),
    ];
    join_all(cases.map(async |(case, action)| check(case, world(action).await).await)).await;
}

fn warning(code: Code) -> Reply {
    Reply::hec(code)
}

#[tokio::test]
async fn a_queue_that_fills_and_drains_is_waited_for() {
    let world = World::start().await;
    let queue = |drain_bytes_per_second| {
        world.hec.set_queue(Some(InputQueueConfig { capacity_bytes: 40_000, drain_bytes_per_second }));
    };
    queue(0);
    let nozzle = world.nozzle(Source::Grpc, &[("HEC_BATCH_SIZE", "20")]).await;
    world.publish(0..500, |n| log(&app_guid(1), n)).await;
    let seen = || world.hec.snapshot();
    let is_full = || seen().code(Code::QueueFull) + seen().code(Code::ServerBusy) > 0;
    nozzle.until("it is full", |_| is_full()).await;
    queue(200_000);
    world.publish(500..1000, |n| log(&app_guid(1), n)).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_at_least(0..1000);
    // A request that fills the queue is taken in part, and sent again whole.
    assert!(verdict.duplicates() <= verdict.status().hec.counters.ambiguous_resends * 20);
}
