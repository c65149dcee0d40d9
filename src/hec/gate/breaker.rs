//! When an endpoint may be asked: a state machine without time or chance of its own.
//!
//! ```text
//!          Down, Hold                 the pause is over
//!   Open ────────────► Closed, waiting ────────────────► Closed, probing
//!     ▲                    ▲     (back-off, or held)          │     │
//!     └────────────────────┼──────────── Up ──────────────────┘     │
//!                          └───────── Down, Hold, forgotten ────────┘
//! ```
//!
//! A failure on the way may be an accident of one connection: of those it takes [`STRIKES`] in a
//! row to close; until then only a moment passes before the next request.
//!
//! Each closing and opening starts an epoch. A request that was let through in an earlier epoch
//! tells nothing new: eight requests that fail together are one failure, and a request that
//! times out after the endpoint came back does not close it again. Of an earlier epoch only the
//! wish for a longer pause, and a reason to hold, are heard while it is closed.

mod words;

use std::time::Duration;

use tokio::time::Instant;

pub(super) use self::words::{Admission, Ticket};
pub(crate) use self::words::{Entry, Notice, Progress, Signal};
use super::super::backoff::{hold_pause, pause};
use super::super::hold::HoldReason;
use super::{GateState, GateView};

/// Pause after a success that came with a warning of a full queue.
const SLOW_DOWN: Duration = Duration::from_millis(250);

/// So many failures on the way in a row close the gate; one alone is an accident of a connection.
const STRIKES: u32 = 3;

/// The least time between two notices of the same kind.
const NOTICE_INTERVAL: Duration = Duration::from_secs(60);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    epoch: u64,
    /// Failures on the way in a row, while it is open.
    strikes: u32,
    /// Pauses in a row since it was last well.
    rounds: u32,
    /// Holds in a row since it was last well.
    holds: u32,
    failures: u64,
    started: Instant,
    /// Time held so far, without the present hold.
    held: Duration,
    last_notice: Option<(Instant, Option<HoldReason>)>,
    chance: fastrand::Rng,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Open { since: Instant, not_before: Instant },
    Closed(Closed),
}

#[derive(Clone, Copy, Debug)]
struct Closed {
    /// Since it last took data.
    away_since: Instant,
    /// `None`: backing off.
    held: Option<HoldReason>,
    /// Since it has been held, or has been backing off.
    since: Instant,
    until: Instant,
    /// Whether the server named the time.
    asked: bool,
    probe: Probe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    Wanted,
    Out,
}

impl Breaker {
    pub(super) fn new(chance: fastrand::Rng, now: Instant) -> Self {
        Self {
            state: State::Open { since: now, not_before: now },
            epoch: 0,
            strikes: 0,
            rounds: 0,
            holds: 0,
            failures: 0,
            started: now,
            held: Duration::ZERO,
            last_notice: None,
            chance,
        }
    }

    /// Lets a request through, or says when to ask again.
    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        match &mut self.state {
            State::Open { not_before, .. } if now < *not_before => Admission::At(*not_before),
            State::Open { .. } => Admission::Go(Ticket { epoch: self.epoch }),
            State::Closed(Closed { probe: Probe::Out, .. }) => Admission::Later,
            State::Closed(closed) if now < closed.until => Admission::At(closed.until),
            State::Closed(closed) => {
                closed.probe = Probe::Out;
                Admission::Go(Ticket { epoch: self.epoch })
            }
        }
    }

    /// Whether a request could be sent.
    pub(super) fn entry(&self, now: Instant) -> Entry {
        match self.state {
            State::Open { not_before, .. } if now < not_before => Entry::OpenAt(not_before),
            State::Open { .. } => Entry::Open,
            State::Closed(Closed { probe: Probe::Out, .. }) => Entry::Trying,
            State::Closed(closed) if now < closed.until => Entry::ClosedUntil(closed.until),
            State::Closed(closed) => Entry::Try(closed.until),
        }
    }

    /// Takes in what came of a request.
    pub(super) fn report(&mut self, ticket: Ticket, signal: Signal, now: Instant) -> Option<Notice> {
        if ticket.epoch != self.epoch {
            return self.report_late(signal, now);
        }
        match signal {
            Signal::Up => self.open(now, now),
            Signal::UpSlow => self.open(now, now + SLOW_DOWN),
            Signal::Strike => self.strike(now),
            Signal::Down { after } => {
                self.failures += 1;
                let wait = after.unwrap_or_default().max(pause(self.rounds, &mut self.chance));
                self.rounds = self.rounds.saturating_add(1);
                let notice = self.close(None, wait, now);
                self.note_asked(after);
                notice
            }
            Signal::Hold(reason) => {
                let wait = hold_pause(self.holds);
                self.holds = self.holds.saturating_add(1);
                self.close(Some(reason), wait, now)
            }
        }
    }

    /// A request ended without a word: if it was the probe, another one is wanted.
    pub(super) fn forget(&mut self, ticket: Ticket) {
        if let State::Closed(closed) = &mut self.state
            && ticket.epoch == self.epoch
        {
            closed.probe = Probe::Wanted;
        }
    }

    /// The cause of a hold may be gone: the next try is now, and pauses begin anew.
    pub(super) fn nudge(&mut self, now: Instant) {
        if let State::Closed(closed @ Closed { held: Some(_), .. }) = &mut self.state {
            closed.until = closed.until.min(now);
            self.holds = 0;
        }
    }

    /// Time is short: the next try is now, unless the server named the time, and pauses begin anew.
    pub(super) fn hasten(&mut self, now: Instant) {
        if let State::Closed(closed) = &mut self.state
            && !closed.asked
        {
            closed.until = closed.until.min(now);
            self.rounds = 0;
            self.holds = 0;
        }
    }

    pub(super) fn progress(&self, now: Instant) -> Progress {
        let present = match self.state {
            State::Closed(Closed { held: Some(_), since, .. }) => now.saturating_duration_since(since),
            State::Closed(_) | State::Open { .. } => Duration::ZERO,
        };
        let all = now.saturating_duration_since(self.started);
        Progress { failures: self.failures, running: all.saturating_sub(self.held + present) }
    }

    pub(super) fn view(&self, now: Instant) -> GateView {
        match self.state {
            State::Open { since, .. } => GateView {
                state: GateState::Open,
                lasting: now.saturating_duration_since(since),
                next_try: None,
            },
            State::Closed(closed) => GateView {
                state: closed.held.map_or(GateState::Paused, |reason| GateState::Held { reason }),
                lasting: now.saturating_duration_since(closed.since),
                next_try: Some(closed.until.saturating_duration_since(now)),
            },
        }
    }

    fn report_late(&mut self, signal: Signal, now: Instant) -> Option<Notice> {
        let State::Closed(closed) = &mut self.state else { return None };
        match signal {
            Signal::Down { after: Some(after) } => {
                closed.until = closed.until.max(now + after);
                closed.asked = true;
                None
            }
            Signal::Hold(reason) if closed.held.is_none() => {
                self.holds = self.holds.saturating_add(1);
                self.close(Some(reason), hold_pause(0), now)
            }
            Signal::Down { after: None } | Signal::Strike | Signal::Up | Signal::UpSlow | Signal::Hold(_) => {
                None
            }
        }
    }

    /// An open gate stays so for the first few, but is not used for a moment.
    fn strike(&mut self, now: Instant) -> Option<Notice> {
        self.strikes += 1;
        match &mut self.state {
            State::Open { not_before, .. } if self.strikes < STRIKES => {
                self.failures += 1;
                *not_before = (*not_before).max(now + pause(0, &mut self.chance));
                None
            }
            State::Open { .. } | State::Closed(_) => {
                let down = Signal::Down { after: None };
                self.report(Ticket { epoch: self.epoch }, down, now)
            }
        }
    }

    fn open(&mut self, now: Instant, not_before: Instant) -> Option<Notice> {
        self.strikes = 0;
        self.rounds = 0;
        self.holds = 0;
        match &mut self.state {
            State::Open { not_before: present, .. } => {
                *present = not_before.max(*present);
                None
            }
            State::Closed(closed) => {
                let closed = *closed;
                self.leave_hold(closed, now);
                self.epoch += 1;
                self.state = State::Open { since: now, not_before };
                // Only what was said to be closed is said to be back.
                let (said, _) = self.last_notice?;
                (said >= closed.away_since)
                    .then(|| Notice::Back { away: now.saturating_duration_since(closed.away_since) })
            }
        }
    }

    fn close(&mut self, held: Option<HoldReason>, wait: Duration, now: Instant) -> Option<Notice> {
        let mut away_since = now;
        let mut since = now;
        if let State::Closed(closed) = self.state {
            away_since = closed.away_since;
            if closed.held.is_some() == held.is_some() {
                since = closed.since;
            } else {
                self.leave_hold(closed, now);
            }
        }
        self.epoch += 1;
        self.state = State::Closed(Closed {
            away_since,
            held,
            since,
            until: now + wait,
            asked: false,
            probe: Probe::Wanted,
        });
        if !self.may_speak(held, now) {
            return None;
        }
        self.last_notice = Some((now, held));
        Some(match held {
            Some(reason) => Notice::Held { reason, lasting: now.saturating_duration_since(since) },
            None => Notice::Down {
                failures: self.rounds,
                away: now.saturating_duration_since(away_since),
                pause: wait,
            },
        })
    }

    fn note_asked(&mut self, after: Option<Duration>) {
        if let State::Closed(closed) = &mut self.state {
            closed.asked = after.is_some_and(|after| !after.is_zero());
        }
    }

    fn leave_hold(&mut self, closed: Closed, now: Instant) {
        if closed.held.is_some() {
            self.held += now.saturating_duration_since(closed.since);
        }
    }

    /// A new reason speaks at once; the same one, and a flapping endpoint, once a minute.
    fn may_speak(&self, held: Option<HoldReason>, now: Instant) -> bool {
        self.last_notice.is_none_or(|(at, said)| {
            now.saturating_duration_since(at) >= NOTICE_INTERVAL || (held.is_some() && held != said)
        })
    }
}

#[cfg(test)]
mod tests;
