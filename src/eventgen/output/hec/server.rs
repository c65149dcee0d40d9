//! One HEC, of one server or of several that take the same token: its client, what is told while it lets us
//! wait, and why events were lost.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::{Host, Url};

use super::super::Common;
use super::super::settings::Settings;
use super::{Lost, Mode};
use crate::causes::chain;
use crate::hec::batch::Batch as Body;
use crate::hec::{Client, ClientConfig, Compression, GateState, Outcome, RetryLimit};
use crate::task::Tasks;
use crate::tls::Verification;

/// Attempts before a body is given up, over 38 s at least.
const ATTEMPTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);
/// A server that lets us wait is named this often.
const WAIT_LOGGED: Duration = Duration::from_secs(10);

/// All clients.
pub(in crate::eventgen::output) type Clients = Common<ServerKey, Server>;

/// What makes two servers the same.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::eventgen::output) struct ServerKey {
    urls: Vec<String>,
    token: String,
    verify: bool,
    ca_file: Option<PathBuf>,
    gzip: bool,
    attempts: NonZeroU32,
}

impl std::fmt::Debug for ServerKey {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerKey").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// One HEC.
#[derive(Debug)]
pub(in crate::eventgen::output) struct Server {
    urls: String,
    client: Client,
    /// From the first delivery on; nothing where there is but one address: deliveries try that by themselves.
    upkeep: OnceLock<Option<Upkeep>>,
    may_be_several: bool,
    logged: Mutex<Option<Instant>>,
}

/// Looks after the client's endpoints as long as it lives.
#[derive(Debug)]
struct Upkeep {
    _stop: DropGuard,
    _tasks: Tasks<()>,
}

impl Upkeep {
    fn start(client: &Client) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new();
        tasks.spawn("hec endpoints", client.keep_up(stop.clone()));
        Self { _stop: stop.drop_guard(), _tasks: tasks }
    }
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

impl ServerSetting {
    fn url(&self) -> String {
        let Self { protocol, address, .. } = self;
        match &self.port {
            Port::Number(port) => format!("{protocol}://{address}:{port}"),
            Port::Text(port) => format!("{protocol}://{address}:{port}"),
        }
    }
}

impl Server {
    fn new(key: &ServerKey) -> Result<Self, String> {
        let parse = |url: &String| Url::parse(url).map_err(|error| format!("{url}: {error}"));
        let urls = key.urls.iter().map(parse).collect::<Result<Vec<Url>, _>>()?;
        let is_name = |url: &Url| matches!(url.host(), Some(Host::Domain(name)) if name != "localhost");
        let may_be_several = urls.len() > 1 || urls.iter().any(is_name);
        let mut config = ClientConfig::with_urls(urls, key.token.clone().into());
        config.compression = if key.gzip { Compression::Gzip } else { Compression::None };
        config.retries = RetryLimit::Attempts(key.attempts);
        config.tls.ca_file.clone_from(&key.ca_file);
        config.tls.verification = if key.verify { Verification::Full } else { Verification::Skip };
        config.product = "eventgen".to_owned();
        let client = Client::new(config).map_err(|error| chain(&error))?;
        Ok(Self {
            urls: key.urls.join(", "),
            client,
            upkeep: OnceLock::new(),
            may_be_several,
            logged: Mutex::new(None),
        })
    }

    /// Whether requests flow.
    pub(super) fn is_open(&self) -> bool {
        self.client.status().gate == GateState::Open
    }

    /// Delivers a body; says what was lost of it. What keeps us waiting is logged meanwhile.
    pub(super) async fn deliver(&self, body: Body, stop: &CancellationToken) -> Lost {
        self.upkeep.get_or_init(|| self.may_be_several.then(|| Upkeep::start(&self.client)));
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
        tracing::warn!(url = self.urls, error, next_step, "waiting for HEC");
    }

    fn lost(&self, outcome: &Outcome) -> Lost {
        let mut lost = Lost::default();
        for refused in &outcome.rejected {
            let code = refused.code.map(|code| format!(", code {}", code.0)).unwrap_or_default();
            let message = format!(
                "{} refused events with status {}{code}: {}",
                self.urls,
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
            let message = format!("{}: given up: {why}{step}", self.urls);
            lost.add(Lost { events: given_up, message: Some(message) });
        }
        lost
    }
}

/// The servers of `httpeventServers`, each as often as it is to have its turn. Those that share the bodies
/// and take the same token are one.
pub(super) fn servers(
    settings: Settings<'_>,
    mode: Mode,
    clients: &Clients,
) -> Result<Vec<Arc<Server>>, String> {
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
    let servers: Vec<_> = servers.servers.into_iter().map(|server| (server.url(), server.key)).collect();
    let keys = servers.iter().map(|(url, token)| {
        let alike = servers.iter().filter(|(_, other)| other == token);
        ServerKey {
            urls: match mode {
                Mode::RoundRobin => alike.map(|(url, _)| url.clone()).collect(),
                Mode::Mirror => vec![url.clone()],
            },
            token: token.clone(),
            verify,
            ca_file: ca_file.clone(),
            gzip,
            attempts,
        }
    });
    keys.map(|key| clients.get(key, Server::new).map_err(|error| format!("{NAME}: {error}"))).collect()
}
