//! How long to wait before asking again, and when to give up.
//!
//! Pure: time comes in as values, chance as a generator that a test seeds.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

/// The longest first pause.
const BASE: Duration = Duration::from_millis(250);

/// The longest pause that is ours to choose.
pub const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The longest pause a server can ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// First pause while an endpoint is held.
const HOLD_BASE: Duration = Duration::from_secs(5);

/// Longest pause while an endpoint is held.
pub const HOLD_MAX: Duration = Duration::from_secs(60);

/// When retrying ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetryLimit {
    /// Never: the caller bounds what waits.
    #[default]
    Unlimited,
    /// After this many failed attempts, but not before [`RetryLimit::patience`] is over.
    ///
    /// What counts is the endpoint's failed attempts since the batch was handed over, whichever
    /// batch they were made with: one batch at a time tries whether the endpoint is back.
    Attempts(NonZeroU32),
}

impl RetryLimit {
    /// The least time before giving up; `None` is for ever.
    ///
    /// The time Splunk's Go nozzle takes for as many attempts: its pause after attempt `i`, from
    /// 0, is `5 + (2^i - 1) / 2` seconds, and it pauses after the last one too. With 5 attempts
    /// that makes 38 s. Our first pauses are far shorter, so that counting attempts alone would
    /// give up during an outage that the Go nozzle sits out.
    ///
    /// ```
    /// use firehose_nozzle::hec::backoff::RetryLimit;
    ///
    /// let five = RetryLimit::Attempts(5.try_into()?);
    /// assert_eq!(five.patience().map(|time| time.as_secs()), Some(38));
    /// # Ok::<(), std::num::TryFromIntError>(())
    /// ```
    pub fn patience(self) -> Option<Duration> {
        let Self::Attempts(limit) = self else { return None };
        // Beyond 40 attempts it is over 17,000 years; the cap keeps the shift in range.
        let n = limit.get().min(40);
        let halves = 10 * u64::from(n) + (1u64 << n) - 1 - u64::from(n);
        Some(Duration::from_millis(halves.saturating_mul(500)))
    }

    /// Whether to give up after `attempts` failures over `waited`.
    pub fn exhausted(self, attempts: u64, waited: Duration) -> bool {
        match (self, self.patience()) {
            (Self::Attempts(limit), Some(patience)) => {
                attempts >= u64::from(limit.get()) && waited >= patience
            }
            _ => false,
        }
    }
}

/// The pause before try number `round`, from 0: full jitter, so that clients do not march in step.
pub fn pause(round: u32, chance: &mut fastrand::Rng) -> Duration {
    // 250 ms doubles past 30 s after seven rounds.
    let longest = BASE.saturating_mul(1 << round.min(16)).min(PAUSE_MAX);
    longest.mul_f64(chance.f64())
}

/// The pause before asking a held endpoint again: 5 s doubling to 60 s.
pub fn hold_pause(round: u32) -> Duration {
    HOLD_BASE.saturating_mul(1 << round.min(8)).min(HOLD_MAX)
}

/// What a `Retry-After` header asks for: seconds or an HTTP date, within 0 to 300 s.
///
/// `None` when it is neither.
pub fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    let asked = if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are simply very long.
        Duration::from_secs(header.parse().unwrap_or(u64::MAX))
    } else {
        // A date in the past asks for no pause.
        httpdate::parse_http_date(header).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(asked.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(n: u32) -> RetryLimit {
        RetryLimit::Attempts(NonZeroU32::new(n).unwrap())
    }

    #[test]
    fn patience_is_the_time_the_go_nozzle_takes() {
        for (n, seconds) in [(1, 5.0), (2, 10.5), (3, 17.0), (4, 25.5), (5, 38.0), (6, 58.5)] {
            assert_eq!(attempts(n).patience(), Some(Duration::from_secs_f64(seconds)), "{n}");
        }
        assert!(attempts(u32::MAX).patience() > Some(Duration::from_secs(1 << 38)));
        assert_eq!(RetryLimit::Unlimited.patience(), None);
    }

    #[test]
    fn giving_up_takes_both_the_attempts_and_the_time() {
        let enough = Duration::from_secs(38);
        let little = enough - Duration::from_millis(1);
        for (limit, tried, waited, expected) in [
            (attempts(5), 5, enough, true),
            (attempts(5), 4, enough * 10, false),
            (attempts(5), 500, little, false),
            (attempts(1), 1, Duration::from_secs(5), true),
            (RetryLimit::Unlimited, u64::MAX, Duration::MAX, false),
        ] {
            assert_eq!(limit.exhausted(tried, waited), expected, "{limit:?} {tried} {waited:?}");
        }
    }

    #[test]
    fn pauses_use_the_whole_range_and_stay_in_it() {
        let mut chance = fastrand::Rng::with_seed(7);
        for round in [0, 1, 2, 6, 7, 8, 31, 32, u32::MAX] {
            let longest = Duration::from_millis(250 * (1 << round.min(7))).min(PAUSE_MAX);
            let drawn: Vec<Duration> = (0..500).map(|_| pause(round, &mut chance)).collect();
            assert!(drawn.iter().all(|pause| *pause <= longest), "{round}");
            assert!(drawn.iter().any(|pause| *pause > longest.mul_f64(0.9)), "{round}");
            assert!(drawn.iter().any(|pause| *pause < longest.mul_f64(0.1)), "{round}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_pauses() {
        let draw = || {
            let mut chance = fastrand::Rng::with_seed(11);
            (0..10).map(|round| pause(round, &mut chance)).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
    }

    #[test]
    fn held_endpoints_are_asked_after_5_s_doubling_to_60_s() {
        let seconds: Vec<u64> = (0..6).map(|round| hold_pause(round).as_secs()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 60, 60]);
        assert_eq!(hold_pause(u32::MAX), HOLD_MAX);
    }

    #[test]
    fn retry_after_takes_seconds_and_dates_within_bounds() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let cases = [
            ("0", Some(0)),
            ("1", Some(1)),
            (" 120 ", Some(120)),
            ("300", Some(300)),
            ("301", Some(300)),
            ("99999999999999999999999", Some(300)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:27 GMT", Some(0)),
            ("Mon, 06 Nov 1995 08:49:37 GMT", Some(300)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ];
        for (header, seconds) in cases {
            assert_eq!(retry_after(header, now), seconds.map(Duration::from_secs), "{header}");
        }
    }
}
