//! Which types of events are delivered.

use super::fault::cut;
use super::names;
use super::reader::{Parsed, Reader};
use super::settings::Setting;
use super::settings::input::EVENTS;
use crate::nozzle::event_type::{EventSet, EventType};

pub(super) fn read(reader: &mut Reader) -> Option<EventSet> {
    reader.value(&EVENTS, |_: &Setting, text: &str| parse(text))
}

/// The types an operator can choose; timers come with HttpStartStop.
fn choices() -> impl Iterator<Item = EventType> {
    EventType::ALL.into_iter().filter(|event| *event != EventType::Timer)
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
    let mut set = Vec::new();
    for name in names {
        match choices().find(|event| event.name() == name) {
            Some(event) => set.push(event),
            None if name.is_empty() => return Err(form("an item is empty")),
            None => {
                let nearest = names::nearest(name, choices().map(EventType::name));
                return Err(match nearest {
                    Some(nearest) => form(&format!("{} should perhaps be {nearest}", cut(name))),
                    None => form(&format!("{} is none of them", cut(name))),
                });
            }
        }
    }
    Ok(set.into_iter().collect())
}

fn form(problem: &str) -> String {
    let names: Vec<&str> = choices().map(EventType::name).collect();
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
        let all: Vec<_> = choices().map(EventType::name).collect();
        assert_eq!(parse(&all.join(",")).unwrap().iter().count(), all.len());
    }

    #[test]
    fn a_wrong_name_is_named() {
        for (text, part) in [
            ("logmessage", "should perhaps be LogMessage"),
            ("LogMessages", "should perhaps be LogMessage"),
            ("Timer", "\"Timer\" is none of them"),
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
