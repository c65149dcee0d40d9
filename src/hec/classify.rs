//! What a reply, or the lack of one, means for the data sent: the one place that decides.
//!
//! Pure. It knows neither the batch nor the endpoint's history; the client's `repair` turns a
//! refusal into parts to resend, and the endpoint's gate turns the rest into waiting.

use std::time::Duration;

use http::StatusCode;

use super::hold::HoldReason;
use super::reply::{HecCode, HecReply, ReplyBody};

/// How much a 2xx has to prove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseMode {
    /// Success only if the body is HEC's and says so.
    #[default]
    Strict,
    /// For compatible servers that are not Splunk: any 2xx whose body is neither a HEC error nor
    /// a page of markup.
    Lenient,
}

/// How fast the server can take more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as now.
    Steady,
    /// Its queue, or its acknowledgement channel, is nearly full.
    SlowDown,
}

/// Whether the server may have taken data that it did not confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Surely not: sending again makes no duplicate.
    No,
    /// Not known: sending again may make duplicates, not sending may lose.
    Perhaps,
}

/// What to do with the data of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Taken, all of it.
    Accepted(Pace),
    /// Send it again later.
    Retry {
        /// What the server asked for, not shorter than this.
        after: Option<Duration>,
        /// Whether it may have been taken all the same.
        taken: Taken,
    },
    /// Keep everything; the endpoint needs an operator.
    Hold(HoldReason),
    /// Too large: send it in smaller parts, no event is to blame.
    Split,
    /// An event is refused for what it is.
    Isolate {
        /// Why.
        code: HecCode,
        /// Where the server stopped, as it counts.
        event_number: Option<u64>,
    },
    /// Refused for what it is, but nothing says which event is to blame.
    Bisect,
    /// Send it again uncompressed, and all that follows as well.
    WithoutGzip,
    /// Send it again under a new data channel.
    FreshChannel,
    /// Send it again with another token.
    FreshToken,
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportFailure {
    /// No connection: name not resolved, refused, not in time, TLS not agreed on.
    Unreachable,
    /// The connection ended, or time ran out, after (a part of) the request was sent.
    Interrupted,
    /// A certificate was not accepted, by either side.
    Certificate,
    /// The answer to our TLS greeting was something else.
    NotTls,
    /// A proxy opens no tunnel for who we are.
    ProxyAuthentication,
}

impl TransportFailure {
    /// Whether nothing of the request was sent.
    pub(crate) fn is_before_sending(self) -> bool {
        self != Self::Interrupted
    }
}

/// Decides about a reply.
///
/// `retry_after` is what the header of that name asks for, already within bounds.
pub fn classify(
    status: StatusCode,
    retry_after: Option<Duration>,
    body: &ReplyBody,
    mode: ResponseMode,
) -> Disposition {
    let retry = |taken| Disposition::Retry { after: retry_after, taken };
    match status.as_u16() {
        200..=299 => success(status, retry_after, body, mode),
        400 => match body {
            ReplyBody::Hec(reply) => refused(status, retry_after, reply),
            // The part that names the event may be what is missing.
            ReplyBody::Cut => retry(Taken::Perhaps),
            ReplyBody::Empty | ReplyBody::Html | ReplyBody::Other => Disposition::Bisect,
        },
        300..=399 => Disposition::Hold(HoldReason::Redirect(status)),
        401 | 403 => Disposition::Hold(HoldReason::Token { status, code: body.code() }),
        404 | 405 => Disposition::Hold(HoldReason::WrongPath(status)),
        407 => Disposition::Hold(HoldReason::ProxyAuthentication),
        413 => Disposition::Split,
        415 => Disposition::WithoutGzip,
        429 if body.code() == Some(HecCode::ACKS_FULL) => Disposition::FreshChannel,
        425 | 429 => retry(Taken::No),
        503 => retry(busy(body)),
        // 411 as well: the length is always sent, so something in between takes it away.
        501 | 505 => Disposition::Hold(HoldReason::Unexpected(status)),
        408 | 500..=599 => retry(Taken::Perhaps),
        _ => Disposition::Hold(HoldReason::Unexpected(status)),
    }
}

/// Decides about a request that got no reply.
pub fn classify_transport(failure: TransportFailure) -> Disposition {
    match failure {
        TransportFailure::Unreachable => Disposition::Retry { after: None, taken: Taken::No },
        TransportFailure::Interrupted => Disposition::Retry { after: None, taken: Taken::Perhaps },
        TransportFailure::Certificate => Disposition::Hold(HoldReason::Certificate),
        TransportFailure::NotTls => Disposition::Hold(HoldReason::NotTls),
        TransportFailure::ProxyAuthentication => Disposition::Hold(HoldReason::ProxyAuthentication),
    }
}

fn success(
    status: StatusCode,
    retry_after: Option<Duration>,
    body: &ReplyBody,
    mode: ResponseMode,
) -> Disposition {
    match (body, mode) {
        (ReplyBody::Hec(reply), _) => match reply.code {
            HecCode::SUCCESS => Disposition::Accepted(Pace::Steady),
            HecCode::QUEUE_FILLING | HecCode::ACKS_FILLING => Disposition::Accepted(Pace::SlowDown),
            _ => refused(status, retry_after, reply),
        },
        (ReplyBody::Empty | ReplyBody::Other, ResponseMode::Lenient) => Disposition::Accepted(Pace::Steady),
        (ReplyBody::Cut, _) => Disposition::Retry { after: None, taken: Taken::Perhaps },
        (ReplyBody::Html, _) | (ReplyBody::Empty | ReplyBody::Other, ResponseMode::Strict) => {
            Disposition::Hold(HoldReason::NotHec(status))
        }
    }
}

/// A HEC error under 400, or under a 2xx, where the status says nothing.
fn refused(status: StatusCode, retry_after: Option<Duration>, reply: &HecReply) -> Disposition {
    let retry = |taken| Disposition::Retry { after: retry_after, taken };
    match reply.code.0 {
        1..=4 | 16 | 21 | 22 => Disposition::Hold(HoldReason::Token { status, code: Some(reply.code) }),
        5..=7 | 12 | 13 | 15 => Disposition::Isolate { code: reply.code, event_number: reply.event_number },
        8 => retry(Taken::Perhaps),
        9 => retry(stopped_at(reply)),
        10 | 11 | 27 | 28 => Disposition::FreshChannel,
        18..=20 | 23 | 26 => retry(Taken::No),
        404 => Disposition::Hold(HoldReason::WrongPath(status)),
        // Unknown codes go by their HTTP class.
        _ if status.is_success() => Disposition::Hold(HoldReason::NotHec(status)),
        _ => Disposition::Bisect,
    }
}

fn busy(body: &ReplyBody) -> Taken {
    match body {
        ReplyBody::Hec(reply) => stopped_at(reply),
        ReplyBody::Cut => Taken::Perhaps,
        ReplyBody::Empty | ReplyBody::Html | ReplyBody::Other => Taken::No,
    }
}

/// A busy server may say how far it came. Whether it kept that much is contested, so all of it is
/// sent again, and the possible duplicates are counted.
fn stopped_at(reply: &HecReply) -> Taken {
    if reply.event_number.is_some_and(|number| number > 0) { Taken::Perhaps } else { Taken::No }
}

#[cfg(test)]
mod tests;
