//! Whether the Cloud Controller can be asked at all: the breaker, and pauses it asked for.
//!
//! After [`FAILURES_MAX`] calls in a row without an answer it counts as away: nothing but one probe
//! is sent any more, and no event waits for names that will not come. The first answer, of whatever
//! content, ends that.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::millis;

/// Calls in a row without an answer, of all kinds, after which the Cloud Controller counts as away.
const FAILURES_MAX: u32 = 5;

/// What the last calls say.
#[derive(Debug)]
pub(super) struct Outage {
    started: Instant,
    failures: AtomicU32,
    away: AtomicBool,
    /// How often it went away.
    times: AtomicU64,
    /// The end of a pause that was asked for, in milliseconds since the start.
    held_until_ms: AtomicU64,
    changed: Notify,
}

impl Outage {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            failures: AtomicU32::new(0),
            away: AtomicBool::new(false),
            times: AtomicU64::new(0),
            held_until_ms: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    /// A call brought no answer.
    pub(super) fn failed(&self) {
        let failures = self.failures.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        if failures >= FAILURES_MAX && !self.away.swap(true, Ordering::AcqRel) {
            self.times.fetch_add(1, Ordering::Relaxed);
            self.changed.notify_waiters();
        }
    }

    /// A call was answered.
    pub(super) fn answered(&self) {
        self.failures.store(0, Ordering::Release);
        if self.away.swap(false, Ordering::AcqRel) {
            self.changed.notify_waiters();
        }
    }

    /// No call will be made for `pause`.
    pub(super) fn held(&self, pause: Duration) {
        let until = millis(self.started.elapsed().saturating_add(pause));
        self.held_until_ms.fetch_max(until, Ordering::AcqRel);
    }

    pub(super) fn is_away(&self) -> bool {
        self.away.load(Ordering::Acquire)
    }

    /// Whether no call asked for now will be answered within `wait`.
    pub(super) fn is_hopeless(&self, now: Instant, wait: Duration) -> bool {
        let by = millis(now.saturating_duration_since(self.started).saturating_add(wait));
        self.is_away() || self.held_until_ms.load(Ordering::Acquire) > by
    }

    pub(super) fn times(&self) -> u64 {
        self.times.load(Ordering::Relaxed)
    }

    /// Waits until it is, or is not, away. Cancel safe.
    pub(super) async fn until(&self, away: bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if self.is_away() == away {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_one_answer_closes_it() {
        let outage = Outage::new();
        for _ in 0..3 {
            (1..FAILURES_MAX).for_each(|_| outage.failed());
            assert!(!outage.is_away());
            outage.answered();
        }
        (0..FAILURES_MAX + 2).for_each(|_| outage.failed());
        assert!(outage.is_away() && outage.is_hopeless(Instant::now(), Duration::MAX));
        outage.until(true).await;
        outage.answered();
        outage.until(false).await;
        assert_eq!((outage.is_away(), outage.times()), (false, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_pause_is_hopeless_until_it_is_nearly_over() {
        let (outage, wait) = (Outage::new(), Duration::from_secs(2));
        outage.held(Duration::from_secs(10));
        outage.held(Duration::from_secs(3));
        for (seconds, hopeless) in [(0, true), (7, true), (1, false), (5, false)] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(outage.is_hopeless(Instant::now(), wait), hopeless);
            assert!(!outage.is_away());
        }
    }
}
