//! Delivering batches: trying until every event has a verdict.

mod settle;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::settle::Settled;
use super::backoff::RetryLimit;
use super::batch::Batch;
use super::compress::Compressors;
use super::config::{ClientConfig, ConfigError};
use super::endpoint::Verdict;
use super::indexes::{News, REMEMBERED};
use super::outcome::{Confirmation, Deferred, Delivery, Outcome, Pending, Why};
use super::pool::{Doubts, Member, Pool, Slot};
use super::probe::Probed;
use super::repair::{Blame, Cutoff, IndexPolicy, OVERSIZE_BYTES, Part, Refusal, Repair};
use super::reroute::reroute;
use super::status::Status;

/// How often files that may change are looked at.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// By how much others are ahead of a delivery that got the endpoint held, when that ends.
const HEAD_START: Duration = Duration::from_millis(100);

/// A client for one HEC, or for two of which the second stands in for the first. Share it: several
/// deliveries may run at once.
pub struct Client {
    pool: Arc<Pool>,
    compressors: Compressors,
    retries: RetryLimit,
    /// Where events go whose index is refused.
    fallback_index: Option<Arc<str>>,
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
            pool: Arc::new(Pool::new(&config)?),
            compressors: Compressors::default(),
            retries: config.retries,
            fallback_index: config.fallback_index.map(Arc::from),
        })
    }

    /// Looks after the endpoints until `stop` is cancelled: looks names up again, so that every
    /// address behind them gets its share, and tries endpoints that were away.
    ///
    /// Acks are asked for here as well. Without it nobody asks, and what could be confirmed counts as unconfirmed; when
    /// it ends, so does what is pending.
    ///
    /// At the start it asks each endpoint whether it would take events, and logs the result in one
    /// line. Whoever delivers for long should run this beside it; it is to be run once.
    pub fn keep_up(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        // From here on, not from when it is first looked at.
        self.pool.open_acks();
        Arc::clone(&self.pool).keep_up(stop)
    }

    /// Reads tokens and certificates again when their files change, until `stop`.
    pub fn watch_files(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        watch_files(Arc::clone(&self.pool), stop)
    }

    /// Time is short, since the process is about to end: closed endpoints are tried at once, and pauses begin
    /// anew. One that named the time itself is left alone until then. Acks are asked for more often.
    pub fn hasten(&self) {
        self.pool.hasten();
    }

    /// Waits until the endpoints could do with a batch more: for callers who have many, and had
    /// better keep those that nobody takes yet. It promises nothing.
    pub async fn slot(&self) -> Slot {
        self.pool.slot().await
    }

    /// Delivers a batch: returns when every event has a verdict, acks included, or soon after `stop`.
    ///
    /// While all endpoints are away, busy or refuse the token this waits, for ever unless the
    /// configuration limits the attempts. Cancelling `stop` gives up a request under way at
    /// once. Dropping the future leaves nothing behind either, but then nobody has counted the
    /// batch.
    pub async fn deliver(&self, batch: Batch, stop: &CancellationToken) -> Outcome {
        let Delivery { mut outcome, mut deferred, mut pending, .. } =
            self.deliver_or_defer(batch, stop).await;
        loop {
            if let Some(rest) = deferred.pop() {
                let delivery = self.resume(rest, stop).await;
                outcome.add(delivery.outcome);
                deferred.extend(delivery.deferred);
                pending.extend(delivery.pending);
            } else if let Some(last) = pending.pop() {
                match self.confirmation(last, stop).await {
                    Confirmation::Settled(settled) => outcome.add(settled),
                    Confirmation::Again(again) => deferred.push(again),
                }
            } else {
                return outcome;
            }
        }
    }

    /// Waits until it is known what became of events that are pending; at a stop they are unconfirmed.
    async fn confirmation(&self, pending: Pending, stop: &CancellationToken) -> Confirmation {
        let tally = pending.tally();
        let unconfirmed = || Outcome { unconfirmed: tally, ..Outcome::default() };
        tokio::select! {
            biased;
            confirmation = pending.confirmation() => match confirmation {
                Some(confirmation) => confirmation,
                // Not reached: who has promised to tell does so.
                None => Confirmation::Settled(unconfirmed()),
            },
            () = stop.cancelled() => {
                self.pool.ledger().outcome(&unconfirmed());
                Confirmation::Settled(unconfirmed())
            }
        }
    }

    /// Nobody waits for acks any more: what is pending is unconfirmed, and what HEC still takes will be.
    pub fn give_up_acks(&self) {
        self.pool.give_up_acks();
    }

    /// The same for callers with a bound on deliveries that run at once: events that cannot be judged until
    /// other data was tried are handed back. If they kept their places there might be none left for
    /// the data that would show what is to blame. So are those that HEC has taken and that are to be confirmed, which may take minutes.
    pub async fn deliver_or_defer(&self, batch: Batch, stop: &CancellationToken) -> Delivery {
        let policy = self.index_policy(batch.index());
        self.run(Repair::new(batch, policy), Doubts::default(), stop).await
    }

    /// Whether deferred events can be judged now. If they cannot, it is still good to resume some while there is
    /// no other data: nobody else would find out that whatever refused them is gone.
    pub fn can_judge(&self, deferred: &Deferred) -> bool {
        deferred.why == Why::Unconfirmed || self.pool.can_judge(&deferred.doubts)
    }

    /// Goes on with deferred events; they may be deferred again.
    pub async fn resume(&self, deferred: Deferred, stop: &CancellationToken) -> Delivery {
        if !self.can_judge(&deferred) {
            self.let_others_try(stop).await;
        }
        let Deferred { batch, doubts, why } = deferred;
        let policy = self.index_policy(batch.index());
        let repair = match why {
            Why::Suspect => Repair::of_suspects(batch, policy),
            Why::Unconfirmed => Repair::new(batch, policy),
        };
        self.run(repair, doubts, stop).await
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

    fn index_policy(&self, index: &Arc<str>) -> IndexPolicy {
        match &self.fallback_index {
            Some(fallback) if fallback != index => IndexPolicy::HandBack,
            Some(_) | None => IndexPolicy::Reject,
        }
    }

    /// Settles what can be settled, events for the fallback index included.
    async fn run(&self, repair: Repair, doubts: Doubts, stop: &CancellationToken) -> Delivery {
        let mut delivery = Delivery::default();
        let misplaced = self.attend(repair, doubts, &mut delivery, stop).await;
        if let (Some((misplaced, refusal)), Some(fallback)) = (misplaced, &self.fallback_index) {
            let (rerouted, unfit) = reroute(&misplaced, fallback);
            let mut unfit = Repair::new(unfit, IndexPolicy::Reject);
            unfit.refused_index(refusal);
            delivery.outcome.add(unfit.finish(Cutoff::Stopped).0);
            let before = delivery.taken();
            let rerouted = Repair::new(rerouted, IndexPolicy::Reject);
            self.attend(rerouted, Doubts::default(), &mut delivery, stop).await;
            delivery.outcome.rerouted = delivery.taken();
            delivery.outcome.rerouted -= before;
        }
        self.pool.ledger().outcome(&delivery.outcome);
        delivery
    }

    /// Tries the parts of a batch until each has a verdict, or nothing but suspects are left. Gives back what
    /// is for another index.
    async fn attend(
        &self,
        mut repair: Repair,
        mut doubts: Doubts,
        delivery: &mut Delivery,
        stop: &CancellationToken,
    ) -> Option<(Batch, Refusal)> {
        let mut cutoff = Cutoff::Stopped;
        loop {
            if let Some(refusal) = self.pool.refusal_of(repair.index()) {
                // It is not sent: what is for an index that was refused not long ago.
                repair.refused_index(refusal);
            }
            let Some(part) = repair.next(OVERSIZE_BYTES) else { break };
            let Settled { part, verdict, credit, sent, by } =
                match self.settle(&mut repair, part, &doubts, stop).await {
                    Ok(settled) => settled,
                    Err(why) => {
                        cutoff = why;
                        break;
                    }
                };
            if verdict.is_foreign() {
                doubts.note(&by);
            }
            match verdict {
                Verdict::Accepted => {
                    self.pool.ledger().taken(repair.bytes(&part).len());
                    repair.accepted(&part, credit, by.id);
                }
                Verdict::AfterOthers => {
                    repair.put_last(part);
                    let judged_now = || self.pool.takes_data() && self.pool.can_judge(&doubts);
                    if repair.only_suspects() && !judged_now() {
                        cutoff = Cutoff::Deferred;
                        break;
                    }
                    self.let_others_try(stop).await;
                }
                Verdict::Refused(refusal) => {
                    self.remember_index(&repair, &part, refusal, &by);
                    repair.refused(part, refusal, sent, (credit, by.id));
                }
                Verdict::TooLarge(refusal) => repair.too_large(part, refusal),
            }
        }
        let (outcome, rest) = repair.finish(cutoff);
        delivery.outcome.add(outcome);
        delivery.undelivered.extend(rest.undelivered);
        let suspect = |batch| Deferred { batch, doubts, why: Why::Suspect };
        delivery.deferred.extend(rest.deferred.map(suspect));
        let ledger = self.pool.ledger();
        let pending = |(batch, receipt, by)| Pending { batch, receipt, by, ledger: Arc::clone(ledger) };
        delivery.pending.extend(rest.pending.into_iter().map(pending));
        rest.misplaced
    }

    fn remember_index(&self, repair: &Repair, part: &Part, refusal: Refusal, by: &Member) {
        if repair.blame(part, refusal) != Blame::Whole {
            return;
        }
        let index = repair.index();
        let shared = &by.target.shared;
        let news = shared.indexes.remember(index, &by.endpoint.token(), refusal, Instant::now());
        if news == News::No {
            return;
        }
        let fallback = self.fallback_index.as_ref().filter(|fallback| *fallback != index);
        let fate = match fallback {
            Some(_) => "the HEC refuses an index: its events go to the fallback",
            None => "the HEC refuses an index: its events are rejected",
        };
        let more = if news == News::Last { "; further indexes are not told for some minutes" } else { "" };
        tracing::error!(
            %index,
            site = shared.site.label(),
            url = by.endpoint.url(),
            fallback = fallback.map(AsRef::as_ref),
            believed_s = REMEMBERED.as_secs(),
            next_step = "create the index in Splunk, or allow it for the token, or correct who asks for it",
            "{fate}{more}"
        );
    }

    /// Leaves the first try after a hold to a delivery whose data may be taken: only a success
    /// shows whether a refused event, or what refused it, is to blame. Another endpoint may show it
    /// at once.
    async fn let_others_try(&self, stop: &CancellationToken) {
        if self.pool.takes_data() {
            return;
        }
        let wait = self.pool.next_try() + HEAD_START;
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn watch_files(pool: Arc<Pool>, stop: CancellationToken) {
    while pool.has_files() {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(WATCH_EVERY) => {}
        }
        let its_pool = Arc::clone(&pool);
        let look = tokio::task::spawn_blocking(move || its_pool.refresh());
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            // A look that failed says so by itself, as a panic of that thread.
            _ = look => {}
        }
    }
}

#[cfg(test)]
mod tests;
