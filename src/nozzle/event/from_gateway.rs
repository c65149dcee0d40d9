//! Events of v2 envelopes, from the gateway's JSON.

use crate::nozzle::event::facts::{Facts, Message};
use crate::nozzle::event::{AllTags, Event, Metrics};
use crate::nozzle::ledger::Malformed;
use crate::nozzle::wire::gateway;

impl<'a> Event<'a> {
    /// The event of a gateway's envelope; `None` if it carries no message.
    ///
    /// # Errors
    /// None that reading the envelope would not have found before.
    // Always inlined: an event does not fit into registers, and would be copied on its way out.
    #[inline(always)]
    pub fn from_gateway(envelope: &'a gateway::Envelope<'a>) -> Result<Option<Self>, Malformed> {
        let message = match envelope.message {
            gateway::Message::None => return Ok(None),
            gateway::Message::Log(log) => Message::Log(log),
            gateway::Message::Counter(counter) => Message::Counter(counter),
            gateway::Message::Gauge(metrics) => Message::Gauge(Metrics::Json(metrics)),
            gateway::Message::Timer(timer) => Message::Timer(timer),
            gateway::Message::Event(event) => Message::Event(event),
        };
        let facts = Facts {
            timestamp: envelope.timestamp,
            source_id: envelope.source_id,
            instance_id: envelope.instance_id,
            tags: &envelope.tags,
            all_tags: AllTags::Json(envelope.all_tags),
        };
        facts.event(message).map(Some)
    }
}
