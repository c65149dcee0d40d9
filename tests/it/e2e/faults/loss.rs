//! What the platform loses, repeats, or cannot send; and the largest of what it can.

use std::time::Duration;

use firehose_nozzle::proto::loggregator::envelope::Message;
use firehose_nozzle::proto::loggregator::{Envelope, Event, Gauge, Log, Timer};
use firehose_nozzle::sim::foundation::Fault;

use super::{Way, more_events, under_load};
use crate::e2e::world::data_streams;
use crate::e2e::{app_guid, log, long_log};

#[tokio::test]
async fn what_runs_over_is_lost_and_known() {
    const BURST: u64 = 6000;
    for (way, place) in [
        (Way::Grpc, "rlp_egress"),
        (Way::GatewayHttp2, "rlp_egress"),
        (Way::GatewayHttp1, "rlp_egress"),
        (Way::Firehose, "router_egress"),
    ] {
        let world = way
            .world_with(|config| {
                (config.rlp_buffer, config.websocket_buffer) = (1000, 1000);
                config.self_metrics_interval = Duration::from_millis(100);
            })
            .await;
        let nozzle = world.nozzle(way.source(), &[]).await;
        // All at once: nobody can read meanwhile.
        let burst: Vec<_> = (0..BURST).map(|n| log(&app_guid(1), n)).collect();
        world.foundation.publish(&burst);
        let totals = world.foundation.totals();
        let lost = totals.rlp_dropped + totals.v1_dropped;
        assert!(lost > 0, "{way:?}");
        if way == Way::Firehose {
            assert_eq!(lost % 1000, 0, "a ring that is lapped loses all it holds");
        }
        let known =
            nozzle.until("the loss is known", |status| status.upstream.get(place) == Some(&lost)).await;
        assert_eq!(known.upstream.len(), 1, "{way:?}: {:?}", known.upstream);
        world.settled(&nozzle).await;
        let sent = world.sent();
        let verdict = world.finish(nozzle).await;
        let ledger = verdict.ledger();
        assert_eq!((ledger.received, ledger.delivered, ledger.lost()), (sent, sent, 0), "{way:?}: {ledger}");
        assert_eq!(verdict.missing(0..BURST).len() as u64, lost, "{way:?}");
        assert_eq!(verdict.duplicates(), 0, "{way:?}");
    }
}

#[tokio::test]
async fn what_the_platform_drops_is_missing_and_nothing_else() {
    for way in Way::ALL {
        let dropped = under_load(way, &[], async |world, _| {
            world.foundation.inject(&data_streams(), &Fault::DropNext(50));
            more_events(world, 200).await;
        })
        .await;
        dropped.assert_only_the_platform_lost(&format!("{way:?}"));
        assert_eq!(dropped.published - dropped.sent, 100, "{way:?}");
    }
}

#[tokio::test]
async fn what_the_platform_repeats_is_passed_on_as_it_is() {
    for way in Way::ALL {
        let repeated = under_load(way, &[], async |world, _| {
            world.foundation.inject(&data_streams(), &Fault::DuplicateNext(20));
            more_events(world, 200).await;
        })
        .await;
        assert_eq!(repeated.verdict.ledger().received, repeated.sent, "{way:?}");
        assert_eq!(repeated.verdict.duplicates(), 40, "{way:?}: no more than the platform made");
        assert!(repeated.verdict.missing(0..repeated.published).is_empty(), "{way:?}");
    }
}

#[tokio::test]
async fn the_largest_batches_arrive() {
    /// The longest line of a log that the platform passes on, about.
    const LINE: usize = 61_440;
    // After a single one, two batches of the most envelopes there are.
    const LINES: u64 = 201;
    for (way, mb) in [(Way::Grpc, 12), (Way::GatewayHttp2, 16), (Way::GatewayHttp1, 16), (Way::Firehose, 12)]
    {
        let world = way.world().await;
        let nozzle = world.nozzle(way.source(), &[("LOGGREGATOR_STREAMS", "1")]).await;
        let lines: Vec<_> = (0..LINES).map(|n| long_log(&app_guid(1), n, LINE)).collect();
        world.foundation.publish(&lines);
        world.settled(&nozzle).await;
        let verdict = world.finish(nozzle).await;
        verdict.assert_exactly(0..LINES);
        let stream = &verdict.status().source.streams[0];
        assert_eq!(stream.connects, 1, "{way:?}");
        // A batch is of a single one when the one before took its time; the others are as large as can be.
        let frames = if way == Way::Firehose { LINES..=LINES } else { 3..=LINES / 4 };
        assert!(frames.contains(&stream.frames), "{way:?}: {} frames", stream.frames);
        assert!(stream.bytes > mb * 1_000_000, "{way:?}: {} bytes", stream.bytes);
        assert!(verdict.records.iter().all(|record| record.envelope.len() > LINE), "{way:?}: none is cut");
    }
}

#[tokio::test]
async fn what_has_no_v1_form_is_not_sent_and_not_missed() {
    const LOGS: u64 = 100;
    let envelope = |message| Envelope { message: Some(message), ..log(&app_guid(1), 0) };
    let only_v2 = [
        envelope(Message::Event(Event { title: "app crashed".to_owned(), body: "out of memory".to_owned() })),
        envelope(Message::Log(Log::default())),
        envelope(Message::Timer(Timer { name: "query".to_owned(), start: 1, stop: 2 })),
        envelope(Message::Gauge(Gauge::default())),
    ];
    for way in Way::ALL {
        let world = way.world().await;
        let nozzle = world.nozzle(way.source(), &[]).await;
        world.publish(0..LOGS / 2, |n| log(&app_guid(1), n)).await;
        world.foundation.publish(&only_v2);
        world.publish(LOGS / 2..LOGS, |n| log(&app_guid(1), n)).await;
        world.settled(&nozzle).await;
        let verdict = world.finish(nozzle).await;
        verdict.assert_exactly(0..LOGS);
        let ledger = verdict.ledger();
        let filtered = ledger.filtered.get("empty_gauge").copied();
        let expected = if way == Way::Firehose { (LOGS, LOGS, None) } else { (LOGS + 4, LOGS + 3, Some(1)) };
        assert_eq!((ledger.received, ledger.delivered, filtered), expected, "{way:?}: {ledger}");
    }
}
