//! Settings: read once at start, parsed into types, all faults reported together.
//!
//! ```text
//! flags ┐
//! environment │ layers: which text applies   reader: what it means       sections of Config
//! file │ ────────────────────────────► ────────────────────────► SourceConfig, HecConfig, …
//! services ┘      flags, document                parse, settings
//! ```
//!
//! Invariants:
//! - One table ([`settings`]) names every setting; the command line, the reference page and
//!   `nozzle config` are made from it.
//! - Nothing downstream validates again: what a [`Config`] holds can be used as it is.
//! - No secret is ever part of a fault, a warning, a row of [`Config::show`] or a `Debug` output.
//!
//! Not responsible for reading certificates and keys (their files are only looked for), nor for the
//! process's environment and arguments: they are handed in.

use std::num::NonZeroUsize;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

mod container;
mod document;
mod events;
mod fault;
pub mod flags;
mod hec;
mod layers;
mod metadata;
mod names;
mod operation;
mod own;
mod parse;
mod proxy;
mod reader;
pub mod settings;
mod shape;
mod show;
mod source;
mod spool;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;

pub use fault::{Fault, Faults, Origin, Warning};
pub use hec::{DeadLetterConfig, HecConfig};
pub use layers::Inputs;
pub use metadata::MetadataConfig;
pub use operation::{AdminConfig, AdminScope, LogConfig};
pub use own::{Instance, OwnConfig};
pub use shape::ShapeConfig;
pub use show::{Row, render};
pub use source::{RlpConfig, SourceChoice, SourceConfig};

use reader::Reader;
use settings::input::{API_ENDPOINT, CF_CA_FILE, CLIENT_ID, CLIENT_SECRET, SKIP_SSL_VALIDATION_CF};
use settings::output::{DELIVERY_MAX_BYTES, HEC_WORKERS, QUEUE_MAX_BYTES, QUEUE_WHEN_FULL, SHUTDOWN_TIMEOUT};

use crate::nozzle::deliver::SpoolSettings;
use crate::nozzle::event_type::EventSet;
use crate::proxy::ProxySettings;
use crate::tls::ClientTls;

/// More workers than this do not pay off by default.
const DEFAULT_WORKERS_MAX: usize = 8;

/// Everything the nozzle needs to know to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The Cloud Foundry API.
    pub api_endpoint: Url,
    /// The UAA client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// For the API, UAA, the RLP gateway and the v1 firehose.
    pub cf_tls: ClientTls,
    /// For the same, and for Splunk.
    pub proxies: ProxySettings,
    /// How the firehose is read.
    pub source: SourceConfig,
    /// Which types of events are delivered; never empty.
    pub events: EventSet,
    /// What an event looks like in Splunk.
    pub shape: ShapeConfig,
    /// What is looked up for apps.
    pub metadata: MetadataConfig,
    /// How events are sent to Splunk.
    pub hec: HecConfig,
    /// Tasks that decode, enrich and encode.
    pub workers: NonZeroUsize,
    /// Most bytes of frames received and not yet worked on.
    pub queue_max_bytes: usize,
    /// Most bytes of events under way to Splunk.
    pub delivery_max_bytes: usize,
    /// What happens when there is no more room for them.
    pub when_full: WhenFull,
    /// Where they go before that; `None`: nowhere.
    pub spool: Option<SpoolSettings>,
    /// How long delivering may go on after the signal to stop.
    pub shutdown_timeout: Duration,
    /// Where status, health and metrics are served.
    pub admin: AdminConfig,
    /// How the nozzle logs.
    pub log: LogConfig,
    /// The nozzle's own events.
    pub own: OwnConfig,
    /// What the platform says of the nozzle.
    pub instance: Instance,
    rows: Vec<Row>,
}

/// What happens to an event for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The newest of the apps that hold most are dropped, and counted.
    Fair,
    /// It is dropped, and counted.
    DropNewest,
    /// Those that have waited longest are dropped, and counted.
    DropOldest,
    /// It waits, and so does everything behind it.
    Block,
}

impl Config {
    /// Reads all settings.
    ///
    /// # Errors
    /// Everything that is wrong, at once; the process should say it and exit with
    /// [`Faults::EXIT_CODE`].
    pub fn load(inputs: &Inputs) -> Result<(Self, Vec<Warning>), Faults> {
        let mut reader = Reader::new(layers::gather(inputs));
        let config = Self::read(&mut reader);
        let (faults, mut warnings, rows) = reader.finish();
        let (instance, warning) = Instance::read(inputs);
        warnings.extend(warning);
        match config {
            Some(config) if faults.is_empty() => {
                let own = OwnConfig { memory_bytes: instance.memory_bytes, ..config.own };
                Ok((Self { rows, own, instance, ..config }, warnings))
            }
            _ => Err(Faults(faults)),
        }
    }

    /// Every setting with the value that applies and its origin, secrets redacted.
    pub fn show(&self) -> &[Row] {
        &self.rows
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        let api_endpoint = reader.value(&API_ENDPOINT, parse::url);
        let client_id = reader.value(&CLIENT_ID, parse::word);
        let client_secret = reader.value(&CLIENT_SECRET, parse::secret);
        let cf_tls = read_cf_tls(reader);
        let proxies = proxy::read(reader);
        let source = SourceConfig::read(reader);
        let events = events::read(reader);
        let shape = ShapeConfig::read(reader);
        let metadata = MetadataConfig::read(reader);
        let hec = HecConfig::read(reader);
        let workers = read_workers(reader);
        let queue_max_bytes = reader.value(&QUEUE_MAX_BYTES, parse::bytes);
        let delivery_max_bytes = reader.value(&DELIVERY_MAX_BYTES, parse::bytes);
        let policies = [
            ("fair", WhenFull::Fair),
            ("drop_newest", WhenFull::DropNewest),
            ("drop_oldest", WhenFull::DropOldest),
            ("block", WhenFull::Block),
        ];
        let when_full = reader.value(&QUEUE_WHEN_FULL, parse::choice(&policies));
        let spool = spool::read(reader, hec.as_ref().is_some_and(|hec| hec.debug));
        let shutdown_timeout = reader.value(&SHUTDOWN_TIMEOUT, parse::duration);
        let admin = AdminConfig::read(reader);
        let log = LogConfig::read(reader);
        let own = OwnConfig::read(reader, shape.as_ref().map(|shape| shape.index.as_str()));
        reader.unused();
        Some(Self {
            api_endpoint: api_endpoint?,
            client_id: client_id?,
            client_secret: client_secret?,
            cf_tls: cf_tls?,
            proxies: proxies?,
            source: source?,
            events: events?,
            shape: shape?,
            metadata: metadata?,
            hec: hec?,
            workers: workers?,
            queue_max_bytes: queue_max_bytes?,
            delivery_max_bytes: delivery_max_bytes?,
            when_full: when_full?,
            spool: spool?,
            shutdown_timeout: shutdown_timeout?,
            admin: admin?,
            log: log?,
            own: own?,
            instance: Instance::default(),
            rows: Vec::new(),
        })
    }
}

fn read_cf_tls(reader: &mut Reader) -> Option<ClientTls> {
    let verification = hec::verification(reader, &SKIP_SSL_VALIDATION_CF);
    let ca_file = reader.optional(&CF_CA_FILE, parse::file);
    Some(ClientTls { ca_file: ca_file?, identity: None, verification: verification? })
}

fn read_workers(reader: &mut Reader) -> Option<NonZeroUsize> {
    let given = reader.optional(&HEC_WORKERS, parse::number::<usize>)?;
    if let Some(workers) = given.and_then(NonZeroUsize::new) {
        return Some(workers);
    }
    // Respects the quota of the cgroup, and with it that of the container.
    let cpus = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let workers = cpus.min(NonZeroUsize::new(DEFAULT_WORKERS_MAX).unwrap_or(NonZeroUsize::MIN));
    if given.is_some() {
        // Refusing to start would help nobody: what is wanted is a nozzle that delivers.
        reader.warn(&HEC_WORKERS, format!("0 would deliver nothing; the default applies, {workers}"));
    }
    reader.applies(&HEC_WORKERS, workers.to_string());
    Some(workers)
}
