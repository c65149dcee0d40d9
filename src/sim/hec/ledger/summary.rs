//! Counts per index and source type, as a search over everything indexed would give them.

use std::collections::BTreeMap;

/// Index and source type pairs counted apart; further ones are counted together.
const MAX_GROUPS: usize = 1024;
/// Bytes kept of the last event of a group.
const MAX_SAMPLE_BYTES: usize = 4096;

/// Events per index and source type, with the last event of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    indexes: BTreeMap<String, BTreeMap<String, Group>>,
    groups: usize,
    others: u64,
}

/// Events of one index and source type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// How many.
    pub events: u64,
    /// The last one as it was sent, cut at 4096 bytes.
    pub sample: String,
}

impl Summary {
    pub(super) fn add(&mut self, index: &str, sourcetype: &str, text: &str) {
        if let Some(group) = self.indexes.get_mut(index).and_then(|types| types.get_mut(sourcetype)) {
            group.take(text);
        } else if self.groups < MAX_GROUPS {
            self.groups += 1;
            let types = self.indexes.entry(index.to_owned()).or_default();
            types.entry(sourcetype.to_owned()).or_default().take(text);
        } else {
            self.others += 1;
        }
    }

    /// Index, source type and their events, in alphabetical order.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &str, &Group)> {
        self.indexes.iter().flat_map(|(index, types)| {
            types.iter().map(move |(sourcetype, group)| (index.as_str(), sourcetype.as_str(), group))
        })
    }

    /// The events of one index and source type.
    pub fn group(&self, index: &str, sourcetype: &str) -> Option<&Group> {
        self.indexes.get(index)?.get(sourcetype)
    }

    /// Events of one index.
    pub fn events_in_index(&self, index: &str) -> u64 {
        self.indexes.get(index).map_or(0, |types| types.values().map(|group| group.events).sum())
    }

    /// Events of one source type over all indexes.
    pub fn events_of_sourcetype(&self, sourcetype: &str) -> u64 {
        self.indexes.values().filter_map(|types| types.get(sourcetype)).map(|group| group.events).sum()
    }

    /// Events of pairs beyond the first 1024.
    pub fn others(&self) -> u64 {
        self.others
    }
}

impl Group {
    fn take(&mut self, text: &str) {
        self.events += 1;
        self.sample.clear();
        self.sample.push_str(&text[..text.floor_char_boundary(MAX_SAMPLE_BYTES)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_index_and_source_type() {
        let mut summary = Summary::default();
        for (index, sourcetype, text) in
            [("main", "a", "1"), ("main", "b", "2"), ("cf", "a", "3"), ("main", "a", "4")]
        {
            summary.add(index, sourcetype, text);
        }
        let rows: Vec<_> = summary
            .groups()
            .map(|(index, kind, group)| (index, kind, group.events, &*group.sample))
            .collect();
        assert_eq!(rows, [("cf", "a", 1, "3"), ("main", "a", 2, "4"), ("main", "b", 1, "2")]);
        assert_eq!((summary.events_in_index("main"), summary.events_of_sourcetype("a")), (3, 3));
    }

    #[test]
    fn is_bounded_and_says_what_it_left_out() {
        let mut summary = Summary::default();
        for n in 0..MAX_GROUPS + 2 {
            summary.add("main", &n.to_string(), &"é".repeat(MAX_SAMPLE_BYTES));
        }
        assert_eq!((summary.groups().count(), summary.others()), (MAX_GROUPS, 2));
        assert_eq!(summary.group("main", "0").map(|group| group.sample.len()), Some(MAX_SAMPLE_BYTES));
    }
}
