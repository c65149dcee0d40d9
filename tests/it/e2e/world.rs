//! The peers of a nozzle, and nozzles between them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use firehose_nozzle::clock::UnixNanos;
use firehose_nozzle::nozzle::app::{App, BuildError, Report};
use firehose_nozzle::nozzle::config::flags::FlagValues;
use firehose_nozzle::nozzle::config::{Config, Inputs, SourceChoice};
use firehose_nozzle::nozzle::status::{Status, StatusView};
use firehose_nozzle::proto::loggregator::envelope::Message;
use firehose_nozzle::proto::loggregator::{Envelope, Gauge, GaugeValue, Log};
use firehose_nozzle::sim::foundation::{Connected, Foundation, FoundationConfig, RLP_SERVER_NAME, Target};
use firehose_nozzle::sim::hec::{
    ClientCertificates, HecServer, HecServerConfig, ServerTls, TlsVersions, Token,
};
use firehose_nozzle::sim::load::{Limit, Load, LoadConfig, Mix};
use firehose_nozzle::task::Tasks;
use firehose_nozzle::tls;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;

/// No test waits longer for anything; on an idle machine all of them wait far less.
pub(super) const DEADLINE: Duration = Duration::from_secs(120);

/// What the nozzle shows to Splunk.
pub(super) const HEC_TOKEN: &str = "11111111-2222-3333-4444-555555555555";

/// The shard id of all nozzles.
const SHARD: &str = "splunk-firehose";

/// Envelopes published at once.
const CHUNK: usize = 100;

/// How a nozzle reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The log proxy (v2).
    Grpc,
    /// The gateway of the log proxy (v2, JSON).
    Gateway,
    /// The traffic controller (v1).
    Firehose,
}

impl Source {
    pub(super) const ALL: [Self; 3] = [Self::Grpc, Self::Gateway, Self::Firehose];
}

/// Streams of all sources.
pub(super) fn open_streams(open: &Connected) -> usize {
    open.rlp + open.gateway + open.firehose
}

/// A simulated foundation and a simulated Splunk.
pub(super) struct World {
    pub(super) foundation: Foundation,
    pub(super) hec: HecServer,
    certificates: TempDir,
}

/// A folder for files that settings name.
pub(super) struct Folder(TempDir);

impl Folder {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file, and gives its path as a setting has it.
    pub(super) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl World {
    pub(super) async fn start() -> Self {
        Self::with(|_| {}, |_| {}).await
    }

    /// With another foundation or another Splunk.
    pub(super) async fn with(
        change_foundation: impl FnOnce(&mut FoundationConfig),
        change_hec: impl FnOnce(&mut HecServerConfig),
    ) -> Self {
        tls::install_provider();
        // Envelopes the platform adds by itself would disturb who counts.
        let mut config = FoundationConfig {
            self_metrics_interval: Duration::from_hours(1),
            ..FoundationConfig::default()
        };
        change_foundation(&mut config);
        // On the heap: a test may hold many of these at once, and its thread's stack is small.
        let foundation = Box::pin(Foundation::start(config)).await.unwrap();
        let server = foundation.authority().server(&["localhost", "127.0.0.1"]).unwrap();
        let (certificate, key) = (&server.cert_pem, &server.key_pem);
        let tls = ServerTls::from_pem(certificate, key, ClientCertificates::NotAsked, TlsVersions::All);
        let mut config = HecServerConfig::new(vec![token()]).with_tls(tls.unwrap());
        change_hec(&mut config);
        let hec = Box::pin(HecServer::start(config)).await.unwrap();
        Self { foundation, hec, certificates: tempfile::tempdir().unwrap() }
    }

    /// Starts a nozzle and waits until all its streams are open. `settings` win over the usual ones.
    pub(super) async fn nozzle(&self, source: Source, settings: &[(&str, &str)]) -> Nozzle {
        Box::pin(self.connected_nozzle(self.configure(source, settings))).await
    }

    /// The same, configured already.
    pub(super) async fn connected_nozzle(&self, config: Config) -> Nozzle {
        let before = self.foundation.connected();
        let streams = config.source.streams.get();
        let watch = usize::from(config.source.choice != SourceChoice::Firehose);
        let nozzle = Nozzle::start(App::build(config).unwrap()).await;
        timeout(DEADLINE, nozzle.view.sources().wait_connected(streams)).await.unwrap();
        // v2 sources have a watch stream beside the others.
        let all = |open: &Connected| open_streams(open) + open.copies;
        let wanted = all(&before) + streams + watch;
        self.foundation.wait_connected(DEADLINE, |open| all(open) >= wanted).await.unwrap();
        nozzle
    }

    /// Starts a nozzle that will not get all the streams it wants.
    pub(super) async fn short_nozzle(&self, source: Source, settings: &[(&str, &str)]) -> Nozzle {
        Nozzle::start(App::build(self.configure(source, settings)).unwrap()).await
    }

    /// As `cf push` would configure it, by environment variables.
    pub(super) fn configure(&self, source: Source, settings: &[(&str, &str)]) -> Config {
        let files = self.foundation.write_certificates(self.certificates.path()).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let mut environment: BTreeMap<&str, String> = [
            ("API_ENDPOINT", self.foundation.api_url()),
            ("CF_CA_FILE", text(&files.ca_file)),
            ("CLIENT_ID", "nozzle".to_owned()),
            ("CLIENT_SECRET", "nozzle-secret".to_owned()),
            ("SPLUNK_HOST", self.hec.url()),
            ("SPLUNK_CA_FILE", text(&files.ca_file)),
            ("SPLUNK_TOKEN", HEC_TOKEN.to_owned()),
            ("SPLUNK_INDEX", "main".to_owned()),
            ("EVENTS", EVERYTHING.to_owned()),
            ("FLUSH_INTERVAL", "50ms".to_owned()),
            // Nozzles that run at the same time would share the default one.
            ("BOLTDB_PATH", "off".to_owned()),
            // Most of the work of a build without optimization.
            ("HEC_COMPRESSION", "off".to_owned()),
            // No machine is so slow that it has to lose for it.
            ("SHUTDOWN_TIMEOUT", "1m".to_owned()),
        ]
        .into();
        match source {
            Source::Grpc => environment.extend([
                ("RLP_ADDRESS", self.foundation.rlp_address().to_string()),
                ("RLP_SERVER_NAME", RLP_SERVER_NAME.to_owned()),
                ("RLP_CA_FILE", text(&files.ca_file)),
                ("RLP_CERT_FILE", text(&files.identity.cert_file)),
                ("RLP_KEY_FILE", text(&files.identity.key_file)),
            ]),
            Source::Gateway => drop(environment.insert("LOGGREGATOR_SOURCE", "gateway".to_owned())),
            Source::Firehose => drop(environment.insert("LOGGREGATOR_SOURCE", "firehose".to_owned())),
        }
        environment.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        if environment.contains_key("SPLUNK_TOKEN_FILE") {
            environment.remove("SPLUNK_TOKEN");
        }
        let (config, warnings) = Config::load(&Inputs::new(FlagValues::default(), environment)).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        config
    }

    /// Publishes numbered envelopes as fast as the streams read, so that the platform loses none.
    pub(super) async fn publish(&self, numbers: Range<u64>, envelope: impl FnMut(u64) -> Envelope) {
        let envelopes: Vec<_> = numbers.map(envelope).collect();
        for chunk in envelopes.chunks(CHUNK) {
            timeout(DEADLINE, self.foundation.room(chunk.len())).await.expect("the streams read");
            self.foundation.publish(chunk);
        }
    }

    /// How many envelopes the platform has sent to the streams that share them.
    pub(super) fn sent(&self) -> u64 {
        let totals = self.foundation.totals();
        totals.rlp_sent + totals.v1_sent
    }

    /// Waits until a nozzle has read and delivered, or otherwise settled, all that was sent so far.
    pub(super) async fn settled(&self, nozzle: &Nozzle) -> Status {
        self.sent_all().await;
        let sent = self.sent();
        let settled = |status: &Status| {
            let ledger = &status.ledger;
            ledger.received >= sent && ledger.buffered() == 0 && ledger.spooled == 0
        };
        nozzle.until("all that was sent is settled", settled).await
    }

    /// Waits until nothing waits in front of a stream.
    pub(super) async fn sent_all(&self) {
        let all = || self.foundation.streams().iter().all(|stream| stream.buffered == 0);
        wait_for("everything is sent", || all().then_some(()), || format!("{:?}", self.foundation.streams()))
            .await;
    }
}

/// The streams whose envelopes are delivered.
pub(super) fn data_streams() -> Target {
    Target::Shard(SHARD.to_owned())
}

/// All types of events that exist in both versions, and the one of v2.
const EVERYTHING: &str = "LogMessage,HttpStartStop,ValueMetric,CounterEvent,ContainerMetric,Error,Event";

/// The token the nozzle shows.
pub(super) fn token() -> Token {
    Token::new("nozzle", HEC_TOKEN)
}

/// A nozzle that runs.
pub(super) struct Nozzle {
    pub(super) view: StatusView,
    shutdown: CancellationToken,
    running: Tasks<Result<Report, BuildError>>,
}

/// A nozzle that has ended.
pub(super) struct Ended {
    pub(super) report: Report,
    pub(super) status: Status,
}

impl Nozzle {
    pub(super) async fn start(app: App) -> Self {
        let shutdown = CancellationToken::new();
        let (watch, view) = oneshot::channel();
        let mut running = Tasks::new();
        let watch = |view| assert!(watch.send(view).is_ok(), "the test waits for it");
        running.spawn("nozzle", Box::pin(app.run(shutdown.clone(), watch)));
        let view = timeout(DEADLINE, view).await.expect("it starts in time").expect("it starts");
        Self { view, shutdown, running }
    }

    pub(super) fn status(&self) -> Status {
        self.view.get()
    }

    /// Waits until the status is as it should be.
    pub(super) async fn until(&self, what: &str, mut is: impl FnMut(&Status) -> bool) -> Status {
        let look = || Some(self.status()).filter(|status| is(status));
        wait_for(what, look, || serde_json::to_string_pretty(&self.status()).unwrap()).await
    }

    /// Asks it to stop, as SIGTERM does, without waiting for that.
    pub(super) fn begin_to_stop(&self) {
        self.shutdown.cancel();
    }

    /// Stops it and waits for its end.
    pub(super) async fn stop(mut self) -> Ended {
        self.begin_to_stop();
        let joined = timeout(DEADLINE, self.running.join_next()).await.expect("it ends in time");
        let (_, report) = joined.expect("it is joined once").expect("it does not panic");
        Ended { report: report.expect("its settings go together"), status: self.view.get() }
    }
}

/// Waits until `look` sees something.
pub(super) async fn wait_for<T>(
    what: &str,
    mut look: impl FnMut() -> Option<T>,
    show: impl FnOnce() -> String,
) -> T {
    let deadline = Instant::now() + DEADLINE;
    let mut looks = interval(Duration::from_millis(5));
    loop {
        looks.tick().await;
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "not so in time: {what}; last seen: {}", show());
    }
}

/// Waits until Splunk has so many more events.
pub(super) async fn more_events(world: &World, more: u64) {
    let wanted = world.hec.snapshot().ledger.events + more;
    world.hec.wait_until(DEADLINE, |hec| hec.ledger.events >= wanted).await.unwrap();
}

/// A thousand lines of apps a second, until it is stopped.
pub(super) fn steady_load() -> Load {
    let (mix, limit) = (Mix::logs(), Limit::Never);
    Load::new(LoadConfig { events_per_second: 1000, mix, limit, ..LoadConfig::default() })
}

/// The id of made-up app `n`.
pub(super) fn app_guid(n: u64) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

/// A numbered log line of an app.
pub(super) fn log(app: &str, number: u64) -> Envelope {
    long_log(app, number, 0)
}

/// A numbered log line of at least so many bytes.
pub(super) fn long_log(app: &str, number: u64, bytes: usize) -> Envelope {
    let payload = format!("a line of the log, seq={number:09} {}", "x".repeat(bytes)).into();
    Envelope {
        timestamp: UnixNanos::now().0,
        source_id: app.to_owned(),
        instance_id: "0".to_owned(),
        message: Some(Message::Log(Log { payload, r#type: 0 })),
        tags: [("origin".to_owned(), "rep".to_owned())].into(),
        ..Envelope::default()
    }
}

/// The numbers of a container of an app; they are of a type of their own in Splunk.
pub(super) fn container(app: &str, number: u64) -> Envelope {
    let metric = |unit: &str, value| GaugeValue { unit: unit.to_owned(), value };
    // Where a load hides its numbers as well.
    let disk = ((number + 1) * 4096) as f64;
    let metrics = [
        ("cpu".to_owned(), metric("percentage", 1.5)),
        ("memory".to_owned(), metric("bytes", 1e6)),
        ("disk".to_owned(), metric("bytes", disk)),
        ("memory_quota".to_owned(), metric("bytes", 2e6)),
        ("disk_quota".to_owned(), metric("bytes", 1e12)),
    ];
    Envelope { message: Some(Message::Gauge(Gauge { metrics: metrics.into() })), ..log(app, number) }
}
