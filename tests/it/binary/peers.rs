//! What stands around the nozzle: a simulated foundation and a simulated Splunk.

use std::collections::BTreeSet;
use std::path::Path;

use firehose_nozzle::sim::foundation::{
    CertificateFiles, Client, Foundation, FoundationConfig, LogStream, RLP_SERVER_NAME,
};
use firehose_nozzle::sim::hec::{
    ClientCertificates, HecServer, HecServerConfig, LedgerMode, Record, ServerTls, TlsVersions, Token,
};
use firehose_nozzle::sim::load::{Limit, Load, LoadConfig, LoadReport, Mix, sequence_in};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::process::{Command, PATIENCE};

/// How the nozzle reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Grpc,
    Firehose,
}

impl Source {
    pub(crate) const BOTH: [Self; 2] = [Self::Grpc, Self::Firehose];
}

/// Every type both sources carry.
const EVENTS: &str = "LogMessage,HttpStartStop,ValueMetric,CounterEvent,ContainerMetric,Error";

/// The peers, and what the nozzle needs to talk to them.
pub(crate) struct Peers {
    pub(crate) foundation: Foundation,
    pub(crate) hec: HecServer,
    pub(crate) directory: TempDir,
    files: CertificateFiles,
    client_secret: String,
    hec_token: String,
}

impl Peers {
    /// Peers as they are by default.
    pub(crate) async fn start() -> Self {
        Self::start_with("nozzle-secret", "5ca1ab1e-0000-4000-8000-000000000001", FoundationConfig::default())
            .await
    }

    /// Peers with these secrets, and a foundation of another kind.
    pub(crate) async fn start_with(client_secret: &str, hec_token: &str, config: FoundationConfig) -> Self {
        let collect = HecServerConfig::new(vec![Token::new("nozzle", hec_token)])
            .with_ledger(LedgerMode::sequences(sequence_in));
        Self::start_all(client_secret, hec_token, config, collect).await
    }

    /// Peers with a collector that keeps all events, and takes only those for `indexes`, if there are any.
    pub(crate) async fn start_recording(client_secret: &str, hec_token: &str, indexes: &[&str]) -> Self {
        let token = Token::new("nozzle", hec_token).with_indexes(indexes.iter().copied());
        let collect = HecServerConfig::new(vec![token]);
        Self::start_all(client_secret, hec_token, FoundationConfig::default(), collect).await
    }

    pub(crate) async fn start_all(
        client_secret: &str,
        hec_token: &str,
        config: FoundationConfig,
        collect: HecServerConfig,
    ) -> Self {
        let clients =
            config.clients.into_iter().map(|client| Client { secret: client_secret.to_owned(), ..client });
        // Without a gateway, `auto` is the v1 firehose where no log proxy is configured.
        let config = FoundationConfig { clients: clients.collect(), log_stream: LogStream::Absent, ..config };
        let foundation = Foundation::start(config).await.expect("a foundation");
        let server = foundation.authority().server(&["127.0.0.1"]).expect("a certificate");
        let (chain, key) = (&server.cert_pem, &server.key_pem);
        let tls = ServerTls::from_pem(chain, key, ClientCertificates::NotAsked, TlsVersions::All);
        let hec = HecServer::start(collect.with_tls(tls.expect("TLS"))).await.expect("a collector");
        let directory = tempfile::tempdir().expect("a directory");
        let files = foundation.write_certificates(directory.path()).expect("certificates");
        let (client_secret, hec_token) = (client_secret.to_owned(), hec_token.to_owned());
        Self { foundation, hec, directory, files, client_secret, hec_token }
    }

    pub(crate) fn ca_file(&self) -> String {
        text(&self.files.ca_file)
    }

    /// The least a nozzle of any kind is told, without whom to trust.
    pub(crate) fn essentials(&self) -> Vec<(&'static str, String)> {
        vec![
            ("API_ENDPOINT", self.foundation.api_url()),
            ("CLIENT_ID", "nozzle".to_owned()),
            ("CLIENT_SECRET", self.client_secret.clone()),
            ("SPLUNK_HOST", self.hec.url()),
            ("SPLUNK_TOKEN", self.hec_token.clone()),
            ("SPLUNK_INDEX", "main".to_owned()),
            ("EVENTS", EVENTS.to_owned()),
        ]
    }

    /// What the source needs beyond that.
    pub(crate) fn source(&self, source: Source) -> Vec<(&'static str, String)> {
        match source {
            Source::Firehose => Vec::new(),
            Source::Grpc => vec![
                ("RLP_ADDRESS", self.foundation.rlp_address().to_string()),
                ("RLP_SERVER_NAME", RLP_SERVER_NAME.to_owned()),
                ("RLP_CA_FILE", text(&self.files.ca_file)),
                ("RLP_CERT_FILE", text(&self.files.identity.cert_file)),
                ("RLP_KEY_FILE", text(&self.files.identity.key_file)),
            ],
        }
    }

    /// A nozzle for these peers, configured by its environment.
    pub(crate) fn nozzle(&self, source: Source, arguments: &[&str]) -> Command {
        Command::new(arguments)
            .with(self.essentials())
            .with(self.source(source))
            .with([("CF_CA_FILE", self.ca_file()), ("SPLUNK_CA_FILE", self.ca_file())])
    }

    /// Waits until the nozzle reads, by all its streams.
    pub(crate) async fn wait_read(&self, source: Source) {
        self.wait_streams(source, 2).await;
    }

    /// Waits until there are so many streams.
    pub(crate) async fn wait_streams(&self, source: Source, streams: usize) {
        let connected = self.foundation.wait_connected(PATIENCE, |connected| match source {
            Source::Grpc => connected.rlp == streams,
            Source::Firehose => connected.firehose == streams,
        });
        connected.await.expect("the nozzle connects");
    }

    /// Publishes `n` numbered envelopes from `first` on, as fast as they are read.
    pub(crate) async fn publish(&self, first: u64, n: u64) -> LoadReport {
        let load = LoadConfig { limit: Limit::Events(n), ..load(first) };
        Load::new(load).run(&self.foundation, &CancellationToken::new()).await
    }

    /// Waits until Splunk has all numbers below `n`.
    pub(crate) async fn wait_indexed(&self, n: u64) {
        let all = || match self.hec.missing(0..n) {
            Ok(missing) => missing == 0,
            Err(_) => self.numbers() >= n,
        };
        let indexed = self.hec.wait_until(PATIENCE, |_| all());
        indexed.await.expect("everything arrives");
    }

    /// How many numbers a recording collector has.
    fn numbers(&self) -> u64 {
        let records = self.hec.records().expect("they are kept");
        let text = |record: &Record| String::from_utf8_lossy(&record.envelope).into_owned();
        let numbers: BTreeSet<_> = records.iter().filter_map(|record| sequence_in(&text(record))).collect();
        numbers.len() as u64
    }

    /// Events Splunk has.
    pub(crate) fn indexed(&self) -> u64 {
        self.hec.snapshot().ledger.events
    }
}

/// A load without a rate, of what both sources carry; each first number brings apps of its own.
pub(crate) fn load(first_sequence: u64) -> LoadConfig {
    LoadConfig {
        events_per_second: 0,
        mix: Mix::convertible(),
        seed: first_sequence,
        first_sequence,
        ..LoadConfig::default()
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path of plain text").to_owned()
}
