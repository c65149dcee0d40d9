//! From the text of a format to its segments.

use super::super::names::{MONTHS, WEEKDAYS};
use super::{ClockField, DateField, Item, Pad, Segment};

/// Appends the segments of a format.
pub(super) fn compile_into(format: &str, segments: &mut Vec<Segment>) -> Result<(), String> {
    let mut rest = format;
    while let Some(percent) = rest.find('%') {
        text(&rest[..percent], segments);
        rest = conversion(&rest[percent..], segments)?;
    }
    text(rest, segments);
    Ok(())
}

/// Compiles the conversion that `rest` begins with, and returns what follows it.
fn conversion<'a>(rest: &'a str, segments: &mut Vec<Segment>) -> Result<&'a str, String> {
    let body = &rest[1..];
    let flags = body.len() - body.trim_start_matches(['-', '_', '0', '^', '#']).len();
    let (flags, body) = body.split_at(flags);
    let digits = body.len() - body.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (width, body) = body.split_at(digits);
    // Alternative digits and eras are those of the C locale: none.
    let body = body.strip_prefix(['E', 'O']).unwrap_or(body);
    let (colon, body) = match body.strip_prefix(':') {
        Some(after) if after.starts_with('z') => (true, after),
        _ => (false, body),
    };
    let Some(letter) = body.chars().next() else {
        text(rest, segments);
        return Ok("");
    };
    let after = &body[letter.len_utf8()..];
    let written = &rest[..rest.len() - after.len()];
    let flags =
        Flags { fill: flags.chars().rev().find(|c| "-_0".contains(*c)), upper: flags.contains(['^', '#']) };
    match letter {
        'f' | 'N' | 'Q' => {
            let default = [("f", 6), ("N", 9), ("Q", 3)].iter().find(|(name, _)| name.starts_with(letter));
            let digits = width.parse().unwrap_or(default.map_or(6, |(_, digits)| *digits));
            if !(1..=9).contains(&digits) {
                return Err(format!(
                    "{written:?} asks for {digits} digits of a second's fraction: expected 1 to 9"
                ));
            }
            segments.push(Segment::Fraction(digits));
        }
        _ if !known(letter, flags, width.parse().ok(), colon, segments)? => text(written, segments),
        _ => {}
    }
    Ok(after)
}

#[derive(Clone, Copy)]
struct Flags {
    fill: Option<char>,
    upper: bool,
}

impl Flags {
    fn pad(self, width: usize, fill: u8, asked: Option<usize>) -> Pad {
        let width = asked.unwrap_or(width).min(MAX_WIDTH);
        match self.fill {
            Some('-') => Pad { width: 0, fill },
            Some('_') => Pad { width, fill: b' ' },
            Some(_) => Pad { width, fill: b'0' },
            None => Pad { width, fill },
        }
    }
}

/// Wider numbers are mistakes.
const MAX_WIDTH: usize = 64;

/// Compiles a conversion by its letter; false if there is none such.
fn known(
    letter: char,
    flags: Flags,
    width: Option<usize>,
    colon: bool,
    segments: &mut Vec<Segment>,
) -> Result<bool, String> {
    use {ClockField as C, DateField as D};
    let upper = flags.upper;
    let name = |table, of, short| Item::Name { table, of, short, upper };
    let date = |field, digits, fill| Item::Date(field, flags.pad(digits, fill, width));
    let clock = |field, fill| Segment::Clock(field, flags.pad(2, fill, width));
    let item = match letter {
        'Y' => date(D::Year, 1, b'0'),
        'C' => date(D::Century, 2, b'0'),
        'y' => date(D::YearOfCentury, 2, b'0'),
        'm' => date(D::Month, 2, b'0'),
        'd' => date(D::Day, 2, b'0'),
        'e' => date(D::Day, 2, b' '),
        'j' => date(D::DayOfYear, 3, b'0'),
        'U' => date(D::WeekFromSunday, 2, b'0'),
        'W' => date(D::WeekFromMonday, 2, b'0'),
        'w' => date(D::WeekdayFromSunday, 1, b'0'),
        'u' => date(D::WeekdayIso, 1, b'0'),
        'G' => date(D::IsoYear, 1, b'0'),
        'g' => date(D::IsoYearOfCentury, 2, b'0'),
        'V' => date(D::IsoWeek, 2, b'0'),
        'B' => name(&MONTHS, D::MonthIndex, false),
        'b' | 'h' => name(&MONTHS, D::MonthIndex, true),
        'A' => name(&WEEKDAYS, D::WeekdayFromSunday, false),
        'a' => name(&WEEKDAYS, D::WeekdayFromSunday, true),
        'z' => Item::Offset { colon },
        'Z' => Item::Abbreviation,
        _ => {
            let segment = match letter {
                'H' => clock(C::Hour, b'0'),
                'I' => clock(C::Hour12, b'0'),
                'k' => clock(C::Hour, b' '),
                'l' => clock(C::Hour12, b' '),
                'M' => clock(C::Minute, b'0'),
                'S' => clock(C::Second, b'0'),
                's' => Segment::Epoch,
                'p' | 'P' => Segment::HalfOfDay { upper: letter == 'p' },
                _ => return abbreviation(letter, segments),
            };
            segments.push(segment);
            return Ok(true);
        }
    };
    stable(item, segments);
    Ok(true)
}

/// Compiles a conversion that stands for several, or for a character; false if there is none such.
fn abbreviation(letter: char, segments: &mut Vec<Segment>) -> Result<bool, String> {
    let expansion = match letter {
        '%' => {
            text("%", segments);
            return Ok(true);
        }
        'D' | 'x' => "%m/%d/%y",
        'F' => "%Y-%m-%d",
        'R' => "%H:%M",
        'T' | 'X' => "%H:%M:%S",
        'r' => "%I:%M:%S %p",
        'c' => "%a %b %e %H:%M:%S %Y",
        'n' => "\n",
        't' => "\t",
        _ => return Ok(false),
    };
    compile_into(expansion, segments)?;
    Ok(true)
}

fn text(text: &str, segments: &mut Vec<Segment>) {
    match segments.last_mut() {
        _ if text.is_empty() => {}
        Some(Segment::Stable(items)) if matches!(items.last(), Some(Item::Text(_))) => {
            if let Some(Item::Text(last)) = items.last_mut() {
                last.push_str(text);
            }
        }
        _ => stable(Item::Text(text.to_owned()), segments),
    }
}

fn stable(item: Item, segments: &mut Vec<Segment>) {
    match segments.last_mut() {
        Some(Segment::Stable(items)) => items.push(item),
        _ => segments.push(Segment::Stable(vec![item])),
    }
}
