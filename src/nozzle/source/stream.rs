//! The loop of one stream: connect, read, end, wait, connect again, until it is stopped.
//!
//! A stream never gives up: a peer that is absent or refuses it is tried again for ever, at a
//! bounded rate. What it reads goes into the queue at once, or is read on the spot if it is the watch
//! stream's, and is never waited for.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::board::Place;
use super::end::End;
use super::group::Group;
use super::idle::{Patience, Pulse};
use super::reading::Reading;
use super::reconnect::{Life, Reconnect};
use super::renewal::Renewer;
use super::report::Reports;
use super::session::{Connector, Session};
use crate::clock::UnixNanos;
use crate::nozzle::queue::{FrameKind, FrameSender, Frames};
use crate::nozzle::upstream::watch::Watch;

/// The longest polite good-bye.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Which stream of this instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamName {
    /// One of those whose envelopes are delivered.
    Data(usize),
    /// The one that shows what the platform loses.
    Watch,
}

impl StreamName {
    /// What the log calls it.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Data(_) => "stream",
            Self::Watch => "watch stream",
        }
    }

    /// Its number, if it is one of several.
    pub(super) fn index(self) -> Option<usize> {
        match self {
            Self::Data(index) => Some(index),
            Self::Watch => None,
        }
    }
}

/// One stream and everything it needs.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) name: StreamName,
    pub(super) connector: Connector,
    pub(super) sink: Sink,
    pub(super) place: Place,
    pub(super) idle_timeout: Option<Duration>,
    /// Shows others that the platform lives.
    pub(super) pulse: Pulse,
    /// Shows this one, where silence may be its nature.
    pub(super) elsewhere: Option<Pulse>,
    /// Where the platform ends streams by their age.
    pub(super) renewer: Option<Renewer>,
    pub(super) reports: Reports,
    pub(super) stop: CancellationToken,
}

/// Where what is read goes.
#[derive(Debug)]
pub(super) enum Sink {
    /// To the workers.
    Queue(FrameSender),
    /// It is the watch stream's.
    Watch(Arc<Watch>),
}

impl Sink {
    fn push(&self, kind: FrameKind, frames: Vec<Bytes>) {
        match self {
            Self::Queue(sender) => sender.push(Frames { kind, arrived: UnixNanos::now(), frames }),
            Self::Watch(watch) => watch.read(kind, &frames),
        }
    }

    fn malformed(&self, frames: u64) {
        match self {
            Self::Queue(sender) => sender.malformed(frames),
            Self::Watch(watch) => watch.malformed(frames),
        }
    }
}

impl Stream {
    /// Runs until it is stopped; `start_after` keeps streams from starting all at once.
    pub(super) async fn run(self, start_after: Duration) {
        let mut policy = Reconnect::default();
        let mut patience = self.idle_timeout.map(Patience::new);
        let mut wait = start_after;
        loop {
            let stopped = self.stop.run_until_cancelled(sleep(wait)).await.is_none();
            if stopped {
                break;
            }
            let (life, end) = self.live(&mut patience).await;
            if matches!(end, End::Stopped) {
                break;
            }
            wait = policy.after(life, fastrand::f64());
            self.reports.ended(&end, life, wait);
            self.place.waiting(wait);
        }
        self.place.stopped();
    }

    /// One attempt: the whole life of a connection, its renewals and its good-bye included.
    async fn live(&self, patience: &mut Option<Patience>) -> (Life, End) {
        self.place.connecting();
        let connected = self.stop.run_until_cancelled(self.connector.connect()).await;
        let session = match connected.unwrap_or(Err(End::Stopped)) {
            Ok(session) => session,
            Err(end) => {
                self.place.ended(&end);
                return (Life::Failed, end);
            }
        };
        let opened = Instant::now();
        self.place.connected();
        self.reports.connected(session.address());
        let mut reading = Reading::new(self, session, *patience);
        let end = reading.until_end().await;
        if let Some(patience) = patience {
            patience.ended(reading.was_busy(), matches!(end, End::Idle(_)));
        }
        let life = Life::Opened { lasted: opened.elapsed(), data: reading.brought_data() };
        self.place.ended(&end);
        reading.close().await;
        (life, end)
    }

    /// Opens the stream that takes the place of one opened at `opened`, when that is due.
    pub(super) async fn successor(&self, opened: Instant) -> Session {
        match &self.renewer {
            Some(renewer) => renewer.successor(&self.connector, opened, &self.reports).await,
            None => pending().await,
        }
    }

    /// Notes that `session` has taken the place of the one before.
    pub(super) fn renewed(&self, session: &Session) {
        self.place.renewed();
        self.reports.renewed(session.address());
    }

    /// Hands a group on; true if there was anything in it.
    pub(super) fn push(&self, group: Group) -> bool {
        let Group { frames, malformed } = group;
        if malformed > 0 {
            self.sink.malformed(malformed);
        }
        if frames.is_empty() {
            return malformed > 0;
        }
        self.place.read(frames.len(), frames.iter().map(Bytes::len).sum());
        self.pulse.beat();
        self.sink.push(self.connector.frame_kind(), frames);
        true
    }
}
