//! How long to wait after a failure.

use std::time::Duration;

/// A pause that doubles with each failure in a row, between `min` and `max`, with jitter.
///
/// `failures` counts from 1. The ceiling starts at twice `min`; the pause is drawn from the upper
/// half of the range, so that many clients that failed together do not come back together.
pub(crate) fn pause(failures: u32, min: Duration, max: Duration) -> Duration {
    let ceiling = min.saturating_mul(2u32.saturating_pow(failures.clamp(1, 16))).min(max).max(min);
    let floor = (ceiling / 2).max(min);
    floor + (ceiling - floor).mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_their_bounds() {
        let (min, max) = (Duration::from_secs(5), Duration::from_secs(60));
        let cases =
            [(0, 5, 10), (1, 5, 10), (2, 10, 20), (3, 20, 40), (4, 30, 60), (5, 30, 60), (u32::MAX, 30, 60)];
        for (failures, low, high) in cases {
            for _ in 0..100 {
                let pause = pause(failures, min, max);
                assert!(
                    (Duration::from_secs(low)..=Duration::from_secs(high)).contains(&pause),
                    "{failures}: {pause:?}"
                );
            }
        }
    }

    #[test]
    fn a_minimum_above_the_maximum_wins() {
        let second = Duration::from_secs(1);
        assert_eq!(pause(3, second, Duration::ZERO), second);
    }
}
