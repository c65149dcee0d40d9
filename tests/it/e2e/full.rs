//! More than fits: what is lost is lost where the settings say, counted exactly, and memory stays
//! within its bounds.

use firehose_nozzle::nozzle::status::Status;
use firehose_nozzle::sim::hec::{Action, Code, Endpoint, Reply, Rule};

use super::{Nozzle, Source, World, app_guid, long_log};

/// Bytes of a log line; the lines of a test are several times what fits.
const LINE: usize = 8000;
const LINES: u64 = 1500;

const WORKERS: usize = 2;
const BATCH: usize = 128 << 10;
const DELIVERY: usize = 4 << 20;
const QUEUE: usize = 1 << 20;

const SETTINGS: [(&str, &str); 3] =
    [("HEC_WORKERS", "2"), ("HEC_BATCH_BYTES", "128KiB"), ("DELIVERY_MAX_BYTES", "4MiB")];

/// Publishes all lines while Splunk takes none, and checks the bounds all the time.
async fn overfill(world: &World, nozzle: &Nozzle) {
    world.hec.pause();
    for from in (0..LINES).step_by(100) {
        world.publish(from..from + 100, |n| long_log(&app_guid(1), n, LINE)).await;
        check_memory(&nozzle.status());
    }
    world.sent_all().await;
}

fn check_memory(status: &Status) {
    let (queue, delivery) = (&status.queue, &status.delivery);
    assert!(queue.high_water_bytes <= queue.capacity_bytes, "{queue:?}");
    assert!(delivery.high_water_bytes <= delivery.capacity_bytes, "{delivery:?}");
    assert_eq!(delivery.capacity_bytes, DELIVERY);
    // Found without believing the pools: an event is at least as large as its line, and what is
    // not in the pool is in a worker's open batch or its hands.
    let held = usize::try_from(status.ledger.batched).unwrap() * LINE;
    let group = 2 << 20;
    let most = DELIVERY + WORKERS * (BATCH + LINE + group);
    assert!(held <= most, "{held} bytes in batches, at most {most}");
}

#[tokio::test]
async fn a_full_delivery_pool_drops_the_newest_and_counts_them() {
    let world = World::start().await;
    let settings = [&SETTINGS[..], &[("QUEUE_WHEN_FULL", "drop_newest")]].concat();
    let nozzle = world.nozzle(Source::Grpc, &settings).await;
    overfill(&world, &nozzle).await;
    let full = nozzle.until("everything is decoded", |status| status.ledger.received == LINES).await;
    check_memory(&full);
    assert_eq!(full.ledger.delivered, 0);
    world.hec.resume();
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;

    let dropped = LINES - verdict.ledger().delivered;
    assert!(0 < dropped && dropped < LINES, "{dropped} dropped");
    assert_eq!(verdict.ledger().dropped, [("delivery_full".to_owned(), dropped)].into());
    assert_eq!(verdict.missing(0..LINES).len() as u64, dropped);
    assert_eq!(verdict.duplicates(), 0);
}

#[tokio::test]
async fn a_full_delivery_pool_may_drop_the_oldest() {
    let world = World::start().await;
    // One stream and one worker, so that lines come in order.
    let in_order = [("QUEUE_WHEN_FULL", "drop_oldest"), ("HEC_WORKERS", "1"), ("LOGGREGATOR_STREAMS", "1")];
    let settings = [&SETTINGS[..], &in_order].concat();
    let nozzle = world.nozzle(Source::Grpc, &settings).await;
    overfill(&world, &nozzle).await;
    let full = nozzle.until("everything is decoded", |status| status.ledger.received == LINES).await;
    check_memory(&full);
    world.hec.resume();
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    let missing = verdict.missing(0..LINES);
    assert_eq!(verdict.ledger().dropped, [("delivery_full".to_owned(), missing.len() as u64)].into());
    assert_eq!(verdict.duplicates(), 0);
    // What senders had in their hands when the pool became full is older, and is there.
    let is_lost = |number: u64| missing.contains(&number);
    let (first, last) = (*missing.first().unwrap(), *missing.last().unwrap());
    assert!((first..=last).all(is_lost), "the oldest that waited are lost without a gap: {missing:?}");
    assert!(last < LINES - 1, "what came last is there");
}

/// Each twenty-first line is that of a quiet app, of which there are seven.
fn neighbours(n: u64) -> u64 {
    if n.is_multiple_of(21) { 1 + n / 21 % 7 } else { 100 }
}

#[tokio::test]
async fn one_noisy_app_cannot_push_out_the_quiet_ones() {
    let world = World::start().await;
    let nozzle = world.nozzle(Source::Grpc, &SETTINGS).await;
    world.hec.pause();
    for from in (0..LINES).step_by(100) {
        world.publish(from..from + 100, |n| long_log(&app_guid(neighbours(n)), n, LINE)).await;
        check_memory(&nozzle.status());
    }
    world.sent_all().await;
    let full = nozzle.until("everything is decoded", |status| status.ledger.received == LINES).await;
    check_memory(&full);
    let noisy = &full.delivery.shed[0];
    assert_eq!(noisy.app, app_guid(100), "{:?}", full.delivery.shed);
    world.hec.resume();
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;

    let (ledger, missing) = (verdict.ledger(), verdict.missing(0..LINES));
    assert!(missing.iter().all(|number| neighbours(*number) == 100), "a quiet app lost lines");
    let dropped = missing.len() as u64;
    assert!(dropped > LINES / 2, "the noisy app does not fit: {dropped}");
    assert_eq!(ledger.dropped, [("delivery_full".to_owned(), dropped)].into());
    assert_eq!((ledger.received, ledger.delivered), (LINES, LINES - dropped));
    assert_eq!(verdict.duplicates(), 0);
    // All was told while it was lost.
    assert_eq!(noisy.events, dropped);
}

#[tokio::test]
async fn a_long_outage_costs_what_does_not_fit_and_no_memory() {
    let world = World::start().await;
    let nozzle = world.nozzle(Source::Grpc, &SETTINGS).await;
    let busy = Reply::hec(Code::ServerBusy).with_retry_after("0");
    let rule = world.hec.add_rule(Rule::on(Endpoint::Event, Action::Answer(busy)));
    // Ten times what the pool holds, in ten rounds.
    let mut most = Vec::new();
    for round in 0..10 {
        let from = round * LINES / 3;
        world.publish(from..from + LINES / 3, |n| long_log(&app_guid(n % 10), n, LINE)).await;
        world.sent_all().await;
        let sent = world.sent();
        let status = nozzle.until("it is decoded", |status| status.ledger.received == sent).await;
        check_memory(&status);
        most.push(status.ledger.buffered());
    }
    // In lines, what the pool has room for and what workers may have in hand.
    let room = (DELIVERY + WORKERS * (BATCH + LINE)) / LINE;
    assert!(most.iter().all(|held| *held <= room as i64), "what is held does not grow: {most:?}");
    assert!(world.hec.remove_rule(rule).unwrap() > 0);
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    let missing = verdict.missing(0..10 * LINES / 3).len() as u64;
    assert_eq!(verdict.ledger().dropped, [("delivery_full".to_owned(), missing)].into());
    assert_eq!(verdict.ledger().delivered, 10 * LINES / 3 - missing);
    assert_eq!(verdict.duplicates(), 0);
}

#[tokio::test]
async fn a_full_delivery_pool_may_block_and_lose_nothing() {
    let world = World::start().await;
    let settings = [&SETTINGS[..], &[("QUEUE_WHEN_FULL", "block")]].concat();
    let nozzle = world.nozzle(Source::Grpc, &settings).await;
    overfill(&world, &nozzle).await;
    // The workers stand: frames wait although nothing hinders their decoding.
    let blocked = |status: &Status| {
        status.queue.groups > 0 && status.delivery.bytes + 2 * BATCH > status.delivery.capacity_bytes
    };
    nozzle.until("the workers wait for room", blocked).await;
    world.hec.resume();
    world.settled(&nozzle).await;
    world.finish(nozzle).await.assert_exactly(0..LINES);
}

#[tokio::test]
async fn a_full_queue_drops_whole_frames_and_counts_their_envelopes() {
    for source in Source::ALL {
        let world = World::start().await;
        let settings = [&SETTINGS[..], &[("QUEUE_WHEN_FULL", "block"), ("QUEUE_MAX_BYTES", "1MiB")]].concat();
        let nozzle = world.nozzle(source, &settings).await;
        overfill(&world, &nozzle).await;
        assert_eq!(nozzle.status().queue.capacity_bytes, QUEUE);
        // The reader has not waited for anybody: it took everything while nothing was decoded.
        let dropping = |status: &Status| status.ledger.dropped.contains_key("queue_full");
        nozzle.until("the queue is full", dropping).await;
        world.hec.resume();
        world.settled(&nozzle).await;
        let verdict = world.finish(nozzle).await;

        let ledger = verdict.ledger();
        assert_eq!(ledger.received, LINES);
        let dropped = LINES - ledger.delivered;
        assert!(dropped > 0 && ledger.delivered > 0, "{ledger}");
        assert_eq!(ledger.dropped, [("queue_full".to_owned(), dropped)].into());
        assert_eq!(verdict.missing(0..LINES).len() as u64, dropped);
        assert_eq!(verdict.duplicates(), 0);
    }
}
