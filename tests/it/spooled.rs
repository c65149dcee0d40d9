//! What is in the folder of a disk spool that nobody uses.

use std::collections::BTreeSet;
use std::path::Path;

use firehose_nozzle::hec::spool::{Folder, Spool};
use firehose_nozzle::sim::load::sequence_in;

/// The numbers of all events on disk, which is left as it is.
pub(crate) fn on_disk(folder: &Path) -> BTreeSet<u64> {
    let disk = Folder::open(folder).expect("nobody else has it");
    let (mut spool, recovered) = Spool::open(Box::new(disk), 1 << 30).expect("it can be listed");
    assert_eq!(recovered.damaged_bytes, 0, "a kill damages nothing");
    let mut numbers = BTreeSet::new();
    while let Some(stored) = spool.read().expect("it can be read") {
        let mut start = 0;
        for mark in stored.batch.marks() {
            let end = mark.end as usize;
            let text = std::str::from_utf8(&stored.batch.body()[start..end]).expect("text");
            numbers.extend(sequence_in(text));
            start = end;
        }
    }
    assert_eq!(spool.take_losses(), Default::default(), "what was taken is whole");
    numbers
}
