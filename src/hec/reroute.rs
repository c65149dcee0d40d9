//! Writing events anew for another index.
//!
//! Only the index changes, and the one that was refused is kept in `fields`, so that a search finds what
//! went astray. All other members stay as they are, to the byte.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::batch::Batch;

/// The field that names the index an event was meant for.
pub const REFUSED_INDEX_FIELD: &str = "refused_index";

/// The members an event may have, and no others.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Event<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    time: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    host: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    source: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    sourcetype: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    index: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    fields: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    event: Option<&'a RawValue>,
}

/// The events of a batch for another index, and those that cannot be rewritten because they are no
/// events of HEC.
pub(crate) fn reroute(batch: &Batch, index: &Arc<str>) -> (Batch, Batch) {
    let mut rerouted = Batch::new(Arc::clone(index), batch.committed() + batch.len() * 64);
    let mut left = Batch::new(Arc::clone(batch.index()), 0);
    let mut start = 0;
    for mark in batch.marks() {
        let end = mark.end as usize;
        let event = &batch.body()[start..end];
        start = end;
        let written = match rewritten(event, batch.index(), index) {
            Some(written) => {
                rerouted.buffer().extend_from_slice(&written);
                &mut rerouted
            }
            None => {
                left.buffer().extend_from_slice(event);
                &mut left
            }
        };
        written.commit_for(mark.flow, mark.units);
    }
    (rerouted, left)
}

fn rewritten(event: &[u8], refused: &str, index: &str) -> Option<Vec<u8>> {
    let mut event: Event<'_> = serde_json::from_slice(event).ok()?;
    let marker = format!("{{\"{REFUSED_INDEX_FIELD}\":{}", serde_json::to_string(refused).ok()?);
    let others = event.fields.map_or("{}", RawValue::get).strip_prefix('{')?;
    let comma = if others.trim_start().starts_with('}') { "" } else { "," };
    let fields = RawValue::from_string(format!("{marker}{comma}{others}")).ok()?;
    let index = serde_json::value::to_raw_value(index).ok()?;
    event.fields = Some(&fields);
    event.index = Some(&index);
    serde_json::to_vec(&event).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_index_changes_and_the_refused_one_is_told() {
        let cases = [
            (
                r#"{"time":"1.5","host":"h","source":"s","sourcetype":"t","index":"gone","fields":{"a":"b"},"event":{"n":12345678901234567890}}"#,
                r#"{"time":"1.5","host":"h","source":"s","sourcetype":"t","index":"last","fields":{"refused_index":"gone","a":"b"},"event":{"n":12345678901234567890}}"#,
            ),
            (
                r#"{"index":"gone","fields":{},"event":"x"}"#,
                r#"{"index":"last","fields":{"refused_index":"gone"},"event":"x"}"#,
            ),
            (r#"{"event":"x"}"#, r#"{"index":"last","fields":{"refused_index":"gone"},"event":"x"}"#),
            (
                "{ \"event\" : [1, 2] , \"fields\" : { \"index\" : \"gone\" } }\n",
                r#"{"index":"last","fields":{"refused_index":"gone", "index" : "gone" },"event":[1, 2]}"#,
            ),
        ];
        for (event, expected) in cases {
            let written = rewritten(event.as_bytes(), "gone", "last").unwrap();
            assert_eq!(String::from_utf8(written).unwrap(), expected);
        }
        for other in ["", "{", r#"{"event":"x","more":1}"#, r#"{"event":"x","fields":[]}"#, "[]"] {
            assert_eq!(rewritten(other.as_bytes(), "gone", "last"), None, "{other}");
        }
        let quoted = rewritten(br#"{"event":"x"}"#, "a\"b", "last").unwrap();
        assert!(String::from_utf8(quoted).unwrap().contains(r#""refused_index":"a\"b""#));
    }

    #[test]
    fn every_event_is_in_one_of_the_two_batches() {
        let mut batch = Batch::new(Arc::from("gone"), 0);
        for (flow, event) in [r#"{"event":1}"#, "no event", r#"{"event":2}"#].iter().enumerate() {
            batch.buffer().extend_from_slice(event.as_bytes());
            batch.commit_for(u32::try_from(flow).unwrap(), 1);
        }
        let (rerouted, left) = reroute(&batch, &Arc::from("last"));
        assert_eq!((&**rerouted.index(), rerouted.len()), ("last", 2));
        assert_eq!((&**left.index(), left.body()), ("gone", &b"no event"[..]));
        let flows: Vec<_> = rerouted.marks().iter().map(|mark| mark.flow).collect();
        assert_eq!(flows, [0, 2]);
    }
}
