//! UUIDs as text.

/// Lower-case hexadecimal with dashes: `8-4-4-4-12`.
pub type UuidText = [u8; 36];

const DASHES: [usize; 4] = [8, 13, 18, 23];
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes 16 bytes in the usual form.
pub fn format(bytes: [u8; 16]) -> UuidText {
    let mut text = [b'-'; 36];
    let mut at = 0;
    for byte in bytes {
        if DASHES.contains(&at) {
            at += 1;
        }
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    text
}

/// Reads 36 characters and brings them into the usual spelling.
///
/// As in the platform's conversion, what stands in the places of the dashes is not looked at.
pub fn normalise(text: &[u8]) -> Option<UuidText> {
    let mut out: UuidText = text.try_into().ok()?;
    for (at, character) in out.iter_mut().enumerate() {
        if DASHES.contains(&at) {
            *character = b'-';
        } else if character.is_ascii_hexdigit() {
            character.make_ascii_lowercase();
        } else {
            return None;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_and_text_agree() {
        let text = format(*b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\xf0");
        assert_eq!(&text, b"01020304-0506-0708-090a-0b0c0d0e0ff0");
        assert_eq!(normalise(b"01020304x0506x0708x090aX0B0C0D0E0FF0"), Some(text));
        for bad in [&b"0102030405060708090a0b0c0d0e0ff0"[..], b"", b"0102030g-0506-0708-090a-0b0c0d0e0ff0"] {
            assert_eq!(normalise(bad), None);
        }
    }
}
