//! Waiting for an endpoint, and looking which it is.
//!
//! Who waits does so in turn; only the first in line looks, whenever a place was given back or a
//! gate has changed.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::super::gate::Entry;
use super::{Lease, Member, MemberId, Pool, Site, State, choice};

/// What comes of looking for an endpoint.
enum Pick {
    Found(Lease),
    /// None can take the request; look again then, or when something has moved.
    Wait(Option<Instant>),
}

impl Pool {
    /// Waits for an endpoint that can take a request of so many bytes, preferably another one than
    /// `avoid`.
    ///
    /// Cancel safe; but who asks anew comes last.
    pub(crate) async fn lease(self: &Arc<Self>, bytes: usize, avoid: Option<MemberId>) -> Lease {
        // It is never closed.
        let _turn = self.turnstile.acquire().await;
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // From here on no change is missed.
            moved.as_mut().enable();
            match self.pick(bytes, avoid) {
                Pick::Found(lease) => return lease,
                Pick::Wait(Some(until)) => tokio::select! {
                    () = sleep_until(until) => {}
                    () = moved => {}
                },
                Pick::Wait(None) => moved.await,
            }
        }
    }

    fn pick(self: &Arc<Self>, bytes: usize, avoid: Option<MemberId>) -> Pick {
        let now = Instant::now();
        let mut state = self.state();
        let view = state.look(now);
        let State { members, chance, .. } = &mut *state;
        let entries: Vec<_> = members.iter().map(|member| (member, member.gate.entry())).collect();
        let at_site = |member: &Member| member.target.site == view.active;
        let mut candidates = Vec::new();
        for (member, entry) in &entries {
            if *entry == Entry::Open && at_site(member) {
                candidates.extend(member.candidate(bytes, now).map(|candidate| (*member, candidate)));
            }
        }
        if candidates.len() > 1 {
            candidates.retain(|(member, _)| Some(member.id) != avoid);
        }
        let (open, figures): (Vec<_>, Vec<_>) = candidates.into_iter().unzip();
        if let Some(at) = choice::choose(&figures, chance) {
            let sent = choice::mean_sent(&figures);
            open.iter().for_each(|member| member.caught_up(sent, now));
            // The gate may have closed since it was looked at; then it says so to who waits.
            let permit = open[at].gate.enter();
            let lease = |permit| Lease::new(Arc::clone(self), Arc::clone(open[at]), permit, bytes);
            return permit.map_or(Pick::Wait(Some(now)), |permit| Pick::Found(lease(permit)));
        }
        if entries.iter().any(|(member, entry)| entry.is_open() && at_site(member)) {
            let soon =
                entries.iter().filter(|(member, _)| at_site(member)).filter_map(|(_, entry)| match entry {
                    Entry::OpenAt(when) => Some(*when),
                    _ => None,
                });
            return Pick::Wait(soon.min());
        }
        // Nobody takes data: somebody has to try.
        let mut when = view.again;
        for (member, entry) in &entries {
            if member.target.site == Site::Failover && view.again.is_some() {
                continue;
            }
            match entry {
                Entry::Try(_) | Entry::Open => {
                    if let Some(permit) = member.gate.enter() {
                        let (pool, member) = (Arc::clone(self), Arc::clone(member));
                        return Pick::Found(Lease::new(pool, member, permit, bytes));
                    }
                }
                Entry::ClosedUntil(until) | Entry::OpenAt(until) => {
                    when = Some(when.map_or(*until, |when| when.min(*until)));
                }
                Entry::Trying => {}
            }
        }
        Pick::Wait(when)
    }
}
