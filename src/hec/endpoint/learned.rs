//! What replies taught about an endpoint, and what later replies mean in its light.
//!
//! Pure: time is handed in. What makes delivery worse, smaller requests and plain ones, is forgotten after
//! a while: the gateway that asked for it may be gone. Trying anew costs one refused request.

use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;
use uuid::Uuid;

use super::super::classify::{Disposition, Taken};
use super::super::compress::Compression;
use super::super::hold::HoldReason;
use super::super::repair::{Form, OVERSIZE_BYTES};
use super::super::reply::{HecCode, ReplyBody};
use super::super::transport::Exchange;
use super::Request;

/// The limit on bodies (bytes, uncompressed) is never learned to be lower than this.
const LEARNED_BYTES_MIN: usize = 16 * 1024;

/// How long requests stay below the size that was refused.
const SIZE_LASTS: Duration = Duration::from_mins(10);

/// How long requests go without gzip after it was refused.
const PLAIN_LASTS: Duration = Duration::from_mins(15);

/// Successes by status that do not say so in their body, one after another, before the endpoint is held.
/// One by itself may be the slip of a gateway.
const UNREADABLE_MAX: u32 = 3;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct Learned {
    /// Of which endpoint, for the log.
    place: String,
    configured: Compression,
    /// Until when gzip is not used.
    plain_until: Option<Instant>,
    /// The largest body (bytes, uncompressed), and until when that holds.
    size: Option<(usize, Instant)>,
    /// Successes without a body that says so, since the last that did.
    unreadable: u32,
    channel: Channel,
    /// How many requests were sent.
    sent: u64,
    /// The number of the last request that was accepted, as far as is known.
    accepted: Option<u64>,
}

/// What is to be remembered of a request until its reply is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// Counted from 0.
    number: u64,
    /// The data channel it names, if HEC has demanded one.
    pub(super) channel: Option<Uuid>,
    /// Whether it goes by a lane, which has a channel of its own.
    pub(super) by_lane: bool,
}

/// The data channel requests go under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    /// Not asked for.
    None,
    /// Sent, not known to be accepted.
    Fresh(Uuid),
    /// Accepted.
    Proven(Uuid),
}

impl Learned {
    pub(super) fn new(compression: Compression, place: String) -> Self {
        Self {
            place,
            configured: compression,
            plain_until: None,
            size: None,
            unreadable: 0,
            channel: Channel::None,
            sent: 0,
            accepted: None,
        }
    }

    /// How bodies are to be sent.
    pub(super) fn compression(&self, now: Instant) -> Compression {
        if self.plain_until.is_some_and(|until| now < until) { Compression::None } else { self.configured }
    }

    /// Bodies above this (bytes, uncompressed) were refused for their size.
    pub(super) fn bytes_max(&self, now: Instant) -> usize {
        self.limit(now).unwrap_or(usize::MAX)
    }

    fn limit(&self, now: Instant) -> Option<usize> {
        self.size.filter(|(_, until)| now < *until).map(|(bytes, _)| bytes)
    }

    /// A request is about to be sent.
    pub(super) fn send(&mut self, by_lane: bool) -> Sent {
        let number = self.sent;
        self.sent += 1;
        Sent { number, channel: self.channel(), by_lane }
    }

    /// The number of the request that is sent next.
    pub(super) fn next_number(&self) -> u64 {
        self.sent
    }

    /// The data channel to name, if any.
    pub(super) fn channel(&self) -> Option<Uuid> {
        match self.channel {
            Channel::None => None,
            Channel::Fresh(id) | Channel::Proven(id) => Some(id),
        }
    }

    /// Learns from a reply, and corrects its meaning by what was known before.
    pub(super) fn take_in(
        &mut self,
        disposition: Disposition,
        exchange: &Exchange,
        request: &Request,
        sent: Sent,
        now: Instant,
    ) -> Disposition {
        let Exchange::Reply { status, body, .. } = exchange else { return disposition };
        if self.may_be_anything(disposition, body, request, now) && !self.accepted_since(request.doubted) {
            return Disposition::Hold(HoldReason::RefusesAll(*status));
        }
        match disposition {
            Disposition::Accepted(_) => self.accepted(request, sent, now),
            Disposition::WithoutGzip if request.wire.encoding == Compression::None => {
                return Disposition::Hold(HoldReason::MediaType);
            }
            Disposition::WithoutGzip => self.without_gzip("status 415", now),
            Disposition::FreshChannel if !sent.by_lane => return self.fresh_channel(*status, sent.channel),
            Disposition::Split => self.too_large(request.raw, now),
            Disposition::Isolate { code: HecCode::FORMAT, event_number: Some(0) }
                if request.raw > OVERSIZE_BYTES =>
            {
                self.too_large(request.raw, now);
            }
            Disposition::Hold(HoldReason::NotHec(status)) if status.is_success() => {
                self.unreadable = self.unreadable.saturating_add(1);
                if self.unreadable < UNREADABLE_MAX {
                    return Disposition::Retry { after: None, taken: Taken::Perhaps };
                }
            }
            Disposition::FreshChannel
            | Disposition::Bisect
            | Disposition::Isolate { .. }
            | Disposition::Retry { .. }
            | Disposition::FreshToken
            | Disposition::Hold(_) => {}
        }
        disposition
    }

    /// Whether this refusal would reject an event on the word of something that may not be the
    /// HEC, such as a gateway that refuses all there is, or against what was learned.
    fn may_be_anything(
        &self,
        disposition: Disposition,
        body: &ReplyBody,
        request: &Request,
        now: Instant,
    ) -> bool {
        let foreign = !matches!(body, ReplyBody::Hec(_));
        request.events == 1
            && match disposition {
                // Compressed, it is sent once more without.
                Disposition::Bisect => foreign && request.wire.encoding == Compression::None,
                Disposition::Split => foreign || self.limit(now).is_some_and(|limit| request.raw < limit),
                _ => false,
            }
    }

    /// Whether a request sent since then was accepted: then refusals are about what was sent.
    pub(super) fn accepted_since(&self, doubted: Option<u64>) -> bool {
        matches!((doubted, self.accepted), (Some(doubted), Some(accepted)) if accepted >= doubted)
    }

    fn accepted(&mut self, request: &Request, sent: Sent, now: Instant) {
        self.unreadable = 0;
        self.accepted = self.accepted.max(Some(sent.number));
        if let (Channel::Fresh(fresh), Some(sent)) = (self.channel, sent.channel)
            && fresh == sent
        {
            self.channel = Channel::Proven(fresh);
        }
        if request.form == Form::Trial {
            self.without_gzip("a body was only taken uncompressed", now);
        }
    }

    fn without_gzip(&mut self, why: &'static str, now: Instant) {
        if self.compression(now) == Compression::Gzip {
            self.plain_until = Some(now + PLAIN_LASTS);
            tracing::warn!(
                endpoint = self.place,
                why,
                retry_s = PLAIN_LASTS.as_secs(),
                "the HEC does not take gzip; sending uncompressed until it is tried again"
            );
        }
    }

    /// A body of this many bytes was refused: stay a fifth below.
    fn too_large(&mut self, raw: usize, now: Instant) {
        let limit = (raw / 5 * 4).max(LEARNED_BYTES_MIN);
        if limit < self.bytes_max(now) {
            self.size = Some((limit, now + SIZE_LASTS));
            tracing::warn!(
                endpoint = self.place,
                refused_bytes = raw,
                limit_bytes = limit,
                retry_s = SIZE_LASTS.as_secs(),
                "the HEC refuses large requests; sending smaller ones until it is tried again"
            );
        }
    }

    /// The channel sent, or its absence, was refused.
    fn fresh_channel(&mut self, status: StatusCode, sent: Option<Uuid>) -> Disposition {
        match self.channel {
            // Another request was faster.
            _ if self.channel() != sent => Disposition::FreshChannel,
            Channel::Fresh(_) if status == StatusCode::TOO_MANY_REQUESTS => {
                Disposition::Retry { after: None, taken: Taken::No }
            }
            Channel::Fresh(_) => Disposition::Hold(HoldReason::Channel),
            Channel::None | Channel::Proven(_) => {
                self.channel = Channel::Fresh(Uuid::new_v4());
                Disposition::FreshChannel
            }
        }
    }
}

#[cfg(test)]
mod tests;
