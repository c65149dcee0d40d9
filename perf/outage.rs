//! Measures an outage of Splunk with the disk spool: memory while it lasts, then how fast the disk drains and how fresh live
//! events are meanwhile.
//!
//! The nozzle is a process of its own; the simulated foundation and Splunk run in this one. Every envelope carries a number:
//! what is missing, and how long the oldest live event that has not arrived has been under way, comes from what Splunk has.
#![allow(clippy::print_stdout, reason = "the table is the product")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Arg, Command, value_parser};
use firehose_nozzle::sim::foundation::{Foundation, FoundationConfig, RLP_SERVER_NAME};
use firehose_nozzle::sim::hec::{
    Action, Code, Endpoint, HecServer, HecServerConfig, LedgerMode, Reply, Rule, Token,
};
use firehose_nozzle::sim::load::{Limit, Load, LoadConfig, Mix, sequence_in};
use firehose_nozzle::tls;
use firehose_nozzle_perf::machine::present_memory_mb;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const HEC_TOKEN: &str = "11111111-2222-3333-4444-555555555555";

/// How long anything may take that is no part of the measurement.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long draining may take, as a multiple of the outage.
const DRAIN_TIMES: u32 = 10;

/// Rows of each phase.
const ROWS: u32 = 10;

struct Scenario {
    rate: u64,
    outage: Duration,
    payload: usize,
    nozzle: PathBuf,
}

fn scenario() -> anyhow::Result<Scenario> {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name).long(name).default_value(default).value_parser(value_parser!(u64)).help(help)
    };
    let matches = Command::new("perf-outage")
        .about("Measures an outage of Splunk with the disk spool")
        .arg(number("seconds", "60", "how long the outage lasts"))
        .arg(number("rate", "20000", "envelopes per second, during the outage and after it"))
        .arg(number("payload", "256", "usual bytes of a log line"))
        .arg(Arg::new("nozzle").long("nozzle").help("the binary to measure; default: beside this one"))
        .get_matches();
    let number = |name: &str| matches.get_one::<u64>(name).copied().unwrap_or_default();
    let beside = std::env::current_exe()?.parent().map(|path| path.join("nozzle"));
    Ok(Scenario {
        rate: number("rate").max(1),
        outage: Duration::from_secs(number("seconds").max(1)),
        payload: usize::try_from(number("payload"))?,
        nozzle: match matches.get_one::<String>("nozzle") {
            Some(path) => path.into(),
            None => beside.context("where the nozzle is")?,
        },
    })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tls::install_provider();
    let scenario = scenario()?;
    ensure!(scenario.nozzle.exists(), "{} is not there: cargo build --release", scenario.nozzle.display());
    let foundation = Foundation::start(FoundationConfig::default()).await?;
    let config = HecServerConfig::new(vec![Token::new("perf", HEC_TOKEN)])
        .with_ledger(LedgerMode::sequences(sequence_in));
    let hec = HecServer::start(config).await?;
    let folder = tempfile::tempdir()?;
    let spool = folder.path().join("spool");
    std::fs::create_dir(&spool)?;
    let nozzle = start_nozzle(&scenario, &foundation, &hec, folder.path(), &spool)?;
    let connected = foundation.wait_connected(PATIENCE, |connected| connected.rlp >= 2);
    connected.await.context("the nozzle did not subscribe")?;
    let world = World { scenario, foundation, hec, spool, pid: nozzle.0.id() };
    world.measure().await
}

struct World {
    scenario: Scenario,
    foundation: Foundation,
    hec: HecServer,
    spool: PathBuf,
    pid: u32,
}

impl World {
    async fn measure(&self) -> anyhow::Result<()> {
        let over = CancellationToken::new();
        let load = Load::new(LoadConfig {
            events_per_second: self.scenario.rate,
            apps: 200,
            mix: Mix::logs(),
            payload_bytes: self.scenario.payload,
            limit: Limit::Never,
            ..LoadConfig::default()
        });
        load.register(self.foundation.capi());
        println!("| phase | s | published | indexed | spool MB | memory MB | live lag s |");
        println!("|---|---|---|---|---|---|---|");
        let script = async {
            let result = self.outage().await;
            over.cancel();
            result
        };
        let (_, result) = tokio::join!(load.run(&self.foundation, &over), script);
        result
    }

    async fn outage(&self) -> anyhow::Result<()> {
        let busy = Reply::hec(Code::ServerBusy).with_retry_after("0");
        let away = self.hec.add_rule(Rule::on(Endpoint::Event, Action::Answer(busy)));
        let started = Instant::now();
        for row in 1..=ROWS {
            tokio::time::sleep_until(started + self.scenario.outage * row / ROWS).await;
            self.row("outage", started, None)?;
        }
        self.hec.remove_rule(away);
        let back = Instant::now();
        // How long an endpoint that was away is left alone is a matter of its own; see docs/delivery.md.
        let noticed = self.hec.wait_until(PATIENCE * 2, |seen| seen.ledger.events > 0);
        noticed.await.context("the nozzle did not notice that Splunk is back")?;
        println!("| noticed | {:.1} | | | | | |", back.elapsed().as_secs_f64());
        self.drain(self.published()).await
    }

    /// Until everything of the outage has arrived.
    async fn drain(&self, live_from: u64) -> anyhow::Result<()> {
        let started = Instant::now();
        let (mut worst, mut shown) = (0.0_f64, 0);
        loop {
            sleep(Duration::from_millis(100)).await;
            let lag = self.live_lag(live_from)?;
            worst = worst.max(lag);
            let missing = self.hec.missing(0..live_from)?;
            if started.elapsed().as_secs() >= shown || missing == 0 {
                self.row("drain", started, Some(lag))?;
                shown += u64::from(ROWS / 5);
            }
            if missing == 0 {
                let (seconds, rate) = (started.elapsed().as_secs_f64(), live_from as f64);
                println!(
                    "\ndrained {live_from} events in {seconds:.1} s ({:.0}/s beside live ones); the oldest live event on its way was at most {worst:.1} s old",
                    rate / seconds
                );
                return Ok(());
            }
            ensure!(
                started.elapsed() < self.scenario.outage * DRAIN_TIMES + PATIENCE,
                "{missing} of {live_from} events of the outage have not arrived"
            );
        }
    }

    /// How long the oldest live event that has not arrived has been under way.
    fn live_lag(&self, live_from: u64) -> anyhow::Result<f64> {
        let published = self.published();
        let missing = self.hec.first_missing(live_from..published, 1)?;
        let oldest = missing.first().copied().unwrap_or(published);
        Ok((published - oldest) as f64 / self.scenario.rate as f64)
    }

    fn published(&self) -> u64 {
        self.foundation.totals().published
    }

    fn row(&self, phase: &str, started: Instant, lag: Option<f64>) -> anyhow::Result<()> {
        let mut spool = 0;
        for entry in std::fs::read_dir(&self.spool)? {
            // A file may be gone by now.
            spool += entry?.metadata().map_or(0, |file| file.len());
        }
        println!(
            "| {phase} | {:.0} | {} | {} | {:.1} | {:.0} | {} |",
            started.elapsed().as_secs_f64(),
            self.published(),
            self.hec.snapshot().ledger.events,
            spool as f64 / 1e6,
            present_memory_mb(self.pid)?,
            lag.map(|lag| format!("{lag:.1}")).unwrap_or_default()
        );
        Ok(())
    }
}

/// The process that is measured; it does not outlive this.
struct Nozzle(Child);

impl Drop for Nozzle {
    fn drop(&mut self) {
        // An error says that it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_nozzle(
    scenario: &Scenario,
    foundation: &Foundation,
    hec: &HecServer,
    directory: &Path,
    spool: &Path,
) -> anyhow::Result<Nozzle> {
    let files = foundation.write_certificates(directory)?;
    let mut command = Program::new(&scenario.nozzle);
    command
        .env_clear()
        .env("API_ENDPOINT", foundation.api_url())
        .env("CF_CA_FILE", &files.ca_file)
        .env("CLIENT_ID", "nozzle")
        .env("CLIENT_SECRET", "nozzle-secret")
        .env("SPLUNK_HOST", hec.url())
        .env("SPLUNK_TOKEN", HEC_TOKEN)
        .env("SPLUNK_INDEX", "main")
        .env("EVENTS", "LogMessage")
        .env("BOLTDB_PATH", "off")
        .env("SPOOL_DIR", spool)
        .env("SPOOL_MAX_BYTES", "64GiB")
        .env("RLP_ADDRESS", foundation.rlp_address().to_string())
        .env("RLP_SERVER_NAME", RLP_SERVER_NAME)
        .env("RLP_CA_FILE", &files.ca_file)
        .env("RLP_CERT_FILE", &files.identity.cert_file)
        .env("RLP_KEY_FILE", &files.identity.key_file)
        .env("LOG_LEVEL", "error");
    command.stdout(Stdio::inherit()).spawn().map(Nozzle).context("the nozzle cannot be started")
}
