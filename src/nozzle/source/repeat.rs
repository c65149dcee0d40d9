//! Keeps a log line that would come again and again at a bounded rate.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Lines of the same key are at least this far apart.
const INTERVAL: Duration = Duration::from_secs(60);

/// Counts what it holds back. Keys are constants, so their number is bounded.
#[derive(Debug, Default)]
pub(super) struct RepeatLimit {
    seen: BTreeMap<&'static str, (Instant, u64)>,
}

impl RepeatLimit {
    /// Whether to say it now, and then how often it was held back since the last time.
    pub(super) fn admit(&mut self, key: &'static str, now: Instant) -> Option<u64> {
        match self.seen.get_mut(key) {
            Some((said, held_back)) if now - *said < INTERVAL => {
                *held_back += 1;
                None
            }
            found => {
                let held_back = found.map_or(0, |(_, held_back)| *held_back);
                self.seen.insert(key, (now, 0));
                Some(held_back)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn repeats_are_held_back_and_counted() {
        let mut limit = RepeatLimit::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(limit.admit("a", at(0)), Some(0));
        assert_eq!(limit.admit("b", at(1)), Some(0), "keys do not hide each other");
        assert_eq!(limit.admit("a", at(1)), None);
        assert_eq!(limit.admit("a", at(59)), None);
        assert_eq!(limit.admit("a", at(60)), Some(2));
        assert_eq!(limit.admit("a", at(61)), None);
    }
}
