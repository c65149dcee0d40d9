//! What the watch stream brings: the platform's own counters and events.
//!
//! Read where it arrives, a few envelopes in a second, and never delivered: they are in no queue and
//! in no ledger. Damage is counted, and costs that envelope.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::Serialize;

use super::emitters::{Emitters, Report};
use super::{Loss, SLOW_CONSUMER, Upstream};
use crate::nozzle::event::{Body, Event};
use crate::nozzle::ledger::Malformed;
use crate::nozzle::queue::FrameKind;
use crate::nozzle::wire::gateway::{self, Scratch};
use crate::nozzle::wire::tags::Key;
use crate::nozzle::wire::v2;

/// Reads what the watch stream brings.
#[derive(Debug)]
pub struct Watch {
    upstream: Arc<Upstream>,
    emitters: Mutex<Emitters>,
    hasher: RandomState,
    envelopes: AtomicU64,
    malformed: AtomicU64,
}

/// How much was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WatchCounts {
    /// Envelopes of the platform's own components.
    pub envelopes: u64,
    /// Frames or envelopes that could not be decoded.
    pub malformed: u64,
}

impl Watch {
    /// Counts losses in `upstream`.
    pub fn new(upstream: Arc<Upstream>) -> Self {
        Self {
            upstream,
            emitters: Mutex::default(),
            hasher: RandomState::new(),
            envelopes: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
        }
    }

    /// Reads frames. There is no watch stream of v1.
    pub fn read(&self, kind: FrameKind, frames: &[Bytes]) {
        for frame in frames {
            match kind {
                FrameKind::V2Batch => self.message(frame),
                FrameKind::GatewayBatch => self.text(frame),
                FrameKind::V1Envelope => {}
            }
        }
    }

    /// Counts frames or envelopes that could not be decoded.
    pub fn malformed(&self, count: u64) {
        self.malformed.fetch_add(count, Relaxed);
    }

    /// How much was read so far.
    pub fn counts(&self) -> WatchCounts {
        WatchCounts { envelopes: self.envelopes.load(Relaxed), malformed: self.malformed.load(Relaxed) }
    }

    fn message(&self, frame: &[u8]) {
        for bytes in v2::Batch::new(frame) {
            self.count(bytes.and_then(v2::Envelope::parse).and_then(|envelope| {
                self.event(envelope.source_id, Event::from_v2(&envelope)?.as_ref());
                Ok(())
            }));
        }
    }

    fn text(&self, frame: &[u8]) {
        let mut scratch = Scratch::default();
        let mut batch = gateway::Batch::new(frame);
        while let Some(envelope) = batch.next(&mut scratch) {
            self.count(envelope.and_then(|envelope| {
                self.event(envelope.source_id, Event::from_gateway(&envelope)?.as_ref());
                Ok(())
            }));
        }
    }

    fn count(&self, read: Result<(), Malformed>) {
        match read {
            Ok(()) => _ = self.envelopes.fetch_add(1, Relaxed),
            Err(_) => self.malformed(1),
        }
    }

    fn event(&self, source_id: &[u8], event: Option<&Event<'_>>) {
        let Some(event) = event else { return };
        match event.body {
            Body::Counter { name: b"dropped", delta, total } => {
                let Some(loss) = place(source_id, event) else { return };
                let report = Report { at: event.timestamp.unwrap_or_default(), delta, total };
                let emitter = self.emitter(source_id, event);
                let mut emitters = self.emitters.lock().unwrap_or_else(PoisonError::into_inner);
                self.upstream.add((loss, emitters.increase(emitter, report)));
            }
            Body::PlatformEvent { title: SLOW_CONSUMER, .. } => self.upstream.add((Loss::SlowConsumer, 1)),
            _ => {}
        }
    }

    /// Who counts: agents add up by source and all tags, whose order is random in every envelope.
    fn emitter(&self, source_id: &[u8], event: &Event<'_>) -> u64 {
        let mut tags: u64 = 0;
        event.all_tags.for_each(|key, value| {
            tags = tags.wrapping_add(self.hasher.hash_one((key, value)));
        });
        let head = &event.head;
        self.hasher.hash_one((source_id, head.deployment, head.job, head.index, head.ip, tags))
    }
}

/// Where a `dropped` counter says that envelopes were lost.
fn place(source_id: &[u8], event: &Event<'_>) -> Option<Loss> {
    match source_id {
        b"doppler" if event.tags.text(Key::Direction) == b"ingress" => Some(Loss::RouterIngress),
        b"doppler" => Some(Loss::RouterEgress),
        b"reverse_log_proxy" => Some(Loss::RlpEgress),
        _ => None,
    }
}
