//! The gate of one endpoint: closed while it is away, busy or held.
//!
//! The shell around [`Breaker`], which decides: a clock and a lock. A request that is let through
//! has a [`Permit`] and says on it what came of it; a permit dropped without a word (its sender was
//! cancelled) gives the place of the probe back.
//!
//! Not responsible for waiting, nor for how many requests run at once while the gate is open: the
//! pool is.

mod breaker;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use self::breaker::{Admission, Breaker, Ticket};
pub(crate) use self::breaker::{Entry, Notice, Progress, Signal};
use super::hold::HoldReason;

/// Whether an endpoint takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum GateState {
    /// Requests flow.
    Open,
    /// It is away or busy; after a pause one request tries.
    Paused,
    /// It refuses for a reason only an operator can remove; all data is kept.
    Held {
        /// Why.
        reason: HoldReason,
    },
}

/// What an operator can do about an endpoint that is away.
pub(crate) const AWAY_NEXT_STEP: &str = "check the URL (host, port, http or https), that firewalls and security groups let requests through, and that the HEC is up";

/// What an operator can do about one that is there and turns requests away.
pub(crate) const BUSY_NEXT_STEP: &str = "the HEC is there but has no room, or is being shut down: look for blocked queues of its indexers, or into the log of the gateway in front of it; add HEC capacity if it stays so";

impl GateState {
    /// What an operator can do about it; nothing while requests flow.
    pub fn next_step(self) -> Option<&'static str> {
        match self {
            Self::Open => None,
            Self::Paused => Some(AWAY_NEXT_STEP),
            Self::Held { reason } => Some(reason.next_step()),
        }
    }
}

/// The gate as it was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GateView {
    pub(crate) state: GateState,
    /// How long it has been so.
    pub(crate) lasting: Duration,
    /// Time until the next try, when it is closed.
    pub(crate) next_try: Option<Duration>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Gate {
    breaker: Mutex<Breaker>,
}

/// What a report changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reported {
    /// Something worth a log line.
    pub(crate) notice: Option<Notice>,
    /// Whether the gate was closed and is open.
    pub(crate) reopened: bool,
}

impl Gate {
    pub(crate) fn new(chance: fastrand::Rng) -> Self {
        Self { breaker: Mutex::new(Breaker::new(chance, Instant::now())) }
    }

    /// Whether a request could be sent.
    pub(crate) fn entry(&self) -> Entry {
        self.lock().entry(Instant::now())
    }

    /// Lets a request through, if one may be sent now.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Permit> {
        match self.lock().admit(Instant::now()) {
            Admission::Go(ticket) => Some(Permit { gate: Arc::clone(self), ticket: Some(ticket) }),
            Admission::At(_) | Admission::Later => None,
        }
    }

    /// What an operator changed may have ended a hold: the next try is now.
    pub(crate) fn nudge(&self) {
        self.lock().nudge(Instant::now());
    }

    /// How much the endpoint has failed and how much time has passed, for those who count.
    pub(crate) fn progress(&self) -> Progress {
        self.lock().progress(Instant::now())
    }

    /// Time is short: the next try is now, unless the server named the time.
    pub(crate) fn hasten(&self) {
        self.lock().hasten(Instant::now());
    }

    pub(crate) fn view(&self) -> GateView {
        self.lock().view(Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        // The breaker's methods leave it whole even if one were to panic half-way.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to send one request.
#[derive(Debug)]
#[must_use]
pub(crate) struct Permit {
    gate: Arc<Gate>,
    ticket: Option<Ticket>,
}

impl Permit {
    /// Says what came of the request.
    pub(crate) fn report(mut self, signal: Signal) -> Reported {
        let Some(ticket) = self.ticket.take() else { return Reported::default() };
        let now = Instant::now();
        let mut breaker = self.gate.lock();
        let was_open = breaker.entry(now).is_open();
        let notice = breaker.report(ticket, signal, now);
        Reported { notice, reopened: !was_open && breaker.entry(now).is_open() }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.gate.lock().forget(ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Arc<Gate> {
        Arc::new(Gate::new(fastrand::Rng::with_seed(1)))
    }

    const DOWN: Signal = Signal::Down { after: Some(Duration::from_secs(2)) };

    #[tokio::test(start_paused = true)]
    async fn one_request_tries_and_its_success_lets_all_through() {
        let gate = gate();
        assert!(!gate.enter().unwrap().report(DOWN).reopened);
        assert!(gate.enter().is_none());
        tokio::time::advance(Duration::from_secs(2)).await;
        let probe = gate.enter().unwrap();
        assert!(gate.enter().is_none(), "nobody passes while the probe is out");
        assert!(probe.report(Signal::Up).reopened);
        let both = (gate.enter().unwrap(), gate.enter().unwrap());
        assert!(!both.0.report(Signal::Up).reopened && !both.1.report(Signal::Up).reopened);
    }

    #[tokio::test(start_paused = true)]
    async fn a_nudge_ends_the_wait_of_a_hold_only() {
        let gate = gate();
        gate.enter().unwrap().report(Signal::Hold(HoldReason::Channel));
        assert!(gate.enter().is_none());
        gate.nudge();
        gate.enter().unwrap().report(DOWN);
        gate.nudge();
        assert!(gate.enter().is_none());
        assert_eq!(gate.view().next_try, Some(Duration::from_secs(2)), "a busy server is left alone");
    }

    #[tokio::test(start_paused = true)]
    async fn when_time_is_short_only_a_pause_the_server_asked_for_is_kept() {
        for (signal, waits) in
            [(Signal::Hold(HoldReason::Channel), false), (Signal::Down { after: None }, false), (DOWN, true)]
        {
            let gate = gate();
            // Long enough that no pause of chance is over by chance.
            for _ in 0..6 {
                gate.enter().unwrap().report(signal);
                tokio::time::advance(gate.view().next_try.unwrap()).await;
            }
            gate.enter().unwrap().report(signal);
            gate.hasten();
            assert_eq!(gate.enter().is_none(), waits, "{signal:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_cancelled_leaves_its_place_to_another() {
        let gate = gate();
        gate.enter().unwrap().report(Signal::Hold(HoldReason::Channel));
        assert_eq!(gate.view().state, GateState::Held { reason: HoldReason::Channel });
        tokio::time::advance(Duration::from_secs(5)).await;
        drop(gate.enter().unwrap());
        assert!(gate.enter().unwrap().report(Signal::Up).reopened);
        assert_eq!(gate.view().state, GateState::Open);
    }
}
