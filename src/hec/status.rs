//! What a client can tell about itself: for `/ready`, the status page and tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;

use super::classify::Taken;
use super::gate::{GateState, GateView};
use super::outcome::Outcome;
use super::reply::HecCode;
use super::transport::Exchange;
use crate::clock::{UnixNanos, millis};

/// Pairs of status and code counted apart; a server that makes up more shares one line.
const REPLY_KINDS_MAX: usize = 64;

/// A client at one moment. Serializes to JSON without any secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Where events are posted to.
    pub url: String,
    /// Whether requests flow.
    #[serde(flatten)]
    pub gate: GateState,
    /// What an operator can do, while no requests flow.
    pub next_step: Option<&'static str>,
    /// Since when the gate is as it is: milliseconds since the Unix epoch.
    pub since_unix_ms: i64,
    /// Milliseconds until the endpoint is asked again, when the gate is closed.
    pub next_try_ms: Option<u64>,
    /// Counters since the start.
    #[serde(flatten)]
    pub counters: Counters,
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
    /// Events taken.
    pub events_delivered: u64,
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
                | super::classify::TransportFailure::NotTls => inner.counters.unreachable += 1,
            },
        });
    }

    /// A request is to be sent again.
    pub(crate) fn retry(&self) {
        self.with(|inner| inner.counters.retries += 1);
    }

    /// Something went wrong.
    pub(crate) fn error(&self, text: String) {
        let unix_ms = unix_ms(UnixNanos::now());
        self.with(|inner| inner.last_error = Some(LastError { text, unix_ms }));
    }

    /// A delivery ended.
    pub(crate) fn outcome(&self, outcome: &Outcome) {
        self.with(|inner| {
            inner.counters.events_delivered += outcome.delivered.events;
            inner.counters.events_abandoned += outcome.abandoned.events;
            for rejection in &outcome.rejected {
                count(&mut inner.rejected, rejection.status, rejection.code, rejection.tally.events);
            }
        });
    }

    pub(crate) fn status(&self, url: &str, gate: GateView) -> Status {
        let since = UnixNanos::now().0.saturating_sub(nanos(gate.lasting));
        self.with(|inner| Status {
            url: url.to_owned(),
            gate: gate.state,
            next_step: gate.state.next_step(),
            since_unix_ms: unix_ms(UnixNanos(since)),
            next_try_ms: gate.next_try.map(millis),
            counters: Counters {
                replies: list(&inner.replies),
                events_rejected: list(&inner.rejected),
                ..inner.counters.clone()
            },
            last_error: inner.last_error.clone(),
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
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
    use crate::hec::reply::ReplyBody;

    #[test]
    fn reply_kinds_are_bounded_and_none_is_lost() {
        let ledger = Ledger::default();
        for code in 0..200 {
            let body = ReplyBody::parse(format!("{{\"code\":{code}}}").as_bytes());
            ledger.exchange(&Exchange::Reply { status: StatusCode::OK, retry_after: None, body });
        }
        let view = GateView { state: GateState::Open, lasting: Duration::ZERO, next_try: None };
        let replies = ledger.status("http://s/", view).counters.replies;
        assert_eq!(replies.len(), REPLY_KINDS_MAX + 1);
        assert_eq!(replies.iter().map(|kind| kind.count).sum::<u64>(), 200);
        assert_eq!(replies[0], ReplyCount { status: 0, code: None, count: 200 - REPLY_KINDS_MAX as u64 });
    }

    #[test]
    fn the_status_says_in_json_what_is_wrong_and_what_to_do() {
        use crate::hec::hold::HoldReason;
        let ledger = Ledger::default();
        ledger.error("token refused".to_owned());
        let reason = HoldReason::Token { status: StatusCode::FORBIDDEN, code: Some(HecCode(4)) };
        let view = GateView {
            state: GateState::Held { reason },
            lasting: Duration::from_secs(3),
            next_try: Some(Duration::from_secs(5)),
        };
        let json = serde_json::to_value(ledger.status("http://s/", view)).unwrap();
        assert_eq!(json["state"], "held");
        assert_eq!(json["reason"], "token refused with status 403 and code 4");
        assert_eq!(json["next_try_ms"], 5000);
        assert_eq!(json["last_error"]["text"], "token refused");
        assert!(json["next_step"].as_str().unwrap().contains("token"));
        let since = json["since_unix_ms"].as_i64().unwrap();
        let error_at = json["last_error"]["unix_ms"].as_i64().unwrap();
        assert!((0..60_000).contains(&(error_at - since)));
    }
}
