//! Who gives way when there is no room: the newest events of the flows that hold most.
//!
//! A flow is what an app writes; see [`EventMark::flow`]. Flows share the room as water finds its level:
//! those that hold less than the level lose nothing, however much the others send. What each holds is
//! counted in a table of fixed size by a part of the flow's number, so that memory does not grow
//! with the number of apps; two flows that fall together count as one.
//!
//! Pure.

use crate::hec::batch::{Batch, EventMark};

/// Flows told apart. A quiet app shares its counter with one of ten noisy ones once in 1,600 times.
const FLOWS_MAX: usize = 1 << 14;

/// What each flow holds of the room.
#[derive(Debug)]
pub(super) struct Flows {
    held_bytes: Box<[u64]>,
    /// For finding the level; kept for its memory.
    sorted: Vec<u64>,
}

/// What an event takes: its bytes and its mark.
fn cost(start: u32, mark: EventMark) -> u64 {
    u64::from(mark.end - start) + size_of::<EventMark>() as u64
}

fn place(flow: u32) -> usize {
    flow as usize % FLOWS_MAX
}

/// The events of a batch with what each takes, in order.
fn costs(batch: &Batch) -> impl DoubleEndedIterator<Item = (usize, EventMark, u64)> {
    let marks = batch.marks();
    marks.iter().enumerate().map(|(at, mark)| {
        let start = at.checked_sub(1).map_or(0, |before| marks[before].end);
        (at, *mark, cost(start, *mark))
    })
}

impl Flows {
    pub(super) fn new() -> Self {
        Self { held_bytes: vec![0; FLOWS_MAX].into(), sorted: Vec::new() }
    }

    /// The events of a batch take room.
    pub(super) fn add(&mut self, batch: &Batch) {
        for (_, mark, cost) in costs(batch) {
            self.held_bytes[place(mark.flow)] += cost;
        }
    }

    /// They take none any more.
    pub(super) fn remove(&mut self, batch: &Batch) {
        for (_, mark, cost) in costs(batch) {
            let held = &mut self.held_bytes[place(mark.flow)];
            *held = held.saturating_sub(cost);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.held_bytes.iter().all(|held| *held == 0)
    }

    /// What a flow may keep so that `excess` bytes become free.
    pub(super) fn level(&mut self, excess: u64) -> u64 {
        self.sorted.clear();
        self.sorted.extend(self.held_bytes.iter().copied().filter(|held| *held > 0));
        self.sorted.sort_unstable_by(|a, b| b.cmp(a));
        let mut sum = 0;
        for (at, held) in self.sorted.iter().enumerate() {
            sum += held;
            let flows = at as u64 + 1;
            let next = self.sorted.get(at + 1).copied().unwrap_or_default();
            // All flows so far, lowered to the next one's height.
            if sum - flows * next >= excess {
                return (sum - excess) / flows;
            }
        }
        0
    }

    /// Takes events out of a batch whose events have been added: the newest first of flows above the
    /// level, until `excess` bytes are free. Shows each one to `shed`; gives the bytes that became free.
    pub(super) fn shed(
        &mut self,
        batch: &mut Batch,
        level: u64,
        excess: u64,
        mut shed: impl FnMut(EventMark, &[u8]),
    ) -> u64 {
        let mut freed = 0;
        let mut out = vec![false; batch.len()];
        for (at, mark, cost) in costs(batch).rev() {
            if freed >= excess {
                break;
            }
            let held = &mut self.held_bytes[place(mark.flow)];
            if *held > level {
                *held = held.saturating_sub(cost);
                freed += cost;
                out[at] = true;
                let start = at.checked_sub(1).map_or(0, |before| batch.marks()[before].end);
                shed(mark, &batch.body()[start as usize..mark.end as usize]);
            }
        }
        if freed > 0 {
            batch.remove(|at| out[at]);
        }
        freed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    const MARK: u64 = size_of::<EventMark>() as u64;

    fn batch(flows: &[(u32, usize)]) -> Batch {
        let mut batch = Batch::new(Arc::from("main"), 0);
        for (flow, bytes) in flows {
            let end = batch.committed() + bytes;
            batch.buffer().resize(end, b'x');
            batch.commit_for(*flow, 1);
        }
        batch
    }

    fn flows(batch: &Batch) -> Flows {
        let mut flows = Flows::new();
        flows.add(batch);
        flows
    }

    #[test]
    fn the_level_is_where_water_would_stand() {
        // What flows 1, 2 and 3 hold, what must become free, and what each may keep.
        let cases: [(&[usize], u64, u64); 8] = [
            (&[1000, 100, 10], 100, 900),
            (&[1000, 100, 10], 900, 100),
            (&[1000, 100, 10], 902, 99),
            (&[1000, 100, 10], 1080, 10),
            (&[1000, 100, 10], 1110, 0),
            (&[1000, 100, 10], 5000, 0),
            (&[500, 500, 500], 300, 400),
            (&[], 10, 0),
        ];
        for (held, excess, expected) in cases {
            let mut flows = Flows::new();
            for (flow, bytes) in held.iter().enumerate() {
                flows.held_bytes[flow] = *bytes as u64;
            }
            assert_eq!(flows.level(excess), expected, "{held:?} {excess}");
        }
    }

    #[test]
    fn the_newest_of_the_heaviest_goes_first() {
        let mut batch = batch(&[(1, 100), (2, 100), (1, 100), (3, 50), (1, 100), (2, 100)]);
        let mut flows = flows(&batch);
        let excess = 2 * (100 + MARK);
        let level = flows.level(excess);
        let mut shed = Vec::new();
        flows.shed(&mut batch, level, excess, |mark, event| shed.push((mark.flow, event.len())));
        // One has three, two has two: the level is below two's first, so each gives its newest.
        assert_eq!(shed, [(2, 100), (1, 100)]);
        let left: Vec<_> = batch.marks().iter().map(|mark| mark.flow).collect();
        assert_eq!(left, [1, 2, 1, 3]);
    }

    proptest! {
        #[test]
        fn what_is_asked_for_becomes_free_and_the_light_lose_nothing(
            events in prop::collection::vec((0_u32..20, 1_usize..500), 1..200),
            share in 0_u64..110,
        ) {
            let mut batch = batch(&events);
            let mut flows = flows(&batch);
            let mut before = BTreeMap::<u32, u64>::new();
            for (flow, bytes) in &events {
                *before.entry(*flow).or_default() += *bytes as u64 + MARK;
            }
            let all: u64 = before.values().sum();
            let excess = all * share / 100;
            let level = flows.level(excess);
            let mut lost = BTreeMap::<u32, u64>::new();
            let freed = flows.shed(&mut batch, level, excess, |mark, event| {
                *lost.entry(mark.flow).or_default() += event.len() as u64 + MARK;
            });
            prop_assert!(freed >= excess.min(all));
            prop_assert_eq!(freed, lost.values().sum::<u64>());
            prop_assert_eq!(batch.len() as u64 * MARK + batch.committed() as u64, all - freed);
            for (flow, held) in &before {
                let lost = lost.get(flow).copied().unwrap_or_default();
                prop_assert!(*held > level || lost == 0, "{flow} holds {held}, level {level}, lost {lost}");
                // Nobody falls below the level by more than one event.
                prop_assert!(held - lost + 500 + MARK >= level.min(*held));
                prop_assert_eq!(flows.held_bytes[*flow as usize], held - lost);
            }
            flows.remove(&batch);
            prop_assert!(flows.held_bytes.iter().all(|held| *held == 0));
        }
    }
}
