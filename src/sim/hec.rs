//! A faithful, scriptable HEC server.
//!
//! It answers as Splunk's HTTP Event Collector does, to the byte where that is known, and keeps
//! a ledger of what it indexed. A script of faults makes it fail in any way a real one, or what
//! stands in front of it, has been seen to fail. Used by the demo, by tests and by benchmarks.
//!
//! The way of a request, one file each:
//!
//! ```text
//! connection ─► admission ─► intake ─► events (or scan) ─► ledger ─► reply ─► body
//!   sockets      the head    inflate        judge           keep      write
//!       └──────────── exchange: the order of it, and the script's faults ────────────┘
//! ```
//!
//! Invariants: an event is in the ledger if and only if a real server would have indexed it;
//! counters are up to date before the answer leaves; everything held is bounded by the
//! configuration. Not its business: searching, sourcetypes, time stamps, whether an index exists.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tracing::info;

mod acks;
mod admission;
mod body;
mod code;
mod config;
mod connection;
mod counters;
mod delays;
mod events;
mod exchange;
mod intake;
mod ledger;
mod profile;
mod queue;
mod reply;
mod scan;
mod script;
mod state;
mod tls;

#[cfg(test)]
mod tests;

pub use code::Code;
pub use config::{AckConfig, AckUse, Endpoint, HecServerConfig, QueryAuth, Token, TokenState};
pub use counters::Snapshot;
pub use delays::Delays;
pub use events::{Defaults, Kind};
pub use ledger::{Group, LedgerError, LedgerMode, LedgerTotals, Record, Sequences, Summary};
pub use profile::{
    BadTime, Batches, Behaviour, CapacityCodes, Oversize, Prefix, Profile, Success, WithoutUserAgent,
};
pub use queue::InputQueueConfig;
pub use reply::Reply;
pub use script::{
    AckFault, Action, BytesPerSecond, CookieValue, Cut, CutPoint, Direction, Rule, RuleId, Stage,
};
pub use state::Condition;
pub use tls::{ClientCertificates, ServerTls, ServerTlsError, TlsVersions};

use crate::task::Tasks;
use queue::InputQueue;
use state::{Gate, Shared};

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum HecServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// The condition waited for has not come about.
#[derive(Debug, thiserror::Error)]
#[error("not so within {within:?}; last seen: {last:#?}")]
pub struct NotInTime {
    /// How long was waited.
    pub within: Duration,
    /// The state at the end.
    pub last: Box<Snapshot>,
}

/// A running server. All methods may be called while it serves.
///
/// Dropping it breaks every connection; [`HecServer::stop`] ends in good order.
#[derive(Debug)]
pub struct HecServer {
    shared: Arc<Shared>,
    tasks: Tasks<()>,
    address: SocketAddr,
    scheme: &'static str,
}

impl HecServer {
    /// Binds and serves on the present runtime.
    ///
    /// # Errors
    /// The address is taken or not this machine's.
    pub async fn start(config: HecServerConfig) -> Result<Self, HecServerError> {
        let wrap = |source| HecServerError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(wrap)?;
        let address = listener.local_addr().map_err(wrap)?;
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let tls = config.tls.as_ref().map(|tls| TlsAcceptor::from(tls.config()));
        let shared = Arc::new(Shared::new(config));
        let mut tasks = Tasks::new();
        tasks.spawn("hec listener", connection::listen(shared.clone(), listener, tls));
        info!(%address, scheme, "simulated collector listening");
        Ok(Self { shared, tasks, address, scheme })
    }

    /// The base URL, without a path: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, gives requests under way two seconds, and ends.
    pub async fn stop(mut self) {
        self.shared.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        info!(address = %self.address, "simulated collector stopped");
    }

    /// Adds a rule to the fault script, after those there are.
    pub fn add_rule(&self, rule: Rule) -> RuleId {
        let now = self.shared.now();
        self.shared.script().add(rule, now)
    }

    /// Takes a rule out of the script; gives how often it fired, if it was there.
    pub fn remove_rule(&self, id: RuleId) -> Option<u64> {
        self.shared.script().remove(id)
    }

    /// Empties the script.
    pub fn clear_rules(&self) {
        self.shared.script().clear();
    }

    /// How often a rule has fired; 0 for one that is not there.
    pub fn fired(&self, id: RuleId) -> u64 {
        self.shared.script().fired(id)
    }

    /// Replaces the token table, from the next request on.
    pub fn set_tokens(&self, tokens: Vec<Token>) {
        self.shared.set_tokens(tokens);
    }

    /// Changes the server's condition, from the next request on.
    pub fn set_condition(&self, condition: Condition) {
        self.shared.set_condition(condition);
    }

    /// Replaces the input queue by an empty one, or takes it away.
    pub fn set_queue(&self, queue: Option<InputQueueConfig>) {
        let now = self.shared.now();
        self.shared.set_queue(queue.map(|queue| InputQueue::new(queue, now)));
    }

    /// Changes limits and timing of acknowledgement.
    pub fn set_acks(&self, acks: AckConfig) {
        self.shared.set_acks(acks);
    }

    /// Dies and comes back at once: every connection is reset, ids count from 0 again.
    pub fn restart(&self) {
        self.shared.restart();
    }

    /// Resets every connection and nothing else.
    pub fn reset_connections(&self) {
        self.shared.reset_connections();
    }

    /// Leaves requests whose head has been read where they are, until [`HecServer::resume`].
    pub fn pause(&self) {
        self.shared.set_gate(Gate::Closed);
    }

    /// Goes on after a pause.
    pub fn resume(&self) {
        self.shared.set_gate(Gate::Open);
    }

    /// Puts the server's clock forward: acknowledgements get ready, idle channels are forgotten,
    /// the queue drains, rules come into their time. Delays under way are not shortened.
    pub fn advance(&self, time: Duration) {
        self.shared.advance(time);
    }

    /// The counters now.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// Waits until the counters fulfil a condition, which is asked after each change of theirs.
    ///
    /// # Errors
    /// They have not in the time given; the error shows them.
    pub async fn wait_until(
        &self,
        within: Duration,
        mut condition: impl FnMut(&Snapshot) -> bool,
    ) -> Result<Snapshot, NotInTime> {
        let deadline = Instant::now() + within;
        loop {
            let mut changed = std::pin::pin!(self.shared.changed());
            // From here on no change is missed.
            changed.as_mut().enable();
            let snapshot = self.snapshot();
            if condition(&snapshot) {
                return Ok(snapshot);
            }
            if timeout_at(deadline, changed).await.is_err() {
                return Err(NotInTime { within, last: Box::new(self.snapshot()) });
            }
        }
    }

    /// Every event indexed, in the order of indexing.
    ///
    /// # Errors
    /// Another mode than [`LedgerMode::Full`], or more events than it could keep.
    pub fn records(&self) -> Result<Vec<Record>, LedgerError> {
        self.shared.ledger().records()
    }

    /// How many sequence numbers of a range have not been indexed.
    ///
    /// # Errors
    /// Another mode than [`LedgerMode::Sequences`].
    pub fn missing(&self, range: Range<u64>) -> Result<u64, LedgerError> {
        self.shared.ledger().missing(range)
    }

    /// The lowest numbers of a range that have not been indexed, at most `limit`.
    ///
    /// # Errors
    /// Another mode than [`LedgerMode::Sequences`].
    pub fn first_missing(&self, range: Range<u64>, limit: usize) -> Result<Vec<u64>, LedgerError> {
        self.shared.ledger().first_missing(range, limit)
    }

    /// How long after their own time events were taken, since this was asked last.
    ///
    /// # Errors
    /// Another mode than [`LedgerMode::Delays`].
    pub fn take_delays(&self) -> Result<Delays, LedgerError> {
        self.shared.ledger().take_delays()
    }

    /// Events per index and source type, with the last event of each: what a first search shows.
    ///
    /// # Errors
    /// [`LedgerMode::Count`] and [`LedgerMode::Delays`], which do not look into events.
    pub fn summary(&self) -> Result<Summary, LedgerError> {
        self.shared.ledger().summary()
    }
}
