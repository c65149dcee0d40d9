//! Events that Splunk refuses for what they are: into the dead letters, and one every so often into the log.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::hec::Rejection;
use crate::hec::dead_letter::{DeadLetterStatus, DeadLetters};
use crate::hec::reply::HecCode;

/// The least time between two samples in the log.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Refused {
    dead_letters: Option<DeadLetters>,
    sampled: Mutex<Option<Instant>>,
}

impl Refused {
    pub(super) fn new(dead_letters: Option<DeadLetters>) -> Self {
        Self { dead_letters, sampled: Mutex::new(None) }
    }

    pub(super) fn status(&self) -> Option<DeadLetterStatus> {
        self.dead_letters.as_ref().map(DeadLetters::status)
    }

    /// Keeps what was refused, as far as is configured.
    pub(super) async fn keep(&self, rejections: Vec<Rejection>) {
        if let Some(rejection) = rejections.first() {
            self.sample(rejection);
        }
        if let Some(letters) = &self.dead_letters {
            letters.write(rejections).await;
        }
    }

    /// Without one shown nobody can find out what is wrong with them.
    fn sample(&self, rejection: &Rejection) {
        let now = Instant::now();
        let mut sampled = self.sampled.lock().unwrap_or_else(PoisonError::into_inner);
        if sampled.is_none_or(|sampled| now - sampled >= SAMPLE_EVERY) {
            *sampled = Some(now);
            drop(sampled);
            tracing::warn!(
                code = label(rejection),
                reason = rejection.code.map_or("refused without a HEC code", HecCode::meaning),
                index = %rejection.index,
                bytes = rejection.events().next().map(<[u8]>::len),
                sample = rejection.sample(),
                "an event that splunk refused"
            );
        }
    }
}

/// How a rejection is named in the ledger: by HEC code, else by HTTP status.
pub(super) fn label(rejection: &Rejection) -> String {
    match rejection.code {
        Some(code) => format!("code_{}", code.0),
        None => format!("http_{}", rejection.status.as_u16()),
    }
}
