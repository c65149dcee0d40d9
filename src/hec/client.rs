//! Delivering batches: trying until every event has a verdict.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::RetryLimit;
use super::batch::Batch;
use super::classify::Taken;
use super::compress::{Compression, Wire};
use super::config::{ClientConfig, ConfigError};
use super::endpoint::{Attempt, Endpoint, Request, Verdict};
use super::gate::{Permit, Progress};
use super::indexes::{REMEMBERED, RefusedIndexes};
use super::outcome::{Deferred, Delivery, Outcome};
use super::probe::Probe;
use super::repair::{Blame, Cutoff, IndexPolicy, OVERSIZE_BYTES, Part, Refusal, Repair};
use super::reroute::reroute;
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
    /// Where events go whose index is refused.
    fallback_index: Option<Arc<str>>,
    indexes: RefusedIndexes,
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
        Ok(Self {
            endpoint: Endpoint::new(&config)?,
            retries: config.retries,
            fallback_index: config.fallback_index.map(Arc::from),
            indexes: RefusedIndexes::default(),
        })
    }

    /// Delivers a batch: returns when every event has a verdict, or soon after `stop`.
    ///
    /// While the endpoint is away, busy or refuses the token this waits, for ever unless the
    /// configuration limits the attempts. Cancelling `stop` gives up a request under way at
    /// once. Dropping the future leaves nothing behind either, but then nobody has counted the
    /// batch.
    pub async fn deliver(&self, batch: Batch, stop: &CancellationToken) -> Outcome {
        let Delivery { mut outcome, mut deferred } = self.deliver_or_defer(batch, stop).await;
        while let Some(rest) = deferred.pop() {
            let delivery = self.resume(rest, stop).await;
            outcome.add(delivery.outcome);
            deferred.extend(delivery.deferred);
        }
        outcome
    }

    /// The same for callers with a bound on deliveries that run at once: events that cannot be judged until
    /// other data was tried are handed back. If they kept their places there might be none left for
    /// the data that would show what is to blame.
    pub async fn deliver_or_defer(&self, batch: Batch, stop: &CancellationToken) -> Delivery {
        let policy = self.index_policy(batch.index());
        self.run(Repair::new(batch, policy), None, stop).await
    }

    /// Whether deferred events can be judged now. If they cannot, it is still good to resume some while there is
    /// no other data: nobody else would find out that whatever refused them is gone.
    pub fn can_judge(&self, deferred: &Deferred) -> bool {
        self.endpoint.has_accepted_since(deferred.doubted)
    }

    /// Goes on with deferred events; they may be deferred again.
    pub async fn resume(&self, deferred: Deferred, stop: &CancellationToken) -> Delivery {
        if !self.can_judge(&deferred) {
            self.let_others_try(stop).await;
        }
        let Deferred { batch, doubted } = deferred;
        let policy = self.index_policy(batch.index());
        self.run(Repair::of_suspects(batch, policy), Some(doubted), stop).await
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

    fn index_policy(&self, index: &Arc<str>) -> IndexPolicy {
        match &self.fallback_index {
            Some(fallback) if fallback != index => IndexPolicy::HandBack,
            Some(_) | None => IndexPolicy::Reject,
        }
    }

    /// Settles what can be settled, events for the fallback index included.
    async fn run(&self, repair: Repair, doubted: Option<u64>, stop: &CancellationToken) -> Delivery {
        let mut delivery = Delivery::default();
        let misplaced = self.attend(repair, doubted, &mut delivery, stop).await;
        if let (Some((misplaced, refusal)), Some(fallback)) = (misplaced, &self.fallback_index) {
            let (rerouted, unfit) = reroute(&misplaced, fallback);
            let mut unfit = Repair::new(unfit, IndexPolicy::Reject);
            unfit.refused_index(refusal);
            delivery.outcome.add(unfit.finish(Cutoff::Stopped).0);
            let before = delivery.outcome.delivered;
            self.attend(Repair::new(rerouted, IndexPolicy::Reject), None, &mut delivery, stop).await;
            delivery.outcome.rerouted = delivery.outcome.delivered;
            delivery.outcome.rerouted -= before;
        }
        self.endpoint.settled(&delivery.outcome);
        delivery
    }

    /// Tries the parts of a batch until each has a verdict, or nothing but suspects are left. Gives back what
    /// is for another index.
    async fn attend(
        &self,
        mut repair: Repair,
        mut doubted: Option<u64>,
        delivery: &mut Delivery,
        stop: &CancellationToken,
    ) -> Option<(Batch, Refusal)> {
        let mut cutoff = Cutoff::Stopped;
        loop {
            self.skip_refused_index(&mut repair);
            let Some(part) = repair.next(self.endpoint.bytes_max().min(OVERSIZE_BYTES)) else { break };
            let (verdict, sent) = match self.settle(&repair, &part, doubted, stop).await {
                Ok(settled) => settled,
                Err(why) => {
                    repair.put_back(part);
                    cutoff = why;
                    break;
                }
            };
            if verdict.is_foreign() {
                doubted = doubted.or_else(|| Some(self.endpoint.next_number()));
            }
            match verdict {
                Verdict::Accepted => repair.accepted(&part),
                Verdict::AfterOthers => {
                    repair.put_last(part);
                    if repair.only_suspects() {
                        cutoff = Cutoff::Deferred;
                        break;
                    }
                    self.let_others_try(stop).await;
                }
                Verdict::Refused(refusal) => {
                    self.remember_index(&repair, &part, refusal);
                    repair.refused(part, refusal, sent);
                }
                Verdict::TooLarge(refusal) => repair.too_large(part, refusal),
            }
        }
        let (outcome, rest) = repair.finish(cutoff);
        delivery.outcome.add(outcome);
        let doubted = doubted.unwrap_or_default();
        delivery.deferred.extend(rest.deferred.map(|batch| Deferred { batch, doubted }));
        rest.misplaced
    }

    /// Does not send what is for an index that was refused not long ago.
    fn skip_refused_index(&self, repair: &mut Repair) {
        let known = self.indexes.find(repair.index(), &self.endpoint.token(), Instant::now());
        if let Some(refusal) = known {
            repair.refused_index(refusal);
        }
    }

    fn remember_index(&self, repair: &Repair, part: &Part, refusal: Refusal) {
        if repair.blame(part, refusal) != Blame::Whole {
            return;
        }
        let index = repair.index();
        if self.indexes.remember(index, &self.endpoint.token(), refusal, Instant::now()) {
            let fallback = self.fallback_index.as_ref().filter(|fallback| *fallback != index);
            tracing::error!(
                %index,
                fallback = fallback.map(AsRef::as_ref),
                believed_s = REMEMBERED.as_secs(),
                next_step = "create the index in Splunk, or allow it for the token, or correct who asks for it",
                "the HEC refuses an index; without a fallback its events are rejected"
            );
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
