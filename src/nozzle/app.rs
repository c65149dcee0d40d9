//! The nozzle, put together: builds every stage from the configuration, runs them, ends them in
//! order.
//!
//! ```text
//! stop reading ─► queue closes ─► workers drain, let out what is parked, seal all ─► pool closes ─► senders end
//! ```
//!
//! Stages end because their input ends; nothing is cut off until SHUTDOWN_TIMEOUT has nearly run
//! out. Then what is left is counted, not delivered.

mod ending;
mod parts;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::ending::{EndTimes, Stop, count_rest, note, resume, wait};
use self::parts::{encoder, stages};
pub(super) use self::parts::{foundation, hec_client, source_plan};
use crate::hec::buffers::Buffers;
use crate::hec::dead_letter::DeadLetters;
use crate::hec::{self, Client};
use crate::nozzle::admin::{self, Admin};
use crate::nozzle::cf::Foundation;
use crate::nozzle::cf::http::ClientError;
use crate::nozzle::config::Config;
use crate::nozzle::deliver::{self, Admission, Ends, Keeper, MergeLimits, Outbox, SENDERS};
use crate::nozzle::ledger::{Ledger, Snapshot};
use crate::nozzle::metadata::Metadata;
use crate::nozzle::own::{self, Echo, Lines, OwnEvents, OwnStatus};
use crate::nozzle::queue::{self, FrameReceiver, FrameSender};
use crate::nozzle::source::{PlanError, Sources};
use crate::nozzle::status::StatusView;
use crate::nozzle::upstream::Upstream;
use crate::nozzle::upstream::watch::Watch;
use crate::nozzle::watcher;
use crate::nozzle::worker::Worker;
use crate::task::Tasks;

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
