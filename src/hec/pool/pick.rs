//! Waiting for an endpoint, and looking which it is.
//!
//! Who waits does so in turn; only the first in line looks, whenever a place was given back or a
//! gate has changed.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::{Lease, Member, MemberId, Pool, Site, State, choice};
use crate::hec::gate::Entry;

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
        let active: Vec<_> =
            entries.iter().filter(|(member, _)| member.target.site == view.active).copied().collect();
        if let Some(best) = best(&active, bytes, avoid, chance, now) {
            // The gate may have closed since it was looked at: then look again.
            return self.enter(best, bytes).map_or(Pick::Wait(Some(now)), Pick::Found);
        }
        if active.iter().any(|(_, entry)| entry.is_open()) {
            return Pick::Wait(active.iter().filter_map(|(_, entry)| entry.opens_at()).min());
        }
        // Nobody takes data: somebody has to try. The other site has to wait for its time.
        let may_try = |member: &Member| member.target.site == Site::Primary || view.again.is_none();
        let closed = || entries.iter().filter(|(member, _)| may_try(member));
        let mut ready = closed().filter(|(_, entry)| matches!(entry, Entry::Try(_) | Entry::Open));
        match ready.find_map(|(member, _)| self.enter(member, bytes)) {
            Some(lease) => Pick::Found(lease),
            None => Pick::Wait(closed().filter_map(|(_, entry)| entry.opens_at()).chain(view.again).min()),
        }
    }

    pub(super) fn enter(self: &Arc<Self>, member: &Arc<Member>, bytes: usize) -> Option<Lease> {
        let permit = member.gate.enter()?;
        Some(Lease::new(Arc::clone(self), Arc::clone(member), permit, bytes))
    }
}

/// The one to get the request, of those that take data and have room.
fn best<'a>(
    members: &[(&'a Arc<Member>, Entry)],
    bytes: usize,
    avoid: Option<MemberId>,
    chance: &mut fastrand::Rng,
    now: Instant,
) -> Option<&'a Arc<Member>> {
    let open = members.iter().filter(|(_, entry)| *entry == Entry::Open);
    let (mut able, mut figures): (Vec<_>, Vec<_>) =
        open.filter_map(|(member, _)| Some((*member, member.candidate(bytes, now)?))).unzip();
    if let Some(at) = able.iter().position(|member| Some(member.id) == avoid).filter(|_| able.len() > 1) {
        able.remove(at);
        figures.remove(at);
    }
    let at = choice::choose(&figures, chance)?;
    let sent = choice::mean_sent(&figures);
    able.iter().for_each(|member| member.caught_up(sent, now));
    able.get(at).copied()
}
