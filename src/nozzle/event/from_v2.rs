//! Events of v2 envelopes, from protobuf.

use crate::nozzle::event::facts::{Facts, Message};
use crate::nozzle::event::{AllTags, Event, Metrics};
use crate::nozzle::ledger::Malformed;
use crate::nozzle::wire::v2;

impl<'a> Event<'a> {
    /// The event of a v2 envelope; `None` if it carries no message.
    ///
    /// # Errors
    /// What is wrong with the message.
    // Always inlined: an event does not fit into registers, and would be copied on its way out.
    #[inline(always)]
    pub fn from_v2(envelope: &'a v2::Envelope<'a>) -> Result<Option<Self>, Malformed> {
        let message = match envelope.message {
            v2::Message::None => return Ok(None),
            v2::Message::Log(bytes) => Message::Log(v2::Log::parse(bytes)?),
            v2::Message::Counter(bytes) => Message::Counter(v2::Counter::parse(bytes)?),
            v2::Message::Gauge(bytes) => Message::Gauge(Metrics::Protobuf(v2::Metrics::new(bytes))),
            v2::Message::Timer(bytes) => Message::Timer(v2::Timer::parse(bytes)?),
            v2::Message::Event(bytes) => Message::Event(v2::Event::parse(bytes)?),
        };
        let facts = Facts {
            timestamp: envelope.timestamp,
            source_id: envelope.source_id,
            instance_id: envelope.instance_id,
            tags: &envelope.tags,
            all_tags: AllTags::Protobuf { envelope: envelope.bytes, field: v2::TAGS },
        };
        facts.event(message).map(Some)
    }
}
