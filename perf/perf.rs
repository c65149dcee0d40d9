//! Measures the nozzle as a process of its own: events/s, CPU time per event, memory, loss.
//!
//! The simulated foundation and Splunk run in this process, so their CPU time is not the nozzle's,
//! but they share the machine: on few cores they limit the rate, not the CPU time per event.
#![allow(clippy::print_stdout, reason = "the table is the product")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use firehose_nozzle::sim::foundation::{Connected, Foundation, FoundationConfig, RLP_SERVER_NAME, Transport};
use firehose_nozzle::sim::hec::{
    ClientCertificates, HecServer, HecServerConfig, LedgerMode, ServerTls, TlsVersions, Token,
};
use firehose_nozzle::sim::load::{Limit, Load, LoadConfig, LoadReport, Mix};
use firehose_nozzle::tls;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;

const HEC_TOKEN: &str = "11111111-2222-3333-4444-555555555555";

/// How long anything may take that is no part of the measurement.
const PATIENCE: Duration = Duration::from_secs(20);

/// Clock ticks a second in `/proc/PID/stat`, the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// What one row is measured with.
#[derive(Clone, Debug)]
struct Scenario {
    source: String,
    gzip: bool,
    tls: bool,
    rate: u64,
    seconds: u64,
    payload: usize,
    json_percent: u8,
    nozzle: PathBuf,
}

fn command() -> Command {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name).long(name).default_value(default).value_parser(value_parser!(u64)).help(help)
    };
    Command::new("perf")
        .about("Measures the nozzle between a simulated foundation and a simulated Splunk")
        .arg(number("seconds", "10", "how long each row is measured"))
        .arg(number("rate", "20000", "envelopes per second; 0: as fast as they are read"))
        .arg(number("payload", "256", "usual bytes of a log line"))
        .arg(number("json", "0", "log lines that are JSON, in percent"))
        .arg(
            Arg::new("source")
                .long("source")
                .value_parser(["grpc", "gateway", "firehose"])
                .help("only this source"),
        )
        .arg(Arg::new("gzip").long("gzip").action(ArgAction::SetTrue).help("compress (the nozzle's default)"))
        .arg(
            Arg::new("no-tls")
                .long("no-tls")
                .action(ArgAction::SetTrue)
                .help("no TLS, where there can be none"),
        )
        .arg(Arg::new("nozzle").long("nozzle").help("the binary to measure; default: beside this one"))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tls::install_provider();
    let matches = command().get_matches();
    let sources = match matches.get_one::<String>("source") {
        Some(source) => vec![source.clone()],
        None => ["grpc", "gateway", "firehose"].map(str::to_owned).to_vec(),
    };
    println!(
        "| source | TLS | gzip | payload | events/s | HEC MB/s | CPU µs/event | CPU % | memory MB | lost |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for source in sources {
        let scenario = scenario(&matches, source)?;
        println!("{}", measure(&scenario).await?);
    }
    Ok(())
}

fn scenario(matches: &ArgMatches, source: String) -> anyhow::Result<Scenario> {
    let number = |name: &str| matches.get_one::<u64>(name).copied().unwrap_or_default();
    let beside = std::env::current_exe()?.parent().map(|path| path.join("nozzle"));
    Ok(Scenario {
        source,
        gzip: matches.get_flag("gzip"),
        tls: !matches.get_flag("no-tls"),
        rate: number("rate"),
        seconds: number("seconds").max(1),
        payload: usize::try_from(number("payload"))?,
        json_percent: u8::try_from(number("json").min(100))?,
        nozzle: match matches.get_one::<String>("nozzle") {
            Some(path) => path.into(),
            None => beside.context("where the nozzle is")?,
        },
    })
}

/// Runs one scenario; gives a row of the table.
async fn measure(scenario: &Scenario) -> anyhow::Result<String> {
    let transport = if scenario.tls { Transport::Tls } else { Transport::Plain };
    let foundation = Foundation::start(FoundationConfig { transport, ..FoundationConfig::default() }).await?;
    let hec = start_hec(scenario, &foundation).await?;
    let load = Load::new(LoadConfig {
        events_per_second: scenario.rate,
        apps: 200,
        mix: Mix::logs(),
        payload_bytes: scenario.payload,
        json_percent: scenario.json_percent,
        limit: Limit::Time(Duration::from_secs(scenario.seconds)),
        ..LoadConfig::default()
    });
    load.register(foundation.capi());
    let certificates = tempfile::tempdir()?;
    let nozzle = start_nozzle(scenario, &foundation, &hec, certificates.path())?;
    let pid = nozzle.0.id();
    let streams = |connected: &Connected| connected.rlp + connected.gateway + connected.firehose >= 2;
    foundation.wait_connected(PATIENCE, streams).await.context("the nozzle did not subscribe")?;

    let (before, started) = (cpu_seconds(pid)?, Instant::now());
    let sent = load.run(&foundation, &CancellationToken::new()).await;
    let arrived = wait_for_events(&hec, sent.published.total()).await;
    let (cpu, elapsed) = (cpu_seconds(pid)? - before, started.elapsed().as_secs_f64());
    let memory = peak_memory_mb(pid)?;
    end(nozzle).await?;
    let bytes = hec.snapshot().ledger.event_bytes;
    foundation.stop().await;
    hec.stop().await;
    Ok(row(scenario, &sent, arrived, bytes, cpu, elapsed, memory))
}

#[allow(clippy::too_many_arguments, reason = "the columns of a row")]
fn row(
    scenario: &Scenario,
    sent: &LoadReport,
    arrived: u64,
    bytes: u64,
    cpu: f64,
    elapsed: f64,
    memory: f64,
) -> String {
    let yes = |flag| if flag { "yes" } else { "no" };
    format!(
        "| {} | {} | {} | {} | {:.0} | {:.1} | {:.2} | {:.0} | {memory:.0} | {} |",
        scenario.source,
        yes(scenario.tls),
        yes(scenario.gzip),
        scenario.payload,
        arrived as f64 / elapsed,
        bytes as f64 / elapsed / 1e6,
        cpu * 1e6 / arrived.max(1) as f64,
        cpu / elapsed * 100.0,
        sent.published.total().saturating_sub(arrived),
    )
}

async fn start_hec(scenario: &Scenario, foundation: &Foundation) -> anyhow::Result<HecServer> {
    // Counting only: a server that parsed every event would cost more than the nozzle.
    let mut config = HecServerConfig::new(vec![Token::new("perf", HEC_TOKEN)]).with_ledger(LedgerMode::Count);
    if scenario.tls {
        let leaf = foundation.authority().server(&["localhost", "127.0.0.1"])?;
        let clients = ClientCertificates::NotAsked;
        config =
            config.with_tls(ServerTls::from_pem(&leaf.cert_pem, &leaf.key_pem, clients, TlsVersions::All)?);
    }
    Ok(HecServer::start(config).await?)
}

fn start_nozzle(
    scenario: &Scenario,
    foundation: &Foundation,
    hec: &HecServer,
    directory: &Path,
) -> anyhow::Result<Nozzle> {
    ensure!(scenario.nozzle.exists(), "{} is not there: cargo build --release", scenario.nozzle.display());
    let files = foundation.write_certificates(directory)?;
    let mut command = Program::new(&scenario.nozzle);
    command
        .env_clear()
        .env("API_ENDPOINT", foundation.api_url())
        .env("CF_CA_FILE", &files.ca_file)
        .env("CLIENT_ID", "nozzle")
        .env("CLIENT_SECRET", "nozzle-secret")
        .env("SPLUNK_HOST", hec.url())
        .env("SPLUNK_CA_FILE", &files.ca_file)
        .env("SPLUNK_TOKEN", HEC_TOKEN)
        .env("SPLUNK_INDEX", "main")
        .env("EVENTS", "LogMessage")
        .env("ADD_APP_INFO", "AppName,OrgName,OrgGuid,SpaceName,SpaceGuid")
        .env("USE_ENV_VAR_FOR_SPLUNK_INDEX", "false")
        .env("BOLTDB_PATH", "off")
        .env("HEC_COMPRESSION", if scenario.gzip { "gzip" } else { "off" })
        .env("LOGGREGATOR_SOURCE", &scenario.source)
        .env("LOG_LEVEL", "warn");
    if scenario.source == "grpc" {
        command
            .env("RLP_ADDRESS", foundation.rlp_address().to_string())
            .env("RLP_SERVER_NAME", RLP_SERVER_NAME)
            .env("RLP_CA_FILE", &files.ca_file)
            .env("RLP_CERT_FILE", &files.identity.cert_file)
            .env("RLP_KEY_FILE", &files.identity.key_file);
    }
    command.stdout(Stdio::inherit()).spawn().map(Nozzle).context("the nozzle cannot be started")
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

/// Waits until all events have arrived, or none has for a while; gives how many have.
async fn wait_for_events(hec: &HecServer, wanted: u64) -> u64 {
    let mut looks = interval(Duration::from_millis(10));
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        looks.tick().await;
        let now = hec.snapshot().ledger.events;
        if now > seen {
            (seen, since) = (now, Instant::now());
        }
        if now >= wanted || since.elapsed() > Duration::from_secs(5) {
            return now;
        }
    }
}

async fn end(mut nozzle: Nozzle) -> anyhow::Result<()> {
    let pid = nozzle.0.id();
    ensure!(signal("TERM", pid)?, "the nozzle cannot be told to end");
    let mut wait = spawn_blocking(move || nozzle.0.wait());
    match timeout(PATIENCE, &mut wait).await {
        Ok(status) => ensure!(status??.success(), "the nozzle ended badly"),
        Err(_) => {
            signal("KILL", pid)?;
            let _ = wait.await;
            bail!("the nozzle did not end within {PATIENCE:?}");
        }
    }
    Ok(())
}

fn signal(name: &str, pid: u32) -> anyhow::Result<bool> {
    Ok(Program::new("kill").args(["-s", name, &pid.to_string()]).status()?.success())
}

/// CPU time of a process so far, its threads and the kernel on its behalf.
fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; the numbers come after it.
    let fields: Vec<&str> = stat.rsplit_once(") ").context("stat")?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).context("stat");
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// The most memory a process has had.
fn peak_memory_mb(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("VmHWM")?;
    let kb: f64 = line.split_whitespace().nth(1).context("VmHWM")?.parse()?;
    Ok(kb / 1000.0)
}
