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

mod acks;
mod admission;
mod code;
mod config;
mod counters;
mod events;
mod intake;
mod ledger;
mod profile;
mod queue;
mod reply;
mod scan;
mod script;
mod tls;

pub use code::Code;
pub use config::{AckConfig, AckUse, Endpoint, HecServerConfig, QueryAuth, Token, TokenState};
pub use counters::Snapshot;
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
pub use tls::{ClientCertificates, ServerTls, ServerTlsError, TlsVersions};
