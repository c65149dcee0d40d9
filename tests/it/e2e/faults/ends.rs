//! Streams that end, and new ones that are not let in.

use bytes::Bytes;
use firehose_nozzle::sim::foundation::{End, Fault, Upstream};
use tonic::Status as Refusal;

use super::{Aftermath, Way, both_reopened, for_each, load, under_load};
use crate::e2e::world::data_streams;
use crate::e2e::{Source, World, app_guid, log};

async fn ends(way: Way, end: End, reason: &str) -> Aftermath {
    let end = Fault::End(end);
    under_load(way, &[], async |world, nozzle| {
        assert_eq!(world.foundation.inject(&data_streams(), &end), 2);
        both_reopened(world, nozzle, reason).await;
    })
    .await
}

#[tokio::test]
async fn streams_that_the_platform_ends() {
    let close = |code| End::Close { code, reason: "it is time".to_owned() };
    let cases = [
        (Way::Grpc, End::Eof, "completed"),
        (Way::Grpc, End::Unavailable, "unavailable"),
        (Way::Grpc, End::ResourceExhausted, "resource_exhausted"),
        (Way::GatewayHttp2, End::Eof, "unavailable"),
        (Way::GatewayHttp1, End::Eof, "unavailable"),
        (Way::GatewayHttp2, End::Unavailable, "unavailable"),
        (Way::GatewayHttp1, End::Unavailable, "unavailable"),
        (Way::GatewayHttp2, close(0), "closing"),
        (Way::GatewayHttp1, close(0), "closing"),
        (Way::Firehose, End::Eof, "closed"),
        (Way::Firehose, close(1000), "closed"),
        (Way::Firehose, close(1008), "closed"),
    ];
    for_each(cases, async |(way, end, reason)| {
        let case = format!("{way:?} {end:?}");
        ends(way, end, reason).await.assert_only_the_platform_lost(&case);
    })
    .await;
}

#[tokio::test]
async fn streams_that_are_cut() {
    // What was on its way is neither here nor there.
    ends(Way::Grpc, End::Cut, "lost").await.assert_only_unread_is_missing("gRPC");
    // A gateway's event is a batch, a websocket's frame an envelope; half of one is worth nothing.
    for (way, reason, envelopes) in [
        (Way::GatewayHttp2, "lost", 100),
        (Way::GatewayHttp1, "lost", 100),
        (Way::Firehose, "cut_in_frame", 1),
    ] {
        let cut = ends(way, End::Cut, reason).await;
        cut.assert_only_unread_is_missing(&format!("{way:?}"));
        let halves = cut.sent - cut.verdict.ledger().received;
        assert!(halves <= 2 * envelopes, "{way:?}: at most half of one in each stream: {halves}");
        assert!(cut.verdict.ledger().malformed.is_empty(), "{way:?}: {:?}", cut.verdict.ledger().malformed);
    }
}

#[tokio::test]
async fn a_body_that_ends_within_an_event() {
    for way in Way::GATEWAY {
        let world = way.world().await;
        let nozzle = world.nozzle(way.source(), &[("LOGGREGATOR_STREAMS", "1")]).await;
        world.publish(0..100, |n| log(&app_guid(1), n)).await;
        world.foundation.publish_text(Bytes::from_static(b"data: {\"batch\":[{\"timestamp\":\"17"));
        world.foundation.inject(&data_streams(), &Fault::End(End::Eof));
        let reopened = nozzle.until("it came back", |status| status.source.streams[0].connects == 2).await;
        let end = reopened.source.streams[0].last_end.clone().expect("it has ended");
        assert_eq!(end.reason, "unavailable");
        assert!(end.message.contains("in the middle of an event"), "{}", end.message);
        world.publish(100..200, |n| log(&app_guid(1), n)).await;
        nozzle.until("all are delivered", |status| status.ledger.delivered == 200).await;
        let verdict = world.finish(nozzle).await;
        verdict.assert_exactly(0..200);
        assert!(verdict.ledger().malformed.is_empty(), "half an event is none: {}", verdict.ledger());
    }
}

#[tokio::test]
async fn a_connection_that_is_to_go_away_brings_its_stream_to_the_end() {
    for way in [Way::Grpc, Way::GatewayHttp2, Way::GatewayHttp1] {
        let case = format!("{way:?}");
        let aftermath = under_load(way, &[], async |world, _| {
            assert_eq!(world.foundation.inject(&data_streams(), &Fault::GoAway), 2);
        })
        .await;
        aftermath.assert_nothing_lost(&case);
        aftermath.assert_never_reconnected(&case);
    }
}

#[tokio::test]
async fn a_platform_that_refuses_streams_is_asked_again() {
    // To a client of the gateway it is a body that ends at once, as the stream before did.
    let cases = [
        (Way::Grpc, "completed", "resource_exhausted", 3),
        (Way::GatewayHttp2, "unavailable", "unavailable", 5),
        (Way::GatewayHttp1, "unavailable", "unavailable", 5),
    ];
    for_each(cases, async |(way, ended, refused, refusals)| {
        let aftermath = under_load(way, &[], async |world, nozzle| {
            let full =
                Refusal::resource_exhausted("unable to create stream, max egress streams reached: 500");
            world.foundation.refuse_streams(3, &full);
            world.foundation.inject(&data_streams(), &Fault::End(End::Eof));
            both_reopened(world, nozzle, ended).await;
            let all = |count: Option<&u64>| count == Some(&refusals);
            nozzle.until("all were refused", |status| all(status.source.ends.get(refused))).await;
        })
        .await;
        aftermath.assert_only_the_platform_lost(&format!("{way:?}"));
    })
    .await;
}

#[tokio::test]
async fn a_traffic_controller_without_a_slot_is_asked_again() {
    let world = World::with(|config| config.websockets_max = 1, |_| {}).await;
    let nozzle = world.short_nozzle(Source::Firehose, &[]).await;
    let refused = nozzle
        .until("one stream is open, the other one refused", |status| {
            status.source.connected == 1 && status.source.ends.get("unavailable").is_some_and(|n| *n >= 2)
        })
        .await;
    let ends = refused.source.streams.iter().filter_map(|stream| stream.last_end.as_ref());
    let said: Vec<_> = ends.map(|end| end.message.clone()).collect();
    assert!(said.iter().all(|said| said.contains("503")) && said.len() == 1, "{said:?}");
    world.publish(0..500, |n| log(&app_guid(1), n)).await;
    world.settled(&nozzle).await;
    world.finish(nozzle).await.assert_exactly(0..500);
}

#[tokio::test]
async fn a_gateway_without_its_log_proxy_is_asked_again() {
    for way in Way::GATEWAY {
        let world = way.world().await;
        let nozzle = world.nozzle(way.source(), &[]).await;
        let aftermath = load(&world, nozzle, async |world, nozzle| {
            world.foundation.set_gateway_upstream(Upstream::Away);
            let status = nozzle
                .until("refused for a while", |status| {
                    status.source.ends.get("unavailable").is_some_and(|n| *n >= 6)
                })
                .await;
            assert_eq!((status.source.connected, status.source.gaps), (0, 1));
            let end = status.source.streams[0].last_end.clone().expect("it has ended");
            assert!(end.message.contains("503 \"streaming is temporarily unavailable\""), "{}", end.message);
            assert!(status.not_ready.iter().any(|reason| reason.contains("reverse log proxy")));
            world.foundation.set_gateway_upstream(Upstream::Reachable);
            both_reopened(world, nozzle, "unavailable").await;
            let source = nozzle.status().source;
            assert!(source.gaps == 1 && source.gap_ms > 0, "it is known that nobody read: {source:?}");
        })
        .await;
        aftermath.assert_only_the_platform_lost(&format!("{way:?}"));
        assert!(aftermath.sent < aftermath.published, "nobody was there to read");
    }
}
