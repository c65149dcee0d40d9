//! What `random` and `rated` put in: `ipv4`, `ipv6`, `mac`, `guid`, `integer[a:b]`, `float[a:b]`, `string(n)`,
//! `hex(n)`, `list[…]`. Names are in any case; what follows a complete form is ignored.

mod number;
mod render;

use serde_json::value::RawValue;

pub(super) use self::number::{Float, Integer};
pub(super) use self::render::write_integer;
use self::render::{TEXT_CHARACTERS, characters, guid, ipv4, ipv6, mac};
use super::draw::Stream;
use super::language::{ByteSet, Language};
use super::values::Values;

/// Longer random texts are mistakes.
const TEXT_LENGTH_MAX: usize = 1 << 20;

/// Something drawn at random.
#[derive(Debug)]
pub(super) enum Random {
    Ipv4,
    Ipv6,
    Mac,
    Guid,
    Integer(Integer),
    Float(Float),
    Text(usize),
    Hex(usize),
    List(Values),
}

/// What can be written, for messages.
pub(super) const FORMS: &str =
    "ipv4, ipv6, mac, guid, integer[1:9], float[0.5:9.5], string(8), hex(8) or list[\"a\", \"b\"]";

impl Random {
    /// Reads a replacement of the type `random`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        for (name, random) in
            [("ipv4", Self::Ipv4), ("ipv6", Self::Ipv6), ("mac", Self::Mac), ("guid", Self::Guid)]
        {
            if text.eq_ignore_ascii_case(name) {
                return Ok(random);
            }
        }
        if let Some(rest) = after_name(text, "integer[") {
            return Integer::parse(rest).map(Self::Integer);
        }
        if let Some(rest) = after_name(text, "float[") {
            return Float::parse(rest).map(Self::Float);
        }
        if let Some(rest) = after_name(text, "string(") {
            return length(rest).map(Self::Text);
        }
        if let Some(rest) = after_name(text, "hex(") {
            return length(rest).map(Self::Hex);
        }
        if after_name(text, "list[").is_some() {
            return list(&text["list".len()..]).map(Self::List);
        }
        Err(format!("expected {FORMS}"))
    }

    #[inline]
    pub(super) fn write(&self, random: &mut Stream, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Ipv4 => ipv4(random, out),
            Self::Ipv6 => ipv6(random, out),
            Self::Mac => mac(random, out),
            Self::Guid => guid(random, out),
            Self::Integer(integer) => write_integer(integer.draw(random), out),
            Self::Float(float) => float.write(float.draw(random), out),
            Self::Text(length) => characters(TEXT_CHARACTERS, *length, random, out),
            Self::Hex(length) => characters(b"0123456789ABCDEF", *length, random, out),
            Self::List(values) => {
                let Some(value) = values.get(random.index(values.len())) else { return false };
                out.extend_from_slice(value);
            }
        }
        true
    }

    pub(super) fn language(&self) -> Language {
        let digits = ByteSet::digits();
        let hex = digits.or(ByteSet::of(b"abcdef"));
        let exactly = |language: Language, set, count| language.then(set, count, Some(count));
        match self {
            Self::Ipv4 => (0..3)
                .fold(Language::default(), |language, _| language.then(digits, 1, Some(3)).then_text("."))
                .then(digits, 1, Some(3)),
            Self::Ipv6 => (0..7)
                .fold(Language::default(), |language, _| language.then(hex, 1, Some(4)).then_text(":"))
                .then(hex, 1, Some(4)),
            Self::Mac => {
                let pairs =
                    (0..5).fold(Language::default(), |language, _| exactly(language, hex, 2).then_text(":"));
                exactly(pairs, hex, 2)
            }
            Self::Guid => [8, 4, 4, 4]
                .into_iter()
                .fold(Language::default(), |language, count| exactly(language, hex, count).then_text("-"))
                .then(hex, 12, Some(12)),
            Self::Integer(integer) => integer.language(),
            Self::Float(float) => float.language(),
            Self::Text(length) => exactly(Language::default(), ByteSet::of(TEXT_CHARACTERS), *length as u32),
            Self::Hex(length) => {
                exactly(Language::default(), digits.or(ByteSet::of(b"ABCDEF")), *length as u32)
            }
            Self::List(values) => values.language(),
        }
    }
}

/// What follows a name in any case.
fn after_name<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(rest)
}

fn length(rest: &str) -> Result<usize, String> {
    let inner = rest.split_once(')').map(|(inner, _)| inner.trim());
    inner
        .and_then(|inner| inner.parse().ok())
        .filter(|length| *length <= TEXT_LENGTH_MAX)
        .ok_or_else(|| format!("expected a length from 0 to {TEXT_LENGTH_MAX} in the parentheses"))
}

/// A JSON list; strings as what they stand for, anything else as it is written.
fn list(text: &str) -> Result<Values, String> {
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<Vec<&RawValue>>();
    let items = match documents.next() {
        Some(Ok(items)) if !items.is_empty() => items,
        Some(Ok(_)) => return Err("the list is empty".to_owned()),
        Some(Err(error)) => return Err(format!("the list is not JSON such as [\"a\", \"b\"]: {error}")),
        None => return Err("the list is missing".to_owned()),
    };
    Ok(Values::new(items.into_iter().map(|item| {
        let text = serde_json::from_str::<String>(item.get());
        Some(text.unwrap_or_else(|_| item.get().to_owned()))
    })))
}

#[cfg(test)]
mod tests;
