//! The stages, fed with frames of every kind.

use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::hec::batch::Tally;
use crate::nozzle::batcher::BatchLimits;
use crate::nozzle::cf::fake::Fake;
use crate::nozzle::encode::EncoderSettings;
use crate::nozzle::event_type::EventType;
use crate::nozzle::metadata::tests::settings;
use crate::nozzle::metadata::{Fields, Metadata, Settings};
use crate::nozzle::queue::{Frames, channel};

const APP: &str = "abcdef01-2222-4333-8444-000000000001";

impl Stages {
    /// As [`Worker::frames`], where nobody takes what is sealed.
    pub(super) fn frames(&mut self, queued: &Queued, now: Instant) {
        let frames = &queued.frames;
        self.enricher.refresh();
        let passage = Passage { kind: frames.kind, arrived: frames.arrived, now, parked_before: false };
        for frame in &frames.frames {
            let done = self.next_envelopes(&mut Envelopes::new(frames.kind, frame), passage);
            assert!(done == Progress::Done, "a test is not that large");
        }
    }
}

fn stages(metadata: Metadata) -> Stages {
    let encoder = Encoder::new(EncoderSettings {
        events: EventType::ALL.into_iter().collect(),
        event_bytes_max: 900 << 10,
        ..EncoderSettings::default()
    });
    let limits =
        BatchLimits { bytes: 512 << 10, events: 1000, age: Duration::from_secs(60), open_bytes: 1 << 20 };
    let parking = Parking::new(Duration::from_secs(60), 1 << 20);
    Stages::new(
        Enricher::new(metadata),
        parking,
        encoder,
        Batcher::new(limits, Arc::from("main")),
        Arc::default(),
    )
}

fn feed(stages: &mut Stages, kind: FrameKind, frames: &[&str]) {
    let (sender, receiver) = channel(1 << 20, Arc::new(Ledger::new()));
    let frames = frames.iter().map(|frame| Bytes::copy_from_slice(frame.as_bytes())).collect();
    sender.push(Frames { kind, arrived: UnixNanos(2_000_000_000), frames });
    stages.frames(&receiver.try_recv().unwrap(), Instant::now());
}

/// The log lines that were written, sorted.
fn lines(stages: &mut Stages) -> Vec<String> {
    stages.batcher.seal_all();
    let mut lines = Vec::new();
    for batch in stages.batcher.take_sealed() {
        for event in serde_json::Deserializer::from_slice(batch.body()).into_iter::<Value>() {
            let event = event.unwrap();
            lines.push(format!("{} {}", event["event"]["msg"], event["event"]["cf_app_id"]));
        }
    }
    lines.sort();
    lines
}

fn log(source_id: &str, payload: &str) -> String {
    format!(
        r#"{{"timestamp":"1000000000","source_id":"{source_id}","tags":{{"x":"y"}},"log":{{"payload":"{payload}"}}}}"#
    )
}

#[tokio::test]
async fn a_gateway_batch_becomes_events_and_its_damage_is_counted() {
    let mut stages = stages(Metadata::off());
    let frame = format!(
        r#"{{"batch":[{},{},{{"timestamp":"1"}},{},{{"deprecated_tags":{{"a":{{"text":"b"}}}},"log":{{"payload":"Yw=="}}}},{{"gauge":{{}}}}]}}"#,
        log("a", "YQ=="),
        log("broken", "*"),
        log("b", "Yg==")
    );
    feed(&mut stages, FrameKind::GatewayBatch, &[&frame, "{\"batch\":[", "{\"batch\":[]}"]);
    assert_eq!(stages.intake.received, 5);
    assert_eq!(stages.intake.malformed[Malformed::Base64 as usize], 1);
    assert_eq!(stages.intake.malformed[Malformed::Truncated as usize], 1);
    assert_eq!(stages.intake.malformed.iter().sum::<u64>(), 2);
    assert_eq!(stages.intake.filtered[Filter::NoMessage as usize], 1);
    assert_eq!(stages.intake.filtered[Filter::EmptyGauge as usize], 1);
    assert_eq!(stages.intake.encoded, Tally { events: 3, units: 3 });
    assert_eq!(lines(&mut stages), [r#""a" "a""#, r#""b" "b""#, r#""c" """#]);
}

#[tokio::test]
async fn envelopes_of_a_gateway_wait_for_names_and_come_back_whole() {
    let fake = Fake::start().await;
    let fields = Fields { app_name: true, ..Fields::default() };
    let settings = Settings { fields, ..settings() };
    // The look-ups are never run, so that every app stays unknown.
    let (metadata, _task) = Metadata::start(settings, fake.foundation(), CancellationToken::new());
    let mut stages = stages(metadata);
    // One app id is written with an escape: it is the same app.
    let escaped = APP.replacen('a', "\\u0061", 1);
    let frame = format!(r#"{{"batch":[{}, {}]}}"#, log(APP, "YQ=="), log(&escaped, "e30="));
    feed(&mut stages, FrameKind::GatewayBatch, &[&frame]);
    assert_eq!((stages.intake.received, stages.intake.parked), (2, 2));
    assert_eq!(stages.intake.encoded, Tally::default());
    stages.unpark(Instant::now(), Release::All);
    assert_eq!((stages.intake.received, stages.intake.parked, stages.intake.unenriched), (2, 0, 2));
    assert_eq!(lines(&mut stages), [format!("\"a\" \"{APP}\""), format!("{{}} \"{APP}\"")]);
}
