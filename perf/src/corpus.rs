//! What stages and floor are measured with: log lines of 200 apps that differ from line to line, tags in an order of their own
//! in each, as each protocol has them; the names of the apps; and the bodies that all of it becomes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use firehose_nozzle::clock::UnixNanos;
use firehose_nozzle::nozzle::batcher::{BatchLimits, Batcher};
use firehose_nozzle::nozzle::cf::Foundation;
use firehose_nozzle::nozzle::cf::http::Http;
use firehose_nozzle::nozzle::cf::token::Credentials;
use firehose_nozzle::nozzle::encode::{Encoder, EncoderSettings};
use firehose_nozzle::nozzle::enrich::Enricher;
use firehose_nozzle::nozzle::event_type::EventType;
use firehose_nozzle::nozzle::metadata::{Fields, Metadata, Settings};
use firehose_nozzle::nozzle::parking::Parking;
use firehose_nozzle::nozzle::queue::{FrameKind, Frames};
use firehose_nozzle::nozzle::worker::Stages;
use firehose_nozzle::proxy::ProxySettings;
use firehose_nozzle::sim::foundation::{self as sim, FoundationConfig, Transport};
use firehose_nozzle::sim::load::{Load, LoadConfig, LoadFrames, Mix};
use firehose_nozzle::tls::{self, ClientTls};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const APPS: usize = 200;

/// More than the caches next to a core hold.
pub const ENVELOPES: usize = 5000;

/// As the nozzle's own.
pub const BATCH: BatchLimits =
    BatchLimits { bytes: 512 << 10, events: 10_000, age: Duration::from_secs(60), open_bytes: 1 << 20 };

const FIELDS: Fields =
    Fields { app_name: true, org_name: true, org_guid: true, space_name: true, space_guid: true };

/// The envelopes, and the names of their apps.
#[derive(Debug)]
pub struct Corpus {
    /// Lines of text.
    pub text: LoadFrames,
    /// JSON objects.
    pub json: LoadFrames,
    /// The names.
    pub metadata: Metadata,
}

impl Corpus {
    /// Makes the envelopes, and looks all their apps up.
    ///
    /// # Errors
    /// The apps cannot be listed.
    pub fn new(payload_bytes: usize) -> anyhow::Result<Self> {
        tls::install_provider();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(Self::make(payload_bytes))
    }

    async fn make(payload_bytes: usize) -> anyhow::Result<Self> {
        let load = |json_percent| {
            // The order of tags in v1 comes from here.
            fastrand::seed(1);
            let config = LoadConfig {
                apps: APPS,
                mix: Mix::logs(),
                payload_bytes,
                json_percent,
                ..LoadConfig::default()
            };
            Load::new(config)
        };
        let config = FoundationConfig { transport: Transport::Plain, ..FoundationConfig::default() };
        let foundation = sim::Foundation::start(config).await?;
        let mut text = load(0);
        text.register(foundation.capi());
        let metadata = metadata(&foundation.api_url()).await?;
        foundation.stop().await;
        Ok(Self { text: text.frames(ENVELOPES), json: load(100).frames(ENVELOPES), metadata })
    }

    /// All that a worker does, with these apps.
    pub fn stages(&self) -> Stages {
        stages(&self.metadata)
    }

    /// The bodies that lines of text become, with names.
    pub fn bodies(&self) -> Vec<Bytes> {
        bodies(&self.text, &self.metadata)
    }
}

async fn metadata(url: &str) -> anyhow::Result<Metadata> {
    let http = Http::new(&ClientTls::default(), &ProxySettings::default())?;
    let credentials =
        Credentials { client_id: "nozzle".to_owned(), client_secret: "nozzle-secret".to_owned().into() };
    let settings = Settings {
        fields: FIELDS,
        ignore_missing: true,
        missing_ttl: Duration::ZERO,
        app_ttl: Duration::from_secs(3600),
        org_space_ttl: Duration::ZERO,
        refresh: Duration::ZERO,
        wait: Duration::from_secs(2),
        app_limit: None,
        rate_per_second: 1000,
        index_from_env: false,
        index_from_label: false,
        sourcetype_from_label: false,
        file: None,
    };
    let foundation = Foundation::new(http, url.parse()?, credentials);
    let (metadata, task) = Metadata::start(settings, foundation, CancellationToken::new());
    let listed = async {
        while metadata.stats().list.passes == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = task => {}
        listed = tokio::time::timeout(Duration::from_secs(60), listed) => listed.context("no list of apps")?,
    }
    Ok(metadata)
}

/// An encoder of everything, with names.
pub fn encoder() -> Encoder {
    Encoder::new(EncoderSettings {
        events: EventType::ALL.into_iter().collect(),
        names: FIELDS,
        event_bytes_max: 900 << 10,
        ..EncoderSettings::default()
    })
}

fn stages(metadata: &Metadata) -> Stages {
    Stages::new(
        Enricher::new(metadata.clone()),
        Parking::new(Duration::from_secs(60), 1 << 20),
        encoder(),
        Batcher::new(BATCH, Arc::from("main")),
        Arc::default(),
    )
}

/// The bodies that envelopes become.
pub fn bodies(frames: &LoadFrames, metadata: &Metadata) -> Vec<Bytes> {
    let mut stages = stages(metadata);
    let frames = Frames { kind: FrameKind::V2Batch, arrived: UnixNanos::now(), frames: frames.v2.clone() };
    let mut sealed = stages.run_through(&frames, Instant::now());
    stages.batcher.seal_all();
    sealed.extend(stages.batcher.take_sealed());
    sealed.into_iter().map(|batch| batch.into_parts().0).collect()
}
