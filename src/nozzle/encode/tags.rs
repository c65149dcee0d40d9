//! The `tags` object: every tag once.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::nozzle::encode::json;
use crate::nozzle::event::{Seen, TagList};

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

/// The slow way, for a map that may hold a key twice: the last value counts.
fn write_last_of_each(out: &mut Vec<u8>, start: usize, tags: &TagList<'_>) {
    let mut places: HashMap<Vec<u8>, usize, RandomState> = HashMap::default();
    let mut values: Vec<Vec<u8>> = Vec::new();
    tags.for_each(|key, value| match places.get(key) {
        Some(&place) => values[place] = value.to_vec(),
        None => {
            places.insert(key.to_vec(), values.len());
            values.push(value.to_vec());
        }
    });
    let mut keys = vec![Vec::new(); values.len()];
    for (key, place) in places {
        keys[place] = key;
    }
    for (key, value) in keys.iter().zip(&values) {
        pair(out, start, key, value);
    }
}
