//! What the streams are doing, as the status page, readiness and the demo tell it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::nozzle::upstream::watch::WatchCounts;

/// What all streams are doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourcesStatus {
    /// Where events come from: `grpc`, `gateway` or `firehose`; `auto` until that is settled.
    pub kind: &'static str,
    /// Streams that are open now.
    pub connected: usize,
    /// How often the last open stream was lost.
    pub gaps: u64,
    /// How long no stream was open since the start, in milliseconds: what the platform sent
    /// meanwhile is lost, unless another instance read it.
    pub gap_ms: u64,
    /// How often streams ended, by reason.
    pub ends: BTreeMap<&'static str, u64>,
    /// Each stream.
    pub streams: Vec<StreamStatus>,
    /// The watch stream, which shows what the platform loses; `None` where the source has none. It is
    /// in none of the figures above.
    pub watch: Option<WatchStatus>,
}

/// What the watch stream is doing, and what was read from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WatchStatus {
    /// What it is doing.
    #[serde(flatten)]
    pub stream: StreamStatus,
    /// What was read from it.
    #[serde(flatten)]
    pub read: WatchCounts,
}

/// What one stream is doing. How many envelopes it brought is not known here: frames are
/// counted undecoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamStatus {
    /// What it is doing.
    pub state: StreamState,
    /// For how long, in milliseconds.
    pub state_ms: u64,
    /// In how many milliseconds the next attempt is made, while waiting for it.
    pub retry_in_ms: Option<u64>,
    /// How often it was opened.
    pub connects: u64,
    /// Frames read.
    pub frames: u64,
    /// Bytes in those frames.
    pub bytes: u64,
    /// Groups in which they were read: one wake-up each.
    pub groups: u64,
    /// How it ended last.
    pub last_end: Option<LastEnd>,
}

/// What a stream is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamState {
    /// A connection is being made.
    Connecting,
    /// It is open.
    Connected,
    /// The next attempt is not due yet.
    Waiting,
    /// It has been stopped.
    Stopped,
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastEnd {
    /// The name of the reason.
    pub reason: &'static str,
    /// The reason in words.
    pub message: String,
    /// What to look at if it does not heal.
    pub next_step: &'static str,
    /// How long ago, in milliseconds.
    pub ago_ms: u64,
}
