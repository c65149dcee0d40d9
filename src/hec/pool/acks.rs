//! Acknowledgement for the pool: who is asked when, and the end of it.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Member, Pool, Tasks};
use crate::hec::ack::desk::AckStatus;
use crate::hec::ack::receipt::Fate;

/// Somebody asks for acks as long as this exists.
pub(super) struct Awaiting(Arc<Pool>);

impl Drop for Awaiting {
    fn drop(&mut self) {
        self.0.give_up_acks();
    }
}

impl Pool {
    /// Somebody asks for acks from now on.
    pub(crate) fn open_acks(&self) {
        self.desk.open();
    }

    /// To be kept while acks are asked for.
    pub(super) fn await_acks(self: &Arc<Self>) -> Awaiting {
        Awaiting(Arc::clone(self))
    }

    /// Nothing more will come: the last polls are to be quick.
    pub(super) fn hasten_acks(&self) {
        self.desk.hasten();
        let now = Instant::now();
        for member in self.those_asked() {
            member.endpoint.lanes().into_iter().for_each(|lanes| lanes.hasten(now));
        }
    }

    /// See [`Client::give_up_acks`](crate::hec::Client::give_up_acks).
    pub(crate) fn give_up_acks(&self) {
        // First: what is taken from now on is not waited for.
        self.desk.close();
        let now = Instant::now();
        for member in self.those_asked() {
            member.endpoint.lanes().into_iter().for_each(|lanes| lanes.give_up(Fate::Unconfirmed, now));
        }
    }

    /// Gives up what is too old and starts the polls that are due; says when to look again.
    pub(super) fn start_polls(self: &Arc<Self>, jobs: &mut Tasks<()>, now: Instant) -> Option<Instant> {
        let mut next = None;
        for (member, leaving) in self.those_left() {
            let Some(lanes) = member.endpoint.lanes() else { continue };
            if lanes.expire(now) {
                self.wake_waiting();
            }
            for poll in lanes.begin_polls(now) {
                let (pool, member) = (Arc::clone(self), Arc::clone(&member));
                jobs.spawn("poll for acks", async move {
                    member.endpoint.poll(poll, leaving).await;
                    // There may be room again.
                    pool.wake_waiting();
                });
            }
            next = next.into_iter().chain(lanes.due()).min();
        }
        next
    }

    pub(super) fn ack_status(&self) -> AckStatus {
        let members = self.those_asked();
        let lanes = || members.iter().filter_map(|member| member.endpoint.lanes());
        let oldest = lanes().filter_map(|lanes| lanes.oldest()).min();
        let distrusted = lanes().filter(|lanes| lanes.is_distrusted()).count();
        self.desk.status(oldest, distrusted)
    }

    /// All members, those that are gone and have something pending as well.
    fn those_asked(&self) -> Vec<Arc<Member>> {
        let state = self.state();
        state.members.iter().chain(&state.leaving).cloned().collect()
    }

    /// The same, each with whether it is gone; those with nothing left are forgotten.
    fn those_left(&self) -> Vec<(Arc<Member>, bool)> {
        let mut state = self.state();
        state.leaving.retain(|member| member.endpoint.lanes().is_some_and(|lanes| !lanes.is_idle()));
        let staying = state.members.iter().map(|member| (Arc::clone(member), false));
        staying.chain(state.leaving.iter().map(|member| (Arc::clone(member), true))).collect()
    }
}
