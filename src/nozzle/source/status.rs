//! What the streams are doing, for the status page, readiness and the demo.
//!
//! Written by the streams a few times per connection and once per group of frames; read by
//! anybody at any time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::end::End;
use crate::clock::millis;

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

/// The board all streams write on.
#[derive(Debug)]
pub(super) struct Board {
    kind: Mutex<&'static str>,
    slots: Vec<Slot>,
    connected: watch::Sender<usize>,
    gap: Mutex<Gap>,
    ends: Mutex<BTreeMap<&'static str, u64>>,
}

#[derive(Debug)]
struct Slot {
    phase: Mutex<Phase>,
    connects: AtomicU64,
    frames: AtomicU64,
    bytes: AtomicU64,
    groups: AtomicU64,
}

#[derive(Debug)]
struct Phase {
    state: StreamState,
    since: Instant,
    retry_at: Option<Instant>,
    last_end: Option<(&'static str, String, &'static str, Instant)>,
}

#[derive(Debug)]
struct Gap {
    /// Since when no stream is open; the start counts.
    since: Option<Instant>,
    closed: Duration,
    count: u64,
}

impl Board {
    pub(super) fn new(kind: &'static str, streams: usize) -> Arc<Self> {
        let now = Instant::now();
        let slot = || Slot {
            phase: Mutex::new(Phase {
                state: StreamState::Connecting,
                since: now,
                retry_at: None,
                last_end: None,
            }),
            connects: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            groups: AtomicU64::new(0),
        };
        Arc::new(Self {
            kind: Mutex::new(kind),
            slots: (0..streams).map(|_| slot()).collect(),
            connected: watch::Sender::new(0),
            gap: Mutex::new(Gap { since: Some(now), closed: Duration::ZERO, count: 0 }),
            ends: Mutex::default(),
        })
    }

    /// Notes where events come from, now that it is settled.
    pub(super) fn settled(&self, kind: &'static str) {
        *lock(&self.kind) = kind;
    }

    pub(super) fn connected(&self) -> usize {
        *self.connected.borrow()
    }

    /// Waits until at least `streams` are open. Cancel safe.
    pub(super) async fn wait_connected(&self, streams: usize) {
        // An error says that the sender is gone, and it is ours.
        let _ = self.connected.subscribe().wait_for(|connected| *connected >= streams).await;
    }

    pub(super) fn status(&self) -> SourcesStatus {
        let now = Instant::now();
        let (gaps, gap) = {
            let gap = lock(&self.gap);
            (gap.count, gap.closed + gap.since.map_or(Duration::ZERO, |since| now - since))
        };
        SourcesStatus {
            kind: *lock(&self.kind),
            connected: self.connected(),
            gaps,
            gap_ms: millis(gap),
            ends: lock(&self.ends).clone(),
            streams: self.slots.iter().map(|slot| slot.status(now)).collect(),
        }
    }

    fn count_connected(&self, change: impl FnOnce(&mut usize)) {
        let mut gap = lock(&self.gap);
        let before = self.connected();
        self.connected.send_modify(change);
        match (before, self.connected()) {
            (0, 1..) => {
                let lasted = gap.since.take().map_or(Duration::ZERO, |since| since.elapsed());
                gap.closed += lasted;
            }
            (1.., 0) => {
                gap.since = Some(Instant::now());
                gap.count += 1;
            }
            _ => {}
        }
    }
}

impl Slot {
    fn status(&self, now: Instant) -> StreamStatus {
        let phase = lock(&self.phase);
        StreamStatus {
            state: phase.state,
            state_ms: millis(now - phase.since),
            retry_in_ms: phase.retry_at.map(|at| millis(at.saturating_duration_since(now))),
            connects: self.connects.load(Relaxed),
            frames: self.frames.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            groups: self.groups.load(Relaxed),
            last_end: phase.last_end.as_ref().map(|(reason, message, next_step, at)| LastEnd {
                reason,
                message: message.clone(),
                next_step,
                ago_ms: millis(now - *at),
            }),
        }
    }
}

/// One stream's place on the board.
#[derive(Debug)]
pub(super) struct Place {
    board: Arc<Board>,
    index: usize,
}

impl Place {
    pub(super) fn new(board: &Arc<Board>, index: usize) -> Self {
        Self { board: Arc::clone(board), index }
    }

    pub(super) fn connecting(&self) {
        self.enter(StreamState::Connecting, None);
    }

    pub(super) fn connected(&self) {
        if let Some(slot) = self.slot() {
            slot.connects.fetch_add(1, Relaxed);
        }
        self.enter(StreamState::Connected, None);
    }

    /// A new stream has taken the place of the one that was open.
    pub(super) fn renewed(&self) {
        *lock(&self.board.ends).entry(End::Renewed.label()).or_default() += 1;
        self.connected();
    }

    pub(super) fn ended(&self, end: &End) {
        *lock(&self.board.ends).entry(end.label()).or_default() += 1;
        if let Some(slot) = self.slot() {
            lock(&slot.phase).last_end =
                Some((end.label(), end.to_string(), end.next_step(), Instant::now()));
        }
        self.enter(StreamState::Waiting, None);
    }

    pub(super) fn waiting(&self, wait: Duration) {
        self.enter(StreamState::Waiting, Some(Instant::now() + wait));
    }

    pub(super) fn stopped(&self) {
        self.enter(StreamState::Stopped, None);
    }

    pub(super) fn read(&self, frames: usize, bytes: usize) {
        if let Some(slot) = self.slot() {
            slot.frames.fetch_add(frames as u64, Relaxed);
            slot.bytes.fetch_add(bytes as u64, Relaxed);
            slot.groups.fetch_add(1, Relaxed);
        }
    }

    fn slot(&self) -> Option<&Slot> {
        self.board.slots.get(self.index)
    }

    fn enter(&self, state: StreamState, retry_at: Option<Instant>) {
        let Some(slot) = self.slot() else { return };
        let before = {
            let mut phase = lock(&slot.phase);
            phase.since = Instant::now();
            phase.retry_at = retry_at;
            std::mem::replace(&mut phase.state, state)
        };
        match (before == StreamState::Connected, state == StreamState::Connected) {
            (false, true) => self.board.count_connected(|connected| *connected += 1),
            (true, false) => self.board.count_connected(|connected| *connected = connected.saturating_sub(1)),
            _ => {}
        }
    }
}

/// A stream that is gone, for whatever reason, is not open.
impl Drop for Place {
    fn drop(&mut self) {
        self.stopped();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_gap_is_time_without_any_stream() {
        let board = Board::new("grpc", 2);
        let (one, two) = (Place::new(&board, 0), Place::new(&board, 1));
        let gaps = || (board.status().gaps, board.status().gap_ms, board.connected());
        advance(SECOND).await;
        assert_eq!(gaps(), (0, 1_000, 0), "the start counts, until a stream opens");
        one.connected();
        two.connected();
        advance(SECOND).await;
        one.waiting(SECOND);
        advance(SECOND).await;
        assert_eq!(gaps(), (0, 1_000, 1), "one stream is enough");
        two.connecting();
        advance(SECOND).await;
        assert_eq!(gaps(), (1, 2_000, 0), "a running gap counts");
        one.connected();
        drop(one);
        advance(SECOND).await;
        assert_eq!(gaps(), (2, 3_000, 0), "a stream that is gone is not open");
    }

    #[tokio::test(start_paused = true)]
    async fn the_status_tells_what_a_stream_does() {
        let board = Board::new("firehose", 1);
        let place = Place::new(&board, 0);
        place.connected();
        place.read(3, 300);
        place.ended(&End::Idle(SECOND));
        place.waiting(SECOND);
        advance(SECOND / 4).await;
        let status = serde_json::to_value(board.status()).unwrap();
        assert_eq!(status["ends"], serde_json::json!({ "idle": 1 }));
        let stream = &status["streams"][0];
        assert_eq!(stream["state"], "waiting");
        assert_eq!((stream["state_ms"].as_u64(), stream["retry_in_ms"].as_u64()), (Some(250), Some(750)));
        assert_eq!((stream["connects"].as_u64(), stream["frames"].as_u64()), (Some(1), Some(3)));
        assert_eq!(stream["last_end"]["reason"], "idle");
        assert_eq!(stream["last_end"]["ago_ms"], 250);
    }
}
