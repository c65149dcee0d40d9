//! What was indexed.
//!
//! The ledger is the judge in every test and benchmark, so it never guesses: a mode that does
//! not keep something says that it does not, and a full ledger says how much it could not keep.
//! How much is kept is a choice, because keeping every event costs more than sending it.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use uuid::Uuid;

use super::delays::Delays;
use super::events::{Defaults, Indexed, Kind};
use crate::clock::UnixNanos;

mod sequences;
mod summary;

pub use sequences::Sequences;
pub use summary::{Group, Summary};

/// How much of the indexed events is kept.
#[derive(Clone, Copy, Debug)]
pub enum LedgerMode {
    /// Every event as it came, up to a limit; the ones after it are counted only.
    Full {
        /// Events kept.
        max_events: usize,
        /// Bytes of envelopes kept.
        max_bytes: usize,
    },
    /// One number per event, in a bitmap.
    Sequences {
        /// Finds the number in an envelope's JSON text, or in a line of the raw endpoint.
        extract: fn(&str) -> Option<u64>,
        /// Bytes the bitmap may take; see [`Sequences`].
        max_bytes: usize,
    },
    /// Events and bytes, counted by a scan that does not parse: an event's keys, index and
    /// fields are not checked in this mode.
    Count,
    /// As `Count`; and how long after its own `time` one of each 16 events was taken. Their clock must
    /// be this machine's.
    Delays,
}

impl Default for LedgerMode {
    /// All events, up to 200,000 and 256 MiB.
    fn default() -> Self {
        Self::Full { max_events: 200_000, max_bytes: 256 * 1024 * 1024 }
    }
}

impl LedgerMode {
    /// A bitmap of up to 64 MiB: half a billion consecutive numbers.
    pub fn sequences(extract: fn(&str) -> Option<u64>) -> Self {
        Self::Sequences { extract, max_bytes: 64 * 1024 * 1024 }
    }
}

/// One indexed event.
#[derive(Clone, Debug)]
pub struct Record {
    /// Which connection it came over, counted from 0.
    pub connection: u64,
    /// Which request brought it, counted from 0 over the whole server.
    pub request: u64,
    /// The request's channel.
    pub channel: Option<Uuid>,
    /// When the request was judged.
    pub arrived: UnixNanos,
    /// Where it went: the envelope's index, the request's or the token's.
    pub index: String,
    /// Event, metric or raw line.
    pub kind: Kind,
    /// The envelope's JSON text as sent, or the line of the raw endpoint.
    pub envelope: Bytes,
    /// What the request's query string set for events that do not say it themselves.
    pub defaults: Arc<Defaults>,
}

impl Record {
    /// The envelope, parsed; a raw line becomes a JSON string.
    pub fn json(&self) -> Value {
        let text = || Value::String(String::from_utf8_lossy(&self.envelope).into_owned());
        match self.kind {
            Kind::Event | Kind::Metric => serde_json::from_slice(&self.envelope).unwrap_or_else(|_| text()),
            Kind::Raw => text(),
        }
    }

    /// One member of the envelope, or what the query string set in its place.
    pub fn member(&self, key: &str) -> Option<Value> {
        let own = match self.json() {
            Value::Object(mut members) => members.remove(key),
            _ => None,
        };
        own.or_else(|| self.defaults.get(key).map(|value| Value::String(value.to_owned())))
    }
}

/// The ledger cannot give every event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// More was indexed than the limits allow to keep.
    #[error("the ledger kept {kept} events and could only count {lost} more")]
    Overflowed {
        /// Events kept.
        kept: u64,
        /// Events indexed but not kept.
        lost: u64,
    },
    /// The mode keeps something else.
    #[error("the ledger was not configured to keep {0}")]
    NotKept(&'static str),
}

/// The numbers of a ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerTotals {
    /// Events indexed, whatever the mode.
    pub events: u64,
    /// Their bytes: envelopes without separators, or lines.
    pub event_bytes: u64,
    /// Events that [`LedgerMode::Full`] had no room for.
    pub lost: u64,
    /// Numbers seen at least once, in [`LedgerMode::Sequences`].
    pub distinct: u64,
    /// Numbers seen again.
    pub duplicates: u64,
    /// The highest number seen.
    pub highest: Option<u64>,
    /// Events no number was found in.
    pub unnumbered: u64,
    /// Events whose number the bitmap had no room for.
    pub unplaced: u64,
}

/// Where the events of one request came from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) connection: u64,
    pub(super) request: u64,
    pub(super) channel: Option<Uuid>,
    pub(super) defaults: Arc<Defaults>,
    pub(super) default_index: String,
}

#[derive(Debug)]
pub(super) struct Ledger {
    mode: LedgerMode,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    events: u64,
    event_bytes: u64,
    lost: u64,
    unnumbered: u64,
    records: Vec<Record>,
    record_bytes: usize,
    sequences: Sequences,
    summary: Summary,
    delays: Delays,
}

impl Ledger {
    pub(super) fn new(mode: LedgerMode) -> Self {
        let mut kept = Kept::default();
        if let LedgerMode::Sequences { max_bytes, .. } = mode {
            kept.sequences = Sequences::new(max_bytes);
        }
        Self { mode, kept: Mutex::new(kept) }
    }

    pub(super) fn mode(&self) -> LedgerMode {
        self.mode
    }

    /// Adds events that were only counted.
    pub(super) fn count(&self, events: u64, event_bytes: u64) {
        let mut kept = self.lock();
        kept.events += events;
        kept.event_bytes += event_bytes;
    }

    /// Notes when events were taken whose own times are these.
    pub(super) fn taken(&self, times: &[UnixNanos]) {
        if times.is_empty() {
            return;
        }
        let now = UnixNanos::now();
        let mut kept = self.lock();
        for time in times {
            let nanos = now.0.saturating_sub(time.0);
            kept.delays.add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)));
        }
    }

    /// The delays since the last time they were taken.
    pub(super) fn take_delays(&self) -> Result<Delays, LedgerError> {
        match self.mode {
            LedgerMode::Delays => Ok(std::mem::take(&mut self.lock().delays)),
            _ => Err(LedgerError::NotKept("delays")),
        }
    }

    /// Adds the events of one request.
    pub(super) fn add(&self, origin: &Origin, events: &[Indexed<'_>]) {
        // Numbers are found before the lock is taken: they are the dear part.
        let numbers: Vec<Option<u64>> = match self.mode {
            LedgerMode::Sequences { extract, .. } => events.iter().map(|event| extract(event.text)).collect(),
            LedgerMode::Full { .. } => Vec::new(),
            LedgerMode::Count | LedgerMode::Delays => {
                let bytes = events.iter().map(|event| event.text.len() as u64).sum();
                return self.count(events.len() as u64, bytes);
            }
        };
        let mut kept = self.lock();
        for event in events {
            kept.events += 1;
            kept.event_bytes += event.text.len() as u64;
            let (index, sourcetype) = (origin.index(event), origin.sourcetype(event));
            kept.summary.add(index, sourcetype, event.text);
        }
        for number in numbers {
            match number {
                Some(number) => kept.sequences.insert(number),
                None => kept.unnumbered += 1,
            }
        }
        if let LedgerMode::Full { max_events, max_bytes } = self.mode {
            kept.keep(origin, events, max_events, max_bytes);
        }
    }

    pub(super) fn totals(&self) -> LedgerTotals {
        let kept = self.lock();
        LedgerTotals {
            events: kept.events,
            event_bytes: kept.event_bytes,
            lost: kept.lost,
            distinct: kept.sequences.distinct(),
            duplicates: kept.sequences.duplicates(),
            highest: kept.sequences.highest(),
            unnumbered: kept.unnumbered,
            unplaced: kept.sequences.unplaced(),
        }
    }

    pub(super) fn records(&self) -> Result<Vec<Record>, LedgerError> {
        let LedgerMode::Full { .. } = self.mode else {
            return Err(LedgerError::NotKept("events"));
        };
        let kept = self.lock();
        if kept.lost > 0 {
            return Err(LedgerError::Overflowed { kept: kept.records.len() as u64, lost: kept.lost });
        }
        Ok(kept.records.clone())
    }

    pub(super) fn missing(&self, range: Range<u64>) -> Result<u64, LedgerError> {
        self.sequences().map(|kept| kept.sequences.missing(range))
    }

    pub(super) fn first_missing(&self, range: Range<u64>, limit: usize) -> Result<Vec<u64>, LedgerError> {
        self.sequences().map(|kept| kept.sequences.first_missing(range, limit))
    }

    pub(super) fn summary(&self) -> Result<Summary, LedgerError> {
        match self.mode {
            LedgerMode::Count | LedgerMode::Delays => Err(LedgerError::NotKept("indexes and source types")),
            LedgerMode::Full { .. } | LedgerMode::Sequences { .. } => Ok(self.lock().summary.clone()),
        }
    }

    fn sequences(&self) -> Result<MutexGuard<'_, Kept>, LedgerError> {
        match self.mode {
            LedgerMode::Sequences { .. } => Ok(self.lock()),
            _ => Err(LedgerError::NotKept("sequence numbers")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, origin: &Origin, events: &[Indexed<'_>], max_events: usize, max_bytes: usize) {
        let arrived = UnixNanos::now();
        for event in events {
            let bytes = self.record_bytes.saturating_add(event.text.len());
            // Once something is lost nothing later is kept: a ledger with holes misleads.
            if self.lost > 0 || self.records.len() >= max_events || bytes > max_bytes {
                self.lost += 1;
                continue;
            }
            self.record_bytes = bytes;
            self.records.push(Record {
                connection: origin.connection,
                request: origin.request,
                channel: origin.channel,
                arrived,
                index: origin.index(event).to_owned(),
                kind: event.kind,
                envelope: Bytes::copy_from_slice(event.text.as_bytes()),
                defaults: origin.defaults.clone(),
            });
        }
    }
}

impl Origin {
    fn index<'a>(&'a self, event: &'a Indexed<'_>) -> &'a str {
        event.index.as_deref().or(self.defaults.index.as_deref()).unwrap_or(&self.default_index)
    }

    fn sourcetype<'a>(&'a self, event: &'a Indexed<'_>) -> &'a str {
        event.sourcetype.as_deref().or(self.defaults.sourcetype.as_deref()).unwrap_or("httpevent")
    }
}
