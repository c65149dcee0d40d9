//! Deliveries over real sockets to a scripted server.

mod deferral;
mod files;
mod indexes;
mod server;
mod trouble;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{advance, pause, resume};

use self::server::{Answer, Seen, Server, reply, success};
use super::*;
use crate::hec::batch::Tally;
use crate::hec::compress::Compression;
use crate::hec::gate::GateState;
use crate::hec::hold::HoldReason;
use crate::hec::probe::Probe;
use crate::hec::reply::HecCode;
use crate::task::Tasks;

const TOKEN: &str = "0a1b2c3d-secret-token";

fn config(server: &Server) -> ClientConfig {
    config_at(format!("http://127.0.0.1:{}", server.port))
}

fn config_at(url: String) -> ClientConfig {
    ClientConfig::new(url.parse().unwrap(), TOKEN.into())
}

fn client(server: &Server) -> Client {
    Client::new(config(server)).unwrap()
}

/// Events numbered from 0, each some 60 bytes, of which every second one settles a unit.
fn batch(n: usize) -> Batch {
    batch_of(n, 40)
}

fn batch_of(n: usize, width: usize) -> Batch {
    let mut batch = Batch::new(Arc::from("main"), 1024);
    for number in 0..n {
        batch.buffer().extend_from_slice(format!("{{\"event\":\"{number:0width$}\"}}\n").as_bytes());
        batch.commit(u32::try_from(number % 2).unwrap());
    }
    batch
}

/// The events in a body.
fn numbers(body: &str) -> Vec<usize> {
    let number = |line: &str| line.trim_start_matches("{\"event\":\"").trim_end_matches("\"}").parse();
    body.lines().map(|line| number(line).unwrap()).collect()
}

fn tally(n: usize) -> Tally {
    batch(n).tally()
}

/// Delivers and expects that nothing else happens to any event.
async fn deliver_all(client: &Client, n: usize) {
    let outcome = client.deliver(batch(n), &CancellationToken::new()).await;
    assert_eq!(outcome, Outcome { delivered: tally(n), ..Outcome::default() });
}

/// Runs a delivery beside the test.
fn start(client: &Arc<Client>, n: usize, stop: &CancellationToken) -> Tasks<Outcome> {
    let mut tasks = Tasks::new();
    let (client, stop) = (client.clone(), stop.clone());
    tasks.spawn("delivery", async move { client.deliver(batch(n), &stop).await });
    tasks
}

async fn ended(mut tasks: Tasks<Outcome>) -> Outcome {
    tasks.join_next().await.unwrap().unwrap().1
}

/// Waits until the client's status is as wanted.
async fn until(client: &Client, wanted: impl Fn(&Status) -> bool) {
    let seen = async {
        while !wanted(&client.status()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), seen).await;
    assert!(in_time.is_ok(), "{:?}", client.status());
}

/// What the only endpoint says.
async fn probe(client: &Client) -> Probe {
    let mut probed = client.probe().await;
    assert_eq!(probed.len(), 1, "{probed:?}");
    probed.remove(0).probe
}

fn held(status: &Status) -> bool {
    matches!(status.gate, GateState::Held { .. })
}

/// Lets the clock of the runtime jump; the sockets do not notice.
async fn skip(time: Duration) {
    pause();
    advance(time).await;
    resume();
}

#[tokio::test]
async fn a_request_is_as_a_hec_wants_it() {
    for (compression, path) in [(Compression::Gzip, ""), (Compression::None, "/services/collector")] {
        let server = Server::answering(vec![success()]).await;
        let mut config = config_at(format!("http://127.0.0.1:{}{path}", server.port));
        config.compression = compression;
        config.product = "some-product".to_owned();
        config.version = "1.2.3".to_owned();
        let client = Client::new(config).unwrap();
        deliver_all(&client, 20).await;
        let seen = server.seen();
        assert_eq!(seen.len(), 1);
        let request = &seen[0];
        assert_eq!(request.target, "POST /services/collector/event HTTP/1.1");
        assert_eq!(request.header("authorization"), Some(format!("Splunk {TOKEN}").as_str()));
        assert_eq!(request.header("user-agent"), Some("some-product/1.2.3"));
        assert_eq!(request.header("__splunk_app_name"), Some("some-product"));
        assert_eq!(request.header("__splunk_app_version"), Some("1.2.3"));
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("content-length"), Some(request.wire.len().to_string().as_str()));
        assert_eq!(request.header("x-splunk-request-channel"), None);
        assert_eq!(request.header("transfer-encoding"), None);
        assert_eq!(request.header("expect"), None);
        let encoding = (compression == Compression::Gzip).then_some("gzip");
        assert_eq!(request.header("content-encoding"), encoding);
        assert_eq!(request.body.as_bytes(), batch(20).body());
        let counters = client.status().counters;
        assert_eq!(counters.bytes_raw, request.body.len() as u64);
        assert_eq!(counters.bytes_wire, request.wire.len() as u64);
        assert_eq!((counters.requests, counters.events_delivered), (1, 20));
    }
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::answering(vec![success()]).await;
    let client = client(&server);
    for _ in 0..5 {
        deliver_all(&client, 3).await;
    }
    assert!(server.seen().iter().all(|request| request.connection == 0));
}

#[tokio::test]
async fn an_empty_batch_is_done_without_a_request() {
    let server = Server::answering(vec![success()]).await;
    let client = client(&server);
    deliver_all(&client, 0).await;
    assert!(server.seen().is_empty());
}

/// As real Splunk: indexes what is before the first bad event, and names it.
fn splunk(poison: Vec<usize>, index: Arc<Mutex<BTreeMap<usize, u32>>>) -> impl Fn(usize, &Seen) -> Answer {
    move |_, request| {
        let events = numbers(&request.body);
        let bad = events.iter().position(|event| poison.contains(event));
        for event in &events[..bad.unwrap_or(events.len())] {
            *index.lock().unwrap().entry(*event).or_default() += 1;
        }
        match bad {
            None => success(),
            Some(k) => reply(
                400,
                &format!(r#"{{"text":"Invalid data format","code":6,"invalid-event-number":{k}}}"#),
            ),
        }
    }
}

#[tokio::test]
async fn bad_events_cost_themselves_only() {
    let index = Arc::new(Mutex::new(BTreeMap::new()));
    let poison = vec![0, 7, 8, 99];
    let server = Server::start(splunk(poison.clone(), index.clone())).await;
    let client = client(&server);
    let outcome = client.deliver(batch(100), &CancellationToken::new()).await;
    assert_eq!(outcome.total(), tally(100));
    assert_eq!(outcome.delivered, Tally { events: 96, units: 48 });
    let rejected: Vec<usize> = outcome.rejected.iter().flat_map(|it| numbers(&it.sample())).collect();
    assert_eq!(rejected, poison);
    assert!(outcome.rejected.iter().all(|it| it.code == Some(HecCode::FORMAT) && it.status == 400));
    let index = index.lock().unwrap();
    assert_eq!(index.len(), 96);
    assert!(index.values().all(|times| *times == 1));
    let status = client.status();
    assert_eq!(status.counters.events_rejected[0].count, 4);
    assert_eq!(status.gate, GateState::Open, "the endpoint is not to blame");
}

#[tokio::test]
async fn a_refused_index_rejects_the_batch_and_says_so() {
    let body = r#"{"text":"Incorrect index","code":7,"invalid-event-number":1}"#;
    let server = Server::answering(vec![reply(400, body)]).await;
    let outcome = client(&server).deliver(batch(9), &CancellationToken::new()).await;
    assert_eq!(outcome.total(), tally(9));
    assert_eq!(outcome.rejected.len(), 1);
    assert_eq!((outcome.rejected[0].code, outcome.rejected[0].tally), (Some(HecCode::INDEX), tally(9)));
    assert_eq!(outcome.rejected[0].body, batch(9).body());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn too_large_requests_become_smaller_ones_and_stay_so() {
    let limit = 50_000;
    let server = Server::start(move |_, request| {
        if request.body.len() > limit { reply(413, "<html>too large</html>") } else { success() }
    })
    .await;
    let client = client(&server);
    let outcome = client.deliver(batch_of(300, 1000), &CancellationToken::new()).await;
    assert_eq!((outcome.delivered, outcome.rejected), (tally(300), vec![]));
    let refused = |seen: &[Seen]| seen.iter().filter(|request| request.body.len() > limit).count();
    let before = server.seen();
    assert!(refused(&before) > 0);
    client.deliver(batch_of(300, 1000), &CancellationToken::new()).await;
    let after = server.seen();
    assert_eq!(refused(&after), refused(&before), "the limit is remembered");
    let mut mixed = Batch::new(Arc::from("main"), 1024);
    mixed.buffer().extend_from_slice("x".repeat(limit + 1).as_bytes());
    mixed.commit(1);
    for line in batch_of(30, 1000).body().split_inclusive(|byte| *byte == b'\n') {
        mixed.buffer().extend_from_slice(line);
        mixed.commit(1);
    }
    let client = Arc::new(client);
    let mut delivery = Tasks::new();
    let its_client = client.clone();
    delivery.spawn("delivery", async move { its_client.deliver(mixed, &CancellationToken::new()).await });
    until(&client, held).await;
    skip(Duration::from_secs(5)).await;
    let outcome = ended(delivery).await;
    assert_eq!(outcome.delivered.events, 30);
    assert_eq!((outcome.rejected[0].code, outcome.rejected[0].status.as_u16()), (None, 413));
    assert_eq!(outcome.rejected[0].tally.events, 1, "only what is too large by itself");
}

#[tokio::test]
async fn gzip_is_given_up_after_a_415() {
    let server = Server::start(|_, request| match request.header("content-encoding") {
        Some(_) => reply(415, "<html>no</html>"),
        None => success(),
    })
    .await;
    let client = client(&server);
    deliver_all(&client, 30).await;
    deliver_all(&client, 30).await;
    let compressed = server.seen().iter().filter(|seen| seen.header("content-encoding").is_some()).count();
    assert_eq!((server.seen().len(), compressed), (3, 1));
}

#[tokio::test]
async fn gzip_is_given_up_when_only_the_plain_body_is_understood() {
    let server = Server::start(|_, request| match request.header("content-encoding") {
        Some(_) => reply(400, r#"{"text":"Invalid data format","code":6}"#),
        None => success(),
    })
    .await;
    let client = client(&server);
    deliver_all(&client, 30).await;
    deliver_all(&client, 30).await;
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_channel_is_sent_once_it_is_asked_for() {
    let server = Server::start(|_, request| match request.header("x-splunk-request-channel") {
        None => reply(400, r#"{"text":"Data channel is missing","code":10}"#),
        Some(_) => reply(200, r#"{"text":"Success","code":0,"ackId":0}"#),
    })
    .await;
    let client = client(&server);
    deliver_all(&client, 3).await;
    deliver_all(&client, 3).await;
    let channels: Vec<_> =
        server.seen().iter().map(|it| it.header("x-splunk-request-channel").map(str::to_owned)).collect();
    assert_eq!(channels.len(), 3);
    assert_eq!((&channels[0], &channels[1]), (&None, &channels[2]));
}

#[tokio::test]
async fn a_compatible_server_is_served_in_lenient_mode() {
    let server = Server::answering(vec![reply(201, "\"OK\""), reply(204, "")]).await;
    let mut config = config(&server);
    config.response = crate::hec::ResponseMode::Lenient;
    let client = Client::new(config).unwrap();
    deliver_all(&client, 3).await;
    deliver_all(&client, 3).await;
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn many_deliveries_run_at_once() {
    let index = Arc::new(Mutex::new(BTreeMap::new()));
    let server = Server::start(splunk(vec![5], index.clone())).await;
    let client = client(&server);
    let stop = CancellationToken::new();
    let outcomes = join_all((0..16).map(|_| client.deliver(batch(40), &stop))).await;
    assert!(outcomes.iter().all(|outcome| outcome.delivered.events == 39 && outcome.total() == tally(40)));
    let index = index.lock().unwrap();
    assert!(index.len() == 39 && index.values().all(|times| *times == 16));
}
