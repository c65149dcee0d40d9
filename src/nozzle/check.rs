//! `nozzle check`: tries everything the nozzle needs, once, and says what is wrong.
//!
//! It delivers nothing: Splunk gets an empty request, and the log stream is read under a shard id
//! of its own for a moment, so that it takes nothing from running instances.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::causes::chain;
use crate::hec::spool::{Disk as _, Folder, FolderError};
use crate::hec::{self, Probe, Site};
use crate::nozzle::app;
use crate::nozzle::config::Config;
use crate::nozzle::deliver::SpoolSettings;
use crate::nozzle::ledger::Ledger;
use crate::nozzle::queue;
use crate::nozzle::source::{LastEnd, Sources};

/// How long the log stream may take to open.
const STREAM_WAIT: Duration = Duration::from_secs(15);

/// How long its disk may take.
const SPOOL_WAIT: Duration = Duration::from_secs(10);

/// How often it is looked whether opening it has failed.
const STREAM_LOOK: Duration = Duration::from_millis(50);

/// What is read of the log stream meanwhile is thrown away beyond this.
const STREAM_BYTES: usize = 1 << 20;

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    what: &'static str,
    result: Result<String, String>,
}

impl Finding {
    /// Whether something is wrong.
    pub fn is_failure(&self) -> bool {
        self.result.is_err()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Ok(detail) => write!(f, "ok    {:<15} {detail}", self.what),
            Err(problem) => write!(f, "FAIL  {:<15} {problem}", self.what),
        }
    }
}

/// Runs all checks; hands over each finding as soon as it is there.
pub async fn run(config: &Config, mut found: impl FnMut(Finding)) {
    let mut found = |what, result| found(Finding { what, result });
    found("configuration", Ok("complete".to_owned()));
    let (api, token) = foundation(config).await;
    found("cloud foundry", api);
    if let Some(token) = token {
        found("token", token);
    }
    found("log stream", stream(config).await);
    if let Some(settings) = config.spool.clone() {
        // A disk that hangs is not waited for.
        let probe = timeout(SPOOL_WAIT, spawn_blocking(move || spool(&settings))).await;
        let hangs = || Err(format!("the disk did not answer within {} s", SPOOL_WAIT.as_secs()));
        found("disk spool", probe.ok().and_then(Result::ok).unwrap_or_else(hangs));
    }
    for (what, result) in splunk(config).await {
        found(what, result);
    }
}

type Result2 = Result<String, String>;

async fn foundation(config: &Config) -> (Result2, Option<Result2>) {
    let foundation = match app::foundation(config) {
        Ok(foundation) => foundation,
        Err(error) => return (Err(chain(&error)), None),
    };
    let root = match foundation.root().await {
        Ok(root) => format!("{} (UAA {})", foundation.api(), root.uaa),
        Err(error) => return (Err(chain(&error)), None),
    };
    let token = match foundation.tokens().await {
        Ok(tokens) => match tokens.token().await {
            Ok(_) => Ok(format!("granted to client {}", config.client_id)),
            Err(error) => Err(chain(&error)),
        },
        Err(error) => Err(chain(&error)),
    };
    (Ok(root), Some(token))
}

async fn stream(config: &Config) -> Result2 {
    let foundation = app::foundation(config).map_err(|error| chain(&error))?;
    let mut plan = app::source_plan(config, &foundation);
    plan.shard_id = format!("{}-check-{}", plan.shard_id, uuid::Uuid::new_v4());
    plan.streams = NonZeroUsize::MIN;
    let (sender, _frames) = queue::channel(STREAM_BYTES, Arc::new(Ledger::new()));
    let stop = CancellationToken::new();
    let (sources, reading) = Sources::start(plan, sender, stop.clone()).map_err(|error| chain(&error))?;
    let waiting = async {
        let result = tokio::select! {
            biased;
            () = sources.wait_connected(1) => Ok("opens".to_owned()),
            end = first_end(&sources) => Err(format!("{}; {}", end.message, end.next_step)),
            () = sleep(STREAM_WAIT) => Err(format!(
                "did not open within {} s; check the network and what stands between",
                STREAM_WAIT.as_secs()
            )),
        };
        stop.cancel();
        // Known only now where the choice depends on the foundation.
        let kind = sources.status().kind;
        result.map(|what| format!("{kind} {what}")).map_err(|what| format!("{kind}: {what}"))
    };
    let (result, _) = tokio::join!(waiting, reading);
    result
}

/// Waits until an attempt has failed. The nozzle would try again, but a check is to say what it found.
async fn first_end(sources: &Sources) -> LastEnd {
    let mut looks = interval(STREAM_LOOK);
    loop {
        looks.tick().await;
        let streams = sources.status().streams;
        if let Some(end) = streams.into_iter().find_map(|stream| stream.last_end) {
            return end;
        }
    }
}

/// Takes the folder for a moment, and writes to it.
fn spool(settings: &SpoolSettings) -> Result2 {
    let SpoolSettings { folder, max_bytes, persistent } = settings;
    let mut disk = Folder::open(folder).map_err(|error| match error {
        FolderError::InUse(_) => {
            format!(
                "{}; it may be the nozzle that runs: else give each one a SPOOL_DIR of its own",
                chain(&error)
            )
        }
        FolderError::Io { .. } => format!("{}; let the nozzle write to SPOOL_DIR", chain(&error)),
    })?;
    disk.probe()
        .map_err(|error| format!("{}: {error}; let the nozzle write to SPOOL_DIR", folder.display()))?;
    let lasts = if *persistent {
        "what is there at the end is sent by the next start"
    } else {
        "dies with the container: it bridges outages only; bind a volume service to keep what is there at the end"
    };
    Ok(format!("{}, {} MiB; {lasts}", folder.display(), max_bytes >> 20))
}

/// Every endpoint, one by one: one that is wrong hides behind the others.
async fn splunk(config: &Config) -> Vec<(&'static str, Result2)> {
    let client = match app::hec_client(config) {
        Ok(client) => client,
        Err(error) => return vec![("splunk", Err(chain(&error)))],
    };
    let finding = |probed: hec::Probed| {
        let what = match probed.site {
            Site::Primary => "splunk",
            Site::Failover => "splunk failover",
        };
        let next_step = probed.probe.next_step().unwrap_or_default();
        match probed.probe {
            Probe::Ready => (what, Ok(probed.to_string())),
            _ => (what, Err(format!("{probed}; {next_step}"))),
        }
    };
    client.probe().await.into_iter().map(finding).collect()
}
