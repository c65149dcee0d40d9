//! `strftime`, compiled once and fast: what stays the same for a day is rendered once a day.
//!
//! The conversions are those of Python on Linux, with its flags (`%-d`, `%_d`, `%^a`). Added:
//! `%N` (nanoseconds), `%3N` and `%Q` (milliseconds), and any other number of digits from 1 to 9.
//! An unknown conversion stays as it is written. `%z` and `%Z` are empty unless the zone was named.

mod compile;

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

use super::Zone;
use super::names::short;
use crate::clock::UnixNanos;

/// Longer formats are mistakes.
const MAX_FORMAT_BYTES: usize = 4096;

/// A compiled format.
#[derive(Clone, Debug)]
pub struct TimeFormat {
    zone: Zone,
    segments: Arc<[Segment]>,
}

/// What stays the same for a while. Any number of formats may share one; each has its own for speed.
#[derive(Debug, Default)]
pub struct FormatCache {
    format: Option<Arc<[Segment]>>,
    /// Unix seconds from which and before which all below holds.
    from: i64,
    until: i64,
    /// Unix time of the day's midnight by the wall clock, as if it were UTC, less the offset.
    midnight: i64,
    /// Texts of the [`Segment::Stable`]s one after the other, and where each ends.
    stable: Vec<u8>,
    ends: Vec<usize>,
    period: Period,
}

/// A time without a change of the zone's offset.
#[derive(Debug, Default)]
struct Period {
    from: i64,
    until: i64,
    offset: i32,
    abbreviation: String,
}

#[derive(Clone, Debug)]
enum Segment {
    /// The same all day.
    Stable(Vec<Item>),
    /// Depends on the time of day.
    Clock(ClockField, Pad),
    Epoch,
    /// So many digits of the second's fraction.
    Fraction(usize),
    HalfOfDay {
        upper: bool,
    },
}

#[derive(Clone, Debug)]
enum Item {
    Text(String),
    Date(DateField, Pad),
    Name { table: &'static [&'static str], of: DateField, short: bool, upper: bool },
    Offset { colon: bool },
    Abbreviation,
}

#[derive(Clone, Copy, Debug)]
enum ClockField {
    Hour,
    Hour12,
    Minute,
    Second,
}

#[derive(Clone, Copy, Debug)]
enum DateField {
    Year,
    Century,
    YearOfCentury,
    Month,
    MonthIndex,
    Day,
    DayOfYear,
    WeekFromSunday,
    WeekFromMonday,
    WeekdayFromSunday,
    WeekdayIso,
    IsoYear,
    IsoYearOfCentury,
    IsoWeek,
}

/// How a number is filled up; zero width: not at all.
#[derive(Clone, Copy, Debug)]
struct Pad {
    width: usize,
    fill: u8,
}

impl TimeFormat {
    /// Compiles a format whose times are shown in `zone`.
    ///
    /// # Errors
    /// More than nine digits of a fraction, or a format of more than 4096 bytes.
    pub fn compile(format: &str, zone: &Zone) -> Result<Self, String> {
        if format.len() > MAX_FORMAT_BYTES {
            return Err(format!("the time format has more than {MAX_FORMAT_BYTES} bytes"));
        }
        let mut segments = Vec::new();
        compile::compile_into(format, &mut segments)?;
        Ok(Self { zone: zone.clone(), segments: segments.into() })
    }

    /// Appends `at` to `out`.
    pub fn write(&self, at: UnixNanos, cache: &mut FormatCache, out: &mut Vec<u8>) {
        let second = at.0.div_euclid(1_000_000_000);
        let nanos = at.0.rem_euclid(1_000_000_000);
        let fresh = second >= cache.from
            && second < cache.until
            && cache.format.as_ref().is_some_and(|format| Arc::ptr_eq(format, &self.segments));
        if !fresh {
            self.renew(second, cache);
        }
        let of_day = second - cache.midnight;
        let (mut start, mut ends) = (0, cache.ends.iter());
        for segment in &*self.segments {
            match segment {
                Segment::Stable(_) => {
                    let end = *ends.next().unwrap_or(&start);
                    out.extend_from_slice(&cache.stable[start..end]);
                    start = end;
                }
                Segment::Clock(field, pad) => number(field.of(of_day), *pad, out),
                Segment::Epoch => out.extend_from_slice(itoa::Buffer::new().format(second).as_bytes()),
                Segment::Fraction(digits) => {
                    let digit = |place: u32| b'0' + (nanos / 10_i64.pow(8 - place) % 10) as u8;
                    out.extend((0..*digits as u32).map(digit));
                }
                Segment::HalfOfDay { upper } => {
                    let (am, pm): (&[u8], &[u8]) = if *upper { (b"AM", b"PM") } else { (b"am", b"pm") };
                    out.extend_from_slice(if of_day < 12 * 3600 { am } else { pm });
                }
            }
        }
    }

    fn renew(&self, second: i64, cache: &mut FormatCache) {
        let same = cache.format.as_ref().is_some_and(|format| Arc::ptr_eq(format, &self.segments));
        if !same || second < cache.period.from || second >= cache.period.until {
            cache.period = Period::around(second, &self.zone);
        }
        let period = &cache.period;
        let shown = second + i64::from(period.offset);
        let date = Offset::UTC.to_datetime(Timestamp::from_second(shown).unwrap_or_default()).date();
        cache.midnight = second - shown.rem_euclid(86_400);
        cache.from = cache.midnight.max(period.from);
        cache.until = (cache.midnight + 86_400).min(period.until);
        cache.stable.clear();
        cache.ends.clear();
        for segment in &*self.segments {
            if let Segment::Stable(items) = segment {
                items.iter().for_each(|item| item.write(date, period, self.zone.named, &mut cache.stable));
                cache.ends.push(cache.stable.len());
            }
        }
        cache.format = Some(Arc::clone(&self.segments));
    }
}

impl Period {
    fn around(second: i64, zone: &Zone) -> Self {
        let at = Timestamp::from_second(second).unwrap_or_default();
        // The transition at this very second belongs to what follows it.
        let after = Timestamp::from_second(second + 1).unwrap_or(at);
        let info = zone.tz().to_offset_info(at);
        let when = |transition: jiff::tz::TimeZoneTransition<'_>| transition.timestamp().as_second();
        Self {
            from: zone.tz().preceding(after).next().map_or(i64::MIN, when),
            until: zone.tz().following(at).next().map_or(i64::MAX, when),
            offset: info.offset().seconds(),
            abbreviation: info.abbreviation().to_owned(),
        }
    }
}

impl ClockField {
    fn of(self, of_day: i64) -> i64 {
        match self {
            Self::Hour => of_day / 3600,
            Self::Hour12 => (of_day / 3600 + 11) % 12 + 1,
            Self::Minute => of_day / 60 % 60,
            Self::Second => of_day % 60,
        }
    }
}

impl DateField {
    fn of(self, date: Date) -> i64 {
        let weekday = i64::from(date.weekday().to_sunday_zero_offset());
        let day_of_year = i64::from(date.day_of_year());
        match self {
            Self::Year => date.year().into(),
            Self::Century => i64::from(date.year()) / 100,
            Self::YearOfCentury => i64::from(date.year()) % 100,
            Self::Month => date.month().into(),
            Self::MonthIndex => i64::from(date.month()) - 1,
            Self::Day => date.day().into(),
            Self::DayOfYear => day_of_year,
            Self::WeekFromSunday => (day_of_year + 6 - weekday) / 7,
            Self::WeekFromMonday => (day_of_year + 6 - (weekday + 6) % 7) / 7,
            Self::WeekdayFromSunday => weekday,
            Self::WeekdayIso => (weekday + 6) % 7 + 1,
            Self::IsoYear => date.iso_week_date().year().into(),
            Self::IsoYearOfCentury => i64::from(date.iso_week_date().year()) % 100,
            Self::IsoWeek => date.iso_week_date().week().into(),
        }
    }
}

impl Item {
    fn write(&self, date: Date, period: &Period, named: bool, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Date(field, pad) => number(field.of(date), *pad, out),
            Self::Name { table, of, short: cut, upper } => {
                let place = usize::try_from(of.of(date)).unwrap_or_default();
                let name = table.get(place).copied().unwrap_or_default();
                let name = if *cut { short(name) } else { name };
                let case = if *upper { u8::to_ascii_uppercase } else { |byte: &u8| *byte };
                out.extend(name.as_bytes().iter().map(case));
            }
            Self::Offset { .. } | Self::Abbreviation if !named => {}
            Self::Offset { colon } => {
                let seconds = i64::from(period.offset.abs());
                let two = Pad { width: 2, fill: b'0' };
                out.push(if period.offset < 0 { b'-' } else { b'+' });
                number(seconds / 3600, two, out);
                // Only zones of long ago have seconds.
                let parts = [seconds / 60 % 60, seconds % 60];
                for part in &parts[..if parts[1] == 0 { 1 } else { 2 }] {
                    out.extend_from_slice(if *colon { b":" } else { b"" });
                    number(*part, two, out);
                }
            }
            Self::Abbreviation => out.extend_from_slice(period.abbreviation.as_bytes()),
        }
    }
}

fn number(value: i64, pad: Pad, out: &mut Vec<u8>) {
    // By far the most common.
    if pad.width == 2 && pad.fill == b'0' && (0..100).contains(&value) {
        out.extend_from_slice(&[b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]);
        return;
    }
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(value).as_bytes();
    out.extend(std::iter::repeat_n(pad.fill, pad.width.saturating_sub(digits.len())));
    out.extend_from_slice(digits);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(format: &str, nanos: i64, zone: &Zone) -> String {
        let mut out = Vec::new();
        TimeFormat::compile(format, zone).unwrap().write(
            UnixNanos(nanos),
            &mut FormatCache::default(),
            &mut out,
        );
        String::from_utf8(out).unwrap()
    }

    /// 2024-01-15 12:00:01 UTC, a Monday.
    const AT: i64 = 1_705_320_001_000_000_000;

    #[test]
    fn conversions() {
        for (format, want) in [
            ("%Y-%m-%d %H:%M:%S|%b %d", "2024-01-15 12:00:01|Jan 15"),
            ("%d/%b/%Y:%H:%M:%S", "15/Jan/2024:12:00:01"),
            ("%s|%f|%j", "1705320001|000000|015"),
            ("%a %A %p %I|%y|%%|%e", "Mon Monday PM 12|24|%|15"),
            ("%N %3N %Q %6N %1N", "000000000 000 000 000000 0"),
            ("%B %h %P %k %l", "January Jan pm 12 12"),
            ("%u %w %U %W %V %G %g %C", "1 1 02 03 03 2024 24 20"),
            ("%F %T %D %R %r", "2024-01-15 12:00:01 01/15/24 12:00 12:00:01 PM"),
            ("%c|%x|%X", "Mon Jan 15 12:00:01 2024|01/15/24|12:00:01"),
            ("%-m/%-d %_m %^a %#B %-H %-S %4d %OS %2Y", "1/15  1 MON JANUARY 12 1 0015 01 2024"),
            ("%z %:z %Z", "+0000 +00:00 UTC"),
            ("100%, %J, %é, %-", "100%, %J, %é, %-"),
            ("[\"%H:%M\",\"%S\"]", "[\"12:00\",\"01\"]"),
            ("%n%t", "\n\t"),
            ("", ""),
        ] {
            assert_eq!(write(format, AT, &Zone::utc()), want, "{format}");
        }
        assert_eq!(write("%f %3N %N", AT + 123_456_789, &Zone::utc()), "123456 123 123456789");
        assert_eq!(write("%s.%3N", -1, &Zone::utc()), "-1.999");
    }

    #[test]
    fn a_zone_nobody_named_prints_no_offset() {
        assert_eq!(write("[%z%Z]", AT, &Zone::local()), "[]");
        assert_eq!(write("%z %:z %Z", AT, &Zone::parse("-0330").unwrap()), "-0330 -03:30 -03:30");
        assert_eq!(write("%z %Z", AT, &Zone::parse("Europe/Berlin").unwrap()), "+0100 CET");
    }

    #[test]
    fn a_fraction_has_at_most_nine_digits() {
        let error = TimeFormat::compile("%S.%12N", &Zone::utc()).unwrap_err();
        assert_eq!(error, "\"%12N\" asks for 12 digits of a second's fraction: expected 1 to 9");
        assert!(TimeFormat::compile(&"x".repeat(5000), &Zone::utc()).is_err());
    }

    #[test]
    fn formats_may_share_a_cache() {
        let mut cache = FormatCache::default();
        let mut out = Vec::new();
        for (format, zone) in [("%F ", "UTC"), ("%d %H ", "+0500"), ("%F ", "+1300")] {
            let format = TimeFormat::compile(format, &Zone::parse(zone).unwrap()).unwrap();
            format.write(UnixNanos(AT), &mut cache, &mut out);
        }
        assert_eq!(out, b"2024-01-15 15 17 2024-01-16 ");
    }

    proptest! {
        // Whatever the cache holds from the times before, the text is that of another implementation.
        #[test]
        fn as_another_implementation_prints_it(
            times in prop::collection::vec((0..8_i64, any::<i32>(), 0..200_000_i64), 1..20),
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/St_Johns", "+0545", "Australia/Lord_Howe"]),
        ) {
            let text = "%Y-%m-%d %H:%M:%S %z %a %b %j %I %p %s %y %U %W %V %G";
            let zone = Zone::parse(zone).unwrap();
            let format = TimeFormat::compile(text, &zone).unwrap();
            let mut cache = FormatCache::default();
            // Around a few bases, so that the cache is hit as well as missed.
            let bases: Vec<i64> = times.iter().map(|(_, base, _)| i64::from(*base)).collect();
            for (base, _, offset) in &times {
                let second = bases[usize::try_from(*base).unwrap() % bases.len()] + offset;
                let mut out = Vec::new();
                format.write(UnixNanos(second * 1_000_000_000), &mut cache, &mut out);
                let zoned = Timestamp::from_second(second).unwrap().to_zoned(zone.tz().clone());
                prop_assert_eq!(String::from_utf8(out).unwrap(), zoned.strftime(text).to_string());
            }
        }

        #[test]
        fn any_format_is_compiled_or_refused(format in "[%a-zA-Z0-9:é^-]{0,16}", at in any::<i64>()) {
            if let Ok(format) = TimeFormat::compile(&format, &Zone::utc()) {
                format.write(UnixNanos(at), &mut FormatCache::default(), &mut Vec::new());
            }
        }
    }
}
