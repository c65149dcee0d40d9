//! The most events per second without loss, and what happens beyond.
//!
//! Bisection with short trials between rates that surely go and surely do not, then a longer one that
//! confirms. A trial counts when everything arrived and the load kept its own schedule: what was not
//! offered cannot have been taken.

use crate::load::{RUNS_PER_SECOND, Run};
use crate::trial::{Outcome, Setup};

/// Trials of a bisection are so long, at least.
const TRIAL_SECONDS: f64 = 1.5;
/// It ends when the two rates are so close.
const CLOSE: f64 = 0.05;
/// After a confirmation that failed the rate is so much lower, at least; no more than arrived then.
const BACK: f64 = 0.93;
const CONFIRMATIONS_MAX: usize = 5;
/// A load that is later than this has not offered the rate.
const LAG_MS_MAX: f64 = 500.0;
/// Beyond the rate without loss, so many times as much is offered.
pub const OVERLOAD: f64 = 1.5;

/// What a search found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// At the highest rate without loss.
    pub best: Outcome,
    /// Whether that was confirmed; if not, even the lowest rate that was tried lost something.
    pub is_confirmed: bool,
    /// At [`OVERLOAD`] times that rate.
    pub beyond: Outcome,
}

/// Searches; `seconds` is the length of the trials that count.
///
/// # Errors
/// A process has ended.
pub fn search(setup: &mut Setup, seconds: f64) -> anyhow::Result<Found> {
    let short = (seconds / 3.0).max(TRIAL_SECONDS);
    // As fast as it reads: about what it can do, and the load does not lose then.
    let free = setup.trial(Run { rate: 0, seconds: short })?;
    let mut trial = |rate: f64, seconds| setup.trial(Run { rate: in_runs(rate), seconds });
    let at = bisect(free.events_per_second(), |rate| Ok(is_clean(&trial(rate, short)?)))?;
    let (mut rate, mut tries) = (at, 1);
    let mut best = trial(rate, seconds)?;
    while !is_clean(&best) && tries < CONFIRMATIONS_MAX {
        rate = (rate * BACK).min(best.events_per_second());
        tries += 1;
        best = trial(rate, seconds)?;
    }
    let beyond = trial(rate * OVERLOAD, seconds)?;
    Ok(Found { best, is_confirmed: is_clean(&best), beyond })
}

/// The highest rate that `goes`, from what is about right.
fn bisect(about: f64, mut goes: impl FnMut(f64) -> anyhow::Result<bool>) -> anyhow::Result<f64> {
    let (mut low, mut high) = (0.0, f64::INFINITY);
    let mut rate = about * 0.8;
    // Wider steps until both ends are known.
    while high.is_infinite() || low == 0.0 {
        if goes(rate)? {
            low = rate;
            rate *= 1.3;
        } else {
            high = rate;
            rate *= 0.6;
        }
        if rate < RUNS_PER_SECOND as f64 || rate > about * 10.0 {
            return Ok(low.max(RUNS_PER_SECOND as f64));
        }
    }
    while (high - low) / high > CLOSE {
        let middle = f64::midpoint(low, high);
        if goes(middle)? {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

fn is_clean(outcome: &Outcome) -> bool {
    outcome.lost() == 0 && outcome.load.lag_ms <= LAG_MS_MAX
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate that can be offered")]
fn in_runs(rate: f64) -> u64 {
    ((rate / RUNS_PER_SECOND as f64) as u64).max(1) * RUNS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_rate_is_found_wherever_it_is() {
        for limit in [150.0, 5_000.0, 90_000.0, 130_000.0, 400_000.0] {
            let mut trials = 0;
            let found = bisect(100_000.0, |rate| {
                trials += 1;
                Ok(rate <= limit)
            });
            let found = found.unwrap();
            assert!(found <= limit && found >= limit * (1.0 - CLOSE) - 50.0, "{found} of {limit}");
            assert!(trials < 25, "{trials}");
        }
        // Nothing goes, or everything.
        assert_eq!(bisect(1000.0, |_| Ok(false)).unwrap(), 100.0);
        assert!(bisect(1000.0, |_| Ok(true)).unwrap() > 5000.0);
    }
}
