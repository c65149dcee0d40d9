//! The gate of one endpoint: senders wait here while it is away, busy or held.
//!
//! The async shell around [`Breaker`], which decides. A sender that is let through has a
//! [`Permit`] and says on it what came of its request; a permit dropped without a word (its
//! sender was cancelled) gives the place of the probe back.
//!
//! Not responsible for how many requests run at once while the gate is open: the caller is.

mod breaker;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use self::breaker::{Admission, Breaker, Ticket};
pub(crate) use self::breaker::{Notice, Progress, Signal};
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

/// What an operator can do about an endpoint that is away or busy.
pub(crate) const AWAY_NEXT_STEP: &str =
    "check SPLUNK_HOST, that security groups let the nozzle reach it, and that the HEC is up and has room";

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
    /// Told whenever a waiting sender may have to look again.
    changed: Notify,
}

impl Gate {
    pub(crate) fn new(chance: fastrand::Rng) -> Self {
        Self { breaker: Mutex::new(Breaker::new(chance, Instant::now())), changed: Notify::new() }
    }

    /// Waits until a request may be sent.
    ///
    /// Cancel safe: a sender that stops waiting leaves nothing behind.
    pub(crate) async fn enter(&self) -> Permit<'_> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that no change in between is missed.
            changed.as_mut().enable();
            let admission = self.lock().admit(Instant::now());
            match admission {
                Admission::Go(ticket) => return Permit { gate: self, ticket: Some(ticket) },
                Admission::At(when) => tokio::select! {
                    () = sleep_until(when) => {}
                    () = changed => {}
                },
                Admission::Later => changed.await,
            }
        }
    }

    /// What an operator changed may have ended a hold: the next try is now.
    pub(crate) fn nudge(&self) {
        self.lock().nudge(Instant::now());
        self.changed.notify_waiters();
    }

    /// How much the endpoint has failed and how much time has passed, for those who count.
    pub(crate) fn progress(&self) -> Progress {
        self.lock().progress(Instant::now())
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
pub(crate) struct Permit<'a> {
    gate: &'a Gate,
    ticket: Option<Ticket>,
}

impl Permit<'_> {
    /// Says what came of the request; a notice comes back when it is worth a log line.
    pub(crate) fn report(mut self, signal: Signal) -> Option<Notice> {
        let ticket = self.ticket.take()?;
        let notice = self.gate.lock().report(ticket, signal, Instant::now());
        self.gate.changed.notify_waiters();
        notice
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.gate.lock().forget(ticket);
            self.gate.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::task::Tasks;

    fn gate() -> Arc<Gate> {
        Arc::new(Gate::new(fastrand::Rng::with_seed(1)))
    }

    const DOWN: Signal = Signal::Down { after: Some(Duration::from_secs(2)) };

    #[tokio::test(start_paused = true)]
    async fn one_sender_probes_and_its_success_lets_all_through() {
        let gate = gate();
        gate.enter().await.report(DOWN);
        let closed_at = Instant::now();
        let probe = gate.enter().await;
        assert!(closed_at.elapsed() >= Duration::from_secs(2));
        let mut senders = Tasks::new();
        for _ in 0..8 {
            let gate = gate.clone();
            senders.spawn("sender", async move { drop(gate.enter().await) });
        }
        tokio::task::yield_now().await;
        let none = tokio::time::timeout(Duration::from_secs(100), senders.join_next()).await;
        assert!(none.is_err(), "nobody passes while the probe is out");
        probe.report(Signal::Up);
        while senders.join_next().await.is_some() {}
        assert_eq!(gate.view().state, GateState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_cancelled_leaves_its_place_to_another() {
        let gate = gate();
        gate.enter().await.report(DOWN);
        let probe = gate.enter().await;
        let mut other = Tasks::new();
        let its_gate = gate.clone();
        other.spawn("sender", async move { its_gate.enter().await.report(Signal::Up).is_some() });
        tokio::task::yield_now().await;
        drop(probe);
        assert!(other.join_next().await.is_some_and(|joined| joined.is_ok()));
        assert_eq!(gate.view().state, GateState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn a_nudge_ends_the_wait_of_a_hold_only() {
        let gate = gate();
        gate.enter().await.report(Signal::Hold(HoldReason::Channel));
        let mut sender = Tasks::new();
        let its_gate = gate.clone();
        sender.spawn("sender", async move {
            let waited = Instant::now();
            drop(its_gate.enter().await);
            waited.elapsed()
        });
        tokio::task::yield_now().await;
        gate.nudge();
        let (_, waited) = sender.join_next().await.unwrap().unwrap();
        assert_eq!(waited, Duration::ZERO);
        gate.enter().await.report(DOWN);
        gate.nudge();
        assert_eq!(gate.view().next_try, Some(Duration::from_secs(2)), "a busy server is left alone");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_can_be_cancelled() {
        let gate = gate();
        gate.enter().await.report(Signal::Hold(HoldReason::Channel));
        let waited = tokio::time::timeout(Duration::from_secs(1), gate.enter()).await;
        assert!(waited.is_err());
        assert_eq!(gate.view().state, GateState::Held { reason: HoldReason::Channel });
        gate.enter().await.report(Signal::Up);
        assert_eq!(gate.view().state, GateState::Open);
    }
}
