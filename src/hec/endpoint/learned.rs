//! What replies taught about an endpoint, and what later replies mean in its light.

use http::StatusCode;
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

/// See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Learned {
    compression: Compression,
    bytes_max: usize,
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
    /// The data channel it names, if any.
    pub(super) channel: Option<Uuid>,
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
    pub(super) fn new(compression: Compression) -> Self {
        Self { compression, bytes_max: usize::MAX, channel: Channel::None, sent: 0, accepted: None }
    }

    /// How bodies are to be sent.
    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    /// Bodies above this (bytes, uncompressed) were refused for their size.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// A request is about to be sent.
    pub(super) fn send(&mut self) -> Sent {
        let number = self.sent;
        self.sent += 1;
        Sent { number, channel: self.channel() }
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
    ) -> Disposition {
        let Exchange::Reply { status, body, .. } = exchange else { return disposition };
        if self.may_be_anything(disposition, body, request) && !self.accepted_since(request.doubted) {
            return Disposition::Hold(HoldReason::RefusesAll(*status));
        }
        match disposition {
            Disposition::Accepted(_) => self.accepted(request, sent),
            Disposition::WithoutGzip if request.wire.encoding == Compression::None => {
                return Disposition::Hold(HoldReason::MediaType);
            }
            Disposition::WithoutGzip => self.without_gzip("status 415"),
            Disposition::FreshChannel => return self.fresh_channel(*status, sent.channel),
            Disposition::Split => self.too_large(request.raw),
            Disposition::Isolate { code: HecCode::FORMAT, event_number: Some(0) }
                if request.raw > OVERSIZE_BYTES =>
            {
                self.too_large(request.raw);
            }
            Disposition::Bisect
            | Disposition::Isolate { .. }
            | Disposition::Retry { .. }
            | Disposition::Hold(_) => {}
        }
        disposition
    }

    /// Whether this refusal would reject an event on the word of something that may not be the
    /// HEC, such as a gateway that refuses all there is, or against what was learned.
    fn may_be_anything(&self, disposition: Disposition, body: &ReplyBody, request: &Request) -> bool {
        let foreign = !matches!(body, ReplyBody::Hec(_));
        request.events == 1
            && match disposition {
                // Compressed, it is sent once more without.
                Disposition::Bisect => foreign && request.wire.encoding == Compression::None,
                Disposition::Split => {
                    foreign || (self.bytes_max != usize::MAX && request.raw < self.bytes_max)
                }
                _ => false,
            }
    }

    /// Whether a request sent since then was accepted: then refusals are about what was sent.
    fn accepted_since(&self, doubted: Option<u64>) -> bool {
        matches!((doubted, self.accepted), (Some(doubted), Some(accepted)) if accepted >= doubted)
    }

    fn accepted(&mut self, request: &Request, sent: Sent) {
        self.accepted = self.accepted.max(Some(sent.number));
        if let (Channel::Fresh(fresh), Some(sent)) = (self.channel, sent.channel)
            && fresh == sent
        {
            self.channel = Channel::Proven(fresh);
        }
        if request.form == Form::Trial {
            self.without_gzip("a body was only taken uncompressed");
        }
    }

    fn without_gzip(&mut self, why: &'static str) {
        if self.compression == Compression::Gzip {
            self.compression = Compression::None;
            tracing::warn!(why, "the HEC does not take gzip; sending uncompressed from now on");
        }
    }

    /// A body of this many bytes was refused: stay a fifth below.
    fn too_large(&mut self, raw: usize) {
        let limit = (raw / 5 * 4).max(LEARNED_BYTES_MIN);
        if limit < self.bytes_max {
            self.bytes_max = limit;
            tracing::warn!(
                refused_bytes = raw,
                limit_bytes = limit,
                "the HEC refuses large requests; sending smaller ones from now on"
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
mod tests {
    use bytes::Bytes;

    use super::super::super::classify::Pace;
    use super::super::super::compress::Wire;
    use super::*;

    fn request(events: usize, raw: usize, encoding: Compression, form: Form) -> Request {
        let wire = Wire { bytes: Bytes::new(), encoding };
        Request { wire, raw, form, events, doubt: Taken::No, doubted: None }
    }

    fn plain() -> Request {
        request(1, 100, Compression::None, Form::Usual)
    }

    fn reply(status: u16, body: &str) -> Exchange {
        let status = StatusCode::from_u16(status).unwrap();
        Exchange::Reply { status, retry_after: None, body: ReplyBody::parse(body.as_bytes()) }
    }

    fn sent(channel: Option<Uuid>) -> Sent {
        Sent { number: 0, channel }
    }

    const ACCEPTED: Disposition = Disposition::Accepted(Pace::Steady);

    #[test]
    fn a_channel_is_renewed_once_and_again_only_after_it_was_accepted() {
        let mut learned = Learned::new(Compression::Gzip);
        let refused = reply(400, r#"{"code":11}"#);
        let full = reply(429, r#"{"code":27}"#);
        let fresh = Disposition::FreshChannel;
        assert_eq!(learned.take_in(fresh, &refused, &plain(), sent(None)), fresh);
        let first = learned.channel();
        assert!(first.is_some());
        assert_eq!(
            learned.take_in(fresh, &refused, &plain(), sent(None)),
            fresh,
            "sent before the first was made"
        );
        assert_eq!(learned.channel(), first);
        let hold = Disposition::Hold(HoldReason::Channel);
        assert_eq!(learned.take_in(fresh, &refused, &plain(), sent(first)), hold);
        let retry = Disposition::Retry { after: None, taken: Taken::No };
        assert_eq!(learned.take_in(fresh, &full, &plain(), sent(first)), retry);
        learned.take_in(ACCEPTED, &reply(200, r#"{"code":0}"#), &plain(), sent(first));
        assert_eq!(learned.take_in(fresh, &full, &plain(), sent(first)), fresh);
        assert!(learned.channel().is_some() && learned.channel() != first);
    }

    #[test]
    fn a_415_turns_gzip_off_and_is_a_hold_without_gzip() {
        let mut learned = Learned::new(Compression::Gzip);
        let compressed = request(1, 100, Compression::Gzip, Form::Usual);
        let exchange = reply(415, "");
        let off = Disposition::WithoutGzip;
        assert_eq!(learned.take_in(off, &exchange, &compressed, sent(None)), off);
        assert_eq!(learned.compression(), Compression::None);
        let hold = Disposition::Hold(HoldReason::MediaType);
        assert_eq!(learned.take_in(off, &exchange, &plain(), sent(None)), hold);
    }

    #[test]
    fn only_a_successful_trial_blames_gzip() {
        let ok = reply(200, r#"{"code":0}"#);
        for (form, expected) in [
            (Form::Usual, Compression::Gzip),
            (Form::Plain, Compression::Gzip),
            (Form::Trial, Compression::None),
        ] {
            let mut learned = Learned::new(Compression::Gzip);
            learned.take_in(ACCEPTED, &ok, &request(1, 100, Compression::None, form), sent(None));
            assert_eq!(learned.compression(), expected, "{form:?}");
        }
    }

    #[test]
    fn the_size_limit_only_falls_and_not_below_its_floor() {
        let mut learned = Learned::new(Compression::Gzip);
        let refused = reply(413, "");
        for (raw, limit) in [(1_000_000, 800_000), (2_000_000, 800_000), (500_000, 400_000), (300, 16_384)] {
            let body = request(2, raw, Compression::Gzip, Form::Usual);
            learned.take_in(Disposition::Split, &refused, &body, sent(None));
            assert_eq!(learned.bytes_max(), limit);
        }
    }

    #[test]
    fn a_single_event_is_only_judged_by_others_than_hec_after_something_was_taken() {
        let hold = |status| Disposition::Hold(HoldReason::RefusesAll(StatusCode::from_u16(status).unwrap()));
        for (status, refused) in [(400, Disposition::Bisect), (413, Disposition::Split)] {
            let mut learned = Learned::new(Compression::Gzip);
            let page = reply(status, "<html>");
            let mut post = |disposition, exchange: &Exchange, request: &Request| {
                let sent = learned.send();
                learned.take_in(disposition, exchange, request, sent)
            };
            let two = request(2, 100_000, Compression::None, Form::Usual);
            assert_eq!(post(refused, &page, &two), refused);
            assert_eq!(post(refused, &page, &plain()), hold(status));
            post(ACCEPTED, &reply(200, r#"{"code":0}"#), &plain());
            assert_eq!(post(refused, &page, &plain()), hold(status), "the batch is new");
            // Sent before the first refusal, though its reply comes after.
            let early = learned.send();
            let doubted = Request { doubted: Some(learned.next_number()), ..plain() };
            learned.take_in(ACCEPTED, &reply(200, r#"{"code":0}"#), &plain(), early);
            let again = learned.send();
            assert_eq!(learned.take_in(refused, &page, &doubted, again), hold(status), "{status}");
            let late = learned.send();
            learned.take_in(ACCEPTED, &reply(200, r#"{"code":0}"#), &plain(), late);
            let last = learned.send();
            assert_eq!(learned.take_in(refused, &page, &doubted, last), refused, "{status}");
        }
    }

    #[test]
    fn hec_itself_may_judge_a_single_event_unless_it_contradicts_itself() {
        let mut learned = Learned::new(Compression::Gzip);
        let compressed = request(1, 100, Compression::Gzip, Form::Usual);
        let bisect = Disposition::Bisect;
        assert_eq!(
            learned.take_in(bisect, &reply(400, ""), &compressed, sent(None)),
            bisect,
            "a trial comes first"
        );
        assert_eq!(learned.take_in(bisect, &reply(400, r#"{"code":99}"#), &plain(), sent(None)), bisect);
        let (split, own) = (Disposition::Split, reply(413, r#"{"code":413}"#));
        let large = request(1, 60_000, Compression::Gzip, Form::Usual);
        assert_eq!(learned.take_in(split, &own, &large, sent(None)), split);
        assert_eq!(learned.bytes_max(), 48_000);
        let hold = Disposition::Hold(HoldReason::RefusesAll(StatusCode::PAYLOAD_TOO_LARGE));
        assert_eq!(learned.take_in(split, &own, &plain(), sent(None)), hold, "larger ones were taken");
        assert_eq!(learned.bytes_max(), 48_000);
    }
}
