//! Events to Splunk's HTTP Event Collector, by the client the nozzle uses: retries, gzip,
//! verified certificates; a body that is refused costs only the events that are at fault.
//!
//! Each sample has its own servers; equal ones share a client. A few bodies are on their way at
//! once, so order between bodies is not promised, as in the original.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::encode::{Encoder, Form};
use super::Common;
use super::settings::Settings;
use crate::causes::chain;
use crate::eventgen::config::SampleConfig;
use crate::eventgen::event::Batch;
use crate::eventgen::plugin::{Nature, Output, OutputError, OutputFuture};
use crate::hec::batch::Batch as Body;
use crate::hec::{Client, ClientConfig, Compression, GateState, Outcome, RetryLimit};
use crate::task::Tasks;
use crate::tls::Verification;

mod encode;

/// Bytes of a body, unless `httpeventMaxPayloadSize` says otherwise. The original's 10,000 would
/// make thirty events a request.
const BODY_BYTES: usize = 512 * 1024;
/// Bodies of one sample on their way at once.
const BODIES_MAX: usize = 8;
/// Attempts before a body is given up, over 38 s at least.
const ATTEMPTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);
/// A server that lets us wait is named this often.
const WAIT_LOGGED: Duration = Duration::from_secs(10);

/// All clients.
pub(super) type Clients = Common<ServerKey, Server>;

/// What makes two servers the same.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ServerKey {
    url: String,
    token: String,
    verify: bool,
    ca_file: Option<PathBuf>,
    gzip: bool,
    attempts: NonZeroU32,
}

impl std::fmt::Debug for ServerKey {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerKey").field("url", &self.url).finish_non_exhaustive()
    }
}

/// One HEC.
#[derive(Debug)]
pub(super) struct Server {
    url: String,
    client: Client,
    logged: Mutex<Option<Instant>>,
}

/// `httpeventServers`.
#[derive(Deserialize)]
struct Servers {
    servers: Vec<ServerSetting>,
}

#[derive(Deserialize)]
struct ServerSetting {
    protocol: String,
    address: String,
    port: Port,
    key: String,
}

/// As a number or as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u16),
    Text(String),
}

/// Where a body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// To one server after the other.
    RoundRobin,
    /// To all of them.
    Mirror,
}

/// The outputs `httpevent` and `metric_httpevent`.
#[derive(Debug)]
pub(super) struct Hec {
    servers: Vec<Arc<Server>>,
    mode: Mode,
    next: usize,
    encoder: Encoder,
    sending: Tasks<Sent>,
    /// Events on their way, by the number of the write they came with.
    under_way: BTreeMap<u64, u64>,
    write: u64,
    is_writing: bool,
    lost: Lost,
    stop: CancellationToken,
}

/// What became of a body.
#[derive(Debug)]
struct Sent {
    write: u64,
    events: u64,
    lost: Lost,
}

/// Events that were lost since it was last told, and why the first ones were.
#[derive(Debug, Default)]
struct Lost {
    events: u64,
    message: Option<String>,
}

impl Lost {
    fn add(&mut self, other: Self) {
        self.events += other.events;
        if self.message.is_none() {
            self.message = other.message;
        }
    }
}

impl Hec {
    pub(super) fn new(sample: &SampleConfig, clients: &Clients) -> Result<Self, String> {
        Self::of(sample, clients, Form::Event)
    }

    pub(super) fn metrics(sample: &SampleConfig, clients: &Clients) -> Result<Self, String> {
        Self::of(sample, clients, Form::Metric)
    }

    fn of(sample: &SampleConfig, clients: &Clients, form: Form) -> Result<Self, String> {
        let settings = Settings(sample);
        let mode = match settings.text("httpeventOutputMode") {
            None | Some("roundrobin") => Mode::RoundRobin,
            Some("mirror") => Mode::Mirror,
            Some(other) => return Err(settings.wrong("httpeventOutputMode", other, "roundrobin or mirror")),
        };
        let expected = "a number of bytes above 0";
        let body_bytes = settings.number("httpeventMaxPayloadSize", BODY_BYTES, expected)?;
        if body_bytes == 0 {
            return Err(settings.wrong("httpeventMaxPayloadSize", "0", expected));
        }
        Ok(Self {
            servers: servers(settings, clients)?,
            mode,
            next: 0,
            encoder: Encoder::new(form, body_bytes),
            sending: Tasks::new(),
            under_way: BTreeMap::new(),
            write: 0,
            is_writing: false,
            lost: Lost::default(),
            stop: CancellationToken::new(),
        })
    }

    async fn send(&mut self, batch: &Batch) -> Result<(), OutputError> {
        self.write += 1;
        self.is_writing = true;
        let mut bodies = Vec::new();
        let unfit = self.encoder.encode(batch, &mut bodies);
        if unfit.events > 0 {
            self.lost.add(Lost { events: unfit.events, message: Some(unfit.why.to_owned()) });
        }
        for body in bodies {
            while self.sending.len() >= BODIES_MAX {
                self.settle().await;
            }
            self.start(body);
        }
        while self.settle().now_or_never() == Some(true) {}
        self.is_writing = false;
        self.tell()
    }

    fn start(&mut self, body: Body) {
        let servers = match self.mode {
            Mode::Mirror => self.servers.clone(),
            Mode::RoundRobin => vec![self.pick()],
        };
        let (write, events) = (self.write, body.len() as u64);
        *self.under_way.entry(write).or_default() += events;
        let stop = self.stop.clone();
        self.sending.spawn("delivery", async move {
            let bodies = copies(body, servers.len());
            let deliveries = servers.iter().zip(bodies).map(|(server, body)| server.deliver(body, &stop));
            // An event is lost if one of several servers does not have it.
            let lost = join_all(deliveries).await.into_iter().max_by_key(|lost| lost.events);
            Sent { write, events, lost: lost.unwrap_or_default() }
        });
    }

    /// The next server in turn; one that is away or refuses us only if all do.
    fn pick(&mut self) -> Arc<Server> {
        let count = self.servers.len();
        let turn = (0..count).map(|step| (self.next + step) % count);
        let at = turn
            .clone()
            .find(|at| self.servers[*at].client.status().gate == GateState::Open)
            .unwrap_or(self.next % count);
        self.next = at + 1;
        Arc::clone(&self.servers[at])
    }

    /// Waits for a delivery to end; false when none is under way. Cancel safe.
    async fn settle(&mut self) -> bool {
        let Some(sent) = self.sending.join_next().await else { return false };
        match sent {
            Ok((_, sent)) => {
                if let Some(events) = self.under_way.get_mut(&sent.write) {
                    *events -= sent.events;
                }
                self.under_way.retain(|_, events| *events > 0);
                self.lost.add(sent.lost);
            }
            // Which one it was is not known; its events stay under way, and are lost at the end.
            Err(error) => tracing::error!(%error, "a delivery broke"),
        }
        true
    }

    fn tell(&mut self) -> Result<(), OutputError> {
        let lost = std::mem::take(&mut self.lost);
        match lost.message {
            None => Ok(()),
            Some(message) => Err(OutputError { message, lost: lost.events, closed: false }),
        }
    }

    async fn end(&mut self) -> Result<(), OutputError> {
        while self.settle().await {}
        let broken: u64 = std::mem::take(&mut self.under_way).into_values().sum();
        if broken > 0 {
            self.lost.add(Lost { events: broken, message: Some("a delivery broke".to_owned()) });
        }
        self.tell()
    }
}

impl Output for Hec {
    fn nature(&self) -> Nature {
        Nature::Waiting
    }

    fn write<'a>(&'a mut self, batch: &'a Batch) -> OutputFuture<'a> {
        Box::pin(self.send(batch))
    }

    fn finish(&mut self) -> OutputFuture<'_> {
        self.is_writing = false;
        Box::pin(self.end())
    }

    fn abandon(&mut self) -> u64 {
        self.stop.cancel();
        let counted = |write: &u64| !(self.is_writing && *write == self.write);
        let left = self.under_way.iter().filter(|(write, _)| counted(write)).map(|(_, events)| events);
        left.sum::<u64>() + self.lost.events
    }
}

impl Server {
    fn new(key: &ServerKey) -> Result<Self, String> {
        let url = key.url.parse().map_err(|error| format!("{}: {error}", key.url))?;
        let mut config = ClientConfig::new(url, key.token.clone().into());
        config.compression = if key.gzip { Compression::Gzip } else { Compression::None };
        config.retries = RetryLimit::Attempts(key.attempts);
        config.tls.ca_file.clone_from(&key.ca_file);
        config.tls.verification = if key.verify { Verification::Full } else { Verification::Skip };
        config.product = "eventgen".to_owned();
        let client = Client::new(config).map_err(|error| chain(&error))?;
        Ok(Self { url: key.url.clone(), client, logged: Mutex::new(None) })
    }

    /// Delivers a body; says what was lost of it. What keeps us waiting is logged meanwhile.
    async fn deliver(&self, body: Body, stop: &CancellationToken) -> Lost {
        let delivery = self.client.deliver(body, stop);
        tokio::pin!(delivery);
        let outcome = loop {
            tokio::select! {
                outcome = &mut delivery => break outcome,
                () = tokio::time::sleep(WAIT_LOGGED) => self.log_wait(),
            }
        };
        self.lost(&outcome)
    }

    fn log_wait(&self) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_some_and(|at| at.elapsed() < WAIT_LOGGED) {
            return;
        }
        *logged = Some(Instant::now());
        drop(logged);
        let status = self.client.status();
        let error = status.last_error.map(|error| error.text);
        let next_step = status.next_step.unwrap_or("wait, or look at the HEC");
        tracing::warn!(url = self.url, error, next_step, "waiting for HEC");
    }

    fn lost(&self, outcome: &Outcome) -> Lost {
        let mut lost = Lost::default();
        for refused in &outcome.rejected {
            let code = refused.code.map(|code| format!(", code {}", code.0)).unwrap_or_default();
            let message = format!(
                "{} refused events with status {}{code}: {}",
                self.url,
                refused.status.as_u16(),
                refused.sample()
            );
            lost.add(Lost { events: refused.tally.events, message: Some(message) });
        }
        let given_up = outcome.abandoned.events + outcome.undelivered.events;
        if given_up > 0 {
            let status = self.client.status();
            let why = status.last_error.map_or_else(|| "no reply".to_owned(), |error| error.text);
            let step = status.next_step.map(|step| format!("; {step}")).unwrap_or_default();
            let message = format!("{}: given up: {why}{step}", self.url);
            lost.add(Lost { events: given_up, message: Some(message) });
        }
        lost
    }
}

/// A body as often as it is needed.
fn copies(body: Body, count: usize) -> Vec<Body> {
    let mut copies: Vec<Body> = (1..count)
        .map(|_| {
            let mut copy = Body::new(Arc::clone(body.index()), body.committed());
            let mut start = 0;
            for mark in body.marks() {
                copy.buffer().extend_from_slice(&body.body()[start..mark.end as usize]);
                copy.commit(mark.units);
                start = mark.end as usize;
            }
            copy
        })
        .collect();
    copies.push(body);
    copies
}

fn servers(settings: Settings<'_>, clients: &Clients) -> Result<Vec<Arc<Server>>, String> {
    const NAME: &str = "httpeventServers";
    const EXPECTED: &str = r#"{"servers": [{"protocol": "https", "address": "splunk.example.com", "port": 8088, "key": "a token"}]}"#;
    let Some(text) = settings.text(NAME) else {
        return Err(format!("{NAME} is not set: expected {EXPECTED}"));
    };
    // The text may hold tokens, so neither it nor an error that quotes it is shown.
    let servers: Servers = serde_json::from_str(text).map_err(|error| {
        settings.wrong(NAME, "…", format!("{EXPECTED}; it is not at column {}", error.column()))
    })?;
    if servers.servers.is_empty() {
        return Err(settings.wrong(NAME, "…", format!("at least one server, as in {EXPECTED}")));
    }
    let ca_file = settings.text("httpeventCaFile");
    let ca_file = ca_file.map(|file| settings.path("httpeventCaFile", file)).transpose()?;
    let verify = settings.flag("httpeventVerifyCertificate", true)?;
    let gzip = settings.flag("httpeventGzip", false)?;
    let attempts = settings.number("httpeventAllowFailureCount", ATTEMPTS, "a number of attempts above 0")?;
    let keys = servers.servers.into_iter().map(|server| {
        let port = match server.port {
            Port::Number(port) => port.to_string(),
            Port::Text(port) => port,
        };
        ServerKey {
            url: format!("{}://{}:{port}", server.protocol, server.address),
            token: server.key,
            verify,
            ca_file: ca_file.clone(),
            gzip,
            attempts,
        }
    });
    keys.map(|key| clients.get(key, Server::new).map_err(|error| format!("{NAME}: {error}"))).collect()
}

#[cfg(test)]
mod tests;
