//! `strptime`: the time a line of a sample carries, by the format its token would be written with.
//!
//! As Python reads it: names in any case, one or two digits, blanks match any blanks, and the
//! whole text has to fit. What a format leaves open is taken from now (the year, and the date where
//! a format has none of it) or is zero. Added: `%N`, `%3N`, `%Q`, `%T`, `%F`, `%D`, `%R`, `%e`, `%k`,
//! `%l`, and `%s` with the digits of milliseconds or smaller behind the seconds.

use jiff::civil::{Date, ISOWeekDate, Time, Weekday};
use jiff::tz::{Offset, TimeZone};
use regex::Regex;

use super::names::{MONTHS, WEEKDAYS, position, short};
use super::{Zone, instant, parse_offset, timestamp};
use crate::clock::UnixNanos;

/// Longer formats are mistakes.
const MAX_FORMAT_BYTES: usize = 4096;

/// A compiled format that times are read by.
#[derive(Clone, Debug)]
pub struct TimeParser {
    zone: Zone,
    pattern: Regex,
    /// What each group of the pattern is.
    fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Epoch,
    Year,
    YearOfCentury,
    Month,
    MonthName,
    Day,
    DayOfYear,
    WeekdayName,
    WeekdayIso,
    IsoYear,
    IsoWeek,
    Hour,
    Hour12,
    HalfOfDay,
    Minute,
    Second,
    Fraction,
    Offset,
    /// Matched and not used.
    Ignored,
}

impl TimeParser {
    /// Compiles a format; times without a zone of their own are in `zone`.
    ///
    /// # Errors
    /// An unknown conversion.
    pub fn compile(format: &str, zone: &Zone) -> Result<Self, String> {
        if format.len() > MAX_FORMAT_BYTES {
            return Err(format!("the time format has more than {MAX_FORMAT_BYTES} bytes"));
        }
        let mut fields = Vec::new();
        let mut pattern = String::from(r"(?i)\A\s*");
        translate(format.trim(), &mut pattern, &mut fields)?;
        // An offset the format does not speak of is ignored, with the blanks around it.
        if !fields.iter().any(|field| matches!(field, Field::Offset | Field::Epoch)) {
            pattern.push_str(r"(?:\s*[+-]\d\d:?\d\d)?");
        }
        pattern.push_str(r"\s*\z");
        let pattern = Regex::new(&pattern).map_err(|error| error.to_string())?;
        Ok(Self { zone: zone.clone(), pattern, fields })
    }

    /// The instant a text tells; `None` if it does not fit the format or there is no such time.
    pub fn parse(&self, text: &str, now: UnixNanos) -> Option<UnixNanos> {
        let groups = self.pattern.captures(text)?;
        let mut parts = Parts::default();
        for (place, field) in self.fields.iter().enumerate() {
            parts.set(*field, groups.get(place + 1)?.as_str())?;
        }
        parts.instant(now, &self.zone)
    }
}

/// Appends a pattern for the format, and what its groups are.
fn translate(format: &str, pattern: &mut String, fields: &mut Vec<Field>) -> Result<(), String> {
    let mut rest = format;
    while let Some(c) = rest.chars().next() {
        if c.is_whitespace() {
            rest = rest.trim_start();
            pattern.push_str(r"\s+");
        } else if c == '%' {
            rest = conversion(rest, pattern, fields)?;
        } else {
            let end = rest.find(|c: char| c == '%' || c.is_whitespace()).unwrap_or(rest.len());
            pattern.push_str(&regex::escape(&rest[..end]));
            rest = &rest[end..];
        }
    }
    Ok(())
}

fn conversion<'a>(rest: &'a str, pattern: &mut String, fields: &mut Vec<Field>) -> Result<&'a str, String> {
    let body = rest[1..].trim_start_matches(|c: char| c.is_ascii_digit() || "-_^:".contains(c));
    let letter = body.chars().next();
    let after = letter.map_or("", |letter| &body[letter.len_utf8()..]);
    let names = |names: &[&str]| {
        // Long ones first: "May" must not end a match of "Mayday" early, nor "Sep" one of "September".
        let all: Vec<_> = names.iter().map(|name| format!("{name}|{}", short(name))).collect();
        format!("({}|sept)", all.join("|"))
    };
    let (field, group) = match letter {
        Some('Y') => (Field::Year, r"(\d{4})".to_owned()),
        Some('y') => (Field::YearOfCentury, r"(\d{2})".to_owned()),
        Some('m') => (Field::Month, "(1[0-2]|0[1-9]|[1-9])".to_owned()),
        Some('d' | 'e') => (Field::Day, "(3[01]|[12][0-9]|0[1-9]| ?[1-9])".to_owned()),
        Some('j') => (
            Field::DayOfYear,
            "(36[0-6]|3[0-5][0-9]|[12][0-9]{2}|0[1-9][0-9]|00[1-9]|[1-9][0-9]|0[1-9]|[1-9])".to_owned(),
        ),
        Some('H' | 'k') => (Field::Hour, "(2[0-3]|[01][0-9]| ?[0-9])".to_owned()),
        Some('I' | 'l') => (Field::Hour12, "(1[0-2]|0[1-9]| ?[1-9])".to_owned()),
        Some('M') => (Field::Minute, "([0-5][0-9]|[0-9])".to_owned()),
        Some('S') => (Field::Second, "(6[01]|[0-5][0-9]|[0-9])".to_owned()),
        Some('f' | 'N' | 'Q') => (Field::Fraction, "([0-9]{1,9})".to_owned()),
        Some('s') => (Field::Epoch, r"(-?\d{1,19}(?:\.\d{1,9})?)".to_owned()),
        Some('B' | 'b' | 'h') => (Field::MonthName, names(&MONTHS)),
        Some('A' | 'a') => (Field::WeekdayName, names(&WEEKDAYS)),
        Some('p' | 'P') => (Field::HalfOfDay, r"([ap]\.?m\.?)".to_owned()),
        Some('z') => (Field::Offset, r"(z|[+-]\d\d(?::?\d\d)?)".to_owned()),
        Some('G') => (Field::IsoYear, r"(\d{4})".to_owned()),
        Some('V') => (Field::IsoWeek, "(5[0-3]|[0-4][0-9]|[0-9])".to_owned()),
        Some('u') => (Field::WeekdayIso, "([1-7])".to_owned()),
        Some('w') => (Field::Ignored, "([0-6])".to_owned()),
        Some('U' | 'W') => (Field::Ignored, "(5[0-3]|[0-4][0-9]|[0-9])".to_owned()),
        Some('Z') => (Field::Ignored, "([a-z]{1,5})".to_owned()),
        Some(other) => {
            let expansion = match other {
                'T' | 'X' => "%H:%M:%S",
                'F' => "%Y-%m-%d",
                'D' | 'x' => "%m/%d/%y",
                'R' => "%H:%M",
                'r' => "%I:%M:%S %p",
                'c' => "%a %b %d %H:%M:%S %Y",
                'n' | 't' => " ",
                '%' => {
                    pattern.push('%');
                    return Ok(after);
                }
                _ => return Err(format!("%{other} is not known for reading times")),
            };
            translate(expansion, pattern, fields)?;
            return Ok(after);
        }
        None => return Err("a % stands alone at the end of the time format".to_owned()),
    };
    pattern.push_str(&group);
    fields.push(field);
    Ok(after)
}

/// What a text says of a time.
#[derive(Default)]
struct Parts {
    epoch: Option<UnixNanos>,
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    day_of_year: Option<i16>,
    iso: (Option<i16>, Option<i8>, Option<Weekday>),
    hour: i8,
    half: Option<bool>,
    minute: i8,
    second: i8,
    nanos: i32,
    offset: Option<i32>,
}

impl Parts {
    fn set(&mut self, field: Field, text: &str) -> Option<()> {
        let text = text.trim();
        let small = || text.parse::<i8>().ok();
        let named = |names| position(names, text).and_then(|place| i8::try_from(place).ok());
        match field {
            Field::Epoch => self.epoch = Some(epoch(text)?),
            Field::Year => self.year = Some(text.parse().ok()?),
            Field::YearOfCentury => {
                let year: i16 = text.parse().ok()?;
                self.year = Some(if year < 69 { 2000 } else { 1900 } + year);
            }
            Field::Month => self.month = Some(small()?),
            Field::MonthName => self.month = Some(named(&MONTHS)? + 1),
            Field::Day => self.day = Some(small()?),
            Field::DayOfYear => self.day_of_year = Some(text.parse().ok()?),
            Field::WeekdayName => {
                self.iso.2 = Some(Weekday::from_sunday_zero_offset(named(&WEEKDAYS)?).ok()?);
            }
            Field::WeekdayIso => self.iso.2 = Some(Weekday::from_monday_one_offset(small()?).ok()?),
            Field::IsoYear => self.iso.0 = Some(text.parse().ok()?),
            Field::IsoWeek => self.iso.1 = Some(small()?),
            Field::Hour => self.hour = small()?,
            Field::Hour12 => self.hour = small()? % 12,
            Field::HalfOfDay => self.half = Some(text.starts_with(['p', 'P'])),
            Field::Minute => self.minute = small()?,
            // A leap second is the second before it.
            Field::Second => self.second = small()?.min(59),
            Field::Fraction => self.nanos = fraction(text)?,
            Field::Offset => {
                self.offset = Some(if text.eq_ignore_ascii_case("z") { 0 } else { parse_offset(text)? })
            }
            Field::Ignored => {}
        }
        Some(())
    }

    fn instant(&self, now: UnixNanos, zone: &Zone) -> Option<UnixNanos> {
        if let Some(epoch) = self.epoch {
            return Some(UnixNanos(epoch.0.checked_add(self.nanos.into())?));
        }
        let hour = if self.half == Some(true) && self.hour < 12 { self.hour + 12 } else { self.hour };
        let time = Time::new(hour, self.minute, self.second, self.nanos).ok()?;
        let tz = match self.offset {
            Some(seconds) => TimeZone::fixed(Offset::from_seconds(seconds).ok()?),
            None => zone.tz().clone(),
        };
        let date = self.date(tz.to_datetime(timestamp(now)).date())?;
        tz.to_timestamp(date.to_datetime(time)).ok().map(instant)
    }

    fn date(&self, today: Date) -> Option<Date> {
        let year = self.year.unwrap_or_else(|| today.year());
        match (self.month, self.day, self.day_of_year, self.iso) {
            (None, None, Some(day), _) => Date::new(year, 1, 1).ok()?.with().day_of_year(day).build().ok(),
            (None, None, None, (Some(year), Some(week), weekday)) => {
                ISOWeekDate::new(year, week, weekday.unwrap_or(Weekday::Monday)).ok().map(|date| date.date())
            }
            (None, None, None, _) if self.year.is_none() => Some(today),
            (month, day, ..) => Date::new(year, month.unwrap_or(1), day.unwrap_or(1)).ok(),
        }
    }
}

/// Seconds since 1970 with a fraction; from the eleventh digit on, digits are of the fraction.
fn epoch(text: &str) -> Option<UnixNanos> {
    let (whole, behind) = text.split_once('.').unwrap_or((text, ""));
    let (sign, digits) = match whole.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, whole),
    };
    let (seconds, more) = digits.split_at(digits.len().min(10));
    let nanos = fraction(if more.is_empty() { behind } else { more })?;
    let seconds: i64 = seconds.parse().ok()?;
    Some(UnixNanos(sign * seconds.checked_mul(1_000_000_000)?.checked_add(nanos.into())?))
}

fn fraction(digits: &str) -> Option<i32> {
    if digits.is_empty() {
        return Some(0);
    }
    let scale = 10_i32.pow(9_u32.checked_sub(u32::try_from(digits.len()).ok()?)?);
    digits.parse::<i32>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::format::{FormatCache, TimeFormat};
    use super::*;

    fn parse(format: &str, text: &str, zone: &str) -> Option<String> {
        // 2024-06-12 09:30:05 UTC.
        let now = UnixNanos(1_718_184_605_000_000_000);
        let parser = TimeParser::compile(format, &Zone::parse(zone).unwrap()).unwrap();
        parser.parse(text, now).map(|at| timestamp(at).to_string())
    }

    #[test]
    fn texts_that_fit() {
        for (format, text, want) in [
            ("%Y-%m-%d %H:%M:%S", "2024-01-01 00:00:03", "2024-01-01T00:00:03Z"),
            ("%Y-%m-%d %H:%M:%S", "2024-1-1   0:0:3", "2024-01-01T00:00:03Z"),
            ("%Y-%m-%d %H:%M:%S,%f", "2024-01-01 00:00:03,25", "2024-01-01T00:00:03.25Z"),
            ("%Y-%m-%dT%H:%M:%S.%3N", "2024-01-01T00:00:03.072", "2024-01-01T00:00:03.072Z"),
            ("%d/%b/%Y:%H:%M:%S", "14/sep/2012:16:30:20", "2012-09-14T16:30:20Z"),
            ("%d/%b/%Y:%H:%M:%S", "14/Sep/2012:16:30:20 -0700", "2012-09-14T16:30:20Z"),
            ("%d/%b/%Y:%H:%M:%S %z", "14/Sep/2012:16:30:20 -0700", "2012-09-14T23:30:20Z"),
            ("%b %d %H:%M:%S", "Sep  4 16:30:20", "2024-09-04T16:30:20Z"),
            ("%b %e %H:%M:%S", "Sep  4 16:30:20", "2024-09-04T16:30:20Z"),
            ("%a %B %d %Y", "Friday September 14 2012", "2012-09-14T00:00:00Z"),
            ("%m/%d/%Y %I:%M:%S %p", "9/14/2012 4:30:20 PM", "2012-09-14T16:30:20Z"),
            ("%m/%d/%y %I:%M %p", "09/14/12 12:30 am", "2012-09-14T00:30:00Z"),
            ("%Y%m%d%H%M%S", "20120914163020", "2012-09-14T16:30:20Z"),
            ("%y%j", "12258", "2012-09-14T00:00:00Z"),
            ("%G-W%V-%u", "2012-W37-5", "2012-09-14T00:00:00Z"),
            ("%H:%M", "16:30", "2024-06-12T16:30:00Z"),
            ("%s", "1704067202", "2024-01-01T00:00:02Z"),
            ("%s", "1704067202500", "2024-01-01T00:00:02.5Z"),
            ("%s", "1704067202.5", "2024-01-01T00:00:02.5Z"),
            ("%s", "-1", "1969-12-31T23:59:59Z"),
            ("%T 100%%", "01:02:60 100%", "2024-06-12T01:02:59Z"),
        ] {
            assert_eq!(parse(format, text, "UTC").as_deref(), Some(want), "{format} {text}");
        }
    }

    #[test]
    fn the_zone_of_the_sample_is_used_where_the_text_has_none() {
        let format = "%Y-%m-%d %H:%M";
        assert_eq!(parse(format, "2024-07-01 02:00", "Europe/Berlin").unwrap(), "2024-07-01T00:00:00Z");
        // In a gap and in a fold: the instant the clock would have shown, and the first of two.
        assert_eq!(parse(format, "2024-03-31 02:30", "Europe/Berlin").unwrap(), "2024-03-31T01:30:00Z");
        assert_eq!(parse(format, "2024-10-27 02:30", "Europe/Berlin").unwrap(), "2024-10-27T00:30:00Z");
    }

    #[test]
    fn texts_that_do_not_fit() {
        for (format, text) in [
            ("%Y-%m-%d", "2024-01-01 00:00:00"),
            ("%Y-%m-%d", "2024-02-30"),
            ("%Y-%m-%d", "2024-13-01"),
            ("%b %d", "Foo 12"),
            ("%H:%M", "24:00"),
            ("%s", "yesterday"),
            ("%Y", ""),
            ("%y%j", "13366"),
        ] {
            assert_eq!(parse(format, text, "UTC"), None, "{format} {text}");
        }
    }

    #[test]
    fn formats_that_cannot_be_read_by() {
        for (format, why) in [("%J", "%J is not known"), ("%Y %", "a % stands alone")] {
            assert!(TimeParser::compile(format, &Zone::utc()).unwrap_err().contains(why), "{format}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            nanos in 0..4_000_000_000_000_000_000_i64,
            (format, unit) in prop::sample::select(vec![
                ("%Y-%m-%d %H:%M:%S.%N %z", 1),
                ("%d/%b/%Y:%H:%M:%S.%f %z", 1000),
                ("%A %B %d %Y %I:%M:%S %p %:z", 1_000_000_000),
                ("%s.%6N", 1000),
                ("%G %V %u %T %z", 1_000_000_000),
                ("%Y %j %R %z", 60_000_000_000),
            ]),
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/St_Johns", "+0545"]),
        ) {
            let at = UnixNanos(nanos - nanos % unit);
            let zone = Zone::parse(zone).unwrap();
            let mut text = Vec::new();
            TimeFormat::compile(format, &zone).unwrap().write(at, &mut FormatCache::default(), &mut text);
            let text = String::from_utf8(text).unwrap();
            let parser = TimeParser::compile(format, &zone).unwrap();
            prop_assert_eq!(parser.parse(&text, UnixNanos(0)), Some(at), "{}", text);
        }

        #[test]
        fn any_text_is_read_or_refused(format in "[%YmdHMSsbpzj: ]{0,12}", text in "[0-9: a-zé+-]{0,16}") {
            if let Ok(parser) = TimeParser::compile(&format, &Zone::utc()) {
                parser.parse(&text, UnixNanos(0));
            }
        }
    }
}
