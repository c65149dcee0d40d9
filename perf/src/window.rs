//! How much is under way between the load and the HEC server, when the load is to go as fast as it can.
//!
//! The nozzle reads whatever comes and drops what it cannot hold, so a load without a rate has to wait for
//! what it sent. The HEC server writes how many events it has to a file, every few ms; nobody else counts.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use firehose_nozzle::eventgen::event::Batch;
use firehose_nozzle::eventgen::plugin::{Nature, Output, OutputError, OutputFuture};
use tokio::time::Instant;

use crate::lines::Lines;

/// Bytes under way, less than QUEUE_MAX_BYTES and DELIVERY_MAX_BYTES together or each.
const WINDOW_BYTES: u64 = 16 * 1024 * 1024;
/// What an envelope has beside its line, about.
const ENVELOPE_BYTES: u64 = 640;
/// Between looks.
const LOOK: Duration = Duration::from_millis(2);
/// Events that have not arrived for so long are lost, and not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The side of the load.
#[derive(Debug)]
pub struct Window {
    file: File,
    events: u64,
    is_on: AtomicBool,
    sent: AtomicU64,
    /// Events that had arrived before the run.
    base: AtomicU64,
    /// Events that will not arrive.
    lost: AtomicU64,
}

impl Window {
    /// Reads that file.
    ///
    /// # Errors
    /// It is not there.
    pub fn open(path: &Path, lines: Lines) -> std::io::Result<Self> {
        let events = WINDOW_BYTES / (lines.bytes as u64 + ENVELOPE_BYTES);
        let zero = || AtomicU64::new(0);
        let (file, is_on) = (File::open(path)?, AtomicBool::new(false));
        Ok(Self { file, events, is_on, sent: zero(), base: zero(), lost: zero() })
    }

    /// A run begins: whether it waits for what it sent.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn begin(&self, waits: bool) -> std::io::Result<()> {
        self.sent.store(0, Relaxed);
        self.lost.store(0, Relaxed);
        self.base.store(self.count()?, Relaxed);
        self.is_on.store(waits, Relaxed);
        Ok(())
    }

    fn count(&self) -> std::io::Result<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn under_way(&self) -> std::io::Result<u64> {
        let arrived = self.count()?.saturating_sub(self.base.load(Relaxed));
        let gone = arrived + self.lost.load(Relaxed);
        Ok(self.sent.load(Relaxed).saturating_sub(gone))
    }

    fn give_up(&self, events: u64) {
        self.lost.fetch_add(events, Relaxed);
    }

    async fn room(&self) -> std::io::Result<()> {
        let (mut seen, mut since) = (u64::MAX, Instant::now());
        while self.is_on.load(Relaxed) {
            let under_way = self.under_way()?;
            if under_way < self.events {
                break;
            }
            if under_way < seen {
                (seen, since) = (under_way, Instant::now());
            }
            if since.elapsed() > PATIENCE {
                self.give_up(under_way);
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

/// An output that waits for the window.
pub struct Windowed {
    /// Where the events go.
    pub inner: Box<dyn Output>,
    /// How many may be under way.
    pub window: std::sync::Arc<Window>,
}

impl Output for Windowed {
    fn nature(&self) -> Nature {
        self.inner.nature()
    }

    fn write<'a>(&'a mut self, batch: &'a Batch) -> OutputFuture<'a> {
        Box::pin(async {
            let lost = |error: std::io::Error| OutputError {
                message: format!("what has arrived is not known: {error}"),
                lost: batch.len() as u64,
                closed: true,
            };
            self.window.room().await.map_err(lost)?;
            self.inner.write(batch).await?;
            self.window.sent.fetch_add(batch.len() as u64, Relaxed);
            Ok(())
        })
    }

    fn finish(&mut self) -> OutputFuture<'_> {
        self.inner.finish()
    }
}

/// The side of the HEC server.
#[derive(Debug)]
pub struct Gauge(File);

impl Gauge {
    /// Writes that file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        let gauge = Self(file);
        gauge.set(0)?;
        Ok(gauge)
    }

    /// So many events have arrived.
    ///
    /// # Errors
    /// The disk is full.
    pub fn set(&self, events: u64) -> std::io::Result<()> {
        self.0.write_all_at(&events.to_le_bytes(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_much_is_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("arrived");
        let gauge = Gauge::create(&path).unwrap();
        gauge.set(1_000_000).unwrap();
        let window = Window::open(&path, "text-256".parse().unwrap()).unwrap();
        window.begin(true).unwrap();
        assert_eq!(window.under_way().unwrap(), 0);
        window.sent.store(window.events + 7, Relaxed);
        assert_eq!(window.under_way().unwrap(), window.events + 7);
        gauge.set(1_000_010).unwrap();
        assert_eq!(window.under_way().unwrap(), window.events - 3);
        // What never arrives is given up.
        window.give_up(5);
        assert_eq!(window.under_way().unwrap(), window.events - 8);
        // Each run begins with nothing under way.
        window.begin(false).unwrap();
        assert_eq!(window.under_way().unwrap(), 0);
        assert!(Window::open(&folder.path().join("none"), "text-256".parse().unwrap()).is_err());
    }
}
