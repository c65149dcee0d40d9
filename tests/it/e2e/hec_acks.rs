//! Indexers acknowledge late, never, or to nobody: what is lost, what comes twice, and what the ledger says.
//!
//! Time is scaled: what takes seconds and minutes takes milliseconds here, but for what a slow machine must not
//! outlast.

use std::time::Duration;

use firehose_nozzle::hec::{AckTiming, GateState};
use firehose_nozzle::nozzle::config::Config;
use firehose_nozzle::nozzle::status::Status;
use firehose_nozzle::sim::hec::{
    AckConfig, AckFault, Action, Code, Endpoint, HecServerConfig, InputQueueConfig, Reply, Rule, Token,
};
use http::StatusCode;

use super::verdict::Verdict;
use super::world::{HEC_TOKEN, Nozzle, token};
use super::{DEADLINE, Source, World, app_guid, log};

/// Events of one request.
const BATCH: u64 = 20;

/// An hour of the server's clock, which tests put forward.
pub(super) const HOUR: Duration = Duration::from_hours(1);

/// More than an ack takes here, whatever else the machine has to do; less than anybody waits for.
pub(super) const SOON: Duration = Duration::from_secs(3);

pub(super) async fn world(change: impl FnOnce(&mut HecServerConfig)) -> World {
    World::with(
        |_| {},
        |config| {
            config.tokens = vec![token().with_acks()];
            config.acks.delay = Duration::from_millis(30);
            // Tests put the clock forward to get acks, not to have them forgotten.
            config.acks.idle = HOUR * 1000;
            change(config);
        },
    )
    .await
}

fn configure(world: &World, timeout: Duration, settings: &[(&str, &str)]) -> Config {
    let batch = BATCH.to_string();
    let usual = [("HEC_BATCH_SIZE", batch.as_str()), ("LOGGREGATOR_STREAMS", "1")];
    let mut config = world.configure(Source::Grpc, &[&usual, settings].concat());
    config.hec.acks.timeout = timeout;
    config.hec.acks.timing = quick_polls();
    config
}

/// Polls come fast. What is counted together, and how long acks are left alone, is as it is, so that no test outlasts it.
pub(super) fn quick_polls() -> AckTiming {
    let AckTiming { breaks_within, distrust, distrust_max, .. } = AckTiming::default();
    AckTiming { breaks_within, distrust, distrust_max, ..AckTiming::default().faster(50) }
}

async fn nozzle(world: &World, timeout: Duration, settings: &[(&str, &str)]) -> Nozzle {
    Box::pin(world.connected_nozzle(configure(world, timeout, settings))).await
}

async fn publish(world: &World, numbers: std::ops::Range<u64>) {
    world.publish(numbers, |n| log(&app_guid(1), n)).await;
}

/// Nothing is lost, and no more came twice than was sent again.
fn assert_bound(verdict: &Verdict, numbers: std::ops::Range<u64>) {
    verdict.assert_at_least(numbers);
    let hec = &verdict.status().hec;
    let resent = (hec.acks.counters.batches_resent + hec.counters.ambiguous_resends) * BATCH;
    assert!(verdict.duplicates() <= resent, "{} came twice, {resent} were sent again", verdict.duplicates());
}

pub(super) fn indexed(world: &World) -> u64 {
    world.hec.snapshot().ledger.events
}

/// Splunk has so many events, no reply is under way, and acks are waited for.
fn is_pending(world: &World, status: &Status, events: u64) -> bool {
    let requests = world.hec.snapshot().code(Code::Success) as usize;
    indexed(world) == events && status.hec.acks.pending_batches == requests
}

#[tokio::test]
async fn no_sender_waits_for_an_ack_and_nothing_is_delivered_before_it() {
    let world = world(|config| config.acks.delay = HOUR).await;
    let nozzle = nozzle(&world, HOUR, &[]).await;
    // Twice as many batches as there are senders.
    let all = 128 * BATCH;
    publish(&world, 0..all).await;
    let taken = |status: &Status| indexed(&world) == all && status.delivery.waiting_batches == 0;
    nozzle.until("Splunk has all of it", taken).await;
    let pending = |status: &Status| status.hec.acks.pending_batches == status.delivery.awaiting_acks;
    let status = nozzle.until("it is pending", pending).await;
    assert_eq!((status.ledger.delivered, status.ledger.batched), (0, all as i64));
    assert!(status.hec.acks.pending_batches >= 128 && status.delivery.bytes > status.hec.acks.pending_bytes);
    assert!(status.balanced && status.not_ready.is_empty());
    world.hec.advance(HOUR);
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..all);
    assert_eq!(verdict.ledger().delivered, all);
    assert_eq!(verdict.status().hec.acks.counters.epoch_breaks, 0);
}

#[tokio::test]
async fn a_batch_that_is_never_acknowledged_is_sent_again_and_counted() {
    let world = world(|_| {}).await;
    world.hec.add_rule(Rule::on(Endpoint::Event, Action::Ack(AckFault::Never)).requests(5..8));
    let nozzle = nozzle(&world, SOON, &[]).await;
    publish(&world, 0..400).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    assert_bound(&verdict, 0..400);
    let acks = &verdict.status().hec.acks.counters;
    assert!(acks.timeouts >= 3, "{acks:?}");
    assert!(verdict.duplicates() > 0);
    assert_eq!((verdict.ledger().delivered, verdict.ledger().unconfirmed), (400, 0));
}

#[tokio::test]
async fn where_acks_never_come_it_is_unconfirmed_after_a_while() {
    let world = world(|config| config.acks.delay = HOUR * 100).await;
    let nozzle = nozzle(&world, SOON, &[]).await;
    publish(&world, 0..600).await;
    world.settled(&nozzle).await;
    let status = nozzle.status();
    assert_eq!(status.hec.acks.endpoints_distrusted, 1);
    assert!(status.hec.acks.hint.is_some() && status.not_ready.is_empty());
    let before = indexed(&world);
    publish(&world, 600..800).await;
    world.settled(&nozzle).await;
    assert_eq!(indexed(&world) - before, 200, "once each from then on");
    let verdict = world.finish(nozzle).await;
    assert_bound(&verdict, 0..800);
    // Each batch that was pending then, and up to five more whose second time ran out as well.
    assert!(verdict.duplicates() <= 600 + 5 * BATCH, "{}", verdict.duplicates());
    assert_eq!(verdict.ledger().unconfirmed, 800);
}

#[tokio::test]
async fn answers_that_are_lost_are_counted_and_cost_duplicates_only() {
    let world = world(|_| {}).await;
    world.hec.add_rule(Rule::on(Endpoint::Ack, Action::Ack(AckFault::LoseReply)).requests(2..4));
    let nozzle = nozzle(&world, SOON, &[]).await;
    publish(&world, 0..400).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    assert_bound(&verdict, 0..400);
    let acks = &verdict.status().hec.acks.counters;
    assert!(acks.polls_uncertain >= acks.timeouts && acks.polls_failed >= 1, "{acks:?}");
    assert_eq!(verdict.ledger().delivered + verdict.ledger().unconfirmed, 400);
}

#[tokio::test]
async fn a_restart_that_forgets_all_acks_costs_what_was_pending() {
    let world = world(|config| config.acks.delay = HOUR).await;
    let nozzle = nozzle(&world, HOUR, &[]).await;
    publish(&world, 0..400).await;
    nozzle.until("Splunk has it", |_| indexed(&world) == 400).await;
    world.hec.restart();
    world.hec.set_acks(AckConfig {
        delay: Duration::from_millis(30),
        idle: HOUR * 1000,
        ..AckConfig::default()
    });
    publish(&world, 400..500).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    assert_bound(&verdict, 0..500);
    let acks = &verdict.status().hec.acks.counters;
    assert!((1..3).contains(&acks.epoch_breaks) && acks.timeouts == 0, "{acks:?}");
    // What was indexed before is there twice: nobody can know that it was.
    assert!((1..=500).contains(&verdict.duplicates()), "{}", verdict.duplicates());
    assert_eq!(verdict.ledger().delivered, 500);
}

#[tokio::test]
async fn odd_answers_to_polls_keep_what_is_pending() {
    let status = |status: u16| StatusCode::from_u16(status).unwrap();
    let empty = |code: u16| Reply::json(status(code), "");
    let answers = [
        ("401", Reply::hec(Code::TokenRequired)),
        ("403", Reply::hec(Code::InvalidToken)),
        ("404", Reply::hec(Code::NotFound)),
        ("400/6", Reply::hec(Code::InvalidDataFormat)),
        ("400/10", Reply::hec(Code::ChannelMissing)),
        ("400/11", Reply::hec(Code::InvalidChannel)),
        ("400", empty(400)),
        ("302", Reply::redirect(status(302), "https://elsewhere.example.com/")),
        ("408", empty(408)),
        ("413", empty(413)),
        ("429/27", Reply::hec(Code::AckFull)),
        ("500/8", Reply::hec(Code::InternalError)),
        ("502", Reply::html(status(502), "Bad Gateway")),
        ("503/9", Reply::hec(Code::ServerBusy)),
        ("504", empty(504)),
        ("200, a page", Reply::html_200()),
        ("200, garbage", Reply::garbage_200()),
        ("200, no acks", Reply::hec(Code::Success)),
        ("200, null", Reply::json(status(200), r#"{"acks":null}"#)),
    ];
    let world = world(|_| {}).await;
    let nozzle = nozzle(&world, HOUR, &[]).await;
    let mut next = 0;
    for (what, reply) in answers {
        let rule = world.hec.add_rule(Rule::on(Endpoint::Ack, Action::Answer(reply)));
        publish(&world, next..next + BATCH).await;
        next += BATCH;
        nozzle.until(what, |_| indexed(&world) == next && world.hec.fired(rule) > 1).await;
        assert_eq!(nozzle.status().ledger.delivered, next - BATCH, "{what}");
        world.hec.remove_rule(rule);
        world.settled(&nozzle).await;
    }
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..next);
    assert_eq!(verdict.ledger().delivered, next);
    assert_eq!(verdict.status().hec.gate, GateState::Open);
}

#[tokio::test]
async fn turned_off_while_pending_it_counts_as_delivered() {
    let world = world(|config| config.acks.delay = HOUR).await;
    let nozzle = nozzle(&world, HOUR, &[]).await;
    publish(&world, 0..100).await;
    nozzle.until("Splunk has it", |_| indexed(&world) == 100).await;
    world.hec.set_tokens(vec![token()]);
    world.settled(&nozzle).await;
    publish(&world, 100..200).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..200);
    assert_eq!((verdict.ledger().delivered, verdict.ledger().unconfirmed), (200, 0));
    assert!(verdict.status().hec.acks.counters.batches_disabled >= 5);
}

#[tokio::test]
async fn without_acks_auto_polls_nobody_and_off_names_no_channel() {
    for mode in ["auto", "off"] {
        let world = World::start().await;
        let nozzle = nozzle(&world, HOUR, &[("HEC_ACK", mode)]).await;
        publish(&world, 0..100).await;
        world.settled(&nozzle).await;
        let verdict = world.finish(nozzle).await;
        verdict.assert_exactly(0..100);
        assert_eq!(verdict.hec.polls, 0);
        assert_eq!(verdict.hec.channels, u64::from(mode == "auto"));
    }
}

#[tokio::test]
async fn where_acks_are_required_no_data_goes_to_a_hec_without() {
    let world = World::start().await;
    let nozzle = nozzle(&world, HOUR, &[("HEC_ACK", "required")]).await;
    publish(&world, 0..100).await;
    let held = |status: &Status| matches!(status.hec.gate, GateState::Held { .. });
    let status = nozzle.until("it is held", |status| held(status) && status.ledger.batched == 100).await;
    assert!(status.not_ready[0].contains("turn on indexer acknowledgement"), "{:?}", status.not_ready);
    assert_eq!(indexed(&world), 0);
    world.hec.set_tokens(vec![token().with_acks()]);
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..100);
    assert_eq!((verdict.ledger().delivered, verdict.ledger().unconfirmed), (100, 0));
}

#[tokio::test]
async fn required_acks_hold_back_what_they_have_no_room_for() {
    let world = world(|config| config.acks.delay = HOUR).await;
    let settings = [("HEC_ACK", "required"), ("DELIVERY_MAX_BYTES", "4MiB"), ("QUEUE_WHEN_FULL", "block")];
    let nozzle = nozzle(&world, HOUR, &settings).await;
    let all = 400 * BATCH;
    publish(&world, 0..all).await;
    let long = |n| super::long_log(&app_guid(2), n, 2000);
    world.publish(all..all + 1200, long).await;
    // The rest is with senders, in the pool or, when that is full, in front of it.
    let full = |status: &Status| {
        let more = status.delivery.waiting_batches > 0 || status.queue.bytes > 0;
        status.hec.acks.pending_bytes > (2 << 20) - (1 << 18) && more
    };
    let status = nozzle.until("half of the room waits for acks", full).await;
    assert!(status.hec.acks.pending_bytes <= 2 << 20, "{:?}", status.hec.acks);
    assert_eq!(status.ledger.unconfirmed, 0);
    world.hec.set_acks(AckConfig { delay: Duration::ZERO, idle: HOUR * 1000, ..AckConfig::default() });
    world.hec.advance(HOUR);
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..all + 1200);
    assert_eq!(verdict.ledger().unconfirmed, 0);
}

#[tokio::test]
async fn a_full_ack_channel_is_polled_and_replaced() {
    let few = |delay, acks| AckConfig { delay, max_pending_per_channel: 5, ..acks };
    let world = world(|config| config.acks = few(HOUR, config.acks)).await;
    let nozzle = nozzle(&world, HOUR, &[]).await;
    publish(&world, 0..200).await;
    let replaced = |_: &Status| {
        let seen = world.hec.snapshot();
        seen.code(Code::AckFull) > 0 && seen.channels > 1 && indexed(&world) == 200
    };
    nozzle.until("full channels are replaced", replaced).await;
    // From now on a channel is full for a moment only.
    world
        .hec
        .set_acks(few(Duration::from_millis(30), AckConfig { idle: HOUR * 1000, ..AckConfig::default() }));
    world.hec.advance(HOUR);
    publish(&world, 200..800).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..800);
    assert_eq!(verdict.ledger().delivered, 800);
}

#[tokio::test]
async fn a_quiet_channel_is_kept_alive() {
    let world = world(|config| config.acks.idle = HOUR).await;
    let mut config = configure(&world, HOUR, &[]);
    config.hec.acks.timing = AckTiming::default().faster(3000);
    let nozzle = Box::pin(world.connected_nozzle(config)).await;
    publish(&world, 0..BATCH).await;
    world.settled(&nozzle).await;
    // On the server's clock it is quiet for hours, and never for one without a poll.
    for _ in 0..4 {
        let polls = world.hec.snapshot().polls;
        world.hec.wait_until(DEADLINE, |seen| seen.polls > polls + 1).await.unwrap();
        world.hec.advance(HOUR * 3 / 4);
    }
    publish(&world, BATCH..2 * BATCH).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..2 * BATCH);
    assert_eq!(
        verdict.status().hec.acks.counters.epoch_breaks,
        0,
        "the server knew the channel all the time"
    );
}

#[tokio::test]
async fn a_stop_waits_for_the_last_acks_as_long_as_there_is_time() {
    let world = world(|config| config.acks.delay = HOUR).await;
    let nozzle = nozzle(&world, HOUR, &[]).await;
    publish(&world, 0..100).await;
    nozzle.until("Splunk has it", |_| indexed(&world) == 100).await;
    nozzle.begin_to_stop();
    let polls = world.hec.snapshot().polls;
    world.hec.wait_until(DEADLINE, |seen| seen.polls > polls + 3).await.unwrap();
    world.hec.advance(HOUR);
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..100);
    assert_eq!((verdict.ledger().delivered, verdict.ledger().unconfirmed), (100, 0));
}

#[tokio::test]
async fn what_is_pending_when_time_runs_out_is_unconfirmed() {
    for mode in ["auto", "required"] {
        let world = world(|config| config.acks.delay = HOUR).await;
        let nozzle = nozzle(&world, HOUR, &[("HEC_ACK", mode), ("SHUTDOWN_TIMEOUT", "1s")]).await;
        publish(&world, 0..100).await;
        nozzle.until("Splunk has it, and has said so", |status| is_pending(&world, status, 100)).await;
        let verdict = world.finish(nozzle).await;
        verdict.assert_exactly(0..100);
        assert_eq!((verdict.ledger().delivered, verdict.ledger().unconfirmed), (0, 100), "{mode}");
    }
}

#[tokio::test]
async fn a_busy_queue_and_slow_acks_lose_nothing_together() {
    let world = world(|config| {
        config.queue = Some(InputQueueConfig { capacity_bytes: 50_000, drain_bytes_per_second: 200_000 });
        config.acks.delay = Duration::from_millis(150);
    })
    .await;
    world.hec.add_rule(Rule::on(Endpoint::Event, Action::Ack(AckFault::RestartIds)).nth(20));
    let nozzle = nozzle(&world, SOON, &[]).await;
    publish(&world, 0..800).await;
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    assert_bound(&verdict, 0..800);
    assert_eq!(verdict.ledger().delivered + verdict.ledger().unconfirmed, 800);
}

#[tokio::test]
async fn a_token_that_is_replaced_keeps_its_acks() {
    let world = world(|config| config.acks.delay = HOUR).await;
    let nozzle = nozzle(&world, HOUR, &[]).await;
    publish(&world, 0..100).await;
    nozzle.until("Splunk has it", |_| indexed(&world) == 100).await;
    world.hec.set_tokens(vec![Token::new("other", "99999999-2222-3333-4444-555555555555").with_acks()]);
    nozzle.until("polls are refused", |status| status.hec.acks.counters.polls_failed > 1).await;
    assert_eq!(nozzle.status().ledger.batched, 100);
    world.hec.set_tokens(vec![Token::new("nozzle", HEC_TOKEN).with_acks()]);
    world.hec.advance(HOUR);
    world.settled(&nozzle).await;
    world.finish(nozzle).await.assert_exactly(0..100);
}
