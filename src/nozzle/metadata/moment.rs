//! Dates of Cloud Controller's resources: whole seconds of UTC.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

use crate::clock::UnixNanos;

/// Seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Moment(i64);

impl Moment {
    /// Before everything.
    pub(super) const EPOCH: Self = Self(0);

    /// By the clock of this machine.
    pub(super) fn now() -> Self {
        Self(UnixNanos::now().0 / 1_000_000_000)
    }

    /// Reads `2026-01-31T12:00:00Z`, with or without a fraction of a second.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('Z')?;
        let (date, time) = text.split_once('T')?;
        let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = |text: &str| digits(text).then(|| text.parse::<u16>().ok()).flatten();
        let small = |text: &str| u8::try_from(number(text)?).ok();
        let (mut date, mut time) = (date.split('-'), time.split(':'));
        let year = i32::from(number(date.next()?)?);
        let month = Month::try_from(small(date.next()?)?).ok()?;
        let date_read = Date::from_calendar_date(year, month, small(date.next()?)?).ok()?;
        let (hour, minute, second) = (small(time.next()?)?, small(time.next()?)?, small(time.next()?)?);
        if date.next().is_some() || time.next().is_some() || !digits(fraction) {
            return None;
        }
        let time_read = Time::from_hms(hour, minute, second).ok()?;
        Some(Self(PrimitiveDateTime::new(date_read, time_read).assume_utc().unix_timestamp()))
    }

    /// The next second.
    pub(super) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The moment of an HTTP date.
    pub(super) fn of_http_date(text: &str) -> Option<Self> {
        let date = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        i64::try_from(date.as_secs()).ok().map(Self)
    }

    /// So many seconds later.
    pub(super) fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// So many seconds earlier.
    pub(super) fn minus(self, seconds: i64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Seconds from an earlier moment to this one; 0 if that is not earlier.
    pub(super) fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or_default()
    }
}

/// As the API takes it in a filter.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = OffsetDateTime::from_unix_timestamp(self.0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = moment.to_calendar_date();
        let (hour, minute, second) = moment.to_hms();
        write!(f, "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http_date_is_a_moment() {
        for (text, expected) in [
            ("Tue, 29 Feb 2000 12:34:56 GMT", Some("2000-02-29T12:34:56Z")),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some("1994-11-06T08:49:37Z")),
            ("2000-02-29T12:34:56Z", None),
            ("", None),
        ] {
            assert_eq!(Moment::of_http_date(text).map(|moment| moment.to_string()).as_deref(), expected);
        }
    }

    #[test]
    fn moments_are_read_and_written() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:34:56Z", Some(951_827_696)),
            ("2000-02-29T12:34:56.789Z", Some(951_827_696)),
            ("2026-01-01T00:00:00Z", Some(1_767_225_600)),
            ("2026-02-30T00:00:00Z", None),
            ("2026-01-01T00:00:00", None),
            ("2026-01-01T00:00:00+01:00", None),
            ("2026-01-01T00:00:00.Z", None),
            ("2026-01-01T24:00:00Z", None),
            ("2026-+1-01T00:00:00Z", None),
            ("yesterday", None),
            ("", None),
        ] {
            let moment = Moment::parse(text);
            assert_eq!(moment.map(|moment| moment.0), expected, "{text}");
            if let Some(moment) = moment.filter(|_| !text.contains('.')) {
                assert_eq!(moment.to_string(), text);
            }
        }
    }
}
