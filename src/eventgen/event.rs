//! The buffer events are written into, and what stands beside the text of an event.

use std::sync::Arc;

use crate::clock::UnixNanos;

/// Where an event says it comes from. Shared by all events it is the same for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Meta {
    /// Splunk index.
    pub index: Arc<str>,
    /// Host.
    pub host: Arc<str>,
    /// Source; the sample file's name by default.
    pub source: Arc<str>,
    /// Sourcetype.
    pub sourcetype: Arc<str>,
    /// The `host_regex` parameter of Splunk's receivers; empty: none.
    pub host_regex: Arc<str>,
}

/// Events one after the other in one buffer: text, time and [`Meta`] of each.
///
/// Reused: [`Batch::clear`] keeps the memory. Texts are bytes; they are UTF-8 if the sample is.
/// An event keeps its final newline, as the sample has it.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    text: Vec<u8>,
    spans: Vec<Span>,
    metas: Vec<Arc<Meta>>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    end: usize,
    meta: u32,
    time: UnixNanos,
}

/// One event of a [`Batch`].
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The text (`_raw`), with its final newline if it has one.
    pub text: &'a [u8],
    /// The event's instant (`_time`).
    pub time: UnixNanos,
    /// Where it comes from.
    pub meta: &'a Arc<Meta>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the text of the next event is appended; [`Batch::commit`] makes an event of it.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Ends an event: all text since the last one is its text. `meta` is a number given by
    /// [`Batch::meta`] since the last [`Batch::clear`].
    pub fn commit(&mut self, time: UnixNanos, meta: u32) {
        debug_assert!((meta as usize) < self.metas.len());
        self.spans.push(Span { end: self.text.len(), meta, time });
    }

    /// Forgets text that was appended since the last event.
    pub fn rollback(&mut self) {
        self.text.truncate(self.committed());
    }

    /// The number of a meta in this batch; the same one is kept once if it comes in a row.
    pub fn meta(&mut self, meta: &Arc<Meta>) -> u32 {
        if !self.metas.last().is_some_and(|last| Arc::ptr_eq(last, meta)) {
            self.metas.push(Arc::clone(meta));
        }
        // One part has far fewer than 2^32 events, and at most one meta each.
        u32::try_from(self.metas.len() - 1).unwrap_or(u32::MAX)
    }

    /// How many events are in it.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether no event is in it.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes of all texts.
    pub fn text_bytes(&self) -> usize {
        self.committed()
    }

    /// The texts of all events, one directly after the other.
    pub fn text(&self) -> &[u8] {
        &self.text[..self.committed()]
    }

    /// The events in order.
    pub fn iter(&self) -> impl Iterator<Item = Event<'_>> {
        let mut start = 0;
        self.spans.iter().map(move |span| {
            let text = &self.text[start..span.end];
            start = span.end;
            Event { text, time: span.time, meta: &self.metas[span.meta as usize] }
        })
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
        self.metas.clear();
    }

    /// Memory it holds, in bytes.
    pub fn capacity_bytes(&self) -> usize {
        self.text.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + self.metas.capacity() * size_of::<Arc<Meta>>()
    }

    fn committed(&self) -> usize {
        self.spans.last().map_or(0, |span| span.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_back_as_they_were_committed() {
        let first = Arc::new(Meta { host: "a".into(), ..Meta::default() });
        let second = Arc::new(Meta { host: "b".into(), ..Meta::default() });
        let mut batch = Batch::new();
        for (text, time, meta) in [("one\n", 1, &first), ("", 2, &first), ("three\n", 3, &second)] {
            let meta = batch.meta(meta);
            batch.buffer().extend_from_slice(text.as_bytes());
            batch.commit(UnixNanos(time), meta);
        }
        batch.buffer().extend_from_slice(b"half");
        assert_eq!(batch.text(), b"one\nthree\n");
        batch.rollback();
        let events: Vec<_> = batch.iter().map(|e| (e.text, e.time.0, &*e.meta.host)).collect();
        assert_eq!(events, [(&b"one\n"[..], 1, "a"), (b"", 2, "a"), (b"three\n", 3, "b")]);
        assert_eq!((batch.len(), batch.text_bytes()), (3, 10));
        batch.clear();
        assert!(batch.is_empty() && batch.capacity_bytes() > 0);
    }
}
