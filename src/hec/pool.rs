//! The endpoints of all sites: which of them gets the next request, and who waits until one can.
//!
//! ```text
//! urls ─► target ─► resolve ─► members: endpoint, gate, load, concurrency
//!                                 │
//!   deliveries wait in turn ─► failover: which site ─► choice: which member ─► lease
//!                                 ▲
//!                upkeep: looks names up again, tries closed gates ─┘
//! ```
//!
//! - A URL has one member for each address of its name; until those are known, behind a proxy, and
//!   where the host is an address, it has one that connects by the URL. So there is always one.
//! - A request goes to a member that takes data and has room, if there is any at the active site.
//!   It never waits for another one meanwhile.
//! - While no member takes data, one request at a time tries each that has had its pause.
//! - Any number of members may be left out at once. Some balancers use members that fail rather than put all
//!   load on few; here the few are spared by their limits on requests, data can wait, and what fails would
//!   only send it back.
//! - Whoever waits is served in the order of coming.
//! - A member that is gone is still asked for what it has taken and not confirmed.
//!
//! Everything works without `Client::keep_up`, but then names are looked up by the HTTP library
//! alone, and an endpoint that is closed is only tried by requests that have no other.
//!
//! Not responsible for what is in a request, nor for giving up on it.

mod acks;
mod choice;
mod concurrency;
mod doubts;
mod failover;
mod lease;
mod load;
mod member;
mod pick;
pub mod resolve;
mod shared;
mod slot;
mod target;
mod upkeep;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

pub(crate) use self::doubts::Doubts;
pub(crate) use self::failover::FAILOVER_AFTER;
pub use self::failover::Site;
pub(crate) use self::lease::Lease;
pub(crate) use self::member::{Member, MemberId};
pub use self::slot::Slot;
use super::ack::desk::Desk;
use super::classify::ResponseMode;
use super::compress::Compression;
use super::config::{ClientConfig, ConfigError, event_url};
use super::endpoint::Endpoint;
use super::gate::{Entry, Progress};
use super::repair::Refusal;
use super::status::{Ledger, Status};
use super::transport::Transport;
use crate::task::Tasks;
use failover::Failover;
use shared::Shared;
use slot::Slots;
use target::Target;

/// See the module's documentation.
pub(crate) struct Pool {
    /// One for each site.
    shares: Vec<Arc<Shared>>,
    targets: Vec<Arc<Target>>,
    mode: ResponseMode,
    compression: Compression,
    ledger: Arc<Ledger>,
    desk: Arc<Desk>,
    state: Mutex<State>,
    /// Who waits for an endpoint waits in turn.
    turnstile: Semaphore,
    slots: Slots,
    /// Told when a place was given back, or the members or their gates have changed.
    moved: Arc<Notify>,
    /// Told when the upkeep may have something to do.
    upkeep: Notify,
}

struct State {
    members: Vec<Arc<Member>>,
    /// Those that are gone, and have taken something that is not confirmed yet.
    leaving: Vec<Arc<Member>>,
    next_id: u64,
    failover: Failover,
    chance: fastrand::Rng,
}

/// Whether what became of an endpoint is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speak {
    /// As it happens.
    Aloud,
    /// Somebody else says it.
    NotNow,
}

impl Pool {
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, ConfigError> {
        let now = Instant::now();
        let (mut targets, mut shares) = (Vec::new(), Vec::new());
        let mut sites = vec![(Site::Primary, &config.urls, &config.token)];
        sites.extend(config.failover.as_ref().map(|site| (Site::Failover, &site.urls, &site.token)));
        for (site, urls, token) in sites {
            let urls: Vec<_> = urls.iter().map(event_url).collect::<Result<_, _>>()?;
            if urls.is_empty() {
                return Err(ConfigError::NoUrl { site });
            }
            let shared = Arc::new(Shared::new(site, config, token, &urls)?);
            let target = |url| Arc::new(Target::new(url, Arc::clone(&shared), now));
            targets.extend(urls.into_iter().map(target));
            shares.push(shared);
        }
        let pool = Self {
            shares,
            targets,
            mode: config.response,
            compression: config.compression,
            ledger: Arc::default(),
            desk: Arc::new(Desk::new(config.acks)),
            state: Mutex::new(State {
                members: Vec::new(),
                leaving: Vec::new(),
                next_id: 0,
                failover: Failover::new(config.failover_after),
                chance: fastrand::Rng::new(),
            }),
            turnstile: Semaphore::new(1),
            slots: Slots::default(),
            moved: Arc::default(),
            upkeep: Notify::new(),
        };
        {
            let mut state = pool.state();
            for target in &pool.targets {
                let member = pool.member(&mut state.next_id, target, None)?;
                state.members.push(Arc::new(member));
            }
        }
        Ok(pool)
    }

    /// Where the present members differ from the addresses of a name: adds and drains.
    ///
    /// A member that is gone gets no more requests; those under way go on.
    pub(crate) fn apply(&self, target: &Arc<Target>, addresses: &[SocketAddr]) {
        let first = target.answered();
        let now = Instant::now();
        let mut state = self.state();
        let of_target = |member: &Member| Arc::ptr_eq(&member.target, target);
        let known: Vec<_> = state.members.iter().filter(|member| of_target(member)).cloned().collect();
        let is_known = |address| known.iter().any(|member| member.endpoint.address() == Some(address));
        let mut added = Vec::new();
        for &address in addresses.iter().filter(|address| !is_known(**address)) {
            match self.member(&mut state.next_id, target, Some(address)) {
                Ok(member) => {
                    if !first {
                        member.restart(now);
                    }
                    added.push(Arc::new(member));
                }
                Err(error) => tracing::warn!(%address, %error, "an address of the HEC cannot be used"),
            }
        }
        let stays =
            |member: &Member| member.endpoint.address().is_some_and(|address| addresses.contains(&address));
        let removed: Vec<_> = known.iter().filter(|member| !stays(member)).collect();
        if added.len() + known.len() == removed.len() {
            return;
        }
        let shown = |members: &[&Arc<Member>]| -> Vec<_> {
            members.iter().filter_map(|member| member.endpoint.address()).map(|it| it.to_string()).collect()
        };
        if !first && added.len() + removed.len() > 0 {
            let (added, removed) = (shown(&added.iter().collect::<Vec<_>>()), shown(&removed));
            tracing::info!(url = %target.url, ?added, ?removed, "the name of the HEC has other addresses");
        }
        let waits = |member: &&Arc<Member>| member.endpoint.lanes().is_some_and(|lanes| !lanes.is_idle());
        let leaving: Vec<_> = removed.iter().copied().filter(waits).cloned().collect();
        state.leaving.extend(leaving);
        state.members.retain(|member| !of_target(member) || stays(member));
        state.members.extend(added);
        drop(state);
        self.wake_waiting();
        self.wake_upkeep();
    }

    /// Every member's failures and time, for those who count.
    pub(crate) fn progress(&self) -> Vec<(MemberId, Progress)> {
        self.state().members.iter().map(|member| (member.id, member.gate.progress())).collect()
    }

    /// Whether anything comes from a file that may change.
    pub(crate) fn has_files(&self) -> bool {
        self.shares.iter().any(|shared| shared.has_files())
    }

    /// Reads again what comes from files. What changed is used from now on, and every hold of the
    /// site is put to the test at once. Not for async threads.
    pub(crate) fn refresh(&self) {
        for shared in self.shares.iter().filter(|shared| shared.refresh()) {
            let members = self.members();
            members.iter().filter(|it| it.target.site == shared.site).for_each(|it| it.gate.nudge());
            self.wake_waiting();
            self.wake_upkeep();
        }
    }

    /// Time is short: what is closed is tried now, unless the server named the time.
    pub(crate) fn hasten(&self) {
        self.members().iter().for_each(|member| member.gate.hasten());
        self.hasten_acks();
        self.wake_waiting();
        self.wake_upkeep();
    }

    /// How an index was refused not long ago, if it was where events go now.
    pub(crate) fn refusal_of(&self, index: &str) -> Option<Refusal> {
        let now = Instant::now();
        let member = {
            let mut state = self.state();
            let active = state.look(now).active;
            let of_site = || state.members.iter().filter(|member| member.target.site == active);
            of_site().find(|member| member.gate.entry().is_open()).or_else(|| of_site().next()).cloned()
        }?;
        member.target.shared.indexes.find(index, &member.endpoint.token(), now)
    }

    /// Whether events that were refused without HEC's word have somebody to judge them: an endpoint
    /// that has taken something since, or one that has not seen them.
    pub(crate) fn can_judge(&self, doubts: &Doubts) -> bool {
        let (members, active) = self.members_and_active();
        members.iter().any(|member| match doubts.of(member.id) {
            Some(number) => member.endpoint.has_accepted_since(number),
            None => member.target.site == active && member.gate.entry().is_open(),
        })
    }

    /// Whether an endpoint takes data where events go now.
    pub(crate) fn takes_data(&self) -> bool {
        let (members, active) = self.members_and_active();
        members.iter().any(|member| member.target.site == active && member.gate.entry().is_open())
    }

    /// How long until the next closed endpoint may be tried; nothing if none is closed.
    pub(crate) fn next_try(&self) -> Duration {
        let members = self.members();
        members.iter().filter_map(|member| member.gate.view().next_try).min().unwrap_or_default()
    }

    /// How many others of the same site take data.
    pub(crate) fn others_open(&self, member: &Member) -> usize {
        let other = |one: &&Arc<Member>| one.id != member.id && one.target.site == member.target.site;
        self.state().members.iter().filter(other).filter(|one| one.gate.entry().is_open()).count()
    }

    /// What was counted.
    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    pub(crate) fn status(&self) -> Status {
        let (members, active) = self.members_and_active();
        let endpoints = members.iter().map(|member| member.status()).collect();
        self.ledger.status(active, endpoints, self.ack_status())
    }

    /// The members as they are now.
    pub(crate) fn members(&self) -> Vec<Arc<Member>> {
        self.state().members.clone()
    }

    fn members_and_active(&self) -> (Vec<Arc<Member>>, Site) {
        let mut state = self.state();
        (state.members.clone(), state.look(Instant::now()).active)
    }

    /// Looks up the names of all URLs.
    pub(crate) async fn resolve_all(&self) {
        join_all(self.targets.iter().map(|target| self.resolve(target))).await;
    }

    /// Looks up the name of a URL, if it has one; what there is stays when there is no answer.
    async fn resolve(&self, target: &Arc<Target>) {
        let Some((host, port)) = &target.name else { return };
        target.asked(Instant::now());
        match resolve::ask(target.shared.settings.resolver(), host, *port).await {
            Ok(found) => {
                if target.left_out(found.left_out) {
                    tracing::info!(
                        url = %target.url,
                        used = found.addresses.len(),
                        left_out = found.left_out,
                        "the name of the HEC has more addresses than are used; each instance uses others"
                    );
                }
                self.apply(target, &found.addresses);
            }
            Err(error) if target.failed(Instant::now()) => tracing::warn!(
                url = %target.url,
                %error,
                next_step = "check the name in the URL, and the DNS servers; addresses known so far are used",
                "cannot look up the name of the HEC"
            ),
            Err(_) => {}
        }
    }

    fn wake_waiting(&self) {
        self.moved.notify_waiters();
    }

    fn wake_upkeep(&self) {
        self.upkeep.notify_one();
    }

    fn member(
        &self,
        next_id: &mut u64,
        target: &Arc<Target>,
        address: Option<SocketAddr>,
    ) -> Result<Member, ConfigError> {
        let transport = Transport::new(&target.shared.settings, target.url.clone(), address)?;
        let (credentials, ledger) = (Arc::clone(&target.shared.credentials), Arc::clone(&self.ledger));
        let endpoint = Endpoint::new(transport, self.mode, self.compression, credentials, ledger, &self.desk);
        let id = MemberId(*next_id);
        *next_id += 1;
        Ok(Member::new(id, Arc::clone(target), endpoint, Instant::now()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Looks at the sites; says in the log when events go to another one.
    fn look(&mut self, now: Instant) -> failover::View {
        let open = |site| {
            let of_site = |member: &&Arc<Member>| member.target.site == site;
            self.members.iter().filter(of_site).any(|member| member.gate.entry().is_open())
        };
        let (primary, secondary) = (open(Site::Primary), open(Site::Failover));
        let away_s = Duration::as_secs(&self.failover.away(now));
        let view = self.failover.look(primary, secondary, now);
        match view.active {
            Site::Failover if view.changed => tracing::warn!(
                away_s,
                next_step = "bring the first site back; events return to it by themselves",
                "no endpoint of SPLUNK_HOST takes data: events go to SPLUNK_FAILOVER_HOST"
            ),
            Site::Primary if view.changed => {
                tracing::info!(away_s, "SPLUNK_HOST takes data again: events go there");
            }
            _ => {}
        }
        view
    }
}

#[cfg(test)]
mod tests;
