//! Gathers events into batches: one open batch per index, sealed by bytes, count or age.
//!
//! Each worker has its own, so there is no lock on the way of an event. Pure: time is handed in.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use crate::hec::batch::{Batch, Tally};
use crate::hec::buffers::Buffers;
use crate::nozzle::encode::{Sink, index_member};

/// A request body never grows beyond this: what Splunk Cloud advises, uncompressed.
pub const BODY_BYTES_MAX: usize = 1_000_000;

/// The most batches open at once in one worker, however many indexes apps ask for.
const OPEN_MAX: usize = 64;

/// What the first events of an index get as room; the default index gets as much as its batch before took.
const SMALL_BODY_BYTES: usize = 16 << 10;

/// When a batch is full.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Bytes of JSON from which it is sealed: HEC_BATCH_BYTES.
    pub bytes: usize,
    /// Events at which it is sealed: HEC_BATCH_SIZE.
    pub events: usize,
    /// How long the first event waits at most: FLUSH_INTERVAL.
    pub age: Duration,
    /// Memory of all open batches of a worker; beyond it the largest is sealed early.
    pub open_bytes: usize,
}

/// The open batches of one worker, and those that are full.
#[derive(Debug)]
pub struct Batcher {
    limits: BatchLimits,
    default: Open,
    others: HashMap<Arc<str>, Open, RandomState>,
    sealed: Sealed,
    /// Bytes of events in `others`.
    others_bytes: usize,
    /// Memory for the next batches.
    buffers: Buffers,
}

/// Batches that are full, oldest first.
#[derive(Debug, Default)]
struct Sealed {
    batches: Vec<Batch>,
    /// Bytes of their events.
    bytes: usize,
}

impl Sealed {
    fn push(&mut self, batch: Batch) {
        self.bytes += batch.committed();
        self.batches.push(batch);
    }
}

#[derive(Debug)]
struct Open {
    batch: Batch,
    /// `,"index":"…"`, rendered.
    index_member: Box<[u8]>,
    /// When the batch has waited long enough; none while it is empty.
    deadline: Option<Instant>,
    /// The most room a batch gets before its first event.
    room_max: usize,
}

impl Open {
    fn new(index: Arc<str>, room_max: usize) -> Self {
        let index_member = index_member(&index);
        let batch = Batch::new(index, SMALL_BODY_BYTES.min(room_max));
        Self { batch, index_member, deadline: None, room_max }
    }

    fn write<T>(
        &mut self,
        limits: BatchLimits,
        now: Instant,
        (sealed, buffers): (&mut Sealed, &Buffers),
        write: impl FnOnce(&mut Batch, &[u8]) -> T,
    ) -> T {
        let before = self.batch.len();
        let result = write(&mut self.batch, &self.index_member);
        if self.batch.len() > before && self.deadline.is_none() {
            self.deadline = Some(now + limits.age);
        }
        let bytes = self.batch.committed();
        if bytes < limits.bytes && self.batch.len() < limits.events {
            return result;
        }
        // The events just written go into the next batch if this one would be too large with them.
        if bytes > BODY_BYTES_MAX && before > 0 {
            let rest = self.batch.split_off(before);
            sealed.push(std::mem::replace(&mut self.batch, rest));
            self.deadline = Some(now + limits.age);
        } else {
            sealed.push(self.seal(buffers));
        }
        result
    }

    /// The next batch gets as much room as this one has taken: requests of a few events, by their number
    /// or their age, must not each come with the room for thousands.
    fn seal(&mut self, buffers: &Buffers) -> Batch {
        self.deadline = None;
        let taken = self.batch.committed();
        let room = (taken + taken / 8).min(self.room_max);
        let next = Batch::in_buffer(Arc::clone(self.batch.index()), room, buffers);
        std::mem::replace(&mut self.batch, next)
    }
}

impl Batcher {
    /// Starts with nothing open. Events go to `index` unless their app has its own.
    pub fn new(limits: BatchLimits, index: Arc<str>) -> Self {
        Self {
            limits,
            default: Open::new(index, limits.bytes + limits.bytes / 32),
            others: HashMap::default(),
            sealed: Sealed::default(),
            others_bytes: 0,
            buffers: Buffers::default(),
        }
    }

    /// Takes the memory of new batches from `buffers`, where others may look for it, too.
    #[must_use]
    pub fn with_buffers(self, buffers: Buffers) -> Self {
        Self { buffers, ..self }
    }

    /// Lets `write` append events to the open batch of an index, and seals it if it is full then.
    ///
    /// `write` gets the batch and the rendered member `,"index":"…"`.
    #[inline]
    pub fn write<T>(
        &mut self,
        index: Option<&Arc<str>>,
        now: Instant,
        write: impl FnOnce(&mut Batch, &[u8]) -> T,
    ) -> T {
        match index {
            Some(index) if **index != **self.default.batch.index() => self.write_other(index, now, write),
            _ => self.default.write(self.limits, now, (&mut self.sealed, &self.buffers), write),
        }
    }

    fn write_other<T>(
        &mut self,
        index: &Arc<str>,
        now: Instant,
        write: impl FnOnce(&mut Batch, &[u8]) -> T,
    ) -> T {
        if !self.others.contains_key(index) && self.others.len() + 1 >= OPEN_MAX {
            self.seal_largest();
        }
        let limits = self.limits;
        let open = self
            .others
            .entry(Arc::clone(index))
            .or_insert_with(|| Open::new(Arc::clone(index), SMALL_BODY_BYTES));
        let before = open.batch.committed();
        let result = open.write(limits, now, (&mut self.sealed, &self.buffers), write);
        self.others_bytes = (self.others_bytes + open.batch.committed()).saturating_sub(before);
        // What apps choose as indexes may not take more memory than the default index does.
        while self.others_bytes > limits.open_bytes && !self.others.is_empty() {
            self.seal_largest();
        }
        result
    }

    /// Makes room for another index.
    fn seal_largest(&mut self) {
        let largest = self.others.iter().max_by_key(|(_, open)| open.batch.committed());
        let Some(index) = largest.map(|(index, _)| Arc::clone(index)) else { return };
        let Some(open) = self.others.remove(&index) else { return };
        self.others_bytes = self.others_bytes.saturating_sub(open.batch.committed());
        if !open.batch.is_empty() {
            self.sealed.push(open.batch);
        }
    }

    /// Seals what has waited longer than it should by `patience`.
    pub fn seal_expired(&mut self, now: Instant, patience: Duration) {
        self.seal_if(|deadline| deadline + patience <= now);
    }

    /// Seals everything.
    pub fn seal_all(&mut self) {
        self.seal_if(|_| true);
    }

    fn seal_if(&mut self, due: impl Fn(Instant) -> bool) {
        if self.default.deadline.is_some_and(&due) {
            self.sealed.push(self.default.seal(&self.buffers));
        }
        for open in self.others.values_mut() {
            if open.deadline.is_some_and(&due) {
                self.others_bytes = self.others_bytes.saturating_sub(open.batch.committed());
                self.sealed.push(open.seal(&self.buffers));
            }
        }
    }

    /// When the first open batch will have waited long enough.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.others.values().filter_map(|open| open.deadline).chain(self.default.deadline).min()
    }

    /// Hands over the sealed batches, oldest first.
    pub fn take_sealed(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.sealed).batches
    }

    /// What all batches hold that have not been handed over, open and sealed.
    pub fn tally(&self) -> Tally {
        let open = self.others.values().map(|open| &open.batch).chain([&self.default.batch]);
        let mut total = Tally::default();
        for batch in open.chain(&self.sealed.batches) {
            total += batch.tally();
        }
        total
    }

    /// Whether there are sealed batches.
    pub fn has_sealed(&self) -> bool {
        !self.sealed.batches.is_empty()
    }

    /// Bytes of events in sealed batches.
    pub fn sealed_bytes(&self) -> usize {
        self.sealed.bytes
    }

    /// The open batch of an index, whichever it is at the time of each event.
    pub fn slot<'a>(&'a mut self, index: Option<&'a Arc<str>>, now: Instant) -> Slot<'a> {
        Slot { batcher: self, index, now }
    }
}

/// See [`Batcher::slot`].
#[derive(Debug)]
pub struct Slot<'a> {
    batcher: &'a mut Batcher,
    index: Option<&'a Arc<str>>,
    now: Instant,
}

impl Sink for Slot<'_> {
    #[inline]
    fn write<T>(&mut self, write: impl FnOnce(&mut Batch, &[u8]) -> T) -> T {
        self.batcher.write(self.index, self.now, write)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: BatchLimits =
        BatchLimits { bytes: 100, events: 5, age: Duration::from_millis(500), open_bytes: 10_000 };

    fn batcher(limits: BatchLimits) -> Batcher {
        Batcher::new(limits, Arc::from("main"))
    }

    fn put(batcher: &mut Batcher, index: Option<&str>, now: Instant, bytes: usize) {
        let index = index.map(Arc::from);
        batcher.write(index.as_ref(), now, |batch, _| {
            let end = batch.committed() + bytes;
            batch.buffer().resize(end, b'x');
            batch.commit(1);
        });
    }

    fn sealed(batcher: &mut Batcher) -> Vec<(String, usize, usize)> {
        batcher.take_sealed().into_iter().map(|b| (b.index().to_string(), b.len(), b.committed())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_count_and_age_seal_whichever_comes_first() {
        let mut batcher = batcher(LIMITS);
        let start = Instant::now();
        put(&mut batcher, None, start, 99);
        assert!(!batcher.has_sealed());
        put(&mut batcher, None, start, 1);
        assert_eq!(sealed(&mut batcher), [("main".to_owned(), 2, 100)]);
        (0..5).for_each(|_| put(&mut batcher, None, start, 1));
        assert_eq!(sealed(&mut batcher), [("main".to_owned(), 5, 5)]);
        assert_eq!(batcher.next_deadline(), None);
        put(&mut batcher, Some("other"), start, 1);
        let later = start + Duration::from_millis(200);
        put(&mut batcher, None, later, 1);
        assert_eq!(batcher.next_deadline(), Some(start + LIMITS.age));
        batcher.seal_expired(start + LIMITS.age, LIMITS.age);
        assert!(!batcher.has_sealed());
        batcher.seal_expired(start + LIMITS.age, Duration::ZERO);
        assert_eq!(sealed(&mut batcher), [("other".to_owned(), 1, 1)]);
        assert_eq!(batcher.next_deadline(), Some(later + LIMITS.age));
    }

    #[tokio::test(start_paused = true)]
    async fn batches_of_a_few_events_take_little_room() {
        let mut batcher = batcher(BatchLimits { bytes: 524_288, events: 5, ..LIMITS });
        (0..50).for_each(|_| put(&mut batcher, None, Instant::now(), 100));
        (0..50).for_each(|_| put(&mut batcher, Some("other"), Instant::now(), 100));
        let sealed = batcher.take_sealed();
        assert_eq!((sealed.len(), batcher.sealed_bytes()), (20, 0));
        assert!(sealed.iter().all(|batch| batch.memory() <= SMALL_BODY_BYTES + 1000));
        assert!(sealed.iter().filter(|batch| batch.memory() > 2000).count() <= 2, "only the first ones");
    }

    #[tokio::test(start_paused = true)]
    async fn the_default_index_by_its_name_is_the_default() {
        let mut batcher = batcher(LIMITS);
        put(&mut batcher, None, Instant::now(), 1);
        put(&mut batcher, Some("main"), Instant::now(), 1);
        batcher.seal_all();
        assert_eq!(sealed(&mut batcher), [("main".to_owned(), 2, 2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_stays_below_the_limit_unless_one_event_is_larger() {
        let mut batcher = batcher(BatchLimits { bytes: 524_288, events: 5000, ..LIMITS });
        for bytes in [500_000, 700_000, 1_200_000, 10] {
            put(&mut batcher, None, Instant::now(), bytes);
        }
        batcher.seal_all();
        let sizes: Vec<_> = sealed(&mut batcher).into_iter().map(|(_, _, bytes)| bytes).collect();
        assert_eq!(sizes, [500_000, 700_000, 1_200_000, 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn open_batches_of_many_indexes_are_bounded_in_bytes() {
        let mut batcher = batcher(BatchLimits { bytes: 524_288, events: 5000, ..LIMITS });
        for n in 0..60 {
            put(&mut batcher, Some(&format!("index{n}")), Instant::now(), 500);
            assert!(batcher.others_bytes <= LIMITS.open_bytes);
            let held: usize = batcher.others.values().map(|open| open.batch.committed()).sum();
            assert_eq!(held, batcher.others_bytes);
        }
        assert!(batcher.has_sealed());
    }

    #[tokio::test(start_paused = true)]
    async fn many_indexes_seal_the_largest() {
        let mut batcher = batcher(LIMITS);
        for n in 0..OPEN_MAX + 10 {
            put(&mut batcher, Some(&format!("index{n}")), Instant::now(), 1 + n % 7);
        }
        assert_eq!(batcher.others.len(), OPEN_MAX - 1);
        assert!(sealed(&mut batcher).iter().all(|(_, _, bytes)| *bytes >= 6));
    }

    proptest! {
        #[test]
        fn nothing_gets_lost(events in prop::collection::vec((0_usize..80, 1_usize..60), 0..300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _guard = runtime.enter();
            let mut batcher = batcher(LIMITS);
            for (index, bytes) in &events {
                put(&mut batcher, Some(&index.to_string()), Instant::now(), *bytes);
            }
            prop_assert_eq!(batcher.tally().units, events.len() as u64);
            batcher.seal_all();
            let mut total = Tally::default();
            let mut bytes = 0;
            for batch in batcher.take_sealed() {
                total += batch.tally();
                bytes += batch.committed();
                prop_assert!(batch.len() <= LIMITS.events);
            }
            prop_assert_eq!(total.units, events.len() as u64);
            prop_assert_eq!(bytes, events.iter().map(|(_, bytes)| bytes).sum::<usize>());
        }
    }
}
