//! What a reply that took a request means for its lane, and what it counts for.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use super::{Credit, Inner, Lanes, Pass, Told};
use crate::hec::ack::desk::Ticket;
use crate::hec::ack::lane::Inserted;
use crate::hec::ack::receipt;
use crate::hec::ack::trust::Distrust;

/// What came with a reply that took a request, or its first events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply<'a> {
    pub(crate) ack_id: Option<u64>,
    /// Bytes of what was taken, or a little more.
    pub(crate) bytes: usize,
    pub(crate) set_cookies: &'a [HeaderValue],
    /// Whether the server has little room for more ids.
    pub(crate) filling: bool,
}

impl Lanes {
    /// A request, or its first events, was taken. `None`: it should have an ack id, and has none.
    pub(crate) fn taken(self: &Arc<Self>, pass: &Pass, reply: Reply<'_>, now: Instant) -> Option<Credit> {
        let mut inner = self.lock();
        inner.sticky |= !reply.set_cookies.is_empty();
        if let Some(way) = inner.way(pass.channel) {
            way.proven = true;
        }
        let Some(id) = reply.ack_id else {
            inner.acknowledges = false;
            if let Some(way) = inner.way(pass.channel) {
                way.jar.set(reply.set_cookies);
            }
            return (!self.desk.is_required()).then_some(Credit::Delivered);
        };
        inner.acknowledges = true;
        if !self.waits(&inner, reply.bytes) {
            drop(inner);
            self.desk.count(|counters| counters.batches_unconfirmed += 1);
            return Some(Credit::Unconfirmed);
        }
        let (receipt, told) = self.track(&mut inner, pass, id, reply, now);
        drop(inner);
        told.tell();
        Some(Credit::Pending(receipt))
    }

    /// Whether the fate of what was taken is waited for.
    fn waits(&self, inner: &Inner, bytes: usize) -> bool {
        if !self.desk.is_open() || self.desk.is_required() {
            return self.desk.is_open();
        }
        let shortage = self.shortage(inner, bytes);
        self.desk.note_room(shortage);
        shortage.is_none() && inner.trust.distrust().is_none()
    }

    fn track(
        &self,
        inner: &mut Inner,
        pass: &Pass,
        id: u64,
        reply: Reply<'_>,
        now: Instant,
    ) -> (receipt::Receipt, Told) {
        let timing = self.desk.config.timing;
        let (promise, receipt) = receipt::pair();
        let ticket = Ticket::new(&self.desk, promise, reply.bytes);
        let mut told = Told::default();
        let Some(way) = inner.way(pass.channel) else {
            // Not reached: a lane with a request under way stays.
            told.lost(&self.desk, [ticket]);
            return (receipt, told);
        };
        let changes = way.jar.changes(reply.set_cookies);
        way.jar.set(reply.set_cookies);
        let inserted = way.lane.insert(id, pass.floor, ticket, reply.bytes, now, &timing);
        if self.desk.is_hasty() {
            way.lane.hasten(now, &timing);
        }
        if reply.filling {
            way.lane.poll_now(now);
        }
        match inserted {
            // The ids go on, so it is the same server.
            Inserted::Pending => way.jar.mean_nothing(changes),
            Inserted::Lost(lost) => told.lost(&self.desk, lost),
            Inserted::Broke(lost) => {
                self.desk.count(|counters| counters.epoch_breaks += 1);
                tracing::warn!(
                    endpoint = self.place,
                    ack_id = id,
                    resent_batches = lost.len(),
                    cookie_changed = !changes.is_empty(),
                    next_step = "none if the indexer was restarted; else see that all requests of a channel reach one indexer",
                    "ack ids began anew: what was not confirmed is sent again, some of it twice"
                );
                told.lost(&self.desk, lost);
                told.0.extend(inner.retire(&self.desk, pass.channel, now).0);
                if let Some((why, pause)) = inner.trust.broke(&timing, now) {
                    self.say_distrust(why, pause);
                }
            }
        }
        (receipt, told)
    }

    /// One loud line.
    pub(super) fn say_distrust(&self, why: Distrust, pause: Duration) {
        let (endpoint, next_step, pause_s) = (&self.place, why.next_step(), pause.as_secs());
        let reason = why.words();
        if !self.desk.is_required() {
            tracing::error!(
                endpoint,
                reason,
                pause_s,
                next_step,
                "acks do not work here: what this endpoint takes counts as unconfirmed until they are tried again"
            );
        } else if why == Distrust::Timeouts {
            tracing::error!(
                endpoint,
                reason,
                next_step,
                "acks do not come, and HEC_ACK is required: batches are sent again and again"
            );
        }
        // What breaks is held then, which is said by the gate.
    }
}
