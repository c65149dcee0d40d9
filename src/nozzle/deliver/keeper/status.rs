//! What is told of the spool: its status, and what is wrong with its disk, said once.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::time::Instant;

use super::{HANGS_AFTER, RETRY_EVERY, SpoolSettings};
use crate::causes::chain;
use crate::clock::UnixNanos;
use crate::hec::spool::{FolderError, Recovered};

/// The disk spool at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SpoolStatus {
    /// Where it is.
    pub folder: PathBuf,
    /// Whether what is in it at the end is there at the next start.
    pub persistent: bool,
    /// Whether it could be opened.
    pub open: bool,
    /// Batches on disk that nobody is sending.
    pub batches: u64,
    /// Envelopes of these.
    pub envelopes: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// SPOOL_MAX_BYTES.
    pub max_bytes: u64,
    /// When about the oldest batch was written.
    pub oldest_unix_ms: Option<u64>,
    /// Batches that could not be read, since the start.
    pub damaged_batches: u64,
    /// What is wrong with the disk now.
    pub trouble: Option<String>,
}

impl SpoolStatus {
    pub(in crate::nozzle) fn new(settings: &SpoolSettings) -> Self {
        Self {
            folder: settings.folder.clone(),
            persistent: settings.persistent,
            open: false,
            batches: 0,
            envelopes: 0,
            bytes: 0,
            max_bytes: settings.max_bytes,
            oldest_unix_ms: None,
            damaged_batches: 0,
            trouble: None,
        }
    }

    /// How long about the oldest batch has been there, in seconds.
    pub fn oldest_seconds(&self) -> Option<u64> {
        let now_ms = u64::try_from(UnixNanos::now().0 / 1_000_000).unwrap_or(0);
        self.oldest_unix_ms.map(|oldest| now_ms.saturating_sub(oldest) / 1000)
    }
}

/// Whether the disk fails, in one direction, and when it is tried again.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    text: Option<String>,
    retry_at: Option<Instant>,
}

impl Trouble {
    /// Whether the disk may be tried.
    pub(super) fn is_due(&self) -> bool {
        self.retry_at.is_none_or(|at| at <= Instant::now())
    }

    /// When it may, if it may not.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at.filter(|_| !self.is_due())
    }

    pub(super) fn text(&self) -> Option<String> {
        self.text.clone()
    }

    /// Notes a failure; true if it is the first one of a row.
    fn note(&mut self, text: &str) -> bool {
        self.retry_at = Some(Instant::now() + RETRY_EVERY);
        self.text.replace(text.to_owned()).is_none()
    }

    /// True if there was something.
    fn end(&mut self) -> bool {
        self.retry_at = None;
        self.text.take().is_some()
    }

    pub(super) fn failed_to_open(&mut self, folder: &Path, error: &FolderError) {
        let next_step = match error {
            FolderError::InUse(_) => {
                "give each nozzle a SPOOL_DIR of its own; if the other one is about to end, this one takes over"
            }
            FolderError::Io { error, .. } => next_step(error),
        };
        let error = chain(error);
        if self.note(&error) {
            tracing::error!(
                folder = %folder.display(),
                error,
                next_step,
                retry_s = RETRY_EVERY.as_secs(),
                "the disk spool cannot be used; what HEC does not take is kept in memory alone"
            );
        }
    }

    pub(super) fn opened(&mut self, folder: &Path, recovered: &Recovered) {
        self.end();
        tracing::info!(
            folder = %folder.display(),
            batches = recovered.batches,
            envelopes = recovered.tally.units,
            torn_bytes = recovered.torn_bytes,
            "the disk spool is open"
        );
        if recovered.damaged_bytes > 0 {
            tracing::error!(
                bytes = recovered.damaged_bytes,
                next_step = "see to the disk of SPOOL_DIR; all that could be read will be delivered",
                "part of the disk spool is damaged and lost; of how many envelopes is not known"
            );
        }
    }

    pub(super) fn failed(&mut self, folder: &Path, error: &io::Error) {
        let text = error.to_string();
        if self.note(&text) {
            tracing::error!(
                folder = %folder.display(),
                error = text,
                next_step = next_step(error),
                retry_s = RETRY_EVERY.as_secs(),
                "the disk spool cannot be written; what HEC does not take is kept in memory alone"
            );
        }
    }

    pub(super) fn succeeded(&mut self) {
        if self.end() {
            tracing::info!("the disk spool can be written again");
        }
    }

    pub(super) fn cannot_read(&mut self, folder: &Path, error: &io::Error) {
        let text = error.to_string();
        if self.note(&text) {
            tracing::error!(
                folder = %folder.display(),
                error = text,
                next_step = next_step(error),
                retry_s = RETRY_EVERY.as_secs(),
                "the disk spool cannot be read; live events are delivered, those on disk wait"
            );
        }
    }

    pub(super) fn can_read(&mut self) {
        if self.end() {
            tracing::info!("the disk spool can be read again");
        }
    }

    pub(super) fn too_slow(&self, folder: &Path) {
        tracing::error!(
            folder = %folder.display(),
            next_step = "see to the disk of SPOOL_DIR, or raise SHUTDOWN_TIMEOUT",
            "the disk spool did not take in time what could not be delivered"
        );
    }
}

/// The disk takes long; gives what is shown for as long as it does.
pub(super) fn hangs(folder: &Path) -> String {
    tracing::error!(
        folder = %folder.display(),
        waited_s = HANGS_AFTER.as_secs(),
        next_step = "see to the disk of SPOOL_DIR: a network volume may be away; it is used again as soon as it answers",
        "the disk spool does not answer; what HEC does not take is kept in memory alone"
    );
    "the disk does not answer".to_owned()
}

pub(super) fn answers(folder: &Path) {
    tracing::info!(folder = %folder.display(), "the disk spool answers again");
}

fn next_step(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "make room on the disk of SPOOL_DIR, or lower SPOOL_MAX_BYTES to what it has"
        }
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => "let the nozzle write to SPOOL_DIR",
        _ => "see to the disk of SPOOL_DIR",
    }
}
