//! The queue of raw frames between readers and workers, bounded in bytes.
//!
//! Readers push and never wait: what does not fit is dropped whole, counted by hopping over the
//! envelopes in the frames. This is the cushion for moments when the workers have no CPU; waiting
//! for HEC happens further on, in the delivery pool. Frames are not decoded here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use async_channel::{Receiver, Sender, TrySendError};
use bytes::Bytes;
use serde::Serialize;

use crate::clock::UnixNanos;
use crate::nozzle::ledger::{Drop as DropReason, Ledger};
use crate::nozzle::wire;

/// Groups the queue can hold, whatever their size; the bound that matters is the one in bytes.
const GROUPS_MAX: usize = 32_768;

/// What a frame costs beside its bytes: its handle and its share of the queue's slots.
const FRAME_OVERHEAD_BYTES: usize = 64;

/// How the bytes of a frame are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A `loggregator.v2.EnvelopeBatch`: one message of the RLP.
    V2Batch,
    /// One dropsonde `events.Envelope`: one message of the v1 websocket.
    V1Envelope,
    /// The JSON text of one batch: what the RLP gateway writes after `data: `.
    GatewayBatch,
}

/// Frames that were ready at one moment of one reader.
///
/// Handing them over together costs one wake-up for many.
#[derive(Debug)]
pub struct Frames {
    /// The kind of all of them.
    pub kind: FrameKind,
    /// When they were read.
    pub arrived: UnixNanos,
    /// The raw messages, in order.
    pub frames: Vec<Bytes>,
}

impl Frames {
    fn cost(&self) -> usize {
        self.frames.iter().map(|frame| frame.len() + FRAME_OVERHEAD_BYTES).sum()
    }

    /// How many envelopes are in the frames, found without decoding them.
    pub fn count_envelopes(&self) -> u64 {
        match self.kind {
            FrameKind::V1Envelope => self.frames.len() as u64,
            FrameKind::V2Batch => self.frames.iter().map(|frame| wire::v2::count_envelopes(frame)).sum(),
            FrameKind::GatewayBatch => {
                self.frames.iter().map(|frame| wire::gateway::count_envelopes(frame)).sum()
            }
        }
    }
}

/// Makes a queue that holds frames of at most `capacity_bytes`.
pub fn channel(capacity_bytes: usize, ledger: Arc<Ledger>) -> (FrameSender, FrameReceiver) {
    let (sender, receiver) = async_channel::bounded(GROUPS_MAX);
    let gauge = Arc::new(Gauge { capacity_bytes, ..Gauge::default() });
    (FrameSender { sender, gauge: Arc::clone(&gauge), ledger }, FrameReceiver { receiver, gauge })
}

#[derive(Debug, Default)]
struct Gauge {
    capacity_bytes: usize,
    bytes: AtomicUsize,
    high_water_bytes: AtomicUsize,
}

impl Gauge {
    /// Takes room for `cost` bytes, if there is.
    fn take(&self, cost: usize) -> bool {
        let before = self.bytes.fetch_add(cost, Relaxed);
        let after = before + cost;
        // One group always fits into an empty queue, or a large message would never get through.
        if after > self.capacity_bytes && before > 0 {
            self.bytes.fetch_sub(cost, Relaxed);
            return false;
        }
        self.high_water_bytes.fetch_max(after, Relaxed);
        true
    }
}

/// The readers' end. The queue closes when the last clone is gone.
#[derive(Clone, Debug)]
pub struct FrameSender {
    sender: Sender<Queued>,
    gauge: Arc<Gauge>,
    ledger: Arc<Ledger>,
}

impl FrameSender {
    /// Hands frames to the workers; drops and counts them if there is no room. Never waits.
    pub fn push(&self, frames: Frames) {
        let cost = frames.cost();
        if !self.gauge.take(cost) {
            self.drop_frames(&frames);
            return;
        }
        let queued = Queued { frames, cost, gauge: Arc::clone(&self.gauge) };
        if let Err(TrySendError::Full(queued) | TrySendError::Closed(queued)) = self.sender.try_send(queued) {
            self.drop_frames(&queued.frames);
        }
    }

    /// Counts frames that could not be read as a whole.
    pub fn malformed(&self, frames: u64) {
        self.ledger.malformed_frames(frames);
    }

    fn drop_frames(&self, frames: &Frames) {
        self.ledger.dropped_undecoded(DropReason::QueueFull, frames.count_envelopes());
    }
}

/// Frames with the room they take in the queue, given back when they are dropped.
#[derive(Debug)]
pub struct Queued {
    /// The frames.
    pub frames: Frames,
    cost: usize,
    gauge: Arc<Gauge>,
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.gauge.bytes.fetch_sub(self.cost, Relaxed);
    }
}

/// The workers' end; clones take turns.
#[derive(Clone, Debug)]
pub struct FrameReceiver {
    receiver: Receiver<Queued>,
    gauge: Arc<Gauge>,
}

/// How full the queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct QueueStatus {
    /// Groups of frames waiting.
    pub groups: usize,
    /// Bytes of frames waiting or being decoded.
    pub bytes: usize,
    /// The most there has been.
    pub high_water_bytes: usize,
    /// QUEUE_MAX_BYTES.
    pub capacity_bytes: usize,
}

impl FrameReceiver {
    /// Waits for frames; `None` when all senders are gone and the queue is empty. Cancel safe.
    pub async fn recv(&self) -> Option<Queued> {
        self.receiver.recv().await.ok()
    }

    /// Takes frames if there are any.
    pub fn try_recv(&self) -> Option<Queued> {
        self.receiver.try_recv().ok()
    }

    /// How full the queue is.
    pub fn status(&self) -> QueueStatus {
        QueueStatus {
            groups: self.receiver.len(),
            bytes: self.gauge.bytes.load(Relaxed),
            high_water_bytes: self.gauge.high_water_bytes.load(Relaxed),
            capacity_bytes: self.gauge.capacity_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(sizes: &[usize]) -> Frames {
        let frames = sizes.iter().map(|size| Bytes::from(vec![0; *size])).collect();
        Frames { kind: FrameKind::V1Envelope, arrived: UnixNanos(1), frames }
    }

    #[test]
    fn the_bound_is_in_bytes_and_what_does_not_fit_is_counted() {
        for (capacity, fits) in [(3 * 164 - 1, 2), (3 * 164, 3), (3 * 164 + 1, 3)] {
            let ledger = Arc::new(Ledger::new());
            let (sender, receiver) = channel(capacity, Arc::clone(&ledger));
            (0..3).for_each(|_| sender.push(group(&[100])));
            assert_eq!(receiver.status().groups, fits, "capacity {capacity}");
            assert_eq!(ledger.snapshot().lost(), 3 - fits as u64);
            assert_eq!(ledger.snapshot().balance(), Ok(()));
        }
    }

    #[test]
    fn a_group_larger_than_the_queue_passes_when_it_is_empty() {
        let ledger = Arc::new(Ledger::new());
        let (sender, receiver) = channel(1000, Arc::clone(&ledger));
        sender.push(group(&[5000]));
        sender.push(group(&[10]));
        assert_eq!((receiver.status().groups, ledger.snapshot().lost()), (1, 1));
    }

    #[test]
    fn a_dropped_frame_counts_by_what_is_in_it() {
        let gateway = br#"{"batch":[{"timestamp":"1"}, {"tags":{"a":"],{"}},null]}"#;
        for (kind, frame, envelopes) in [
            (FrameKind::V1Envelope, &b"\x0a\x00"[..], 1),
            (FrameKind::V2Batch, b"\x0a\x00\x0a\x02\x08\x01", 2),
            (FrameKind::GatewayBatch, gateway, 3),
        ] {
            let ledger = Arc::new(Ledger::new());
            let (sender, _receiver) = channel(100 + FRAME_OVERHEAD_BYTES, Arc::clone(&ledger));
            sender.push(group(&[100]));
            assert_eq!(ledger.snapshot().lost(), 0, "the queue is full, and no more");
            let frames = vec![Bytes::from_static(frame), Bytes::from_static(frame)];
            sender.push(Frames { kind, arrived: UnixNanos(1), frames });
            assert_eq!(ledger.snapshot().lost(), 2 * envelopes, "{kind:?}");
        }
    }

    #[tokio::test]
    async fn closing_lets_the_workers_drain() {
        let (sender, receiver) = channel(10_000, Arc::new(Ledger::new()));
        sender.push(group(&[10, 20]));
        drop(sender);
        let queued = receiver.recv().await.unwrap();
        assert_eq!(queued.frames.frames.len(), 2);
        assert_eq!(receiver.status().bytes, 30 + 2 * FRAME_OVERHEAD_BYTES, "held until the worker is done");
        drop(queued);
        assert_eq!(receiver.status().bytes, 0);
        assert!(receiver.recv().await.is_none());
    }
}
