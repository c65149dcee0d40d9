//! Configurations and plugins for tests of the engine and the outputs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::config::{Count, End, EngineConfig, Rates, RunConfig, SampleConfig, SampleType, Setting};
use super::event::{Batch, Meta};
use super::plugin::{Output, OutputError};
use super::time::{Moment, Zone};
use crate::clock::UnixNanos;

/// A sample with the built-in defaults, and its own settings.
pub(crate) fn sample(stanza: &str, settings: &[(&str, &str)]) -> SampleConfig {
    let setting = |value: &str| Setting { value: value.to_owned(), place: None };
    SampleConfig {
        stanza: stanza.into(),
        place: None,
        name: stanza.into(),
        file: None,
        sample_dir: PathBuf::from("samples"),
        working_dir: PathBuf::from("."),
        variables: Arc::default(),
        sample_type: SampleType::Raw,
        generator: "default".to_owned(),
        rater: "config".to_owned(),
        output: "devnull".to_owned(),
        interval: Duration::from_millis(1),
        delay: Duration::ZERO,
        count: Count::WholeFile,
        per_day_volume: None,
        randomize_count: 0.0,
        randomize_events: false,
        bundle_lines: false,
        rates: Rates::default(),
        earliest: Moment::Now,
        latest: Moment::Now,
        zone: Zone::utc(),
        sequential_timestamp: false,
        backfill: None,
        end: End::Runs(1),
        time_multiple: 1.0,
        time_field: "_raw".to_owned(),
        auto_timestamps: Arc::from([]),
        breaker: None,
        tokens: Vec::new(),
        host_token: None,
        extend_indexes: Vec::new(),
        meta: Arc::new(meta()),
        max_queue_length: None,
        settings: settings.iter().map(|(name, value)| ((*name).to_owned(), setting(value))).collect(),
    }
}

pub(crate) fn meta() -> Meta {
    Meta {
        index: "i".into(),
        host: "h".into(),
        source: "s/x".into(),
        sourcetype: "st".into(),
        host_regex: "".into(),
    }
}

pub(crate) fn run_config(samples: Vec<SampleConfig>) -> RunConfig {
    RunConfig {
        engine: EngineConfig {
            workers: None,
            generator_queue_parts: 500,
            seed: Some(1),
            output_counter: false,
            rate: None,
            global: BTreeMap::new(),
        },
        samples,
    }
}

/// 2024-01-15 12:00:01 UTC.
pub(crate) const NOON: UnixNanos = UnixNanos(1_705_320_001_000_000_000);

/// A batch of these texts.
pub(crate) fn batch(texts: &[&str]) -> Batch {
    let mut batch = Batch::new();
    let meta = batch.meta(&Arc::new(meta()));
    for text in texts {
        batch.buffer().extend_from_slice(text.as_bytes());
        batch.commit(NOON, meta);
    }
    batch
}

/// Writes a batch and finishes; what was lost comes together.
pub(crate) async fn write_all(output: &mut dyn Output, texts: &[&str]) -> Result<(), OutputError> {
    let written = output.write(&batch(texts)).await;
    let finished = output.finish().await;
    match (written, finished) {
        (Err(one), Err(other)) => Err(OutputError { lost: one.lost + other.lost, ..one }),
        (one, other) => one.and(other),
    }
}
