//! Calendar time: zones, times as conf files write them, and `strftime` both ways.
//!
//! Everything here is an instant ([`UnixNanos`]) seen through a [`Zone`]; nothing is ever kept as a
//! wall clock's reading, so a day of 23 or 25 hours is right by itself. The system's clock is read
//! by [`Clock`] alone.

mod absolute;
pub mod format;
mod moment;
mod names;
pub mod parse;
mod relative;

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use tokio::time::Instant;

pub use self::moment::Moment;
pub use self::relative::Relative;
use crate::clock::UnixNanos;

/// The zone a sample's wall clock is in.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    tz: TimeZone,
    named: bool,
}

impl Zone {
    /// The machine's zone (`TZ`, else the system's setting), as it is for a stanza that says nothing
    /// of a zone: `%z` and `%Z` print nothing.
    pub fn local() -> Self {
        Self { tz: TimeZone::system(), named: false }
    }

    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self { tz: TimeZone::UTC, named: true }
    }

    /// Reads `local`, `+0530`, `-0500`, `0000`, `+05:30`, `UTC` or a name of the IANA data base.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let tz = match text {
            "local" => TimeZone::system(),
            "Z" | "UTC" | "utc" => TimeZone::UTC,
            _ => match parse_offset(text) {
                Some(0) => TimeZone::UTC,
                Some(seconds) => {
                    let offset = Offset::from_seconds(seconds).map_err(|error| error.to_string())?;
                    TimeZone::fixed(offset)
                }
                None => TimeZone::get(text).map_err(|_| {
                    format!("{text:?} is not a zone: expected local, an offset such as +0530, or a name such as Europe/Berlin")
                })?,
            },
        };
        Ok(Self { tz, named: true })
    }

    /// Whether a stanza named it. Only then do `%z` and `%Z` print something.
    pub fn is_named(&self) -> bool {
        self.named
    }

    pub(crate) fn tz(&self) -> &TimeZone {
        &self.tz
    }
}

/// Seconds east of Greenwich: `+05`, `+0530`, `-05:00`, `0000`.
fn parse_offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let (hours, minutes) = match (digits.len(), digits.split_once(':')) {
        (5, Some((hours, minutes))) => (hours, minutes),
        (4, None) => digits.split_at_checked(2)?,
        (2, None) if digits.len() < text.len() => (digits, "00"),
        _ => return None,
    };
    let all_digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(hours) || !all_digits(minutes) {
        return None;
    }
    let (hours, minutes) = (hours.parse::<i32>().ok()?, minutes.parse::<i32>().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// What a calendar and a clock on the wall show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Year.
    pub year: i16,
    /// Month 1–12.
    pub month: u8,
    /// Day 1–31.
    pub day: u8,
    /// Hour 0–23.
    pub hour: u8,
    /// Minute 0–59.
    pub minute: u8,
    /// Second 0–59.
    pub second: u8,
    /// Day of the week; 0 is Sunday.
    pub weekday: u8,
}

impl Civil {
    /// The wall clock of `zone` at `at`.
    pub fn of(at: UnixNanos, zone: &Zone) -> Self {
        let shown = zone.tz.to_datetime(timestamp(at));
        let small = |value: i8| value.unsigned_abs();
        Self {
            year: shown.year(),
            month: small(shown.month()),
            day: small(shown.day()),
            hour: small(shown.hour()),
            minute: small(shown.minute()),
            second: small(shown.second()),
            weekday: small(shown.weekday().to_sunday_zero_offset()),
        }
    }
}

/// The clock of a run: the system's, or one that started at another time and runs on at normal speed.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    set: Option<(UnixNanos, Instant)>,
}

impl Clock {
    /// The system's clock, with every step it takes.
    pub fn system() -> Self {
        Self { set: None }
    }

    /// A clock that shows `start` now.
    pub fn starting_at(start: UnixNanos) -> Self {
        Self { set: Some((start, Instant::now())) }
    }

    /// Where it started; the present for the system's clock.
    pub fn started(&self) -> UnixNanos {
        self.set.map_or_else(UnixNanos::now, |(start, _)| start)
    }

    /// What it shows.
    pub fn now(&self) -> UnixNanos {
        match self.set {
            None => UnixNanos::now(),
            Some((start, since)) => UnixNanos(start.0.saturating_add(nanos(since.elapsed()))),
        }
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Always possible: 64 bits of nanoseconds are 292 years, and this type has thousands.
fn timestamp(at: UnixNanos) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The nearest that can be told, for years before 1677 and after 2262.
fn instant(timestamp: Timestamp) -> UnixNanos {
    let nanos = timestamp.as_nanosecond();
    UnixNanos(i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_by_every_spelling() {
        let offset = |text: &str| {
            let zone = Zone::parse(text).unwrap();
            zone.tz.to_offset(Timestamp::UNIX_EPOCH).seconds()
        };
        for (text, seconds) in [
            ("0000", 0),
            ("UTC", 0),
            ("+0530", 19_800),
            ("0530", 19_800),
            ("-0500", -18_000),
            ("-05:30", -19_800),
            ("+09", 32_400),
            ("Asia/Tokyo", 32_400),
        ] {
            assert_eq!(offset(text), seconds, "{text}");
        }
        for text in ["", "+", "05", "+2500", "+0560", "Mars/Olympus", "+05é", "+5:30"] {
            assert!(Zone::parse(text).is_err(), "{text}");
        }
        assert!(Zone::parse("Mars").unwrap_err().contains("\"Mars\" is not a zone: expected local"));
    }

    #[test]
    fn a_calendar_shows_what_the_zone_shows() {
        // 2024-03-31 01:00 UTC: Berlin's clocks go from 2 to 3; a Sunday.
        let at = UnixNanos(1_711_846_800_000_000_000);
        let shown = |zone: &str, at| Civil::of(at, &Zone::parse(zone).unwrap());
        let berlin = Civil { year: 2024, month: 3, day: 31, hour: 3, minute: 0, second: 0, weekday: 0 };
        assert_eq!(shown("Europe/Berlin", at), berlin);
        assert_eq!(shown("Europe/Berlin", UnixNanos(at.0 - 1)).hour, 1);
        assert_eq!(shown("-0200", at), Civil { day: 30, hour: 23, weekday: 6, ..berlin });
        assert_eq!(shown("UTC", UnixNanos(i64::MIN)).year, 1677);
        assert_eq!(shown("UTC", UnixNanos(i64::MAX)).year, 2262);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_set_runs_on() {
        let clock = Clock::starting_at(UnixNanos(1_000_000_000));
        assert_eq!(clock.now(), UnixNanos(1_000_000_000));
        tokio::time::advance(Duration::from_millis(2500)).await;
        assert_eq!(clock.now(), UnixNanos(3_500_000_000));
        assert!(Clock::system().now() > UnixNanos(1_700_000_000_000_000_000));
    }
}
