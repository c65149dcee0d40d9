//! The helper `load`: eventgen's engine, its output `loggregator`, and the simulated foundation that the
//! nozzle reads from.
//!
//! With a rate, run `k` of a hundredth of a second is due at `start + k / 100`, however late the runs
//! before were; its events carry that time, so what a late load adds is part of the delays that the HEC
//! sees. Nothing waits for the readers then: what they cannot take is lost in front of them, and counted,
//! as the platform does. Without a rate it makes events as fast as they arrive at the HEC, and loses
//! nothing: only so many bytes are under way at once, fewer than the nozzle's queues hold.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use firehose_nozzle::eventgen::conf::{self, Request};
use firehose_nozzle::eventgen::plugin::{MakeOutput, Registry};
use firehose_nozzle::eventgen::progress::Progress;
use firehose_nozzle::eventgen::time::Clock;
use firehose_nozzle::eventgen::{engine, generator, output, rater};
use firehose_nozzle::sim::foundation::{Connected, Foundation, FoundationConfig, RLP_SERVER_NAME, Transport};
use firehose_nozzle::tls;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::helper;
use crate::lines::Lines;
use crate::plan::Source;
use crate::window::{Window, Windowed};

/// Runs of eventgen in a second.
pub const RUNS_PER_SECOND: u64 = 100;
/// How long the nozzle may take until it reads.
const PATIENCE: Duration = Duration::from_secs(30);
/// Threads that make lines.
const WORKERS: usize = 2;
const APPS_PER_SPACE: usize = 20;
const SPACES_PER_ORG: usize = 5;

/// What the helper is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Arguments {
    /// Where certificates are written, and the sample.
    pub folder: PathBuf,
    /// TLS, where there can be none.
    pub tls: bool,
    /// The log lines.
    pub lines: Lines,
    /// How many apps write them.
    pub apps: usize,
    /// Where the HEC server says how many events have arrived; without it nothing waits for them.
    pub arrived: Option<PathBuf>,
}

/// What it says when it is ready.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// The API root.
    pub api_url: String,
    /// The reverse log proxy.
    pub rlp_address: String,
    /// The name in its certificate.
    pub rlp_server_name: String,
    /// The authority of all certificates.
    pub ca_file: PathBuf,
    /// The client certificate.
    pub cert_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
}

/// What it can be asked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Question {
    /// Wait until so many streams of this source are open.
    Connected(Source, usize),
    /// Make events.
    Run(Run),
}

/// One run of the load.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Events per second, a multiple of [`RUNS_PER_SECOND`]; 0: as fast as they are read.
    pub rate: u64,
    /// For how long.
    pub seconds: f64,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Done {
    /// Events that went into the foundation.
    pub sent: u64,
    /// Bytes of their lines.
    pub payload_bytes: u64,
    /// Events that the foundation lost in front of its readers.
    pub dropped: u64,
    /// From the start until the last one was sent.
    pub seconds: f64,
    /// How late the latest part of it was.
    pub lag_ms: f64,
    /// Whether events came by the clock.
    pub by_clock: bool,
}

/// Runs the helper.
///
/// # Errors
/// The foundation cannot be started, or the parent is gone.
pub fn main(arguments: &str) -> anyhow::Result<()> {
    let arguments: Arguments = serde_json::from_str(arguments)?;
    tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let load = runtime.block_on(Load::start(arguments))?;
    helper::serve(&load.ready()?, |question: Question| runtime.block_on(load.answer(question)))
}

struct Load {
    arguments: Arguments,
    foundation: Arc<Foundation>,
    registry: Registry,
    tokens: String,
    window: Option<Arc<Window>>,
}

impl Load {
    async fn start(arguments: Arguments) -> anyhow::Result<Self> {
        let transport = if arguments.tls { Transport::Tls } else { Transport::Plain };
        // What the platform tells of itself would be counted among the events.
        let silent = Duration::from_hours(24);
        let config =
            FoundationConfig { transport, self_metrics_interval: silent, ..FoundationConfig::default() };
        let foundation = Arc::new(Foundation::start(config).await?);
        let mut registry = Registry::default();
        generator::register(&mut registry);
        rater::register(&mut registry);
        let into = output::loggregator_into(Arc::clone(&foundation));
        let window = match &arguments.arrived {
            Some(path) => Some(Arc::new(Window::open(path, arguments.lines)?)),
            None => None,
        };
        let make: MakeOutput = match window.clone() {
            None => into,
            Some(window) => Arc::new(move |sample| {
                Ok(Box::new(Windowed { inner: into(sample)?, window: Arc::clone(&window) }))
            }),
        };
        registry.outputs.insert("loggregator".to_owned(), make);
        let tokens = arguments.lines.write(&arguments.folder)?;
        let load = Self { arguments, foundation, registry, tokens, window };
        // The apps are there before the nozzle asks for them.
        load.run(Run { rate: RUNS_PER_SECOND, seconds: 0.01 }).await?;
        Ok(load)
    }

    fn ready(&self) -> anyhow::Result<Ready> {
        let files = self.foundation.write_certificates(&self.arguments.folder)?;
        Ok(Ready {
            api_url: self.foundation.api_url(),
            rlp_address: self.foundation.rlp_address().to_string(),
            rlp_server_name: RLP_SERVER_NAME.to_owned(),
            ca_file: files.ca_file,
            cert_file: files.identity.cert_file,
            key_file: files.identity.key_file,
        })
    }

    async fn answer(&self, question: Question) -> anyhow::Result<Done> {
        match question {
            Question::Connected(source, streams) => {
                let open = |connected: &Connected| match source {
                    Source::Grpc => connected.rlp,
                    Source::Gateway => connected.gateway,
                    Source::Firehose => connected.firehose,
                };
                let wanted = |connected: &Connected| open(connected) == streams;
                self.foundation.wait_connected(PATIENCE, wanted).await.context("nobody subscribed")?;
                Ok(Done::default())
            }
            Question::Run(run) => self.run(run).await,
        }
    }

    async fn run(&self, run: Run) -> anyhow::Result<Done> {
        let target = self.arguments.folder.join("eventgen.conf");
        fs::write(&target, self.conf(run))?;
        let request = Request {
            target,
            working_dir: self.arguments.folder.clone(),
            workers: std::num::NonZero::new(WORKERS),
            ..Request::default()
        };
        let (config, findings) = conf::load(&request, &self.registry);
        let config = config.with_context(|| findings.iter().map(ToString::to_string).collect::<String>())?;
        ensure!(findings.is_empty(), "{findings:?}");
        if let Some(window) = &self.window {
            window.begin(run.rate == 0)?;
        }
        let before = self.lost();
        let stop = CancellationToken::new();
        let work = engine::run(config, &self.registry, Clock::system(), stop.clone(), Progress::Off);
        let report = if run.rate == 0 {
            let time = async {
                tokio::time::sleep(Duration::from_secs_f64(run.seconds)).await;
                stop.cancel();
            };
            tokio::join!(work, time).0
        } else {
            work.await
        };
        ensure!(report.exit_code() == 0, "{}", report.lines(true).join("\n"));
        let lag = report.samples.iter().map(|sample| sample.counts.lag_max).max().unwrap_or_default();
        Ok(Done {
            sent: report.written().events,
            payload_bytes: report.written().bytes,
            dropped: self.lost() - before,
            seconds: report.elapsed.as_secs_f64(),
            lag_ms: if run.rate == 0 { 0.0 } else { lag.as_secs_f64() * 1e3 },
            by_clock: run.rate > 0,
        })
    }

    /// What the foundation has lost so far, in front of readers that share.
    fn lost(&self) -> u64 {
        let totals = self.foundation.totals();
        totals.rlp_dropped + totals.v1_dropped
    }

    fn conf(&self, run: Run) -> String {
        let apps = self.arguments.apps;
        let spaces_in_all = apps.div_ceil(APPS_PER_SPACE);
        let pace = if run.rate == 0 {
            // More than can be made: it is always behind.
            "interval = 0.001\ncount = 1000000\n".to_owned()
        } else {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of runs")]
            let runs = (run.seconds * RUNS_PER_SECOND as f64).round().max(1.0) as u64;
            format!(
                "interval = {}\ncount = {}\nend = {runs}\n",
                1.0 / RUNS_PER_SECOND as f64,
                run.rate / RUNS_PER_SECOND
            )
        };
        format!(
            "[lines.log]\nsampleDir = .\noutputMode = loggregator\nloggregatorWait = {}\n\
             loggregatorApps = {apps}\nloggregatorSpaces = {SPACES_PER_ORG}\nloggregatorOrgs = {}\n\
             randomizeEvents = true\nsequentialTimestamp = true\nearliest = now\nlatest = now\n{pace}{}",
            run.rate == 0,
            spaces_in_all.div_ceil(SPACES_PER_ORG),
            self.tokens,
        )
    }
}
