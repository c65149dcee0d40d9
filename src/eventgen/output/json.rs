//! JSON strings, eight bytes at a time: nearly all of a log line needs no escape.

/// Appends a JSON string, quotes included. What is not UTF-8 becomes replacement characters.
pub(super) fn put_string(text: &[u8], out: &mut Vec<u8>) {
    match std::str::from_utf8(text) {
        Ok(text) => put_str(text, out),
        Err(_) => put_str(&String::from_utf8_lossy(text), out),
    }
}

/// Appends a JSON string, quotes included.
pub(super) fn put_str(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    loop {
        let plain = plain(rest);
        out.extend_from_slice(&rest[..plain]);
        let Some(byte) = rest.get(plain) else { break };
        escape(*byte, out);
        rest = &rest[plain + 1..];
    }
    out.push(b'"');
}

/// How many bytes at the start need no escape.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    // The high bit of each byte that is zero; a false one may follow a true one only.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let found =
            control | zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return at * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    words.len() * 8 + rest.iter().position(special).unwrap_or(rest.len())
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            let [high, low] = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
            return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn string(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_string(text, &mut out);
        out
    }

    #[test]
    fn every_byte_at_every_place_of_a_word() {
        for byte in 0..128u8 {
            for place in 0..20 {
                let mut text = "abcdefghijklmnopqrst".as_bytes().to_vec();
                text[place] = byte;
                let back: String = serde_json::from_slice(&string(&text)).unwrap();
                assert_eq!(back.as_bytes(), text);
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(string(b"a\xffb"), "\"a\u{fffd}b\"".as_bytes());
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in "\\PC*|[\u{0}-\u{7f}]*|.{0,40}\n") {
            let back: String = serde_json::from_slice(&string(text.as_bytes())).unwrap();
            prop_assert_eq!(back, text);
        }
    }
}
