//! The lanes of one endpoint: which one a request goes by, and what replies and polls say of them.
//!
//! There is one; behind a load balancer that sets cookies there are four, so that not all goes to the server one
//! cookie stands for. There, a lane is *cold* until a poll has brought its cookie: its first requests, sent together,
//! would meet several servers. A lane that is broken, or whose channel is refused, is *retired*: it gets no new requests, and is
//! polled as long as something is pending there. Fates are told after the lock is given back.

mod judge;
mod polling;
mod ways;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderValue, StatusCode};
use tokio::time::Instant;
use uuid::Uuid;

pub(crate) use self::judge::Reply;
pub(crate) use self::polling::Poll;
use super::cookies::Jar;
use super::desk::{Desk, Shortage, Ticket};
use super::lane::{Floor, Lane};
use super::receipt::{Fate, Receipt};
use super::trust::{Distrust, Trust};
use crate::hec::classify::{Disposition, Taken};
use crate::hec::hold::HoldReason;

/// The most batches pending at an endpoint.
const PENDING_MAX: usize = 2000;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Lanes {
    desk: Arc<Desk>,
    /// Of which endpoint, for the log.
    place: String,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Those in use first.
    lanes: Vec<Way>,
    trust: Trust,
    /// Whether the server is known to acknowledge.
    acknowledges: bool,
    /// Whether a load balancer sets cookies.
    sticky: bool,
    /// What is wrong with polls, as far as it was logged.
    trouble: Option<String>,
    /// When time-outs were logged last.
    timeouts_logged: Option<Instant>,
    chance: fastrand::Rng,
}

/// A lane with what its requests carry.
#[derive(Debug)]
struct Way {
    channel: Uuid,
    lane: Lane<Ticket>,
    jar: Jar,
    /// Whether a request was accepted under this channel.
    proven: bool,
    retired: bool,
    created: Instant,
}

/// A request on its way by a lane.
#[derive(Debug)]
pub(crate) struct Pass {
    lanes: Arc<Lanes>,
    pub(crate) channel: Uuid,
    pub(crate) cookies: Option<HeaderValue>,
    floor: Floor,
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(way) = self.lanes.lock().way(self.channel) {
            way.lane.ended(self.floor);
        }
    }
}

/// What HEC's taking of a request counts for.
#[derive(Debug)]
pub(crate) enum Credit {
    /// It is delivered.
    Delivered,
    /// It would have to be confirmed, and nobody waits for that.
    Unconfirmed,
    /// It is waited for.
    Pending(Receipt),
}

/// Fates to tell when the lock is given back.
#[derive(Debug, Default)]
#[must_use]
struct Told(Vec<(Ticket, Fate)>);

impl Told {
    fn lost(&mut self, desk: &Desk, tickets: impl IntoIterator<Item = Ticket>) {
        let before = self.0.len();
        self.0.extend(tickets.into_iter().map(|ticket| (ticket, Fate::Lost)));
        let lost = (self.0.len() - before) as u64;
        desk.count(|counters| counters.batches_resent += lost);
    }

    fn tell(self) {
        self.0.into_iter().for_each(|(ticket, fate)| ticket.settle(fate));
    }
}

impl Lanes {
    pub(crate) fn new(desk: Arc<Desk>, place: String, now: Instant) -> Self {
        let inner = Inner {
            lanes: vec![Way::new(&desk, now)],
            trust: Trust::new(&desk.config.timing, now),
            acknowledges: false,
            sticky: false,
            trouble: None,
            timeouts_logged: None,
            chance: fastrand::Rng::new(),
        };
        Self { desk, place, inner: Mutex::new(inner) }
    }

    /// A question was answered that names the first channel.
    pub(crate) fn note_cookies(&self, channel: Option<Uuid>, set_cookies: &[HeaderValue], now: Instant) {
        if set_cookies.is_empty() {
            return;
        }
        let mut inner = self.lock();
        inner.sticky = true;
        if let Some(way) = channel.and_then(|channel| inner.way(channel)) {
            way.jar.set(set_cookies);
        }
        inner.top_up(&self.desk, now);
    }

    /// A request is about to be sent.
    pub(crate) fn begin(self: &Arc<Self>, now: Instant) -> Pass {
        let mut inner = self.lock();
        self.recover(&mut inner, now);
        let way = inner.least_busy(&self.desk, now);
        let floor = way.lane.began();
        let (channel, cookies) = (way.channel, way.jar.header());
        Pass { lanes: Arc::clone(self), channel, cookies, floor }
    }

    /// What a question names that is no poll.
    pub(crate) fn channel(&self) -> Option<Uuid> {
        self.lock().lanes.first().map(|way| way.channel)
    }

    /// Whether data may only be sent once it is known that the server acknowledges.
    pub(crate) fn must_ask(&self) -> bool {
        self.desk.is_required() && !self.lock().acknowledges
    }

    /// Whether the server acknowledges.
    pub(crate) fn note_acknowledges(&self, acknowledges: bool) {
        self.lock().acknowledges = acknowledges;
    }

    /// Why no data should be sent at present.
    pub(crate) fn hold(&self, now: Instant) -> Option<HoldReason> {
        if !self.desk.is_required() {
            return None;
        }
        let mut inner = self.lock();
        self.recover(&mut inner, now);
        (inner.trust.distrust() == Some(Distrust::Breaks)).then_some(HoldReason::AcksScattered)
    }

    /// Whether a request may be sent: where acks are required, nothing counts without, so there has to be room to wait.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        if !self.desk.is_required() {
            return true;
        }
        let shortage = self.shortage(&self.lock(), bytes);
        self.desk.note_room(shortage);
        shortage.is_none()
    }

    /// What is lacking for so many bytes more to be pending.
    fn shortage(&self, inner: &Inner, bytes: usize) -> Option<Shortage> {
        if !self.desk.has_room(bytes) {
            return Some(Shortage::Bytes);
        }
        (inner.pending() >= PENDING_MAX).then_some(Shortage::Batches)
    }

    /// The channel sent was refused.
    pub(crate) fn refused_channel(&self, channel: Uuid, status: StatusCode, now: Instant) -> Disposition {
        let mut inner = self.lock();
        let Some(way) = inner.way(channel) else { return Disposition::FreshChannel };
        way.lane.poll_now(now);
        match (way.retired, way.proven) {
            // Another request was faster.
            (true, _) => Disposition::FreshChannel,
            (false, false) if status == StatusCode::TOO_MANY_REQUESTS => {
                Disposition::Retry { after: None, taken: Taken::No }
            }
            (false, false) => Disposition::Hold(HoldReason::Channel),
            (false, true) => {
                let told = inner.retire(&self.desk, channel, now);
                drop(inner);
                told.tell();
                Disposition::FreshChannel
            }
        }
    }

    /// Settles all that is pending, by this fate.
    pub(crate) fn give_up(&self, fate: Fate, now: Instant) {
        let timing = self.desk.config.timing;
        let mut told = Told::default();
        for way in &mut self.lock().lanes {
            told.0.extend(way.lane.give_up_all(now, &timing).into_iter().map(|ticket| (ticket, fate)));
        }
        let batches = told.0.len() as u64;
        self.desk.count(|counters| match fate {
            Fate::Delivered => counters.batches_acked += batches,
            Fate::Unconfirmed => counters.batches_unconfirmed += batches,
            Fate::Lost => counters.batches_resent += batches,
        });
        told.tell();
    }

    /// Since when the oldest batch is pending.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.lock().lanes.iter().filter_map(|way| way.lane.oldest()).min()
    }

    /// Whether acks are left alone.
    pub(crate) fn is_distrusted(&self) -> bool {
        self.lock().trust.distrust().is_some()
    }

    /// Whether nothing is pending, nor may become so.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().lanes.iter().all(|way| way.lane.len() == 0 && way.lane.under_way() == 0)
    }

    /// Trusts again when it is time, with channels that nothing is held against.
    fn recover(&self, inner: &mut Inner, now: Instant) {
        if !inner.trust.recovers(now) {
            return;
        }
        tracing::info!(endpoint = self.place, "acks of this endpoint are waited for again");
        for way in inner.lanes.iter_mut().filter(|way| !way.retired) {
            way.retired = true;
        }
        inner.top_up(&self.desk, now);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
