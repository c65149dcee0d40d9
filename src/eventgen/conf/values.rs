//! Values of settings: what each kind looks like, and reading it.
//!
//! Every reader is total and says what was expected; which setting it was is the caller's to add.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::eventgen::config::{Count, End};
use crate::eventgen::pattern::Pattern;
use crate::eventgen::time::{Moment, Zone};
use crate::units::parse_duration;

/// What a value of a setting has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    /// A whole number, at least so much.
    Integer(i64),
    /// A number that is not negative.
    Number,
    /// Any number.
    Decimal,
    /// A length of time.
    Seconds,
    Text,
    /// Text that is not empty.
    Name,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// Times are relative to now, so they are read in no zone here.
    Time,
    End,
    Zone,
    Regex,
    /// Where an event begins.
    Breaker,
    /// Factors by so many hours, days …, whose first number is given.
    Rates(u8, u8),
    /// Pairs of a regular expression and a time format.
    Timestamps,
    Json,
    Path,
    /// Names, or `prefix:n`.
    Indexes,
}

/// Indexes a stanza may name.
const INDEXES_MAX: usize = 10_000;

impl Kind {
    /// Whether a value of this kind can be used.
    ///
    /// # Errors
    /// What was expected, and the byte of the value it is about, if that is known.
    pub(super) fn check(self, value: &str) -> Result<(), (String, Option<usize>)> {
        let plain = |why: String| (why, None);
        match self {
            Self::Text | Self::Name | Self::Path => Ok(()),
            Self::Bool => boolean(value).map(drop).map_err(plain),
            Self::Integer(least) => integer(value, least).map(drop).map_err(plain),
            Self::Number => number(value).map(drop).map_err(plain),
            Self::Decimal => match f64::from_str(value).is_ok_and(f64::is_finite) {
                true => Ok(()),
                false => Err(plain("expected a number".to_owned())),
            },
            Self::Seconds => seconds(value).map(drop).map_err(plain),
            Self::Choice(words) => match words.contains(&value) {
                true => Ok(()),
                false => Err(plain(format!("expected {}", words.join(" or ")))),
            },
            Self::Time => {
                Moment::parse(value, &Zone::utc()).map(drop).map_err(|why| plain(unquoted(why, value)))
            }
            Self::End => end(value, &Zone::utc()).map(drop).map_err(|why| plain(unquoted(why, value))),
            Self::Zone => Zone::parse(value).map(drop).map_err(|why| plain(unquoted(why, value))),
            Self::Regex => Pattern::new(value).map(drop).map_err(|error| (error.message, error.offset)),
            Self::Breaker => {
                Pattern::multi_line(value).map(drop).map_err(|error| (error.message, error.offset))
            }
            Self::Rates(first, count) => rates(value, first, count).map(drop).map_err(plain),
            Self::Timestamps => timestamps(value).map(drop).map_err(plain),
            Self::Json => serde_json::from_str::<Value>(value).map(drop).map_err(|error| plain(json(&error))),
            Self::Indexes => indexes(value).map(drop).map_err(plain),
        }
    }

    /// Whether a stanza cannot run with a value that is wrong. Of the other kinds a wrong value is
    /// dropped, and the stanza runs as if it had not been set.
    pub(super) fn is_vital(self) -> bool {
        // What came instead would look right: times that are not meant, and lines for events.
        matches!(self, Self::Time | Self::End | Self::Zone | Self::Breaker)
    }

    /// What it is called in the reference.
    pub(super) fn label(self) -> String {
        match self {
            Self::Bool => "yes or no".to_owned(),
            Self::Integer(_) => "whole number".to_owned(),
            Self::Number | Self::Decimal => "number".to_owned(),
            Self::Seconds => "seconds".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Name => "name".to_owned(),
            Self::Choice(words) => {
                words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
            }
            Self::Time => "time".to_owned(),
            Self::End => "number or time".to_owned(),
            Self::Zone => "zone".to_owned(),
            Self::Regex | Self::Breaker => "regular expression".to_owned(),
            Self::Rates(first, count) => format!("factors by {first}–{}", first + count - 1),
            Self::Timestamps => "JSON list of pairs".to_owned(),
            Self::Json => "JSON".to_owned(),
            Self::Path => "path".to_owned(),
            Self::Indexes => "list".to_owned(),
        }
    }
}

/// Without the value itself, which the caller shows.
fn unquoted(why: String, value: &str) -> String {
    match why.strip_prefix(&format!("{value:?} is ")) {
        Some(rest) => rest.to_owned(),
        None => why,
    }
}

pub(super) fn boolean(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Ok(true),
        "0" | "false" | "f" | "no" | "n" | "off" => Ok(false),
        _ => Err("expected true or false (or 1, 0, yes, no, on, off)".to_owned()),
    }
}

pub(super) fn integer(value: &str, least: i64) -> Result<i64, String> {
    match i64::from_str(value) {
        Ok(number) if number >= least => Ok(number),
        _ if least == i64::MIN => Err("expected a whole number".to_owned()),
        _ => Err(format!("expected a whole number, at least {least}")),
    }
}

pub(super) fn number(value: &str) -> Result<f64, String> {
    match f64::from_str(value) {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("expected a number that is not negative".to_owned()),
    }
}

/// `60`, `0.5`, `1m30s`.
pub(super) fn seconds(value: &str) -> Result<Duration, String> {
    let parsed = match f64::from_str(value) {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => parse_duration(value).ok(),
    };
    parsed.ok_or_else(|| "expected seconds such as 60 or 0.5, or a duration such as 1m30s".to_owned())
}

/// `-1`: the whole file.
pub(super) fn count(value: &str) -> Result<Count, String> {
    let number = integer(value, -1)?;
    Ok(u64::try_from(number).map_or(Count::WholeFile, Count::Events))
}

/// A number of runs, or a time. `-1`: never.
pub(super) fn end(value: &str, zone: &Zone) -> Result<End, String> {
    match i64::from_str(value) {
        // Ten digits are a time: seconds since 1970.
        Ok(number) if value.len() < 9 => Ok(u64::try_from(number).map_or(End::Never, End::Runs)),
        _ => Moment::parse(value, zone)
            .map(End::At)
            .map_err(|why| format!("{why}; or a number of runs, -1 for ever")),
    }
}

/// Factors by their place; what is not named is 1.
pub(super) fn rates(value: &str, first: u8, count: u8) -> Result<Vec<f64>, String> {
    let last = first + count - 1;
    let map = match serde_json::from_str(value) {
        Ok(Value::Object(map)) => map,
        Ok(_) => return Err(format!("expected a JSON object such as {{\"{first}\": 0.5}}")),
        Err(error) => return Err(json(&error)),
    };
    let mut factors = vec![1.0; usize::from(count)];
    for (key, factor) in &map {
        let place = u8::from_str(key).ok().filter(|key| (first..=last).contains(key));
        let place = place.ok_or_else(|| format!("{key:?} is no key: expected \"{first}\" to \"{last}\""))?;
        let factor = match factor {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => f64::from_str(text).ok(),
            _ => None,
        };
        let factor = factor.filter(|factor| factor.is_finite() && *factor >= 0.0);
        factors[usize::from(place - first)] =
            factor.ok_or_else(|| format!("the factor of {key:?} is no number that is not negative"))?;
    }
    Ok(factors)
}

/// `[["regular expression", "time format"], …]`.
pub(super) fn timestamps(value: &str) -> Result<Vec<(String, String)>, String> {
    let pairs: Vec<(String, String)> = serde_json::from_str(value).map_err(|error| json(&error))?;
    for (pattern, _) in &pairs {
        Pattern::new(pattern).map_err(|error| format!("{pattern:?} is no regular expression: {error}"))?;
    }
    Ok(pairs)
}

/// `name` or `prefix:n`, which is `prefix0` to `prefix(n−1)`.
pub(super) fn indexes(value: &str) -> Result<Vec<Arc<str>>, String> {
    let mut indexes: Vec<Arc<str>> = Vec::new();
    for item in value.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        match item.split_once(':') {
            None => indexes.push(item.into()),
            Some((prefix, count)) => {
                let count: usize = count.trim().parse().map_err(|_| {
                    format!("{item:?} is no index: expected a name, or prefix:n for n indexes")
                })?;
                if count > INDEXES_MAX {
                    return Err(format!("{item:?} makes more than {INDEXES_MAX} indexes"));
                }
                indexes.extend((0..count).map(|number| Arc::from(format!("{}{number}", prefix.trim()))));
            }
        }
    }
    match indexes.len() {
        0..=INDEXES_MAX => Ok(indexes),
        _ => Err(format!("more than {INDEXES_MAX} indexes")),
    }
}

fn json(error: &serde_json::Error) -> String {
    format!("expected JSON: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_as_people_write_them() {
        for text in ["1", "true", "True", "TRUE", "yes", "on", "T"] {
            assert_eq!(boolean(text), Ok(true), "{text}");
        }
        for text in ["0", "false", "False", "FALSE", "no", "Off", "f"] {
            assert_eq!(boolean(text), Ok(false), "{text}");
        }
        assert!(boolean("maybe").is_err() && boolean("").is_err() && boolean("2").is_err());
    }

    #[test]
    fn numbers_and_lengths_of_time() {
        assert_eq!(integer("-1", -1), Ok(-1));
        assert_eq!(integer("-2", -1), Err("expected a whole number, at least -1".to_owned()));
        assert_eq!(integer("1.5", i64::MIN), Err("expected a whole number".to_owned()));
        assert_eq!(number("1e-3"), Ok(0.001));
        for text in ["-1", "nan", "inf", "x", ""] {
            assert!(number(text).is_err(), "{text}");
        }
        for (text, want) in [("60", 60_000), ("0.25", 250), ("1m30s", 90_000), ("0", 0)] {
            assert_eq!(seconds(text), Ok(Duration::from_millis(want)), "{text}");
        }
        for text in ["abc", "-1", "1e99", "nan"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert_eq!(count("-1"), Ok(Count::WholeFile));
        assert_eq!(count("0"), Ok(Count::Events(0)));
        assert!(count("-2").is_err());
    }

    #[test]
    fn ends() {
        let zone = Zone::utc();
        assert_eq!(end("-1", &zone), Ok(End::Never));
        assert_eq!(end("0", &zone), Ok(End::Runs(0)));
        assert_eq!(end("3", &zone), Ok(End::Runs(3)));
        assert!(matches!(end("+3s", &zone), Ok(End::At(Moment::Relative(_)))));
        assert!(matches!(end("2024-06-12T09:30:10", &zone), Ok(End::At(Moment::At(_)))));
        assert!(matches!(end("1718184610", &zone), Ok(End::At(Moment::At(_)))));
        assert!(end("soon", &zone).unwrap_err().ends_with("; or a number of runs, -1 for ever"));
    }

    #[test]
    fn factors_that_are_not_named_are_one() {
        assert_eq!(rates(r#"{"1": 0.5, "3": "2"}"#, 1, 3), Ok(vec![0.5, 1.0, 2.0]));
        for (text, why) in [
            (r#"{"9": }"#, "expected JSON: expected value at line 1 column 7"),
            ("[1]", "expected a JSON object"),
            (r#"{"7": 1}"#, "\"7\" is no key: expected \"0\" to \"6\""),
            (r#"{"x": 1}"#, "\"x\" is no key"),
            (r#"{"0": -1}"#, "the factor of \"0\" is no number"),
            (r#"{"0": null}"#, "the factor of \"0\" is no number"),
        ] {
            let error = rates(text, 0, 7).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn lists() {
        let names = |text: &str| indexes(text).map(|names| names.join(" "));
        assert_eq!(names("web:2, db ,"), Ok("web0 web1 db".to_owned()));
        assert!(names("web:x").is_err() && names("a:99999").is_err() && names("a:9999,b:9999").is_err());
        assert_eq!(timestamps(r#"[["\\d+", "%s"]]"#), Ok(vec![("\\d+".to_owned(), "%s".to_owned())]));
        assert!(timestamps(r#"[["((", "%s"]]"#).unwrap_err().contains("\"((\" is no regular expression"));
        assert!(timestamps(r#"[["a"]]"#).is_err());
    }

    #[test]
    fn a_pattern_says_where_it_is_wrong() {
        let (message, offset) = Kind::Regex.check("a(b").unwrap_err();
        assert!(!message.is_empty() && offset.is_some(), "{message} {offset:?}");
        assert!(Kind::Choice(&["raw", "csv"]).check("xml").unwrap_err().0.ends_with("expected raw or csv"));
    }
}
