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
    /// Whether any reply so far was HEC's.
    speaks_hec: bool,
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
        Self { compression, bytes_max: usize::MAX, channel: Channel::None, speaks_hec: false }
    }

    /// How bodies are to be sent.
    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    /// Bodies above this (bytes, uncompressed) were refused for their size.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
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
        channel: Option<Uuid>,
    ) -> Disposition {
        let Exchange::Reply { status, body, .. } = exchange else { return disposition };
        self.speaks_hec |= matches!(body, ReplyBody::Hec(_));
        match disposition {
            Disposition::Accepted(_) => self.accepted(request, channel),
            Disposition::WithoutGzip if request.wire.encoding == Compression::None => {
                return Disposition::Hold(HoldReason::MediaType);
            }
            Disposition::WithoutGzip => self.without_gzip("status 415"),
            Disposition::FreshChannel => return self.fresh_channel(*status, channel),
            Disposition::Split => self.too_large(request.raw),
            Disposition::Isolate { code: HecCode::FORMAT, event_number: Some(0) }
                if request.raw > OVERSIZE_BYTES =>
            {
                self.too_large(request.raw);
            }
            // Bisecting would now reject an event on the word of something that may not even be
            // a HEC: rather keep it, until one reply shows otherwise.
            Disposition::Bisect
                if !self.speaks_hec && request.events == 1 && request.wire.encoding == Compression::None =>
            {
                return Disposition::Hold(HoldReason::RefusesAll(*status));
            }
            Disposition::Bisect
            | Disposition::Isolate { .. }
            | Disposition::Retry { .. }
            | Disposition::Hold(_) => {}
        }
        disposition
    }

    fn accepted(&mut self, request: &Request, channel: Option<Uuid>) {
        if let (Channel::Fresh(fresh), Some(sent)) = (self.channel, channel)
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
        Request { wire, raw, form, events, doubt: Taken::No }
    }

    fn plain() -> Request {
        request(1, 100, Compression::None, Form::Usual)
    }

    fn reply(status: u16, body: &str) -> Exchange {
        let status = StatusCode::from_u16(status).unwrap();
        Exchange::Reply { status, retry_after: None, body: ReplyBody::parse(body.as_bytes()) }
    }

    const ACCEPTED: Disposition = Disposition::Accepted(Pace::Steady);

    #[test]
    fn a_channel_is_renewed_once_and_again_only_after_it_was_accepted() {
        let mut learned = Learned::new(Compression::Gzip);
        let refused = reply(400, r#"{"code":11}"#);
        let full = reply(429, r#"{"code":27}"#);
        let fresh = Disposition::FreshChannel;
        assert_eq!(learned.take_in(fresh, &refused, &plain(), None), fresh);
        let first = learned.channel();
        assert!(first.is_some());
        assert_eq!(learned.take_in(fresh, &refused, &plain(), None), fresh, "sent before the first was made");
        assert_eq!(learned.channel(), first);
        let hold = Disposition::Hold(HoldReason::Channel);
        assert_eq!(learned.take_in(fresh, &refused, &plain(), first), hold);
        let retry = Disposition::Retry { after: None, taken: Taken::No };
        assert_eq!(learned.take_in(fresh, &full, &plain(), first), retry);
        learned.take_in(ACCEPTED, &reply(200, r#"{"code":0}"#), &plain(), first);
        assert_eq!(learned.take_in(fresh, &full, &plain(), first), fresh);
        assert!(learned.channel().is_some() && learned.channel() != first);
    }

    #[test]
    fn a_415_turns_gzip_off_and_is_a_hold_without_gzip() {
        let mut learned = Learned::new(Compression::Gzip);
        let compressed = request(1, 100, Compression::Gzip, Form::Usual);
        let exchange = reply(415, "");
        let off = Disposition::WithoutGzip;
        assert_eq!(learned.take_in(off, &exchange, &compressed, None), off);
        assert_eq!(learned.compression(), Compression::None);
        let hold = Disposition::Hold(HoldReason::MediaType);
        assert_eq!(learned.take_in(off, &exchange, &plain(), None), hold);
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
            learned.take_in(ACCEPTED, &ok, &request(1, 100, Compression::None, form), None);
            assert_eq!(learned.compression(), expected, "{form:?}");
        }
    }

    #[test]
    fn the_size_limit_only_falls_and_not_below_its_floor() {
        let mut learned = Learned::new(Compression::Gzip);
        let refused = reply(413, "");
        for (raw, limit) in [(1_000_000, 800_000), (2_000_000, 800_000), (500_000, 400_000), (300, 16_384)] {
            let sent = request(2, raw, Compression::Gzip, Form::Usual);
            learned.take_in(Disposition::Split, &refused, &sent, None);
            assert_eq!(learned.bytes_max(), limit);
        }
    }

    #[test]
    fn a_single_event_is_kept_from_what_never_spoke_as_a_hec() {
        let mut learned = Learned::new(Compression::Gzip);
        let page = reply(400, "<html>");
        let bisect = Disposition::Bisect;
        let hold = Disposition::Hold(HoldReason::RefusesAll(StatusCode::BAD_REQUEST));
        let two = request(2, 100, Compression::None, Form::Usual);
        let compressed = request(1, 100, Compression::Gzip, Form::Usual);
        assert_eq!(learned.take_in(bisect, &page, &two, None), bisect);
        assert_eq!(learned.take_in(bisect, &page, &compressed, None), bisect);
        assert_eq!(learned.take_in(bisect, &page, &plain(), None), hold);
        learned.take_in(ACCEPTED, &reply(200, r#"{"code":0}"#), &plain(), None);
        assert_eq!(learned.take_in(bisect, &page, &plain(), None), bisect);
    }
}
