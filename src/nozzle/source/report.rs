//! What a stream says in the log: the same thing not more than once a minute.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::end::{End, Severity};
use super::reconnect::Life;
use super::repeat::RepeatLimit;
use super::stream::StreamName;

#[derive(Debug)]
pub(super) struct Reports {
    name: StreamName,
    limit: Mutex<RepeatLimit>,
}

impl Reports {
    pub(super) fn new(name: StreamName) -> Self {
        Self { name, limit: Mutex::default() }
    }

    fn admit(&self, key: &'static str) -> Option<u64> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner).admit(key, Instant::now())
    }

    pub(super) fn connected(&self, address: &str) {
        if let Some(repeats) = self.admit("connected") {
            tracing::info!(stream = self.name.index(), address, repeats, "{} connected", self.name.noun());
        }
    }

    pub(super) fn renewed(&self, address: &str) {
        if let Some(repeats) = self.admit(End::Renewed.label()) {
            let end = End::Renewed;
            tracing::info!(stream = self.name.index(), address, reason = %end, repeats, "stream renewed");
        }
    }

    /// A stream could not be renewed; the old one is read on.
    pub(super) fn not_renewed(&self, end: &End, wait: Duration) {
        let Some(repeats) = self.admit("not renewed") else { return };
        tracing::warn!(
            stream = self.name.index(), reason = end.label(), error = %end, next_step = end.next_step(),
            retry_in_ms = millis(wait), repeats, "stream not renewed yet"
        );
    }

    pub(super) fn ended(&self, end: &End, life: Life, wait: Duration) {
        let Some(repeats) = self.admit(end.label()) else { return };
        let (stream, noun) = (self.name.index(), self.name.noun());
        let reason = end.label();
        let next_step = end.next_step();
        let retry_in_ms = millis(wait);
        let lasted_s = match life {
            Life::Failed => 0,
            Life::Opened { lasted, .. } => lasted.as_secs(),
        };
        match (end.severity(), self.name) {
            (Severity::Normal, _) => {
                tracing::info!(stream, reason, error = %end, lasted_s, retry_in_ms, repeats, "{noun} ended");
            }
            // Without the watch stream no event is lost.
            (Severity::Degraded, _) | (Severity::Operator, StreamName::Watch) => {
                tracing::warn!(
                    stream, reason, error = %end, next_step, lasted_s, retry_in_ms, repeats, "{noun} ended"
                );
            }
            (Severity::Operator, StreamName::Data(_)) => {
                tracing::error!(
                    stream, reason, error = %end, next_step, lasted_s, retry_in_ms, repeats, "{noun} ended"
                );
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
