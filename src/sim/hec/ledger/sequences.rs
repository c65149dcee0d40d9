//! Which numbers have been seen, in a bit each.

use std::collections::BTreeMap;
use std::ops::Range;

const WORDS_PER_PAGE: usize = 512;
const NUMBERS_PER_PAGE: u64 = WORDS_PER_PAGE as u64 * 64;

/// A set of numbers that remembers repetition.
///
/// Bits lie in pages of 4 KiB (32,768 numbers), made when first needed: numbers that carry a
/// stream in their high bits cost a page per stream, not the span between them.
#[derive(Clone, Debug, Default)]
pub struct Sequences {
    pages: BTreeMap<u64, Box<[u64]>>,
    max_pages: usize,
    distinct: u64,
    duplicates: u64,
    highest: Option<u64>,
    unplaced: u64,
}

impl Sequences {
    /// An empty set that takes at most so many bytes of bits, rounded down to pages of 4 KiB.
    pub fn new(max_bytes: usize) -> Self {
        Self { max_pages: max_bytes / (WORDS_PER_PAGE * 8), ..Self::default() }
    }

    /// Adds a number.
    pub fn insert(&mut self, number: u64) {
        self.highest = self.highest.max(Some(number));
        let page = number / NUMBERS_PER_PAGE;
        if !self.pages.contains_key(&page) && self.pages.len() >= self.max_pages {
            self.unplaced += 1;
            return;
        }
        let words = self.pages.entry(page).or_insert_with(|| vec![0; WORDS_PER_PAGE].into());
        let offset = number % NUMBERS_PER_PAGE;
        // The remainder is below 32,768: it fits any usize.
        let word = &mut words[(offset / 64) as usize];
        let bit = 1 << (offset % 64);
        if *word & bit == 0 {
            *word |= bit;
            self.distinct += 1;
        } else {
            self.duplicates += 1;
        }
    }

    /// Whether a number has been added and had room.
    pub fn contains(&self, number: u64) -> bool {
        let offset = number % NUMBERS_PER_PAGE;
        self.pages
            .get(&(number / NUMBERS_PER_PAGE))
            .is_some_and(|words| words[(offset / 64) as usize] & (1 << (offset % 64)) != 0)
    }

    /// Numbers seen at least once.
    pub fn distinct(&self) -> u64 {
        self.distinct
    }

    /// How often a number came that had been seen before.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// The highest number seen.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// How many numbers had no room; if not 0, what is missing cannot be told from them.
    pub fn unplaced(&self) -> u64 {
        self.unplaced
    }

    /// How many numbers of the range have not been seen.
    pub fn missing(&self, range: Range<u64>) -> u64 {
        let span = range.end.saturating_sub(range.start);
        span - self.seen_in(range)
    }

    /// The lowest numbers of the range that have not been seen, at most `limit`.
    pub fn first_missing(&self, range: Range<u64>, limit: usize) -> Vec<u64> {
        range.filter(|&number| !self.contains(number)).take(limit).collect()
    }

    fn seen_in(&self, range: Range<u64>) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let pages = range.start / NUMBERS_PER_PAGE..=(range.end - 1) / NUMBERS_PER_PAGE;
        self.pages.range(pages).map(|(page, words)| seen_in_page(*page, words, &range)).sum()
    }
}

fn seen_in_page(page: u64, words: &[u64], range: &Range<u64>) -> u64 {
    let first = page * NUMBERS_PER_PAGE;
    let mut seen = 0;
    for (n, word) in words.iter().enumerate() {
        // The bits of this word that lie in the range.
        let start = first + 64 * n as u64;
        let below = mask_below(range.start.saturating_sub(start));
        let within = mask_below(range.end.saturating_sub(start));
        seen += u64::from((word & within & !below).count_ones());
    }
    seen
}

fn mask_below(bits: u64) -> u64 {
    if bits >= 64 { u64::MAX } else { (1 << bits) - 1 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_what_is_missing_and_what_is_repeated() {
        let mut set = Sequences::new(1 << 20);
        for number in (0..100_000).filter(|n| n % 1_000 != 7) {
            set.insert(number);
        }
        set.insert(5);
        assert_eq!((set.distinct(), set.duplicates()), (99_900, 1));
        assert_eq!(set.missing(0..100_000), 100);
        assert_eq!(set.missing(0..100_010), 110);
        assert_eq!(set.missing(3..3), 0);
        assert_eq!(set.first_missing(0..100_000, 3), [7, 1_007, 2_007]);
    }

    #[test]
    fn says_so_when_it_is_full() {
        let mut set = Sequences::new(4096);
        set.insert(1);
        set.insert(32_768);
        set.insert(u64::MAX);
        assert_eq!((set.distinct(), set.unplaced(), set.highest()), (1, 2, Some(u64::MAX)));
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(
            numbers in prop::collection::vec(prop_oneof![0..200u64, 32_700..32_900u64, (u64::MAX - 100)..u64::MAX], 0..200),
            start in 0..33_000u64,
            length in 0..33_000u64,
        ) {
            let mut set = Sequences::new(1 << 20);
            let mut plain = BTreeSet::new();
            let mut duplicates = 0;
            for &number in &numbers {
                set.insert(number);
                duplicates += u64::from(!plain.insert(number));
            }
            let range = start..start + length;
            prop_assert_eq!(set.distinct(), plain.len() as u64);
            prop_assert_eq!(set.duplicates(), duplicates);
            prop_assert_eq!(set.highest(), plain.last().copied());
            prop_assert_eq!(set.missing(range.clone()), length - plain.range(range).count() as u64);
        }
    }
}
