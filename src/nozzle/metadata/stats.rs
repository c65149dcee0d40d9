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
    /// Whether the Cloud Controller counts as away, so that nothing waits for it.
    pub away: bool,
    /// How often it went away.
    pub outages: u64,
    /// Apps in the table at this moment, in whatever state.
    pub entries: usize,
    /// Of these: apps that are known.
    pub known: usize,
    /// Of the known ones: apps that do not exist any more.
    pub deleted: usize,
    /// Of the entries: apps that Cloud Controller says do not exist, and that were never known.
    pub missing: usize,
    /// Of the entries: apps whose last look-up failed, none before having succeeded.
    pub unavailable: usize,
    /// Look-ups queued or under way at this moment.
    pub pending: usize,
    /// Of these: look-ups of names still in the queue.
    pub queued: usize,
    /// Of these: environments still in the queue.
    pub environments_queued: usize,
    /// Look-ups for which there was no room.
    pub queue_full: u64,
    /// Apps that had to make room for others.
    pub evicted: u64,
    /// Indexes apps asked for that cannot be one, each time one was read.
    pub indexes_refused: u64,
    /// Requests under way at this moment.
    pub under_way: u64,
    /// Calls by kind.
    pub calls: CallStats,
    /// Calls that brought no usable answer; that an app does not exist is an answer.
    pub failures: u64,
    /// Calls answered with 429.
    pub throttled: u64,
    /// The last call that failed, whether or not one was answered since.
    pub last_error: Option<String>,
    /// The list of all apps.
    pub list: ListStats,
    /// What has changed since.
    pub changes: ChangeStats,
    /// The file.
    pub file: FileStats,
}

/// Calls to Cloud Controller; one that is tried again counts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CallStats {
    /// Single apps.
    pub apps: u64,
    /// Several apps by their guids.
    pub batches: u64,
    /// Pages of the list of apps.
    pub pages: u64,
    /// What has changed.
    pub changes: u64,
    /// Environments.
    pub environments: u64,
    /// Single spaces.
    pub spaces: u64,
    /// Single orgs.
    pub organizations: u64,
    /// Whether it is back.
    pub probes: u64,
}

impl CallStats {
    /// All of them.
    pub fn total(&self) -> u64 {
        let Self { apps, batches, pages, changes, environments, spaces, organizations, probes } = *self;
        apps + batches + pages + changes + environments + spaces + organizations + probes
    }
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
    /// How long the last pass took, in milliseconds.
    pub took_ms: u64,
}

/// What was learnt of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChangeStats {
    /// Times all kinds were asked for.
    pub turns: u64,
    /// Changes seen.
    pub seen: u64,
    /// Turns that failed.
    pub failures: u64,
}

/// What the file holds and has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileStats {
    /// Whether there is one.
    pub enabled: bool,
    /// Apps read from it at the start.
    pub restored: usize,
    /// Records written.
    pub written: u64,
    /// Transactions that failed.
    pub failures: u64,
}

pub(super) fn collect(shared: &Shared) -> MetadataStats {
    let census = shared.table.census();
    let controller = &shared.controller;
    MetadataStats {
        enabled: true,
        away: controller.outage().is_away(),
        outages: controller.outage().times(),
        entries: census.entries,
        known: census.known,
        deleted: census.deleted,
        missing: census.missing,
        unavailable: census.unavailable,
        pending: census.pending,
        queued: shared.queues.names.len(),
        environments_queued: shared.queues.environments.len() + shared.window().len(),
        queue_full: shared.table.queue_full(),
        evicted: shared.table.evicted(),
        indexes_refused: shared.indexes_refused.load(Ordering::Relaxed),
        under_way: controller.under_way(),
        calls: CallStats {
            apps: controller.calls(Call::App),
            batches: controller.calls(Call::Batch),
            pages: controller.calls(Call::List),
            changes: controller.calls(Call::Changes),
            environments: controller.calls(Call::Environment),
            spaces: controller.calls(Call::Space),
            organizations: controller.calls(Call::Organization),
            probes: controller.calls(Call::Probe),
        },
        failures: controller.failures(),
        throttled: controller.throttled(),
        last_error: controller.fault().map(|fault| fault.error),
        list: *shared.list(),
        changes: *shared.changes(),
        file: *shared.file(),
    }
}
