//! What the breaker is told, and what it answers.

use std::time::Duration;

use tokio::time::Instant;

use crate::hec::hold::HoldReason;

/// What came of a request, as far as the endpoint is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// It answered and is well, whatever it thinks of the data.
    Up,
    /// It took the data and asked for less.
    UpSlow,
    /// A request failed on the way to it, or came back without its word.
    Strike,
    /// It is away or busy; `after` is the pause it asked for.
    Down {
        /// From its `Retry-After`.
        after: Option<Duration>,
    },
    /// Only an operator can help.
    Hold(HoldReason),
}

impl Signal {
    /// For a request that was sent to find out how the endpoint is: one failure is answer enough.
    pub(crate) fn without_strikes(self) -> Self {
        match self {
            Self::Strike => Self::Down { after: None },
            other => other,
        }
    }
}

/// Something worth a log line; already limited in rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It does not take data.
    Down {
        /// How often it failed in a row.
        failures: u32,
        /// How long it has not.
        away: Duration,
        /// Until the next try.
        pause: Duration,
    },
    /// An operator is needed.
    Held {
        /// Why.
        reason: HoldReason,
        /// Since when.
        lasting: Duration,
    },
    /// It takes data again.
    Back {
        /// How long it did not.
        away: Duration,
    },
}

/// Who was let through, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hec::gate) struct Ticket {
    pub(super) epoch: u64,
}

/// May a request be sent?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hec::gate) enum Admission {
    /// Now.
    Go(Ticket),
    /// Ask again at this time.
    At(Instant),
    /// Ask again when something changed.
    Later,
}

/// Whether a request could be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Now.
    Open,
    /// From then on; it takes data, but not just now.
    OpenAt(Instant),
    /// As the one that tries whether it is back; one could have since then.
    Try(Instant),
    /// None, until somebody may try then.
    ClosedUntil(Instant),
    /// None: one is trying.
    Trying,
}

impl Entry {
    /// Whether the endpoint takes data.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::OpenAt(_))
    }

    /// When a request could be sent, if that is a matter of time alone.
    pub(crate) fn opens_at(self) -> Option<Instant> {
        match self {
            Self::OpenAt(when) | Self::ClosedUntil(when) => Some(when),
            Self::Open | Self::Try(_) | Self::Trying => None,
        }
    }
}

/// What limits on retrying are counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Failed attempts of the endpoint, ever. Holds do not count.
    pub(crate) failures: u64,
    /// Time since the start, without the time it was held.
    pub(crate) running: Duration,
}
