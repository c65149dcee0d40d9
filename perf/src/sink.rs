//! The helper `hec`: the simulated HEC server. It counts, and reads the time of one of each 16 events; a
//! server that parsed every event would cost more than the nozzle.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use firehose_nozzle::sim::certs::Authority;
use firehose_nozzle::sim::hec::{
    ClientCertificates, HecServer, HecServerConfig, LedgerMode, ServerTls, TlsVersions, Token,
};
use firehose_nozzle::task::Tasks;
use firehose_nozzle::tls;
use serde::{Deserialize, Serialize};

use crate::helper;
use crate::window::Gauge;

/// The token it takes.
pub const TOKEN: &str = "11111111-2222-3333-4444-555555555555";

/// How often it is told how many events have arrived.
const TELL: Duration = Duration::from_millis(4);

/// What the helper is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Arguments {
    /// Where the certificate of its authority is written.
    pub folder: PathBuf,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Whether its indexers acknowledge.
    pub acks: bool,
    /// Where it writes how many events have arrived, if that is wanted.
    pub arrived: Option<PathBuf>,
}

/// What it says when it is ready.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Its URL.
    pub url: String,
    /// `host:port`.
    pub address: String,
    /// The authority of its certificate.
    pub ca_file: PathBuf,
}

/// What it can be asked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Question {
    /// The counts so far.
    Counts,
    /// The delays of events since this was asked last.
    Delays,
}

/// What it has received so far, or how late that was.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Bytes of bodies as they came.
    pub wire_bytes: u64,
    /// Bytes of bodies, uncompressed.
    pub body_bytes: u64,
    /// Requests.
    pub requests: u64,
    /// How many delays were measured; all below are 0 if none.
    pub timed: u64,
    /// Half of the delays are not longer.
    pub p50_ms: f64,
    /// 99 of 100 are not longer.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// Runs the helper.
///
/// # Errors
/// The server cannot be started, or the parent is gone.
pub fn main(arguments: &str) -> anyhow::Result<()> {
    let arguments: Arguments = serde_json::from_str(arguments)?;
    tls::install_provider();
    let authority = Authority::new("simulated Splunk")?;
    std::fs::create_dir_all(&arguments.folder)?;
    let ca_file = authority.write_to(&arguments.folder, "hec-ca")?;
    let token = Token::new("perf", TOKEN);
    let token = if arguments.acks { token.with_acks() } else { token };
    let mut config = HecServerConfig::new(vec![token]).with_ledger(LedgerMode::Delays);
    if arguments.tls {
        let leaf = authority.server(&["localhost", "127.0.0.1"])?;
        let clients = ClientCertificates::NotAsked;
        config =
            config.with_tls(ServerTls::from_pem(&leaf.cert_pem, &leaf.key_pem, clients, TlsVersions::All)?);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let server = Arc::new(runtime.block_on(HecServer::start(config))?);
    let mut tasks = Tasks::new();
    if let Some(path) = &arguments.arrived {
        let _within = runtime.enter();
        tasks.spawn("arrived", tell(Arc::clone(&server), Gauge::create(path)?));
    }
    let ready = Ready { url: server.url(), address: server.address().to_string(), ca_file };
    helper::serve(&ready, |question: Question| answer(&server, question))
}

async fn tell(server: Arc<HecServer>, gauge: Gauge) {
    let mut ticks = tokio::time::interval(TELL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while gauge.set(server.snapshot().ledger.events).is_ok() {
        ticks.tick().await;
    }
}

fn answer(server: &HecServer, question: Question) -> anyhow::Result<Counts> {
    let now = server.snapshot();
    let counts = Counts {
        events: now.ledger.events,
        wire_bytes: now.bytes_raw,
        body_bytes: now.bytes_inflated,
        requests: now.requests,
        ..Counts::default()
    };
    let Question::Delays = question else { return Ok(counts) };
    let delays = server.take_delays()?;
    let ms = |share| delays.percentile(share).unwrap_or_default().as_secs_f64() * 1e3;
    Ok(Counts {
        timed: delays.count(),
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        max_ms: delays.max().as_secs_f64() * 1e3,
        ..counts
    })
}
