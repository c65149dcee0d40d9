//! When to connect again: one policy for every kind of stream.
//!
//! Pure: the caller measures lives, draws the random number and waits.

use std::time::Duration;

/// A stream that lived this long was healthy: its end is no reason to wait.
pub const HEALTHY_LIFE: Duration = Duration::from_secs(5);

/// The longest wait after the first failure; it doubles with each further one.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(50);

/// The longest wait of all.
pub const BACKOFF_CAP: Duration = Duration::from_secs(30);

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// No stream came about.
    Failed,
    /// A stream was open.
    Opened {
        /// For how long.
        lasted: Duration,
        /// Whether it brought anything.
        data: bool,
    },
}

/// Counts failures and says how long to wait.
///
/// After a healthy stream the next attempt is made at once, for what the platform sends while
/// nobody reads is gone. So it is the first time a stream brought data but ended soon; a server that
/// ends every stream is not hammered. Anything else waits a random part of a limit that doubles up to
/// [`BACKOFF_CAP`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconnect {
    failures: u32,
}

impl Reconnect {
    /// How long to wait before the next attempt; `random` is in 0..1.
    pub fn after(&mut self, life: Life, random: f64) -> Duration {
        match life {
            Life::Opened { lasted, .. } if lasted >= HEALTHY_LIFE => {
                self.failures = 0;
                return Duration::ZERO;
            }
            Life::Opened { data: true, .. } if self.failures == 0 => {
                self.failures = 1;
                return Duration::ZERO;
            }
            Life::Opened { .. } | Life::Failed => {
                self.failures = self.failures.saturating_add(1);
            }
        }
        limit(self.failures).mul_f64(random.clamp(0.0, 1.0))
    }
}

fn limit(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1);
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    BACKOFF_FIRST.saturating_mul(factor).min(BACKOFF_CAP)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONG: Life = Life::Opened { lasted: HEALTHY_LIFE, data: false };
    const SHORT: Life = Life::Opened { lasted: Duration::from_millis(10), data: true };
    const EMPTY: Life = Life::Opened { lasted: Duration::from_millis(10), data: false };

    #[test]
    fn the_longest_waits_follow_the_table() {
        use Life::Failed;
        let cases: [(&[Life], &[u64]); 6] = [
            (&[Failed; 12], &[50, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]),
            (&[LONG, LONG, LONG], &[0, 0, 0]),
            (&[Failed, Failed, LONG, Failed], &[50, 100, 0, 50]),
            (&[SHORT, SHORT, SHORT], &[0, 100, 200]),
            (&[Failed, Failed, Failed, SHORT, Failed], &[50, 100, 200, 400, 800]),
            (&[EMPTY, EMPTY, SHORT, LONG, SHORT], &[50, 100, 200, 0, 0]),
        ];
        for (lives, expected) in cases {
            let mut policy = Reconnect::default();
            let waits: Vec<u64> =
                lives.iter().map(|&life| policy.after(life, 1.0).as_millis() as u64).collect();
            assert_eq!(waits, expected, "{lives:?}");
        }
    }

    fn lives() -> impl Strategy<Value = Life> {
        prop_oneof![
            Just(Life::Failed),
            (0_u64..20_000, any::<bool>())
                .prop_map(|(ms, data)| Life::Opened { lasted: Duration::from_millis(ms), data }),
        ]
    }

    proptest! {
        #[test]
        fn a_wait_is_never_longer_than_the_cap_and_never_longer_than_after_failures_alone(
            lives in prop::collection::vec((lives(), 0.0_f64..1.0), 0..80)
        ) {
            let mut policy = Reconnect::default();
            let mut failing = Reconnect::default();
            for (life, random) in lives {
                let wait = policy.after(life, random);
                prop_assert!(wait <= BACKOFF_CAP);
                prop_assert!(wait <= failing.after(Life::Failed, 1.0));
            }
        }

        #[test]
        fn a_healthy_stream_resets(failures in 0_usize..100) {
            let mut policy = Reconnect::default();
            (0..failures).for_each(|_| { policy.after(Life::Failed, 1.0); });
            prop_assert_eq!(policy.after(LONG, 1.0), Duration::ZERO);
            prop_assert_eq!(policy, Reconnect::default());
            prop_assert_eq!(policy.after(Life::Failed, 1.0), BACKOFF_FIRST);
        }
    }
}
