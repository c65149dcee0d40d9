//! What the texts of a slot can look like: a sequence of bytes out of sets, each repeated between so and so often.
//!
//! It may say more than is true (a text that never comes), never less: [`super::settle`] concludes from it that a
//! pattern cannot match in a slot.

use std::fmt;

/// Repetitions beyond this are not told apart.
pub(super) const REPEAT_MAX: u32 = 64;

/// A set of bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::eventgen) struct ByteSet([u64; 4]);

impl ByteSet {
    pub(in crate::eventgen) const ALL: Self = Self([u64::MAX; 4]);
    pub(in crate::eventgen) const EMPTY: Self = Self([0; 4]);

    /// Letters, digits and `_` of ASCII.
    pub(super) const WORD: Self = {
        let mut set = Self::EMPTY;
        let mut byte = 0;
        while byte < 128 {
            let is_word = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_';
            set.0[byte >> 6] |= (is_word as u64) << (byte & 63);
            byte += 1;
        }
        set
    };

    /// The bytes of a text.
    pub(in crate::eventgen) fn of(text: &[u8]) -> Self {
        let mut set = Self::EMPTY;
        text.iter().for_each(|byte| set.insert(*byte));
        set
    }

    pub(super) fn digits() -> Self {
        Self::of(b"0123456789")
    }

    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    /// Both together.
    pub(super) fn or(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine |= theirs);
        self
    }

    /// Whether some byte is in both.
    pub(super) fn meets_set(self, other: Self) -> bool {
        self.0.iter().zip(other.0).any(|(mine, theirs)| mine & theirs != 0)
    }

    /// Whether all its bytes are in another set.
    pub(super) fn is_within(self, other: Self) -> bool {
        self.0.iter().zip(other.0).all(|(mine, theirs)| mine & !theirs == 0)
    }

    pub(super) fn contains(self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }

    /// Whether some byte of `low..=high` is in it.
    pub(super) fn meets(self, low: u8, high: u8) -> bool {
        (low >> 6..=high >> 6).any(|word| {
            let from = if word == low >> 6 { low & 63 } else { 0 };
            let to = if word == high >> 6 { high & 63 } else { 63 };
            self.0[usize::from(word)] & (u64::MAX << from) & (u64::MAX >> (63 - to)) != 0
        })
    }

    pub(super) fn iter(self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(move |byte| self.contains(*byte))
    }
}

impl fmt::Debug for ByteSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|byte| byte.escape_ascii().to_string())).finish()
    }
}

/// Bytes out of one set, between so and so many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) set: ByteSet,
    pub(super) least: u32,
    /// `None`: any number.
    pub(super) most: Option<u32>,
}

/// What the texts of a slot can look like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::eventgen) struct Language {
    runs: Vec<Run>,
}

impl Language {
    /// Between `least` and `most` bytes out of a set.
    pub(in crate::eventgen) fn of(set: ByteSet, least: u32, most: Option<u32>) -> Self {
        Self::default().then(set, least, most)
    }

    /// Any text.
    pub(super) fn any() -> Self {
        Self::of(ByteSet::ALL, 0, None)
    }

    /// This, and then between `least` and `most` bytes out of a set.
    pub(in crate::eventgen) fn then(mut self, set: ByteSet, least: u32, most: Option<u32>) -> Self {
        let most = most.filter(|most| *most <= REPEAT_MAX);
        if most != Some(0) {
            self.runs.push(Run { set, least: least.min(REPEAT_MAX), most });
        }
        self
    }

    /// This, and then this text.
    pub(super) fn then_text(self, text: &str) -> Self {
        text.bytes().fold(self, |language, byte| language.then(ByteSet::of(&[byte]), 1, Some(1)))
    }

    /// This, or one of these texts.
    pub(super) fn or_text(&self, text: &str) -> Self {
        let set = self.runs.iter().fold(ByteSet::of(text.as_bytes()), |set, run| set.or(run.set));
        let length = text.len() as u32;
        let least: u32 = self.runs.iter().map(|run| run.least).sum();
        let most = self.runs.iter().map(|run| run.most).sum::<Option<u32>>();
        Self::of(set, least.min(length), most.map(|most| most.max(length)))
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Whether the empty text is one of them.
    pub(super) fn has_empty(&self) -> bool {
        self.runs.iter().all(|run| run.least == 0)
    }

    /// Whether a text is one of them.
    #[cfg(test)]
    pub(super) fn has(&self, text: &[u8]) -> bool {
        fn fits(runs: &[Run], text: &[u8]) -> bool {
            let Some((run, rest)) = runs.split_first() else { return text.is_empty() };
            let most = run.most.map_or(text.len(), |most| most as usize).min(text.len());
            let reach = text.iter().take(most).take_while(|byte| run.set.contains(**byte)).count();
            (run.least as usize..=reach).any(|length| fits(rest, &text[length..]))
        }
        fits(&self.runs, text)
    }
}

/// What a time format writes.
pub(super) fn of_format(format: &str, zone_is_named: bool) -> Language {
    let digits = |language: Language, least, most| language.then(ByteSet::digits(), least, Some(most));
    let letters = ByteSet::of(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    let padded = ByteSet::digits().or(ByteSet::of(b" "));
    let mut language = Language::default();
    let mut rest = format;
    while let Some(place) = rest.find('%') {
        language = language.then_text(&rest[..place]);
        let mut after = rest[place + 1..].chars();
        language = match after.next() {
            Some('Y' | 'G') => digits(language, 4, 4),
            Some('m' | 'd' | 'H' | 'I' | 'M' | 'S' | 'y' | 'U' | 'W' | 'V' | 'g') => digits(language, 2, 2),
            Some('e' | 'k' | 'l') => language.then(padded, 2, Some(2)),
            Some('j' | 'Q') => digits(language, 3, 3),
            Some('f') => digits(language, 6, 6),
            Some('N') => digits(language, 9, 9),
            Some('w' | 'u') => digits(language, 1, 1),
            Some('s') => language.then(ByteSet::of(b"-"), 0, Some(1)).then(ByteSet::digits(), 1, Some(20)),
            Some('b' | 'h' | 'B' | 'a' | 'A') => language.then(letters, 3, Some(9)),
            Some('p' | 'P') => {
                language.then(ByteSet::of(b"AaPp"), 1, Some(1)).then(ByteSet::of(b"Mm"), 1, Some(1))
            }
            Some('z') if !zone_is_named => language,
            Some('z') => language.then(ByteSet::of(b"+-"), 1, Some(1)).then(ByteSet::digits(), 4, Some(6)),
            Some('%') => language.then_text("%"),
            // Anything else, with flags, widths or expansions: whatever a conversion can write.
            _ => {
                let set = ByteSet::of(b" \n\t%+-/:")
                    .or(letters)
                    .or(ByteSet::digits())
                    .or(ByteSet::of(format.as_bytes()));
                return Language::of(set, 0, None);
            }
        };
        rest = after.as_str();
    }
    language.then_text(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::UnixNanos;
    use crate::eventgen::time::Zone;
    use crate::eventgen::time::format::{FormatCache, TimeFormat};

    #[test]
    fn a_language_has_its_texts_and_no_others() {
        let number = Language::of(ByteSet::of(b"-"), 0, Some(1)).then(ByteSet::digits(), 1, Some(3));
        for (text, expected) in [("7", true), ("-123", true), ("", false), ("--1", false), ("1234", false)] {
            assert_eq!(number.has(text.as_bytes()), expected, "{text}");
        }
        let kept = number.or_text("@n");
        assert!(kept.has(b"@n") && kept.has(b"-12") && !kept.has_empty());
        assert!(
            Language::of(ByteSet::digits(), 2, Some(1000)).has(&[b'1'; 2000]),
            "long ones are not told apart"
        );
        assert!(Language::default().has_empty() && Language::any().has(b"\xff"));
    }

    proptest! {
        #[test]
        fn a_range_meets_a_set_that_has_a_byte_of_it(bytes in prop::collection::vec(any::<u8>(), 0..3), a in any::<u8>(), b in any::<u8>()) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert_eq!(ByteSet::of(&bytes).meets(low, high), bytes.iter().any(|byte| (low..=high).contains(byte)));
        }

        #[test]
        fn every_time_that_is_written_is_in_the_language_of_its_format(
            format in prop::collection::vec(prop::sample::select(vec![
                "%Y", "%m", "%d", "%H", "%I", "%M", "%S", "%y", "%U", "%W", "%V", "%g", "%G", "%e", "%k", "%l", "%j", "%Q",
                "%f", "%N", "%3N", "%w", "%u", "%s", "%b", "%h", "%B", "%a", "%A", "%p", "%P", "%z", "%:z", "%Z", "%%", "%-d",
                "%^a", "%c", "%D", "%x", "%T", "%n", "%J", "%", " ", "-", "T", "é", "at",
            ]), 0..6),
            at in any::<i64>(),
            zone in prop::sample::select(vec!["UTC", "+0545", "local"]),
        ) {
            let (format, zone) = (format.concat(), Zone::parse(zone).unwrap());
            let Ok(compiled) = TimeFormat::compile(&format, &zone) else { return Ok(()) };
            let mut out = Vec::new();
            compiled.write(UnixNanos(at), &mut FormatCache::default(), &mut out);
            prop_assert!(of_format(&format, zone.is_named()).has(&out), "{format:?} {}", String::from_utf8_lossy(&out));
        }
    }
}
