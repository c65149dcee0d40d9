//! A client for Splunk's HTTP Event Collector (HEC). Knows nothing of Cloud Foundry.
//!
//! A caller fills a [`Batch`](batch::Batch) with events and hands it to [`Client::deliver`],
//! which returns when every event in it has a verdict. Any number of deliveries may run at once;
//! the caller bounds them.
//!
//! ```no_run
//! use firehose_nozzle::hec::batch::Batch;
//! use firehose_nozzle::hec::{Client, ClientConfig};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let url = "https://splunk.example.com:8088".parse()?;
//! let client = Client::new(ClientConfig::new(url, "6f1a9c1e-token".into()))?;
//!
//! let mut batch = Batch::new("main".into(), 1024);
//! batch.buffer().extend_from_slice(br#"{"index":"main","event":"hello"}"#);
//! batch.commit(1);
//!
//! let outcome = client.deliver(batch, &CancellationToken::new()).await;
//! assert_eq!(outcome.delivered.events, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # The way of a batch
//!
//! ```text
//! client ─► repair ─► pool ─► choice ─► endpoint ─► transport ─► reply ─► classify ─┬─► accepted
//!             ▲         ▲                                                          ├─► busy, away, held
//!             │         └── elsewhere at once; here after a pause, one probe ◄─────┤
//!             └──────────── named event, halves, smaller, uncompressed ◄───────────┘
//! ```
//!
//! - [`classify`]: one pure function from a reply to what it means for the data.
//! - [`reply`]: reads what servers, gateways and login pages answer.
//! - `repair`: takes a refused batch apart so that a bad event costs that event only.
//! - `pool`: every address behind every URL, of two sites; which of them gets the next request
//!   (`choice`), how many at once (`concurrency`), and how names are looked up (`resolve`).
//! - `gate`: closes an endpoint that is away, busy or refuses us, and tries it with one request.
//! - `indexes`, `reroute`: what becomes of events whose index is refused; [`dead_letter`]: of refused events.
//! - [`spool`]: batches on disk, for callers with more than memory holds.
//! - `token`, `tls_files`: what comes from files, and is read again when they change.
//! - [`ack`]: waiting until indexers confirm what HEC has taken.
//! - [`backoff`]: how long to wait, and when to give up.
//! - [`compress`], `transport`: bytes; [`buffers`]: the memory of those that were sent.
//! - `endpoint`: one address of one URL and what was learned of it; `client`: policy.
//!
//! # What holds
//!
//! - Every event of a batch ends in exactly one of delivered, unconfirmed, rejected, abandoned, undelivered.
//! - A 2xx is success only when the body says so, unless [`classify::ResponseMode::Lenient`].
//! - Nothing waits for an endpoint that is closed while another one of the site takes data.
//! - Refused credentials, wrong URLs and untrusted certificates hold the data; they lose none.
//! - Delivery is at least once: when a reply is lost the request is sent again and counted in
//!   [`status::Counters::ambiguous_resends`].
//! - Only an event that HEC refuses for what it is, or a limit on attempts the operator set,
//!   ends without delivery.
//! - The token is in one header value that no log, error or debug output shows.

pub mod ack;
pub mod backoff;
pub mod batch;
pub mod buffers;
pub mod classify;
mod client;
pub mod compress;
mod config;
pub mod dead_letter;
mod endpoint;
mod gate;
pub mod hold;
mod indexes;
pub mod outcome;
pub mod pool;
mod probe;
mod repair;
pub mod reply;
mod reroute;
pub mod spool;
pub mod status;
mod tls_files;
mod token;
mod transport;

pub use self::ack::{AckConfig, AckMode, AckStatus, AckTiming};
pub use self::backoff::RetryLimit;
pub use self::classify::ResponseMode;
pub use self::client::Client;
pub use self::compress::Compression;
pub use self::config::{ClientConfig, ConfigError, FailoverConfig};
pub use self::gate::GateState;
pub use self::outcome::{Confirmation, Deferred, Delivery, Outcome, Pending, Rejection};
pub use self::pool::{Site, Slot};
pub use self::probe::{Probe, Probed};
pub use self::reroute::REFUSED_INDEX_FIELD;
pub use self::status::Status;
pub use self::token::TokenSource;
