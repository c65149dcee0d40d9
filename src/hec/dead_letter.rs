//! A ring of files for events that HEC refuses for what they are.
//!
//! Lines of JSON, one for each event, with the reason and the event as it was sent. The files together never
//! hold more than the limit: the oldest goes first. What cannot be written is counted; it never stops
//! delivery for longer than `WRITE_MAX`. A folder belongs to one writer.
//!
//! Not responsible for the order of events, nor for a disk that dies with the container.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::outcome::Rejection;
use super::reply::HecCode;
use crate::clock::UnixNanos;

/// The longest a delivery waits for the disk.
const WRITE_MAX: Duration = Duration::from_secs(2);

/// The limit is shared by about so many files: with each that goes, so much of it is gone.
const FILES: u64 = 8;

const PREFIX: &str = "dead-letters-";
const SUFFIX: &str = ".ndjson";

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
        let ring = Ring { folder: folder.clone(), max_bytes, files: None, open: None };
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
                    let line = line(rejection, event, ring.max_bytes);
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

/// The files, oldest first.
#[derive(Debug)]
struct Ring {
    folder: PathBuf,
    max_bytes: u64,
    /// Number and length; unknown until the folder was looked into.
    files: Option<VecDeque<(u64, u64)>>,
    /// The last of them.
    open: Option<File>,
}

impl Ring {
    fn bytes(&self) -> u64 {
        self.files.iter().flatten().map(|(_, length)| length).sum()
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        let mut files = match self.files.take() {
            Some(files) => files,
            None => find(&self.folder)?,
        };
        let done = self.append_to(&mut files, line, length);
        self.files = Some(files);
        if done.is_err() {
            // It may hold half a line.
            self.open = None;
        }
        done
    }

    fn append_to(&mut self, files: &mut VecDeque<(u64, u64)>, line: &[u8], length: u64) -> io::Result<()> {
        let full = files.back().is_none_or(|(_, last)| last + length > self.max_bytes / FILES);
        if full || self.open.is_none() {
            self.open = None;
            let next = files.back().map_or(1, |(last, _)| last + 1);
            self.make_room(files, length)?;
            self.open = Some(create(&self.folder, next, files)?);
        }
        self.make_room(files, length)?;
        let (Some(file), Some((_, last))) = (&mut self.open, files.back_mut()) else { return Ok(()) };
        file.write_all(line)?;
        *last += length;
        Ok(())
    }

    fn make_room(&self, files: &mut VecDeque<(u64, u64)>, length: u64) -> io::Result<()> {
        let keep = usize::from(self.open.is_some());
        while files.len() > keep
            && files.iter().map(|(_, length)| length).sum::<u64>() + length > self.max_bytes
        {
            let Some((oldest, _)) = files.front() else { break };
            match fs::remove_file(path(&self.folder, *oldest)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => drop(files.pop_front()),
            }
        }
        Ok(())
    }
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{number:010}{SUFFIX}"))
}

/// The files of an earlier run. They are not written to any more: the last line may be half a line.
fn find(folder: &Path) -> io::Result<VecDeque<(u64, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            files.push((number, entry.metadata()?.len()));
        }
    }
    files.sort_unstable();
    Ok(files.into())
}

/// Only for the owner: events are what apps log.
fn create(folder: &Path, mut number: u64, files: &mut VecDeque<(u64, u64)>) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path(folder, number));
        match file {
            Ok(file) => {
                files.push_back((number, 0));
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;
    use http::StatusCode;
    use serde_json::Value;

    use super::super::batch::Tally;
    use super::*;

    fn rejection(events: &[&str]) -> Rejection {
        let mut end = 0;
        let ends = events.iter().map(|event| {
            end += event.len();
            end
        });
        Rejection {
            code: Some(HecCode::FORMAT),
            status: StatusCode::BAD_REQUEST,
            index: Arc::from("main"),
            tally: Tally { events: events.len() as u64, units: 1 },
            ends: ends.collect(),
            body: Bytes::from(events.concat()),
        }
    }

    fn lines(folder: &Path) -> Vec<Value> {
        let files = find(folder).unwrap();
        let text: String =
            files.iter().map(|(number, _)| fs::read_to_string(path(folder, *number)).unwrap()).collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_letter_tells_the_event_and_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let letters = DeadLetters::new(folder.path().to_owned(), 1 << 20);
        letters.write(vec![rejection(&[r#"{"event":12345678901234567890}"#, "no \"json\"\n"])]).await;
        letters.write(Vec::new()).await;
        let lines = lines(folder.path());
        assert_eq!(lines.len(), 2);
        for line in &lines {
            let named = (&line["status"], &line["code"], &line["reason"], &line["index"]);
            let expected = (&400.into(), &6.into(), &"Invalid data format".into(), &"main".into());
            assert_eq!(named, expected);
        }
        assert_eq!(lines[0]["event"]["event"].to_string(), "12345678901234567890");
        assert_eq!((&lines[1]["text"], &lines[1]["event"]), (&"no \"json\"\n".into(), &Value::Null));
        let status = letters.status();
        assert_eq!((status.written, status.failed, status.last_error), (2, 0, None));
        let mode = fs::metadata(path(folder.path(), 1)).unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    }

    #[tokio::test]
    async fn the_ring_holds_the_newest_and_never_more_than_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let max = 64 << 10;
        let on_disk = || find(folder.path()).unwrap().iter().map(|(_, length)| length).sum::<u64>();
        for run in 0..3 {
            let letters = DeadLetters::new(folder.path().to_owned(), max);
            for n in 0..100 {
                let event = format!(r#"{{"n":{},"x":"{}"}}"#, run * 100 + n, "x".repeat(n * 20));
                letters.write(vec![rejection(&[&event])]).await;
                assert!(on_disk() <= max, "{}", on_disk());
                assert_eq!(letters.status().bytes, on_disk());
            }
            assert_eq!(letters.status().written, 100);
        }
        let numbers: Vec<_> =
            lines(folder.path()).iter().map(|line| line["event"]["n"].as_u64().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
        assert_eq!(numbers.last(), Some(&299));
        assert!(on_disk() > max / 2, "{}", on_disk());
    }

    #[tokio::test]
    async fn an_event_larger_than_the_limit_is_kept_in_part() {
        let folder = tempfile::tempdir().unwrap();
        let letters = DeadLetters::new(folder.path().to_owned(), 64 << 10);
        let event = format!(r#"{{"event":"{}"}}"#, "\u{1}".repeat(100_000));
        letters.write(vec![rejection(&[&event, r#"{"event":"next"}"#])]).await;
        let lines = lines(folder.path());
        assert!(lines[0]["text"].as_str().unwrap().starts_with("{\"event\""));
        assert_eq!(lines[1]["event"]["event"], "next");
        assert!(letters.status().bytes <= 64 << 10);
    }

    #[tokio::test]
    async fn a_disk_that_fails_is_told_and_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("not there yet");
        let letters = DeadLetters::new(place.clone(), 1 << 20);
        letters.write(vec![rejection(&["{}", "{}"])]).await;
        let status = letters.status();
        assert_eq!((status.written, status.failed), (0, 2));
        assert!(status.last_error.is_some());
        fs::create_dir(&place).unwrap();
        letters.write(vec![rejection(&["{}"])]).await;
        assert_eq!((letters.status().written, lines(&place).len()), (1, 1));
    }

    #[tokio::test]
    async fn several_writers_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let letters = Arc::new(DeadLetters::new(folder.path().to_owned(), 1 << 20));
        let writes = (0..20).map(|n| {
            let letters = letters.clone();
            async move { letters.write(vec![rejection(&[&format!(r#"{{"n":{n}}}"#)])]).await }
        });
        futures_util::future::join_all(writes).await;
        let numbers: BTreeSet<_> =
            lines(folder.path()).iter().map(|line| line["event"]["n"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..20).collect());
    }
}
