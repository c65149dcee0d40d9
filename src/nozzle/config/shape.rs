//! What an event looks like in Splunk.

use super::fault::cut;
use super::parse;
use super::reader::{Parsed, Reader};
use super::settings::Setting;
use super::settings::input::{ADD_TAGS, ENABLE_EVENT_TRACING, EXTRA_FIELDS};
use super::settings::output::SPLUNK_INDEX;

/// What an event looks like in Splunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeConfig {
    /// The index of events whose app names none.
    pub index: String,
    /// Whether the envelope's tags are added.
    pub add_tags: bool,
    /// Indexed fields for every event, each name once, in the order given.
    pub extra_fields: Vec<(String, String)>,
    /// Whether fields are added by which a single event can be traced.
    pub event_tracing: bool,
}

impl ShapeConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let index = reader.value(&SPLUNK_INDEX, parse::word);
        let add_tags = reader.value(&ADD_TAGS, parse::boolean);
        let extra_fields = reader.optional(&EXTRA_FIELDS, |_: &Setting, text: &str| fields(text));
        let event_tracing = reader.value(&ENABLE_EVENT_TRACING, parse::boolean);
        let nameless = |fields: &Vec<(String, String)>| fields.iter().any(|(name, _)| name.is_empty());
        if extra_fields.iter().flatten().any(nameless) {
            reader.warn(&EXTRA_FIELDS, "a field without a name cannot be searched");
        }
        Some(Self {
            index: index?,
            add_tags: add_tags?,
            extra_fields: extra_fields?.unwrap_or_default(),
            event_tracing: event_tracing?,
        })
    }
}

/// `name:value` pairs separated by commas, trimmed; or a JSON object of strings, as it stands.
fn fields(text: &str) -> Parsed<Vec<(String, String)>> {
    if text.trim_start().starts_with('{') {
        // The map keeps the last of equal names, as the pairs do.
        let object: std::collections::BTreeMap<String, String> =
            serde_json::from_str(text).map_err(|error| {
                form(&format!("as JSON, an object of strings was expected (column {})", error.column()))
            })?;
        return Ok(object.into_iter().collect());
    }
    let mut fields: Vec<(String, String)> = Vec::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (name, value) = match pair.split_once(':') {
            Some((name, value)) if !value.contains(':') => (name.trim(), value.trim()),
            Some(_) => return Err(form(&format!("{} has more than one colon", cut(pair)))),
            None => return Err(form(&format!("{} has no colon", cut(pair)))),
        };
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => fields.push((name.to_owned(), value.to_owned())),
        }
    }
    Ok(fields)
}

fn form(problem: &str) -> String {
    format!("{}: {problem}", EXTRA_FIELDS.kind.form())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_and_objects() {
        let pairs = |pairs: &[(&str, &str)]| {
            Ok(pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>())
        };
        assert_eq!(fields("z:b, a : d "), pairs(&[("z", "b"), ("a", "d")]));
        assert_eq!(fields("a:1,b:2,a:3"), pairs(&[("a", "3"), ("b", "2")]));
        assert_eq!(fields(":"), pairs(&[("", "")]));
        assert_eq!(fields(",,"), pairs(&[]));
        assert_eq!(fields(r#"{"url":"http://x,y","e":""}"#), pairs(&[("e", ""), ("url", "http://x,y")]));
    }

    #[test]
    fn what_is_not_a_pair_is_named() {
        for (text, part) in [
            ("a", "\"a\" has no colon"),
            ("a:b, ,c:d", "\" \" has no colon"),
            ("a:b:c", "\"a:b:c\" has more than one colon"),
            ("{\"a\":1}", "column"),
            ("{a:b}", "column"),
        ] {
            let message = fields(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
