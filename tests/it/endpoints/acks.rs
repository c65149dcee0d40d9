//! Acks with several indexers: behind one address, behind cookies, and behind a name that changes.
//!
//! Time is scaled: what takes seconds and minutes takes milliseconds here, but for what a slow machine must not
//! outlast.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use firehose_nozzle::hec::batch::Tally;
use firehose_nozzle::hec::{AckConfig, AckMode, AckStatus, AckTiming, ClientConfig, GateState, Outcome};
use firehose_nozzle::sim::hec::{
    AckFault, Action, Code, CookieValue, Endpoint, HecServer, HecServerConfig, Reply, Rule, Token,
};
use firehose_nozzle::task::Tasks;
use firehose_nozzle::tls;
use futures_util::future::{join_all, select_all};
use http::header::{CONNECTION, COOKIE, HOST, SET_COOKIE};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::world::{
    BATCH, Names, PATIENCE, Sender, TOKEN, assert_complete, assert_exactly, batch, config, config_behind,
    indexed,
};

/// More than an ack takes here, whatever else the machine has to do.
const SOON: Duration = Duration::from_secs(3);

/// Longer than any test.
const NEVER: Duration = Duration::from_hours(1000);

async fn indexer(delay: Duration) -> HecServer {
    let mut config = HecServerConfig::new(vec![Token::new("nozzle", TOKEN).with_acks()]);
    config.acks.delay = delay;
    config.acks.idle = NEVER;
    HecServer::start(config).await.unwrap()
}

async fn indexers<const N: usize>(delay: Duration) -> [HecServer; N] {
    join_all((0..N).map(|_| indexer(delay))).await.try_into().unwrap()
}

fn with_acks(mode: AckMode, timeout: Duration, config: ClientConfig) -> ClientConfig {
    // Polls come fast; what is counted together, and how long acks are left alone, is as it is.
    let AckTiming { breaks_within, distrust, distrust_max, .. } = AckTiming::default();
    let timing = AckTiming { breaks_within, distrust, distrust_max, ..AckTiming::default().faster(50) };
    ClientConfig { acks: AckConfig { mode, timeout, timing, ..AckConfig::default() }, ..config }
}

/// Delivers numbered events, so many batches at a time; each has to be settled as taken.
async fn deliver(sender: &Sender, numbers: Range<u64>, at_a_time: usize) -> Outcome {
    let firsts: Vec<_> = numbers.clone().step_by(BATCH as usize).collect();
    let mut sum = Outcome::default();
    for firsts in firsts.chunks(at_a_time) {
        let stop = CancellationToken::new();
        let deliveries =
            firsts.iter().map(|first| sender.client.deliver(batch(*first..first + BATCH), &stop));
        for outcome in join_all(deliveries).await {
            assert_eq!(outcome.total(), Tally { events: BATCH, units: BATCH });
            sum.delivered += outcome.delivered;
            sum.unconfirmed += outcome.unconfirmed;
        }
    }
    let taken = sum.delivered.events + sum.unconfirmed.events;
    assert_eq!(taken, numbers.end - numbers.start, "{sum:?}");
    sum
}

/// Nothing is lost; gives how many came twice, which are no more than were sent again.
fn assert_bound(servers: &[HecServer], numbers: Range<u64>, acks: &AckStatus) -> u64 {
    let duplicates = assert_complete(servers, numbers);
    assert!(duplicates <= acks.counters.batches_resent * BATCH, "{duplicates} came twice: {acks:?}");
    duplicates
}

/// Sends each connection to the next of these.
async fn connection_balancer(backends: Vec<SocketAddr>) -> (SocketAddr, Tasks<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = Tasks::new();
    tasks.spawn("balancer", async move {
        let mut connections = Tasks::new();
        for backend in backends.iter().cycle().copied() {
            let (mut client, _) = listener.accept().await.unwrap();
            connections.spawn("connection", async move {
                let mut server = TcpStream::connect(backend).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, tasks)
}

#[tokio::test]
async fn two_indexers_behind_connections_are_found_out_and_their_acks_left_alone() {
    let servers = indexers::<2>(Duration::from_millis(40)).await;
    let addresses = servers.each_ref().map(|server| server.address());
    let (address, _balancer) = connection_balancer(addresses.to_vec()).await;
    let url = format!("http://{address}");
    let sender = Sender::new(with_acks(AckMode::Auto, SOON, config(&[&url])));
    let outcome = deliver(&sender, 0..1500, 8).await;
    let acks = sender.status().acks;
    assert_bound(&servers, 0..1500, &acks);
    assert!(acks.counters.epoch_breaks >= 3 && acks.endpoints_distrusted == 1, "{acks:?}");
    assert!(outcome.unconfirmed.events > 1000, "{outcome:?}");
    assert!(acks.counters.batches_resent < 40, "{acks:?}");
}

#[tokio::test]
async fn two_indexers_behind_connections_hold_a_client_that_requires_acks() {
    let servers = indexers::<2>(Duration::from_millis(40)).await;
    let addresses = servers.each_ref().map(|server| server.address());
    let (address, _balancer) = connection_balancer(addresses.to_vec()).await;
    let url = format!("http://{address}");
    let sender = Sender::new(with_acks(AckMode::Required, SOON, config(&[&url])));
    let stop = CancellationToken::new();
    let held = async {
        let held = |state| matches!(state, GateState::Held { .. });
        let status = sender.until("it is held", |status| held(status.gate)).await;
        assert!(status.next_step.unwrap().contains("name every indexer"), "{:?}", status.next_step);
        stop.cancel();
    };
    let deliveries = join_all((0..300).step_by(BATCH as usize).map(|first| {
        let stop = &stop;
        let client = &sender.client;
        async move { client.deliver(batch(first..first + BATCH), stop).await }
    }));
    let (outcomes, ()) = tokio::join!(deliveries, held);
    let mut total = Outcome::default();
    for outcome in outcomes {
        assert_eq!(outcome.total().events, BATCH);
        total.delivered += outcome.delivered;
        total.undelivered += outcome.undelivered;
        total.unconfirmed += outcome.unconfirmed;
    }
    let there = indexed(&servers);
    assert!(there.len() as u64 >= total.delivered.events + total.unconfirmed.events, "{total:?}");
    let acks = sender.status().acks;
    let copies = there.values().sum::<u64>() - there.len() as u64;
    assert!(copies <= acks.counters.batches_resent * BATCH, "{copies} {acks:?}");
}

/// Sends each request to the backend its cookie names, or to the next.
#[derive(Clone)]
struct Sticky {
    backends: Arc<[SocketAddr]>,
    http: reqwest::Client,
    next: Arc<AtomicUsize>,
    /// By how many the names of the backends are shifted.
    shift: Arc<AtomicUsize>,
}

impl Sticky {
    async fn start(servers: &[HecServer]) -> (SocketAddr, Self, Tasks<()>) {
        tls::install_provider();
        let sticky = Self {
            backends: servers.iter().map(HecServer::address).collect(),
            http: reqwest::Client::new(),
            next: Arc::default(),
            shift: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(forward).with_state(sticky.clone());
        let mut tasks = Tasks::new();
        tasks.spawn("balancer", async move { axum::serve(listener, router).await.unwrap() });
        (address, sticky, tasks)
    }

    /// A backend's name, and whether it has to be told.
    fn choose(&self, request: &Request) -> (usize, bool) {
        let cookies = request.headers().get(COOKIE).and_then(|value| value.to_str().ok());
        let named =
            cookies.and_then(|cookies| cookies.split_once("node=")?.1.split(';').next()?.parse().ok());
        let shift = self.shift.load(Relaxed);
        match named.filter(|name| (shift..shift + self.backends.len()).contains(name)) {
            Some(name) => (name, false),
            None => (shift + self.next.fetch_add(1, Relaxed) % self.backends.len(), true),
        }
    }
}

async fn forward(State(sticky): State<Sticky>, request: Request) -> Response {
    let (name, is_new) = sticky.choose(&request);
    let backend = sticky.backends[name % sticky.backends.len()];
    let (head, body) = request.into_parts();
    let url = format!("http://{backend}{}", head.uri.path());
    let mut headers = head.headers;
    headers.remove(HOST);
    headers.remove(CONNECTION);
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let forwarded = sticky.http.request(head.method, url).headers(headers).body(body).send().await.unwrap();
    let mut reply = Response::builder().status(forwarded.status());
    if is_new {
        reply = reply.header(SET_COOKIE, format!("node={name}; Path=/; HttpOnly"));
    }
    reply.body(Body::from(forwarded.bytes().await.unwrap())).unwrap()
}

/// Waits until the client has a cookie, and asks for those of further lanes.
async fn warm(servers: &[HecServer]) {
    let polls: Vec<_> =
        servers.iter().map(|server| Box::pin(server.wait_until(PATIENCE, |seen| seen.polls > 0))).collect();
    select_all(polls).await.0.unwrap();
}

#[tokio::test]
async fn cookies_lead_polls_to_the_indexer_that_has_the_data() {
    let servers = indexers::<2>(Duration::from_millis(40)).await;
    let (address, _, _balancer) = Sticky::start(&servers).await;
    let url = format!("http://{address}");
    let sender = Sender::known(with_acks(AckMode::Auto, PATIENCE, config(&[&url])), 1).await;
    warm(&servers).await;
    let outcome = deliver(&sender, 0..2000, 8).await;
    assert_exactly(&servers, 0..2000);
    assert_eq!(outcome.unconfirmed.events, 0);
    let acks = sender.status().acks;
    assert_eq!((acks.counters.epoch_breaks, acks.counters.timeouts), (0, 0), "{acks:?}");
    assert!(servers.iter().all(|server| server.snapshot().ledger.events > 200), "several lanes, so both");
}

#[tokio::test]
async fn a_cookie_that_leads_elsewhere_costs_what_was_pending_at_most() {
    let servers = indexers::<2>(Duration::from_millis(60)).await;
    let (address, balancer, _tasks) = Sticky::start(&servers).await;
    let url = format!("http://{address}");
    let sender = Sender::known(with_acks(AckMode::Auto, SOON, config(&[&url])), 1).await;
    warm(&servers).await;
    deliver(&sender, 0..400, 8).await;
    let deliveries = deliver(&sender, 400..800, 8);
    let moves = async {
        sender.until("some are pending", |status| status.acks.pending_batches > 2).await;
        // What the names stood for is gone.
        balancer.shift.fetch_add(7, Relaxed);
    };
    tokio::join!(deliveries, moves);
    assert_bound(&servers, 0..800, &sender.status().acks);
}

#[tokio::test]
async fn cookies_that_change_with_each_reply_mean_nothing() {
    let servers = indexers::<1>(Duration::from_millis(40)).await;
    let cookie = Action::SetCookie { name: "AWSALB".to_owned(), value: CookieValue::Rotating };
    servers[0].add_rule(Rule::always(cookie));
    let sender = Sender::new(with_acks(AckMode::Auto, PATIENCE, config(&[&servers[0].url()])));
    let outcome = deliver(&sender, 0..1000, 8).await;
    assert_exactly(&servers, 0..1000);
    assert_eq!((outcome.delivered.events, sender.status().acks.counters.epoch_breaks), (1000, 0));
}

#[tokio::test]
async fn what_one_indexer_does_not_acknowledge_goes_to_another() {
    let servers = indexers::<2>(Duration::from_millis(40)).await;
    servers[0].add_rule(Rule::on(Endpoint::Event, Action::Ack(AckFault::Never)).requests(1..5));
    // The first one was a question.
    let addresses = servers.each_ref().map(|server| server.address());
    let config = config_behind(&Names::default(), &addresses);
    let sender = Sender::known(with_acks(AckMode::Required, SOON, config), 2).await;
    let outcome = deliver(&sender, 0..400, 8).await;
    let acks = sender.status().acks;
    let duplicates = assert_bound(&servers, 0..400, &acks);
    assert_eq!((acks.counters.timeouts, outcome.delivered.events, duplicates), (4, 400, 4 * BATCH));
}

#[tokio::test]
async fn an_address_that_left_is_asked_for_what_it_has() {
    let servers = indexers::<2>(NEVER / 2).await;
    let names = Names::default();
    let config = config_behind(&names, &[servers[0].address()]);
    let sender = Sender::known(with_acks(AckMode::Auto, NEVER, config), 1).await;
    let stop = CancellationToken::new();
    let delivery = sender.client.deliver(batch(0..BATCH), &stop);
    let leaves = async {
        sender.until("it is pending", |status| status.acks.pending_batches == 1).await;
        names.set("hec.test", &[servers[1].address()]);
        sender.client.probe().await;
        let polls = servers[0].snapshot().polls;
        servers[0].wait_until(PATIENCE, |seen| seen.polls > polls).await.unwrap();
        let only_other = sender.status().endpoints;
        assert_eq!(only_other[0].address, Some(servers[1].address()));
        servers[0].advance(NEVER / 2);
    };
    let (outcome, ()) = tokio::join!(delivery, leaves);
    assert_eq!(outcome.delivered.events, BATCH);
    assert_exactly(&servers, 0..BATCH);
}

#[tokio::test]
async fn what_an_address_that_died_had_is_sent_to_another() {
    let [first, second] = indexers::<2>(NEVER / 2).await;
    let names = Names::default();
    let config = config_behind(&names, &[first.address()]);
    let sender = Sender::known(with_acks(AckMode::Auto, NEVER, config), 1).await;
    let stop = CancellationToken::new();
    let delivery = sender.client.deliver(batch(0..BATCH), &stop);
    let dies = async {
        sender.until("it is pending", |status| status.acks.pending_batches == 1).await;
        let had = indexed([&first]);
        names.set("hec.test", &[second.address()]);
        sender.client.probe().await;
        drop(first);
        second.wait_until(PATIENCE, |seen| seen.ledger.events == BATCH).await.unwrap();
        second.advance(NEVER / 2);
        had
    };
    let (outcome, had) = tokio::join!(delivery, dies);
    assert_eq!((outcome.delivered.events, had.len() as u64), (BATCH, BATCH));
    assert_exactly([&second], 0..BATCH);
    assert_eq!(sender.status().acks.counters.batches_resent, 1);
}

#[tokio::test]
async fn the_part_before_a_bad_event_is_confirmed_by_itself() {
    let servers = indexers::<1>(NEVER / 2).await;
    let sender = Sender::new(with_acks(AckMode::Required, NEVER, config(&[&servers[0].url()])));
    let mut batch = batch(0..4);
    batch.buffer().extend_from_slice(b"{\"event\":tru}\n");
    batch.commit(1);
    for number in 4..6 {
        batch.buffer().extend_from_slice(format!("{{\"event\":\"seq={number:09}\"}}\n").as_bytes());
        batch.commit(1);
    }
    let stop = CancellationToken::new();
    let delivery = sender.client.deliver_or_defer(batch, &stop).await;
    assert_eq!((delivery.outcome.delivered.events, delivery.outcome.rejected.len()), (0, 1));
    let pending: Vec<_> = delivery.pending.iter().map(|pending| pending.tally().events).collect();
    assert_eq!(pending, [4, 2]);
    servers[0].advance(NEVER / 2);
    for pending in delivery.pending {
        let confirmation = pending.confirmation().await;
        assert!(matches!(confirmation, Some(firehose_nozzle::hec::Confirmation::Settled(outcome))
            if outcome.delivered.events > 0 && outcome.unconfirmed.events == 0));
    }
    assert_exactly(&servers, 0..6);
}

#[tokio::test]
async fn nobody_waits_for_acks_that_nobody_asks_for() {
    let servers = indexers::<1>(NEVER).await;
    let config = with_acks(AckMode::Auto, NEVER, config(&[&servers[0].url()]));
    let client = firehose_nozzle::hec::Client::new(config).unwrap();
    let outcome = client.deliver(batch(0..BATCH), &CancellationToken::new()).await;
    assert_eq!((outcome.delivered.events, outcome.unconfirmed.events), (0, BATCH));
    assert_exactly(&servers, 0..BATCH);
}

#[tokio::test]
async fn a_success_without_an_id_is_not_believed_where_acks_are_required() {
    let servers = indexers::<1>(Duration::ZERO).await;
    let odd = Reply::hec(Code::Success);
    servers[0].add_rule(Rule::on(Endpoint::Event, Action::AnswerAfterIndex(odd)).requests(2..3));
    let sender = Sender::known(with_acks(AckMode::Required, NEVER, config(&[&servers[0].url()])), 1).await;
    let outcome = deliver(&sender, 0..4 * BATCH, 1).await;
    assert_eq!(outcome.delivered.events, 4 * BATCH);
    assert_eq!(assert_complete(&servers, 0..4 * BATCH), BATCH, "what was taken without an id, once more");
    assert_eq!(sender.status().counters.ambiguous_resends, 1);
}
