//! The pool on a clock that the test moves; nothing is sent.

use futures_util::FutureExt;
use tokio::task::unconstrained;
use url::Url;

use super::member::Ended;
use super::*;
use crate::hec::config::FailoverConfig;
use crate::hec::gate::{GateState, Signal};
use crate::hec::hold::HoldReason;

const DOWN: Signal = Signal::Down { after: Some(Duration::from_secs(20)) };

fn urls(names: &[&str]) -> Vec<Url> {
    names.iter().map(|name| format!("http://{name}.test").parse().unwrap()).collect()
}

/// Endpoints at these names; they connect by name, since nothing is looked up.
fn pool(primary: &[&str], failover: &[&str]) -> Arc<Pool> {
    let failover = FailoverConfig { urls: urls(failover), token: "token".into() };
    let config = ClientConfig {
        failover: Some(failover).filter(|site| !site.urls.is_empty()),
        ..ClientConfig::with_urls(urls(primary), "token".into())
    };
    Arc::new(Pool::new(&config).unwrap())
}

fn address(last: u8) -> SocketAddr {
    ([192, 0, 2, last], 8088).into()
}

fn end(mut lease: Lease, signal: Signal) {
    let began = Some(Instant::now());
    let push_back = matches!(signal, Signal::Down { .. });
    lease
        .report(Ended { bytes: 1000, began, signal, push_back, reopened: false, error: None }, Speak::NotNow);
}

fn name(lease: &Lease) -> String {
    let endpoint = &lease.member().endpoint;
    let host = Url::parse(endpoint.url()).unwrap().host_str().unwrap().trim_end_matches(".test").to_owned();
    endpoint.address().map_or(host, |address| address.ip().to_string())
}

/// A lease that is there at once, however many there were before.
fn now(pool: &Arc<Pool>) -> Option<Lease> {
    unconstrained(pool.lease(1000, None)).now_or_never()
}

/// Who gets the next so many requests, each of which is answered at once.
fn chosen(pool: &Arc<Pool>, requests: usize) -> Vec<String> {
    let mut names: Vec<_> = (0..requests)
        .map(|_| {
            let lease = now(pool).unwrap();
            let name = name(&lease);
            end(lease, Signal::Up);
            name
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Closes the gate of an endpoint.
fn close(pool: &Arc<Pool>, which: &str, signal: Signal) {
    for member in pool.members() {
        let permit = member.gate.enter();
        let lease = permit.map(|permit| Lease::new(Arc::clone(pool), Arc::clone(&member), permit, 0));
        if let Some(lease) = lease.filter(|lease| name(lease) == which) {
            end(lease, signal);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_for_a_closed_endpoint_while_another_is_open() {
    let pool = pool(&["a", "b", "c"], &[]);
    assert_eq!(chosen(&pool, 100), ["a", "b", "c"]);
    close(&pool, "b", DOWN);
    assert_eq!(chosen(&pool, 100), ["a", "c"]);
    close(&pool, "a", Signal::Hold(HoldReason::Channel));
    assert_eq!(chosen(&pool, 100), ["c"]);
    // Even when its pause is over: it is tried beside deliveries.
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(chosen(&pool, 100), ["c"]);
    close(&pool, "c", DOWN);
    let tried = (now(&pool).unwrap(), now(&pool).unwrap());
    assert!(now(&pool).is_none(), "one request tries each of those that had their pause");
    let mut names = [name(&tried.0), name(&tried.1)];
    names.sort_unstable();
    assert_eq!(names, ["a", "b"]);
    end(tried.0, Signal::Up);
    assert!(now(&pool).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_failed_goes_elsewhere_if_there_is_an_elsewhere() {
    let two = pool(&["a", "b"], &[]);
    for member in two.members() {
        for _ in 0..20 {
            let lease = two.lease(1000, Some(member.id)).now_or_never().unwrap();
            assert_ne!(lease.member().id, member.id);
            end(lease, Signal::Up);
        }
    }
    let one = pool(&["a"], &[]);
    let id = one.members()[0].id;
    assert!(one.lease(1000, Some(id)).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_on_the_way_the_only_endpoint_is_used_again_in_a_moment() {
    let pool = pool(&["a"], &[]);
    end(now(&pool).unwrap(), Signal::Strike);
    assert_eq!(pool.status().gate, GateState::Open);
    let failed = Instant::now();
    end(pool.lease(1000, None).await, Signal::Up);
    assert!(failed.elapsed() <= Duration::from_millis(250));
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_are_under_way_than_the_limit_and_a_place_is_handed_on_in_turn() {
    let pool = pool(&["a"], &[]);
    let mut leases: Vec<_> = std::iter::from_fn(|| now(&pool)).take(100).collect();
    assert_eq!(leases.len(), pool.status().endpoints[0].in_flight_max);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = Tasks::new();
    for number in 0..3 {
        let (pool, order) = (Arc::clone(&pool), Arc::clone(&order));
        waiting.spawn("waiting", async move {
            let lease = pool.lease(1000, None).await;
            order.lock().unwrap().push(number);
            end(lease, Signal::Up);
        });
        tokio::task::yield_now().await;
    }
    end(leases.pop().unwrap(), Signal::Up);
    // Who has just given back a place is not served before those who wait.
    assert!(now(&pool).is_none());
    while waiting.join_next().await.is_some() {}
    assert_eq!(*order.lock().unwrap(), [0, 1, 2]);
    assert!(now(&pool).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_dropped_leaves_nothing_behind() {
    let pool = pool(&["a"], &[]);
    for _ in 0..100 {
        drop(now(&pool).unwrap());
    }
    close(&pool, "a", DOWN);
    tokio::time::advance(Duration::from_secs(20)).await;
    for _ in 0..100 {
        drop(now(&pool).unwrap());
    }
    assert_eq!(pool.status().endpoints[0].in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn addresses_replace_the_name_and_later_ones_start_slowly() {
    let pool = pool(&["a"], &[]);
    let under_way = now(&pool).unwrap();
    let target = Arc::clone(&pool.targets[0]);
    pool.apply(&target, &[address(1), address(2)]);
    assert_eq!(chosen(&pool, 100), ["192.0.2.1", "192.0.2.2"]);
    let limits = |pool: &Pool| -> Vec<_> {
        pool.status().endpoints.iter().map(|endpoint| endpoint.in_flight_max).collect()
    };
    let usual = limits(&pool)[0];
    assert_eq!(limits(&pool), [usual; 2], "those known from the start begin as such");
    pool.apply(&target, &[address(2), address(3)]);
    assert_eq!(limits(&pool), [usual, 1]);
    assert_eq!(chosen(&pool, 1000), ["192.0.2.2", "192.0.2.3"]);
    end(under_way, Signal::Up);
    let same: Vec<_> = pool.members().iter().map(|member| member.id).collect();
    pool.apply(&target, &[address(2), address(3)]);
    assert_eq!(pool.members().iter().map(|member| member.id).collect::<Vec<_>>(), same);
}

#[tokio::test(start_paused = true)]
async fn the_second_site_gets_requests_after_five_seconds_and_none_when_the_first_is_back() {
    let pool = pool(&["a"], &["x", "y"]);
    assert_eq!(chosen(&pool, 100), ["a"]);
    close(&pool, "a", Signal::Hold(HoldReason::Channel));
    assert!(now(&pool).is_none(), "a moment is no reason to go elsewhere");
    let closed = Instant::now();
    let lease = pool.lease(1000, None).await;
    assert_eq!(closed.elapsed(), FAILOVER_AFTER);
    assert!(["x", "y"].contains(&name(&lease).as_str()));
    end(lease, Signal::Up);
    assert_eq!(chosen(&pool, 100), ["x", "y"]);
    assert_eq!(pool.status().site, Site::Failover);
    let first = Arc::clone(&pool.members()[0]);
    let question = Lease::new(Arc::clone(&pool), Arc::clone(&first), first.gate.enter().unwrap(), 0);
    assert_eq!(chosen(&pool, 100), ["x", "y"], "as long as nothing is known");
    end(question, Signal::Up);
    assert_eq!(chosen(&pool, 100), ["a"]);
    assert_eq!(pool.status().site, Site::Primary);
}

#[tokio::test(start_paused = true)]
async fn callers_have_no_more_batches_in_hand_than_endpoints_can_take() {
    let pool = pool(&["a", "b", "c"], &["x"]);
    let slot = || unconstrained(pool.slot()).now_or_never();
    let mut slots: Vec<_> = std::iter::from_fn(slot).take(1000).collect();
    let limits: usize = pool.status().endpoints[..3].iter().map(|endpoint| endpoint.in_flight_max).sum();
    assert_eq!(slots.len(), limits);
    slots.pop();
    assert!(slot().is_some());
    for name in ["a", "b", "c", "x"] {
        close(&pool, name, DOWN);
    }
    assert!(slot().is_none());
    slots.truncate(7);
    assert!(slot().is_some(), "some are at hand for who comes back");
}
