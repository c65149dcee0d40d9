//! The nozzle as a process of its own, with settings of its own, and what its status page says.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use crate::helper::pause;
use crate::plan::{Scenario, Source};
use crate::{load, sink};

/// How long its end may take; longer than its own SHUTDOWN_TIMEOUT.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long its status page may take.
const STATUS_TIME: Duration = Duration::from_secs(5);
/// A status page is never larger.
const STATUS_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The process that is measured; it does not outlive this.
#[derive(Debug)]
pub struct Nozzle {
    child: Child,
    admin: SocketAddr,
    /// Where its disk spool is, if it has one.
    _spool: Option<TempDir>,
}

/// Where envelopes went, by its own ledger.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ledger {
    /// Read from the streams.
    pub received: u64,
    /// Dropped or rejected, for whatever reason.
    pub lost: u64,
}

impl Nozzle {
    /// Starts it.
    ///
    /// # Errors
    /// The binary is not there.
    pub fn start(
        binary: &Path,
        scenario: &Scenario,
        from: &load::Ready,
        to: &sink::Ready,
    ) -> anyhow::Result<Self> {
        ensure!(binary.exists(), "{} is not there: cargo build --release", binary.display());
        // Free now; nobody else asks for ports at random here.
        let admin = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new(binary);
        command
            .env_clear()
            .env("API_ENDPOINT", &from.api_url)
            .env("CF_CA_FILE", &from.ca_file)
            .env("CLIENT_ID", "nozzle")
            .env("CLIENT_SECRET", "nozzle-secret")
            .env("SPLUNK_HOST", &to.url)
            .env("SPLUNK_CA_FILE", &to.ca_file)
            .env("SPLUNK_TOKEN", sink::TOKEN)
            .env("SPLUNK_INDEX", "main")
            .env("EVENTS", "LogMessage")
            .env("USE_ENV_VAR_FOR_SPLUNK_INDEX", "false")
            .env("BOLTDB_PATH", "off")
            .env("HEC_COMPRESSION", if scenario.gzip { "gzip" } else { "off" })
            .env("LOGGREGATOR_SOURCE", scenario.source.name())
            .env("ADMIN_ADDRESS", admin.to_string())
            .env("LOG_LEVEL", "error");
        if scenario.names {
            command.env("ADD_APP_INFO", "AppName,OrgName,OrgGuid,SpaceName,SpaceGuid");
        }
        if scenario.acks {
            command.env("HEC_ACK", "required");
        }
        let spool = scenario.spool.then(tempfile::tempdir).transpose()?;
        if let Some(folder) = &spool {
            command.env("SPOOL_DIR", folder.path());
        }
        if let Some(workers) = scenario.workers {
            command.env("HEC_WORKERS", workers.to_string());
        }
        if let Some(bytes) = scenario.batch_bytes {
            command.env("HEC_BATCH_BYTES", bytes.to_string());
        }
        if let Some(refresh) = scenario.list_seconds {
            command.env("APP_CACHE_INVALIDATE_TTL", format!("{refresh}s"));
        }
        if scenario.source == Source::Grpc {
            command
                .env("RLP_ADDRESS", &from.rlp_address)
                .env("RLP_SERVER_NAME", &from.rlp_server_name)
                .env("RLP_CA_FILE", &from.ca_file)
                .env("RLP_CERT_FILE", &from.cert_file)
                .env("RLP_KEY_FILE", &from.key_file);
        }
        // Its own words must not stand between the rows.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().context("the nozzle cannot be started")?;
        Ok(Self { child, admin, _spool: spool })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its ledger now.
    ///
    /// # Errors
    /// It does not answer.
    pub fn ledger(&self) -> anyhow::Result<Ledger> {
        let ledger = self.status()?.ledger;
        let lost = ledger.dropped.values().chain(ledger.rejected.values()).sum();
        Ok(Ledger { received: ledger.received, lost })
    }

    /// Waits until all apps have been listed, or until they are being listed again.
    ///
    /// # Errors
    /// They are not, in that time.
    pub fn wait_for_names(&self, again: bool, within: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < within {
            let list = self.status()?.metadata.list;
            if list.passes > 0 && (list.running || !again) {
                return Ok(());
            }
            pause(Duration::from_millis(50));
        }
        bail!("the apps were not listed within {within:?}")
    }

    fn status(&self) -> anyhow::Result<Status> {
        let mut stream =
            TcpStream::connect_timeout(&self.admin, STATUS_TIME).context("the nozzle's status")?;
        stream.set_read_timeout(Some(STATUS_TIME))?;
        stream.write_all(b"GET /status.json HTTP/1.0\r\nhost: nozzle\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(STATUS_BYTES_MAX).read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer")?;
        ensure!(head.contains(" 200 "), "the nozzle's status: {head}");
        serde_json::from_str(body).context("the nozzle's status")
    }

    /// Ends it, as an operator would.
    ///
    /// # Errors
    /// It does not end, or not well.
    pub fn end(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        ensure!(Command::new("kill").arg(&pid).status()?.success(), "the nozzle cannot be told to end");
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the nozzle ended badly: {status}");
                return Ok(());
            }
            pause(Duration::from_millis(10));
        }
        bail!("the nozzle did not end within {PATIENCE:?}");
    }
}

impl Drop for Nozzle {
    fn drop(&mut self) {
        // It has ended already, or it cannot be helped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Deserialize)]
struct Status {
    ledger: LedgerPart,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    list: List,
}

#[derive(Deserialize)]
struct List {
    passes: u64,
    running: bool,
}

#[derive(Deserialize)]
struct LedgerPart {
    received: u64,
    dropped: std::collections::BTreeMap<String, u64>,
    rejected: std::collections::BTreeMap<String, u64>,
}
