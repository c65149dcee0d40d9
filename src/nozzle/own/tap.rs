//! The log's side: lines on their way to become events.
//!
//! A layer of the log. It never waits, never logs, and keeps no lock: whoever logs is in the middle of something else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::buffer::{Entry, Exit, buffer};
use super::lane;
use super::ledger::{OwnDrop, OwnLedger};
use super::rate::Rate;
use crate::clock::UnixNanos;
use crate::telemetry::Fields;

/// Bytes of lines that may wait.
const LINES_BYTES_MAX: usize = 256 << 10;

/// How many lines a second become events, and how many at once.
const LINES_PER_SECOND: u32 = 50;
const LINES_BURST: u32 = 500;

/// How many of those logged while own events are delivered become events a minute, and at once: each may cause
/// another one, but a change of HEC's state that such a delivery was the first to meet is worth telling.
const LINES_OF_DELIVERY_PER_MINUTE: u32 = 6;
const LINES_OF_DELIVERY_BURST: u32 = 6;

/// The most of a message, and of its fields, that becomes part of an event.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
const FIELDS_BYTES_MAX: usize = 16 << 10;

/// What a line costs beside its text.
const LINE_OVERHEAD_BYTES: usize = 128;

/// Lines of libraries become no events: with LOG_LEVEL=trace each request would make many.
const OURS: &str = env!("CARGO_CRATE_NAME");

/// A line of the log.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) time: UnixNanos,
    pub(super) level: Level,
    pub(super) message: String,
    /// Members of a JSON object, without its braces.
    pub(super) data: String,
}

/// Makes the layer, and what the lines come out of.
pub fn tap() -> (Tap, Lines) {
    let ledger = Arc::new(OwnLedger::default());
    let (entry, exit) = buffer(LINES_BYTES_MAX, Arc::clone(&ledger));
    let tap = Tap {
        entry,
        rate: Rate::new(LINES_PER_SECOND, Duration::from_secs(1), LINES_BURST),
        rate_of_delivery: Rate::new(
            LINES_OF_DELIVERY_PER_MINUTE,
            Duration::from_mins(1),
            LINES_OF_DELIVERY_BURST,
        ),
        ledger: Arc::clone(&ledger),
        missed: AtomicU64::new(0),
    };
    (tap, Lines { exit, ledger })
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Tap {
    entry: Entry<Line>,
    rate: Rate,
    rate_of_delivery: Rate,
    ledger: Arc<OwnLedger>,
    /// Lines lost since the last one that was kept.
    missed: AtomicU64,
}

/// Lines waiting to be delivered.
#[derive(Debug)]
pub struct Lines {
    pub(super) exit: Exit<Line>,
    ledger: Arc<OwnLedger>,
}

impl Lines {
    /// Where they are counted.
    pub fn ledger(&self) -> &Arc<OwnLedger> {
        &self.ledger
    }
}

impl<S: Subscriber> Layer<S> for Tap {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if !metadata.target().starts_with(OURS) || self.entry.is_closed() {
            return;
        }
        let now = Instant::now();
        if lane::is_delivering() && !self.rate_of_delivery.allows(now) || !self.rate.allows(now) {
            self.ledger.not_kept(OwnDrop::Rate);
            self.missed.fetch_add(1, Relaxed);
            return;
        }
        let missed = self.missed.swap(0, Relaxed);
        let line = line(*metadata.level(), Fields::of(event), missed);
        let bytes = line.message.len() + line.data.len() + LINE_OVERHEAD_BYTES;
        if !self.entry.offer(line, bytes) {
            self.missed.fetch_add(missed + 1, Relaxed);
        }
    }
}

fn line(level: Level, mut fields: Fields, missed: u64) -> Line {
    if fields.members.len() > FIELDS_BYTES_MAX {
        let bytes = fields.members.len();
        fields.members.clear();
        fields.add_json("fields_left_out_bytes", &bytes.to_string());
    }
    if level == Level::WARN {
        // The Go nozzle has no such level.
        fields.add_text("level", "warn");
    }
    if missed > 0 {
        fields.add_json("lines_missed_before", &missed.to_string());
    }
    let mut message = fields.message;
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
    Line { time: UnixNanos::now(), level, message, data: fields.members }
}
