//! Streams that stay open and say nothing, or not what they are for.

use std::time::Duration;

use firehose_nozzle::nozzle::status::Status;
use firehose_nozzle::sim::foundation::{Fault, FoundationConfig, StreamStats};

use super::{Way, both_reopened, for_each, load, under_load};
use crate::e2e::world::{data_streams, wait_for};
use crate::e2e::{app_guid, log};

#[tokio::test]
async fn streams_that_stall_are_replaced() {
    for_each(Way::ALL, async |way| {
        let aftermath = under_load(way, &[("FIREHOSE_KEEP_ALIVE", "2s")], async |world, nozzle| {
            assert_eq!(world.foundation.inject(&data_streams(), &Fault::Stall), 2);
            both_reopened(world, nozzle, "idle").await;
        })
        .await;
        aftermath.assert_only_unread_is_missing(&format!("{way:?}"));
    })
    .await;
}

#[tokio::test]
async fn what_is_late_is_not_lost() {
    let heartbeats_only = Way::GATEWAY.map(|way| (way, Fault::Starve));
    let late = Way::ALL.map(|way| (way, Fault::Stall));
    for_each(late.into_iter().chain(heartbeats_only), async |(way, fault)| {
        // Room for all that is held back, on the slowest machine.
        let change = |config: &mut FoundationConfig| {
            (config.rlp_buffer, config.websocket_buffer) = (1_000_000, 1_000_000);
            config.gateway.heartbeat_interval = Duration::from_millis(50);
        };
        let world = way.world_with(change).await;
        let nozzle = world.nozzle(way.source(), &[]).await;
        let case = format!("{way:?} {fault:?}");
        let aftermath = load(&world, nozzle, async |world, _| {
            assert_eq!(world.foundation.inject(&data_streams(), &fault), 2);
            // Not the watch stream, which has no shard id: little comes by it.
            let shared = |stream: &StreamStats| !stream.shard.is_empty();
            let streams = || world.foundation.streams().into_iter().filter(shared).collect::<Vec<_>>();
            let late = || streams().iter().all(|stream| stream.buffered >= 250).then_some(());
            wait_for("much is held back", late, || format!("{:?}", streams())).await;
            assert_eq!(world.foundation.inject(&data_streams(), &Fault::Resume), 2);
        })
        .await;
        aftermath.assert_nothing_lost(&case);
        aftermath.assert_never_reconnected(&case);
    })
    .await;
}

#[tokio::test]
async fn signs_of_life_keep_a_silent_stream_open() {
    const IDLE: Duration = Duration::from_secs(5);
    for_each(Way::TOKENS, async |way| {
        let world = way
            .world_with(|config| {
                config.gateway.heartbeat_interval = IDLE / 10;
                config.patience.ping_interval = IDLE / 10;
            })
            .await;
        // The head of a gateway's answer comes before any data: it counts as open.
        let nozzle = world.nozzle(way.source(), &[("FIREHOSE_KEEP_ALIVE", "5s")]).await;
        let silent = |status: &Status| {
            let open = IDLE.as_millis() as u64 * 3 / 2;
            status.source.streams.iter().all(|stream| stream.state_ms >= open && stream.frames == 0)
        };
        let status = nozzle.until("silent for longer than the time-out", silent).await;
        let connects: u64 = status.source.streams.iter().map(|stream| stream.connects).sum();
        assert_eq!((connects, status.source.gaps), (2, 0), "{way:?}: {:?}", status.source);
        world.publish(0..100, |n| log(&app_guid(1), n)).await;
        world.settled(&nozzle).await;
        world.finish(nozzle).await.assert_exactly(0..100);
    })
    .await;
}
