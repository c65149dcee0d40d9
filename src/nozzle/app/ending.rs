//! The end of the nozzle: how long each part of it may take, and what is counted when a part failed.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::millis;
use crate::hec::Client;
use crate::nozzle::config::Config;
use crate::nozzle::ledger::{Drop as DropReason, Ledger};
use crate::nozzle::queue::FrameReceiver;
use crate::task::Tasks;

/// What is kept of SHUTDOWN_TIMEOUT for counting what could not be delivered.
const COUNTING_TIME: Duration = Duration::from_millis(500);

/// The most that is kept of it for writing that to disk, where there is one that stays.
const SPOOLING_TIME_MAX: Duration = Duration::from_secs(2);

/// How SHUTDOWN_TIMEOUT is shared out.
pub(super) struct EndTimes {
    pub(super) delivering: Duration,
    /// For writing to disk what could not be delivered.
    pub(super) spooling: Duration,
}

impl EndTimes {
    pub(super) fn of(config: &Config) -> Self {
        let timeout = config.shutdown_timeout;
        let keeps = config.spool.as_ref().is_some_and(|spool| spool.persistent);
        let spooling = if keeps { SPOOLING_TIME_MAX.min(timeout / 4) } else { COUNTING_TIME };
        let rest = if keeps { spooling + COUNTING_TIME } else { COUNTING_TIME };
        Self { delivering: timeout.saturating_sub(rest).max(timeout / 2), spooling }
    }
}

/// How the end begins, and how long all of it, and delivering, may take then.
#[derive(Clone, Copy)]
pub(super) struct Stop<'a> {
    pub(super) shutdown: &'a CancellationToken,
    pub(super) timeout: Duration,
    pub(super) delivering: Duration,
    pub(super) hurry: &'a CancellationToken,
}

/// Waits until the line has ended by itself, after `shutdown`, or has been hurried. Tells when the timeout is over.
pub(super) async fn wait(
    line: &mut Tasks<()>,
    stop: Stop<'_>,
    client: &Client,
    failures: &mut Vec<String>,
) -> Option<Instant> {
    let Stop { shutdown, timeout, delivering, hurry } = stop;
    let deadline = OnceLock::new();
    let patience = async {
        shutdown.cancelled().await;
        let _ = deadline.set(Instant::now() + timeout);
        tracing::info!(
            timeout_ms = millis(delivering),
            "stopping: no more reading, delivering what is buffered"
        );
        // A pause longer than what is left of the time would be the end of all that is buffered.
        client.hasten();
        tokio::time::sleep(delivering).await;
        tracing::warn!("time to deliver has run out: keeping or counting what is left");
        hurry.cancel();
    };
    tokio::pin!(patience);
    loop {
        tokio::select! {
            joined = line.join_next() => match joined {
                None => return deadline.get().copied(),
                Some(joined) => if note(joined, failures) {
                    // Without one of its parts the line would stall or lose: deliver what is there, and end.
                    shutdown.cancel();
                },
            },
            () = &mut patience, if !hurry.is_cancelled() => {}
        }
    }
}

/// Notes a part that failed; true if it did.
pub(super) fn note(joined: Result<(&'static str, ()), JoinError>, failures: &mut Vec<String>) -> bool {
    let Err(error) = joined else { return false };
    tracing::error!(%error, next_step = "please report this with the log", "a part of the nozzle failed");
    failures.push(error.to_string());
    true
}

/// Passes on a panic of a task inside a task.
pub(super) fn resume(error: JoinError) {
    if error.is_panic() {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Counts frames that no worker has taken; there are some only if workers failed.
pub(super) fn count_rest(frames: &FrameReceiver, ledger: &Ledger) {
    while let Some(queued) = frames.try_recv() {
        ledger.dropped_undecoded(DropReason::Defect, queued.frames.count_envelopes());
    }
}
