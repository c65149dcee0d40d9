//! Where the streams write what they are doing.
//!
//! Written by the streams a few times per connection and once per group of frames; read by
//! anybody at any time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::end::End;
use super::status::{LastEnd, SourcesStatus, StreamState, StreamStatus, WatchStatus};
use super::stream::StreamName;
use crate::clock::millis;
use crate::nozzle::upstream::watch::Watch;

/// The board all streams write on.
#[derive(Debug)]
pub(super) struct Board {
    kind: Mutex<&'static str>,
    slots: Vec<Slot>,
    watch: OnceLock<(Slot, Arc<Watch>)>,
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
        Arc::new(Self {
            kind: Mutex::new(kind),
            slots: (0..streams).map(|_| Slot::new(now)).collect(),
            watch: OnceLock::new(),
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
            watch: self
                .watch
                .get()
                .map(|(slot, watch)| WatchStatus { stream: slot.status(now), read: watch.counts() }),
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
    fn new(now: Instant) -> Self {
        Self {
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
        }
    }

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
    name: StreamName,
}

impl Place {
    pub(super) fn new(board: &Arc<Board>, index: usize) -> Self {
        Self { board: Arc::clone(board), name: StreamName::Data(index) }
    }

    /// The place of the watch stream, of which there is one at most.
    pub(super) fn of_watch(board: &Arc<Board>, watch: &Arc<Watch>) -> Self {
        board.watch.get_or_init(|| (Slot::new(Instant::now()), Arc::clone(watch)));
        Self { board: Arc::clone(board), name: StreamName::Watch }
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
        self.count_end(&End::Renewed);
        self.connected();
    }

    pub(super) fn ended(&self, end: &End) {
        self.count_end(end);
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
        match self.name {
            StreamName::Data(index) => self.board.slots.get(index),
            StreamName::Watch => self.board.watch.get().map(|(slot, _)| slot),
        }
    }

    fn count_end(&self, end: &End) {
        if self.name != StreamName::Watch {
            *lock(&self.board.ends).entry(end.label()).or_default() += 1;
        }
    }

    fn enter(&self, state: StreamState, retry_at: Option<Instant>) {
        let Some(slot) = self.slot() else { return };
        let before = {
            let mut phase = lock(&slot.phase);
            phase.since = Instant::now();
            phase.retry_at = retry_at;
            std::mem::replace(&mut phase.state, state)
        };
        if self.name == StreamName::Watch {
            return;
        }
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
