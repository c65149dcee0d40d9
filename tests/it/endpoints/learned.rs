//! What one endpoint teaches concerns no other: a refused token, a limit on sizes.

use std::collections::BTreeMap;

use firehose_nozzle::hec::batch::Batch;
use firehose_nozzle::hec::{ClientConfig, FailoverConfig, GateState, Site, Status, TokenSource};
use firehose_nozzle::sim::hec::{Condition, HecServer, HecServerConfig, Profile, Token};
use tokio_util::sync::CancellationToken;

use super::world::{Sender, TOKEN, assert_exactly, config, dead, servers, shares};

const OTHER: &str = "99999999-2222-3333-4444-555555555555";

fn tokens(secrets: &[&str]) -> Vec<Token> {
    secrets.iter().map(|secret| Token::new(*secret, *secret)).collect()
}

/// Settings with the token in a file.
fn with_file(urls: &[&str], folder: &tempfile::TempDir) -> ClientConfig {
    let path = folder.path().join("token");
    std::fs::write(&path, TOKEN).unwrap();
    ClientConfig { token: TokenSource::File(path), ..config(urls) }
}

/// How many endpoints have an open gate.
fn open(status: &Status) -> usize {
    status.endpoints.iter().filter(|endpoint| endpoint.gate == GateState::Open).count()
}

#[tokio::test]
async fn an_endpoint_that_refuses_the_token_costs_nothing_and_is_back_when_it_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let servers = servers::<2>().await;
    let urls = servers.each_ref().map(HecServer::url);
    servers[0].set_tokens(tokens(&[TOKEN, OTHER]));
    servers[1].set_tokens(tokens(&[OTHER]));
    let sender = Sender::known(with_file(&urls.each_ref().map(String::as_str), &folder), 2).await;
    sender.until("one is held", |status| open(status) == 1).await;
    sender.deliver(0..1000, 8).await;
    assert_eq!(shares(&servers), [1000, 0]);
    assert_eq!(sender.status().gate, GateState::Open, "the site takes data");

    // It is held: by itself it would not be asked again for some time.
    std::fs::write(folder.path().join("token"), OTHER).unwrap();
    sender.until("both take data", |status| open(status) == 2).await;
    sender.deliver(1000..3000, 8).await;
    assert!(shares(&servers)[1] > 0, "{:?}", shares(&servers));
    assert_exactly(&servers, 0..3000);
}

#[tokio::test]
async fn endpoints_that_learn_of_a_new_token_one_after_another_are_never_held() {
    let folder = tempfile::tempdir().unwrap();
    let servers = servers::<2>().await;
    let urls = servers.each_ref().map(HecServer::url);
    let sender = Sender::known(with_file(&urls.each_ref().map(String::as_str), &folder), 2).await;
    servers[0].set_tokens(tokens(&[OTHER]));
    std::fs::write(folder.path().join("token"), OTHER).unwrap();
    let taken = |server: &HecServer, secret| server.snapshot().by_token.get(secret).copied().unwrap_or(0);
    let mut next = 0;
    while taken(&servers[0], OTHER) == 0 || servers[1].snapshot().status(403) == 0 {
        sender.deliver(next..next + 100, 4).await;
        next += 100;
    }
    sender.deliver(next..next + 1000, 4).await;
    next += 1000;
    assert_eq!(taken(&servers[1], OTHER), 0, "it goes on with the one before");
    assert_eq!(open(&sender.status()), 2);
    servers[1].set_tokens(tokens(&[OTHER]));
    sender.deliver(next..next + 1000, 4).await;
    sender.until("both take data", |status| open(status) == 2).await;
    assert!(taken(&servers[1], OTHER) > 0);
    assert_exactly(&servers, 0..next + 1000);
}

#[tokio::test]
async fn the_second_site_has_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let [other] = servers::<1>().await;
    other.set_tokens(tokens(&[OTHER]));
    let path = folder.path().join("failover-token");
    std::fs::write(&path, TOKEN).unwrap();
    let (address, _socket) = dead();
    let failover =
        FailoverConfig { urls: vec![other.url().parse().unwrap()], token: TokenSource::File(path.clone()) };
    let config = config(&[&format!("http://{address}")]);
    let sender = Sender::new(ClientConfig { failover: Some(failover), ..config });
    let is_held = |status: &Status| matches!(status.endpoints[1].gate, GateState::Held { .. });
    sender.until("the second site is held", is_held).await;
    std::fs::write(&path, OTHER).unwrap();
    sender.deliver(0..100, 4).await;
    assert_eq!(sender.status().site, Site::Failover);
    assert_exactly([&other], 0..100);
}

/// Events of 1,000 bytes each.
fn large(numbers: std::ops::Range<u64>) -> Batch {
    let mut batch = Batch::new("main".into(), 1024);
    let filling = "x".repeat(1000);
    for number in numbers {
        batch.buffer().extend_from_slice(format!("{{\"event\":\"seq={number:09} {filling}\"}}\n").as_bytes());
        batch.commit(1);
    }
    batch
}

/// The most events one request brought.
fn largest(server: &HecServer) -> usize {
    let mut requests: BTreeMap<u64, usize> = BTreeMap::new();
    for record in server.records().unwrap() {
        *requests.entry(record.request).or_default() += 1;
    }
    requests.into_values().max().unwrap_or(0)
}

#[tokio::test]
async fn a_limit_of_one_endpoint_is_learned_there_only() {
    let mut narrow = HecServerConfig::new(vec![Token::new("nozzle", TOKEN)]);
    narrow.behaviour = Profile::Enterprise.behaviour();
    narrow.behaviour.max_content_bytes = 60_000;
    let servers = [HecServer::start(narrow).await.unwrap(), servers::<1>().await.into_iter().next().unwrap()];
    let urls = servers.each_ref().map(HecServer::url);
    let sender = Sender::known(config(&urls.each_ref().map(String::as_str)), 2).await;
    // One of them takes everything while the other one is away, in turn.
    for (turn, [here, away]) in [[0, 1], [1, 0], [0, 1]].into_iter().enumerate() {
        servers[here].set_condition(Condition::Serving);
        sender.until("it takes data", |status| open(status) == 2).await;
        servers[away].set_condition(Condition::ShuttingDown);
        let first = turn as u64 * 200;
        for first in [first, first + 100] {
            let batch = large(first..first + 100);
            let all = batch.tally();
            let outcome = sender.client.deliver(batch, &CancellationToken::new()).await;
            assert_eq!(outcome.delivered, all, "{outcome:?}");
        }
    }
    assert_eq!(shares(&servers), [400, 200]);
    assert_eq!(servers[0].snapshot().status(413), 1, "it is asked once");
    assert_eq!(largest(&servers[1]), 100, "the other one gets whole requests");
    assert_exactly(&servers, 0..600);
}
