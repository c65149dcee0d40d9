//! Values of JSON as the fields of protobuf messages that they stand for.

use std::borrow::Cow;

use crate::nozzle::json::{Cursor, Member, Str};
use crate::nozzle::ledger::Malformed;

/// Integers up to here are exact as doubles.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A member whose key may have been written with escapes.
type KeyAndValue<'a> = (Cow<'a, [u8]>, Str<'a>);

/// Reads values, each by the type it is to have.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Reader<'a> {
    /// Starts where the cursor is.
    #[inline]
    pub(super) fn new(cursor: Cursor<'a>) -> Self {
        Self { cursor }
    }

    /// Where the next value starts.
    #[inline]
    pub(super) fn start(&mut self) -> usize {
        self.cursor.space();
        self.cursor.at()
    }

    /// What was read since an earlier place.
    #[inline]
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.cursor.since(start)
    }

    /// Checks that there is nothing left but white space.
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        self.cursor.space();
        if self.cursor.is_end() { Ok(()) } else { Err(Malformed::Json) }
    }

    /// What is wrong here, if a value or a sign cannot be read.
    #[cold]
    fn damage(&self) -> Malformed {
        if self.cursor.is_end() { Malformed::Truncated } else { Malformed::Json }
    }

    /// What is wrong here, if there is no value of the wanted type.
    #[cold]
    fn mistyped(&self) -> Malformed {
        let mut other = self.cursor;
        if other.value().is_some() { Malformed::WireType } else { self.damage() }
    }

    /// Goes past `null`, if that is what is here.
    #[inline]
    pub(super) fn null(&mut self) -> Result<bool, Malformed> {
        if self.cursor.peek() != Some(b'n') {
            return Ok(false);
        }
        self.cursor.word(b"null").ok_or(Malformed::Json)?;
        Ok(true)
    }

    /// Goes past any value.
    pub(super) fn skip(&mut self) -> Result<(), Malformed> {
        self.cursor.value().ok_or_else(|| self.damage())
    }

    /// Calls `each` with the name of every member of an object that is not null. It is to read the
    /// value.
    #[inline(always)]
    pub(super) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, &[u8]) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.members(|reader, name| {
            let unescaped;
            let name = if name.escaped {
                unescaped = name.text();
                &*unescaped
            } else {
                name.raw
            };
            each(reader, name)
        })
    }

    /// The same with the names as they are written.
    #[inline(always)]
    pub(super) fn members(
        &mut self,
        mut each: impl FnMut(&mut Self, Str<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.braces(|reader| reader.member(&mut each))
    }

    /// Calls `each` with every member of an object whose values are strings, those that are null left out.
    #[inline(always)]
    pub(super) fn strings(
        &mut self,
        mut each: impl FnMut(Member<'_, 'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if !self.opens()? {
            return Ok(());
        }
        // A copy stays in registers.
        let mut cursor = self.cursor;
        loop {
            let other;
            let member = match cursor.usual_member() {
                Some(member) => Some(member),
                None => {
                    self.cursor = cursor;
                    other = self.any_string()?;
                    cursor = self.cursor;
                    other.as_ref().map(|(key, value)| Member {
                        from_key: key,
                        key_length: key.len(),
                        value: *value,
                    })
                }
            };
            if let Some(member) = member {
                each(member)?;
            }
            self.cursor = cursor;
            if !self.goes_on()? {
                return Ok(());
            }
            cursor = self.cursor;
        }
    }

    /// Reads a member whose value is a string or null, written in any way.
    #[inline(never)]
    fn any_string(&mut self) -> Result<Option<KeyAndValue<'a>>, Malformed> {
        let mut member = None;
        self.member(&mut |reader: &mut Self, key: Str<'a>| {
            member = Some((key.text(), reader.string()?));
            Ok(())
        })?;
        Ok(member)
    }

    /// Goes past the brace an object opens with; false if nothing is in it.
    #[inline(always)]
    fn opens(&mut self) -> Result<bool, Malformed> {
        if !self.cursor.take(b'{') {
            return Err(self.mistyped());
        }
        self.cursor.space();
        Ok(!self.cursor.take(b'}'))
    }

    /// Goes past what follows a member; false if it was the last.
    #[inline(always)]
    fn goes_on(&mut self) -> Result<bool, Malformed> {
        self.cursor.space();
        if self.cursor.take(b'}') {
            return Ok(false);
        }
        if !self.cursor.take(b',') {
            return Err(self.damage());
        }
        self.cursor.space();
        Ok(true)
    }

    /// Goes through an object; `member` reads one member.
    #[inline(always)]
    fn braces(
        &mut self,
        mut member: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if !self.opens()? {
            return Ok(());
        }
        loop {
            member(self)?;
            if !self.goes_on()? {
                return Ok(());
            }
        }
    }

    #[inline(always)]
    fn member(
        &mut self,
        each: &mut impl FnMut(&mut Self, Str<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let key = self.cursor.key().ok_or_else(|| self.damage())?;
        self.cursor.space();
        if self.null()? { Ok(()) } else { each(self, key) }
    }

    /// A string in base64, decoded by `decode`.
    #[inline]
    pub(super) fn base64<T>(
        &mut self,
        decode: impl FnOnce(Str<'a>) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        let start = self.cursor;
        let Some(raw) = self.cursor.unescaped_string() else { return decode(self.string()?) };
        decode(Str { raw, escaped: false }).or_else(|kind| {
            // What is no base64 may not even be JSON.
            self.cursor = start;
            self.string().and(Err(kind))
        })
    }

    /// A string.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Result<Str<'a>, Malformed> {
        if self.cursor.peek() != Some(b'"') {
            return Err(self.mistyped());
        }
        self.cursor.string().ok_or_else(|| self.damage())
    }

    /// The text of a number, which may stand in quotes.
    #[inline]
    fn number<T>(&mut self, read: impl FnOnce(&[u8]) -> Option<T>) -> Result<T, Malformed> {
        match self.cursor.peek() {
            Some(b'"') => read(&self.string()?.text()),
            Some(b'-' | b'0'..=b'9') => {
                let start = self.cursor.at();
                match self.cursor.number() {
                    Some(text) => read(text),
                    None => return Err(self.damaged_number(start)),
                }
            }
            _ => return Err(self.mistyped()),
        }
        .ok_or(Malformed::Number)
    }

    /// A number may be correct, but larger than any double.
    #[cold]
    fn damaged_number(&self, start: usize) -> Malformed {
        let number = std::str::from_utf8(self.since(start)).ok().and_then(|text| text.parse::<f64>().ok());
        if number.is_some_and(f64::is_infinite) { Malformed::Number } else { self.damage() }
    }

    /// An integer.
    #[inline]
    pub(super) fn int64(&mut self) -> Result<i64, Malformed> {
        self.number(|text| match text {
            [b'-', digits @ ..] => unsigned(digits).and_then(|n| 0_i64.checked_sub_unsigned(n)),
            _ => unsigned(text).and_then(|n| i64::try_from(n).ok()),
        })
    }

    /// An integer that is not negative.
    #[inline]
    pub(super) fn uint64(&mut self) -> Result<u64, Malformed> {
        self.number(unsigned)
    }

    /// A double; NaN and the infinities are texts.
    pub(super) fn double(&mut self) -> Result<f64, Malformed> {
        self.number(|text| match text {
            b"NaN" => Some(f64::NAN),
            b"Infinity" => Some(f64::INFINITY),
            b"-Infinity" => Some(f64::NEG_INFINITY),
            _ => double(text),
        })
    }

    /// The type of a log: 0 is OUT, anything else counts as ERR.
    pub(super) fn log_type(&mut self) -> Result<i32, Malformed> {
        if self.cursor.peek() == Some(b'"') {
            return Ok(i32::from(&*self.string()?.text() != b"OUT"));
        }
        i32::try_from(self.int64()?).map_err(|_| Malformed::Number)
    }
}

/// Reads digits; 1.0 and 1e3 are integers too.
#[inline]
fn unsigned(text: &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return whole(text);
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    (!text.is_empty()).then_some(number)
}

#[cold]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole, and within its exact range"
)]
fn whole(text: &[u8]) -> Option<u64> {
    double(text)
        .filter(|number| number.fract() == 0.0 && (0.0..=EXACT_MAX).contains(number))
        .map(|n| n as u64)
}

fn double(text: &[u8]) -> Option<f64> {
    let mut cursor = Cursor::new(text);
    cursor.number().filter(|_| cursor.is_end())?;
    std::str::from_utf8(text).ok()?.parse().ok()
}
