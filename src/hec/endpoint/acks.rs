//! Acknowledgement at one endpoint: polls, and the question that comes before the first data where acks are required.

use std::sync::Arc;

use tokio::time::Instant;

use super::trial::TOKENS_MAX;
use super::{
    Attempt, Credit, Disposition, Endpoint, Exchange, HoldReason, Lanes, Pass, Signal, Tried, describe,
};
use crate::hec::ack::lanes::{Poll, Reply};
use crate::hec::ack::poll::{Answer, NO_ID};
use crate::hec::ack::receipt::Fate;
use crate::hec::classify::{Taken, TransportFailure};
use crate::hec::reply::{HecCode, ReplyBody};
use crate::hec::token::Refused;
use crate::hec::transport::{By, Polled, Posted};

/// What a reply means for the data when it went by a lane.
pub(super) fn judge(
    lanes: &Arc<Lanes>,
    pass: &Pass,
    disposition: Disposition,
    posted: &Posted,
    bytes: usize,
    now: Instant,
) -> (Disposition, Credit) {
    let Exchange::Reply { status, body, .. } = &posted.exchange else {
        return (disposition, Credit::Delivered);
    };
    let (ack_id, code) = match body {
        ReplyBody::Hec(reply) => (reply.ack_id, Some(reply.code)),
        _ => (None, None),
    };
    let filling = code == Some(HecCode::ACKS_FILLING);
    let reply = Reply { ack_id, bytes, set_cookies: &posted.set_cookies, filling };
    match disposition {
        Disposition::Accepted(_) => match lanes.taken(pass, reply, now) {
            Some(credit) => (disposition, credit),
            None => (Disposition::Hold(HoldReason::NoAcks), Credit::Unconfirmed),
        },
        // The id stands for the events before the bad one. Without an id they are taken all the same, and
        // sending them again would repeat them for certain.
        Disposition::Isolate { event_number: Some(1..), .. } => {
            (disposition, lanes.taken(pass, reply, now).unwrap_or(Credit::Unconfirmed))
        }
        Disposition::FreshChannel => (lanes.refused_channel(pass.channel, *status, now), Credit::Delivered),
        _ => (disposition, Credit::Delivered),
    }
}

impl Endpoint {
    /// The lanes, where acks are asked for.
    pub(crate) fn lanes(&self) -> Option<&Arc<Lanes>> {
        self.lanes.as_ref()
    }

    /// Polls a lane, with another token if the first is refused. `leaving`: the endpoint is no longer used.
    pub(crate) async fn poll(&self, poll: Poll, leaving: bool) {
        let (polled, answer) = self.poll_ids(&poll).await;
        let now = Instant::now();
        poll.ended(&answer, &describe(&polled.exchange), &polled.set_cookies, now);
        if let (Answer::NotAsked, true, Some(lanes)) = (answer, leaving, &self.lanes) {
            // Nobody will ever be asked there again.
            lanes.give_up(Fate::Lost, now);
        }
    }

    async fn poll_ids(&self, poll: &Poll) -> (Polled, Answer) {
        let mut left = TOKENS_MAX;
        loop {
            left -= 1;
            let token = self.tokens.shown();
            let by = By { token: token.clone(), channel: Some(poll.channel), cookies: poll.cookies.clone() };
            let polled = self.transport.poll(&poll.ids, by, poll.timeout()).await;
            let answer = Answer::of(&polled.exchange, polled.statuses.clone());
            let tries_another = match &answer {
                Answer::Token if left > 0 => match self.tokens.refused(&token) {
                    Refused::TryAnother => true,
                    Refused::Newest(newest) => self.tokens.look_for_other_than(&newest).await,
                },
                _ => false,
            };
            if !tries_another {
                return (polled, answer);
            }
        }
    }

    /// Where acks are required, no data is sent before the server has shown that it acknowledges, nor where
    /// ids do not lead back to their server: it would be taken and never confirmed, again and again. `None`: all is well.
    pub(super) async fn ask_for_acks(&self) -> Option<Tried> {
        let lanes = self.lanes.as_ref()?;
        if let Some(reason) = lanes.hold(Instant::now()) {
            return Some(not_sent(Signal::Hold(reason), reason.to_string()));
        }
        if !lanes.must_ask() {
            return None;
        }
        let token = self.tokens.shown();
        let channel = lanes.channel();
        let by = By { token: token.clone(), channel, cookies: None };
        let polled = self.transport.poll(&[NO_ID], by, lanes.poll_timeout()).await;
        lanes.note_cookies(channel, &polled.set_cookies, Instant::now());
        let (exchange, error) = (&polled.exchange, describe(&polled.exchange));
        let disposition = match Answer::of(exchange, polled.statuses.clone()) {
            Answer::Statuses(_) => {
                lanes.note_acknowledges(true);
                return None;
            }
            Answer::Disabled => Disposition::Hold(HoldReason::NoAcks),
            Answer::Channel => Disposition::Hold(HoldReason::Channel),
            Answer::Token => self.judge_token(self.classify(exchange), &token).await,
            // As with data: what waits, waits, and the rest is not a server that acknowledges.
            Answer::NotAsked | Answer::Refused | Answer::Uncertain => match self.classify(exchange) {
                retry @ Disposition::Retry { .. } => retry,
                Disposition::Hold(
                    reason @ (HoldReason::Certificate | HoldReason::NotTls | HoldReason::ProxyAuthentication),
                ) => Disposition::Hold(reason),
                _ => Disposition::Hold(HoldReason::NoAcks),
            },
        };
        self.ledger.error(error.clone());
        let signal = (disposition != Disposition::FreshToken).then(|| super::signal(disposition, exchange));
        let unreachable = matches!(exchange, Exchange::Failed { failure: TransportFailure::Unreachable, .. });
        Some(Tried { signal, unreachable, ..not_sent(Signal::Up, error) })
    }

    /// Why nothing more should be sent here.
    pub(super) fn hold_for_acks(&self) -> Option<HoldReason> {
        self.lanes.as_ref()?.hold(Instant::now())
    }
}

/// An attempt that ended before data was sent.
fn not_sent(signal: Signal, error: String) -> Tried {
    Tried {
        attempt: Attempt::Again(Taken::No),
        credit: Credit::Delivered,
        signal: Some(signal),
        push_back: false,
        unreachable: false,
        error: Some(error),
    }
}
