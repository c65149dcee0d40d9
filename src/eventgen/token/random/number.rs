//! Random numbers between two bounds.

use crate::eventgen::token::draw::Stream;
use crate::eventgen::token::language::{ByteSet, Language};

/// Digits after the point that a 64-bit number can hold beside others.
const DECIMALS_MAX: u32 = 15;

/// `integer[low:high]`, both included.
#[derive(Clone, Copy, Debug)]
pub(in crate::eventgen::token) struct Integer {
    low: i64,
    /// How many values there are, less one.
    span: u64,
}

/// `float[low:high]`, rounded to the decimals `low` is written with.
#[derive(Clone, Copy, Debug)]
pub(in crate::eventgen::token) struct Float {
    low: f64,
    high: f64,
    decimals: u32,
}

impl Integer {
    pub(super) fn parse(rest: &str) -> Result<Self, String> {
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
    pub(in crate::eventgen::token) fn draw(&self, random: &mut Stream) -> i64 {
        let offset = match self.span.checked_add(1) {
            Some(count) => random.below(count),
            None => random.bits(),
        };
        self.low.wrapping_add(offset as i64)
    }

    /// Any whole number, as long as its value may also be multiplied.
    pub(in crate::eventgen::token) fn language(&self) -> Language {
        Language::of(ByteSet::of(b"-"), 0, Some(1)).then(ByteSet::digits(), 1, Some(20))
    }
}

impl Float {
    pub(super) fn parse(rest: &str) -> Result<Self, String> {
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
    pub(in crate::eventgen::token) fn draw(&self, random: &mut Stream) -> f64 {
        self.round(self.low + (self.high - self.low) * random.unit())
    }

    /// Rounds to the decimals that are shown.
    pub(in crate::eventgen::token) fn round(&self, value: f64) -> f64 {
        let scale = 10_f64.powi(self.decimals as i32);
        (value * scale).round_ties_even() / scale
    }

    /// Writes a number without trailing zeros, with one decimal at least.
    pub(in crate::eventgen::token) fn write(&self, value: f64, out: &mut Vec<u8>) {
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

    pub(in crate::eventgen::token) fn language(&self) -> Language {
        Language::of(ByteSet::of(b"-"), 0, Some(1)).then(ByteSet::digits(), 1, Some(20)).then_text(".").then(
            ByteSet::digits(),
            1,
            Some(DECIMALS_MAX),
        )
    }
}

fn bounds<'a>(rest: &'a str, form: &str) -> Result<(&'a str, &'a str), String> {
    let inner = rest.split_once(']').map(|(inner, _)| inner);
    let (low, high) =
        inner.and_then(|inner| inner.split_once(':')).ok_or_else(|| format!("expected {form}"))?;
    Ok((low.trim(), high.trim()))
}
