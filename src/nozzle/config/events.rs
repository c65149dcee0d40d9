//! Which types of events are delivered.

use std::fmt;

use super::fault::cut;
use super::names;
use super::reader::{Parsed, Reader};
use super::settings::Setting;
use super::settings::input::EVENTS;

/// The types an operator can choose, by the names of the v1 firehose; `Event` exists in v2 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// The start of an HTTP request; v1 only, and long out of use.
    HttpStart,
    /// The end of an HTTP request; v1 only, and long out of use.
    HttpStop,
    /// A whole HTTP request; in v2 every timer.
    HttpStartStop,
    /// A line of a log.
    LogMessage,
    /// A gauge.
    ValueMetric,
    /// A counter.
    CounterEvent,
    /// An error of a platform component.
    Error,
    /// CPU, memory and disk of an app instance.
    ContainerMetric,
    /// A titled event; v2 only.
    Event,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 9] = [
        Self::HttpStart,
        Self::HttpStop,
        Self::HttpStartStop,
        Self::LogMessage,
        Self::ValueMetric,
        Self::CounterEvent,
        Self::Error,
        Self::ContainerMetric,
        Self::Event,
    ];

    /// The name in the setting.
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
        }
    }
}

/// A set of event types.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct EventSet(u16);

impl EventSet {
    /// Whether the type is in the set.
    pub const fn contains(self, event: EventType) -> bool {
        self.0 & (1 << event as u16) != 0
    }

    /// The set and one more type.
    #[must_use]
    pub const fn with(self, event: EventType) -> Self {
        Self(self.0 | (1 << event as u16))
    }

    /// Whether no type is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The types in the set.
    pub fn iter(self) -> impl Iterator<Item = EventType> {
        EventType::ALL.into_iter().filter(move |event| self.contains(*event))
    }

    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        reader.value(&EVENTS, |_: &Setting, text: &str| parse(text))
    }
}

impl FromIterator<EventType> for EventSet {
    fn from_iter<I: IntoIterator<Item = EventType>>(events: I) -> Self {
        events.into_iter().fold(Self::default(), Self::with)
    }
}

impl fmt::Debug for EventSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A comma-separated list or a JSON array of strings, exact in case; it must name something.
fn parse(text: &str) -> Parsed<EventSet> {
    let listed: Option<Vec<String>> = serde_json::from_str(text.trim()).unwrap_or_default();
    let names: Vec<&str> = match &listed {
        Some(names) => names.iter().map(String::as_str).collect(),
        None => text.split(',').map(str::trim).collect(),
    };
    if names.is_empty() {
        return Err(form("it names nothing"));
    }
    let find = |name: &str| EventType::ALL.into_iter().find(|event| event.name() == name);
    let mut set = EventSet::default();
    for name in names {
        match find(name) {
            Some(event) => set = set.with(event),
            None if name.is_empty() => return Err(form("an item is empty")),
            None => {
                let nearest = names::nearest(name, EventType::ALL.into_iter().map(EventType::name));
                return Err(match nearest {
                    Some(nearest) => form(&format!("{} should perhaps be {nearest}", cut(name))),
                    None => form(&format!("{} is none of them", cut(name))),
                });
            }
        }
    }
    Ok(set)
}

fn form(problem: &str) -> String {
    let names: Vec<&str> = EventType::ALL.into_iter().map(EventType::name).collect();
    format!("a list of names out of {}, separated by commas: {problem}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_arrays_name_the_same() {
        let both: EventSet = [EventType::LogMessage, EventType::Event].into_iter().collect();
        for text in [
            "LogMessage,Event",
            " Event , LogMessage ",
            "[\"LogMessage\", \"Event\"]",
            "Event,LogMessage,Event",
        ] {
            assert_eq!(parse(text), Ok(both), "{text}");
        }
        let all = EventType::ALL.map(EventType::name).join(",");
        assert_eq!(parse(&all).unwrap().iter().count(), EventType::ALL.len());
    }

    #[test]
    fn a_wrong_name_is_named() {
        for (text, part) in [
            ("logmessage", "should perhaps be LogMessage"),
            ("LogMessages", "should perhaps be LogMessage"),
            ("Heartbeat", "\"Heartbeat\" is none of them"),
            ("LogMessage,", "an item is empty"),
            ("   ", "an item is empty"),
            ("[]", "it names nothing"),
            ("null", "\"null\" is none of them"),
            ("[LogMessage]", "\"[LogMessage]\""),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
