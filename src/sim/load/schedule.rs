//! Which envelopes are due: a pure function of the time since the start.

use std::time::Duration;

use super::{CHUNK, Limit, LoadConfig};

/// What the schedule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// So many now, the first of them so late.
    Now { events: usize, lag: Duration },
    /// Nothing before this time after the start.
    Later(Duration),
    /// Nothing any more.
    Over,
}

/// What is due at `now` after the start, when `made` envelopes have been made.
pub(super) fn due(now: Duration, made: u64, config: &LoadConfig) -> Due {
    let left = match config.limit {
        Limit::Never => u64::MAX,
        Limit::Events(events) => events.saturating_sub(made),
        Limit::Time(time) if config.events_per_second == 0 && now >= time => 0,
        // With a rate, exactly what falls into the time, however late.
        Limit::Time(time) if config.events_per_second > 0 => {
            scheduled(time, config.events_per_second).saturating_sub(made)
        }
        Limit::Time(_) => u64::MAX,
    };
    let chunk = |events: u64| usize::try_from(events).map_or(CHUNK, |events| events.min(CHUNK));
    if left == 0 {
        return Due::Over;
    }
    if config.events_per_second == 0 {
        return Due::Now { events: chunk(left), lag: Duration::ZERO };
    }
    // Envelope i is due at i / rate; so at t, those up to and with t × rate.
    let ready = scheduled(now, config.events_per_second).saturating_add(1).saturating_sub(made);
    let at = moment(made, config.events_per_second);
    if ready == 0 || at > now {
        return Due::Later(at);
    }
    Due::Now { events: chunk(ready.min(left)), lag: now - at }
}

/// How many envelopes fall into a time.
fn scheduled(time: Duration, rate: u64) -> u64 {
    let events = time.as_nanos() * u128::from(rate) / 1_000_000_000;
    u64::try_from(events).unwrap_or(u64::MAX)
}

/// When an envelope is due, after the start; rounded up, so that it is ready then.
fn moment(index: u64, rate: u64) -> Duration {
    let nanos = (u128::from(index) * 1_000_000_000).div_ceil(u128::from(rate.max(1)));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
