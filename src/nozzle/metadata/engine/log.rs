//! Logs of what may go wrong for many apps at once.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::millis;
use crate::nozzle::metadata::app::INDEX_EXPECTED;
use crate::nozzle::metadata::cloud_controller::CallError;
use crate::nozzle::metadata::sparse::Sparse;

/// What was logged lately.
#[derive(Default)]
pub(in super::super) struct Log {
    look_ups: Sparse,
    environments: Sparse,
    indexes: Sparse,
    lists: Sparse,
    saves: Sparse,
    probes: Sparse,
}

impl Log {
    /// Calls that were not made tell nothing: what keeps them from being made is logged by itself.
    fn turn(sparse: &Sparse, error: &CallError) -> Option<u64> {
        if matches!(error, CallError::Away) { None } else { sparse.turn(Instant::now()) }
    }

    pub(super) fn look_up(&self, app_guid: &str, error: &CallError) {
        if let Some(unlogged) = Self::turn(&self.look_ups, error) {
            tracing::warn!(app_guid, %error, unlogged, next_step = error.next_step(), "cannot look up apps, their events go without names");
        }
    }

    pub(super) fn environment(&self, app_guid: &str, error: &CallError) {
        if let Some(unlogged) = Self::turn(&self.environments, error) {
            tracing::warn!(
                app_guid, %error, unlogged,
                next_step = match error {
                    CallError::Refused { .. } => "let the client of CLIENT_ID have cloud_controller.admin_read_only, or set USE_ENV_VAR_FOR_SPLUNK_INDEX=false",
                    error => error.next_step(),
                },
                "cannot read the environment of apps, their events go to the default index"
            );
        }
    }

    pub(super) fn list(&self, what: &'static str, error: &CallError) {
        if let Some(unlogged) = Self::turn(&self.lists, error) {
            tracing::warn!(what, %error, unlogged, next_step = error.next_step(), "cannot read a list, will go on later");
        }
    }

    pub(super) fn away(&self, error: &CallError, away: Duration) {
        if let Some(unlogged) = Self::turn(&self.probes, error) {
            let away_ms = millis(away);
            tracing::warn!(%error, away_ms, unlogged, next_step = error.next_step(), "the cloud controller still does not answer");
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
