//! The `tags` object: every tag once.

use crate::nozzle::encode::json;
use crate::nozzle::event::TagList;

/// Writes `,"tags":{…}`, or `null` if there are none.
pub(super) fn write(out: &mut Vec<u8>, tags: &TagList<'_>) {
    out.extend_from_slice(b",\"tags\":");
    let start = out.len();
    let mut seen = Seen::default();
    let mut duplicates = false;
    tags.for_each(|key, value| {
        duplicates |= seen.insert(key);
        pair(out, start, key, value);
    });
    if duplicates {
        out.truncate(start);
        write_last_of_each(out, start, tags);
    }
    if out.len() == start {
        out.extend_from_slice(b"null");
    } else {
        out.push(b'}');
    }
}

fn pair(out: &mut Vec<u8>, start: usize, key: &[u8], value: &[u8]) {
    out.push(if out.len() == start { b'{' } else { b',' });
    json::string(out, key);
    out.push(b':');
    json::string(out, value);
}

/// The slow way, for a map that holds a key twice: the last value counts.
fn write_last_of_each(out: &mut Vec<u8>, start: usize, tags: &TagList<'_>) {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    tags.for_each(|key, value| match pairs.iter_mut().find(|(known, _)| *known == key) {
        Some((_, known)) => *known = value.to_vec(),
        None => pairs.push((key.to_vec(), value.to_vec())),
    });
    for (key, value) in pairs {
        pair(out, start, &key, &value);
    }
}

/// Tells whether a key may have come before: never wrong when it says no.
#[derive(Default)]
struct Seen([u64; 4]);

impl Seen {
    fn insert(&mut self, key: &[u8]) -> bool {
        let middle = key.get(key.len() / 2).copied().unwrap_or_default();
        let ends = [key.first(), key.last()].map(|byte| byte.copied().unwrap_or_default());
        let hash =
            key.len() + 7 * usize::from(middle) + 31 * usize::from(ends[0]) + 101 * usize::from(ends[1]);
        let bit = 1 << (hash % 64);
        let word = &mut self.0[hash / 64 % 4];
        let before = *word & bit != 0;
        *word |= bit;
        before
    }
}
