//! A time as a conf file writes it.

use jiff::civil;

use super::relative::Relative;
use super::{Zone, absolute, instant, timestamp};
use crate::clock::UnixNanos;

/// A time as a conf file writes it: `now`, `-1h@h+5m`, `2024-01-15 12:00:00`.
#[derive(Clone, Debug, PartialEq)]
pub enum Moment {
    /// When it is asked for.
    Now,
    /// An instant.
    At(UnixNanos),
    /// A distance from when it is asked for, with rounding down: `-1mon@mon+2h`.
    Relative(Relative),
    /// A time of the day it is asked for on.
    Today(civil::Time),
}

/// What is expected, for messages.
const FORM: &str =
    "now, a relative time such as -1h, -1d@d or +1mon@mon+2h, or a date such as 2024-01-15 12:00:00";

/// Longer texts are no times.
const MAX_TEXT_BYTES: usize = 128;

impl Moment {
    /// Reads a time; what has no zone of its own is in `zone`.
    ///
    /// # Errors
    /// What is wrong with it and what was expected.
    pub fn parse(text: &str, zone: &Zone) -> Result<Self, String> {
        let trimmed = text.trim();
        let wrong = |why: String| format!("{text:?} is not a time: {why}");
        if trimmed.is_empty() || trimmed.len() > MAX_TEXT_BYTES {
            return Err(wrong(format!("expected {FORM}")));
        }
        if trimmed.eq_ignore_ascii_case("now") {
            return Ok(Self::Now);
        }
        // `now-1h`, as searches write it.
        let steps = match trimmed.get(..3) {
            Some(word) if word.eq_ignore_ascii_case("now") => &trimmed[3..],
            _ => trimmed,
        };
        if steps.starts_with(['+', '-', '@']) {
            return Relative::parse(steps).map(Self::Relative).map_err(wrong);
        }
        absolute::parse(trimmed, zone)
            .map_err(|why| wrong(why.map_or_else(String::new, |why| format!("{why}; ")) + "expected " + FORM))
    }

    /// The instant, asked for at `now`. In whole seconds, rounded down, as event times are.
    pub fn resolve(&self, now: UnixNanos, zone: &Zone) -> UnixNanos {
        let exact = match self {
            Self::Now => now,
            Self::At(at) => *at,
            Self::Relative(relative) => relative.resolve(now, zone),
            Self::Today(time) => {
                let today = zone.tz().to_datetime(timestamp(now)).date();
                zone.tz().to_timestamp(today.to_datetime(*time)).map_or(now, instant)
            }
        };
        UnixNanos(exact.0.saturating_sub(exact.0.rem_euclid(1_000_000_000)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixNanos {
        instant(text.parse().unwrap())
    }

    #[test]
    fn each_kind_is_told_by_its_first_character() {
        let zone = Zone::parse("+0200").unwrap();
        let now = at("2024-05-15T11:45:30.75Z");
        for (text, want) in [
            ("now", "2024-05-15T11:45:30Z"),
            (" NOW ", "2024-05-15T11:45:30Z"),
            ("now-1h", "2024-05-15T10:45:30Z"),
            ("-1d@d", "2024-05-13T22:00:00Z"),
            ("@d", "2024-05-14T22:00:00Z"),
            ("2024-01-15 12:00:01.999", "2024-01-15T10:00:01Z"),
            ("2024-01-15T12:00:01Z", "2024-01-15T12:00:01Z"),
            ("09:30", "2024-05-15T07:30:00Z"),
        ] {
            assert_eq!(Moment::parse(text, &zone).unwrap().resolve(now, &zone), at(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_says_so() {
        let zone = Zone::utc();
        for (text, why) in [
            ("", "expected now, a relative time"),
            ("yesterday", "\"yesterday\" is not understood; expected now, a relative time"),
            ("Monday", "not a time: expected now"),
            ("-1fortnight", "\"fortnight\" is no unit"),
            ("2024-02-30", "no such day"),
            ("2024-01-15 12:00 XYZ", "\"XYZ\" is not understood"),
        ] {
            let error = Moment::parse(text, &zone).unwrap_err();
            assert!(error.contains(why) && error.contains(&format!("{text:?} is not a time: ")), "{error}");
        }
        assert!(Moment::parse(&"1".repeat(1000), &zone).is_err());
    }
}
