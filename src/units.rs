//! Quantities as people write them: sizes, durations, whole numbers, yes and no.
//!
//! Durations, numbers and booleans follow the grammar of Go's standard library, because the settings
//! they come from were written for a program in Go: `1h30m`, `1_000`, `1e3`, `T`. One thing is
//! different on purpose: a number that does not fit is an error here, where Go wraps it around.
//!
//! Pure: no clock, no environment.

use std::time::Duration;

/// A text that is not the quantity it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}, such as {example}")]
pub struct UnitError {
    /// The text as given.
    pub value: String,
    /// The form that was expected.
    pub expected: &'static str,
    /// A text that would have been accepted.
    pub example: &'static str,
}

/// What a duration looks like, for messages.
pub const DURATION_FORM: &str = "a duration: numbers with a unit out of ns, us, ms, s, m, h";
/// What a size looks like, for messages.
pub const BYTES_FORM: &str = "a size: a whole number with a unit out of B, KB, MB, GB, KiB, MiB, GiB";
/// What a whole number looks like, for messages.
pub const INTEGER_FORM: &str = "a whole number";
/// What a boolean looks like, for messages.
pub const BOOL_FORM: &str = "true or false";

/// Parses a duration, possibly negative, into nanoseconds: `300ms`, `1.5s`, `1h30m`, `-5s`, `.5s`, `0`.
///
/// ```
/// assert_eq!(firehose_nozzle::units::parse_duration_ns("-1m1.5s"), Ok(-61_500_000_000));
/// ```
///
/// # Errors
/// Another form, or more than 2^63 ns (292 years).
pub fn parse_duration_ns(text: &str) -> Result<i64, UnitError> {
    duration_ns(text).ok_or_else(|| error(text, DURATION_FORM, "1m30s"))
}

/// Parses a duration that is not negative.
///
/// # Errors
/// As [`parse_duration_ns`], and for a negative duration.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let ns = parse_duration_ns(text)?;
    let ns = u64::try_from(ns).map_err(|_| error(text, "a duration that is not negative", "1m30s"))?;
    Ok(Duration::from_nanos(ns))
}

/// Parses a size in bytes: `1000000`, `1MB`, `512KiB`; letters in any case.
///
/// ```
/// assert_eq!(firehose_nozzle::units::parse_bytes("512KiB"), Ok(524_288));
/// ```
///
/// # Errors
/// Another form, or 2^64 bytes and more.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    bytes(text).ok_or_else(|| error(text, BYTES_FORM, "512KiB"))
}

/// Parses a whole number, read as a decimal fraction and truncated: `7`, `007`, `1_000`, `1e3`, `1.9`.
///
/// ```
/// assert_eq!(firehose_nozzle::units::parse_integer("1e3"), Ok(1000));
/// ```
///
/// # Errors
/// Another form, or a number outside −2^63 ..= 2^63 − 1.
pub fn parse_integer(text: &str) -> Result<i64, UnitError> {
    integer(text).ok_or_else(|| error(text, INTEGER_FORM, "100"))
}

/// Parses a boolean: `1 t T true TRUE True 0 f F false FALSE False` and nothing else.
///
/// # Errors
/// Any other text.
pub fn parse_bool(text: &str) -> Result<bool, UnitError> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(error(text, BOOL_FORM, "true")),
    }
}

fn error(value: &str, expected: &'static str, example: &'static str) -> UnitError {
    UnitError { value: value.to_owned(), expected, example }
}

fn duration_ns(text: &str) -> Option<i64> {
    let (negative, mut rest) = split_sign(text);
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit_end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let unit = unit_ns(unit)?;
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total = total.checked_add(whole.checked_mul(unit)?)?.checked_add(part_of(fraction, unit)?)?;
        rest = after;
    }
    let total = i128::try_from(total).ok()?;
    i64::try_from(if negative { -total } else { total }).ok()
}

fn unit_ns(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        // The micro sign and the Greek letter look alike; both are in use.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// `.fraction` of a unit, truncated to nanoseconds.
fn part_of(fraction: &str, unit: u128) -> Option<u128> {
    // No digit after the 18th can add a nanosecond, not even to hours.
    let kept = fraction.get(..18).unwrap_or(fraction);
    if kept.is_empty() {
        return Some(0);
    }
    let scale = 10_u128.checked_pow(u32::try_from(kept.len()).ok()?)?;
    Some(kept.parse::<u128>().ok()?.checked_mul(unit)? / scale)
}

fn bytes(text: &str) -> Option<u64> {
    let (digits, unit) = split_digits(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

fn integer(text: &str) -> Option<i64> {
    // 2^63 as a float; every float below it, truncated, fits.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'_' | b'.' | b'e' | b'E' | b'+' | b'-')) {
        return None;
    }
    // Underscores stand between digits only.
    let misplaced = text.split('_').collect::<Vec<_>>().windows(2).any(|pair| {
        !(pair[0].ends_with(|c: char| c.is_ascii_digit())
            && pair[1].starts_with(|c: char| c.is_ascii_digit()))
    });
    if misplaced {
        return None;
    }
    let number = text.replace('_', "").parse::<f64>().ok()?.trunc();
    if !(-LIMIT..LIMIT).contains(&number) {
        return None;
    }
    // Exact: the number is whole and within the range of i64, as just checked.
    Some(number as i64)
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_follow_the_go_grammar() {
        let accepted: &[(&str, i64)] = &[
            ("0", 0),
            ("-0", 0),
            ("0s", 0),
            ("300ms", 300_000_000),
            ("1.5s", 1_500_000_000),
            ("1h30m", 5_400_000_000_000),
            ("-5s", -5_000_000_000),
            ("+5s", 5_000_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("1us", 1_000),
            ("1\u{b5}s", 1_000),
            ("1\u{3bc}s", 1_000),
            ("1.9ns", 1),
            ("0.9999999999999999999999h", 3_599_999_999_999),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ];
        for (text, ns) in accepted {
            assert_eq!(parse_duration_ns(text), Ok(*ns), "{text}");
        }
        for text in [
            "",
            "-",
            "30",
            "5 s",
            "1d",
            "5S",
            "1m1",
            ".s",
            "s",
            " 5s",
            "5s ",
            "1..5s",
            "3000000h",
            "--5s",
            "1e3s",
            "9223372036854775808ns",
            "99999999999999999999999999999999999999999h",
        ] {
            assert!(parse_duration_ns(text).is_err(), "{text:?}");
        }
        assert!(parse_duration("-1ns").is_err());
    }

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        for (text, bytes) in [
            ("0", 0),
            ("1000000", 1_000_000),
            ("10b", 10),
            ("1MB", 1_000_000),
            ("512KiB", 524_288),
            ("512kib", 524_288),
            ("24MiB", 25_165_824),
            ("2GiB", 2_147_483_648),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "MB", "-1", "1.5MB", "1 MB", "1M", "1TiB", "18446744073709551616", "99999999999GiB"]
        {
            assert!(parse_bytes(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn numbers_are_read_as_fractions_and_truncated_but_never_wrap() {
        for (text, number) in [
            ("7", 7),
            ("-7", -7),
            ("+7", 7),
            ("007", 7),
            ("1_000", 1000),
            ("1e3", 1000),
            ("1.0", 1),
            ("-1.9", -1),
            (".5", 0),
            ("5.", 5),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(parse_integer(text), Ok(number), "{text}");
        }
        for text in [
            "",
            " 7",
            "7 ",
            "0x10",
            "0o17",
            "0b11",
            "abc",
            "inf",
            "nan",
            "_1",
            "1_",
            "1__0",
            "1_.5",
            "1e",
            "e3",
            "9223372036854775807",
            "9223372036854775808",
            "1e400",
            "-1e19",
        ] {
            assert!(parse_integer(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn booleans_are_exact() {
        for text in ["1", "t", "T", "true", "TRUE", "True"] {
            assert_eq!(parse_bool(text), Ok(true));
        }
        for text in ["0", "f", "F", "false", "FALSE", "False"] {
            assert_eq!(parse_bool(text), Ok(false));
        }
        for text in ["", "yes", "on", " true", "tRuE", "2"] {
            assert!(parse_bool(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn errors_say_value_form_and_example() {
        let message = parse_bytes("1M").unwrap_err().to_string();
        assert!(message.starts_with("\"1M\" is not a size: "), "{message}");
        assert!(message.ends_with("such as 512KiB"), "{message}");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC*", near in "[-+]?[0-9._eE]{0,30}[nuµmsh]{0,3}") {
            for text in [&text, &near] {
                let _ = (parse_duration_ns(text), parse_duration(text), parse_bytes(text));
                let _ = (parse_integer(text), parse_bool(text));
            }
        }

        #[test]
        fn whole_units_add_up(h in 0_i64..1000, m in 0_i64..100_000, ms in 0_i64..1_000_000) {
            let ns = (h * 3_600_000 + m * 60_000 + ms) * 1_000_000;
            prop_assert_eq!(parse_duration_ns(&format!("-{h}h{m}m{ms}ms")), Ok(-ns));
        }

        #[test]
        fn plain_numbers_are_themselves(n in -(1_i64 << 53)..(1_i64 << 53)) {
            prop_assert_eq!(parse_integer(&n.to_string()), Ok(n));
        }
    }
}
