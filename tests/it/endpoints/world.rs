//! Collectors, names that lead to them, and a client that delivers numbered events.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firehose_nozzle::hec::batch::Batch;
use firehose_nozzle::hec::pool::resolve::{Addresses, Resolve};
use firehose_nozzle::hec::{Client, ClientConfig, Status};
use firehose_nozzle::sim::hec::{HecServer, HecServerConfig, Token};
use firehose_nozzle::sim::load::sequence_in;
use firehose_nozzle::task::Tasks;
use firehose_nozzle::tls;
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

/// No test waits longer for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

pub(super) const TOKEN: &str = "11111111-2222-3333-4444-555555555555";

/// Events of one request.
pub(super) const BATCH: u64 = 10;

/// A collector without TLS.
pub(super) async fn server() -> HecServer {
    HecServer::start(HecServerConfig::new(vec![Token::new("nozzle", TOKEN)])).await.unwrap()
}

/// Some of them.
pub(super) async fn servers<const N: usize>() -> [HecServer; N] {
    let mut servers = Vec::new();
    for _ in 0..N {
        servers.push(server().await);
    }
    servers.try_into().unwrap()
}

/// An address that refuses connections for as long as the socket lives.
pub(super) fn dead() -> (SocketAddr, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (socket.local_addr().unwrap(), socket)
}

/// Names that lead where the test says.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Arc<Mutex<BTreeMap<String, Vec<SocketAddr>>>>);

impl Names {
    pub(super) fn set(&self, name: &str, addresses: &[SocketAddr]) {
        self.0.lock().unwrap().insert(name.to_owned(), addresses.to_vec());
    }

    /// The name leads nowhere any more.
    pub(super) fn forget(&self, name: &str) {
        self.0.lock().unwrap().remove(name);
    }
}

impl Resolve for Names {
    fn resolve(&self, host: &str, _: u16) -> Addresses {
        let found = self.0.lock().unwrap().get(host).cloned();
        let missing = || io::Error::new(io::ErrorKind::NotFound, "the test knows no such name");
        Box::pin(async move { found.ok_or_else(missing) })
    }
}

/// Settings for these URLs.
pub(super) fn config(urls: &[&str]) -> ClientConfig {
    tls::install_provider();
    let urls = urls.iter().map(|url| url.parse().unwrap()).collect();
    ClientConfig::with_urls(urls, TOKEN.into())
}

/// Settings for `http://hec.test`, which leads to these servers.
pub(super) fn config_behind(names: &Names, addresses: &[SocketAddr]) -> ClientConfig {
    names.set("hec.test", addresses);
    ClientConfig { resolver: Arc::new(names.clone()), ..config(&["http://hec.test"]) }
}

/// A client that is looked after, and deliveries.
pub(super) struct Sender {
    pub(super) client: Arc<Client>,
    _stop: DropGuard,
    _upkeep: Tasks<()>,
}

impl Sender {
    pub(super) fn new(config: ClientConfig) -> Self {
        let client = Arc::new(Client::new(config).unwrap());
        let stop = CancellationToken::new();
        let mut upkeep = Tasks::new();
        upkeep.spawn("upkeep", client.keep_up(stop.clone()));
        upkeep.spawn("files", client.watch_files(stop.clone()));
        Self { client, _stop: stop.drop_guard(), _upkeep: upkeep }
    }

    /// The same, once the endpoints are known.
    pub(super) async fn known(config: ClientConfig, endpoints: usize) -> Self {
        let sender = Self::new(config);
        let known = |status: &Status| {
            status.endpoints.len() == endpoints
                && status.endpoints.iter().all(|endpoint| endpoint.requests > 0)
        };
        sender.until("all endpoints were asked", known).await;
        sender
    }

    /// Delivers numbered events with so many deliveries at a time, until all have a verdict.
    pub(super) async fn deliver(&self, numbers: Range<u64>, at_a_time: usize) {
        let (sender, batches) = async_channel::bounded(1);
        let mut deliveries = Tasks::new();
        for _ in 0..at_a_time {
            let (client, batches) = (Arc::clone(&self.client), batches.clone());
            deliveries.spawn("delivery", async move {
                while let Ok(numbers) = batches.recv().await {
                    let batch = batch(numbers);
                    let all = batch.tally();
                    let outcome = client.deliver(batch, &CancellationToken::new()).await;
                    assert_eq!(outcome.delivered, all, "{outcome:?}");
                }
            });
        }
        for first in numbers.clone().step_by(BATCH as usize) {
            sender.send(first..numbers.end.min(first + BATCH)).await.unwrap();
        }
        drop(sender);
        while let Some(ended) = deliveries.join_next().await {
            ended.unwrap();
        }
    }

    pub(super) fn status(&self) -> Status {
        self.client.status()
    }

    /// Waits until the status is as it should be.
    pub(super) async fn until(&self, what: &str, is: impl Fn(&Status) -> bool) -> Status {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if is(&status) {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "never: {what}; {}",
                serde_json::to_string_pretty(&status).unwrap()
            );
            sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(super) fn batch(numbers: Range<u64>) -> Batch {
    let mut batch = Batch::new("main".into(), 1024);
    for number in numbers {
        batch.buffer().extend_from_slice(format!("{{\"event\":\"seq={number:09}\"}}\n").as_bytes());
        batch.commit(1);
    }
    batch
}

/// What was indexed, all servers together: how often each number.
pub(super) fn indexed<'a>(servers: impl IntoIterator<Item = &'a HecServer>) -> BTreeMap<u64, u64> {
    let mut seen = BTreeMap::new();
    for record in servers.into_iter().flat_map(|server| server.records().unwrap()) {
        let number = sequence_in(std::str::from_utf8(&record.envelope).unwrap()).unwrap();
        *seen.entry(number).or_default() += 1;
    }
    seen
}

/// Everything is there, and nothing twice.
pub(super) fn assert_exactly<'a>(servers: impl IntoIterator<Item = &'a HecServer>, numbers: Range<u64>) {
    assert_eq!(assert_complete(servers, numbers), 0, "duplicates");
}

/// Everything is there; gives how many copies there are beyond one of each.
pub(super) fn assert_complete<'a>(
    servers: impl IntoIterator<Item = &'a HecServer>,
    numbers: Range<u64>,
) -> u64 {
    let seen = indexed(servers);
    let missing: Vec<_> = numbers.clone().filter(|number| !seen.contains_key(number)).collect();
    assert!(missing.is_empty(), "{} of {numbers:?} are missing: {missing:?}", missing.len());
    seen.values().sum::<u64>() - seen.len() as u64
}

/// Events each server has.
pub(super) fn shares<const N: usize>(servers: &[HecServer; N]) -> [u64; N] {
    std::array::from_fn(|at| servers[at].snapshot().ledger.events)
}
