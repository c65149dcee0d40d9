//! The types of events, under the names the Go nozzle gave them.

use std::fmt;

/// What an event is. The first eight exist in v1 of the protocol, the last two in v2 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EventType {
    /// A request came in (retired by the platform).
    HttpStart,
    /// A request was answered (retired by the platform).
    HttpStop,
    /// A request and its answer.
    HttpStartStop,
    /// A log line.
    LogMessage,
    /// A metric.
    ValueMetric,
    /// A counter.
    CounterEvent,
    /// An error of a component.
    Error,
    /// An app instance's use of resources.
    ContainerMetric,
    /// Something that happened on the platform.
    Event,
    /// A span of time that is no HTTP request.
    Timer,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 10] = [
        Self::HttpStart,
        Self::HttpStop,
        Self::HttpStartStop,
        Self::LogMessage,
        Self::ValueMetric,
        Self::CounterEvent,
        Self::Error,
        Self::ContainerMetric,
        Self::Event,
        Self::Timer,
    ];

    /// The name in EVENTS and in `event_type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HttpStart => "HttpStart",
            Self::HttpStop => "HttpStop",
            Self::HttpStartStop => "HttpStartStop",
            Self::LogMessage => "LogMessage",
            Self::ValueMetric => "ValueMetric",
            Self::CounterEvent => "CounterEvent",
            Self::Error => "Error",
            Self::ContainerMetric => "ContainerMetric",
            Self::Event => "Event",
            Self::Timer => "Timer",
        }
    }

    /// The type with this name, in exactly this spelling.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event_type| event_type.name() == name)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of event types: what EVENTS selects.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct EventSet(u16);

impl EventSet {
    /// Whether the type is in the set.
    #[inline]
    pub const fn contains(self, event_type: EventType) -> bool {
        self.0 >> event_type as u8 & 1 == 1
    }

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The types in the set, in order.
    pub fn iter(self) -> impl Iterator<Item = EventType> {
        EventType::ALL.into_iter().filter(move |event_type| self.contains(*event_type))
    }
}

impl fmt::Debug for EventSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromIterator<EventType> for EventSet {
    fn from_iter<I: IntoIterator<Item = EventType>>(types: I) -> Self {
        Self(types.into_iter().fold(0, |bits, event_type| bits | 1 << event_type as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_types() {
        for event_type in EventType::ALL {
            assert_eq!(EventType::from_name(event_type.name()), Some(event_type));
        }
        assert_eq!(EventType::from_name("logmessage"), None);
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: EventSet = [EventType::Timer, EventType::HttpStart].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [EventType::HttpStart, EventType::Timer]);
        assert!(EventSet::default().is_empty());
    }
}
