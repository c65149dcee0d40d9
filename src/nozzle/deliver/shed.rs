//! Whose events were shed: a list of bounded length, without a count for each app there is.
//!
//! The heavy ones are in it for sure. When a flow finds no place it takes that of the least, and its count,
//! as an error: what is shown is what it has surely lost since.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

/// Flows watched at once.
const WATCHED_MAX: usize = 64;

/// Rows shown at most.
const SHOWN_MAX: usize = 20;

/// Events a flow must have lost before its name is looked for: that costs more than counting.
const NAMED_FROM: u64 = 16;

/// Characters of a name that are shown: a GUID has 36.
const NAME_CHARS_MAX: usize = 64;

/// An app, or a job of the platform, and what it lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShedApp {
    /// The app's GUID; for the platform `origin/job`.
    pub app: String,
    /// Events lost for want of room, at least.
    pub events: u64,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Shed {
    flows: HashMap<u32, Row, RandomState>,
}

#[derive(Debug, Default)]
struct Row {
    events: u64,
    /// How many of these may be another flow's.
    error: u64,
    name: Option<String>,
}

impl Row {
    fn surely(&self) -> u64 {
        self.events - self.error
    }
}

impl Shed {
    /// Counts an event.
    pub(super) fn count(&mut self, flow: u32, event: &[u8]) {
        if !self.flows.contains_key(&flow) && self.flows.len() >= WATCHED_MAX {
            self.replace_least(flow);
        }
        let row = self.flows.entry(flow).or_default();
        row.events += 1;
        if row.name.is_none() && row.surely() >= NAMED_FROM {
            row.name = Some(name(event));
        }
    }

    fn replace_least(&mut self, flow: u32) {
        let least =
            self.flows.iter().min_by_key(|(_, row)| row.events).map(|(flow, row)| (*flow, row.events));
        if let Some((least, events)) = least {
            self.flows.remove(&least);
            self.flows.insert(flow, Row { events, error: events, name: None });
        }
    }

    /// Those that lost most, the heaviest first.
    pub(super) fn top(&self) -> Vec<ShedApp> {
        let mut rows: Vec<_> = (self.flows.values())
            .filter_map(|row| Some(ShedApp { app: row.name.clone()?, events: row.surely() }))
            .collect();
        rows.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.app.cmp(&b.app)));
        rows.truncate(SHOWN_MAX);
        rows
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Sender {
    event: Body,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    cf_app_id: String,
    origin: String,
    job: String,
}

/// Who wrote an event, in characters that need no escapes anywhere.
fn name(event: &[u8]) -> String {
    let Sender { event } = serde_json::from_slice(event).unwrap_or_default();
    let name = match event.cf_app_id.is_empty() {
        false => event.cf_app_id,
        true => format!("{}/{}", event.origin, event.job),
    };
    let harmless = |c: char| if c.is_ascii_alphanumeric() || "-_./".contains(c) { c } else { '_' };
    name.chars().take(NAME_CHARS_MAX).map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(app: &str) -> Vec<u8> {
        format!(r#"{{"time":"1","event":{{"event_type":"x","origin":"o","job":"j","cf_app_id":"{app}"}}}}"#)
            .into_bytes()
    }

    #[test]
    fn a_sender_is_named_harmlessly() {
        for (event, expected) in [
            (event("0b1c-2"), "0b1c-2"),
            (event(""), "o/j"),
            (br#"{"event":{"origin":"gorouter","job":"router"}}"#.to_vec(), "gorouter/router"),
            (event(r#"a\"b\\c\n"#), "a_b_c_"),
            (event(&"x".repeat(100)), &"x".repeat(NAME_CHARS_MAX)),
            (b"no json".to_vec(), "/"),
        ] {
            assert_eq!(name(&event), expected);
        }
    }

    #[test]
    fn the_heaviest_stand_first_and_the_list_is_bounded() {
        let mut shed = Shed::default();
        let mut lost = [0; 3];
        for round in 0..1000_u32 {
            for (flow, every) in [(0, 1), (1, 3), (2, 10)] {
                if round % every == 0 {
                    lost[flow as usize] += 1;
                    shed.count(flow, &event(&flow.to_string()));
                }
            }
            shed.count(1000 + round, &event("passing"));
        }
        assert_eq!(shed.flows.len(), WATCHED_MAX);
        let top = shed.top();
        let names: Vec<_> = top.iter().take(3).map(|row| row.app.as_str()).collect();
        assert_eq!(names, ["0", "1", "2"]);
        for row in &top {
            let flow: usize = row.app.parse().unwrap();
            assert!(row.events <= lost[flow], "{row:?}");
        }
        assert_eq!(top[0].events, 1000);
        (0..WATCHED_MAX as u32).for_each(|flow| (0..20).for_each(|_| shed.count(flow, &event("a"))));
        assert_eq!(shed.top().len(), SHOWN_MAX);
    }
}
