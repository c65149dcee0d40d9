//! A request body in the making: events written one after another, with their bounds.
//!
//! The encoder writes straight into the buffer that is sent (or compressed), so an event is
//! copied once. The bounds make it possible to resend a part after the server names a bad
//! event, and to account for exactly what was in it.

use std::sync::Arc;

use bytes::Bytes;

use super::buffers::Buffers;

/// Where one event ends in the body, and what it counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventMark {
    /// Offset of the first byte after the event.
    pub end: u32,
    /// How many input units (envelopes, for the nozzle) this event settles; often 1, and 0
    /// for further events that came from the same unit.
    pub units: u32,
    /// Whose event it is, as far as the caller tells them apart; 0 if it does not.
    pub flow: u32,
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
    /// Where the memory of the body goes when it was sent.
    home: Option<Buffers>,
}

impl Batch {
    /// An empty batch for one index, with room for `capacity_bytes` of body.
    pub fn new(index: Arc<str>, capacity_bytes: usize) -> Self {
        Self { index, body: Vec::with_capacity(capacity_bytes), marks: Vec::new(), units: 0, home: None }
    }

    /// The same in memory from `buffers`, to which it goes back when the batch was delivered.
    pub fn in_buffer(index: Arc<str>, capacity_bytes: usize, buffers: &Buffers) -> Self {
        let body = buffers.take(capacity_bytes);
        Self { index, body, marks: Vec::new(), units: 0, home: Some(buffers.clone()) }
    }

    /// Puts a batch together from what another one was taken apart to; `None` if the marks do not fit the body.
    pub(crate) fn from_parts(index: Arc<str>, body: Vec<u8>, marks: Vec<EventMark>) -> Option<Self> {
        let in_order = marks.is_sorted_by_key(|mark| mark.end);
        let end = marks.last().map_or(0, |mark| mark.end as usize);
        let units = marks.iter().map(|mark| u64::from(mark.units)).sum();
        (in_order && end == body.len()).then_some(Self { index, body, marks, units, home: None })
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
        self.commit_for(0, units);
    }

    /// The same, and says whose event it is.
    pub fn commit_for(&mut self, flow: u32, units: u32) {
        // Bodies are capped far below 4 GiB (HEC_BATCH_BYTES ≤ 1,000,000 and one event ≤ 5 MB).
        let end = u32::try_from(self.body.len()).unwrap_or(u32::MAX);
        self.marks.push(EventMark { end, units, flow });
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
        Self { index: Arc::clone(&self.index), body, marks, units, home: None }
    }

    /// Takes out the events for which `out` says so; it is asked once for each, in order.
    pub fn remove(&mut self, mut out: impl FnMut(usize) -> bool) {
        let (mut kept, mut start, mut end) = (0, 0, 0);
        for at in 0..self.marks.len() {
            let mark = self.marks[at];
            let from = std::mem::replace(&mut start, mark.end);
            if out(at) {
                self.units -= u64::from(mark.units);
                continue;
            }
            if from != end {
                self.body.copy_within(from as usize..start as usize, end as usize);
            }
            end += start - from;
            self.marks[kept] = EventMark { end, ..mark };
            kept += 1;
        }
        self.marks.truncate(kept);
        self.body.truncate(end as usize);
    }

    /// Adds the events of another batch of the same index.
    pub fn append(&mut self, other: &Self) {
        let start = u32::try_from(self.committed()).unwrap_or(u32::MAX);
        self.rollback();
        self.body.reserve_exact(other.committed());
        self.body.extend_from_slice(&other.body[..other.committed()]);
        self.marks.reserve_exact(other.marks.len());
        self.marks.extend(other.marks.iter().map(|mark| EventMark { end: start + mark.end, ..*mark }));
        self.units += other.units;
    }

    /// Gives back all memory that is not used.
    pub fn shrink_to_fit(&mut self) {
        self.body.shrink_to_fit();
        self.marks.shrink_to_fit();
    }

    /// Gives back memory that is not used, if it is a quarter or more.
    pub fn shrink(&mut self) {
        if self.body.capacity() > self.body.len() + self.body.len() / 4 {
            self.body.shrink_to_fit();
        }
        if self.marks.capacity() > self.marks.len() + self.marks.len() / 4 {
            self.marks.shrink_to_fit();
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

    /// Where the memory of the body is to go, if anywhere.
    pub(crate) fn take_home(&mut self) -> Option<Buffers> {
        self.home.take()
    }

    /// Takes the batch apart for sending: the committed body, without a copy, and the bounds.
    pub fn into_parts(mut self) -> (Bytes, Vec<EventMark>) {
        self.rollback();
        (Bytes::from(self.body), self.marks)
    }

    /// Puts together what [`Batch::into_parts`] took apart; without a copy, if nobody else has the body.
    pub(crate) fn of_parts(index: Arc<str>, body: Bytes, marks: Vec<EventMark>) -> Self {
        let units = marks.iter().map(|mark| u64::from(mark.units)).sum();
        Self { index, body: Vec::from(body), marks, units, home: None }
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
    fn what_is_taken_out_leaves_the_others_whole() {
        let events = ["a", "bb", "ccc", "dddd"];
        for chosen in 0..16_u32 {
            let mut batch = batch(&events);
            batch.remove(|at| chosen & (1 << at) != 0);
            let left: Vec<_> = (0..4).filter(|at| chosen & (1 << at) == 0).collect();
            let text: String = left.iter().map(|at| events[*at]).collect();
            assert_eq!(batch.body(), text.as_bytes());
            assert_eq!(batch.committed(), text.len());
            let units = left.iter().filter(|at| *at % 2 == 0).count() as u64;
            assert_eq!(batch.tally(), Tally { events: left.len() as u64, units });
            let lengths: Vec<_> = batch.marks().iter().map(|mark| mark.end as usize).collect();
            let expected: Vec<_> = (1..=left.len())
                .map(|n| left[..n].iter().map(|at| events[*at].len()).sum::<usize>())
                .collect();
            assert_eq!(lengths, expected);
        }
    }

    #[test]
    fn what_is_added_stands_behind() {
        let mut one = batch(&["a", "bb"]);
        one.buffer().extend_from_slice(b"half an ev");
        one.append(&batch(&["ccc", "dddd", "e"]));
        assert_eq!(one.body(), b"abbcccdddde");
        assert_eq!(one.tally(), Tally { events: 5, units: 3 });
        assert_eq!(one.split_off(3).body(), b"dddde");
    }

    #[test]
    fn a_rollback_takes_back_one_event() {
        let mut batch = batch(&["a"]);
        batch.buffer().extend_from_slice(b"half an ev");
        batch.rollback();
        assert_eq!((batch.body(), batch.len()), (&b"a"[..], 1));
    }
}
