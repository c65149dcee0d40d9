//! Leave to send one request to one endpoint, and what is learned when it has ended.

use std::sync::Arc;

use tokio::time::Instant;

use super::member::{Ended, Member};
use super::{Pool, Speak};
use crate::hec::ack::lanes::Credit;
use crate::hec::endpoint::{Attempt, Request};
use crate::hec::gate::{Permit, Signal};
use crate::hec::probe::Probe;

/// See the module's documentation. Dropped without being used, or half-way, it leaves nothing
/// behind but the question whether the server took what was sent.
#[must_use]
pub(crate) struct Lease {
    pool: Arc<Pool>,
    member: Arc<Member>,
    permit: Option<Permit>,
    bytes: usize,
}

impl Lease {
    /// Takes a place at the endpoint.
    pub(super) fn new(pool: Arc<Pool>, member: Arc<Member>, permit: Permit, bytes: usize) -> Self {
        member.began(bytes, Instant::now());
        Self { pool, member, permit: Some(permit), bytes }
    }

    /// The endpoint.
    pub(crate) fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// Sends a request and says what came of it.
    pub(crate) async fn send(mut self, request: &Request) -> (Attempt, Credit) {
        let began = Instant::now();
        let tried = self.member.endpoint.attempt(request).await;
        if tried.unreachable {
            self.member.target.look_up_soon();
        }
        if matches!(tried.credit, Credit::Pending(_)) {
            self.pool.wake_upkeep();
        }
        let Some(signal) = tried.signal else { return (tried.attempt, tried.credit) };
        let ended = Ended {
            bytes: request.raw,
            began: Some(began),
            signal,
            push_back: tried.push_back,
            reopened: false,
            error: tried.error.as_deref(),
        };
        self.report(ended, Speak::Aloud);
        (tried.attempt, tried.credit)
    }

    /// Asks the endpoint whether it would take events.
    pub(crate) async fn ask(mut self, speak: Speak) -> Probe {
        let (probe, signal) = self.member.endpoint.ask().await;
        if matches!(probe, Probe::Unreachable { .. }) {
            self.member.target.look_up_soon();
        }
        let error = probe.detail();
        let push_back = matches!(probe, Probe::Busy { .. });
        self.report(Ended { bytes: 0, began: None, signal, push_back, reopened: false, error }, speak);
        probe
    }

    pub(super) fn report(&mut self, ended: Ended<'_>, speak: Speak) {
        let Some(permit) = self.permit.take() else { return };
        let reported = permit.report(ended.signal);
        let ended = Ended { reopened: reported.reopened, ..ended };
        self.member.ended(ended, Instant::now());
        if let (Some(notice), Speak::Aloud) = (reported.notice, speak) {
            let others = self.pool.others_open(&self.member);
            self.member.log(notice, others, ended.error.unwrap_or_default());
        }
        if ended.signal != Signal::Up || reported.reopened {
            self.pool.wake_upkeep();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.member.left(self.bytes);
        // Before others look.
        drop(self.permit.take());
        self.pool.wake_waiting();
    }
}
