//! What the nozzle tells about itself: one picture for `/status.json`, `/ready` and the demo.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tokio::time::Instant;

use crate::clock::millis;
use crate::hec::dead_letter::DeadLetterStatus;
use crate::hec::{self, AckMode, Client, GateState};
use crate::nozzle::deliver::{Outbox, PoolStatus, SpoolStatus};
use crate::nozzle::ledger::{Ledger, Snapshot};
use crate::nozzle::metadata::{Metadata, MetadataStats};
use crate::nozzle::own::{OwnLedger, OwnStatus};
use crate::nozzle::queue::{FrameReceiver, QueueStatus};
use crate::nozzle::source::{Sources, SourcesStatus};
use crate::nozzle::upstream::Upstream;

/// A view of the running nozzle. Cheap to clone, safe to ask at any time.
#[derive(Clone, Debug)]
pub struct StatusView {
    pub(super) started: Instant,
    pub(super) ledger: Arc<Ledger>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) frames: FrameReceiver,
    pub(super) outbox: Outbox,
    pub(super) client: Arc<Client>,
    pub(super) sources: Sources,
    pub(super) metadata: Metadata,
    pub(super) own: Arc<OwnLedger>,
}

/// The nozzle at one moment. Serializes to JSON without any secret.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The nozzle's version.
    pub version: &'static str,
    /// Milliseconds since the start.
    pub uptime_ms: u64,
    /// Why the nozzle is not ready; empty if it is.
    pub not_ready: Vec<String>,
    /// Whether both lines of the ledger balance at this moment; while envelopes move they may
    /// be off by what is moving.
    pub balanced: bool,
    /// Where every envelope went.
    pub ledger: Snapshot,
    /// What Loggregator says it lost before, by place; not part of the balance.
    pub upstream: BTreeMap<String, u64>,
    /// Frames waiting for a worker.
    pub queue: QueueStatus,
    /// Batches waiting for HEC.
    pub delivery: PoolStatus,
    /// What is on disk; nothing without SPOOL_DIR.
    pub spool: Option<SpoolStatus>,
    /// What became of dead letters; nothing without DEAD_LETTER_DIR.
    pub dead_letters: Option<DeadLetterStatus>,
    /// The HEC: all its endpoints.
    pub hec: hec::Status,
    /// The streams from Loggregator.
    pub source: SourcesStatus,
    /// What is known about apps.
    pub metadata: MetadataStats,
    /// The nozzle's own events: its log lines and metrics.
    pub own: OwnStatus,
}

impl StatusView {
    /// The present picture.
    pub fn get(&self) -> Status {
        let ledger = self.ledger.snapshot();
        let hec = self.client.status();
        let source = self.sources.status();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            uptime_ms: millis(self.started.elapsed()),
            not_ready: not_ready(&source, &hec),
            balanced: ledger.balance().is_ok(),
            ledger,
            upstream: self.upstream.get(),
            queue: self.frames.status(),
            delivery: self.outbox.status(),
            spool: self.outbox.spool(),
            dead_letters: self.outbox.dead_letters(),
            hec,
            source,
            metadata: self.metadata.stats(),
            own: self.own.status(),
        }
    }

    /// Why the nozzle is not ready; empty if it is. Cheap: it may be asked by anybody, often.
    pub fn not_ready(&self) -> Vec<String> {
        not_ready(&self.sources.status(), &self.client.status())
    }

    /// The streams from Loggregator.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }
}

/// The most endpoints named as the reason.
const ENDPOINTS_NAMED: usize = 3;

/// What keeps the nozzle from doing its work, in words an operator can act on.
fn not_ready(source: &SourcesStatus, hec: &hec::Status) -> Vec<String> {
    let mut reasons = Vec::new();
    if source.connected == 0 {
        let ends: Vec<_> = source.streams.iter().filter_map(|stream| stream.last_end.as_ref()).collect();
        reasons.push(match ends.last() {
            Some(end) => format!("no stream from Loggregator: {}; {}", end.message, end.next_step),
            None => "no stream from Loggregator yet".to_owned(),
        });
    }
    if hec.gate != GateState::Open {
        reasons.extend(hec.endpoints.iter().take(ENDPOINTS_NAMED).map(away));
        let more = hec.endpoints.len().saturating_sub(ENDPOINTS_NAMED);
        if more > 0 {
            reasons.push(format!("nor do {more} further endpoints of the HEC: see /status.json"));
        }
    }
    if let (AckMode::Required, Some(hint)) = (hec.acks.mode, hec.acks.hint) {
        reasons.push(format!("{} batches wait for acks: {hint}", hec.acks.pending_batches));
    }
    reasons
}

fn away(endpoint: &hec::status::EndpointStatus) -> String {
    let address = endpoint.address.map(|address| format!(" ({address})")).unwrap_or_default();
    let error = endpoint.last_error.as_ref().map_or("no reply yet", |error| &error.text);
    let next_step = endpoint.next_step.map(|step| format!("; {step}")).unwrap_or_default();
    format!("the HEC at {}{address} takes no events: {error}{next_step}", endpoint.url)
}
