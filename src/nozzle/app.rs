//! The nozzle, put together: builds every stage from the configuration, runs them, ends them in
//! order.
//!
//! ```text
//! stop reading ─► queue closes ─► workers drain, let out what is parked, seal all ─► pool closes ─► senders end
//! ```
//!
//! Stages end because their input ends; nothing is cut off until SHUTDOWN_TIMEOUT has nearly run
//! out. Then what is left is counted, not delivered.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::millis;
use crate::hec::buffers::Buffers;
use crate::hec::dead_letter::DeadLetters;
use crate::hec::{self, AckConfig, Client, ClientConfig, RetryLimit};
use crate::nozzle::admin::{self, Admin};
use crate::nozzle::batcher::{BatchLimits, Batcher};
use crate::nozzle::cf::Foundation;
use crate::nozzle::cf::http::{ClientError, Http};
use crate::nozzle::cf::token::Credentials;
use crate::nozzle::config::{Config, SourceChoice};
use crate::nozzle::deliver::{self, Admission, Ends, Keeper, MergeLimits, Outbox, SENDERS};
use crate::nozzle::encode::{Encoder, EncoderSettings};
use crate::nozzle::enrich::Enricher;
use crate::nozzle::event_type::{EventSet, EventType};
use crate::nozzle::ledger::{Drop as DropReason, Ledger, Snapshot};
use crate::nozzle::metadata::Metadata;
use crate::nozzle::own::{self, Echo, Lines, OwnEvents, OwnStatus};
use crate::nozzle::parking::Parking;
use crate::nozzle::queue::{self, FrameReceiver, FrameSender};
use crate::nozzle::source::{PlanError, Platform, SelectorKinds, SourceKind, SourcePlan, Sources};
use crate::nozzle::status::StatusView;
use crate::nozzle::upstream::Upstream;
use crate::nozzle::upstream::watch::Watch;
use crate::nozzle::watcher;
use crate::nozzle::worker::{Stages, Worker};
use crate::task::Tasks;

/// Bytes of envelopes that may be parked in all workers together.
const PARKING_BYTES_MAX: usize = 8 << 20;

/// What is kept of SHUTDOWN_TIMEOUT for counting what could not be delivered.
const COUNTING_TIME: Duration = Duration::from_millis(500);

/// The most that is kept of it for writing that to disk, where there is one that stays.
const SPOOLING_TIME_MAX: Duration = Duration::from_secs(2);

/// What tasks beside the events' way get to end by themselves.
const SIDE_TIME: Duration = Duration::from_millis(300);

/// Why the nozzle cannot be put together, although each setting by itself is fine.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The client for the Cloud Foundry API.
    #[error("the Cloud Foundry client cannot be set up (CF_CA_FILE)")]
    Foundation(#[from] ClientError),
    /// The HEC client.
    #[error("the Splunk client cannot be set up (SPLUNK_HOST, SPLUNK_CA_FILE, SPLUNK_CLIENT_CERT_FILE)")]
    Hec(#[from] hec::ConfigError),
    /// The source.
    #[error(transparent)]
    Source(#[from] PlanError),
}

/// The nozzle, ready to run. Nothing has been sent or bound yet, except the admin address.
#[derive(Debug)]
pub struct App {
    config: Config,
    ledger: Arc<Ledger>,
    frames: FrameReceiver,
    admission: Admission,
    outbox: Outbox,
    keeper: Option<Keeper>,
    client: Arc<Client>,
    foundation: Foundation,
    sender: FrameSender,
    lines: Option<Lines>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// The final ledger.
    pub ledger: Snapshot,
    /// The nozzle's own events.
    pub own: OwnStatus,
    /// Parts that failed; a defect.
    pub failures: Vec<String>,
}

impl Report {
    /// Whether everything is accounted for and every part did its work.
    ///
    /// # Errors
    /// What is wrong, in words: a defect of the nozzle.
    pub fn verdict(&self) -> Result<(), String> {
        self.ledger.balance().map_err(|imbalance| imbalance.to_string())?;
        let (envelopes, events) = (self.ledger.buffered(), self.ledger.events.batched);
        if envelopes != 0 || events != 0 {
            return Err(format!("{envelopes} envelopes and {events} events are still held at the end"));
        }
        match self.failures.first() {
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }
}

impl App {
    /// Builds all stages.
    ///
    /// # Errors
    /// Certificates that cannot be read, or settings that do not go together.
    pub fn build(config: Config) -> Result<Self, BuildError> {
        let ledger = Arc::new(Ledger::new());
        let (sender, frames) = queue::channel(config.queue_max_bytes, Arc::clone(&ledger));
        let merge = MergeLimits { bytes: config.hec.batch_bytes, events: config.hec.batch_events };
        let letters = config.hec.dead_letters.as_ref();
        let letters = letters.map(|letters| DeadLetters::new(letters.folder.clone(), letters.max_bytes));
        let (admission, mut outbox) =
            deliver::pool(config.delivery_max_bytes, config.when_full, merge, letters, Arc::clone(&ledger));
        let keeper = config.spool.clone().map(|settings| outbox.spool_to(settings));
        Ok(Self {
            keeper,
            client: Arc::new(hec_client(&config)?),
            foundation: foundation(&config)?,
            config,
            ledger,
            frames,
            admission,
            outbox,
            sender,
            lines: None,
        })
    }

    /// Delivers the lines of the log as events, too.
    #[must_use]
    pub fn with_log(self, lines: Option<Lines>) -> Self {
        Self { lines, ..self }
    }

    /// Runs until `shutdown` is cancelled, then ends in order, within SHUTDOWN_TIMEOUT.
    ///
    /// `watch` is called once, with a view of what is going on.
    ///
    /// # Errors
    /// The source cannot be set up as configured.
    pub async fn run(
        self,
        shutdown: CancellationToken,
        watch: impl FnOnce(StatusView),
    ) -> Result<Report, BuildError> {
        let config = &self.config;
        let ended = CancellationToken::new();
        let hurry = CancellationToken::new();
        let mut side = Tasks::new();
        let mut line = Tasks::new();

        let metadata = self.start_metadata(&mut side, &ended);
        let upstream = Arc::new(Upstream::default());
        let mut plan = source_plan(config, &self.foundation);
        plan.watch = Some(Arc::new(Watch::new(Arc::clone(&upstream))));
        tracing::info!(
            source = plan.kind.label(),
            streams = plan.streams,
            shard_id = %plan.shard_id,
            events = ?config.events,
            "reading from loggregator"
        );
        let (sources, reading) = Sources::start(plan, self.sender, shutdown.child_token())?;
        let own = self.lines.as_ref().map_or_else(Arc::default, |lines| Arc::clone(lines.ledger()));
        let view = StatusView {
            own: Arc::clone(&own),
            started: Instant::now(),
            upstream: Arc::clone(&upstream),
            ledger: Arc::clone(&self.ledger),
            frames: self.frames.clone(),
            outbox: self.outbox.clone(),
            client: Arc::clone(&self.client),
            sources,
            metadata: metadata.clone(),
        };
        if let Some(admin) = Admin::bind(&config.admin) {
            side.spawn("admin", admin::serve(admin, view.clone(), ended.clone()));
        }
        side.spawn("watcher", watcher::run(view.clone(), ended.clone()));
        if !config.hec.debug {
            side.spawn("hec endpoints", self.client.keep_up(ended.clone()));
            side.spawn("hec files", self.client.watch_files(ended.clone()));
        }
        let own = OwnEvents::start(config, &view, &self.client, self.lines, own);
        watch(view);

        line.spawn("sources", async { reading.await.unwrap_or_else(resume) });
        let encoder = encoder(config);
        let echo = config.instance.app_guid.as_deref().and_then(Echo::new).map(Arc::new);
        let buffers = Buffers::default();
        for _ in 0..config.workers.get() {
            let mut stages = stages(config, metadata.clone(), encoder.clone(), Arc::clone(&upstream));
            stages.echo = echo.clone();
            stages.batcher = stages.batcher.with_buffers(buffers.clone());
            let worker = Worker {
                frames: self.frames.clone(),
                admission: self.admission.clone(),
                ledger: Arc::clone(&self.ledger),
                stop: hurry.clone(),
                stages,
            };
            line.spawn("worker", worker.run());
        }
        for _ in 0..SENDERS {
            let outbox = self.outbox.clone();
            match config.hec.debug {
                true => line.spawn("printer", outbox.print_all(hurry.clone())),
                false => line.spawn("sender", outbox.send_all(Arc::clone(&self.client), hurry.clone())),
            }
        }
        // What the tasks hold is all that keeps the pool open.
        drop(self.admission);
        let (times, finish) = (EndTimes::of(config), CancellationToken::new());
        let mut spooling = Tasks::new();
        if let Some(keeper) = self.keeper {
            let ends = Ends {
                shutdown: shutdown.clone(),
                hurry: hurry.clone(),
                finish: finish.clone(),
                finish_time: times.spooling,
            };
            spooling.spawn("spool", keeper.run(ends));
        }

        let mut failures = Vec::new();
        let stop = Stop {
            shutdown: &shutdown,
            timeout: config.shutdown_timeout,
            delivering: times.delivering,
            hurry: &hurry,
        };
        let deadline = wait(&mut line, stop, &self.client, &mut failures).await;
        count_rest(&self.frames, &self.ledger);
        finish.cancel();
        while let Some(joined) = spooling.join_next().await {
            note(joined, &mut failures);
        }
        ended.cancel();
        let side_ends = async {
            while let Some(joined) = side.join_next().await {
                note(joined, &mut failures);
            }
        };
        // A client of the admin server may be slow; nobody waits for it.
        let _ = tokio::time::timeout(SIDE_TIME, side_ends).await;
        // Last of all: what was logged until now is among them.
        let own = own.finish(own::flush_budget(config.shutdown_timeout, deadline)).await;
        Ok(Report { ledger: self.ledger.snapshot(), own, failures })
    }

    fn start_metadata(&self, side: &mut Tasks<()>, ended: &CancellationToken) -> Metadata {
        if !self.config.metadata.enabled {
            return Metadata::off();
        }
        let settings = self.config.metadata.settings.clone();
        let (metadata, task) = Metadata::start(settings, self.foundation.clone(), ended.clone());
        side.spawn("metadata", task);
        metadata
    }
}

/// Where to read from, without a watch stream. Decided from the configuration alone, or left to what the API root names:
/// instances that differed would get everything twice.
pub(super) fn source_plan(config: &Config, foundation: &Foundation) -> SourcePlan {
    let source = &config.source;
    let platform = || Platform {
        foundation: foundation.clone(),
        tls: config.cf_tls.clone().into(),
        proxies: config.proxies.clone(),
    };
    let kind = match (source.choice, &source.rlp) {
        (SourceChoice::Auto | SourceChoice::Grpc, Some(rlp)) => SourceKind::Grpc {
            address: rlp.address.clone(),
            server_name: rlp.server_name.clone(),
            tls: rlp.tls.clone().into(),
        },
        // The configuration has a reverse log proxy where the choice is gRPC.
        (SourceChoice::Auto | SourceChoice::Grpc, None) => SourceKind::Auto(platform()),
        (SourceChoice::Gateway, _) => SourceKind::Gateway(platform()),
        (SourceChoice::Firehose, _) => SourceKind::Firehose(platform()),
    };
    SourcePlan {
        kind,
        streams: source.streams,
        shard_id: source.shard_id.clone(),
        kinds: selector_kinds(config.events),
        idle_timeout: source.idle_timeout,
        renewal: source.renewal,
        watch: None,
    }
}

/// What EVENTS needs of the platform.
fn selector_kinds(events: EventSet) -> SelectorKinds {
    let any = |types: &[EventType]| types.iter().any(|event_type| events.contains(*event_type));
    SelectorKinds {
        logs: any(&[EventType::LogMessage]),
        errors: any(&[EventType::Error]),
        counters: any(&[EventType::CounterEvent]),
        gauges: any(&[EventType::ValueMetric, EventType::ContainerMetric]),
        timers: any(&[EventType::HttpStartStop]),
        events: any(&[EventType::Event]),
        v1_only: any(&[EventType::HttpStart, EventType::HttpStop]),
    }
}

/// How SHUTDOWN_TIMEOUT is shared out.
struct EndTimes {
    delivering: Duration,
    /// For writing to disk what could not be delivered.
    spooling: Duration,
}

impl EndTimes {
    fn of(config: &Config) -> Self {
        let timeout = config.shutdown_timeout;
        let keeps = config.spool.as_ref().is_some_and(|spool| spool.persistent);
        let spooling = if keeps { SPOOLING_TIME_MAX.min(timeout / 4) } else { COUNTING_TIME };
        let rest = if keeps { spooling + COUNTING_TIME } else { COUNTING_TIME };
        Self { delivering: timeout.saturating_sub(rest).max(timeout / 2), spooling }
    }
}

/// How the end begins, and how long all of it, and delivering, may take then.
#[derive(Clone, Copy)]
struct Stop<'a> {
    shutdown: &'a CancellationToken,
    timeout: Duration,
    delivering: Duration,
    hurry: &'a CancellationToken,
}

/// Waits until the line has ended by itself, after `shutdown`, or has been hurried. Tells when the timeout is over.
async fn wait(
    line: &mut Tasks<()>,
    stop: Stop<'_>,
    client: &Client,
    failures: &mut Vec<String>,
) -> Option<Instant> {
    let Stop { shutdown, timeout, delivering, hurry } = stop;
    let deadline = OnceLock::new();
    let patience = async {
        shutdown.cancelled().await;
        let _ = deadline.set(Instant::now() + timeout);
        tracing::info!(
            timeout_ms = millis(delivering),
            "stopping: no more reading, delivering what is buffered"
        );
        // A pause longer than what is left of the time would be the end of all that is buffered.
        client.hasten();
        tokio::time::sleep(delivering).await;
        tracing::warn!("time to deliver has run out: keeping or counting what is left");
        hurry.cancel();
    };
    tokio::pin!(patience);
    loop {
        tokio::select! {
            joined = line.join_next() => match joined {
                None => return deadline.get().copied(),
                Some(joined) => if note(joined, failures) {
                    // Without one of its parts the line would stall or lose: deliver what is there, and end.
                    shutdown.cancel();
                },
            },
            () = &mut patience, if !hurry.is_cancelled() => {}
        }
    }
}

/// Notes a part that failed; true if it did.
fn note(joined: Result<(&'static str, ()), JoinError>, failures: &mut Vec<String>) -> bool {
    let Err(error) = joined else { return false };
    tracing::error!(%error, next_step = "please report this with the log", "a part of the nozzle failed");
    failures.push(error.to_string());
    true
}

/// Passes on a panic of a task inside a task.
fn resume(error: JoinError) {
    if error.is_panic() {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Counts frames that no worker has taken; there are some only if workers failed.
fn count_rest(frames: &FrameReceiver, ledger: &Ledger) {
    while let Some(queued) = frames.try_recv() {
        ledger.dropped_undecoded(DropReason::Defect, queued.frames.count_envelopes());
    }
}

fn encoder(config: &Config) -> Encoder {
    let shape = &config.shape;
    Encoder::new(EncoderSettings {
        events: config.events,
        names: config.metadata.settings.fields,
        add_tags: shape.add_tags,
        extra_fields: shape.extra_fields.clone(),
        tracing: shape.event_tracing.then(|| config.source.shard_id.clone()),
        event_bytes_max: config.hec.max_event_bytes,
        oversize: config.hec.oversize,
    })
}

fn stages(config: &Config, metadata: Metadata, encoder: Encoder, upstream: Arc<Upstream>) -> Stages {
    let limits = BatchLimits {
        bytes: config.hec.batch_bytes,
        events: config.hec.batch_events,
        age: config.hec.flush_interval,
        open_bytes: config.delivery_max_bytes / 4 / config.workers.get(),
    };
    Stages::new(
        Enricher::new(metadata),
        Parking::new(config.metadata.settings.wait, PARKING_BYTES_MAX / config.workers.get()),
        encoder,
        Batcher::new(limits, Arc::from(config.shape.index.as_str())),
        upstream,
    )
}

/// The client for the Cloud Foundry API.
pub(super) fn foundation(config: &Config) -> Result<Foundation, ClientError> {
    let credentials =
        Credentials { client_id: config.client_id.clone(), client_secret: config.client_secret.clone() };
    let http = Http::new(&config.cf_tls, &config.proxies)?;
    Ok(Foundation::new(http, config.api_endpoint.clone(), credentials))
}

/// The client for HEC.
pub(super) fn hec_client(config: &Config) -> Result<Client, hec::ConfigError> {
    let hec = &config.hec;
    let retries = hec.retries.and_then(std::num::NonZeroU32::new);
    Client::new(ClientConfig {
        failover: hec.failover.clone(),
        proxies: config.proxies.clone(),
        tls: hec.tls.clone(),
        compression: hec.compression,
        timeout: hec.timeout,
        response: hec.response,
        retries: retries.map_or(RetryLimit::Unlimited, RetryLimit::Attempts),
        fallback_index: hec.fallback_index.clone(),
        // What waits to be confirmed keeps its place in the pool: the other half is for what comes.
        acks: AckConfig { pending_bytes_max: config.delivery_max_bytes / 2, ..hec.acks },
        ..ClientConfig::with_urls(hec.urls.clone(), hec.token.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nozzle::config::Inputs;
    use crate::nozzle::config::flags::FlagValues;

    #[test]
    fn the_source_follows_from_the_settings() {
        crate::tls::install_provider();
        let required = [
            ("API_ENDPOINT", "https://api.example.com"),
            ("CLIENT_ID", "client"),
            ("CLIENT_SECRET", "secret"),
            ("SPLUNK_HOST", "https://hec.example.com"),
            ("SPLUNK_TOKEN", "token"),
            ("SPLUNK_INDEX", "main"),
        ];
        let rlp =
            [("RLP_ADDRESS", "rlp:8082"), ("RLP_CERT_FILE", "Cargo.toml"), ("RLP_KEY_FILE", "Cargo.toml")];
        let cases = [
            ("auto", false, "auto"),
            ("auto", true, "grpc"),
            ("grpc", true, "grpc"),
            ("gateway", false, "gateway"),
            ("gateway", true, "gateway"),
            ("firehose", false, "firehose"),
            ("firehose", true, "firehose"),
        ];
        for (choice, with_rlp, expected) in cases {
            let more = if with_rlp { &rlp[..] } else { &[] };
            let environment = [&required, more, &[("LOGGREGATOR_SOURCE", choice)]].concat();
            let (config, _) = Config::load(&Inputs::new(FlagValues::default(), environment)).unwrap();
            let plan = source_plan(&config, &foundation(&config).unwrap());
            assert_eq!(plan.kind.label(), expected, "{choice}, RLP_ADDRESS given: {with_rlp}");
        }
    }
}
