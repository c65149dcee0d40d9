//! Renewing streams before the platform ends them.
//!
//! The gateway ends every stream when it is 14 minutes old, and what comes between that end and the
//! next stream is lost. So each is renewed before: while the old stream is read on, a new one of
//! the same shard id is opened, and then both are read until the gateway ends the old one. The
//! platform shares the envelopes between them, so nothing comes twice.
//!
//! Streams of an instance take turns at opening their successors.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use super::end::End;
use super::group::Group;
use super::reconnect::{Life, Reconnect};
use super::report::Reports;
use super::session::{Connector, Session};

/// When a stream is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// At this age,
    pub after: Duration,
    /// give or take this much, so that streams and instances do not all come at one moment.
    pub jitter: Duration,
    /// The old stream is read for this long at most once the new one is open. The platform ends
    /// it before; and what it has sent by then arrives, unlike if we cut it off.
    pub overlap: Duration,
}

/// The gateway ends streams at 14 minutes; the latest renewal begins 40 seconds before that.
impl Default for Renewal {
    fn default() -> Self {
        let jitter = Duration::from_secs(20);
        Self { after: Duration::from_mins(13), jitter, overlap: Duration::from_secs(120) }
    }
}

/// Renews one of several streams.
#[derive(Clone, Debug)]
pub(super) struct Renewer {
    renewal: Renewal,
    /// Held by the stream whose successor is being opened.
    turn: Arc<Mutex<()>>,
}

impl Renewer {
    pub(super) fn new(renewal: Renewal) -> Self {
        Self { renewal, turn: Arc::default() }
    }

    /// Waits until a stream opened at `opened` has come of age, and opens its successor; does not
    /// give up. Cancel safe: a half-opened successor is closed.
    pub(super) async fn successor(
        &self,
        connector: &Connector,
        opened: Instant,
        reports: &Reports,
    ) -> Session {
        let Renewal { after, jitter, .. } = self.renewal;
        sleep_until(opened + after.saturating_sub(jitter) + jitter.mul_f64(2.0 * fastrand::f64())).await;
        let mut policy = Reconnect::default();
        loop {
            let end = {
                let _turn = self.turn.lock().await;
                match connector.connect().await {
                    Ok(session) => return session,
                    Err(end) => end,
                }
            };
            let wait = policy.after(Life::Failed, fastrand::f64());
            reports.not_renewed(&end, wait);
            sleep(wait).await;
        }
    }

    /// Keeps the old stream until it ends by itself.
    pub(super) fn retire(&self, session: Session) -> Retiring {
        Retiring { session, until: Instant::now() + self.renewal.overlap }
    }
}

/// An old stream that is read until it ends.
#[derive(Debug)]
pub(super) struct Retiring {
    pub(super) session: Session,
    until: Instant,
}

impl Retiring {
    /// Waits for frames; an error is the end, and nothing is to be read after it. Cancel safe.
    pub(super) async fn read(&mut self, group: &mut Group) -> Result<(), End> {
        tokio::select! {
            read = self.session.read(group) => read.map(drop),
            () = sleep_until(self.until) => Err(End::Renewed),
        }
    }
}
