//! Counts and states for the status page.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::Shared;
use super::cloud_controller::Call;

/// The state of the app metadata. Numbers without another word are counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MetadataStats {
    /// Whether metadata is on.
    pub enabled: bool,
    /// Apps in the table at this moment, in whatever state.
    pub entries: usize,
    /// Of these: apps that are known.
    pub known: usize,
    /// Of these: apps that Cloud Controller says do not exist.
    pub missing: usize,
    /// Of these: apps whose last look-up failed, none before having succeeded.
    pub unavailable: usize,
    /// Look-ups queued or under way at this moment.
    pub pending: usize,
    /// Of these: look-ups still in the queue.
    pub queued: usize,
    /// Look-ups for which there was no room.
    pub queue_full: u64,
    /// Apps that had to make room for others.
    pub evicted: u64,
    /// Indexes apps asked for that cannot be one, each time one was read.
    pub indexes_refused: u64,
    /// Calls by kind.
    pub calls: CallStats,
    /// Calls that brought no usable answer; that an app does not exist is an answer.
    pub failures: u64,
    /// Calls answered with 429.
    pub throttled: u64,
    /// The list of all apps.
    pub list: ListStats,
}

/// Calls to Cloud Controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CallStats {
    /// Single apps.
    pub apps: u64,
    /// Pages of the list of apps.
    pub pages: u64,
    /// Environments.
    pub environments: u64,
    /// Single spaces.
    pub spaces: u64,
    /// Single orgs.
    pub organizations: u64,
}

/// How far the list of all apps has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ListStats {
    /// Times the list has been read to its end.
    pub passes: u64,
    /// Whether it is being read at this moment.
    pub running: bool,
    /// Pages read in this pass, or in the last one.
    pub pages: u64,
    /// Apps seen in this pass, or in the last one.
    pub apps: u64,
    /// Of these: apps there was no room for.
    pub skipped: u64,
    /// Pages that could not be read, and were asked for again.
    pub failures: u64,
}

pub(super) fn collect(shared: &Shared) -> MetadataStats {
    let census = shared.table.census();
    let controller = &shared.controller;
    MetadataStats {
        enabled: true,
        entries: census.entries,
        known: census.known,
        missing: census.missing,
        unavailable: census.unavailable,
        pending: census.pending,
        queued: shared.queue.len(),
        queue_full: shared.table.queue_full(),
        evicted: shared.table.evicted(),
        indexes_refused: shared.indexes_refused.load(Ordering::Relaxed),
        calls: CallStats {
            apps: controller.calls(Call::App),
            pages: controller.calls(Call::List),
            environments: controller.calls(Call::Environment),
            spaces: controller.calls(Call::Space),
            organizations: controller.calls(Call::Organization),
        },
        failures: controller.failures(),
        throttled: controller.throttled(),
        list: *shared.list(),
    }
}
