//! Indexer acknowledgement: a batch is delivered when an indexer says it has it, not when HEC has put it in a queue.
//!
//! A request names a *channel*; its reply brings an *ack id*, and a poll of that channel tells later whether the
//! events of that id are indexed. A `true` is told once. A `false` says nothing: pending, read before, forgotten, or
//! another server's.
//!
//! ```text
//! reply with an id ─► lanes (of an endpoint) ─► lane (channel, ids) ─► receipt: indexed, lost, or unconfirmed
//!                        │ trust                  ▲
//!                        └ cookies (of a lane)    └─ polls, by the pool's upkeep
//! ```
//!
//! - `lane`, `trust`, `cookies`, `poll` are pure: time is handed in.
//! - `lanes`: those of one endpoint, which one is used, and what the replies say of them.
//! - `desk`: what the whole client has pending, and the counters.
//! - `receipt`: how whoever holds the batch learns of its fate.
//!
//! # What holds
//!
//! - Who holds a batch keeps it until its fate is known. Each one settles exactly once: indexed, lost (to be sent
//!   again), or unconfirmed (HEC took it, and nobody waits for more).
//! - A refused, lost or odd poll never counts anything as indexed. The one answer that ends the wait without a
//!   `true` is "ACK is disabled" (400, code 14), and not with [`AckMode::Required`].
//! - Ids that cannot be told apart, since two servers gave them out, are never taken for an answer: those batches
//!   are sent again.
//! - What is pending is bounded in bytes, and in batches for each endpoint.
//!
//! Acks are asked for by [`Client::keep_up`](super::Client::keep_up). While it does not run nobody would ever
//! answer: then what HEC takes counts as unconfirmed at once.

mod cookies;
pub(crate) mod desk;
mod lane;
pub(crate) mod lanes;
pub(crate) mod poll;
pub(crate) mod receipt;
mod trust;

use std::time::Duration;

use serde::Serialize;

pub use self::desk::{AckCounters, AckStatus};

/// Whether indexers have to confirm what HEC has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AckMode {
    /// Not asked for: what HEC takes is delivered. A channel is named only if HEC demands one.
    #[default]
    Off,
    /// Where replies bring ack ids; if that does not work out, what HEC takes counts as unconfirmed.
    Auto,
    /// Always: nothing is delivered without, and no data is sent where it is not to be had.
    Required,
}

/// How acknowledgement is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckConfig {
    /// Whether it is.
    pub mode: AckMode,
    /// A batch that is not confirmed after this long is sent again.
    pub timeout: Duration,
    /// The most bytes that may be pending.
    pub pending_bytes_max: usize,
    /// Paces and pauses.
    pub timing: AckTiming,
}

impl Default for AckConfig {
    fn default() -> Self {
        Self {
            mode: AckMode::Off,
            timeout: Duration::from_mins(5),
            pending_bytes_max: 24 << 20,
            timing: AckTiming::default(),
        }
    }
}

/// Paces and pauses of acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckTiming {
    /// From a request to the first poll, and the shortest time between two; it doubles while nothing comes.
    pub poll_first: Duration,
    /// The longest time between two polls for what is pending.
    pub poll_max: Duration,
    /// A channel is polled at least so often, or the server forgets it.
    pub keep_alive: Duration,
    /// How long one poll may take.
    pub poll_timeout: Duration,
    /// How long is asked for ids that were given up, to know of duplicates.
    pub late: Duration,
    /// Breaks within this time are counted together.
    pub breaks_within: Duration,
    /// For how long an endpoint's acks are left alone at first; it doubles.
    pub distrust: Duration,
    /// The longest that becomes.
    pub distrust_max: Duration,
}

impl Default for AckTiming {
    fn default() -> Self {
        Self {
            poll_first: Duration::from_secs(1),
            poll_max: Duration::from_secs(10),
            keep_alive: Duration::from_mins(5),
            poll_timeout: Duration::from_secs(30),
            late: Duration::from_mins(10),
            breaks_within: Duration::from_mins(1),
            distrust: Duration::from_mins(10),
            distrust_max: Duration::from_hours(1),
        }
    }
}

impl AckTiming {
    /// So many times faster, but for the time a poll may take; 0 counts as 1. For tests.
    #[must_use]
    pub fn faster(self, times: u32) -> Self {
        let scale = |time: Duration| time / times.max(1);
        Self {
            poll_first: scale(self.poll_first),
            poll_max: scale(self.poll_max),
            keep_alive: scale(self.keep_alive),
            poll_timeout: self.poll_timeout,
            late: scale(self.late),
            breaks_within: scale(self.breaks_within),
            distrust: scale(self.distrust),
            distrust_max: scale(self.distrust_max),
        }
    }
}
