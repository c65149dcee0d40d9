//! A ring of files for events that HEC refuses for what they are.
//!
//! Lines of JSON, one for each event, with the reason and the event as it was sent. The files together never
//! hold more than the limit: the oldest goes first. What cannot be written is counted; it never stops
//! delivery for longer than `WRITE_MAX`. A folder belongs to one writer.
//!
//! Not responsible for the order of events, nor for a disk that dies with the container.

mod ring;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

use self::ring::Ring;
use super::outcome::Rejection;
use super::reply::HecCode;
use crate::clock::UnixNanos;

/// The longest a delivery waits for the disk.
const WRITE_MAX: Duration = Duration::from_secs(2);

/// A writer of dead letters. Share it.
#[derive(Debug)]
pub struct DeadLetters {
    ring: Arc<tokio::sync::Mutex<Ring>>,
    counters: Arc<Counters>,
    folder: PathBuf,
    max_bytes: u64,
}

/// What became of dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetterStatus {
    /// Where they are.
    pub folder: PathBuf,
    /// Events written since the start.
    pub written: u64,
    /// Events that could not be written.
    pub failed: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The most there may be.
    pub max_bytes: u64,
    /// What last went wrong.
    pub last_error: Option<String>,
}

#[derive(Debug, Default)]
struct Counters {
    written: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Counters {
    fn fail(&self, events: usize, error: &str) {
        self.failed.fetch_add(events as u64, Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_owned());
    }
}

impl DeadLetters {
    /// A writer into a folder, for at most so many bytes. Nothing is read or written yet.
    pub fn new(folder: PathBuf, max_bytes: u64) -> Self {
        let ring = Ring::new(folder.clone(), max_bytes);
        Self { ring: Arc::new(ring.into()), counters: Arc::default(), folder, max_bytes }
    }

    /// Writes what was refused, or counts it if the disk fails or takes too long.
    pub async fn write(&self, rejections: Vec<Rejection>) {
        let events = rejections.iter().map(|rejection| rejection.ends.len()).sum();
        if events == 0 {
            return;
        }
        let Ok(mut ring) = timeout(WRITE_MAX, Arc::clone(&self.ring).lock_owned()).await else {
            return self.counters.fail(events, "the disk takes too long");
        };
        let counters = Arc::clone(&self.counters);
        let write = tokio::task::spawn_blocking(move || {
            for rejection in &rejections {
                for event in rejection.events() {
                    let line = line(rejection, event, ring.max_bytes());
                    match ring.append(&line) {
                        Ok(()) => drop(counters.written.fetch_add(1, Relaxed)),
                        Err(error) => counters.fail(1, &error.to_string()),
                    }
                    counters.bytes.store(ring.bytes(), Relaxed);
                }
            }
        });
        // One that takes longer goes on by itself, and counts what comes of it; those behind it wait, and count
        // themselves as failed.
        let _ = timeout(WRITE_MAX, write).await;
    }

    /// What became of dead letters so far.
    pub fn status(&self) -> DeadLetterStatus {
        let last_error = self.counters.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        DeadLetterStatus {
            folder: self.folder.clone(),
            written: self.counters.written.load(Relaxed),
            failed: self.counters.failed.load(Relaxed),
            bytes: self.counters.bytes.load(Relaxed),
            max_bytes: self.max_bytes,
            last_error,
        }
    }
}

#[derive(Serialize)]
struct Letter<'a> {
    time_unix_ms: i64,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i64>,
    reason: &'static str,
    index: &'a str,
    /// As it was sent, if that is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a RawValue>,
    /// Else, or if it is too large for the limit, the text of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

fn line(rejection: &Rejection, event: &[u8], max_bytes: u64) -> Vec<u8> {
    // In JSON a byte takes six at most; the rest of the line is far smaller than this.
    let text_max = usize::try_from(max_bytes / 8).unwrap_or(usize::MAX).saturating_sub(4096);
    let json = if event.len() <= text_max { serde_json::from_slice::<&RawValue>(event).ok() } else { None };
    let json = json.filter(|json| !json.get().contains('\n'));
    let text = String::from_utf8_lossy(&event[..event.len().min(text_max)]);
    let letter = Letter {
        time_unix_ms: UnixNanos::now().0 / 1_000_000,
        status: rejection.status.as_u16(),
        code: rejection.code.map(|code| code.0),
        reason: rejection.code.map_or("refused without a HEC code", HecCode::meaning),
        index: &rejection.index,
        event: json,
        text: json.is_none().then_some(&*text),
    };
    // Strings and numbers can always be written.
    let mut line = serde_json::to_vec(&letter).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests;
