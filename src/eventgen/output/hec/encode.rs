//! Events and metrics as HEC takes them, written straight into request bodies.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::json::{put_str, put_string};
use super::super::modinput::put_seconds;
use crate::eventgen::event::{Batch, Event, Meta};
use crate::hec::batch::Batch as Body;

/// What an event's text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The event.
    Event,
    /// JSON with the fields of a metric.
    Metric,
}

/// Heads of events that are kept; rows with places of their own may be many.
const HEADS_MAX: usize = 1000;

/// Writes batches into bodies.
#[derive(Debug)]
pub(super) struct Encoder {
    form: Form,
    body_bytes: usize,
    /// Everything before the time, by meta.
    heads: Vec<(Arc<Meta>, Vec<u8>)>,
    last: usize,
}

/// What could not be encoded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) events: u64,
    pub(super) why: &'static str,
}

impl Encoder {
    pub(super) fn new(form: Form, body_bytes: usize) -> Self {
        Self { form, body_bytes, heads: Vec::new(), last: 0 }
    }

    /// Appends to `bodies` what the batch becomes: each has events of one index, and stays within
    /// the limit unless a single event does not.
    pub(super) fn encode(&mut self, batch: &Batch, bodies: &mut Vec<Body>) -> Unfit {
        let mut open: Vec<Body> = Vec::new();
        let mut unfit = Unfit::default();
        // About what JSON adds; the body grows if it is more.
        let capacity = (batch.text_bytes() + batch.len() * 160).min(self.body_bytes) + 1024;
        for event in batch.iter() {
            let at = open.iter().position(|body| *body.index() == event.meta.index).unwrap_or_else(|| {
                open.push(Body::new(Arc::clone(&event.meta.index), capacity));
                open.len() - 1
            });
            let before = open[at].committed();
            if let Err(why) = self.put(&event, open[at].buffer()) {
                open[at].rollback();
                unfit.events += 1;
                unfit.why = why;
                continue;
            }
            open[at].commit(1);
            if open[at].committed() > self.body_bytes && before > 0 {
                let last = open[at].len() - 1;
                let rest = open[at].split_off(last);
                bodies.push(std::mem::replace(&mut open[at], rest));
            }
        }
        bodies.extend(open.into_iter().filter(|body| !body.is_empty()));
        unfit
    }

    fn put(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let head = self.head(event.meta);
        out.extend_from_slice(&self.heads[head].1);
        put_seconds(event.time, out);
        match self.form {
            Form::Event if matches!(event.text, b"" | b"\n") => return Err("HEC takes no empty events"),
            Form::Event => {
                out.extend_from_slice(b",\"event\":");
                put_string(event.text, out);
            }
            Form::Metric => {
                let fields = serde_json::from_slice::<MetricText<'_>>(event.text);
                let fields =
                    fields.map_err(|_| "metric_httpevent needs texts that are JSON with \"fields\"")?;
                out.extend_from_slice(b",\"event\":\"metric\",\"fields\":");
                out.extend_from_slice(fields.fields.get().as_bytes());
            }
        }
        out.push(b'}');
        Ok(())
    }

    /// The number of the head for a meta.
    fn head(&mut self, meta: &Arc<Meta>) -> usize {
        if self.heads.get(self.last).is_some_and(|(of, _)| Arc::ptr_eq(of, meta)) {
            return self.last;
        }
        self.last = match self.heads.iter().position(|(of, _)| Arc::ptr_eq(of, meta)) {
            Some(at) => at,
            None => {
                if self.heads.len() >= HEADS_MAX {
                    self.heads.clear();
                }
                self.heads.push((Arc::clone(meta), head(meta)));
                self.heads.len() - 1
            }
        };
        self.last
    }
}

#[derive(Deserialize)]
struct MetricText<'a> {
    #[serde(borrow)]
    fields: &'a RawValue,
}

fn head(meta: &Meta) -> Vec<u8> {
    let mut head = b"{".to_vec();
    for (name, value) in [
        ("source", &meta.source),
        ("sourcetype", &meta.sourcetype),
        ("host", &meta.host),
        ("index", &meta.index),
    ] {
        if !value.is_empty() {
            put_str(name, &mut head);
            head.push(b':');
            put_str(value, &mut head);
            head.push(b',');
        }
    }
    head.extend_from_slice(b"\"time\":");
    head
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::clock::UnixNanos;
    use crate::eventgen::testing::{NOON, batch, meta};

    fn encode(form: Form, body_bytes: usize, batch: &Batch) -> (Vec<Vec<Value>>, Unfit) {
        let mut bodies = Vec::new();
        let unfit = Encoder::new(form, body_bytes).encode(batch, &mut bodies);
        let bodies = bodies.iter().map(|body| {
            let events = serde_json::Deserializer::from_slice(body.body()).into_iter();
            events.collect::<Result<Vec<Value>, _>>().unwrap()
        });
        (bodies.collect(), unfit)
    }

    #[test]
    fn an_event_has_what_is_known_of_it() {
        let (bodies, unfit) = encode(Form::Event, 1000, &batch(&["one\n", "two \"q\" é\n", "\n", "\n\n"]));
        let event = |text: &str| json!({"event": text, "source": "s/x", "sourcetype": "st", "host": "h", "index": "i", "time": 1_705_320_001});
        assert_eq!(bodies, [vec![event("one\n"), event("two \"q\" é\n"), event("\n\n")]]);
        assert_eq!(unfit, Unfit { events: 1, why: "HEC takes no empty events" });
    }

    #[test]
    fn empty_places_are_left_out_and_times_have_fractions() {
        let mut batch = Batch::new();
        let number = batch.meta(&Arc::new(Meta::default()));
        batch.buffer().extend_from_slice(b"x");
        batch.commit(UnixNanos(NOON.0 + 500_000_000), number);
        let (bodies, _) = encode(Form::Event, 1000, &batch);
        assert_eq!(bodies, [vec![json!({"event": "x", "time": 1_705_320_001.5})]]);
    }

    #[test]
    fn bodies_have_one_index_and_stay_within_the_limit() {
        let mut batch = Batch::new();
        let metas = ["a", "b"].map(|index| Arc::new(Meta { index: index.into(), ..meta() }));
        for number in 0..20 {
            let meta = batch.meta(&metas[number % 2]);
            batch.buffer().extend_from_slice(format!("{number:050}").as_bytes());
            batch.commit(NOON, meta);
        }
        for body_bytes in [1, 300, 500, 100_000] {
            let mut bodies = Vec::new();
            Encoder::new(Form::Event, body_bytes).encode(&batch, &mut bodies);
            for body in &bodies {
                assert!(body.committed() <= body_bytes || body.len() == 1);
                let index = format!("\"index\":\"{}\"", body.index());
                assert_eq!(String::from_utf8_lossy(body.body()).matches(&index).count(), body.len());
            }
            assert_eq!(bodies.iter().map(Body::len).sum::<usize>(), 20);
            let least = if body_bytes < 300 { 20 } else { 2 };
            assert!(bodies.len() >= least, "{}", bodies.len());
        }
    }

    #[test]
    fn metrics_are_their_fields() {
        let texts = ["{\"fields\":{\"metric_name\":\"cpu\",\"_value\":1.50},\"more\":1}\n", "cpu 1\n", "{}"];
        let (bodies, unfit) = encode(Form::Metric, 1000, &batch(&texts));
        let expected = json!({
            "event": "metric", "fields": {"metric_name": "cpu", "_value": 1.5},
            "source": "s/x", "sourcetype": "st", "host": "h", "index": "i", "time": 1_705_320_001
        });
        assert_eq!((bodies, unfit.events), (vec![vec![expected]], 2));
    }
}
