//! Delivering batches: trying until every event has a verdict.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::backoff::RetryLimit;
use super::batch::Batch;
use super::classify::Taken;
use super::compress::{Compression, Compressors, Wire};
use super::config::{ClientConfig, ConfigError};
use super::endpoint::{Attempt, Request, Verdict};
use super::gate::Progress;
use super::outcome::Outcome;
use super::pool::{Lease, Member, MemberId, Pool, Slot};
use super::probe::Probed;
use super::repair::{Cutoff, Form, Part, Repair};
use super::status::Status;

/// How often a waiting delivery looks whether its limit on attempts is reached.
const PATIENCE_TICK: Duration = Duration::from_secs(1);

/// By how much others are ahead of a delivery that got the endpoint held, when that ends.
const HEAD_START: Duration = Duration::from_millis(100);

/// A client for one HEC, or for two of which the second stands in for the first. Share it: several
/// deliveries may run at once.
pub struct Client {
    pool: Arc<Pool>,
    compressors: Compressors,
    retries: RetryLimit,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The status holds no secret.
        f.debug_struct("Client").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// What endpoints said about a part in the end.
struct Settled {
    verdict: Verdict,
    /// How it was sent last.
    sent: Compression,
    by: Arc<Member>,
}

/// The endpoints that refused a part of a batch without HEC's word, each with the number of its
/// next request at that time.
type Doubts = Vec<(MemberId, u64)>;

impl Client {
    /// Makes a client; nothing is sent yet.
    ///
    /// # Errors
    /// Settings that cannot work, named without any secret.
    pub fn new(config: ClientConfig) -> Result<Self, ConfigError> {
        let pool = Arc::new(Pool::new(&config)?);
        Ok(Self { pool, compressors: Compressors::default(), retries: config.retries })
    }

    /// Looks after the endpoints until `stop` is cancelled: looks names up again, so that every
    /// address behind them gets its share, and tries endpoints that were away.
    ///
    /// At the start it asks each endpoint whether it would take events, and logs the result in one
    /// line. Whoever delivers for long should run this beside it; it is to be run once.
    pub fn keep_up(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        Arc::clone(&self.pool).keep_up(stop)
    }

    /// Waits until the endpoints could do with a batch more: for callers who have many, and had
    /// better keep those that nobody takes yet. It promises nothing.
    pub async fn slot(&self) -> Slot {
        self.pool.slot().await
    }

    /// Delivers a batch: returns when every event has a verdict, or soon after `stop`.
    ///
    /// While all endpoints are away, busy or refuse the token this waits, for ever unless the
    /// configuration limits the attempts. Cancelling `stop` gives up a request under way at
    /// once. Dropping the future leaves nothing behind either, but then nobody has counted the
    /// batch.
    pub async fn deliver(&self, batch: Batch, stop: &CancellationToken) -> Outcome {
        let mut repair = Repair::new(batch);
        let mut cutoff = Cutoff::Stopped;
        let mut doubts = Doubts::new();
        while let Some(part) = repair.next(self.pool.bytes_max()) {
            match self.settle(&repair, &part, &doubts, stop).await {
                Err(why) => {
                    repair.put_back(part);
                    cutoff = why;
                    break;
                }
                Ok(Settled { verdict, sent, by }) => {
                    if verdict.is_foreign() && !doubts.iter().any(|(member, _)| *member == by.id) {
                        doubts.push((by.id, by.endpoint.next_number()));
                    }
                    match verdict {
                        Verdict::Accepted => repair.accepted(&part),
                        Verdict::AfterOthers => {
                            repair.put_last(part);
                            self.let_others_try(&by, stop).await;
                        }
                        Verdict::Refused(refusal) => repair.refused(part, refusal, sent),
                        Verdict::TooLarge(refusal) => repair.too_large(part, refusal),
                    }
                }
            }
        }
        let outcome = repair.finish(cutoff);
        self.pool.ledger().outcome(&outcome);
        outcome
    }

    /// How the endpoints are, and what was counted. Cheap.
    pub fn status(&self) -> Status {
        self.pool.status()
    }

    /// Looks up all names and asks every endpoint, to see whether events would be taken.
    ///
    /// It goes past the gates and changes nothing about them. Bounded by the configured time-outs.
    pub async fn probe(&self) -> Vec<Probed> {
        self.pool.resolve_all().await;
        let ask = async |member: Arc<Member>| Probed::of(&member, member.endpoint.ask().await.0);
        join_all(self.pool.members().into_iter().map(ask)).await
    }

    /// Tries one part until an endpoint has a verdict on it.
    async fn settle(
        &self,
        repair: &Repair,
        part: &Part,
        doubts: &Doubts,
        stop: &CancellationToken,
    ) -> Result<Settled, Cutoff> {
        let patience = Patience::new(self.retries, self.pool.progress());
        let body = repair.bytes(part);
        let raw = body.len();
        let mut gzip = None;
        let (mut doubt, mut avoid) = (Taken::No, None);
        loop {
            let lease = self.lease(&patience, raw, avoid, stop).await?;
            let by = Arc::clone(lease.member());
            let wire = if part.form == Form::Usual && by.endpoint.compression() == Compression::Gzip {
                match &gzip {
                    Some(wire) => Wire::clone(wire),
                    None => tokio::select! {
                        biased;
                        () = stop.cancelled() => return Err(Cutoff::Stopped),
                        wire = self.compressors.gzip(body.clone()) => gzip.insert(wire).clone(),
                    },
                }
            } else {
                Wire::plain(body.clone())
            };
            let sent = wire.encoding;
            let doubted = doubts.iter().find(|(member, _)| *member == by.id).map(|(_, number)| *number);
            let request = Request { wire, raw, form: part.form, events: part.len(), doubt, doubted };
            let attempt = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Cutoff::Stopped),
                attempt = lease.send(&request) => attempt,
            };
            match attempt {
                Attempt::Verdict(verdict) => return Ok(Settled { verdict, sent, by }),
                Attempt::Again(taken) => (doubt, avoid) = (taken, Some(by.id)),
            }
        }
    }

    /// Leaves the first try after a hold to a delivery whose data may be taken: only a success
    /// shows whether a refused event, or what refused it, is to blame. Another endpoint may show it
    /// at once.
    async fn let_others_try(&self, held: &Member, stop: &CancellationToken) {
        if self.pool.others_open(held) > 0 {
            return;
        }
        let wait = held.gate.view().next_try.unwrap_or_default() + HEAD_START;
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    /// Waits for an endpoint as long as there is patience.
    async fn lease(
        &self,
        patience: &Patience,
        bytes: usize,
        avoid: Option<MemberId>,
        stop: &CancellationToken,
    ) -> Result<Lease, Cutoff> {
        // Kept while looking at the clock, and with it the place in the line.
        let lease = self.pool.lease(bytes, avoid);
        tokio::pin!(lease);
        loop {
            if patience.is_limited() && patience.exhausted(&self.pool.progress()) {
                return Err(Cutoff::Abandoned);
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Cutoff::Stopped),
                lease = &mut lease => return Ok(lease),
                () = tokio::time::sleep(PATIENCE_TICK), if patience.is_limited() => {}
            }
        }
    }
}

/// How long one part may go on failing. Time and failures are those of each endpoint, without
/// holds: it is over when every one of them has failed so often for so long.
#[derive(Clone, Debug)]
struct Patience {
    limit: RetryLimit,
    start: Vec<(MemberId, Progress)>,
}

impl Patience {
    fn new(limit: RetryLimit, start: Vec<(MemberId, Progress)>) -> Self {
        Self { limit, start }
    }

    fn is_limited(&self) -> bool {
        self.limit != RetryLimit::Unlimited
    }

    fn exhausted(&self, now: &[(MemberId, Progress)]) -> bool {
        now.iter().all(|(member, now)| {
            // One that came later has begun with nothing.
            let start = self.start.iter().find(|(known, _)| known == member);
            let start = start.map_or_else(Progress::default, |(_, progress)| *progress);
            let failures = now.failures.saturating_sub(start.failures);
            self.limit.exhausted(failures, now.running.saturating_sub(start.running))
        })
    }
}

#[cfg(test)]
mod tests;
