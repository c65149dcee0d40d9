//! The end of a nozzle: what was read is delivered, and what cannot be is counted, in time.

use firehose_nozzle::hec::GateState;
use firehose_nozzle::nozzle::status::Status;
use firehose_nozzle::sim::foundation::{End, Fault, Target, TokenFault};
use firehose_nozzle::sim::hec::{Action, Code, Endpoint, Reply, Rule};
use firehose_nozzle::sim::load::{Limit, Load, LoadConfig, Mix};
use tokio_util::sync::CancellationToken;

use super::{DEADLINE, Source, World, app_guid, log, long_log};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_full_load_all_that_was_read_is_delivered() {
    for source in Source::ALL {
        let world = World::start().await;
        // More than a slow machine can pile up in this time, so that nothing has to be dropped.
        let room = [("QUEUE_WHEN_FULL", "block"), ("QUEUE_MAX_BYTES", "256MiB")];
        let settings = [&room[..], &[("HEC_WORKERS", "3")]].concat();
        let nozzle = world.nozzle(source, &settings).await;
        let mix = if source == Source::Grpc { Mix::default() } else { Mix::convertible() };
        let limit = Limit::Never;
        let load = Load::new(LoadConfig { events_per_second: 5000, mix, limit, ..LoadConfig::default() });
        let over = CancellationToken::new();
        let script = async {
            world.hec.wait_until(DEADLINE, |hec| hec.ledger.events > 500).await.unwrap();
            let ended = nozzle.stop().await;
            over.cancel();
            ended
        };
        let (_, ended) = tokio::join!(load.run(&world.foundation, &over), script);
        let sent = world.sent();
        let verdict = world.compare(vec![ended]);

        let ledger = verdict.ledger();
        assert_eq!((ledger.lost(), ledger.delivered), (0, ledger.received), "{ledger}");
        assert!(ledger.received <= sent, "{source:?}");
        assert_eq!(verdict.duplicates(), 0);
        if source == Source::Firehose {
            let frames: u64 = verdict.status().source.streams.iter().map(|stream| stream.frames).sum();
            assert_eq!(ledger.received, frames, "each frame that was read is an envelope");
        }
    }
}

/// What keeps Splunk from taking anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    Silent,
    Busy,
    Refusing,
}

impl Away {
    const ALL: [Self; 3] = [Self::Silent, Self::Busy, Self::Refusing];

    fn begin(self, world: &World) {
        let answer = |code| {
            world.hec.add_rule(Rule::on(Endpoint::Event, Action::Answer(Reply::hec(code))));
        };
        match self {
            Self::Silent => world.hec.pause(),
            Self::Busy => answer(Code::ServerBusy),
            Self::Refusing => answer(Code::InvalidToken),
        }
    }
}

#[tokio::test]
async fn with_splunk_away_it_ends_in_time_and_counts_what_is_left() {
    for away in Away::ALL {
        let world = World::start().await;
        away.begin(&world);
        let settings = [("SHUTDOWN_TIMEOUT", "1s"), ("HEC_BATCH_SIZE", "20")];
        let nozzle = world.nozzle(Source::Grpc, &settings).await;
        world.publish(0..500, |n| log(&app_guid(1), n)).await;
        nozzle.until("everything is read", |status| status.ledger.received == 500).await;
        let verdict = world.finish(nozzle).await;
        assert_eq!(verdict.ledger().delivered, 0, "{away:?}");
        assert_eq!(verdict.ledger().dropped, [("shutdown".to_owned(), 500)].into(), "{away:?}");
        assert_eq!(verdict.records.len(), 0, "{away:?}");
    }
}

#[tokio::test]
async fn with_everything_full_and_splunk_away_it_ends_in_time_and_counts_what_is_left() {
    const LINES: u64 = 1500;
    let world = World::start().await;
    world.hec.pause();
    let settings = [
        ("SHUTDOWN_TIMEOUT", "1s"),
        ("QUEUE_WHEN_FULL", "block"),
        ("DELIVERY_MAX_BYTES", "4MiB"),
        ("HEC_BATCH_BYTES", "128KiB"),
    ];
    let nozzle = world.nozzle(Source::Grpc, &settings).await;
    world.publish(0..LINES, |n| long_log(&app_guid(1), n, 8000)).await;
    world.sent_all().await;
    // Frames in the queue, batches in the workers' hands, in the pool, and on the way.
    let stuck = |status: &Status| status.queue.groups > 0 && status.delivery.waiting_batches > 0;
    nozzle.until("the workers wait for room", stuck).await;
    let verdict = world.finish(nozzle).await;
    assert_eq!(verdict.ledger().received, LINES);
    assert_eq!(verdict.ledger().dropped, [("shutdown".to_owned(), LINES)].into());
}

#[tokio::test]
async fn splunk_may_come_back_while_it_ends() {
    let world = World::start().await;
    world.hec.pause();
    let settings = [("HEC_BATCH_SIZE", "20")];
    let nozzle = world.nozzle(Source::Grpc, &settings).await;
    world.publish(0..500, |n| log(&app_guid(1), n)).await;
    nozzle.until("everything is read", |status| status.ledger.received == 500).await;
    nozzle.begin_to_stop();
    world.foundation.wait_connected(DEADLINE, |open| open.rlp == 0).await.unwrap();
    world.hec.resume();
    world.finish(nozzle).await.assert_exactly(0..500);
}

#[tokio::test]
async fn a_splunk_that_was_mended_before_the_end_is_tried_at_once() {
    let world = World::start().await;
    Away::Refusing.begin(&world);
    // Less than the pause of a hold.
    let nozzle = world.nozzle(Source::Grpc, &[("SHUTDOWN_TIMEOUT", "4s")]).await;
    world.publish(0..50, |n| log(&app_guid(1), n)).await;
    let held =
        |status: &Status| matches!(status.hec.gate, GateState::Held { .. }) && status.ledger.batched == 50;
    nozzle.until("everything is held", held).await;
    world.hec.clear_rules();
    world.finish(nozzle).await.assert_exactly(0..50);
}

#[tokio::test]
async fn open_batches_do_not_wait_for_their_time() {
    let world = World::start().await;
    let settings = [("FLUSH_INTERVAL", "1h")];
    let nozzle = world.nozzle(Source::Grpc, &settings).await;
    world.publish(0..100, |n| log(&app_guid(1), n)).await;
    nozzle.until("everything is in a batch", |status| status.ledger.batched == 100).await;
    assert_eq!(world.hec.snapshot().ledger.events, 0);
    world.finish(nozzle).await.assert_exactly(0..100);
}

#[tokio::test]
async fn without_any_stream_it_ends_as_well() {
    for source in Source::ALL {
        let world = World::start().await;
        let nozzle = world.nozzle(source, &[]).await;
        world.publish(0..100, |n| log(&app_guid(1), n)).await;
        world.settled(&nozzle).await;
        // From here on every connection is refused.
        world.foundation.refuse_streams(100_000, &tonic::Status::unavailable("not here"));
        world.foundation.uaa().revoke_all();
        world.foundation.uaa().fail_next(100_000, TokenFault::Unauthorized);
        world.foundation.inject(&Target::All, &Fault::End(End::Eof));
        let refused = |status: &Status| {
            let ends = &status.source.ends;
            status.source.connected == 0 && (ends.contains_key("unavailable") || ends.contains_key("token"))
        };
        let status = nozzle.until("it is refused", refused).await;
        assert!(
            status.not_ready.iter().any(|reason| reason.contains("Loggregator")),
            "{:?}",
            status.not_ready
        );
        world.finish(nozzle).await.assert_exactly(0..100);
    }
}
