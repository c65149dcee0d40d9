//! Looks at eight bytes of text at once.

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Not zero if any byte of the word is a control character, a quote, a backslash or not ASCII.
#[inline]
pub(in crate::nozzle) fn special(word: u64) -> u64 {
    (escaped(word) | word) & HIGH
}

/// Not zero if any byte of the word is a control character, a quote or a backslash.
///
/// The lowest bit that is set belongs to the first such byte; those above it may be wrong.
#[inline]
fn special_ascii(word: u64) -> u64 {
    escaped(word) & !word & HIGH
}

/// The highest bit of a byte is set if it has to be escaped. For bytes above ASCII it says nothing.
#[inline]
fn escaped(word: u64) -> u64 {
    // With bit 1 flipped, the quote is 0x20 and the control characters are still below: one test finds both.
    let control_or_quote = (word ^ (LOW * 0x02)).wrapping_sub(LOW * 0x21);
    let backslash = (word ^ (LOW * 0x5c)).wrapping_sub(LOW);
    control_or_quote | backslash
}

/// Eight bytes as a word, the first one lowest.
#[inline]
pub(in crate::nozzle) fn word(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

/// How many bytes at the start are no control character, quote or backslash: those can stand in a
/// JSON string as they are.
#[inline(always)]
pub(in crate::nozzle) fn plain_run(text: &[u8]) -> usize {
    let (words, tail) = text.as_chunks::<8>();
    let mut at = 0;
    for next in words {
        let found = special_ascii(word(next));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + tail.iter().position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\')).unwrap_or(tail.len())
}

/// Whether the text is UTF-8. Most is ASCII without control characters, which takes a third of the time to find out.
#[inline]
pub(in crate::nozzle) fn is_utf8(text: &[u8]) -> bool {
    is_printable(text) || std::str::from_utf8(text).is_ok()
}

/// Whether all bytes are ASCII and none is a control character below the space.
///
/// Written so that the compiler compares 16 bytes at once.
#[inline]
fn is_printable(text: &[u8]) -> bool {
    let (blocks, rest) = text.as_chunks::<64>();
    let special = |found: u8, byte: &u8| found | u8::from(byte.cast_signed() < 0x20);
    blocks.iter().all(|block| block.iter().fold(0, special) == 0) && rest.iter().fold(0, special) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn utf8_is_what_the_library_says(text in ".{0,150}", at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut text = text.into_bytes();
            text.push(byte);
            let at = at.index(text.len());
            text[at] = byte;
            prop_assert_eq!(is_utf8(&text), std::str::from_utf8(&text).is_ok());
        }

        #[test]
        fn a_run_ends_where_bytes_one_by_one_say(text in prop::collection::vec(any::<u8>(), 0..40), quiet in any::<bool>()) {
            let text: Vec<u8> = if quiet { text.iter().map(|byte| byte | 0x60).collect() } else { text };
            let slow = text.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'));
            prop_assert_eq!(plain_run(&text), slow.unwrap_or(text.len()));
        }
    }
}
