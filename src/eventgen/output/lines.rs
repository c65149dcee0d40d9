//! Events as lines: whole batches in one piece, copied only where they are not lines already.

use crate::eventgen::event::Batch;

/// What is done with the end of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// White space at the end becomes one newline.
    Trimmed,
    /// A newline is added if there is none.
    Kept,
}

impl Ending {
    fn is_fine(self, text: &[u8]) -> bool {
        match (self, text) {
            (Self::Kept, [.., b'\n']) => true,
            (Self::Trimmed, [b'\n']) => true,
            // ASCII above the blank is no white space; other bytes are looked at by `apply`.
            (Self::Trimmed, [.., last, b'\n']) => matches!(last, 0x21..0x7F),
            _ => false,
        }
    }

    fn apply(self, text: &[u8]) -> &[u8] {
        match self {
            Self::Kept => text.strip_suffix(b"\n").unwrap_or(text),
            Self::Trimmed => trim_end(text),
        }
    }
}

/// All texts of a batch as lines. `scratch` is used if they have to be copied.
pub(super) fn lines<'a>(batch: &'a Batch, ending: Ending, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if batch.iter().all(|event| ending.is_fine(event.text)) {
        return batch.text();
    }
    scratch.clear();
    for event in batch.iter() {
        put(event.text, ending, scratch);
    }
    scratch
}

/// One text as a line.
pub(super) fn put(text: &[u8], ending: Ending, out: &mut Vec<u8>) {
    out.extend_from_slice(ending.apply(text));
    out.push(b'\n');
}

/// Without white space at the end, Unicode's too.
fn trim_end(text: &[u8]) -> &[u8] {
    // White space has at most three bytes, so a few at the end decide, if they are text at all.
    let mut text = text;
    loop {
        let tail = (text.len().saturating_sub(4)..text.len())
            .find_map(|start| std::str::from_utf8(&text[start..]).ok())
            .unwrap_or_default();
        let blank = |char: char| char.is_whitespace() || matches!(char, '\x1c'..='\x1f');
        match tail.chars().next_back().filter(|char| blank(*char)) {
            Some(char) => text = &text[..text.len() - char.len_utf8()],
            None => return text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventgen::testing::batch;

    #[test]
    fn endings() {
        let cases = [
            ("a\n", "a\n", "a\n"),
            ("a", "a\n", "a\n"),
            ("a  \t\r\n\n", "a\n", "a  \t\r\n\n"),
            ("\n", "\n", "\n"),
            ("", "\n", "\n"),
            ("  b\u{a0}\u{2003}\x1f\n", "  b\n", "  b\u{a0}\u{2003}\x1f\n"),
            ("é\n", "é\n", "é\n"),
            ("日本\n", "日本\n", "日本\n"),
        ];
        for (text, trimmed, kept) in cases {
            let batch = batch(&["x\n", text]);
            for (ending, expected) in [(Ending::Trimmed, trimmed), (Ending::Kept, kept)] {
                let mut scratch = Vec::new();
                let expected = format!("x\n{expected}");
                assert_eq!(lines(&batch, ending, &mut scratch), expected.as_bytes(), "{text:?} {ending:?}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_stay() {
        let mut out = Vec::new();
        put(b"a \xff", Ending::Trimmed, &mut out);
        put(b"a\xff \n", Ending::Trimmed, &mut out);
        assert_eq!(out, b"a \xff\na\xff\n");
    }

    #[test]
    fn what_is_lines_already_is_not_copied() {
        let batch = batch(&["one\n", "two\n"]);
        let mut scratch = Vec::new();
        assert_eq!(lines(&batch, Ending::Trimmed, &mut scratch).as_ptr(), batch.text().as_ptr());
    }
}
