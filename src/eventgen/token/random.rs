//! What `random` and `rated` put in: `ipv4`, `ipv6`, `mac`, `guid`, `integer[a:b]`, `float[a:b]`, `string(n)`,
//! `hex(n)`, `list[…]`. Names are in any case; what follows a complete form is ignored.

use serde_json::value::RawValue;

use super::draw::Stream;
use super::language::{ByteSet, Language};
use super::values::Values;

/// Longer random texts are mistakes.
const TEXT_LENGTH_MAX: usize = 1 << 20;

/// Digits after the point that a 64-bit number can hold beside others.
const DECIMALS_MAX: u32 = 15;

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

/// `integer[low:high]`, both included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Integer {
    low: i64,
    /// How many values there are, less one.
    span: u64,
}

/// `float[low:high]`, rounded to the decimals `low` is written with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Float {
    low: f64,
    high: f64,
    decimals: u32,
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

impl Integer {
    fn parse(rest: &str) -> Result<Self, String> {
        let (low, high) = bounds(rest, "integer[low:high]")?;
        let number = |text: &str| {
            text.parse::<i64>().map_err(|_| format!("{text:?} is not a whole number between -2^63 and 2^63"))
        };
        let (low, high) = (number(low)?, number(high)?);
        if low > high {
            return Err(format!("the first bound {low} is above the second one, {high}"));
        }
        Ok(Self { low, span: high.wrapping_sub(low) as u64 })
    }

    #[inline]
    pub(super) fn draw(&self, random: &mut Stream) -> i64 {
        let offset = match self.span.checked_add(1) {
            Some(count) => random.below(count),
            None => random.bits(),
        };
        self.low.wrapping_add(offset as i64)
    }

    /// Any whole number, as long as its value may also be multiplied.
    pub(super) fn language(&self) -> Language {
        Language::of(ByteSet::of(b"-"), 0, Some(1)).then(ByteSet::digits(), 1, Some(20))
    }
}

impl Float {
    fn parse(rest: &str) -> Result<Self, String> {
        let (low_text, high_text) = bounds(rest, "float[low:high]")?;
        let number = |text: &str| match text.parse::<f64>() {
            Ok(number) if text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-') => Ok(number),
            _ => Err(format!("{text:?} is not a number such as 0.50 or -3")),
        };
        let (low, high) = (number(low_text)?, number(high_text)?);
        if low > high {
            return Err(format!("the first bound {low_text} is above the second one, {high_text}"));
        }
        let written = low_text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let decimals = u32::try_from(written).unwrap_or(u32::MAX).min(DECIMALS_MAX);
        // Kept as whole numbers of the last decimal, which doubles hold exactly up to here.
        let most = (1_u64 << 53) as f64 / low.abs().max(high.abs()).max(1.0);
        let decimals =
            (0..=decimals).rev().find(|decimals| 10_f64.powi(*decimals as i32) <= most).unwrap_or(0);
        Ok(Self { low, high, decimals })
    }

    #[inline]
    pub(super) fn draw(&self, random: &mut Stream) -> f64 {
        self.round(self.low + (self.high - self.low) * random.unit())
    }

    /// Rounds to the decimals that are shown.
    pub(super) fn round(&self, value: f64) -> f64 {
        let scale = 10_f64.powi(self.decimals as i32);
        (value * scale).round_ties_even() / scale
    }

    /// Writes a number without trailing zeros, with one decimal at least.
    pub(super) fn write(&self, value: f64, out: &mut Vec<u8>) {
        let scale = 10_u64.pow(self.decimals);
        let scaled = (value * scale as f64).round_ties_even() as i64;
        if scaled < 0 {
            out.push(b'-');
        }
        let scaled = scaled.unsigned_abs();
        out.extend_from_slice(itoa::Buffer::new().format(scaled / scale).as_bytes());
        out.push(b'.');
        let (mut rest, mut place) = (scaled % scale, scale);
        loop {
            place = (place / 10).max(1);
            out.push(b'0' + (rest / place) as u8);
            rest %= place;
            if rest == 0 {
                return;
            }
        }
    }

    pub(super) fn language(&self) -> Language {
        Language::of(ByteSet::of(b"-"), 0, Some(1)).then(ByteSet::digits(), 1, Some(20)).then_text(".").then(
            ByteSet::digits(),
            1,
            Some(DECIMALS_MAX),
        )
    }
}

/// What follows a name in any case.
fn after_name<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(rest)
}

fn bounds<'a>(rest: &'a str, form: &str) -> Result<(&'a str, &'a str), String> {
    let inner = rest.split_once(']').map(|(inner, _)| inner);
    let (low, high) =
        inner.and_then(|inner| inner.split_once(':')).ok_or_else(|| format!("expected {form}"))?;
    Ok((low.trim(), high.trim()))
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

#[inline]
pub(super) fn write_integer(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Printable characters that are the same in a URL.
const TEXT_CHARACTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~/";

/// `length` characters out of a few.
fn characters(from: &[u8], length: usize, random: &mut Stream, out: &mut Vec<u8>) {
    // Each takes the upper digits of a product, so a draw is good for as many as leave 16 bits.
    const PER_DRAW: usize = 7;
    let mut left = length;
    while left > 0 {
        let count = left.min(PER_DRAW);
        let mut bits = random.bits();
        out.extend((0..count).map(|_| {
            let product = u128::from(bits) * from.len() as u128;
            bits = product as u64;
            from[(product >> 64) as usize]
        }));
        left -= count;
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Both hexadecimal digits of each byte.
const HEX_PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [HEX[byte >> 4], HEX[byte & 15]];
        byte += 1;
    }
    pairs
};

/// The decimal digits of each byte and a point, and how many characters that is.
const OCTETS: [([u8; 4], u8); 256] = {
    let mut octets = [([b'.'; 4], 0); 256];
    let mut byte = 0;
    while byte < 256 {
        let digits = [byte / 100, byte / 10 % 10, byte % 10];
        let mut place = if byte > 99 {
            0
        } else if byte > 9 {
            1
        } else {
            2
        };
        let mut length = 0;
        while place < 3 {
            octets[byte].0[length] = b'0' + digits[place] as u8;
            length += 1;
            place += 1;
        }
        octets[byte].1 = length as u8 + 1;
        byte += 1;
    }
    octets
};

#[inline]
fn ipv4(random: &mut Stream, out: &mut Vec<u8>) {
    let mut text = [0; 16];
    let mut length = 0;
    for octet in (random.bits() as u32).to_be_bytes() {
        let (digits, count) = &OCTETS[usize::from(octet)];
        text[length..length + 4].copy_from_slice(digits);
        length += usize::from(*count);
    }
    out.extend_from_slice(&text[..length - 1]);
}

fn ipv6(random: &mut Stream, out: &mut Vec<u8>) {
    let bits = u128::from(random.bits()) << 64 | u128::from(random.bits());
    for group in 0..8 {
        let value = (bits >> (112 - 16 * group)) as u16;
        let digits = (16 - value.leading_zeros()).div_ceil(4).max(1);
        if group > 0 {
            out.push(b':');
        }
        out.extend((0..digits).rev().map(|digit| HEX[usize::from(value >> (4 * digit) & 15)]));
    }
}

fn mac(random: &mut Stream, out: &mut Vec<u8>) {
    let mut text = [b':'; 17];
    for (place, byte) in random.bits().to_be_bytes()[..6].iter().enumerate() {
        text[3 * place..3 * place + 2].copy_from_slice(&HEX_PAIRS[usize::from(*byte)]);
    }
    out.extend_from_slice(&text);
}

/// A random UUID (version 4): 122 random bits.
#[inline]
fn guid(random: &mut Stream, out: &mut Vec<u8>) {
    let high = random.bits() & !0xf000 | 0x4000;
    let low = random.bits() & !(0xc0 << 56) | 0x80 << 56;
    let mut text = [b'-'; 36];
    // Where each byte's digits stand.
    const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    let bytes = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
    for (byte, place) in bytes.into_iter().zip(PLACES) {
        text[place..place + 2].copy_from_slice(&HEX_PAIRS[usize::from(byte)]);
    }
    out.extend_from_slice(&text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;
    use crate::eventgen::token::draw::{Draws, Purpose};

    fn draw(replacement: &str, seed: u64) -> String {
        let random = Random::parse(replacement).unwrap();
        let mut out = Vec::new();
        assert!(random.write(&mut Draws::new(seed).stream(Purpose::token(0)), &mut out));
        assert!(random.language().has(&out), "{replacement}: {}", String::from_utf8_lossy(&out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn shapes() {
        for (replacement, pattern) in [
            ("ipv4", r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(\.(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}"),
            ("ipv6", "(0|[1-9a-f][0-9a-f]{0,3})(:(0|[1-9a-f][0-9a-f]{0,3})){7}"),
            ("MAC", "[0-9a-f]{2}(:[0-9a-f]{2}){5}"),
            ("Guid", "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
            ("string(20)", "[A-Za-z0-9_.~/-]{20}"),
            ("string(0)", ""),
            ("hex(9)", "[0-9A-F]{9}"),
            ("INTEGER[-3:12]", "-[123]|[0-9]|1[012]"),
            ("integer[7:7]", "7"),
            ("integer[ -5 : -5 ] of them", "-5"),
            ("integer[-9223372036854775808:9223372036854775807]", r"-?\d+"),
            ("float[0.00:1]", r"1\.0|0\.\d[1-9]?"),
            ("float[-1.5:-0.5]", r"-(1\.[0-5]|0\.[5-9])"),
            ("list[\"a\", 42, 1.50, true, \"]\"]", r"a|42|1\.50|true|\]"),
        ] {
            let pattern = Regex::new(&format!(r"\A(?:{pattern})\z")).unwrap();
            for seed in 0..200 {
                let drawn = draw(replacement, seed);
                assert!(pattern.is_match(&drawn), "{replacement}: {drawn}");
            }
        }
    }

    #[test]
    fn a_float_has_the_decimals_of_its_first_bound_without_trailing_zeros() {
        for (replacement, expected) in [
            ("float[1.50:1.50]", "1.5"),
            ("float[2:2]", "2.0"),
            ("float[3.1415:3.1415]", "3.1415"),
            ("float[1.000:1.000]", "1.0"),
            ("float[0.05:0.05]", "0.05"),
            ("float[-0.25:-0.25]", "-0.25"),
            ("float[0.00001:0.00001]", "0.00001"),
            ("float[123456789012.125000:123456789012.125000]", "123456789012.125"),
        ] {
            assert_eq!(draw(replacement, 1), expected, "{replacement}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_replacement_is_said() {
        for (replacement, message) in [
            ("foo", "expected ipv4"),
            ("integer[5:1]", "the first bound 5 is above"),
            ("integer[5]", "expected integer[low:high]"),
            ("integer[1:99999999999999999999]", "not a whole number"),
            ("float[2.5:1]", "the first bound 2.5 is above"),
            ("float[a:b]", "\"a\" is not a number"),
            ("float[inf:nan]", "\"inf\" is not a number"),
            ("string(x)", "expected a length"),
            ("hex(99999999999)", "expected a length"),
            ("list[]", "the list is empty"),
            ("list[a,b]", "not JSON"),
        ] {
            let error = Random::parse(replacement).unwrap_err();
            assert!(error.contains(message), "{replacement}: {error}");
        }
    }

    #[test]
    fn values_are_drawn_evenly() {
        let random = Random::parse("integer[0:9]").unwrap();
        let mut counts = [0_u32; 10];
        for seed in 0..100_000 {
            let mut out = Vec::new();
            random.write(&mut Draws::new(seed).stream(Purpose::token(1)), &mut out);
            counts[usize::from(out[0] - b'0')] += 1;
        }
        // 10 000 each; six standard deviations are 570.
        assert!(counts.iter().all(|count| (9_400..10_600).contains(count)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn any_number_fits_its_bounds(a in any::<i64>(), b in any::<i64>(), seed in any::<u64>()) {
            let (low, high) = (a.min(b), a.max(b));
            let drawn: i64 = draw(&format!("integer[{low}:{high}]"), seed).parse().unwrap();
            prop_assert!((low..=high).contains(&drawn));
        }

        #[test]
        fn any_float_fits_its_bounds(a in -1_000_000_000_i64..1_000_000_000, b in 0..1_000_000_i64, decimals in 0..6_usize, seed in any::<u64>()) {
            let scale = 10_f64.powi(decimals as i32);
            let (low, high) = (a as f64 / scale, (a + b) as f64 / scale);
            let drawn: f64 = draw(&format!("float[{low:.decimals$}:{high:.decimals$}]"), seed).parse().unwrap();
            prop_assert!(drawn >= low - 1e-9 && drawn <= high + 1e-9, "{low} {drawn} {high}");
        }

        #[test]
        fn any_replacement_is_read_or_refused(text in r#"(integer|float|string|hex|list|)[\[(]?["a0-9:. \[\](),-]{0,10}"#) {
            let _ = Random::parse(&text);
        }
    }
}
