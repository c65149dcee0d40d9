//! How long after its own time an event was taken: a histogram of bounded size.

use std::time::Duration;

/// Buckets of each power of two: a value is known to 3 %.
const STEPS: u64 = 32;
const STEPS_BITS: u32 = STEPS.trailing_zeros();
const BUCKETS: usize = 2048;

/// A histogram of delays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delays {
    buckets: Vec<u64>,
    count: u64,
    max_nanos: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, max_nanos: 0 }
    }
}

impl Delays {
    pub(super) fn add(&mut self, delay: Duration) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get_mut(bucket(nanos)) {
            *bucket += 1;
        }
        self.count += 1;
        self.max_nanos = self.max_nanos.max(nanos);
    }

    /// How many were measured.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max_nanos)
    }

    /// What `share` of them do not exceed, up to 3 % too long; nothing without any.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among fewer than 2^53"
    )]
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        let at = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_nanos(highest(at).min(self.max_nanos)))
    }
}

/// Single values up to [`STEPS`], then so many steps for each power of two.
fn bucket(nanos: u64) -> usize {
    let octave = nanos.checked_ilog2().unwrap_or(0).saturating_sub(STEPS_BITS);
    let step = nanos >> octave;
    usize::try_from(u64::from(octave) * STEPS + step).unwrap_or(usize::MAX)
}

/// The highest value of a bucket.
fn highest(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let octave = (bucket / STEPS).saturating_sub(1);
    let step = bucket - octave * STEPS;
    // The last bucket ends with the numbers themselves.
    let end = u128::from(step + 1) << octave.min(u64::from(u64::BITS));
    u64::try_from(end - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_its_bucket_and_the_buckets_suffice() {
        let values = (0..2000).chain((0..64).flat_map(|bit| {
            let power = 1u64 << bit;
            [power - 1, power, power + power / 3]
        }));
        for value in values.chain([u64::MAX]) {
            let at = bucket(value);
            assert!(at < BUCKETS, "{value}");
            assert!(highest(at) >= value && (at == 0 || highest(at - 1) < value), "{value} in {at}");
            assert!(highest(at) - value <= value / STEPS + 1, "{value} in {at}: {}", highest(at));
        }
    }

    #[test]
    fn percentiles() {
        let mut delays = Delays::default();
        assert_eq!(delays.percentile(0.5), None);
        (1..=100).for_each(|ms| delays.add(Duration::from_millis(ms)));
        let near = |share: f64, ms: u64| {
            let found = delays.percentile(share).unwrap();
            let (low, high) = (Duration::from_millis(ms), Duration::from_millis(ms + ms / 30 + 1));
            assert!((low..=high).contains(&found), "{share}: {found:?}");
        };
        near(0.5, 50);
        near(0.99, 99);
        assert_eq!(delays.percentile(1.0), Some(Duration::from_millis(100)));
        assert_eq!((delays.count(), delays.max()), (100, Duration::from_millis(100)));
    }
}
