//! What the fuzz targets share.

pub mod reference;

use std::sync::{Arc, LazyLock};

use firehose_nozzle::clock::UnixNanos;
use firehose_nozzle::hec::batch::Batch;
use firehose_nozzle::nozzle::encode::{Context, Encoder, EncoderSettings};
use firehose_nozzle::nozzle::event::Event;
use firehose_nozzle::nozzle::event_type::EventType;
use serde_json::Value;

static ENCODER: LazyLock<Encoder> = LazyLock::new(|| {
    Encoder::new(EncoderSettings {
        events: EventType::ALL.into_iter().collect(),
        add_tags: true,
        event_bytes_max: 900 << 10,
        ..EncoderSettings::default()
    })
});

/// Writes an event with all options on; whatever it holds, each event written must be one JSON value.
pub fn encode(event: &Event<'_>) -> Vec<Value> {
    let mut batch = Batch::new(Arc::from("main"), 0);
    let context = Context { names: &[], app_index: Some("x"), app_sourcetype: Some("y"), arrived: UnixNanos(1 << 60), flow: 0 };
    let written = ENCODER.encode(event, &context, &mut batch);
    let mut start = 0;
    let mut events = Vec::new();
    for mark in batch.marks() {
        let end = mark.end as usize;
        if let Some(value) = parse(&batch.body()[start..end]) {
            events.push(value);
        }
        start = end;
    }
    assert_eq!(batch.marks().len() as u64, written.events);
    events
}

/// Parses JSON that must be correct; `None` if it is nested deeper than this parser's stack allows.
pub fn parse(json: &[u8]) -> Option<Value> {
    let deep = json.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > 100;
    (!deep).then(|| {
        serde_json::from_slice(json).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(json)))
    })
}
