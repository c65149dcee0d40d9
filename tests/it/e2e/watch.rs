//! The watch stream: what the platform loses is told whatever EVENTS selects, and a platform that lives
//! is not taken for a dead one.

use std::time::Duration;

use firehose_nozzle::clock::UnixNanos;
use firehose_nozzle::nozzle::source::StreamState;
use firehose_nozzle::nozzle::status::Status;
use firehose_nozzle::proto::loggregator::envelope::Message;
use firehose_nozzle::proto::loggregator::{Envelope, Event};
use firehose_nozzle::sim::foundation::{End, Fault, SelfMetrics, StreamId, Target};
use tonic::Status as Refusal;

use super::world::data_streams;
use super::{DEADLINE, Nozzle, Source, World, app_guid, log};

/// The sources that have a watch stream.
const V2: [Source; 2] = [Source::Grpc, Source::Gateway];

/// Only logs: no counter and no event reaches the workers.
const LOGS: (&str, &str) = ("EVENTS", "LogMessage");

/// What is published, and what the platform loses of it.
const PUBLISHED: u64 = 400;
const LOST: u64 = 30;

/// A platform that tells of itself often.
async fn talkative(what: SelfMetrics) -> World {
    let change = |config: &mut firehose_nozzle::sim::foundation::FoundationConfig| {
        config.self_metrics = what;
        config.self_metrics_interval = Duration::from_millis(50);
    };
    World::with(change, |_| {}).await
}

/// The streams of the platform that share envelopes, or those that do not.
fn streams(world: &World, shared: bool) -> Vec<StreamId> {
    let streams = world.foundation.streams();
    streams.iter().filter(|stream| stream.shard.is_empty() != shared).map(|stream| stream.id).collect()
}

/// Lets the log proxy lose envelopes in front of one data stream.
fn lose(world: &World, envelopes: u64) {
    let stream = Target::Stream(streams(world, true)[0]);
    assert_eq!(world.foundation.inject(&stream, &Fault::DropNext(envelopes)), 1);
}

async fn told(nozzle: &Nozzle, place: &str, lost: u64) -> Status {
    nozzle.until(place, |status| status.upstream.get(place) >= Some(&lost)).await
}

#[tokio::test]
async fn what_the_platform_loses_is_told_whatever_is_selected() {
    for (source, events) in
        [(Source::Grpc, LOGS.1), (Source::Gateway, LOGS.1), (Source::Grpc, "LogMessage,CounterEvent")]
    {
        let case = format!("{source:?} {events}");
        let world = talkative(SelfMetrics::Losses).await;
        let nozzle = world.nozzle(source, &[("EVENTS", events)]).await;
        lose(&world, LOST);
        world.publish(0..PUBLISHED, |n| log(&app_guid(1), n)).await;
        told(&nozzle, "rlp_egress", LOST).await;
        world.settled(&nozzle).await;
        let verdict = world.finish(nozzle).await;

        assert_eq!(verdict.status().upstream, [("rlp_egress".to_owned(), LOST)].into(), "{case}");
        assert_eq!(verdict.missing(0..PUBLISHED).len() as u64, LOST, "{case}");
        let counters = verdict.by_member("sourcetype").get("cf:counterevent").copied().unwrap_or(0);
        assert_eq!(counters > 0, events != LOGS.1, "{case}");
        let received = verdict.ledger().received - counters;
        assert_eq!(received + LOST, PUBLISHED, "{case}");
        let watch = verdict.status().source.watch.clone().unwrap();
        assert!(watch.read.envelopes > 0 && watch.read.malformed == 0, "{case}: {watch:?}");
    }
}

#[tokio::test]
async fn every_instance_notices() {
    let world = talkative(SelfMetrics::Losses).await;
    let (one, two) = (world.nozzle(V2[0], &[LOGS]).await, world.nozzle(V2[1], &[LOGS]).await);
    lose(&world, LOST);
    world.publish(0..PUBLISHED, |n| log(&app_guid(1), n)).await;
    for nozzle in [&one, &two] {
        told(nozzle, "rlp_egress", LOST).await;
    }
    world.sent_all().await;
    let verdict = world.compare(vec![one.stop().await, two.stop().await]);
    let received: u64 = verdict.nozzles.iter().map(|nozzle| nozzle.ledger.received).sum();
    assert_eq!(received + LOST, PUBLISHED);
    for nozzle in &verdict.nozzles {
        assert_eq!(nozzle.upstream, [("rlp_egress".to_owned(), LOST)].into());
    }
}

#[tokio::test]
async fn a_slow_consumer_of_the_traffic_controller_is_told() {
    for source in V2 {
        for events in [LOGS.1, "LogMessage,Event"] {
            let world = World::start().await;
            let nozzle = world.nozzle(source, &[("EVENTS", events)]).await;
            let title = "Traffic Controller has disconnected slow consumer".to_owned();
            let body = "Remote Address: 10.0.0.1\nX-Forwarded-For: \nPath: /firehose/other\n".to_owned();
            world.foundation.publish(&[Envelope {
                timestamp: UnixNanos::now().0,
                source_id: "traffic_controller".to_owned(),
                message: Some(Message::Event(Event { title, body })),
                ..Envelope::default()
            }]);
            told(&nozzle, "slow_consumer", 1).await;
            world.settled(&nozzle).await;
            let verdict = world.finish(nozzle).await;
            assert_eq!(
                verdict.status().upstream,
                [("slow_consumer".to_owned(), 1)].into(),
                "{source:?} {events}"
            );
            assert_eq!(verdict.ledger().received, u64::from(events != LOGS.1), "{source:?} {events}");
        }
    }
}

#[tokio::test]
async fn a_broken_watch_stream_disturbs_nothing_and_catches_up() {
    for source in V2 {
        let world = talkative(SelfMetrics::All).await;
        let nozzle = world.nozzle(source, &[LOGS]).await;
        lose(&world, LOST);
        world.publish(0..PUBLISHED, |n| log(&app_guid(1), n)).await;
        told(&nozzle, "rlp_egress", LOST).await;

        // It is ended, refused a few times, and meanwhile more is lost.
        world.foundation.refuse_streams(5, &Refusal::resource_exhausted("no more streams"));
        let watch = Target::Stream(streams(&world, false)[0]);
        assert_eq!(world.foundation.inject(&watch, &Fault::End(End::Unavailable)), 1);
        let is_refused = |status: &Status| {
            let end = status.source.watch.as_ref().and_then(|watch| watch.stream.last_end.as_ref());
            end.is_some_and(|end| end.reason != "unavailable" || source == Source::Gateway)
        };
        nozzle.until("the watch stream is refused", is_refused).await;
        lose(&world, LOST);
        world.publish(PUBLISHED..2 * PUBLISHED, |n| log(&app_guid(1), n)).await;
        world.settled(&nozzle).await;
        let status = told(&nozzle, "rlp_egress", 2 * LOST).await;

        let of_watch = status.source.watch.clone().unwrap().stream;
        assert!(of_watch.connects >= 2 && of_watch.last_end.is_some(), "{source:?}: {of_watch:?}");
        assert_eq!(status.not_ready, [""; 0], "{source:?}");
        assert_eq!(status.source.ends, [].into(), "{source:?}: the others were left alone");
        let verdict = world.finish(nozzle).await;
        assert_eq!(verdict.status().upstream, [("rlp_egress".to_owned(), 2 * LOST)].into(), "{source:?}");
        assert_eq!(verdict.ledger().received + 2 * LOST, 2 * PUBLISHED, "{source:?}");
    }
}

#[tokio::test]
async fn a_quiet_selection_is_not_reconnected_while_the_platform_lives() {
    const IDLE: Duration = Duration::from_secs(5);
    let world = talkative(SelfMetrics::All).await;
    // Errors are logs of a kind, so nothing else wakes these streams either.
    let nozzle = world.nozzle(Source::Grpc, &[("EVENTS", "Error"), ("FIREHOSE_KEEP_ALIVE", "5s")]).await;
    nozzle
        .until("the watch stream has shown life", |status| {
            let lives = status.source.watch.as_ref().is_some_and(|watch| watch.read.envelopes > 0);
            lives && status.source.connected == 2
        })
        .await;
    // From here on life is known for longer than the test lasts.
    world.foundation.wait_connected(DEADLINE, |open| open.rlp == 2).await.unwrap();
    let connects =
        |status: &Status| status.source.streams.iter().map(|stream| stream.connects).collect::<Vec<_>>();
    let before = connects(&nozzle.status());
    assert_eq!(world.foundation.inject(&data_streams(), &Fault::End(End::Eof)), 2);
    let after: Vec<u64> = before.iter().map(|connects| connects + 1).collect();
    let status = nozzle
        .until("both are silent for longer than the time-out", |status| {
            let silent = IDLE.as_millis() as u64 * 3 / 2;
            let streams = &status.source.streams;
            streams.iter().all(|stream| stream.state == StreamState::Connected && stream.state_ms > silent)
        })
        .await;
    assert_eq!(connects(&status), after, "{:?}", status.source);
    world.finish(nozzle).await;
}

#[tokio::test]
async fn v1_has_no_watch_stream_and_sees_what_passes_by() {
    let world = talkative(SelfMetrics::Losses).await;
    let nozzle = world.nozzle(Source::Firehose, &[("EVENTS", "LogMessage,CounterEvent")]).await;
    lose_v1(&world, LOST);
    world.publish(0..PUBLISHED, |n| log(&app_guid(1), n)).await;
    let status = told(&nozzle, "router_egress", LOST).await;
    assert_eq!((status.upstream.len(), status.source.watch), (1, None));
    world.settled(&nozzle).await;
    world.finish(nozzle).await;
}

/// As [`lose`], in front of a websocket.
fn lose_v1(world: &World, envelopes: u64) {
    let stream = Target::Stream(world.foundation.streams()[0].id);
    assert_eq!(world.foundation.inject(&stream, &Fault::DropNext(envelopes)), 1);
}
