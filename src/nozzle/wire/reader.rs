//! The protobuf wire format: tags, varints, lengths.

use crate::nozzle::ledger::Malformed;
use crate::nozzle::wire::tags::Name;

/// How a field's value is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1, little-endian.
    Fixed64(u64),
    /// Wire type 2: text, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Wire type 5, little-endian.
    Fixed32(u32),
}

impl<'a> Value<'a> {
    /// The bytes of a length-delimited field.
    ///
    /// # Errors
    /// [`Malformed::WireType`] for any other layout.
    #[inline]
    pub fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(Malformed::WireType) }
    }

    /// A varint field.
    ///
    /// # Errors
    /// [`Malformed::WireType`] for any other layout.
    #[inline]
    pub fn varint(self) -> Result<u64, Malformed> {
        if let Self::Varint(n) = self { Ok(n) } else { Err(Malformed::WireType) }
    }

    /// A signed 64-bit varint field (`int64`: two's complement, not zigzag).
    ///
    /// # Errors
    /// [`Malformed::WireType`] for any other layout.
    #[inline]
    pub fn int64(self) -> Result<i64, Malformed> {
        self.varint().map(u64::cast_signed)
    }

    /// A signed 32-bit varint field (`int32` or an enum), truncated as every decoder does.
    ///
    /// # Errors
    /// [`Malformed::WireType`] for any other layout.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the format says to keep the low 32 bits")]
    pub fn int32(self) -> Result<i32, Malformed> {
        self.varint().map(|n| n as i32)
    }

    /// A `double` field.
    ///
    /// # Errors
    /// [`Malformed::WireType`] for any other layout.
    #[inline]
    pub fn double(self) -> Result<f64, Malformed> {
        if let Self::Fixed64(bits) = self { Ok(f64::from_bits(bits)) } else { Err(Malformed::WireType) }
    }
}

/// Walks over the fields of one message.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first field of a message.
    #[inline]
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's number and value; `None` at the end of the message.
    ///
    /// Inlined into each loop over fields: the value then is never put together, only the part of it that
    /// the loop asks for.
    ///
    /// # Errors
    /// The kind of damage. The rest of the message cannot be read then.
    #[inline(always)]
    pub fn next_field(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > 0x1fff_ffff {
            return Err(Malformed::Number);
        }
        let value = match tag & 7 {
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).map_err(|_| Malformed::Truncated)?)?)
            }
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            // Groups (3, 4) were never used by Loggregator; 6 and 7 do not exist.
            _ => return Err(Malformed::WireType),
        };
        // At most 29 bits, as was just found.
        #[allow(clippy::cast_possible_truncation, reason = "in range")]
        Ok(Some((number as u32, value)))
    }

    /// Takes the entries of a map of strings that come next and are as every encoder writes them: key, then value, all of
    /// it shorter than 128 bytes. `before` is what stands before such an entry in this message.
    ///
    /// Most of an envelope is such entries; [`next_field`](Self::next_field) reads them as well, in four times the
    /// time.
    #[inline(always)]
    pub fn usual_entries<const N: usize>(
        &mut self,
        before: &[u8; N],
        mut each: impl FnMut(Name<'a>, &'a [u8]),
    ) {
        // Not in the reader, so that it stays in registers.
        let mut rest = self.rest;
        while let Some((key, value, after)) = usual_entry(rest, before) {
            each(key, value);
            rest = after;
        }
        self.rest = rest;
    }

    #[inline(always)]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest {
            // Nearly all tags and lengths are below 128, the others below 16384.
            [byte @ 0..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            [low, high @ 0..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for (at, byte) in self.rest.iter().take(10).enumerate() {
            // The tenth byte has room for one bit only.
            if at == 9 && *byte > 1 {
                return Err(Malformed::Number);
            }
            number |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(number);
            }
        }
        if self.rest.len() >= 10 { Err(Malformed::Number) } else { Err(Malformed::Truncated) }
    }
}

/// Takes one entry; see [`Reader::usual_entries`].
///
/// Where the next one starts follows from the length of the entry alone: were it to follow from those of key and value,
/// which are found one after the other, everything would wait for them.
#[inline(always)]
fn usual_entry<'a, const N: usize>(
    text: &'a [u8],
    before: &[u8; N],
) -> Option<(Name<'a>, &'a [u8], &'a [u8])> {
    let (start, text) = text.split_first_chunk()?;
    if start != before {
        return None;
    }
    let [length @ 0..0x80, tag, key_length, from_key @ ..] = text else { return None };
    let (entry, rest) = text.get(1..)?.split_at_checked(usize::from(*length))?;
    let key_length = usize::from(*key_length);
    // With the key's tag and length. The lengths are right, and of one byte each, if what is left is as long as it says.
    let [VALUE, value_length, value @ ..] = entry.get(2 + key_length..)? else { return None };
    if *tag != KEY || usize::from(*value_length) != value.len() {
        return None;
    }
    Some((Name::starting(from_key, key_length), value, rest))
}

/// What stands before the key of an entry, and before its value.
const KEY: u8 = 1 << 3 | 2;
const VALUE: u8 = 2 << 3 | 2;

/// An entry of a map of strings, if it is key, then value, both shorter than 128 bytes.
#[inline(always)]
pub(super) fn split_entry(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let [KEY, rest @ ..] = entry else { return None };
    let (length, rest) = short_length(rest)?;
    let (key, rest) = rest.split_at_checked(length)?;
    let [VALUE, rest @ ..] = rest else { return None };
    let (length, value) = short_length(rest)?;
    (length == value.len()).then_some((key, value))
}

/// A length of one byte, and what comes after it.
#[inline(always)]
fn short_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [length @ 0..0x80, rest @ ..] => Some((usize::from(*length), rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(message: &[u8]) -> Result<Option<(u32, Value<'_>)>, Malformed> {
        Reader::new(message).next_field()
    }

    #[test]
    fn values_of_every_wire_type() {
        assert_eq!(first(&[]), Ok(None));
        assert_eq!(first(&[0x08, 0x96, 0x01]), Ok(Some((1, Value::Varint(150)))));
        assert_eq!(
            first(&[0x11, 1, 0, 0, 0, 0, 0, 0, 0x80]),
            Ok(Some((2, Value::Fixed64(0x8000_0000_0000_0001))))
        );
        assert_eq!(first(&[0x1a, 2, b'h', b'i']), Ok(Some((3, Value::Bytes(b"hi")))));
        assert_eq!(first(&[0x25, 1, 2, 0, 0]), Ok(Some((4, Value::Fixed32(513)))));
        let max = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(first(&max), Ok(Some((1, Value::Varint(u64::MAX)))));
    }

    #[test]
    fn damage_is_named() {
        for (message, kind) in [
            (&[0x08][..], Malformed::Truncated),
            (&[0x08, 0x80], Malformed::Truncated),
            (&[0x11, 0], Malformed::Truncated),
            (&[0x1a, 3, b'h', b'i'], Malformed::Truncated),
            (&[0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Malformed::Truncated),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], Malformed::Number),
            (&[0x00, 0], Malformed::Number),
            (&[0x0b], Malformed::WireType),
            (&[0x0f, 0], Malformed::WireType),
        ] {
            assert_eq!(first(message), Err(kind), "{message:x?}");
        }
    }
}
