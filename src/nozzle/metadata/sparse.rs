//! Keeps logs of what may go wrong for many apps at once short.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Failures of one kind are logged once in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Lets one in a while through, and counts the rest.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    state: Mutex<(Option<Instant>, u64)>,
}

impl Sparse {
    /// How many were held back before this one; `None` if this one is, too.
    pub(super) fn turn(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.is_some_and(|last| now.saturating_duration_since(last) < LOG_INTERVAL) {
            state.1 += 1;
            return None;
        }
        state.0 = Some(now);
        Some(std::mem::take(&mut state.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_a_minute_is_logged_and_the_others_are_counted() {
        let (sparse, start) = (Sparse::default(), Instant::now());
        assert_eq!(sparse.turn(start), Some(0));
        assert_eq!(sparse.turn(start + LOG_INTERVAL / 2), None);
        assert_eq!(sparse.turn(start + LOG_INTERVAL / 2), None);
        assert_eq!(sparse.turn(start + LOG_INTERVAL), Some(2));
    }
}
