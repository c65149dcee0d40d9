//! Dates as people write them: ISO 8601, `01/15/2024 12:00:01`, `15 Jan 2024`, `Mon Jan 15 12:00:01 2024`.
//!
//! Liberal in form, strict in sense: a word that is not understood, a day that does not exist or a
//! missing year is an error, never a guess. Of two small numbers the month comes first, as in the
//! United States, unless it cannot be one.

use jiff::civil::{Date, Time};

use super::moment::Moment;
use super::names::{MONTHS, WEEKDAYS, position};
use super::{Zone, instant};
use crate::clock::UnixNanos;

/// Reads a date, a date with a time, a time alone, or seconds since 1970.
///
/// # Errors
/// What is wrong, if it looks like a date at all.
pub(super) fn parse(text: &str, zone: &Zone) -> Result<Moment, Option<String>> {
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && let Some(at) = epoch(text)
    {
        return Ok(Moment::At(at));
    }
    if let Some((date, time, tail)) = compact(text) {
        let zone = zone_of(tail, zone)?;
        return at(date.ok_or_else(no_such_day)?, time.ok_or_else(no_such_time)?, &zone);
    }
    let (head, time, tail) = match find_time(text) {
        Some((head, time, tail)) => (head, Some(time.ok_or_else(no_such_time)?), tail),
        None => (text, None, ""),
    };
    let mut parts = Parts::default();
    for word in words(head) {
        parts.take(word)?;
    }
    let mut named = None;
    for word in tail.split_whitespace() {
        match word.chars().next() {
            Some('0'..='9') => words(word).try_for_each(|part| parts.take(part))?,
            _ if parts.take(word).is_ok() => {}
            _ => named = Some(zone_of(word, zone)?),
        }
    }
    let zone = named.as_ref().unwrap_or(zone);
    match (parts.date()?, time) {
        (Some(date), time) => at(date, time.unwrap_or(Time::midnight()), zone),
        (None, Some(time)) if named.is_none() => Ok(Moment::Today(time)),
        (None, Some(_)) => Err(Some("a time with a zone needs a date".to_owned())),
        (None, None) => Err(None),
    }
}

fn at(date: Date, time: Time, zone: &Zone) -> Result<Moment, Option<String>> {
    let timestamp = zone.tz().to_timestamp(date.to_datetime(time)).map_err(|error| error.to_string())?;
    Ok(Moment::At(instant(timestamp)))
}

fn no_such_day() -> String {
    "there is no such day".to_owned()
}

fn no_such_time() -> String {
    "there is no such time of day".to_owned()
}

fn zone_of(text: &str, default: &Zone) -> Result<Zone, String> {
    match text.trim().trim_matches(['[', ']']) {
        "" => Ok(default.clone()),
        "local" => Err("\"local\" is not understood".to_owned()),
        name => Zone::parse(name).map_err(|_| format!("{name:?} is not understood")),
    }
}

/// Ten digits are seconds since 1970, thirteen milliseconds; the first may have a fraction.
fn epoch(text: &str) -> Option<UnixNanos> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number: i64 = whole.parse().ok()?;
    match (whole.len(), text.len() > whole.len()) {
        (9 | 10, _) => Some(UnixNanos(number * 1_000_000_000 + i64::from(nanos(fraction)?))),
        (13, false) => Some(UnixNanos(number * 1_000_000)),
        _ => None,
    }
}

/// Nanoseconds of the digits behind a decimal point.
fn nanos(fraction: &str) -> Option<i32> {
    let kept = fraction.get(..9).unwrap_or(fraction);
    if kept.is_empty() {
        return Some(0);
    }
    let scale = 10_i32.pow(9 - u32::try_from(kept.len()).ok()?);
    Some(kept.parse::<i32>().ok()? * scale)
}

/// `20240115`, `20240115T120001`, `20240115120001`, with what stands behind it.
fn compact(text: &str) -> Option<(Option<Date>, Option<Time>, &str)> {
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let leading = digits(text);
    let (date, rest) = match leading {
        8 | 12 | 14 => text.split_at(8),
        _ => return None,
    };
    let rest = rest.strip_prefix(['T', 't', ' ']).unwrap_or(rest);
    let (time, tail) = match digits(rest) {
        n @ (4 | 6) => rest.split_at(n),
        0 if leading == 8 => ("", rest),
        _ => return None,
    };
    if tail.starts_with(':') || (time.is_empty() && !tail.trim().is_empty()) {
        return None;
    }
    let number = |text: &str, from, to| text.get(from..to).map_or(Some(0), |part| part.parse::<i16>().ok());
    let small = |text: &str, from, to| number(text, from, to).and_then(|n| i8::try_from(n).ok());
    let date = Date::new(number(date, 0, 4)?, small(date, 4, 6)?, small(date, 6, 8)?).ok();
    let time = Time::new(small(time, 0, 2)?, small(time, 2, 4)?, small(time, 4, 6)?, 0).ok();
    Some((date, time, tail))
}

/// Splits at the first `H:MM`, which begins the text or follows a blank, a `T` or a colon.
fn find_time(text: &str) -> Option<(&str, Option<Time>, &str)> {
    text.match_indices(':').find_map(|(colon, _)| {
        let head = text[..colon].trim_end_matches(|c: char| c.is_ascii_digit());
        let before = head.chars().next_back();
        if !(1..=2).contains(&(colon - head.len())) || !matches!(before, None | Some('T' | 't' | ' ' | ':')) {
            return None;
        }
        let (time, tail) = read_time(&text[head.len()..])?;
        Some((head.trim_end_matches(['T', 't', ':']), time, tail))
    })
}

/// `H:MM[:SS[.fraction]][ AM|PM]` at the start of a text; the time is `None` if there is none such.
fn read_time(text: &str) -> Option<(Option<Time>, &str)> {
    let (hour, rest) = number(text, 2)?;
    let (minute, mut rest) = number(rest.strip_prefix(':')?, 2)?;
    let (mut second, mut subsecond) = (0, 0);
    if let Some((value, after)) = rest.strip_prefix(':').and_then(|rest| number(rest, 2)) {
        (second, rest) = (value, after);
        if let Some(after) = rest.strip_prefix(['.', ',']) {
            let tail = after.trim_start_matches(|c: char| c.is_ascii_digit());
            subsecond = nanos(&after[..after.len() - tail.len()])?;
            rest = tail;
        }
    }
    let word = rest.trim_start();
    let half = word.get(..2).map(str::to_ascii_lowercase);
    let hour = match half.as_deref() {
        Some("am" | "pm") if !(1..=12).contains(&hour) => return Some((None, rest)),
        Some("am") => hour % 12,
        Some("pm") => hour % 12 + 12,
        _ => return Some((Time::new(hour, minute, second, subsecond).ok(), rest)),
    };
    Some((Time::new(hour, minute, second, subsecond).ok(), &word[2..]))
}

/// A number of at most so many digits at the start of a text.
fn number(text: &str, digits: usize) -> Option<(i8, &str)> {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let taken = text.len() - rest.len();
    (1..=digits).contains(&taken).then(|| text[..taken].parse().ok()).flatten().map(|value| (value, rest))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '\t', ',', '/', '-', '.']).filter(|word| !word.is_empty())
}

/// The parts of a date, in the order they came.
#[derive(Default)]
struct Parts {
    month: Option<i8>,
    /// Value and number of digits.
    numbers: Vec<(i16, usize)>,
}

impl Parts {
    fn take(&mut self, word: &str) -> Result<(), String> {
        if let Some(month) = position(&MONTHS, word) {
            self.month = i8::try_from(month + 1).ok();
        } else if word.bytes().all(|b| b.is_ascii_digit()) && word.len() <= 4 {
            self.numbers.push((word.parse().unwrap_or_default(), word.len()));
        } else if position(&WEEKDAYS, word).is_none() {
            return Err(format!("{word:?} is not understood"));
        }
        Ok(())
    }

    fn date(&self) -> Result<Option<Date>, Option<String>> {
        let incomplete = || Some("a date has a day, a month and a year".to_owned());
        let (year, month, day) = match (self.month, self.numbers.as_slice()) {
            (None, []) => return Ok(None),
            (Some(month), &[(year, 4), (day, _)]) => (year, month.into(), day),
            (Some(month), &[(day, _), (year, digits)]) => (full_year(year, digits), month.into(), day),
            (None, &[(year, 4), (month, _), (day, _)]) => (year, month, day),
            (None, &[(first, _), (second, _), (year, digits)]) => {
                let (month, day) = if first > 12 { (second, first) } else { (first, second) };
                (full_year(year, digits), month, day)
            }
            _ => return Err(incomplete()),
        };
        let small = |value| i8::try_from(value).unwrap_or_default();
        Date::new(year, small(month), small(day)).map(Some).map_err(|_| Some(no_such_day()))
    }
}

/// Two digits are of the years 1969 to 2068.
fn full_year(year: i16, digits: usize) -> i16 {
    match (digits, year) {
        (1 | 2, 0..69) => 2000 + year,
        (1 | 2, _) => 1900 + year,
        _ => year,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::timestamp;
    use super::*;

    fn shown(text: &str) -> String {
        match parse(text, &Zone::utc()) {
            Ok(Moment::At(at)) => timestamp(at).strftime("%Y-%m-%dT%H:%M:%S%.f").to_string(),
            Ok(other) => format!("{other:?}"),
            Err(why) => why.unwrap_or_else(|| "no date".to_owned()),
        }
    }

    #[test]
    fn one_second_in_many_spellings() {
        for text in [
            "2024-01-15T12:00:01",
            "2024-01-15 12:00:01",
            "2024/01/15 12:00:01",
            "2024.01.15 12:00:01",
            "01/15/2024 12:00:01",
            "01-15-2024 12:00:01 PM",
            "15/01/2024 12:00:01",
            "1/15/24 12:00:01pm",
            "15 Jan 2024 12:00:01",
            "15-Jan-2024 12:00:01",
            "15/Jan/2024:12:00:01",
            "15 January, 2024 12:00:01",
            "Jan 15, 2024 12:00:01 PM",
            "Mon Jan 15 12:00:01 2024",
            "Mon, 15 Jan 2024 12:00:01 GMT",
            "12:00:01 2024-01-15",
            "2024-01-15T14:00:01+02:00",
            "2024-01-15T14:00:01.000+0200",
            "2024-01-15 07:00:01 -05",
            "2024-01-15 13:00:01 Europe/Berlin",
            "2024-01-15T13:00:01[Europe/Berlin]",
            "20240115T120001",
            "20240115 120001",
            "20240115120001",
            "20240115T120001Z",
            "1705320001",
            "1705320001000",
        ] {
            assert_eq!(shown(text), "2024-01-15T12:00:01", "{text}");
        }
    }

    #[test]
    fn other_times() {
        for (text, want) in [
            ("2024-01-15", "2024-01-15T00:00:00"),
            ("20240115", "2024-01-15T00:00:00"),
            ("15 Jan 69", "1969-01-15T00:00:00"),
            ("2024-01-15T12:00:01.999", "2024-01-15T12:00:01.999"),
            ("2024-01-15 12:00:01,5", "2024-01-15T12:00:01.5"),
            ("2024-01-15 12:34", "2024-01-15T12:34:00"),
            ("2024-01-15 12:00 AM", "2024-01-15T00:00:00"),
            ("1705320001.25", "2024-01-15T12:00:01.25"),
            ("9:05", "Today(09:05:00)"),
        ] {
            assert_eq!(shown(text), want, "{text}");
        }
    }

    #[test]
    fn nothing_is_guessed() {
        for (text, why) in [
            ("2024-02-30", "there is no such day"),
            ("20241301", "there is no such day"),
            ("2024-01-15 25:00", "there is no such time of day"),
            ("2024-01-15 13:00 PM", "there is no such time of day"),
            ("20240115T250000", "there is no such time of day"),
            ("Jan 15", "a date has a day, a month and a year"),
            ("2024-01", "a date has a day, a month and a year"),
            ("2024-01-15 12:00:01 CEST", "\"CEST\" is not understood"),
            ("next 15 Jan 2024", "\"next\" is not understood"),
            ("12:00 +0200", "a time with a zone needs a date"),
            ("Monday", "no date"),
        ] {
            assert_eq!(shown(text), why, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(seconds in 0..4_000_000_000_i64, form in 0..6_usize) {
            let forms = [
                "%Y-%m-%dT%H:%M:%SZ", "%m/%d/%Y %I:%M:%S %p", "%d %b %Y %H:%M:%S", "%d/%b/%Y:%H:%M:%S %z",
                "%A, %B %d, %Y %H:%M:%S", "%Y%m%d%H%M%S",
            ];
            let at = UnixNanos(seconds * 1_000_000_000);
            let text = timestamp(at).to_zoned(jiff::tz::TimeZone::UTC).strftime(forms[form]).to_string();
            prop_assert_eq!(parse(&text, &Zone::utc()), Ok(Moment::At(at)), "{}", text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9TZ:/ .,+aé-]{0,24}") {
            let _ = parse(&text, &Zone::utc());
        }
    }
}
