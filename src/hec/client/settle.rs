//! One part of a batch: trying, here or there, until an endpoint has a verdict on it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::Client;
use crate::hec::ack::lanes::Credit;
use crate::hec::backoff::RetryLimit;
use crate::hec::classify::Taken;
use crate::hec::compress::{Compression, Wire};
use crate::hec::endpoint::{Attempt, Endpoint, Request, Verdict};
use crate::hec::gate::Progress;
use crate::hec::pool::{Doubts, Lease, Member, MemberId};
use crate::hec::repair::{Cutoff, Form, Part, Repair};

/// How often a waiting delivery looks whether its limit on attempts is reached.
const PATIENCE_TICK: Duration = Duration::from_secs(1);

/// What endpoints said about a part in the end.
pub(super) struct Settled {
    /// It may be less than was asked for, if the endpoint takes no more; the rest is next.
    pub(super) part: Part,
    pub(super) verdict: Verdict,
    /// What that which was taken of it counts for.
    pub(super) credit: Credit,
    /// How it was sent last.
    pub(super) sent: Compression,
    pub(super) by: Arc<Member>,
}

/// A part as it is sent.
struct Body {
    part: Part,
    bytes: Bytes,
    /// Compressed, once that was needed.
    gzip: Option<Wire>,
}

impl Body {
    fn new(part: Part, repair: &Repair) -> Self {
        Self { bytes: repair.bytes(&part), part, gzip: None }
    }

    /// No larger than the endpoint is known to consider.
    fn fit(self, endpoint: &Endpoint, repair: &mut Repair) -> Self {
        if self.bytes.len() <= endpoint.bytes_max() || self.part.len() <= 1 {
            return self;
        }
        let part = repair.cut(self.part, endpoint.bytes_max());
        Self::new(part, repair)
    }
}

impl Client {
    /// Tries one part until an endpoint has a verdict on it; else the part is put back.
    pub(super) async fn settle(
        &self,
        repair: &mut Repair,
        part: Part,
        doubts: &Doubts,
        stop: &CancellationToken,
    ) -> Result<Settled, Cutoff> {
        let patience = Patience::new(self.retries, self.pool.progress());
        let mut body = Body::new(part, repair);
        let (mut doubt, mut avoid) = (Taken::No, doubts.avoid());
        let why = loop {
            let lease = match self.lease(&patience, body.bytes.len(), avoid, stop).await {
                Ok(lease) => lease,
                Err(why) => break why,
            };
            let by = Arc::clone(lease.member());
            body = body.fit(&by.endpoint, repair);
            let exchange = async {
                let wire = self.encode(&mut body, &by.endpoint).await;
                let sent = wire.encoding;
                let request = Request {
                    wire,
                    raw: body.bytes.len(),
                    form: body.part.form,
                    events: body.part.len(),
                    doubt,
                    doubted: doubts.of(by.id),
                };
                (lease.send(&request).await, sent)
            };
            let ((attempt, credit), sent) = tokio::select! {
                biased;
                // First of all: counting what is left at a stop must not cost compressing it.
                () = stop.cancelled() => break Cutoff::Stopped,
                done = exchange => done,
            };
            match attempt {
                Attempt::Verdict(verdict) => {
                    return Ok(Settled { part: body.part, verdict, credit, sent, by });
                }
                Attempt::Again(taken) => (doubt, avoid) = (taken, Some(by.id)),
            }
        };
        repair.put_back(body.part);
        Err(why)
    }

    /// The body as the endpoint takes it.
    async fn encode(&self, body: &mut Body, endpoint: &Endpoint) -> Wire {
        if body.part.form != Form::Usual || endpoint.compression() == Compression::None {
            return Wire::plain(body.bytes.clone());
        }
        match &body.gzip {
            Some(wire) => wire.clone(),
            None => body.gzip.insert(self.compressors.gzip(body.bytes.clone()).await).clone(),
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
