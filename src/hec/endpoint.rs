//! One HEC behind one URL: its gate, what was learned of it, and one attempt at a time.
//!
//! An attempt posts a part of a batch, classifies the reply in the light of what is known of the
//! endpoint, tells the gate, and says what the reply means for the part. When to try again and
//! when to give up is the client's business; which events are to blame is [`Repair`]'s.
//!
//! [`Repair`]: super::repair::Repair

mod learned;
mod refresh;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use tokio::time::Instant;

use self::learned::Learned;
use self::refresh::Complaints;
use super::classify::{
    Disposition, Pace, ResponseMode, Taken, TransportFailure, classify, classify_transport,
};
use super::compress::{Compression, Compressors, Wire};
use super::config::{ClientConfig, ConfigError};
use super::gate::{AWAY_NEXT_STEP, Gate, Notice, Permit, Signal};
use super::hold::HoldReason;
use super::outcome::Outcome;
use super::probe::Probe;
use super::repair::{Form, Refusal};
use super::reply::ReplyBody;
use super::status::{Ledger, Status};
use super::tls_files::TlsFiles;
use super::token::Tokens;
use super::transport::{Exchange, Transport};
use crate::clock::millis;

/// See the module's documentation.
pub(crate) struct Endpoint {
    transport: Transport,
    mode: ResponseMode,
    compressors: Compressors,
    gate: Gate,
    ledger: Ledger,
    learned: Mutex<Learned>,
    tokens: Arc<Tokens>,
    tls_files: TlsFiles,
    complaints: Complaints,
}

/// A request for one part of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) wire: Wire,
    /// Bytes before compression.
    pub(crate) raw: usize,
    pub(crate) form: Form,
    pub(crate) events: usize,
    /// Whether the last attempt with this part may have been taken.
    pub(crate) doubt: Taken,
    /// [`Endpoint::next_number`] when a part of the batch was first refused without HEC's word.
    pub(crate) doubted: Option<u64>,
}

/// What an attempt means for the part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The endpoint has made up its mind.
    Verdict(Verdict),
    /// To be sent again when the gate lets it.
    Again(Taken),
}

/// What the endpoint thinks of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Delivered.
    Accepted,
    /// To be sent again after the other parts, when the gate lets it.
    AfterOthers,
    /// Something in it is refused.
    Refused(Refusal),
    /// It is too large.
    TooLarge(Refusal),
}

impl Verdict {
    /// Whether it is a refusal that may not be the HEC's own.
    pub(crate) fn is_foreign(self) -> bool {
        match self {
            Self::Accepted => false,
            Self::AfterOthers => true,
            Self::Refused(refusal) | Self::TooLarge(refusal) => refusal.code.is_none(),
        }
    }
}

impl Endpoint {
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, ConfigError> {
        // Before the files are read, so that no change in between is missed.
        let tls_files = TlsFiles::new(&config.tls);
        Ok(Self {
            transport: Transport::new(config)?,
            mode: config.response,
            compressors: Compressors::default(),
            gate: Gate::new(fastrand::Rng::new()),
            ledger: Ledger::default(),
            learned: Mutex::new(Learned::new(config.compression)),
            tokens: Arc::new(Tokens::new(&config.token)?),
            tls_files,
            complaints: Complaints::default(),
        })
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(crate) fn status(&self) -> Status {
        self.ledger.status(self.transport.url().as_str(), self.gate.view())
    }

    /// Counts what became of a batch.
    pub(crate) fn settled(&self, outcome: &Outcome) {
        self.ledger.outcome(outcome);
    }

    /// The token that is shown, in the form of its header.
    pub(crate) fn token(&self) -> HeaderValue {
        self.tokens.shown()
    }

    /// The largest body (bytes, uncompressed) the endpoint is known to consider.
    pub(crate) fn bytes_max(&self) -> usize {
        self.learned().bytes_max(Instant::now())
    }

    /// Whether a compressed body is out of date, because the endpoint turned out not to take it.
    pub(crate) fn outdated(&self, wire: &Wire) -> bool {
        wire.encoding == Compression::Gzip && self.learned().compression(Instant::now()) == Compression::None
    }

    /// The number of the request that is sent next.
    pub(crate) fn next_number(&self) -> u64 {
        self.learned().next_number()
    }

    /// Whether a request that was sent since this number was accepted.
    pub(crate) fn has_accepted_since(&self, number: u64) -> bool {
        self.learned().accepted_since(Some(number))
    }

    /// The body as it is to be sent.
    pub(crate) async fn encode(&self, body: Bytes, form: Form) -> Wire {
        if form == Form::Usual && self.learned().compression(Instant::now()) == Compression::Gzip {
            self.compressors.gzip(body).await
        } else {
            Wire::plain(body)
        }
    }

    /// Sends a request and says what came of it, to the gate as well.
    ///
    /// When dropped half-way nobody knows whether the server took it; the permit goes back.
    pub(crate) async fn attempt(&self, permit: Permit<'_>, request: &Request) -> Attempt {
        let sent = self.learned().send();
        self.ledger.request(request.raw, request.wire.bytes.len(), request.doubt);
        let token = self.tokens.shown();
        let exchange = self.transport.post(&request.wire, token.clone(), sent.channel).await;
        self.ledger.exchange(&exchange);
        let now = Instant::now();
        let disposition = self.learned().take_in(self.classify(&exchange), &exchange, request, sent, now);
        let disposition = self.judge_token(disposition, &token).await;
        let signal = match disposition {
            Disposition::Retry { after, .. } => Signal::Down { after },
            Disposition::Hold(reason) => Signal::Hold(reason),
            Disposition::Accepted(Pace::SlowDown) => Signal::UpSlow,
            _ => Signal::Up,
        };
        if !matches!(disposition, Disposition::Accepted(_)) {
            self.ledger.error(describe(&exchange));
        }
        if disposition == Disposition::FreshToken {
            // Neither well nor held: the permit goes back, and the other token may be tried at once.
            return Attempt::Again(Taken::No);
        }
        if let Some(notice) = permit.report(signal) {
            self.log(notice, &exchange);
        }
        let refusal = refusal(&exchange);
        match disposition {
            Disposition::Accepted(_) => Attempt::Verdict(Verdict::Accepted),
            Disposition::Retry { taken, .. } => {
                self.ledger.retry();
                Attempt::Again(taken)
            }
            Disposition::Hold(HoldReason::RefusesAll(_)) => Attempt::Verdict(Verdict::AfterOthers),
            Disposition::Hold(_)
            | Disposition::WithoutGzip
            | Disposition::FreshChannel
            | Disposition::FreshToken => Attempt::Again(Taken::No),
            Disposition::Split => Attempt::Verdict(Verdict::TooLarge(refusal)),
            Disposition::Isolate { .. } | Disposition::Bisect => Attempt::Verdict(Verdict::Refused(refusal)),
        }
    }

    /// Posts nothing, past the gate, to see whether the endpoint would take something.
    pub(crate) async fn ask(&self) -> Probe {
        let channel = self.learned().channel();
        let exchange = self.transport.post(&Wire::plain(Bytes::new()), self.tokens.shown(), channel).await;
        let detail = describe(&exchange);
        match exchange {
            Exchange::Reply { status, .. } => {
                Probe::of_reply(self.classify(&exchange), status, self.mode, detail)
            }
            Exchange::Failed { failure, .. } => Probe::of_failure(failure, detail),
        }
    }

    fn classify(&self, exchange: &Exchange) -> Disposition {
        match exchange {
            Exchange::Reply { status, retry_after, body } => classify(*status, *retry_after, body, self.mode),
            Exchange::Failed { failure, .. } => classify_transport(*failure),
        }
    }

    fn log(&self, notice: Notice, exchange: &Exchange) {
        let url = self.transport.url().as_str();
        match notice {
            Notice::Down { failures, pause } => tracing::warn!(
                url,
                failures,
                pause_ms = millis(pause),
                next_step = AWAY_NEXT_STEP,
                error = describe(exchange),
                "the HEC does not take data; it is kept and sent again"
            ),
            Notice::Held { reason, lasting } => tracing::error!(
                url,
                %reason,
                lasting_s = lasting.as_secs(),
                next_step = reason.next_step(),
                error = describe(exchange),
                "the HEC refuses requests; data is kept until that is put right"
            ),
            Notice::Back { away } => {
                tracing::info!(url, away_s = away.as_secs(), "the HEC takes data again");
            }
        }
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(exchange: &Exchange) -> Refusal {
    match exchange {
        Exchange::Reply { status, body, .. } => {
            let event_number = match body {
                ReplyBody::Hec(reply) => reply.event_number,
                _ => None,
            };
            Refusal { status: *status, code: body.code(), event_number }
        }
        // Not reached: without a reply nothing is refused.
        Exchange::Failed { .. } => {
            Refusal { status: StatusCode::SERVICE_UNAVAILABLE, code: None, event_number: None }
        }
    }
}

/// In words, for logs and the status.
fn describe(exchange: &Exchange) -> String {
    match exchange {
        Exchange::Reply { status, body: ReplyBody::Hec(reply), .. } => {
            let number = reply.event_number.map(|number| format!(" at event {number}")).unwrap_or_default();
            format!("status {}, code {}: {}{number}", status.as_u16(), reply.code, reply.text)
        }
        Exchange::Reply { status, body, .. } => {
            let body = match body {
                ReplyBody::Empty => "an empty body",
                ReplyBody::Html => "a page of markup",
                ReplyBody::Cut => "a body cut short",
                ReplyBody::Other | ReplyBody::Hec(_) => "a body that is not HEC's",
            };
            format!("status {} with {body}", status.as_u16())
        }
        Exchange::Failed { failure, text } => {
            let what = match failure {
                TransportFailure::Unreachable => "no connection",
                TransportFailure::Interrupted => "no reply",
                TransportFailure::Certificate => "certificate not accepted",
                TransportFailure::NotTls => "no TLS",
            };
            format!("{what}: {text}")
        }
    }
}
