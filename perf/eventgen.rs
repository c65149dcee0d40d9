//! Measures `eventgen` as a process of its own: events/s, CPU time, memory, by way and workers.
//!
//! CPU time and memory are eventgen's alone; what HEC it sends to runs in this process and shares
//! the machine.
#![allow(clippy::print_stdout, reason = "the table is the product")]

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::{Arg, ArgMatches, Command, value_parser};
use firehose_nozzle::sim::hec::{HecServer, HecServerConfig, Token};
use firehose_nozzle_perf::five_tokens::{self, TOKENS};
use firehose_nozzle_perf::machine::{children_cpu_seconds, peak_memory_mb};
use tokio::task::spawn_blocking;

const HEC_TOKEN: &str = "11111111-2222-3333-4444-555555555555";

/// What is measured: a name, the stanzas, and whether it needs a HEC.
struct Row {
    name: &'static str,
    conf: &'static str,
}

const ROWS: [Row; 6] = [
    Row { name: "windbag → devnull", conf: "[windbag]\ngenerator = windbag\noutputMode = devnull\n" },
    Row { name: "5 tokens → devnull", conf: "[five.log]\noutputMode = devnull\n{{TOKENS}}" },
    Row {
        name: "5 tokens → file",
        conf: "[five.log]\noutputMode = file\nfileName = out.log\nfileMaxBytes = 100000000\nfileBackupFiles = 1\n{{TOKENS}}",
    },
    Row {
        name: "replay → devnull",
        conf: "[replay.log]\nmode = replay\noutputMode = devnull\ntoken.0.token = ^\\S+ \\S+\n\
               token.0.replacementType = replaytimestamp\ntoken.0.replacement = %Y-%m-%d %H:%M:%S\n",
    },
    Row {
        name: "5 tokens → HEC",
        conf: "[five.log]\noutputMode = httpevent\nhttpeventServers = {{SERVERS}}\n{{TOKENS}}",
    },
    Row {
        name: "5 tokens → HEC, gzip",
        conf: "[five.log]\noutputMode = httpevent\nhttpeventGzip = true\nhttpeventServers = {{SERVERS}}\n{{TOKENS}}",
    },
];

fn command() -> Command {
    Command::new("perf-eventgen")
        .about("Measures eventgen: each row runs flat out for some seconds, with one worker and with two")
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .default_value("5")
                .value_parser(value_parser!(u64).range(1..))
                .help("how long each row is measured"),
        )
        .arg(Arg::new("row").long("row").value_name("PART").help("only rows with this in their names"))
        .arg(
            Arg::new("workers")
                .long("workers")
                .value_parser(value_parser!(u64).range(1..))
                .help("only with so many workers"),
        )
        .arg(Arg::new("eventgen").long("eventgen").help("the binary to measure; default: beside this one"))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let matches = command().get_matches();
    let eventgen = binary(&matches)?;
    let seconds = *matches.get_one::<u64>("seconds").context("seconds")?;
    let part = matches.get_one::<String>("row").map_or("", String::as_str);
    let workers = matches.get_one::<u64>("workers").map_or(vec![1, 2], |workers| vec![*workers]);
    println!("| | workers | events/s | MB/s | events per CPU second | CPU s | memory MB |");
    println!("|---|---|---|---|---|---|---|");
    for row in ROWS.iter().filter(|row| row.name.contains(part)) {
        for workers in &workers {
            println!("{}", measure(row, *workers, seconds, &eventgen).await?);
        }
    }
    Ok(())
}

fn binary(matches: &ArgMatches) -> anyhow::Result<PathBuf> {
    if let Some(path) = matches.get_one::<String>("eventgen") {
        return Ok(fs::canonicalize(path)?);
    }
    let beside = std::env::current_exe()?.parent().map(|path| path.join("eventgen"));
    beside.context("where eventgen is")
}

/// Runs one row; gives its line of the table.
async fn measure(row: &Row, workers: u64, seconds: u64, eventgen: &Path) -> anyhow::Result<String> {
    let directory = tempfile::tempdir()?;
    let hec = HecServer::start(HecServerConfig::new(vec![Token::new("perf", HEC_TOKEN)])).await?;
    prepare(row, directory.path(), &hec)?;
    let before = children_cpu_seconds()?;
    let started = Instant::now();
    let child = Program::new(eventgen)
        .args(["generate", "eventgen.conf", "--counter-output", "--workers", &workers.to_string()])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut child = Measured(child);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let pid = child.0.id();
    let memory = peak_memory_mb(pid)?;
    ensure!(Program::new("kill").arg(pid.to_string()).status()?.success(), "eventgen has ended by itself");
    // The HEC server goes on meanwhile: eventgen writes what it has made.
    let (status, report) = spawn_blocking(move || child.end()).await??;
    ensure!(status.success(), "{}: {status}: {report}", row.name);
    let (elapsed, cpu) = (started.elapsed().as_secs_f64(), children_cpu_seconds()? - before);
    let (events, bytes) = totals(&report).with_context(|| report.clone())?;
    hec.stop().await;
    Ok(format!(
        "| {} | {workers} | {:.2} M | {:.0} | {:.2} M | {cpu:.1} | {memory:.0} |",
        row.name,
        events / elapsed / 1e6,
        bytes / elapsed / 1e6,
        events / cpu / 1e6,
    ))
}

/// The process that is measured; it does not outlive this.
struct Measured(Child);

impl Measured {
    /// Waits for its end; gives what it said.
    fn end(&mut self) -> anyhow::Result<(ExitStatus, String)> {
        let mut report = String::new();
        self.0.stderr.take().context("piped")?.read_to_string(&mut report)?;
        Ok((self.0.wait()?, report))
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        // It has ended already, or it cannot be helped.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn prepare(row: &Row, directory: &Path, hec: &HecServer) -> anyhow::Result<()> {
    let address = hec.address();
    let servers = format!(
        r#"{{"servers": [{{"protocol": "http", "address": "127.0.0.1", "port": {}, "key": "{HEC_TOKEN}"}}]}}"#,
        address.port()
    );
    // More than can be made: it is always behind.
    let demand = "[global]\nsampleDir = .\ncount = 1000000\ninterval = 0.001\n";
    let conf = row.conf.replace("{{TOKENS}}", TOKENS).replace("{{SERVERS}}", &servers);
    fs::write(directory.join("eventgen.conf"), format!("{demand}{conf}"))?;
    fs::write(directory.join("five.log"), five_tokens::LINE)?;
    fs::write(directory.join("replay.log"), five_tokens::LINE.repeat(100_000))?;
    Ok(five_tokens::write_users(directory)?)
}

/// Events and bytes of the last line of a report: `1,234 events (5.6 MB) in …`.
fn totals(report: &str) -> anyhow::Result<(f64, f64)> {
    let line = report.lines().last().context("no report")?;
    let (events, rest) = line.split_once(" event").context("events")?;
    let (_, rest) = rest.split_once("(").context("bytes")?;
    let (bytes, _) = rest.split_once(')').context("bytes")?;
    let (number, unit) = bytes.split_once(' ').context("unit")?;
    let factor = match unit {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => 1e12,
    };
    Ok((events.replace(',', "").parse()?, number.parse::<f64>()? * factor))
}
