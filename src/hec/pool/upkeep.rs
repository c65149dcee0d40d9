//! What is done for the pool beside deliveries: names are looked up, and closed gates tried.
//!
//! A closed endpoint is tried with a question instead of data once its pause is over, so that no
//! batch waits for one that hangs while others would take it, and so that it is known to be back
//! even when there is nothing to send. Deliveries that have no other endpoint come first: they have
//! [`HEAD_START`].
//!
//! Endpoints that have taken something are asked whether it is indexed; see `acks`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Entry, Lease, Member, Pool, Speak, Tasks};
use crate::hec::probe::{Probe, Probed};

/// How much earlier than a question a request with data may try a closed endpoint.
const HEAD_START: Duration = Duration::from_secs(1);

/// The longest sleep: nothing is known to be due.
const IDLE: Duration = Duration::from_mins(1);

impl Pool {
    /// Looks after the endpoints until `stop` is cancelled. At the start it asks each of them
    /// whether it would take events, and says the result in one line.
    ///
    /// # Panics
    /// If one of its tasks does.
    pub(crate) async fn keep_up(self: Arc<Self>, stop: CancellationToken) {
        let _waiting = self.await_acks();
        let mut jobs = Tasks::new();
        jobs.spawn("first look", Arc::clone(&self).first_look());
        while !stop.is_cancelled() {
            let next = self.start_due(&mut jobs);
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                joined = jobs.join_next(), if !jobs.is_empty() => if let Some(Err(error)) = joined {
                    resume(error);
                },
                () = sleep_until(next) => {}
                () = self.upkeep.notified() => {}
            }
        }
    }

    /// Starts what is due; says when to look again. A member has one task at most, and a target
    /// one every few seconds, each of which ends after a few more.
    fn start_due(self: &Arc<Self>, jobs: &mut Tasks<()>) -> Instant {
        let now = Instant::now();
        let mut next = now + IDLE;
        for target in &self.targets {
            match target.due() {
                Some(due) if due <= now => {
                    target.asked(now);
                    let (pool, target) = (Arc::clone(self), Arc::clone(target));
                    jobs.spawn("name of the hec", async move { pool.resolve(&target).await });
                }
                Some(due) => next = next.min(due),
                None => {}
            }
        }
        for member in self.members() {
            let due = match member.gate.entry() {
                Entry::Try(since) => since + HEAD_START,
                Entry::ClosedUntil(until) => until + HEAD_START,
                Entry::Open | Entry::OpenAt(_) | Entry::Trying => continue,
            };
            if due > now {
                next = next.min(due);
            } else if let Some(lease) = self.lease_of(&member) {
                jobs.spawn("trial of an endpoint", async move { drop(lease.ask(Speak::Aloud).await) });
            }
        }
        self.start_polls(jobs, now).map_or(next, |due| next.min(due))
    }

    /// Asks all endpoints at the start, and tells the operator what they said.
    async fn first_look(self: Arc<Self>) {
        self.resolve_all().await;
        let members = self.members();
        let probes = members.iter().map(|member| async {
            match self.lease_of(member) {
                Some(lease) => lease.ask(Speak::NotNow).await,
                // A delivery found out before.
                None => member.endpoint.ask().await.0,
            }
        });
        let probes: Vec<_> = join_all(probes).await;
        let ready = probes.iter().filter(|probe| **probe == Probe::Ready).count();
        let endpoints = probes.len();
        // The first of those that only an operator can cure, if there is one.
        let rank = |probe: &Probe| match probe {
            Probe::Refused { .. } => 0,
            Probe::Busy { .. } | Probe::Unreachable { .. } => 1,
            Probe::Ready => 2,
        };
        let worst = members.iter().zip(&probes).min_by_key(|(_, probe)| rank(probe));
        let Some((member, probe)) = worst.filter(|(_, probe)| **probe != Probe::Ready) else {
            return tracing::info!(endpoints, "the HEC is there and takes the token");
        };
        let (next_step, error) = (probe.next_step(), Probed::of(member, probe.clone()).to_string());
        let message = match ready {
            0 => "the HEC takes no events yet; they are kept",
            _ => "not every endpoint of the HEC takes events; the others get them",
        };
        if matches!(probe, Probe::Refused { .. }) {
            tracing::error!(endpoints, ready, next_step, error, "{message}");
        } else {
            tracing::warn!(endpoints, ready, next_step, error, "{message}");
        }
    }

    fn lease_of(self: &Arc<Self>, member: &Arc<Member>) -> Option<Lease> {
        // Looking and entering are one step for all who use the gates.
        let _state = self.state();
        self.enter(member, 0)
    }
}

fn resume(error: tokio::task::JoinError) {
    if error.is_panic() {
        std::panic::resume_unwind(error.into_panic());
    }
}
