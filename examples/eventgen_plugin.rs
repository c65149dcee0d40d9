//! An `eventgen` of your own: the real one, with a generator, a rater and an output more.
//!
//! ```text
//! cargo run --example eventgen_plugin -- generate heartbeat.conf
//! ```
//!
//! with `heartbeat.conf`:
//!
//! ```text
//! [heartbeat]
//! generator = heartbeat
//! rater = office
//! outputMode = shout
//! text = still here
//! count = 2
//! interval = 1
//! end = 3
//! ```

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use firehose_nozzle::clock::UnixNanos;
use firehose_nozzle::eventgen::cli;
use firehose_nozzle::eventgen::config::{Count, SampleConfig};
use firehose_nozzle::eventgen::event::{Batch, Meta};
use firehose_nozzle::eventgen::plugin::{
    Amount, GenerateError, Generator, Nature, Output, OutputError, OutputFuture, Part, Rated, Rater, Registry,
};
use firehose_nozzle::eventgen::time::{Civil, Zone};

fn main() -> ExitCode {
    cli::main_with(register)
}

/// Adds the three plugins under the names that confs use.
pub(crate) fn register(registry: &mut Registry) {
    registry
        .generators
        .insert("heartbeat".to_owned(), Arc::new(|sample| Ok(Arc::new(Heartbeat::new(sample)?))));
    registry.raters.insert("office".to_owned(), Arc::new(|sample| Ok(Box::new(Office::new(sample)))));
    registry.outputs.insert("shout".to_owned(), Arc::new(|_| Ok(Box::new(Shout))));
}

/// Says a text, with a number: `still here 0`, `still here 1`, …
struct Heartbeat {
    text: String,
    meta: Arc<Meta>,
}

impl Heartbeat {
    fn new(sample: &SampleConfig) -> Result<Self, String> {
        // Settings nobody else knows are the plugin's own.
        let text = sample.settings.get("text").ok_or("text is not set: expected what to say")?;
        Ok(Self { text: text.value.clone(), meta: Arc::clone(&sample.meta) })
    }
}

impl Generator for Heartbeat {
    fn is_parallel(&self) -> bool {
        true // A part says all there is to know of its events.
    }

    fn events_per_pass(&self) -> u64 {
        1
    }

    fn generate(&self, part: &Part, out: &mut Batch) -> Result<(), GenerateError> {
        let Amount::Events(events) = part.amount else {
            let message = "heartbeat makes events by number, not by volume".to_owned();
            return Err(GenerateError { message, fatal: true });
        };
        let meta = out.meta(&self.meta);
        for number in part.first..part.first + events {
            let text = format!("{} {number}\n", self.text);
            out.buffer().extend_from_slice(text.as_bytes());
            out.commit(part.earliest, meta);
        }
        Ok(())
    }
}

/// As many as `count` says from nine to five, one else.
struct Office {
    zone: Zone,
    events: u64,
}

impl Office {
    fn new(sample: &SampleConfig) -> Self {
        let events = if let Count::Events(events) = sample.count { events } else { 1 };
        Self { zone: sample.zone.clone(), events }
    }
}

impl Rater for Office {
    fn rate(&mut self, at: UnixNanos, _events_per_pass: u64, _random: f64) -> Rated {
        let open = (9..17).contains(&Civil::of(at, &self.zone).hour);
        Rated { amount: Amount::Events(if open { self.events } else { 1 }) }
    }
}

/// Standard output in capitals.
struct Shout;

impl Output for Shout {
    fn nature(&self) -> Nature {
        Nature::Blocking // A pipe may be full.
    }

    fn write<'a>(&'a mut self, batch: &'a Batch) -> OutputFuture<'a> {
        let written = std::io::stdout().write_all(&batch.text().to_ascii_uppercase());
        let written = written.map_err(|error| OutputError {
            message: format!("standard output: {error}"),
            lost: batch.len() as u64,
            closed: true,
        });
        Box::pin(std::future::ready(written))
    }

    fn finish(&mut self) -> OutputFuture<'_> {
        Box::pin(std::future::ready(Ok(())))
    }
}
