//! One address of a HEC: what was learned of it, and one attempt at a time.
//!
//! An attempt posts a part of a batch, classifies the reply in the light of what is known of the
//! endpoint, and says what the reply means: for the part, and for the endpoint. When to try again,
//! where, and when to give up is the pool's and the client's business; which events are to blame is
//! [`Repair`]'s.
//!
//! [`Repair`]: super::repair::Repair

mod acks;
mod learned;
mod trial;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderValue, StatusCode};
use tokio::time::Instant;

use self::learned::{Learned, Sent};
use super::ack::AckMode;
use super::ack::desk::Desk;
use super::ack::lanes::{Credit, Lanes, Pass};
use super::classify::{
    Disposition, Pace, ResponseMode, Taken, TransportFailure, classify, classify_transport,
};
use super::compress::{Compression, Wire};
use super::gate::Signal;
use super::hold::HoldReason;
use super::repair::{Form, Refusal};
use super::reply::{HecCode, ReplyBody};
use super::status::Ledger;
use super::token::{Credentials, Refused, Tokens};
use super::transport::{By, Exchange, Posted, Transport};

/// See the module's documentation.
pub(crate) struct Endpoint {
    transport: Transport,
    mode: ResponseMode,
    /// Of the whole client.
    ledger: Arc<Ledger>,
    learned: Mutex<Learned>,
    tokens: Tokens,
    /// `None`: acks are not asked for.
    lanes: Option<Arc<Lanes>>,
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
    /// [`Endpoint::next_number`] when this endpoint first refused a part of the batch without HEC's
    /// word.
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

/// What came of an attempt.
#[derive(Debug)]
pub(crate) struct Tried {
    /// For the part.
    pub(crate) attempt: Attempt,
    /// What that which was taken of it counts for.
    pub(crate) credit: Credit,
    /// For the endpoint; `None` where it is neither well nor closed by it.
    pub(crate) signal: Option<Signal>,
    /// Whether the endpoint asks for less.
    pub(crate) push_back: bool,
    /// Whether no connection could be had.
    pub(crate) unreachable: bool,
    /// What went wrong, in words.
    pub(crate) error: Option<String>,
}

impl Endpoint {
    pub(crate) fn new(
        transport: Transport,
        mode: ResponseMode,
        compression: Compression,
        credentials: Arc<Credentials>,
        ledger: Arc<Ledger>,
        desk: &Arc<Desk>,
    ) -> Self {
        let address = transport.address().map(|address| format!(" ({address})")).unwrap_or_default();
        let place = format!("{}{address}", transport.url());
        let learned = Mutex::new(Learned::new(compression, place.clone()));
        let lanes = (desk.mode() != AckMode::Off)
            .then(|| Arc::new(Lanes::new(Arc::clone(desk), place, Instant::now())));
        Self { transport, mode, ledger, learned, tokens: Tokens::new(credentials), lanes }
    }

    /// The token that is shown, in the form of its header.
    pub(crate) fn token(&self) -> HeaderValue {
        self.tokens.shown()
    }

    /// Where events are posted to.
    pub(crate) fn url(&self) -> &str {
        self.transport.url().as_str()
    }

    /// The address behind it, if it is settled.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.transport.address()
    }

    /// The largest body (bytes, uncompressed) the endpoint is known to consider.
    pub(crate) fn bytes_max(&self) -> usize {
        self.learned().bytes_max(Instant::now())
    }

    /// How bodies are to be sent.
    pub(crate) fn compression(&self) -> Compression {
        self.learned().compression(Instant::now())
    }

    /// The number of the request that is sent next.
    pub(crate) fn next_number(&self) -> u64 {
        self.learned().next_number()
    }

    /// Whether a request that was sent since this number was accepted.
    pub(crate) fn has_accepted_since(&self, number: u64) -> bool {
        self.learned().accepted_since(Some(number))
    }

    /// Sends a request and says what came of it.
    ///
    /// When dropped half-way nobody knows whether the server took it.
    pub(crate) async fn attempt(&self, request: &Request) -> Tried {
        if let Some(tried) = self.ask_for_acks().await {
            return tried;
        }
        let sent = self.learned().send(self.lanes.is_some());
        let pass = self.lanes.as_ref().map(|lanes| lanes.begin(Instant::now()));
        self.ledger.request(request.raw, request.wire.bytes.len(), request.doubt);
        let token = self.tokens.shown();
        let by = By {
            token: token.clone(),
            channel: pass.as_ref().map_or(sent.channel, |pass| Some(pass.channel)),
            cookies: pass.as_ref().and_then(|pass| pass.cookies.clone()),
        };
        let posted = self.transport.post(&request.wire, by).await;
        self.ledger.exchange(&posted.exchange);
        let (disposition, credit) = self.judge(&posted, request, sent, pass.as_ref(), Instant::now());
        let disposition = self.judge_token(disposition, &token).await;
        let exchange = &posted.exchange;
        let error = match disposition {
            Disposition::Accepted(_) => None,
            _ => Some(describe(exchange)),
        };
        if let Some(error) = &error {
            self.ledger.error(error.clone());
        }
        let attempt = self.meaning(disposition, exchange);
        // With another token to show it is neither well nor held: that one may be tried at once.
        let signal = (disposition != Disposition::FreshToken).then(|| signal(disposition, exchange));
        let signal = self.hold_for_acks().map_or(signal, |reason| Some(Signal::Hold(reason)));
        let unreachable = matches!(exchange, Exchange::Failed { failure: TransportFailure::Unreachable, .. });
        Tried { attempt, credit, signal, push_back: asks_for_less(disposition, exchange), unreachable, error }
    }

    /// What a reply means, and what that which was taken counts for.
    fn judge(
        &self,
        posted: &Posted,
        request: &Request,
        sent: Sent,
        pass: Option<&Pass>,
        now: Instant,
    ) -> (Disposition, Credit) {
        let exchange = &posted.exchange;
        let disposition = self.learned().take_in(self.classify(exchange), exchange, request, sent, now);
        match (&self.lanes, pass) {
            (Some(lanes), Some(pass)) => acks::judge(lanes, pass, disposition, posted, request.raw, now),
            _ => (disposition, Credit::Delivered),
        }
    }

    fn meaning(&self, disposition: Disposition, exchange: &Exchange) -> Attempt {
        match disposition {
            Disposition::Accepted(_) => Attempt::Verdict(Verdict::Accepted),
            Disposition::Retry { taken, .. } => {
                self.ledger.retry();
                Attempt::Again(taken)
            }
            Disposition::Hold(HoldReason::RefusesAll(_)) => Attempt::Verdict(Verdict::AfterOthers),
            // It was taken, and cannot be confirmed.
            Disposition::Hold(HoldReason::NoAcks) => Attempt::Again(Taken::Perhaps),
            Disposition::Hold(_)
            | Disposition::WithoutGzip
            | Disposition::FreshChannel
            | Disposition::FreshToken => Attempt::Again(Taken::No),
            Disposition::Split => Attempt::Verdict(Verdict::TooLarge(refusal(exchange))),
            Disposition::Isolate { .. } | Disposition::Bisect => {
                Attempt::Verdict(Verdict::Refused(refusal(exchange)))
            }
        }
    }

    /// A refused token is only the end if there is no other one to show.
    async fn judge_token(&self, disposition: Disposition, token: &HeaderValue) -> Disposition {
        match disposition {
            Disposition::Accepted(_) => self.tokens.accepted(token),
            Disposition::Hold(HoldReason::Token { .. }) => match self.tokens.refused(token) {
                Refused::TryAnother => return Disposition::FreshToken,
                Refused::Newest(newest) if self.tokens.look_for_other_than(&newest).await => {
                    return Disposition::FreshToken;
                }
                Refused::Newest(_) => {}
            },
            _ => {}
        }
        disposition
    }

    fn classify(&self, exchange: &Exchange) -> Disposition {
        match exchange {
            Exchange::Reply { status, retry_after, body } => classify(*status, *retry_after, body, self.mode),
            Exchange::Failed { failure, .. } => classify_transport(*failure),
        }
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an exchange says about the endpoint.
fn signal(disposition: Disposition, exchange: &Exchange) -> Signal {
    match disposition {
        Disposition::Retry { after: None, .. } if is_accident(exchange) => Signal::Strike,
        Disposition::Retry { after, .. } => Signal::Down { after },
        Disposition::Hold(reason) => Signal::Hold(reason),
        Disposition::Accepted(Pace::SlowDown) => Signal::UpSlow,
        _ => Signal::Up,
    }
}

/// Whether it may have been this one request's bad luck: the connection, or a gateway.
fn is_accident(exchange: &Exchange) -> bool {
    match exchange {
        Exchange::Failed { .. } | Exchange::Reply { body: ReplyBody::Cut, .. } => true,
        // A page instead of a success: whoever means it does so again.
        Exchange::Reply { status, body, .. } if status.is_success() => !matches!(body, ReplyBody::Hec(_)),
        Exchange::Reply { status, .. } => {
            (status.is_server_error() && *status != StatusCode::SERVICE_UNAVAILABLE)
                || *status == StatusCode::REQUEST_TIMEOUT
        }
    }
}

/// Whether the server has more than it can do with.
fn asks_for_less(disposition: Disposition, exchange: &Exchange) -> bool {
    match exchange {
        Exchange::Reply { status, body, .. } => {
            disposition == Disposition::Accepted(Pace::SlowDown)
                || matches!(*status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
                || matches!(body.code(), Some(HecCode::BUSY | HecCode::QUEUE_FULL | HecCode::ACKS_FULL))
        }
        Exchange::Failed { .. } => false,
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
                TransportFailure::ProxyAuthentication => "no way through the proxy",
            };
            format!("{what}: {text}")
        }
    }
}
