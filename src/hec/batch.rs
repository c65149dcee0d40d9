//! A request body in the making: events written one after another, with their bounds.
//!
//! The encoder writes straight into the buffer that is sent (or compressed), so an event is
//! copied once. The bounds make it possible to resend a part after the server names a bad
//! event, and to account for exactly what was in it.

use std::sync::Arc;

use bytes::Bytes;

/// Where one event ends in the body, and what it counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventMark {
    /// Offset of the first byte after the event.
    pub end: u32,
    /// How many input units (envelopes, for the nozzle) this event settles; often 1, and 0
    /// for further events that came from the same unit.
    pub units: u32,
}

/// A number of events, and of the input units they settle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// HEC events.
    pub events: u64,
    /// Input units (envelopes).
    pub units: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.units += other.units;
    }
}

impl std::ops::SubAssign for Tally {
    fn sub_assign(&mut self, other: Self) {
        self.events = self.events.saturating_sub(other.events);
        self.units = self.units.saturating_sub(other.units);
    }
}

/// Events of one index, back to back, ready to be sent as one request.
#[derive(Debug)]
pub struct Batch {
    index: Arc<str>,
    body: Vec<u8>,
    marks: Vec<EventMark>,
    units: u64,
}

impl Batch {
    /// An empty batch for one index, with room for `capacity_bytes` of body.
    pub fn new(index: Arc<str>, capacity_bytes: usize) -> Self {
        Self { index, body: Vec::with_capacity(capacity_bytes), marks: Vec::new(), units: 0 }
    }

    /// The index all events of the batch go to.
    pub fn index(&self) -> &Arc<str> {
        &self.index
    }

    /// The buffer to append one event to; then call [`Batch::commit`] or [`Batch::rollback`].
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.body
    }

    /// Makes what was written since the last commit an event that settles `units` inputs.
    pub fn commit(&mut self, units: u32) {
        // Bodies are capped far below 4 GiB (HEC_BATCH_BYTES ≤ 1,000,000 and one event ≤ 5 MB).
        let end = u32::try_from(self.body.len()).unwrap_or(u32::MAX);
        self.marks.push(EventMark { end, units });
        self.units += u64::from(units);
    }

    /// Takes back what was written since the last commit.
    pub fn rollback(&mut self) {
        self.body.truncate(self.committed());
    }

    /// Takes the events from the `at`th on out into a batch of their own.
    pub fn split_off(&mut self, at: usize) -> Self {
        let from = at.checked_sub(1).and_then(|last| self.marks.get(last)).map_or(0, |mark| mark.end);
        let marks: Vec<_> = (self.marks.drain(at.min(self.marks.len())..))
            .map(|mark| EventMark { end: mark.end - from, ..mark })
            .collect();
        let units = marks.iter().map(|mark| u64::from(mark.units)).sum();
        self.units -= units;
        let body = self.body.split_off((from as usize).min(self.body.len()));
        Self { index: Arc::clone(&self.index), body, marks, units }
    }

    /// Gives back memory that is not used, if it is a quarter or more.
    pub fn shrink(&mut self) {
        if self.body.capacity() > self.body.len() + self.body.len() / 4 {
            self.body.shrink_to_fit();
        }
    }

    /// Bytes of the events committed so far, uncompressed.
    pub fn committed(&self) -> usize {
        self.marks.last().map_or(0, |mark| mark.end as usize)
    }

    /// The request body, uncompressed.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The bounds of the events, in order.
    pub fn marks(&self) -> &[EventMark] {
        &self.marks
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there is no event yet.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Events and input units of the whole batch.
    pub fn tally(&self) -> Tally {
        Tally { events: self.marks.len() as u64, units: self.units }
    }

    /// Takes the batch apart for sending: the committed body, without a copy, and the bounds.
    pub fn into_parts(mut self) -> (Bytes, Vec<EventMark>) {
        self.rollback();
        (Bytes::from(self.body), self.marks)
    }

    /// Bytes of memory the batch holds, for accounting against a pool.
    pub fn memory(&self) -> usize {
        self.body.capacity() + self.marks.capacity() * size_of::<EventMark>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(events: &[&str]) -> Batch {
        let mut batch = Batch::new(Arc::from("main"), 0);
        for (at, event) in events.iter().enumerate() {
            batch.buffer().extend_from_slice(event.as_bytes());
            batch.commit(u32::from(at % 2 == 0));
        }
        batch
    }

    #[test]
    fn splitting_keeps_every_event_once() {
        for at in 0..=3 {
            let mut head = batch(&["a", "bb", "ccc"]);
            let tail = head.split_off(at);
            assert_eq!([head.body(), tail.body()].concat(), b"abbccc");
            assert_eq!((head.len(), tail.len()), (at, 3 - at));
            assert_eq!(head.committed(), head.body().len());
            assert_eq!(tail.committed(), tail.body().len());
            let mut sum = head.tally();
            sum += tail.tally();
            assert_eq!(sum, Tally { events: 3, units: 2 });
        }
    }

    #[test]
    fn a_rollback_takes_back_one_event() {
        let mut batch = batch(&["a"]);
        batch.buffer().extend_from_slice(b"half an ev");
        batch.rollback();
        assert_eq!((batch.body(), batch.len()), (&b"a"[..], 1));
    }
}
