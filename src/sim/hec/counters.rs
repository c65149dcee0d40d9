//! What the server has seen: requests, bytes, connections, tokens, channels.

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use super::code::Code;
use super::config::Endpoint;
use super::ledger::LedgerTotals;

/// Connections whose requests are counted one by one: the most recent ones.
const MAX_CONNECTIONS_KEPT: usize = 4096;
/// Channels told apart; with more the count stays here.
const MAX_CHANNELS_TOLD_APART: usize = 1_000_000;

/// The state of all counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Requests whose head was read.
    pub requests: u64,
    /// Requests answered to the end of the exchange's own work, by endpoint.
    pub answered: BTreeMap<Endpoint, u64>,
    /// Answers by HTTP status.
    pub by_status: BTreeMap<u16, u64>,
    /// Answers by HEC code, where the body is HEC's.
    pub by_code: BTreeMap<u16, u64>,
    /// Requests that ended without an answer: cut by the script, given up by the client.
    pub unanswered: u64,
    /// Requests being worked on.
    pub in_flight: u64,
    /// The most that have been worked on at once.
    pub max_in_flight: u64,
    /// Bytes of bodies as they came.
    pub bytes_raw: u64,
    /// Bytes of bodies after inflation, where it succeeded.
    pub bytes_inflated: u64,
    /// Connections accepted; TLS may have failed on them.
    pub connections_opened: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Requests of each of the last 4096 connections that had any, by connection.
    pub requests_per_connection: BTreeMap<u64, u64>,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// Admitted requests by the token's name.
    pub by_token: BTreeMap<String, u64>,
    /// Channels seen, up to a million.
    pub channels: u64,
    /// Acknowledgement polls answered.
    pub polls: u64,
    /// Ids asked for in them.
    pub polled_ids: u64,
    /// The most ids asked for at once.
    pub max_polled_ids: u64,
    /// Ids answered `true`.
    pub acked_ids: u64,
    /// Requests without `User-Agent`.
    pub without_user_agent: u64,
    /// What was indexed.
    pub ledger: LedgerTotals,
}

impl Snapshot {
    /// Answers with this HEC code.
    pub fn code(&self, code: Code) -> u64 {
        self.by_code.get(&code.number()).copied().unwrap_or(0)
    }

    /// Answers with this HTTP status.
    pub fn status(&self, status: u16) -> u64 {
        self.by_status.get(&status).copied().unwrap_or(0)
    }

    /// Requests answered on this endpoint.
    pub fn answered_on(&self, endpoint: Endpoint) -> u64 {
        self.answered.get(&endpoint).copied().unwrap_or(0)
    }
}

/// The counters behind the snapshots.
#[derive(Debug, Default)]
pub(super) struct Counters {
    totals: Snapshot,
    channels: HashSet<Uuid>,
}

impl Counters {
    pub(super) fn connected(&mut self) -> u64 {
        let id = self.totals.connections_opened;
        self.totals.connections_opened += 1;
        self.totals.connections_open += 1;
        id
    }

    pub(super) fn disconnected(&mut self) {
        self.totals.connections_open -= 1;
    }

    pub(super) fn handshake_failed(&mut self) {
        self.totals.handshakes_failed += 1;
    }

    /// Counts a request in; gives its number.
    pub(super) fn began(&mut self, connection: u64, has_user_agent: bool) -> u64 {
        let totals = &mut self.totals;
        let request = totals.requests;
        totals.requests += 1;
        totals.in_flight += 1;
        totals.max_in_flight = totals.max_in_flight.max(totals.in_flight);
        totals.without_user_agent += u64::from(!has_user_agent);
        *totals.requests_per_connection.entry(connection).or_default() += 1;
        if totals.requests_per_connection.len() > MAX_CONNECTIONS_KEPT {
            totals.requests_per_connection.pop_first();
        }
        request
    }

    pub(super) fn admitted(&mut self, token: &str, channel: Option<Uuid>) {
        match self.totals.by_token.get_mut(token) {
            Some(requests) => *requests += 1,
            None => {
                self.totals.by_token.insert(token.to_owned(), 1);
            }
        }
        if let Some(channel) = channel
            && self.channels.len() < MAX_CHANNELS_TOLD_APART
        {
            self.channels.insert(channel);
        }
    }

    pub(super) fn read(&mut self, raw: u64, inflated: u64) {
        self.totals.bytes_raw += raw;
        self.totals.bytes_inflated += inflated;
    }

    pub(super) fn polled(&mut self, statuses: &BTreeMap<u64, bool>) {
        let totals = &mut self.totals;
        let ids = statuses.len() as u64;
        totals.polls += 1;
        totals.polled_ids += ids;
        totals.max_polled_ids = totals.max_polled_ids.max(ids);
        totals.acked_ids += statuses.values().filter(|&&status| status).count() as u64;
    }

    pub(super) fn answered(&mut self, endpoint: Option<Endpoint>, status: u16, code: Option<Code>) {
        let totals = &mut self.totals;
        totals.in_flight -= 1;
        *totals.by_status.entry(status).or_default() += 1;
        if let Some(code) = code {
            *totals.by_code.entry(code.number()).or_default() += 1;
        }
        if let Some(endpoint) = endpoint {
            *totals.answered.entry(endpoint).or_default() += 1;
        }
    }

    pub(super) fn given_up(&mut self) {
        self.totals.in_flight -= 1;
        self.totals.unanswered += 1;
    }

    /// All but the ledger's part.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot { channels: self.channels.len() as u64, ..self.totals.clone() }
    }
}
