//! Several addresses behind one name, one of which is dead, slow, busy, or refuses the token.

use std::time::Duration;

use firehose_nozzle::hec::{ClientConfig, GateState, Status};
use firehose_nozzle::sim::hec::{
    Action, Code, Condition, Cut, CutPoint, Endpoint, Reply, Rule, Stage, Token,
};

use super::world::{
    BATCH, Names, Sender, TOKEN, assert_complete, assert_exactly, config, config_behind, dead, servers,
    shares,
};

const EVENTS: u64 = 6000;

#[tokio::test]
async fn six_equal_servers_are_all_used_alike() {
    let servers = servers::<6>().await;
    // A little work each, so that no scheduler decides who is quick.
    for server in &servers {
        server
            .add_rule(Rule::on(Endpoint::Event, Action::Delay(Stage::BeforeRead, Duration::from_millis(20))));
    }
    let addresses = servers.each_ref().map(|server| server.address());
    let sender = Sender::known(config_behind(&Names::default(), &addresses), 6).await;
    sender.deliver(0..2 * EVENTS, 16).await;
    assert_exactly(&servers, 0..2 * EVENTS);
    // To the twentieth on simulated time, in the tests of the choice; here how fast each one is depends on the machine.
    let mean = 2 * EVENTS / 6;
    for share in shares(&servers) {
        assert!(share.abs_diff(mean) <= mean / 2, "{:?}", shares(&servers));
    }
}

#[tokio::test]
async fn several_urls_are_several_endpoints() {
    let servers = servers::<2>().await;
    let urls = servers.each_ref().map(|server| server.url());
    let sender = Sender::known(config(&urls.each_ref().map(String::as_str)), 2).await;
    sender.deliver(0..500, 4).await;
    assert_exactly(&servers, 0..500);
    assert!(shares(&servers).iter().all(|share| *share > 100), "{:?}", shares(&servers));
    let status = sender.status();
    assert!(urls.iter().all(|url| status.url.contains(url.as_str())), "{}", status.url);
    assert!(status.endpoints.iter().all(|endpoint| endpoint.address.is_none()));
}

#[tokio::test]
async fn a_slow_server_gets_little_and_the_others_do_not_wait_for_it() {
    let servers = servers::<4>().await;
    let wait = |ms| Rule::on(Endpoint::Event, Action::Delay(Stage::BeforeRead, Duration::from_millis(ms)));
    // So slow that the machine cannot make the others as slow.
    for (server, ms) in servers.iter().zip([20, 20, 3000, 20]) {
        server.add_rule(wait(ms));
    }
    let addresses = servers.each_ref().map(|server| server.address());
    let sender = Sender::known(config_behind(&Names::default(), &addresses), 4).await;
    sender.deliver(0..EVENTS, 8).await;
    assert_exactly(&servers, 0..EVENTS);
    let [_, _, slow, _] = shares(&servers);
    assert!(slow < EVENTS / 4 / 5, "{:?}", shares(&servers));
    let latency = sender.status().endpoints.iter().filter_map(|endpoint| endpoint.latency_ms).max();
    assert!(latency >= Some(3000), "{latency:?}");
}

#[tokio::test]
async fn a_dead_address_costs_nothing() {
    let servers = servers::<2>().await;
    let (dead, _socket) = dead();
    let addresses = [servers[0].address(), dead, servers[1].address()];
    let sender = Sender::new(config_behind(&Names::default(), &addresses));
    sender.deliver(0..EVENTS, 8).await;
    assert_exactly(&servers, 0..EVENTS);
    let away = |status: &Status| {
        let state =
            |address| status.endpoints.iter().find(|it| it.address == Some(address)).map(|it| it.gate);
        state(dead) == Some(GateState::Paused) && state(addresses[0]) == Some(GateState::Open)
    };
    let status = sender.until("the dead one is known to be dead", away).await;
    assert_eq!(status.gate, GateState::Open, "the others take data");
    assert_eq!(status.counters.ambiguous_resends, 0, "nothing was sent to it");
}

#[tokio::test]
async fn a_server_that_turns_requests_away_is_left_alone_and_comes_back() {
    let servers = servers::<3>().await;
    let addresses = servers.each_ref().map(|server| server.address());
    let sender = Sender::known(config_behind(&Names::default(), &addresses), 3).await;
    servers[1].set_condition(Condition::QueuesFull);
    sender.deliver(0..EVENTS, 8).await;
    assert_exactly(&servers, 0..EVENTS);
    assert_eq!(shares(&servers)[1], 0);
    let turned_away = servers[1].snapshot().status(503) + servers[1].snapshot().status(429);
    // A third of the requests would be its share.
    assert!(turned_away < EVENTS / BATCH / 10, "{turned_away} requests for one that takes none");
    sender
        .until("it is closed", |status| status.endpoints.iter().any(|it| it.gate == GateState::Paused))
        .await;
    // Without any events it is found to be back.
    servers[1].set_condition(Condition::Serving);
    sender.until("it is open", |status| status.endpoints.iter().all(|it| it.gate == GateState::Open)).await;
    sender.deliver(EVENTS..2 * EVENTS, 8).await;
    assert_exactly(&servers, 0..2 * EVENTS);
}

#[tokio::test]
async fn a_server_that_refuses_the_token_is_held_alone() {
    let servers = servers::<3>().await;
    servers[2].set_tokens(vec![Token::new("other", "other")]);
    let addresses = servers.each_ref().map(|server| server.address());
    let sender = Sender::new(config_behind(&Names::default(), &addresses));
    sender.deliver(0..EVENTS, 8).await;
    assert_exactly(&servers, 0..EVENTS);
    let held = |status: &Status| {
        status.gate == GateState::Open
            && status.endpoints.iter().any(|it| matches!(it.gate, GateState::Held { .. }))
    };
    let status = sender.until("one is held", held).await;
    let endpoint = status.endpoints.iter().find(|it| it.gate != GateState::Open).unwrap();
    assert_eq!(endpoint.address, Some(addresses[2]));
    assert!(endpoint.next_step.is_some_and(|step| step.contains("HEC token")), "{endpoint:?}");
    servers[2].set_tokens(vec![Token::new("nozzle", TOKEN)]);
    sender.until("it is open", |status| status.endpoints.iter().all(|it| it.gate == GateState::Open)).await;
}

/// Whether what failed is sent again in doubt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    Never,
    /// It depends on whether the connection broke before the first byte was written.
    Maybe,
    Always,
}

/// One of three servers fails each fourth request in some way.
async fn now_and_then(case: &str, action: Action, doubt: Doubt) {
    let servers = servers::<3>().await;
    let addresses = servers.each_ref().map(|server| server.address());
    // The requests at the start bring no event, so nothing about them is in doubt.
    let sender = Sender::known(config_behind(&Names::default(), &addresses), 3).await;
    let rule = servers[0].add_rule(Rule::on(Endpoint::Event, action).every(4));
    sender.deliver(0..3000, 8).await;
    assert!(servers[0].fired(rule) > 0, "{case}");
    let duplicates = assert_complete(&servers, 0..3000);
    let resends = sender.status().counters.ambiguous_resends;
    assert!(duplicates <= resends * BATCH, "{case}: {duplicates} after {resends} resends");
    match doubt {
        Doubt::Never => assert_eq!(resends, 0, "{case}"),
        Doubt::Maybe => {}
        Doubt::Always => assert!(resends > 0, "{case}"),
    }
}

#[tokio::test]
async fn failures_of_one_cost_no_event() {
    let gateway = |status| Action::Answer(Reply::html(status, "no upstream"));
    now_and_then("busy", Action::Answer(Reply::hec(Code::ServerBusy)), Doubt::Never).await;
    now_and_then("shutting down", Action::Answer(Reply::hec(Code::ShuttingDown)), Doubt::Never).await;
    now_and_then("bad gateway", gateway(http::StatusCode::BAD_GATEWAY), Doubt::Always).await;
    now_and_then("reset before reading", Action::Cut(CutPoint::BeforeRead, Cut::Reset), Doubt::Maybe).await;
    now_and_then("reset while reading", Action::Cut(CutPoint::MidBody, Cut::Reset), Doubt::Always).await;
    now_and_then("closed before answering", Action::Cut(CutPoint::AfterIndex, Cut::Close), Doubt::Always)
        .await;
}

#[tokio::test]
async fn servers_that_all_turn_half_of_the_requests_away_get_everything_in_the_end() {
    let servers = servers::<3>().await;
    for (server, seed) in servers.iter().zip(1..) {
        let full = Action::Answer(Reply::hec(Code::QueueFull));
        server.add_rule(Rule::on(Endpoint::Event, full).chance(0.5, seed));
    }
    let addresses = servers.each_ref().map(|server| server.address());
    let sender = Sender::new(config_behind(&Names::default(), &addresses));
    sender.deliver(0..500, 8).await;
    assert_exactly(&servers, 0..500);
    let refused: u64 = servers.iter().map(|server| server.snapshot().status(429)).sum();
    assert!(refused > 0 && sender.status().counters.ambiguous_resends == 0, "{refused}");
}

#[tokio::test]
async fn an_overloaded_server_is_given_less_at_a_time() {
    let servers = servers::<1>().await;
    let sender = Sender::known(config(&[&servers[0].url()]), 1).await;
    sender.deliver(0..EVENTS, 32).await;
    let before = sender.status().endpoints[0].in_flight_max;
    let full = Rule::on(Endpoint::Event, Action::Answer(Reply::hec(Code::QueueFull))).first(1);
    let rule = servers[0].add_rule(full);
    // One request, and once more.
    sender.deliver(EVENTS..EVENTS + BATCH, 1).await;
    assert_eq!(servers[0].fired(rule), 1);
    assert_eq!(sender.status().endpoints[0].in_flight_max, (before / 2).max(1));
    assert_exactly(&servers, 0..EVENTS + BATCH);
}

#[tokio::test]
async fn a_server_that_hangs_costs_the_requests_it_has_some_time_and_no_more() {
    let servers = servers::<3>().await;
    let addresses = servers.each_ref().map(|server| server.address());
    let timeout = Duration::from_secs(2);
    let config = ClientConfig { timeout, ..config_behind(&Names::default(), &addresses) };
    let sender = Sender::known(config, 3).await;
    servers[1].pause();
    sender.deliver(0..EVENTS, 8).await;
    // What it never read it has not taken; the others may take as long as well, on a slow machine.
    let duplicates = assert_complete(&servers, 0..EVENTS);
    assert!(duplicates <= sender.status().counters.ambiguous_resends * BATCH, "{duplicates}");
    assert_eq!(shares(&servers)[1], 0);
    let closed = |status: &Status| {
        let hanging = status.endpoints.iter().find(|it| it.address == Some(addresses[1]));
        hanging.is_some_and(|it| it.gate == GateState::Paused || it.failures < 3)
    };
    sender.until("it is left alone, or was not asked often enough to tell", closed).await;
    servers[1].resume();
    sender.until("it is back", |status| status.endpoints.iter().all(|it| it.gate == GateState::Open)).await;
}
