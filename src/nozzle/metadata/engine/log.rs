//! Logs of what may go wrong for many apps at once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::nozzle::metadata::app::INDEX_EXPECTED;
use crate::nozzle::metadata::cloud_controller::CallError;

/// Failures of one kind are logged once in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What was logged lately.
#[derive(Default)]
pub(in super::super) struct Log {
    look_ups: Sparse,
    environments: Sparse,
    indexes: Sparse,
    lists: Sparse,
    saves: Sparse,
}

impl Log {
    pub(super) fn look_up(&self, app_guid: &str, error: &CallError) {
        if let Some(unlogged) = self.look_ups.turn(Instant::now()) {
            tracing::warn!(app_guid, %error, unlogged, "cannot look up apps, their events go without names");
        }
    }

    pub(super) fn environment(&self, app_guid: &str, error: &CallError) {
        if let Some(unlogged) = self.environments.turn(Instant::now()) {
            tracing::warn!(
                app_guid, %error, unlogged,
                next_step = "let the client of CLIENT_ID have cloud_controller.admin_read_only, or set USE_ENV_VAR_FOR_SPLUNK_INDEX=false",
                "cannot read the environment of apps, their events go to the default index"
            );
        }
    }

    pub(super) fn list(&self, what: &'static str, error: &CallError) {
        if let Some(unlogged) = self.lists.turn(Instant::now()) {
            tracing::warn!(what, %error, unlogged, "cannot read a list, will go on later");
        }
    }

    pub(super) fn save(&self, error: &dyn std::fmt::Display) {
        if let Some(unlogged) = self.saves.turn(Instant::now()) {
            tracing::warn!(
                %error, unlogged,
                next_step = "look at the disk of BOLTDB_PATH",
                "cannot write the file of the app cache, will try again; a restart would not know what is new"
            );
        }
    }

    pub(super) fn index(&self, app_guid: &str, place: &'static str) {
        if let Some(unlogged) = self.indexes.turn(Instant::now()) {
            tracing::warn!(
                app_guid,
                place,
                expected = INDEX_EXPECTED,
                unlogged,
                next_step = "let the app's developer correct SPLUNK_INDEX there",
                "apps ask for an index that cannot be one, their events go to the default index"
            );
        }
    }
}

/// Lets one in a while through, and counts the rest.
#[derive(Default)]
struct Sparse {
    state: Mutex<(Option<Instant>, u64)>,
}

impl Sparse {
    /// How many were held back before this one; `None` if this one is, too.
    fn turn(&self, now: Instant) -> Option<u64> {
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
