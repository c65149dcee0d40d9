//! The loop of one stream: connect, read, end, wait, connect again, until it is stopped.
//!
//! A stream never gives up: a peer that is absent or refuses it is tried again for ever, at a
//! bounded rate. What it reads goes into the queue at once and is never waited for.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::end::End;
use super::group::Group;
use super::reading::Reading;
use super::reconnect::{Life, Reconnect};
use super::renewal::Renewer;
use super::report::Reports;
use super::session::{Connector, Session};
use super::status::Place;
use crate::clock::UnixNanos;
use crate::nozzle::queue::{FrameSender, Frames};

/// The longest polite good-bye.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// One stream and everything it needs.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) index: usize,
    pub(super) connector: Connector,
    pub(super) sender: FrameSender,
    pub(super) place: Place,
    pub(super) idle_timeout: Option<Duration>,
    /// Where the platform ends streams by their age.
    pub(super) renewer: Option<Renewer>,
    pub(super) reports: Reports,
    pub(super) stop: CancellationToken,
}

impl Stream {
    /// Runs until it is stopped; `start_after` keeps streams from starting all at once.
    pub(super) async fn run(self, start_after: Duration) {
        let mut policy = Reconnect::default();
        let mut wait = start_after;
        loop {
            let stopped = self.stop.run_until_cancelled(sleep(wait)).await.is_none();
            if stopped {
                break;
            }
            let (life, end) = self.live().await;
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
    async fn live(&self) -> (Life, End) {
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
        let mut reading = Reading::new(self, session);
        let end = reading.until_end().await;
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

    /// Hands a group to the workers; true if there was anything in it.
    pub(super) fn push(&self, group: Group) -> bool {
        let Group { frames, malformed } = group;
        if malformed > 0 {
            self.sender.malformed(malformed);
        }
        if frames.is_empty() {
            return malformed > 0;
        }
        self.place.read(frames.len(), frames.iter().map(Bytes::len).sum());
        let kind = self.connector.frame_kind();
        self.sender.push(Frames { kind, arrived: UnixNanos::now(), frames });
        true
    }
}
