//! What a whole client has pending, whether anybody asks for it, and what was counted.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::receipt::{Fate, Promise};
use super::{AckConfig, AckMode};
use crate::clock::millis;

/// How often it is said at most that there is no room.
const SAY_EVERY: Duration = Duration::from_mins(1);

/// What acknowledgement came to since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AckCounters {
    /// Polls sent.
    pub polls: u64,
    /// Polls that brought no statuses.
    pub polls_failed: u64,
    /// Batches confirmed.
    pub batches_acked: u64,
    /// Batches that HEC took and that count without having been confirmed.
    pub batches_unconfirmed: u64,
    /// Batches counted as delivered because acknowledgement was turned off while they were pending.
    pub batches_disabled: u64,
    /// Batches that were not confirmed in time, and are sent again.
    pub timeouts: u64,
    /// How often ids showed that a channel's server began anew, or was another one.
    pub epoch_breaks: u64,
    /// Batches sent again because of a time-out, a break, or because their endpoint is gone: possible duplicates.
    pub batches_resent: u64,
    /// Ids confirmed after their batch was sent again: duplicates.
    pub late_duplicates: u64,
    /// Ids asked for in polls whose answer may have been lost.
    pub polls_uncertain: u64,
}

/// Acknowledgement at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AckStatus {
    /// Whether it is used.
    pub mode: AckMode,
    /// Batches that HEC has taken and that are not confirmed yet.
    pub pending_batches: usize,
    /// Their bytes.
    pub pending_bytes: usize,
    /// The most there may be.
    pub pending_bytes_max: usize,
    /// How long the oldest has waited.
    pub oldest_ms: Option<u64>,
    /// Endpoints whose acks are left alone at present: what they take counts as unconfirmed.
    pub endpoints_distrusted: usize,
    /// What an operator can do, where acks do not come as they should.
    pub hint: Option<&'static str>,
    /// Counters since the start.
    #[serde(flatten)]
    pub counters: AckCounters,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(super) config: AckConfig,
    /// Whether somebody asks for acks.
    open: AtomicBool,
    /// Whether somebody waits for the last ones.
    hasty: AtomicBool,
    pending_bytes: AtomicUsize,
    pending_batches: AtomicUsize,
    full: Mutex<Full>,
    counters: Mutex<AckCounters>,
}

/// What there was too little room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shortage {
    /// For its bytes, among those of all endpoints.
    Bytes,
    /// For one batch more, at its endpoint.
    Batches,
}

impl Shortage {
    fn next_step(self) -> &'static str {
        match self {
            Self::Bytes => {
                "indexers acknowledge more slowly than data comes: look at their load and replication; raise DELIVERY_MAX_BYTES, half of which may wait for acks"
            }
            Self::Batches => {
                "indexers acknowledge more slowly than data comes: look at their load and replication; raise HEC_BATCH_BYTES or FLUSH_INTERVAL, as one endpoint may have 2,000 batches that wait for acks"
            }
        }
    }
}

/// Whether there is too little room, and what was said of it.
#[derive(Debug, Default)]
struct Full {
    is_full: bool,
    said: Option<Instant>,
    /// Whether the end of it is to be said as well.
    to_end: bool,
}

/// A batch that is pending: who is to be told, and what it takes.
#[derive(Debug)]
pub(super) struct Ticket {
    promise: Promise,
    weight: Weight,
}

#[derive(Debug)]
struct Weight {
    desk: Arc<Desk>,
    bytes: usize,
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.desk.pending_bytes.fetch_sub(self.bytes, Relaxed);
        self.desk.pending_batches.fetch_sub(1, Relaxed);
    }
}

impl Ticket {
    pub(super) fn new(desk: &Arc<Desk>, promise: Promise, bytes: usize) -> Self {
        desk.pending_bytes.fetch_add(bytes, Relaxed);
        desk.pending_batches.fetch_add(1, Relaxed);
        Self { promise, weight: Weight { desk: Arc::clone(desk), bytes } }
    }

    /// Not with a lock held.
    pub(super) fn settle(self, fate: Fate) {
        let Self { promise, weight } = self;
        drop(weight);
        promise.settle(fate);
    }
}

impl Desk {
    pub(crate) fn new(config: AckConfig) -> Self {
        Self {
            config,
            open: AtomicBool::new(false),
            hasty: AtomicBool::new(false),
            pending_bytes: AtomicUsize::new(0),
            pending_batches: AtomicUsize::new(0),
            full: Mutex::default(),
            counters: Mutex::default(),
        }
    }

    pub(crate) fn mode(&self) -> AckMode {
        self.config.mode
    }

    pub(super) fn is_required(&self) -> bool {
        self.config.mode == AckMode::Required
    }

    /// Somebody asks for acks from now on.
    pub(crate) fn open(&self) {
        self.open.store(true, Relaxed);
    }

    /// Nobody does any more.
    pub(crate) fn close(&self) {
        self.open.store(false, Relaxed);
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }

    /// Nothing more will be sent: polls are to come at the first pace.
    pub(crate) fn hasten(&self) {
        self.hasty.store(true, Relaxed);
    }

    pub(super) fn is_hasty(&self) -> bool {
        self.hasty.load(Relaxed)
    }

    /// Whether so many bytes more may be pending.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let pending = self.pending_bytes.load(Relaxed);
        // A batch larger than all that may be pending is taken by itself.
        pending == 0 || pending.saturating_add(bytes) <= self.config.pending_bytes_max
    }

    /// A batch found too little room, or enough. Says so in the log when that changes, but not each time: with much to
    /// send it may change every second.
    pub(super) fn note_room(&self, shortage: Option<Shortage>) {
        let mut full = self.full();
        let pending_bytes = self.pending_bytes.load(Relaxed);
        match shortage {
            Some(shortage) if !full.is_full => {
                full.is_full = true;
                if full.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
                    (full.said, full.to_end) = (Some(Instant::now()), true);
                    self.say_full(shortage);
                }
            }
            None if full.is_full && pending_bytes <= self.config.pending_bytes_max / 2 => {
                full.is_full = false;
                if std::mem::take(&mut full.to_end) {
                    tracing::info!("there is room for batches without an ack again");
                }
            }
            Some(_) | None => {}
        }
    }

    fn say_full(&self, shortage: Shortage) {
        let consequence = match self.is_required() {
            true => "nothing more is sent until there is",
            false => "what HEC takes counts as unconfirmed until there is",
        };
        tracing::warn!(
            pending_batches = self.pending_batches.load(Relaxed),
            pending_bytes = self.pending_bytes.load(Relaxed),
            pending_bytes_max = self.config.pending_bytes_max,
            next_step = shortage.next_step(),
            "no room for more batches without an ack: {consequence}"
        );
    }

    fn full(&self) -> MutexGuard<'_, Full> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut AckCounters)) {
        change(&mut self.counters.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The status; `oldest` is when the oldest batch was taken.
    pub(crate) fn status(&self, oldest: Option<Instant>, endpoints_distrusted: usize) -> AckStatus {
        let age = oldest.map(|since| since.elapsed());
        let hint = if endpoints_distrusted > 0 {
            Some("acks are left alone for a while: see the log for the endpoint and the reason")
        } else if age.is_some_and(|age| age > self.config.timeout / 2) {
            Some(
                "acks do not come: look for blocked queues or missing replicas on the indexers, and for a load balancer that does not stick",
            )
        } else if self.full().is_full {
            Some(
                "more waits for acks than may: raise DELIVERY_MAX_BYTES, or look at the load of the indexers",
            )
        } else {
            None
        };
        AckStatus {
            mode: self.config.mode,
            pending_batches: self.pending_batches.load(Relaxed),
            pending_bytes: self.pending_bytes.load(Relaxed),
            pending_bytes_max: self.config.pending_bytes_max,
            oldest_ms: age.map(millis),
            endpoints_distrusted,
            hint,
            counters: self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
