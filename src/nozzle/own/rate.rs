//! One every so often, and a few at once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// A limit that many threads share without a lock.
#[derive(Debug)]
pub(super) struct Rate {
    start: Instant,
    interval_ns: u64,
    burst_ns: u64,
    /// When all that was let through would have come by the rate alone.
    caught_up_ns: AtomicU64,
}

impl Rate {
    /// Lets through so many `per` this time, and `burst` at once after a pause.
    pub(super) fn new(n: u32, per: Duration, burst: u32) -> Self {
        let interval_ns = nanos(per / n.max(1));
        Self {
            start: Instant::now(),
            interval_ns,
            burst_ns: interval_ns * u64::from(burst),
            caught_up_ns: AtomicU64::new(0),
        }
    }

    /// Whether one more may pass.
    pub(super) fn allows(&self, now: Instant) -> bool {
        let now = nanos(now.saturating_duration_since(self.start));
        let next = |caught_up: u64| {
            let next = caught_up.max(now) + self.interval_ns;
            (next <= now + self.burst_ns).then_some(next)
        };
        self.caught_up_ns.fetch_update(Relaxed, Relaxed, next).is_ok()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_then_the_rate_then_a_burst_again() {
        let rate = Rate::new(10, Duration::from_secs(1), 5);
        let start = Instant::now();
        let passed = |from: Duration, tries: u32| (0..tries).filter(|_| rate.allows(start + from)).count();
        assert_eq!(passed(Duration::ZERO, 100), 5);
        assert_eq!(passed(Duration::from_millis(99), 100), 0);
        assert_eq!(passed(Duration::from_millis(100), 100), 1);
        assert_eq!(passed(Duration::from_millis(400), 100), 3);
        assert_eq!(passed(Duration::from_hours(1), 100), 5, "a pause is worth no more than a burst");
        // Workers look at their clocks at different times.
        assert_eq!(passed(Duration::ZERO, 1), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_flood_gets_the_rate() {
        let rate = Rate::new(10, Duration::from_secs(1), 5);
        let start = Instant::now();
        let passed = (0..10_000).filter(|n| rate.allows(start + Duration::from_millis(*n))).count();
        assert_eq!(passed, 5 + 99);
    }
}
