//! The dates of resources: whole seconds of UTC, as the API writes them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};
use tokio::time::Instant;

/// When the simulated foundation was started, by its own calendar: 2026-01-01T00:00:00Z. Its time
/// goes by with tokio's, so that a test may let hours pass.
const STARTED: i64 = 1_767_225_600;

/// Seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(i64);

/// Tells the time.
#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
    ahead: Duration,
    behind: Duration,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), ahead: Duration::ZERO, behind: Duration::ZERO }
    }

    pub(super) fn go_ahead(&mut self, time: Duration) {
        self.ahead = self.ahead.saturating_add(time);
    }

    pub(super) fn go_back(&mut self, time: Duration) {
        self.behind = self.behind.saturating_add(time);
    }

    pub(super) fn now(&self) -> Moment {
        let seconds = self.started.elapsed().saturating_add(self.ahead).saturating_sub(self.behind).as_secs();
        Moment(STARTED.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX)))
    }
}

impl From<Moment> for SystemTime {
    fn from(moment: Moment) -> Self {
        UNIX_EPOCH + Duration::from_secs(u64::try_from(moment.0).unwrap_or_default())
    }
}

impl Moment {
    /// Reads `2026-01-01T00:00:00Z`, the only form the API takes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
        let small = |number: u16| u8::try_from(number).ok();
        let month = Month::try_from(small(month)?).ok()?;
        let date = Date::from_calendar_date(i32::from(year), month, small(day)?).ok()?;
        let time = Time::from_hms(small(hour)?, small(minute)?, small(second)?).ok()?;
        Some(Self(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp()))
    }
}

/// Three numbers of so many digits each.
fn numbers(text: &str, separator: char, widths: [usize; 3]) -> Option<[u16; 3]> {
    let mut parts = text.split(separator);
    let mut out = [0; 3];
    for (number, width) in out.iter_mut().zip(widths) {
        let part = parts.next().filter(|part| part.len() == width)?;
        *number = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(out)
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = OffsetDateTime::from_unix_timestamp(self.0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = date.to_calendar_date();
        let (hour, minute, second) = date.to_hms();
        write!(f, "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_written() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:34:56Z", 951_827_696),
            ("2026-01-01T00:00:00Z", STARTED),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(Moment::parse(text), Some(Moment(seconds)), "{text}");
            assert_eq!(Moment(seconds).to_string(), text);
        }
        for text in
            ["", "now", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "2026-1-1T0:0:0Z"]
        {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }
}
