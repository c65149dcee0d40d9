//! What a client can tell about itself: for `/ready`, the status page and tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;

use super::ack::AckStatus;
use super::classify::Taken;
use super::gate::GateState;
use super::outcome::Outcome;
use super::pool::Site;
use super::reply::HecCode;
use super::transport::Exchange;
use crate::clock::UnixNanos;

/// Pairs of status and code counted apart; a server that makes up more shares one line.
const REPLY_KINDS_MAX: usize = 64;

/// A client at one moment. Serializes to JSON without any secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Where events are posted to: the URLs of the active site.
    pub url: String,
    /// The site that gets the events.
    pub site: Site,
    /// Whether requests flow. While one endpoint takes them they do; else it is as the one that
    /// needs an operator, or is tried next.
    #[serde(flatten)]
    pub gate: GateState,
    /// What an operator can do, while no requests flow.
    pub next_step: Option<&'static str>,
    /// Since when the gate is as it is: milliseconds since the Unix epoch.
    pub since_unix_ms: i64,
    /// Milliseconds until an endpoint is asked again, when all gates are closed.
    pub next_try_ms: Option<u64>,
    /// Counters since the start.
    #[serde(flatten)]
    pub counters: Counters,
    /// The last thing that went wrong.
    pub last_error: Option<LastError>,
    /// Acknowledgement by indexers.
    pub acks: AckStatus,
    /// Each address of each URL of each site.
    pub endpoints: Vec<EndpointStatus>,
}

/// An endpoint at one moment. Counters are those of this address since it became known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointStatus {
    /// Where events are posted to.
    pub url: String,
    /// The address behind it. None: it is reached by name, through a proxy for example.
    pub address: Option<SocketAddr>,
    /// Of which site it is.
    pub site: Site,
    /// Whether it takes requests.
    #[serde(flatten)]
    pub gate: GateState,
    /// What an operator can do, while it does not.
    pub next_step: Option<&'static str>,
    /// Since when the gate is as it is: milliseconds since the Unix epoch.
    pub since_unix_ms: i64,
    /// Milliseconds until it is asked again, when the gate is closed.
    pub next_try_ms: Option<u64>,
    /// Requests sent, questions included.
    pub requests: u64,
    /// Those that failed on the way, or that it turned away.
    pub failures: u64,
    /// Requests under way.
    pub in_flight: usize,
    /// The most that may be, at present.
    pub in_flight_max: usize,
    /// Bytes under way, before compression.
    pub in_flight_bytes: usize,
    /// How long a request takes, if that is known.
    pub latency_ms: Option<u64>,
    /// The last thing that went wrong.
    pub last_error: Option<LastError>,
}

/// The last thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// In words.
    pub text: String,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: i64,
}

impl LastError {
    pub(crate) fn now(text: String) -> Self {
        Self { text, unix_ms: unix_ms(UnixNanos::now()) }
    }
}

/// Counters since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Requests with events that were sent, or tried to be.
    pub requests: u64,
    /// Replies by HTTP status and HEC code.
    pub replies: Vec<ReplyCount>,
    /// Requests that no connection could be had for.
    pub unreachable: u64,
    /// Requests whose connection ended, or whose time ran out, before a reply.
    pub interrupted: u64,
    /// Requests to be sent again because the endpoint was away or busy.
    pub retries: u64,
    /// Requests sent again although the first one may have been taken: possible duplicates.
    pub ambiguous_resends: u64,
    /// Bytes of request bodies before compression.
    pub bytes_raw: u64,
    /// Bytes of request bodies as sent.
    pub bytes_wire: u64,
    /// Events taken and, where indexers acknowledge, confirmed.
    pub events_delivered: u64,
    /// Their bytes, before compression.
    pub bytes_delivered: u64,
    /// Events taken that were to be confirmed, which was not waited for.
    pub events_unconfirmed: u64,
    /// Events refused, by HTTP status and HEC code.
    pub events_rejected: Vec<ReplyCount>,
    /// Events given up on.
    pub events_abandoned: u64,
}

/// How often a status came with a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ReplyCount {
    /// HTTP status; 0 for all that found no line of their own.
    pub status: u16,
    /// HEC code, where there was one.
    pub code: Option<i64>,
    /// How often.
    pub count: u64,
}

/// Where the counting is done, by all senders.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    counters: Counters,
    replies: BTreeMap<(u16, Option<i64>), u64>,
    rejected: BTreeMap<(u16, Option<i64>), u64>,
    last_error: Option<LastError>,
}

impl Ledger {
    /// A request is about to be sent; `doubt` is that of the one it repeats.
    pub(crate) fn request(&self, raw: usize, wire: usize, doubt: Taken) {
        self.with(|inner| {
            inner.counters.requests += 1;
            inner.counters.bytes_raw += raw as u64;
            inner.counters.bytes_wire += wire as u64;
            inner.counters.ambiguous_resends += u64::from(doubt == Taken::Perhaps);
        });
    }

    /// A request ended.
    pub(crate) fn exchange(&self, exchange: &Exchange) {
        self.with(|inner| match exchange {
            Exchange::Reply { status, body, .. } => count(&mut inner.replies, *status, body.code(), 1),
            Exchange::Failed { failure, .. } => match failure {
                super::classify::TransportFailure::Interrupted => inner.counters.interrupted += 1,
                super::classify::TransportFailure::Unreachable
                | super::classify::TransportFailure::Certificate
                | super::classify::TransportFailure::NotTls
                | super::classify::TransportFailure::ProxyAuthentication => inner.counters.unreachable += 1,
            },
        });
    }

    /// Events were taken.
    pub(crate) fn taken(&self, bytes: usize) {
        self.with(|inner| inner.counters.bytes_delivered += bytes as u64);
    }

    /// A request is to be sent again.
    pub(crate) fn retry(&self) {
        self.with(|inner| inner.counters.retries += 1);
    }

    /// Something went wrong.
    pub(crate) fn error(&self, text: String) {
        self.with(|inner| inner.last_error = Some(LastError::now(text)));
    }

    /// A delivery ended.
    pub(crate) fn outcome(&self, outcome: &Outcome) {
        self.with(|inner| {
            inner.counters.events_delivered += outcome.delivered.events;
            inner.counters.events_unconfirmed += outcome.unconfirmed.events;
            inner.counters.events_abandoned += outcome.abandoned.events;
            for rejection in &outcome.rejected {
                count(&mut inner.rejected, rejection.status, rejection.code, rejection.tally.events);
            }
        });
    }

    /// The status, made of that of all endpoints; there is at least one.
    pub(crate) fn status(&self, site: Site, endpoints: Vec<EndpointStatus>, acks: AckStatus) -> Status {
        let shown = representative(&endpoints);
        let gate = shown.map_or(GateState::Paused, |endpoint| endpoint.gate);
        let next_step = shown.and_then(|endpoint| endpoint.next_step);
        let since_unix_ms = shown.map_or(0, |endpoint| endpoint.since_unix_ms);
        let next_try_ms = endpoints.iter().filter_map(|endpoint| endpoint.next_try_ms).min();
        self.with(|inner| Status {
            url: urls(&endpoints, site),
            site,
            gate,
            next_step,
            since_unix_ms,
            next_try_ms: next_try_ms.filter(|_| gate != GateState::Open),
            counters: Counters {
                replies: list(&inner.replies),
                events_rejected: list(&inner.rejected),
                ..inner.counters.clone()
            },
            last_error: inner.last_error.clone(),
            acks,
            endpoints,
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The endpoint that stands for all: the one that has been open for longest, else the one that
/// only an operator can help, else the one that is tried next.
fn representative(endpoints: &[EndpointStatus]) -> Option<&EndpointStatus> {
    endpoints.iter().min_by_key(|endpoint| match endpoint.gate {
        GateState::Open => (0, endpoint.since_unix_ms, None),
        GateState::Held { .. } => (1, endpoint.since_unix_ms, None),
        GateState::Paused => (2, 0, endpoint.next_try_ms),
    })
}

/// The URLs of a site, each once, in their order.
fn urls(endpoints: &[EndpointStatus], site: Site) -> String {
    let mut urls: Vec<&str> = Vec::new();
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.site == site) {
        if !urls.contains(&endpoint.url.as_str()) {
            urls.push(&endpoint.url);
        }
    }
    urls.join(", ")
}

/// When something began that has lasted so long: milliseconds since the Unix epoch.
pub(crate) fn since(lasting: Duration) -> i64 {
    unix_ms(UnixNanos(UnixNanos::now().0.saturating_sub(nanos(lasting))))
}

fn count(kinds: &mut BTreeMap<(u16, Option<i64>), u64>, status: StatusCode, code: Option<HecCode>, by: u64) {
    let kind = (status.as_u16(), code.map(|code| code.0));
    let full = kinds.len() >= REPLY_KINDS_MAX && !kinds.contains_key(&kind);
    *kinds.entry(if full { (0, None) } else { kind }).or_default() += by;
}

fn list(kinds: &BTreeMap<(u16, Option<i64>), u64>) -> Vec<ReplyCount> {
    kinds.iter().map(|(&(status, code), &count)| ReplyCount { status, code, count }).collect()
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

fn unix_ms(time: UnixNanos) -> i64 {
    time.0.div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hec::ack::AckConfig;
    use crate::hec::ack::desk::Desk;
    use crate::hec::hold::HoldReason;
    use crate::hec::reply::ReplyBody;

    const HELD: GateState = GateState::Held {
        reason: HoldReason::Token { status: StatusCode::FORBIDDEN, code: Some(HecCode(4)) },
    };

    fn status(ledger: &Ledger, site: Site, endpoints: Vec<EndpointStatus>) -> Status {
        ledger.status(site, endpoints, Desk::new(AckConfig::default()).status(None, 0))
    }

    fn endpoint(url: &str, site: Site, gate: GateState, since_unix_ms: i64) -> EndpointStatus {
        EndpointStatus {
            url: url.to_owned(),
            address: None,
            site,
            gate,
            next_step: gate.next_step(),
            since_unix_ms,
            next_try_ms: (gate != GateState::Open).then_some(5000),
            requests: 0,
            failures: 0,
            in_flight: 0,
            in_flight_max: 4,
            in_flight_bytes: 0,
            latency_ms: None,
            last_error: None,
        }
    }

    #[test]
    fn reply_kinds_are_bounded_and_none_is_lost() {
        let ledger = Ledger::default();
        for code in 0..200 {
            let body = ReplyBody::parse(format!("{{\"code\":{code}}}").as_bytes());
            ledger.exchange(&Exchange::Reply { status: StatusCode::OK, retry_after: None, body });
        }
        let replies = status(&ledger, Site::Primary, Vec::new()).counters.replies;
        assert_eq!(replies.len(), REPLY_KINDS_MAX + 1);
        assert_eq!(replies.iter().map(|kind| kind.count).sum::<u64>(), 200);
        assert_eq!(replies[0], ReplyCount { status: 0, code: None, count: 200 - REPLY_KINDS_MAX as u64 });
    }

    #[test]
    fn the_status_says_in_json_what_is_wrong_and_what_to_do() {
        let ledger = Ledger::default();
        ledger.error("token refused".to_owned());
        let held = endpoint("http://s/", Site::Primary, HELD, since(Duration::from_secs(3)));
        let json = serde_json::to_value(status(&ledger, Site::Primary, vec![held])).unwrap();
        for shown in [&json, &json["endpoints"][0]] {
            assert_eq!(shown["state"], "held");
            assert_eq!(shown["reason"], "token refused with status 403 and code 4");
            assert_eq!(shown["next_try_ms"], 5000);
            assert!(shown["next_step"].as_str().unwrap().contains("token"));
        }
        assert_eq!(json["last_error"]["text"], "token refused");
        let since = json["since_unix_ms"].as_i64().unwrap();
        let error_at = json["last_error"]["unix_ms"].as_i64().unwrap();
        assert!((0..60_000).contains(&(error_at - since)));
    }

    #[test]
    fn one_endpoint_stands_for_all() {
        let (open, paused) = (GateState::Open, GateState::Paused);
        let cases = [
            (vec![(open, 7), (open, 5), (paused, 1)], open, 5, None),
            (vec![(paused, 1), (open, 9), (HELD, 2)], open, 9, None),
            (vec![(paused, 3), (HELD, 8)], HELD, 8, Some(5000)),
            (vec![(paused, 3)], paused, 3, Some(5000)),
        ];
        for (gates, gate, since, next_try) in cases {
            let urls = ["http://a/", "http://b/", "http://a/"].into_iter();
            let endpoints = gates.iter().zip(urls);
            let endpoints =
                endpoints.map(|((gate, since), url)| endpoint(url, Site::Primary, *gate, *since)).collect();
            let status = status(&Ledger::default(), Site::Primary, endpoints);
            assert_eq!((status.gate, status.since_unix_ms, status.next_try_ms), (gate, since, next_try));
        }
        let endpoints =
            ["http://a/", "http://b/", "http://a/"].map(|url| endpoint(url, Site::Primary, open, 0));
        let mut endpoints = endpoints.to_vec();
        endpoints.push(endpoint("http://c/", Site::Failover, open, 0));
        assert_eq!(status(&Ledger::default(), Site::Primary, endpoints.clone()).url, "http://a/, http://b/");
        assert_eq!(status(&Ledger::default(), Site::Failover, endpoints).url, "http://c/");
    }
}
