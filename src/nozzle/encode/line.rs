//! One envelope's events: put together member by member, and kept below HEC_MAX_EVENT_BYTES.

use std::sync::atomic::Ordering::Relaxed;

use crate::hec::batch::Batch;
use crate::nozzle::encode::{
    Context, Encoder, EventTime, Oversize, Sink, TRACE_COUNTER, Written, json, shape, tags,
};
use crate::nozzle::event::{Body, Event};
use crate::nozzle::event_type::EventType;
use crate::nozzle::wire::tags::Tags;

/// An event is only split into parts with room for this much text: else there would be no end of them.
const PART_TEXT_BYTES_MIN: usize = 256;

/// One envelope on its way into a batch.
pub(super) struct Line<'a> {
    pub(super) encoder: &'a Encoder,
    pub(super) event: &'a Event<'a>,
    pub(super) context: &'a Context<'a>,
    pub(super) time: EventTime,
}

/// What distinguishes one event of a line from the next.
#[derive(Clone, Copy)]
struct Object<'a> {
    event_type: EventType,
    body: &'a Body<'a>,
    /// `,"index":"…"`, rendered.
    index: &'a [u8],
    /// Its number, if events are traced.
    number: Option<u64>,
    part: Part,
}

/// Which part of an event that is split.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// It is not.
    Whole,
    /// From 1.
    Number(u64),
    /// The last one, which tells how many there are.
    Last(u64),
}

impl Line<'_> {
    #[inline]
    pub(super) fn write(
        &self,
        sink: &mut impl Sink,
        written: &mut Written,
        event_type: EventType,
        body: &Body<'_>,
    ) {
        let whole = sink.write(|batch, index| {
            let object = Object { event_type, body, index, number: self.number(), part: Part::Whole };
            self.write_object(batch.buffer(), &object);
            let length = pending(batch);
            if length <= self.encoder.event_bytes_max {
                self.commit(batch, written);
                return None;
            }
            batch.rollback();
            if self.encoder.oversize == Oversize::Truncate {
                self.write_truncated(batch, &object, length);
                self.commit(batch, written);
                written.truncated += 1;
                return None;
            }
            Some((length, object.number))
        });
        if let Some((length, number)) = whole {
            self.oversize(sink, written, event_type, body, (length, number));
        }
    }

    /// An event that is not to be cut: it is dropped, or written in parts.
    #[cold]
    fn oversize(
        &self,
        sink: &mut impl Sink,
        written: &mut Written,
        event_type: EventType,
        body: &Body<'_>,
        (length, mut number): (usize, Option<u64>),
    ) {
        if self.encoder.oversize == Oversize::Drop {
            written.oversize += 1;
            return;
        }
        let text = shape::text(body);
        let mut from = 0;
        let mut count = 1;
        while count == 1 || from < text.len() {
            let part = sink.write(|batch, index| {
                let number = number.take().or_else(|| self.number());
                let object = Object { event_type, body, index, number, part: Part::Number(count) };
                let taken = self.write_part(batch, &object, from, length);
                self.commit(batch, written);
                taken
            });
            let Some(taken) = part else {
                // There is nothing to split, or hardly any room for a part of it.
                written.truncated += 1;
                return;
            };
            from += taken;
            count += 1;
        }
        written.split += 1;
    }

    /// Writes as much of the text as fits; gives the bytes of text, or `None` for what was cut off.
    fn write_part(
        &self,
        batch: &mut Batch,
        object: &Object<'_>,
        from: usize,
        length: usize,
    ) -> Option<usize> {
        let max = self.encoder.event_bytes_max;
        let text = shape::text(object.body);
        let Part::Number(count) = object.part else { return None };
        let empty = shape::with_text(*object.body, from..from);
        self.write_object(batch.buffer(), &Object { body: &empty, part: Part::Last(count), ..*object });
        let room = max.saturating_sub(pending(batch));
        batch.rollback();
        if from == 0 && (room < PART_TEXT_BYTES_MIN || !shape::is_divisible(object.body)) {
            self.write_truncated(batch, &Object { part: Part::Whole, ..*object }, length);
            return None;
        }
        let mut end = text.len().min(from + room);
        loop {
            end = character_boundary(text, from, end);
            let part = if end == text.len() { Part::Last(count) } else { Part::Number(count) };
            let body = shape::with_text(*object.body, from..end);
            self.write_object(batch.buffer(), &Object { body: &body, part, ..*object });
            let over = pending(batch).saturating_sub(max);
            if over == 0 || end - from <= 1 {
                return Some(end - from);
            }
            batch.rollback();
            // A byte of text takes six in JSON at most.
            end -= (over / 6).max((end - from) / 16).max(1).min(end - from - 1);
        }
    }

    /// Writes the event with its text cut, so that it fits.
    fn write_truncated(&self, batch: &mut Batch, object: &Object<'_>, mut length: usize) {
        let mut text_bytes = shape::text(object.body).len();
        loop {
            // As much as would fit if all of the event were text, and a little less each time: how much a
            // byte of text takes depends on how it is escaped.
            let share = text_bytes.saturating_mul(self.encoder.event_bytes_max) / length.max(1);
            text_bytes = share.min(text_bytes - text_bytes / 32).min(text_bytes.saturating_sub(1));
            let body = shape::with_text(*object.body, 0..text_bytes);
            self.write_object(batch.buffer(), &Object { body: &body, ..*object });
            length = pending(batch);
            if length <= self.encoder.event_bytes_max || text_bytes == 0 {
                return;
            }
            batch.rollback();
        }
    }

    #[inline]
    fn commit(&self, batch: &mut Batch, written: &mut Written) {
        written.bytes += pending(batch);
        batch.commit_for(self.context.flow, u32::from(written.events == 0));
        written.events += 1;
    }

    /// The next number, if events are counted. Drawn once for each event, however often it is written.
    #[inline]
    fn number(&self) -> Option<u64> {
        self.encoder.counter.as_ref().map(|counter| counter.fetch_add(1, Relaxed) + 1)
    }

    #[inline]
    fn write_object(&self, out: &mut Vec<u8>, object: &Object<'_>) {
        let event_type = object.event_type;
        let head = &self.event.head;
        out.extend_from_slice(b"{\"time\":\"");
        json::seconds(out, self.time.nanos);
        out.extend_from_slice(b"\",\"host\":\"");
        json::contents(out, head.ip);
        out.extend_from_slice(b"\",\"source\":\"");
        json::contents(out, head.job);
        match self.context.app_sourcetype {
            Some(sourcetype) if event_type == EventType::LogMessage => {
                out.extend_from_slice(b"\",\"sourcetype\":");
                json::string(out, sourcetype.as_bytes());
            }
            _ => out.extend_from_slice(shape::sourcetype(event_type)),
        }
        out.extend_from_slice(object.index);
        out.extend_from_slice(b",\"fields\":{");
        self.write_fields(out, object);
        out.extend_from_slice(shape::event_type(event_type));
        json::contents(out, head.origin);
        out.extend_from_slice(b"\",\"deployment\":\"");
        json::contents(out, head.deployment);
        out.extend_from_slice(b"\",\"ip\":\"");
        json::contents(out, head.ip);
        out.extend_from_slice(b"\",\"job\":\"");
        json::contents(out, head.job);
        out.extend_from_slice(b"\",\"job_index\":\"");
        json::contents(out, head.index);
        out.push(b'"');
        shape::body(out, &self.event.app, object.body);
        if shape::has_app(event_type) {
            self.write_names(out);
            if let Some(index) = self.context.app_index {
                out.extend_from_slice(b",\"info_splunk_index\":");
                json::string(out, index.as_bytes());
            }
        }
        if self.encoder.add_tags {
            tags::write(out, &self.event.all_tags);
        }
        out.extend_from_slice(b"}}");
    }

    #[inline]
    fn write_fields(&self, out: &mut Vec<u8>, object: &Object<'_>) {
        out.extend_from_slice(&self.encoder.fields);
        let mut empty = self.encoder.fields.is_empty();
        let mut extra = |key: &[u8], value: &mut dyn FnMut(&mut Vec<u8>)| {
            out.extend_from_slice(if empty { b"\"" } else { b",\"" });
            empty = false;
            out.extend_from_slice(key);
            out.extend_from_slice(b"\":\"");
            value(out);
            out.push(b'"');
        };
        if let Some(n) = object.number {
            extra(TRACE_COUNTER.as_bytes(), &mut |out| json::integer(out, n));
        }
        if let Some(original) = self.time.original {
            extra(b"original_timestamp", &mut |out| json::integer(out, original));
        }
        if let Part::Number(part) | Part::Last(part) = object.part {
            extra(b"part", &mut |out| json::integer(out, part));
        }
        if let Part::Last(parts) = object.part {
            extra(b"parts", &mut |out| json::integer(out, parts));
        }
    }

    /// The app's names: from the envelope's tags if it has all that are wanted, else as looked up.
    #[inline]
    fn write_names(&self, out: &mut Vec<u8>) {
        let names = &self.encoder.names;
        let tags: &Tags<'_> = self.event.tags;
        if !self.context.names.is_empty() && names.iter().any(|(_, key)| tags.get(*key).is_none()) {
            out.extend_from_slice(self.context.names);
            return;
        }
        for (member, key) in names.iter() {
            let value = tags.text(*key);
            if !value.is_empty() {
                out.extend_from_slice(member);
                json::contents(out, value);
                out.push(b'"');
            }
        }
    }
}

/// Bytes written and not committed.
#[inline]
fn pending(batch: &mut Batch) -> usize {
    let committed = batch.committed();
    batch.buffer().len() - committed
}

/// The last place at or before `end`, and after `from`, that does not cut through a character.
fn character_boundary(text: &[u8], from: usize, end: usize) -> usize {
    let is_inside = |at: usize| text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    // Bytes that are no UTF-8 may go on like that for ever; a character has four at most.
    let back = (0..4).find(|back| end - back > from && !is_inside(end - back)).unwrap_or(0);
    end - back
}
