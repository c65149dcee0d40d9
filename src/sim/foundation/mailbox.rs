//! The bounded buffer in front of one consumer, and what can be done to its stream.
//!
//! One consumer waits; any number of publishers push. Capacity and what happens beyond it are
//! those of the platform's component the mailbox stands for; every lost item is counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::faults::End;

/// What is lost when a mailbox is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// The new items, one by one (the log proxy's buffer).
    DropNew,
    /// Everything buffered (a ring that was lapped: the router's buffer).
    DropBacklog,
}

/// Counts and wake-ups that all mailboxes of a protocol share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) sent: AtomicU64,
    pub(crate) dropped: AtomicU64,
    /// Told whenever a consumer made room.
    pub(crate) drained: Notify,
}

/// Items of type `T` for one consumer.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    capacity: usize,
    overflow: Overflow,
    /// With this many items a consumer that gathers a batch has enough.
    enough: usize,
    state: Mutex<State<T>>,
    wake: Notify,
    accepted: AtomicU64,
    sent: AtomicU64,
    dropped: AtomicU64,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct State<T> {
    queue: VecDeque<T>,
    end: Option<End>,
    hold: Hold,
    drop_next: u64,
    duplicate_next: u64,
}

/// What a stream that stays open holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    Nothing,
    /// Its items; it still says that it lives, if its protocol has words for that.
    Items,
    /// Every byte.
    Everything,
}

/// What a consumer sees when it looks.
#[derive(Debug)]
pub(crate) enum Look {
    /// Nothing to do until [`Mailbox::woken`].
    Idle,
    /// So many items wait.
    Ready(usize),
    /// The stream is to end; so many items wait.
    End(End, usize),
}

/// The counters of one mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) sent: u64,
    pub(crate) dropped: u64,
    pub(crate) buffered: usize,
}

impl<T: Clone> Mailbox<T> {
    pub(crate) fn new(capacity: usize, overflow: Overflow, enough: usize, shared: Arc<Shared>) -> Self {
        let state =
            State { queue: VecDeque::new(), end: None, hold: Hold::Nothing, drop_next: 0, duplicate_next: 0 };
        Self {
            capacity,
            overflow,
            enough,
            state: Mutex::new(state),
            wake: Notify::new(),
            accepted: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            shared,
        }
    }

    /// Adds items; never waits. Gives how many were lost for that.
    pub(crate) fn push(&self, items: impl IntoIterator<Item = T>) -> u64 {
        let (mut accepted, mut dropped) = (0, 0);
        let mut state = self.lock();
        let before = state.queue.len();
        for item in items {
            if state.end.is_some() {
                break;
            }
            if state.drop_next > 0 {
                state.drop_next -= 1;
                dropped += 1;
                continue;
            }
            if state.duplicate_next > 0 {
                state.duplicate_next -= 1;
                accepted += 1;
                state.queue.push_back(item.clone());
            }
            if state.queue.len() >= self.capacity {
                if self.overflow == Overflow::DropNew {
                    dropped += 1;
                    continue;
                }
                dropped += state.queue.len() as u64;
                state.queue.clear();
            }
            accepted += 1;
            state.queue.push_back(item);
        }
        let after = state.queue.len();
        drop(state);
        self.accepted.fetch_add(accepted, Ordering::Relaxed);
        if dropped > 0 {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
            self.shared.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        if (before == 0 && after > 0) || (before < self.enough && after >= self.enough) {
            self.wake.notify_one();
        }
        dropped
    }

    pub(crate) fn look(&self) -> Look {
        let state = self.lock();
        let waiting = state.queue.len();
        match &state.end {
            Some(end) => Look::End(end.clone(), waiting),
            None if state.hold != Hold::Nothing || waiting == 0 => Look::Idle,
            None => Look::Ready(waiting),
        }
    }

    /// Waits until [`Mailbox::look`] may have something new to show. Cancel safe.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Moves up to `max` items to `out`.
    pub(crate) fn take(&self, max: usize, out: &mut Vec<T>) {
        let mut state = self.lock();
        let n = max.min(state.queue.len());
        out.extend(state.queue.drain(..n));
        drop(state);
        self.sent.fetch_add(n as u64, Ordering::Relaxed);
        self.shared.sent.fetch_add(n as u64, Ordering::Relaxed);
        self.shared.drained.notify_waiters();
    }

    /// Whether not even signs of life may be sent.
    pub(crate) fn is_mute(&self) -> bool {
        let state = self.lock();
        state.hold == Hold::Everything && state.end.is_none()
    }

    /// Whether `n` more items fit. A held or ended stream never holds anyone up.
    pub(crate) fn has_room(&self, n: usize) -> bool {
        let state = self.lock();
        state.hold != Hold::Nothing || state.end.is_some() || state.queue.len() + n <= self.capacity
    }

    /// Makes the stream end; the first call decides how.
    pub(crate) fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.changed();
    }

    /// Holds something back, or lets it go, while the stream stays open.
    pub(crate) fn hold(&self, hold: Hold) {
        self.lock().hold = hold;
        self.changed();
    }

    /// Loses the next `n` items, counted.
    pub(crate) fn drop_next(&self, n: u64) {
        self.lock().drop_next += n;
    }

    /// Delivers the next `n` items twice.
    pub(crate) fn duplicate_next(&self, n: u64) {
        self.lock().duplicate_next += n;
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            accepted: self.accepted.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            buffered: self.lock().queue.len(),
        }
    }

    fn changed(&self) {
        self.wake.notify_one();
        self.shared.drained.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(overflow: Overflow) -> Mailbox<u32> {
        Mailbox::new(3, overflow, 2, Arc::default())
    }

    fn drain(mailbox: &Mailbox<u32>) -> Vec<u32> {
        let mut out = Vec::new();
        mailbox.take(usize::MAX, &mut out);
        out
    }

    #[test]
    fn a_full_mailbox_loses_what_its_component_would() {
        for (overflow, kept, lost) in
            [(Overflow::DropNew, vec![1, 2, 3], 2), (Overflow::DropBacklog, vec![4, 5], 3)]
        {
            let mailbox = mailbox(overflow);
            assert_eq!(mailbox.push([1, 2, 3, 4, 5]), lost, "{overflow:?}");
            assert_eq!(mailbox.counts().dropped, lost);
            assert_eq!(drain(&mailbox), kept);
            assert_eq!(mailbox.counts().sent, kept.len() as u64);
        }
    }

    #[test]
    fn faults_act_on_the_next_items() {
        let mailbox = mailbox(Overflow::DropNew);
        mailbox.drop_next(1);
        mailbox.duplicate_next(1);
        mailbox.push([1, 2]);
        assert_eq!(drain(&mailbox), [2, 2]);

        for (hold, mute) in [(Hold::Items, false), (Hold::Everything, true)] {
            mailbox.hold(hold);
            assert!(matches!(mailbox.look(), Look::Idle));
            assert!(mailbox.has_room(100));
            assert_eq!(mailbox.is_mute(), mute);
        }
        mailbox.push([3]);
        mailbox.hold(Hold::Nothing);
        assert!(matches!(mailbox.look(), Look::Ready(1)));
        assert!(mailbox.has_room(2) && !mailbox.has_room(3));

        mailbox.end(End::Eof);
        mailbox.end(End::Cut);
        mailbox.push([4]);
        assert!(matches!(mailbox.look(), Look::End(End::Eof, 1)));
    }

    #[tokio::test]
    async fn a_waiting_consumer_is_woken_by_the_first_item_and_when_there_is_enough() {
        let mailbox = mailbox(Overflow::DropNew);
        mailbox.push([1]);
        mailbox.woken().await;
        mailbox.push([2]);
        mailbox.woken().await;
        mailbox.hold(Hold::Items);
        mailbox.woken().await;
    }
}
