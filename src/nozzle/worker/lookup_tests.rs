//! Events whose app could not be looked up are counted.

use bytes::Bytes;
use serde_json::json;
use tokio::time::advance;
use url::Url;

use super::*;
use crate::hec::batch::Tally;
use crate::nozzle::batcher::BatchLimits;
use crate::nozzle::cf::fake::{Fake, FakeApp, client};
use crate::nozzle::cf::{Foundation, token::Credentials};
use crate::nozzle::encode::EncoderSettings;
use crate::nozzle::event_type::EventType;
use crate::nozzle::metadata::tests::{WAIT, settings};
use crate::nozzle::metadata::{Lookup, Metadata, Settings};
use crate::nozzle::queue::{self, Frames};

const APP: &str = "aaaaaaaa-0000-4000-8000-000000000001";

/// A log line of this app, as the v1 firehose has it.
fn log_line(app: &str) -> Bytes {
    let mut line = vec![0x0a, 1, b'm', 0x10, 1, 0x18, 1, 0x22, app.len() as u8];
    line.extend_from_slice(app.as_bytes());
    let mut envelope = vec![0x0a, 1, b'o', 0x10, 5, 0x42, line.len() as u8];
    envelope.extend_from_slice(&line);
    envelope.into()
}

fn stages(metadata: &Metadata) -> Stages {
    let limits =
        BatchLimits { bytes: 1_000_000, events: 1_000, age: Duration::from_secs(60), open_bytes: 1 << 20 };
    let encoder = EncoderSettings {
        events: [EventType::LogMessage].into_iter().collect(),
        event_bytes_max: 100_000,
        ..EncoderSettings::default()
    };
    Stages::new(
        Enricher::new(metadata.clone()),
        // No room: nothing waits for a look-up.
        Parking::new(Duration::ZERO, 0),
        Encoder::new(encoder),
        Batcher::new(limits, "main".into()),
        Arc::default(),
    )
}

/// Lets one log line of this app pass; gives what was counted.
fn pass(stages: &mut Stages, app: &str) -> Intake {
    let (sender, receiver) = queue::channel(1_000_000, Arc::default());
    let frames = vec![log_line(app)];
    sender.push(Frames { kind: FrameKind::V1Envelope, arrived: UnixNanos::now(), frames });
    stages.frames(&receiver.try_recv().unwrap(), Instant::now());
    std::mem::take(&mut stages.intake)
}

#[tokio::test(start_paused = true)]
async fn events_whose_app_could_not_be_looked_up_are_counted() {
    let credentials = Credentials { client_id: "id".into(), client_secret: String::new().into() };
    let api = Url::parse("http://127.0.0.1:1").unwrap();
    let foundation = Foundation::new(client(), api, credentials);
    let (metadata, _task) = Metadata::start(settings(), foundation, CancellationToken::new());
    let mut stages = stages(&metadata);
    let intake = pass(&mut stages, APP);
    assert_eq!((intake.unenriched, intake.apps_unknown), (1, 1), "its look-up is under way");
    advance(WAIT).await;
    let lookup = metadata.lookup(APP);
    assert!(matches!(lookup, Lookup::Unavailable), "{lookup:?}");
    let intake = pass(&mut stages, APP);
    assert_eq!((intake.encoded, intake.unenriched), (Tally { events: 1, units: 1 }, 1));
    assert_eq!((intake.apps_known, intake.apps_unknown), (0, 1));
    let intake = pass(&mut stages, "routing_api");
    assert_eq!((intake.encoded.events, intake.unenriched), (1, 0), "there is nothing to look up");
    assert_eq!((intake.apps_known, intake.apps_unknown), (0, 0));
}

#[tokio::test]
async fn events_whose_index_could_not_be_read_are_counted() {
    let muted = json!({"F2S_DISABLE_LOGGING": "true"});
    // The environment's status, the labels, and what is expected: events, of these unenriched.
    let cases = [(200, json!({}), (1, 0)), (403, json!({}), (1, 1)), (403, muted, (0, 0))];
    for (status, labels, expected) in cases {
        let fake = Fake::start().await;
        let app = FakeApp { name: "a".into(), space: "space-1".into(), labels, ..FakeApp::default() };
        fake.script().apps.insert(APP.into(), app);
        if status != 200 {
            fake.script().broken.insert(format!("/v3/apps/{APP}/environment_variables"), status);
        }
        let settings = Settings { index_from_env: true, ..settings() };
        let (metadata, task) = Metadata::start(settings, fake.foundation(), CancellationToken::new());
        let mut stages = stages(&metadata);
        let known = async {
            while !matches!(metadata.lookup(APP), Lookup::Known(_)) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = task => {}
            known = tokio::time::timeout(Duration::from_secs(60), known) => known.unwrap(),
        }
        let intake = pass(&mut stages, APP);
        assert_eq!((intake.encoded.events, intake.unenriched), expected, "{status}");
        assert_eq!((intake.apps_known, intake.apps_unknown), (1, 0), "{status}");
    }
}
