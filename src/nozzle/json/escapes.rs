//! Backslashes in strings that were found correct before.

/// Hands over what a string stands for, piece by piece, never more bytes than it is long itself.
///
/// A surrogate outside a pair stands for no character and becomes U+FFFD.
pub(in crate::nozzle) fn unescape(raw: &[u8], mut piece: impl FnMut(&[u8])) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (before, escape) = rest.split_at(at);
        piece(before);
        let (length, character) = character(escape);
        piece(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = escape.get(length..).unwrap_or_default();
    }
    piece(rest);
}

/// The length of the escape at the start, and the character it stands for.
fn character(escape: &[u8]) -> (usize, char) {
    let byte = escape.get(1).copied().unwrap_or(b'\\');
    let simple = match byte {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unit(escape),
        other => char::from(other),
    };
    (2, simple)
}

fn unit(escape: &[u8]) -> (usize, char) {
    let Some(high) = escape.get(2..6).and_then(hex) else { return (2, char::REPLACEMENT_CHARACTER) };
    let low =
        escape.get(6..).filter(|rest| starts_with_low_surrogate(rest)).and_then(|rest| hex(&rest[2..6]));
    if let (0xd800..0xdc00, Some(low)) = (high, low) {
        let code = 0x10000 + (u32::from(high) - 0xd800) * 0x400 + (u32::from(low) - 0xdc00);
        return (12, char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    (6, char::from_u32(u32::from(high)).unwrap_or(char::REPLACEMENT_CHARACTER))
}

/// Reads hexadecimal digits.
pub(super) fn hex(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |unit, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

/// Whether the text starts with `\uDC00` to `\uDFFF`.
pub(super) fn starts_with_low_surrogate(text: &[u8]) -> bool {
    matches!(text, [b'\\', b'u', digits @ ..] if
        digits.get(..4).and_then(hex).is_some_and(|unit| (0xdc00..0xe000).contains(&unit)))
}

/// Copies correct JSON, with each lone surrogate replaced by `\ufffd`.
pub(in crate::nozzle) fn write_without_lone_surrogates(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before);
        let unit = if escape[1] == b'u' { escape.get(2..6).and_then(hex) } else { None };
        let length = match unit {
            Some(0xd800..0xdc00) if starts_with_low_surrogate(&escape[6..]) => 12,
            Some(_) => 6,
            None => 2,
        };
        match unit {
            Some(0xd800..0xe000) if length == 6 => out.extend_from_slice(b"\\ufffd"),
            _ => out.extend_from_slice(&escape[..length]),
        }
        rest = &escape[length..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(raw: &str) -> String {
        let mut out = Vec::new();
        unescape(raw.as_bytes(), |piece| out.extend_from_slice(piece));
        assert!(out.len() <= raw.len(), "{raw}");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes_stand_for_characters() {
        for (raw, wanted) in [
            ("", ""),
            ("plain häß", "plain häß"),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\u0041\u00e9\u20AC\u0000", "Aé€\0"),
            (r"\ud83d\ude00!", "😀!"),
            (r"\ud83d", "\u{fffd}"),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
            (r"\ud83d\n", "\u{fffd}\n"),
        ] {
            assert_eq!(text(raw), wanted, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_another_parser(wanted in ".*", all in any::<bool>()) {
            let raw = if all {
                wanted.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
            } else {
                let quoted = serde_json::to_string(&wanted).unwrap();
                quoted[1..quoted.len() - 1].to_owned()
            };
            prop_assert_eq!(text(&raw), wanted);
        }
    }
}
