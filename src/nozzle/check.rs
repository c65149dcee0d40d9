//! `nozzle check`: tries everything the nozzle needs, once, and says what is wrong.
//!
//! It delivers nothing: Splunk gets an empty request, and the log stream is read under a shard id
//! of its own for a moment, so that it takes nothing from running instances.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::hec::Probe;
use crate::nozzle::app;
use crate::nozzle::config::Config;
use crate::nozzle::ledger::Ledger;
use crate::nozzle::queue;
use crate::nozzle::source::Sources;

/// How long the log stream may take to open.
const STREAM_WAIT: Duration = Duration::from_secs(15);

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
            Ok(detail) => write!(f, "ok    {:<14} {detail}", self.what),
            Err(problem) => write!(f, "FAIL  {:<14} {problem}", self.what),
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
    found("splunk", splunk(config).await);
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
        let opened = timeout(STREAM_WAIT, sources.wait_connected(1)).await.is_ok();
        stop.cancel();
        opened
    };
    let (opened, _) = tokio::join!(waiting, reading);
    let status = sources.status();
    let kind = status.kind;
    if opened {
        return Ok(format!("{kind} opens"));
    }
    let end = status.streams.first().and_then(|stream| stream.last_end.as_ref());
    Err(match end {
        Some(end) => format!("{kind}: {}; {}", end.message, end.next_step),
        None => format!("{kind}: did not open within {} s", STREAM_WAIT.as_secs()),
    })
}

async fn splunk(config: &Config) -> Result2 {
    let client = app::hec_client(config).map_err(|error| chain(&error))?;
    match client.probe().await {
        Probe::Ready => Ok(format!("{} takes the token", config.hec.url)),
        Probe::Busy { detail } => Err(format!("busy: {detail}")),
        Probe::Refused { reason, detail } => Err(format!("{detail}; {}", reason.next_step())),
        Probe::Unreachable { detail } => Err(format!("{} cannot be reached: {detail}", config.hec.url)),
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
