//! What a simulated HEC server is to be: tokens, profile, limits, ledger.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::ledger::LedgerMode;
use super::profile::{Behaviour, Profile};
use super::queue::InputQueueConfig;
use super::tls::ServerTls;

/// The endpoints the server offers, whatever the path's spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// Events in JSON envelopes.
    Event,
    /// Opaque bytes, one event a line.
    Raw,
    /// Which requests have been indexed.
    Ack,
    /// Whether the server wants data.
    Health,
}

/// One entry of the token table.
#[derive(Clone, Debug)]
pub struct Token {
    /// What the operator calls it; counters are kept under this name, never under the value.
    pub name: String,
    /// The secret the client sends.
    pub value: SecretString,
    /// A disabled token answers code 1.
    pub state: TokenState,
    /// Whether requests get an `ackId`.
    pub acks: AckUse,
    /// Indexes the token may write to; empty means any.
    pub indexes: Vec<String>,
    /// Where events go that name no index.
    pub default_index: String,
    /// Whether the token is taken from the query string.
    pub query_auth: QueryAuth,
}

impl Token {
    /// An enabled token without acknowledgement that may write anywhere, by default to `main`.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: SecretString::from(value.into()),
            state: TokenState::Enabled,
            acks: AckUse::Off,
            indexes: Vec::new(),
            default_index: "main".to_owned(),
            query_auth: QueryAuth::Refused,
        }
    }

    /// With indexer acknowledgement (`useACK`).
    #[must_use]
    pub fn with_acks(mut self) -> Self {
        self.acks = AckUse::On;
        self
    }

    /// Restricted to these indexes, the first of which becomes the default.
    #[must_use]
    pub fn with_indexes<I: Into<String>>(mut self, indexes: impl IntoIterator<Item = I>) -> Self {
        self.indexes = indexes.into_iter().map(Into::into).collect();
        if let Some(first) = self.indexes.first() {
            self.default_index.clone_from(first);
        }
        self
    }

    /// Switched off.
    #[must_use]
    pub fn disabled(mut self) -> Self {
        self.state = TokenState::Disabled;
        self
    }

    /// Taken from the query string too (`allowQueryStringAuth`).
    #[must_use]
    pub fn with_query_auth(mut self) -> Self {
        self.query_auth = QueryAuth::Allowed;
        self
    }

    pub(super) fn is(&self, value: &str) -> bool {
        self.value.expose_secret() == value
    }

    pub(super) fn may_write(&self, index: &str) -> bool {
        self.indexes.is_empty() || self.indexes.iter().any(|allowed| allowed == index)
    }
}

/// Whether a token is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// It works.
    Enabled,
    /// It is known and answers code 1.
    Disabled,
}

/// A token's `useACK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckUse {
    /// No `ackId` in replies; asking for acknowledgements answers code 14.
    Off,
    /// A channel is required, every accepted request gets an `ackId`.
    On,
}

/// A token's `allowQueryStringAuth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryAuth {
    /// A valid token in the query string answers code 16.
    Refused,
    /// It is as good as the header.
    Allowed,
}

/// Limits and timing of acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckConfig {
    /// From a request's reply to the moment its id reads `true`.
    pub delay: Duration,
    /// A channel unused for so long is forgotten with all its ids.
    pub idle: Duration,
    /// Channels kept at once.
    pub max_channels: usize,
    /// Ids of one channel that have not been read as `true`.
    pub max_pending_per_channel: usize,
}

impl Default for AckConfig {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(1),
            idle: Duration::from_secs(600),
            max_channels: 1_000_000,
            max_pending_per_channel: 1_000_000,
        }
    }
}

/// Everything a server is started with.
#[derive(Clone, Debug)]
pub struct HecServerConfig {
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// HTTPS instead of HTTP.
    pub tls: Option<ServerTls>,
    /// The tokens known at first.
    pub tokens: Vec<Token>,
    /// The server played; start from [`Profile::behaviour`].
    pub behaviour: Behaviour,
    /// Acknowledgement.
    pub acks: AckConfig,
    /// An input queue that fills and drains; without one the server is never busy by itself.
    pub queue: Option<InputQueueConfig>,
    /// What is kept of the indexed events.
    pub ledger: LedgerMode,
    /// Connections served at once; further ones wait in the listen backlog.
    pub max_connections: usize,
    /// A connection without a request for so long is closed.
    pub keep_alive_idle: Duration,
}

impl HecServerConfig {
    /// An idle Splunk Enterprise on a free port of 127.0.0.1 that keeps every event.
    pub fn new(tokens: Vec<Token>) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: None,
            tokens,
            behaviour: Profile::Enterprise.behaviour(),
            acks: AckConfig::default(),
            queue: None,
            ledger: LedgerMode::default(),
            max_connections: 4096,
            keep_alive_idle: Duration::from_secs(7200),
        }
    }

    /// As another server.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.behaviour = profile.behaviour();
        self
    }

    /// With another ledger.
    #[must_use]
    pub fn with_ledger(mut self, ledger: LedgerMode) -> Self {
        self.ledger = ledger;
        self
    }

    /// Over TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }
}
