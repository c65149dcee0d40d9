//! A second site stands in for the first.

use std::time::Duration;

use firehose_nozzle::hec::{ClientConfig, FailoverConfig, GateState, Site};
use firehose_nozzle::sim::hec::{Condition, HecServer, HecServerConfig, Token};

use super::world::{Sender, assert_exactly, config, dead, servers, shares};

const OTHER_TOKEN: &str = "66666666-7777-8888-9999-000000000000";

async fn elsewhere() -> HecServer {
    HecServer::start(HecServerConfig::new(vec![Token::new("other", OTHER_TOKEN)])).await.unwrap()
}

fn with_failover(urls: &[&str], failover: &HecServer) -> ClientConfig {
    let failover = FailoverConfig { urls: vec![failover.url().parse().unwrap()], token: OTHER_TOKEN.into() };
    // Long enough for a pause to be none of its business, short enough to wait for.
    ClientConfig { failover: Some(failover), failover_after: Duration::from_millis(300), ..config(urls) }
}

#[tokio::test]
async fn the_second_site_is_used_while_the_first_takes_nothing_and_only_then() {
    let servers = servers::<2>().await;
    let other = elsewhere().await;
    let urls = servers.each_ref().map(|server| server.url());
    let config = with_failover(&urls.each_ref().map(String::as_str), &other);
    let sender = Sender::known(config, 3).await;
    sender.deliver(0..1000, 8).await;
    assert_eq!((shares(&servers).iter().sum::<u64>(), other.snapshot().ledger.events), (1000, 0));

    servers[0].set_condition(Condition::ShuttingDown);
    sender.deliver(1000..2000, 8).await;
    assert_eq!(other.snapshot().ledger.events, 0, "one of the first site is enough");

    servers[1].set_condition(Condition::ShuttingDown);
    sender.deliver(2000..3000, 8).await;
    let at_other = other.snapshot().ledger.events;
    assert_eq!(at_other, 1000);
    let status = sender.until("it says so", |status| status.site == Site::Failover).await;
    assert_eq!(
        (status.gate, status.url),
        (GateState::Open, format!("{}/services/collector/event", other.url()))
    );

    servers[1].set_condition(Condition::Serving);
    sender.until("the first site is back", |status| status.site == Site::Primary).await;
    sender.deliver(3000..4000, 8).await;
    assert_eq!(other.snapshot().ledger.events, at_other, "and nothing goes elsewhere any more");
    assert_exactly(servers.iter().chain([&other]), 0..4000);
}

#[tokio::test]
async fn a_first_site_that_is_away_from_the_start_is_stood_in_for() {
    let (address, _socket) = dead();
    let other = elsewhere().await;
    let sender = Sender::new(with_failover(&[&format!("http://{address}")], &other));
    sender.deliver(0..500, 8).await;
    assert_exactly([&other], 0..500);
    assert_eq!(sender.status().site, Site::Failover);
}

#[tokio::test]
async fn with_both_sites_away_events_wait_and_go_to_the_one_that_comes_back() {
    let servers = servers::<1>().await;
    let other = elsewhere().await;
    servers[0].set_condition(Condition::ShuttingDown);
    other.set_condition(Condition::ShuttingDown);
    let sender = Sender::new(with_failover(&[&servers[0].url()], &other));
    let both_away = async {
        sender
            .until("both are away", |status| {
                status.endpoints.iter().all(|endpoint| endpoint.gate == GateState::Paused)
            })
            .await;
        other.set_condition(Condition::Serving);
    };
    tokio::join!(sender.deliver(0..500, 8), both_away);
    assert_exactly([&servers[0], &other], 0..500);
    assert_eq!(other.snapshot().ledger.events, 500);
}
