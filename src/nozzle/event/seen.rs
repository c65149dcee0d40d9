//! A cheap test for keys that come twice.

/// Bits of the filter, in words. With 20 different keys a false alarm is one in five.
const WORDS: usize = 16;

/// Tells whether a key may have come before: never wrong when it says no.
#[derive(Debug, Default)]
pub(in crate::nozzle) struct Seen([u64; WORDS]);

impl Seen {
    /// Whether this key, or one that looks like it, was here before.
    #[inline]
    pub(in crate::nozzle) fn insert(&mut self, key: &[u8]) -> bool {
        let middle = key.get(key.len() / 2).copied().unwrap_or_default();
        let ends = [key.first(), key.last()].map(|byte| byte.copied().unwrap_or_default());
        let hash =
            key.len() + 7 * usize::from(middle) + 31 * usize::from(ends[0]) + 101 * usize::from(ends[1]);
        let bit = 1 << (hash % 64);
        let word = &mut self.0[hash / 64 % WORDS];
        let before = *word & bit != 0;
        *word |= bit;
        before
    }
}
