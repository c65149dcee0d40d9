//! An endpoint with its place in the pool: whether it takes requests, how many, and how it does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::choice::Candidate;
use super::concurrency::Limit;
use super::load::Load;
use super::target::Target;
use crate::clock::millis;
use crate::hec::endpoint::Endpoint;
use crate::hec::gate::{AWAY_NEXT_STEP, BUSY_NEXT_STEP, Gate, GateState, Notice, Signal};
use crate::hec::status::{self, EndpointStatus, LastError};

/// Names a member for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MemberId(pub(crate) u64);

/// See the module's documentation.
pub(crate) struct Member {
    pub(crate) id: MemberId,
    pub(crate) target: Arc<Target>,
    pub(crate) endpoint: Endpoint,
    pub(crate) gate: Arc<Gate>,
    figures: Mutex<Figures>,
}

struct Figures {
    load: Load,
    limit: Limit,
    requests: u64,
    failures: u64,
    /// Whether it was there when it last failed, and asked for less.
    busy: bool,
    last_error: Option<LastError>,
}

impl Figures {
    /// What an operator can do about the last failure.
    fn next_step(&self) -> &'static str {
        if self.busy { BUSY_NEXT_STEP } else { AWAY_NEXT_STEP }
    }
}

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) bytes: usize,
    /// `None` for a question: how long that took says nothing about data.
    pub(crate) began: Option<Instant>,
    pub(crate) signal: Signal,
    /// Whether the endpoint asks for less.
    pub(crate) push_back: bool,
    /// Whether it has come back with that.
    pub(crate) reopened: bool,
    pub(crate) error: Option<&'a str>,
}

impl Member {
    pub(crate) fn new(id: MemberId, target: Arc<Target>, endpoint: Endpoint, now: Instant) -> Self {
        let figures = Figures {
            load: Load::new(now),
            limit: Limit::new(now),
            requests: 0,
            failures: 0,
            busy: false,
            last_error: None,
        };
        let gate = Arc::new(Gate::new(fastrand::Rng::new()));
        Self { id, target, endpoint, gate, figures: Mutex::new(figures) }
    }

    /// It is new, or back: from now on it gets more and more.
    pub(crate) fn restart(&self, now: Instant) {
        let mut figures = self.figures();
        figures.load.restart(now);
        figures.limit.restart(now);
    }

    /// As the choice sees it; `None` if it has as much to do as it may.
    pub(crate) fn candidate(&self, bytes: usize, now: Instant) -> Option<Candidate> {
        let mut figures = self.figures();
        let waiting = figures.load.bytes.saturating_add(bytes);
        if !self.endpoint.lanes().is_none_or(|lanes| lanes.has_room(waiting)) {
            return None;
        }
        if figures.load.requests >= figures.limit.get() {
            figures.limit.reached();
            return None;
        }
        Some(figures.load.candidate(bytes, now))
    }

    /// See [`Load::caught_up`].
    pub(crate) fn caught_up(&self, sent: f64, now: Instant) {
        self.figures().load.caught_up(sent, now);
    }

    /// The most requests it may have under way at present.
    pub(crate) fn in_flight_max(&self) -> usize {
        self.figures().limit.get()
    }

    /// A request begins.
    pub(crate) fn began(&self, bytes: usize, now: Instant) {
        let mut figures = self.figures();
        figures.requests += 1;
        figures.load.began(bytes, now);
        if figures.load.requests >= figures.limit.get() {
            figures.limit.reached();
        }
    }

    /// Gives back the place of a request, whatever came of it.
    pub(crate) fn left(&self, bytes: usize) {
        self.figures().load.ended(bytes);
    }

    /// Learns from what came of a request.
    pub(crate) fn ended(&self, ended: Ended<'_>, now: Instant) {
        let mut figures = self.figures();
        match (ended.signal, ended.began) {
            (Signal::Up | Signal::UpSlow, Some(began)) => {
                figures.load.replied(now.saturating_duration_since(began), now);
                if !ended.push_back {
                    figures.limit.replied(ended.bytes, began, now);
                }
            }
            (Signal::Up | Signal::UpSlow, None) => {}
            (Signal::Strike | Signal::Down { .. } | Signal::Hold(_), _) => {
                figures.load.failed(now);
                figures.failures += 1;
                figures.busy = ended.push_back;
            }
        }
        if let (true, Some(began)) = (ended.push_back, ended.began) {
            figures.limit.pushed_back(began, now);
        }
        if ended.reopened {
            figures.load.restart(now);
            figures.limit.reopened(now);
        }
        if let Some(error) = ended.error {
            figures.last_error = Some(LastError::now(error.to_owned()));
        }
    }

    pub(crate) fn status(&self) -> EndpointStatus {
        let gate = self.gate.view();
        let figures = self.figures();
        EndpointStatus {
            url: self.endpoint.url().to_owned(),
            address: self.endpoint.address(),
            site: self.target.site,
            gate: gate.state,
            next_step: match gate.state {
                GateState::Paused => Some(figures.next_step()),
                other => other.next_step(),
            },
            since_unix_ms: status::since(gate.lasting),
            next_try_ms: gate.next_try.map(millis),
            requests: figures.requests,
            failures: figures.failures,
            in_flight: figures.load.requests,
            in_flight_max: figures.limit.get(),
            in_flight_bytes: figures.load.bytes,
            latency_ms: figures.load.latency().map(millis),
            last_error: figures.last_error.clone(),
        }
    }

    /// Says in the log what became of it. `others`: how many endpoints of its site take data.
    pub(crate) fn log(&self, notice: Notice, others: usize, error: &str) {
        let (url, site) = (self.endpoint.url(), self.target.site.label());
        let address = self.endpoint.address().map(tracing::field::display);
        match notice {
            Notice::Down { failures, away, pause } if others > 0 => tracing::warn!(
                url,
                address,
                site,
                failures,
                away_s = away.as_secs(),
                pause_ms = millis(pause),
                others,
                next_step = "look at this node; the others get its share meanwhile",
                error,
                "an endpoint of the HEC does not take data"
            ),
            Notice::Down { failures, away, pause } => tracing::warn!(
                url,
                address,
                site,
                failures,
                away_s = away.as_secs(),
                pause_ms = millis(pause),
                next_step = self.figures().next_step(),
                error,
                "the HEC does not take data; it is kept and sent again"
            ),
            Notice::Held { reason, lasting } if others > 0 => tracing::error!(
                url,
                address,
                site,
                %reason,
                lasting_s = lasting.as_secs(),
                others,
                next_step = reason.next_step(),
                error,
                "an endpoint of the HEC refuses requests; the others get its share until that is put right"
            ),
            Notice::Held { reason, lasting } => tracing::error!(
                url,
                address,
                site,
                %reason,
                lasting_s = lasting.as_secs(),
                next_step = reason.next_step(),
                error,
                "the HEC refuses requests; data is kept until that is put right"
            ),
            Notice::Back { away } => {
                let away_s = Duration::as_secs(&away);
                tracing::info!(url, address, site, away_s, "the HEC takes data again");
            }
        }
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
