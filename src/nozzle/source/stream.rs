//! The loop of one stream: connect, read, end, wait, connect again, until it is stopped.
//!
//! A stream never gives up: a peer that is absent or refuses it is tried again for ever, at a
//! bounded rate. What it reads goes into the queue at once and is never waited for.

use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::end::{End, Severity};
use super::group::Fill;
use super::idle::IdleTimer;
use super::reconnect::{Life, Reconnect};
use super::repeat::RepeatLimit;
use super::status::Place;
use super::{firehose, grpc};
use crate::clock::{UnixNanos, millis};
use crate::nozzle::queue::{FrameKind, FrameSender, Frames};

/// The longest polite good-bye.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Groups that are still taken, if they are there already, when a stream is stopped: the
/// platform has handed them over and will not send them again.
const LAST_GROUPS_MAX: usize = 8;

/// Opens streams of one kind.
#[derive(Debug)]
pub(super) enum Connector {
    Grpc(grpc::Connector),
    Firehose(firehose::Connector),
}

impl Connector {
    fn frame_kind(&self) -> FrameKind {
        match self {
            Self::Grpc(_) => FrameKind::V2Batch,
            Self::Firehose(_) => FrameKind::V1Envelope,
        }
    }

    async fn connect(&self) -> Result<Session, End> {
        match self {
            Self::Grpc(connector) => Box::pin(connector.connect()).await.map(Session::Grpc),
            Self::Firehose(connector) => {
                Box::pin(connector.connect()).await.map(|session| Session::Firehose(Box::new(session)))
            }
        }
    }
}

/// An open stream of one kind.
#[derive(Debug)]
enum Session {
    Grpc(grpc::Session),
    Firehose(Box<firehose::Session>),
}

impl Session {
    fn address(&self) -> &str {
        match self {
            Self::Grpc(session) => session.address(),
            Self::Firehose(session) => session.address(),
        }
    }

    /// Waits for frames and adds all that are ready; none is a sign of life. Cancel safe.
    async fn read(&mut self, group: &mut Vec<Bytes>) -> Result<Fill, End> {
        match self {
            Self::Grpc(session) => session.read(group).await,
            Self::Firehose(session) => session.read(group).await,
        }
    }

    /// Takes leave of the server within [`CLOSE_TIMEOUT`]; frames that still come go to `late`.
    async fn close(self, late: impl FnMut(Vec<Bytes>)) {
        match self {
            Self::Grpc(session) => session.close().await,
            Self::Firehose(session) => session.close(late).await,
        }
    }
}

/// One stream and everything it needs.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) index: usize,
    pub(super) connector: Connector,
    pub(super) sender: FrameSender,
    pub(super) place: Place,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) stop: CancellationToken,
}

impl Stream {
    /// Runs until it is stopped; `start_after` keeps streams from starting all at once.
    pub(super) async fn run(self, start_after: Duration) {
        let mut policy = Reconnect::default();
        let mut reports = Reports::new(self.index);
        let mut wait = start_after;
        loop {
            let stopped = self.stop.run_until_cancelled(sleep(wait)).await.is_none();
            if stopped {
                break;
            }
            let (life, end) = self.live(&mut reports).await;
            if matches!(end, End::Stopped) {
                break;
            }
            wait = policy.after(life, fastrand::f64());
            reports.ended(&end, life, wait);
            self.place.waiting(wait);
        }
        self.place.stopped();
    }

    /// One attempt: the whole life of a connection, its good-bye included.
    async fn live(&self, reports: &mut Reports) -> (Life, End) {
        self.place.connecting();
        let connected = self.stop.run_until_cancelled(self.connector.connect()).await;
        let mut session = match connected.unwrap_or(Err(End::Stopped)) {
            Ok(session) => session,
            Err(end) => {
                self.place.ended(&end);
                return (Life::Failed, end);
            }
        };
        let opened = Instant::now();
        self.place.connected();
        reports.connected(session.address());
        let mut reading = Reading { stream: self, data: false };
        let end = reading.until_end(&mut session).await;
        if matches!(end, End::Stopped) {
            reading.take_the_rest(&mut session);
        }
        let life = Life::Opened { lasted: opened.elapsed(), data: reading.data };
        self.place.ended(&end);
        session.close(|late| reading.push(late)).await;
        (life, end)
    }
}

/// The reading of one session.
struct Reading<'a> {
    stream: &'a Stream,
    data: bool,
}

impl Reading<'_> {
    async fn until_end(&mut self, session: &mut Session) -> End {
        let mut idle = IdleTimer::start(self.stream.idle_timeout);
        let mut stopped = pin!(self.stream.stop.cancelled());
        loop {
            match self.step(session, &mut idle, stopped.as_mut()).await {
                Ok(()) => idle.alive(),
                Err(end) => return end,
            }
        }
    }

    async fn step(
        &mut self,
        session: &mut Session,
        idle: &mut IdleTimer,
        stopped: Pin<&mut WaitForCancellationFuture<'_>>,
    ) -> Result<(), End> {
        let mut group = Vec::new();
        tokio::select! {
            biased;
            () = stopped => Err(End::Stopped),
            read = session.read(&mut group) => {
                read?;
                self.push(group);
                Ok(())
            }
            quiet = idle.expired() => Err(End::Idle(quiet)),
        }
    }

    /// Takes what has arrived already, without waiting.
    fn take_the_rest(&mut self, session: &mut Session) {
        for _ in 0..LAST_GROUPS_MAX {
            let mut group = Vec::new();
            let read = session.read(&mut group).now_or_never();
            self.push(group);
            if !matches!(read, Some(Ok(Fill::Full))) {
                break;
            }
        }
    }

    fn push(&mut self, frames: Vec<Bytes>) {
        if frames.is_empty() {
            return;
        }
        self.data = true;
        self.stream.place.read(frames.len(), frames.iter().map(Bytes::len).sum());
        let kind = self.stream.connector.frame_kind();
        self.stream.sender.push(Frames { kind, arrived: UnixNanos::now(), frames });
    }
}

/// What a stream says in the log: the same thing not more than once a minute.
#[derive(Debug)]
struct Reports {
    stream: usize,
    limit: RepeatLimit,
}

impl Reports {
    fn new(stream: usize) -> Self {
        Self { stream, limit: RepeatLimit::default() }
    }

    fn connected(&mut self, address: &str) {
        if let Some(repeats) = self.limit.admit("connected", Instant::now()) {
            tracing::info!(stream = self.stream, address, repeats, "stream connected");
        }
    }

    fn ended(&mut self, end: &End, life: Life, wait: Duration) {
        let Some(repeats) = self.limit.admit(end.label(), Instant::now()) else { return };
        let stream = self.stream;
        let reason = end.label();
        let next_step = end.next_step();
        let retry_in_ms = millis(wait);
        let lasted_s = match life {
            Life::Failed => 0,
            Life::Opened { lasted, .. } => lasted.as_secs(),
        };
        match end.severity() {
            Severity::Normal => {
                tracing::info!(stream, reason, error = %end, lasted_s, retry_in_ms, repeats, "stream ended");
            }
            Severity::Degraded => {
                tracing::warn!(
                    stream, reason, error = %end, next_step, lasted_s, retry_in_ms, repeats, "stream ended"
                );
            }
            Severity::Operator => {
                tracing::error!(
                    stream, reason, error = %end, next_step, lasted_s, retry_in_ms, repeats, "stream ended"
                );
            }
        }
    }
}
