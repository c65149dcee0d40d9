//! `nozzle demo`: the real nozzle between a simulated foundation and a simulated Splunk.
//!
//! Nothing of the nozzle is replaced: it is configured by the environment it would have as a
//! pushed app, and speaks TLS to all its peers over loopback. Every envelope carries a number, so
//! that at the end loss is computed from what Splunk has, not from what the nozzle believes.

mod screen;
mod tap;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use self::screen::Screen;
use self::tap::Tap;
use crate::nozzle::app::{App, Report};
use crate::nozzle::config::flags::FlagValues;
use crate::nozzle::config::{Config, Inputs};
use crate::nozzle::status::StatusView;
use crate::sim::foundation::{Foundation, FoundationConfig, RLP_SERVER_NAME};
use crate::sim::hec::{
    ClientCertificates, HecServer, HecServerConfig, LedgerMode, ServerTls, TlsVersions, Token,
};
use crate::sim::load::{Limit, Load, LoadConfig, LoadReport, Mix, sequence_in};
use crate::task::Tasks;

/// The token of the simulated Splunk; it opens nothing else.
const HEC_TOKEN: &str = "11111111-2222-3333-4444-555555555555";

/// How long the streams may take to open.
const CONNECT_WAIT: Duration = Duration::from_secs(20);

/// How long the last envelopes may take to be read.
const ARRIVAL_WAIT: Duration = Duration::from_secs(20);

/// What to show, and for how long.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Envelopes per second; 0: as fast as they are read.
    pub events_per_second: u64,
    /// Apps that log.
    pub apps: usize,
    /// How the nozzle reads.
    pub source: DemoSource,
    /// How long envelopes are sent.
    pub duration: Duration,
}

/// How the nozzle of the demo reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DemoSource {
    /// RLP over gRPC with mutual TLS.
    Grpc,
    /// The RLP gateway, server-sent events over HTTPS.
    Gateway,
    /// The v1 firehose.
    Firehose,
}

/// Runs the demo until its duration is over or `stop` is cancelled; true if nothing was lost.
///
/// # Errors
/// A peer or the nozzle cannot be started.
pub async fn run(options: &DemoOptions, stop: &CancellationToken) -> anyhow::Result<bool> {
    let peers = Peers::start().await?;
    let mut screen = Screen::new(options);
    screen.started(&peers.foundation, &peers.hec);

    let load = load(options);
    // Before the nozzle lists them, as on a foundation that has been there for a while.
    load.register(peers.foundation.capi());
    let config = peers.configure(options)?;
    let streams = config.source.streams.get();
    let app = App::build(config)?;
    let shutdown = CancellationToken::new();
    let (watch, view) = oneshot::channel();
    let mut nozzle = Tasks::new();
    nozzle.spawn("nozzle", app.run(shutdown.clone(), |view| drop(watch.send(view))));
    let view = view.await.context("the nozzle did not start")?;
    let opened = timeout(CONNECT_WAIT, view.sources().wait_connected(streams)).await;
    ensure!(opened.is_ok(), "the log streams did not open: {}", view.get().not_ready.join("; "));
    screen.connected(&view);

    let tap = Tap::open(&peers.foundation).await?;
    let sent = send(load, &peers, &view, &mut screen, tap, stop).await;
    wait_for_arrival(options.source, &peers.foundation, &view, sent.published.total()).await;
    shutdown.cancel();
    let report = match nozzle.join_next().await {
        Some(joined) => joined.context("the nozzle failed")?.1?,
        None => anyhow::bail!("the nozzle is gone"),
    };
    let verdict = Verdict::of(&sent, &report, &peers.hec)?;
    screen.ended(&sent, &report, &verdict);
    peers.stop().await;
    Ok(verdict.is_good())
}

/// The simulated foundation and Splunk, with the files the nozzle needs to trust them.
struct Peers {
    foundation: Foundation,
    hec: HecServer,
    certificates: tempfile::TempDir,
}

impl Peers {
    async fn start() -> anyhow::Result<Self> {
        let foundation = Foundation::start(FoundationConfig::default()).await?;
        let server = foundation.authority().server(&["localhost", "127.0.0.1"])?;
        let tls = ServerTls::from_pem(
            &server.cert_pem,
            &server.key_pem,
            ClientCertificates::NotAsked,
            TlsVersions::All,
        )?;
        let token = Token::new("demo", HEC_TOKEN);
        let hec =
            HecServerConfig::new(vec![token]).with_tls(tls).with_ledger(LedgerMode::sequences(sequence_in));
        let hec = HecServer::start(hec).await?;
        let certificates = tempfile::tempdir().context("no directory for certificates")?;
        Ok(Self { foundation, hec, certificates })
    }

    /// Configures the nozzle as `cf push` would, by environment variables.
    fn configure(&self, options: &DemoOptions) -> anyhow::Result<Config> {
        let files = self.foundation.write_certificates(self.certificates.path())?;
        let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let mut environment = vec![
            ("API_ENDPOINT", self.foundation.api_url()),
            ("CF_CA_FILE", path(&files.ca_file)),
            ("CLIENT_ID", "nozzle".to_owned()),
            ("CLIENT_SECRET", "nozzle-secret".to_owned()),
            ("SPLUNK_HOST", self.hec.url()),
            ("SPLUNK_CA_FILE", path(&files.ca_file)),
            ("SPLUNK_TOKEN", HEC_TOKEN.to_owned()),
            ("SPLUNK_INDEX", "main".to_owned()),
            (
                "EVENTS",
                "LogMessage,HttpStartStop,ValueMetric,CounterEvent,ContainerMetric,Error,Event".to_owned(),
            ),
            ("ADD_APP_INFO", "AppName,OrgName,OrgGuid,SpaceName,SpaceGuid".to_owned()),
            // Made-up apps are of no use to anybody later.
            ("BOLTDB_PATH", "off".to_owned()),
        ];
        match options.source {
            DemoSource::Grpc => environment.extend([
                ("RLP_ADDRESS", self.foundation.rlp_address().to_string()),
                ("RLP_SERVER_NAME", RLP_SERVER_NAME.to_owned()),
                ("RLP_CA_FILE", path(&files.ca_file)),
                ("RLP_CERT_FILE", path(&files.identity.cert_file)),
                ("RLP_KEY_FILE", path(&files.identity.key_file)),
            ]),
            DemoSource::Gateway => environment.push(("LOGGREGATOR_SOURCE", "gateway".to_owned())),
            DemoSource::Firehose => environment.push(("LOGGREGATOR_SOURCE", "firehose".to_owned())),
        }
        let (config, _) = Config::load(&Inputs::new(FlagValues::default(), environment))?;
        Ok(config)
    }

    async fn stop(self) {
        self.foundation.stop().await;
        self.hec.stop().await;
    }
}

fn load(options: &DemoOptions) -> Load {
    Load::new(LoadConfig {
        events_per_second: options.events_per_second,
        apps: options.apps,
        mix: match options.source {
            DemoSource::Grpc | DemoSource::Gateway => Mix::default(),
            DemoSource::Firehose => Mix::convertible(),
        },
        limit: Limit::Time(options.duration),
        ..LoadConfig::default()
    })
}

/// Sends the load and shows what flows meanwhile.
async fn send(
    load: Load,
    peers: &Peers,
    view: &StatusView,
    screen: &mut Screen,
    mut tap: Tap,
    stop: &CancellationToken,
) -> LoadReport {
    let sending = load.run(&peers.foundation, stop);
    tokio::pin!(sending);
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            report = &mut sending => return report,
            () = tap.listen() => {}
            _ = ticks.tick() => {
                screen.tick(&view.get(), &peers.hec);
                if let Some((before, after)) = tap.match_with(&peers.hec) {
                    screen.sample(&before, &after);
                }
            }
        }
    }
}

/// Waits until the nozzle has read everything: what the simulated platform still holds when nobody
/// reads any more is gone, as on a real one.
async fn wait_for_arrival(source: DemoSource, foundation: &Foundation, view: &StatusView, envelopes: u64) {
    let arrived = || {
        let received = view.get().ledger.received;
        match source {
            DemoSource::Grpc | DemoSource::Gateway => received >= envelopes,
            // A gauge becomes several v1 envelopes, so only the platform knows how many there are.
            DemoSource::Firehose => {
                let sent = foundation.streams().iter().all(|stream| stream.buffered == 0);
                sent && received >= foundation.totals().v1_sent
            }
        }
    };
    let deadline = Instant::now() + ARRIVAL_WAIT;
    let mut looks = interval(Duration::from_millis(20));
    while !arrived() && Instant::now() < deadline {
        looks.tick().await;
    }
}

/// What Splunk's side says.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    /// Numbers that never arrived.
    missing: u64,
    /// Events that arrived more than once.
    duplicates: u64,
    balanced: bool,
    lost: u64,
}

impl Verdict {
    fn of(sent: &LoadReport, report: &Report, hec: &HecServer) -> anyhow::Result<Self> {
        let numbers = sent.first_sequence..sent.first_sequence + sent.published.total();
        let indexed = hec.snapshot().ledger.events;
        Ok(Self {
            missing: hec.missing(numbers)?,
            duplicates: indexed.saturating_sub(report.ledger.events.delivered),
            balanced: report.verdict().is_ok(),
            lost: report.ledger.lost(),
        })
    }

    fn is_good(&self) -> bool {
        self.balanced && self.lost == 0 && self.missing == 0 && self.duplicates == 0
    }
}
