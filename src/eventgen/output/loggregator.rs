//! Events as envelopes of a simulated foundation, which a nozzle can subscribe to: over gRPC, over
//! the gateway, or as the v1 firehose, all with TLS on free ports of 127.0.0.1.
//!
//! The foundation starts with the first event. What a nozzle needs to find and trust it is written
//! to `loggregatorDirectory` then: `foundation.env`, `ca.crt`, `client.crt`, `client.key`. Samples
//! with the same directory share one foundation.
//!
//! Unless `loggregatorWait` is off, nothing is sent before somebody reads, nor faster than it is
//! read: what arrives is what was made. When off, it loses what the platform would lose.
//!
//! Whoever runs a foundation already may have the events there ([`given`]): then there is no
//! directory, and that one neither starts nor ends it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;

use self::envelope::{Kind, Maker};
use self::world::World;
use super::settings::Settings;
use super::{Common, lost};
use crate::causes::chain;
use crate::eventgen::config::SampleConfig;
use crate::eventgen::event::Batch;
use crate::eventgen::plugin::{MakeOutput, Nature, Output, OutputError, OutputFuture};
use crate::sim::foundation::{Connected, Foundation, FoundationConfig, RLP_SERVER_NAME};
use crate::sim::wire::Encoded;

mod envelope;
mod world;

const APPS: usize = 10;
const APPS_MAX: usize = 100_000;
/// Envelopes sent at once.
const CHUNK: usize = 100;
/// One envelope becomes at most so many frames for v1 readers.
const FRAMES_MAX: usize = 2;
/// Waiting for a reader is logged this often.
const WAIT_LOGGED: Duration = Duration::from_secs(10);

/// All foundations, by directory.
pub(super) type Foundations = Common<PathBuf, Site>;

/// The output `loggregator`.
#[derive(Debug)]
pub(super) struct Loggregator {
    site: Arc<Site>,
    maker: Maker,
    /// Events so far: the apps take turns.
    number: usize,
    envelopes: Vec<Encoded>,
}

/// One simulated foundation and who uses it.
#[derive(Debug)]
pub(super) struct Site {
    directory: PathBuf,
    world: World,
    waits: bool,
    users: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    NotStarted,
    Runs(Box<Foundation>),
    /// Somebody else's.
    Given(Arc<Foundation>),
    Failed(String),
}

/// The output `loggregator` into a foundation that somebody else runs. The apps are registered there
/// once, however many runs follow one another.
pub fn given(foundation: Arc<Foundation>) -> MakeOutput {
    let foundations = Foundations::default();
    let registered = std::sync::Mutex::new(None);
    Arc::new(move |sample| {
        let settings = Settings(sample);
        let site = foundations.get(PathBuf::new(), |directory| {
            let world = world(settings)?;
            let mut registered = registered.lock().unwrap_or_else(PoisonError::into_inner);
            if registered.as_ref() != Some(&world) {
                world.register(foundation.capi());
                *registered = Some(world.clone());
            }
            Site::new(directory, world, waits(settings)?, State::Given(Arc::clone(&foundation)))
        })?;
        Loggregator::on(site, settings).map(|output| -> Box<dyn Output> { Box::new(output) })
    })
}

impl Loggregator {
    pub(super) fn new(sample: &SampleConfig, foundations: &Foundations) -> Result<Self, String> {
        let settings = Settings(sample);
        let directory = settings.text("loggregatorDirectory").ok_or(
            "loggregatorDirectory is not set: expected where addresses and certificates of the simulated \
             foundation are to be written",
        )?;
        let directory = settings.path("loggregatorDirectory", directory)?;
        let site = foundations.get(directory, |directory| {
            Site::new(directory, world(settings)?, waits(settings)?, State::NotStarted)
        })?;
        Self::on(site, settings)
    }

    fn on(site: Arc<Site>, settings: Settings<'_>) -> Result<Self, String> {
        let kind = match settings.text("loggregatorKind").unwrap_or("log") {
            "log" => Kind::Log,
            "counter" => Kind::Counter,
            "gauge" => Kind::Gauge,
            "timer" => Kind::Timer,
            other => return Err(settings.wrong("loggregatorKind", other, "log, counter, gauge or timer")),
        };
        if site.world != world(settings)? || site.waits != waits(settings)? {
            return Err(format!(
                "loggregatorDirectory = {:?}: another stanza has the same directory: expected the same \
                 loggregatorApps, loggregatorSpaces, loggregatorOrgs and loggregatorWait",
                site.directory
            ));
        }
        site.users.fetch_add(1, Ordering::AcqRel);
        Ok(Self { site, maker: Maker::new(kind), number: 0, envelopes: Vec::new() })
    }

    async fn send(&mut self, batch: &Batch) -> Result<(), OutputError> {
        let (mut unfit, mut why) = (0, None);
        self.envelopes.clear();
        for event in batch.iter() {
            let app = self.site.world.app(self.number);
            self.number += 1;
            match self.maker.envelope(&event, app) {
                Ok(envelope) => self.envelopes.push(envelope),
                Err(error) => {
                    unfit += 1;
                    why.get_or_insert(error);
                }
            }
        }
        for chunk in self.envelopes.chunks(CHUNK) {
            let sent = self.site.publish(chunk).await;
            sent.map_err(|message| OutputError { closed: true, ..lost(batch.len(), message) })?;
        }
        match why {
            None => Ok(()),
            Some(why) => Err(lost(unfit, why)),
        }
    }
}

impl Output for Loggregator {
    fn nature(&self) -> Nature {
        Nature::Waiting
    }

    fn write<'a>(&'a mut self, batch: &'a Batch) -> OutputFuture<'a> {
        Box::pin(self.send(batch))
    }

    fn finish(&mut self) -> OutputFuture<'_> {
        Box::pin(async {
            self.site.leave().await;
            Ok(())
        })
    }
}

/// The apps that a stanza asks for.
fn world(settings: Settings<'_>) -> Result<World, String> {
    let expected = "a number from 1 to 100000";
    let count = |name: &str, default: usize| match settings.number(name, default, expected)? {
        count @ 1..=APPS_MAX => Ok(count),
        count => Err(settings.wrong(name, &count.to_string(), expected)),
    };
    let apps = count("loggregatorApps", APPS)?;
    Ok(World::new(apps, count("loggregatorSpaces", 2)?, count("loggregatorOrgs", 1)?))
}

fn waits(settings: Settings<'_>) -> Result<bool, String> {
    settings.flag("loggregatorWait", true)
}

impl Site {
    fn new(directory: &Path, world: World, waits: bool, state: State) -> Result<Self, String> {
        let directory = directory.to_owned();
        Ok(Self { directory, world, waits, users: AtomicUsize::new(0), state: Mutex::new(state) })
    }

    async fn publish(&self, envelopes: &[Encoded]) -> Result<(), String> {
        // One at a time: room that was found is not taken by another sample.
        let mut state = self.state.lock().await;
        if let State::NotStarted = *state {
            *state = self.start().await.map_or_else(State::Failed, |started| State::Runs(Box::new(started)));
        }
        let foundation = match &*state {
            State::Runs(foundation) => &**foundation,
            State::Given(foundation) => &**foundation,
            State::Failed(message) => return Err(message.clone()),
            State::NotStarted => return Err("the simulated foundation is gone".to_owned()),
        };
        if self.waits {
            self.wait_for_reader(foundation).await;
            foundation.room(CHUNK * FRAMES_MAX).await;
        }
        foundation.publish_encoded(envelopes);
        Ok(())
    }

    async fn start(&self) -> Result<Foundation, String> {
        let foundation =
            Foundation::start(FoundationConfig::default()).await.map_err(|error| chain(&error))?;
        self.world.register(foundation.capi());
        let failed =
            |error: std::io::Error| format!("loggregatorDirectory {}: {error}", self.directory.display());
        std::fs::create_dir_all(&self.directory).map_err(failed)?;
        let files = foundation.write_certificates(&self.directory).map_err(|error| chain(&error))?;
        let ca_file = absolute(&files.ca_file);
        let environment = [
            ("API_ENDPOINT", foundation.api_url()),
            ("CF_CA_FILE", ca_file.clone()),
            ("CLIENT_ID", "nozzle".to_owned()),
            ("CLIENT_SECRET", "nozzle-secret".to_owned()),
            ("RLP_ADDRESS", foundation.rlp_address().to_string()),
            ("RLP_SERVER_NAME", RLP_SERVER_NAME.to_owned()),
            ("RLP_CA_FILE", ca_file),
            ("RLP_CERT_FILE", absolute(&files.identity.cert_file)),
            ("RLP_KEY_FILE", absolute(&files.identity.key_file)),
        ];
        let lines = environment.iter().map(|(name, value)| format!("export {name}='{value}'\n"));
        // Complete or not there: whoever waits for the file may read it at once.
        let (path, partial) =
            (self.directory.join("foundation.env"), self.directory.join("foundation.env.new"));
        std::fs::write(&partial, lines.collect::<String>()).map_err(failed)?;
        std::fs::rename(&partial, &path).map_err(failed)?;
        tracing::info!(
            environment = %path.display(),
            api = foundation.api_url(),
            rlp = %foundation.rlp_address(),
            gateway = foundation.gateway_url(),
            firehose = foundation.traffic_controller_url(),
            "the simulated foundation is up"
        );
        Ok(foundation)
    }

    async fn wait_for_reader(&self, foundation: &Foundation) {
        // A stream without a shard id may be one that only watches the platform.
        let reads = |connected: &Connected| {
            connected.rlp + connected.gateway + connected.firehose + connected.app_streams > 0
        };
        while foundation.wait_connected(WAIT_LOGGED, reads).await.is_err() {
            tracing::warn!(
                environment = %self.directory.join("foundation.env").display(),
                next_step = "start a nozzle with this environment",
                "nobody reads from the simulated foundation: waiting"
            );
        }
    }

    /// The last one ends the foundation; readers get what is buffered first.
    async fn leave(&self) {
        if self.users.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let mut state = self.state.lock().await;
        if let State::Runs(foundation) = std::mem::replace(&mut *state, State::NotStarted) {
            foundation.stop().await;
        }
    }
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

#[cfg(test)]
mod tests;
