//! Relative times as searches write them: `-1d`, `+1mon@mon+2h`, `@w1`.
//!
//! Seconds, minutes and hours are lengths; days and longer keep the wall clock, and a day the target
//! month lacks becomes its last one.

use jiff::civil::Weekday;
use jiff::{Span, Timestamp, Zoned};

use super::{Zone, instant, timestamp};
use crate::clock::UnixNanos;

/// Steps from now, done in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Relative {
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Add(i64, Unit),
    Snap(Snap),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Snap {
    To(Unit),
    Weekday(Weekday),
}

/// More steps than any sensible time has.
const MAX_STEPS: usize = 16;

impl Relative {
    /// Reads the steps. The text begins with `+`, `-` or `@`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        let mut rest = text;
        while let Some(sign) = rest.chars().next() {
            let end = rest[1..].find(['+', '-', '@']).map_or(rest.len(), |end| end + 1);
            let body = rest[1..end].trim();
            steps.push(match sign {
                '@' => Step::Snap(parse_snap(body)?),
                _ => parse_offset(sign == '-', body)?,
            });
            if steps.len() > MAX_STEPS {
                return Err(format!("it has more than {MAX_STEPS} steps"));
            }
            rest = &rest[end..];
        }
        Ok(Self { steps })
    }

    /// The instant these steps lead to from `now`. A step that would leave the calendar is not taken.
    pub(super) fn resolve(&self, now: UnixNanos, zone: &Zone) -> UnixNanos {
        let mut at = timestamp(now).to_zoned(zone.tz().clone());
        for step in &self.steps {
            let next = match *step {
                Step::Add(count, unit) => add(&at, count, unit),
                Step::Snap(Snap::To(unit)) => snap(&at, unit),
                Step::Snap(Snap::Weekday(first)) => snap_to_weekday(&at, first),
            };
            at = next.unwrap_or(at);
        }
        instant(at.timestamp())
    }
}

fn parse_offset(negative: bool, body: &str) -> Result<Step, String> {
    let digits = body.len() - body.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = body.split_at(digits);
    // `-d` is a day back.
    let count: i64 = match number {
        "" => 1,
        _ => number.parse().map_err(|_| format!("{number:?} is too large"))?,
    };
    Ok(Step::Add(if negative { -count } else { count }, parse_unit(unit)?))
}

fn parse_snap(body: &str) -> Result<Snap, String> {
    let weekday = match body {
        "w0" | "w7" => Weekday::Sunday,
        "w1" => Weekday::Monday,
        "w2" => Weekday::Tuesday,
        "w3" => Weekday::Wednesday,
        "w4" => Weekday::Thursday,
        "w5" => Weekday::Friday,
        "w6" => Weekday::Saturday,
        _ => return parse_unit(body).map(Snap::To),
    };
    Ok(Snap::Weekday(weekday))
}

fn parse_unit(text: &str) -> Result<Unit, String> {
    Ok(match text.trim().to_ascii_lowercase().as_str() {
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
        "d" | "day" | "days" => Unit::Day,
        "w" | "week" | "weeks" => Unit::Week,
        "mon" | "month" | "months" => Unit::Month,
        "q" | "qtr" | "qtrs" | "quarter" | "quarters" => Unit::Quarter,
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Year,
        "" => return Err("a unit is missing: expected s, m, h, d, w, mon, q or y".to_owned()),
        other => {
            return Err(format!(
                "{other:?} is no unit: expected s, m, h, d, w, mon, q or y (@w0 to @w6 for a day of the week)"
            ));
        }
    })
}

fn add(at: &Zoned, count: i64, unit: Unit) -> Option<Zoned> {
    let span = Span::new();
    let span = match unit {
        Unit::Second => span.try_seconds(count),
        Unit::Minute => span.try_minutes(count),
        Unit::Hour => span.try_hours(count),
        Unit::Day => span.try_days(count),
        Unit::Week => span.try_weeks(count),
        Unit::Month => span.try_months(count),
        Unit::Quarter => span.try_months(count.saturating_mul(3)),
        Unit::Year => span.try_years(count),
    };
    at.checked_add(span.ok()?).ok()
}

fn snap(at: &Zoned, unit: Unit) -> Option<Zoned> {
    let day = at.date();
    let first = match unit {
        // By length, not by the wall clock: an hour that comes twice is snapped within itself.
        Unit::Second => return floor(at, 0),
        Unit::Minute => return floor(at, i64::from(at.second())),
        Unit::Hour => return floor(at, i64::from(at.minute()) * 60 + i64::from(at.second())),
        Unit::Week => return snap_to_weekday(at, Weekday::Sunday),
        Unit::Day => day,
        Unit::Month => day.first_of_month(),
        Unit::Quarter => {
            let month = day.month() - (day.month() - 1) % 3;
            day.with().month(month).day(1).build().ok()?
        }
        Unit::Year => day.first_of_year(),
    };
    first.to_zoned(at.time_zone().clone()).ok()
}

fn snap_to_weekday(at: &Zoned, first: Weekday) -> Option<Zoned> {
    let back = first.until(at.weekday());
    at.date().checked_sub(Span::new().days(back)).ok()?.to_zoned(at.time_zone().clone()).ok()
}

/// The whole second, `seconds` earlier.
fn floor(at: &Zoned, seconds: i64) -> Option<Zoned> {
    let whole = at.timestamp().as_nanosecond().div_euclid(1_000_000_000);
    let second = i64::try_from(whole).ok()?.checked_sub(seconds)?;
    Some(Timestamp::from_second(second).ok()?.to_zoned(at.time_zone().clone()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Civil;
    use super::*;

    fn resolve(text: &str, now: &str, zone: &str) -> String {
        let zone = Zone::parse(zone).unwrap();
        let now = instant(now.parse::<Timestamp>().unwrap());
        let at = Relative::parse(text).unwrap().resolve(now, &zone);
        timestamp(at).to_zoned(zone.tz().clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    #[test]
    fn steps_on_a_wednesday_in_may() {
        for (text, want) in [
            ("-90s", "2024-05-15 13:44:00"),
            ("-2m", "2024-05-15 13:43:30"),
            ("-1h", "2024-05-15 12:45:30"),
            ("-0h@h", "2024-05-15 13:00:00"),
            ("-1d@d", "2024-05-14 00:00:00"),
            ("-1d@d+3h", "2024-05-14 03:00:00"),
            ("-0d@w0", "2024-05-12 00:00:00"),
            ("@w7", "2024-05-12 00:00:00"),
            ("@w", "2024-05-12 00:00:00"),
            ("-1w@w1", "2024-05-06 00:00:00"),
            ("@w3", "2024-05-15 00:00:00"),
            ("@w4", "2024-05-09 00:00:00"),
            ("-1mon@mon", "2024-04-01 00:00:00"),
            ("-1mon@mon+2h", "2024-04-01 02:00:00"),
            ("-1q@q", "2024-01-01 00:00:00"),
            ("@qtr", "2024-04-01 00:00:00"),
            ("-1y", "2023-05-15 13:45:30"),
            ("@y", "2024-01-01 00:00:00"),
            ("-5mon", "2023-12-15 13:45:30"),
            ("+9mon", "2025-02-15 13:45:30"),
            ("+1week -2 days", "2024-05-20 13:45:30"),
            ("-d", "2024-05-14 13:45:30"),
            ("-99999999y", "2024-05-15 13:45:30"),
        ] {
            assert_eq!(resolve(text, "2024-05-15T13:45:30.5Z", "UTC"), want, "{text}");
        }
    }

    #[test]
    fn a_day_the_month_lacks_is_its_last() {
        assert_eq!(resolve("-1mon", "2024-05-31T12:00:00Z", "UTC"), "2024-04-30 12:00:00");
        assert_eq!(resolve("-1mon", "2024-01-15T12:00:00Z", "UTC"), "2023-12-15 12:00:00");
        assert_eq!(resolve("-1y", "2024-02-29T12:00:00Z", "UTC"), "2023-02-28 12:00:00");
    }

    #[test]
    fn days_keep_the_wall_clock_and_hours_their_length() {
        // Berlin, 2024-03-31: 23 hours long.
        let noon = "2024-03-31T10:00:00Z";
        assert_eq!(resolve("-1d", noon, "Europe/Berlin"), "2024-03-30 12:00:00");
        assert_eq!(resolve("-24h", noon, "Europe/Berlin"), "2024-03-30 11:00:00");
        assert_eq!(resolve("@d", noon, "Europe/Berlin"), "2024-03-31 00:00:00");
        assert_eq!(resolve("@d+3h", noon, "Europe/Berlin"), "2024-03-31 04:00:00");
        // 2024-10-27 02:30 comes twice; the second one is not snapped into the first.
        let second = "2024-10-27T01:30:00Z";
        let zone = Zone::parse("Europe/Berlin").unwrap();
        let now = instant(second.parse().unwrap());
        let at = Relative::parse("@h").unwrap().resolve(now, &zone);
        assert_eq!(timestamp(at).to_string(), "2024-10-27T01:00:00Z");
    }

    #[test]
    fn steps_that_are_none_say_why() {
        for (text, why) in [
            ("-", "a unit is missing"),
            ("@", "a unit is missing"),
            ("-5", "a unit is missing"),
            ("-1x", "\"x\" is no unit"),
            ("@w8", "\"w8\" is no unit"),
            ("-99999999999999999999s", "too large"),
            ("--1d", "a unit is missing"),
        ] {
            let error = Relative::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(Relative::parse(&"+1s".repeat(17)).is_err());
    }

    proptest! {
        #[test]
        fn lengths_are_lengths(now in any::<i32>(), n in -100_000_i64..100_000, unit in 0..3_usize) {
            let (letter, seconds) = [("s", 1), ("m", 60), ("h", 3600)][unit];
            let zone = Zone::parse("America/New_York").unwrap();
            let now = UnixNanos(i64::from(now) * 1_000_000_000);
            let at = Relative::parse(&format!("{n:+}{letter}")).unwrap().resolve(now, &zone);
            prop_assert_eq!(at.0 - now.0, n * seconds * 1_000_000_000);
        }

        #[test]
        fn snapping_goes_to_a_start_and_not_further_than_one_unit(
            now in any::<i32>(),
            unit in prop::sample::select(vec![
                ("s", 1), ("m", 60), ("h", 3600), ("d", 90_000), ("w", 7 * 90_000), ("mon", 31 * 90_000),
                ("q", 93 * 90_000), ("y", 367 * 90_000),
            ]),
        ) {
            let zone = Zone::parse("Europe/Berlin").unwrap();
            let now = UnixNanos(i64::from(now) * 1_000_000_000 + 7);
            let snap = Relative::parse(&format!("@{}", unit.0)).unwrap();
            let at = snap.resolve(now, &zone);
            prop_assert!(at <= now && now.0 - at.0 < unit.1 * 1_000_000_000);
            prop_assert_eq!(snap.resolve(at, &zone), at);
            let shown = Civil::of(at, &zone);
            prop_assert!(unit.0 == "s" || shown.second == 0);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+@][-+@0-9a-z ]{0,12}", now in any::<i64>()) {
            if let Ok(relative) = Relative::parse(&text) {
                relative.resolve(UnixNanos(now), &Zone::utc());
            }
        }
    }
}
