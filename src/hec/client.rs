//! Delivering batches: trying until every event has a verdict.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::backoff::RetryLimit;
use super::batch::Batch;
use super::classify::Taken;
use super::compress::{Compression, Wire};
use super::config::{ClientConfig, ConfigError};
use super::endpoint::{Attempt, Endpoint, Request, Verdict};
use super::gate::{Permit, Progress};
use super::outcome::Outcome;
use super::probe::Probe;
use super::repair::{Cutoff, Part, Repair};
use super::status::Status;

/// How often a waiting delivery looks whether its limit on attempts is reached.
const PATIENCE_TICK: Duration = Duration::from_secs(1);

/// How often files that may change are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// By how much others are ahead of a delivery that got the endpoint held, when that ends.
const HEAD_START: Duration = Duration::from_millis(100);

/// A client for one HEC. Share it: several deliveries may run at once.
pub struct Client {
    endpoint: Endpoint,
    retries: RetryLimit,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The status holds no secret.
        f.debug_struct("Client").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client; nothing is sent yet.
    ///
    /// # Errors
    /// Settings that cannot work, named without any secret.
    pub fn new(config: ClientConfig) -> Result<Self, ConfigError> {
        Ok(Self { endpoint: Endpoint::new(&config)?, retries: config.retries })
    }

    /// Delivers a batch: returns when every event has a verdict, or soon after `stop`.
    ///
    /// While the endpoint is away, busy or refuses the token this waits, for ever unless the
    /// configuration limits the attempts. Cancelling `stop` gives up a request under way at
    /// once. Dropping the future leaves nothing behind either, but then nobody has counted the
    /// batch.
    pub async fn deliver(&self, batch: Batch, stop: &CancellationToken) -> Outcome {
        let mut repair = Repair::new(batch);
        let mut cutoff = Cutoff::Stopped;
        let mut doubted = None;
        while let Some(part) = repair.next(self.endpoint.bytes_max()) {
            match self.settle(&repair, &part, doubted, stop).await {
                Err(why) => {
                    repair.put_back(part);
                    cutoff = why;
                    break;
                }
                Ok((verdict, sent)) => {
                    if verdict.is_foreign() {
                        doubted = doubted.or_else(|| Some(self.endpoint.next_number()));
                    }
                    match verdict {
                        Verdict::Accepted => repair.accepted(&part),
                        Verdict::AfterOthers => {
                            repair.put_last(part);
                            self.let_others_try(stop).await;
                        }
                        Verdict::Refused(refusal) => repair.refused(part, refusal, sent),
                        Verdict::TooLarge(refusal) => repair.too_large(part, refusal),
                    }
                }
            }
        }
        let outcome = repair.finish(cutoff);
        self.endpoint.settled(&outcome);
        outcome
    }

    /// Reads tokens and certificates again when their files change, until `stop`.
    pub async fn watch_files(self: Arc<Self>, stop: CancellationToken) {
        while self.endpoint.has_files() {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(WATCH_EVERY) => {}
            }
            let client = Arc::clone(&self);
            let look = tokio::task::spawn_blocking(move || client.endpoint.refresh());
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                // A look that failed says so by itself, as a panic of that thread.
                _ = look => {}
            }
        }
    }

    /// How the endpoint is, and what was counted. Cheap.
    pub fn status(&self) -> Status {
        self.endpoint.status()
    }

    /// Posts an empty request with the token, to see whether events would be taken.
    ///
    /// It goes past the gate and changes nothing. Bounded by the configured time-outs.
    pub async fn probe(&self) -> Probe {
        self.endpoint.ask().await
    }

    /// Tries one part until the endpoint has a verdict on it; also says how it was sent last.
    async fn settle(
        &self,
        repair: &Repair,
        part: &Part,
        doubted: Option<u64>,
        stop: &CancellationToken,
    ) -> Result<(Verdict, Compression), Cutoff> {
        let patience = Patience::new(self.retries, self.endpoint.gate().progress());
        let body = repair.bytes(part);
        let raw = body.len();
        let mut request = Request {
            wire: Wire::plain(body.clone()),
            raw,
            form: part.form,
            events: part.len(),
            doubt: Taken::No,
            doubted,
        };
        request.wire = tokio::select! {
            biased;
            // First of all: counting what is left at a stop must not cost compressing it.
            () = stop.cancelled() => return Err(Cutoff::Stopped),
            wire = self.endpoint.encode(body.clone(), part.form) => wire,
        };
        loop {
            if self.endpoint.outdated(&request.wire) {
                request.wire = Wire::plain(body.clone());
            }
            let permit = self.permit(&patience, stop).await?;
            let attempt = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Cutoff::Stopped),
                attempt = self.endpoint.attempt(permit, &request) => attempt,
            };
            match attempt {
                Attempt::Verdict(verdict) => return Ok((verdict, request.wire.encoding)),
                Attempt::Again(doubt) => request.doubt = doubt,
            }
        }
    }

    /// Leaves the first try after a hold to a delivery whose data may be taken: only a success
    /// shows whether a refused event, or what refused it, is to blame.
    async fn let_others_try(&self, stop: &CancellationToken) {
        let wait = self.endpoint.gate().view().next_try.unwrap_or_default() + HEAD_START;
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    /// Waits at the gate as long as there is patience.
    async fn permit(&self, patience: &Patience, stop: &CancellationToken) -> Result<Permit<'_>, Cutoff> {
        let gate = self.endpoint.gate();
        loop {
            let progress = gate.progress();
            if patience.exhausted(progress) {
                return Err(Cutoff::Abandoned);
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Cutoff::Stopped),
                permit = gate.enter() => return Ok(permit),
                () = patience.tick(progress) => {}
            }
        }
    }
}

/// How long one part may go on failing. Time and failures are the endpoint's, without holds.
#[derive(Clone, Copy, Debug)]
struct Patience {
    limit: RetryLimit,
    start: Progress,
}

impl Patience {
    fn new(limit: RetryLimit, start: Progress) -> Self {
        Self { limit, start }
    }

    fn exhausted(&self, now: Progress) -> bool {
        let failures = now.failures.saturating_sub(self.start.failures);
        self.limit.exhausted(failures, self.waited(now))
    }

    /// Waits until the limit might be reached; for ever when there is none.
    async fn tick(&self, now: Progress) {
        match self.limit.patience() {
            None => std::future::pending().await,
            // While it is held no time passes, and failures may be those of others: look again.
            Some(all) => tokio::time::sleep(all.saturating_sub(self.waited(now)).max(PATIENCE_TICK)).await,
        }
    }

    fn waited(&self, now: Progress) -> Duration {
        now.running.saturating_sub(self.start.running)
    }
}

#[cfg(test)]
mod tests;
