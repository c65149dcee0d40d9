//! A segment: one file of records, and the sums of what is in it.

use std::collections::VecDeque;

use crate::hec::batch::Tally;

/// Files take whole blocks.
const BLOCK_BYTES: u64 = 4096;

const PREFIX: &str = "spool-";
const SUFFIX: &str = ".seg";

/// The number in the name of a segment's file; `None` if it is another file, whoever put it there.
pub(super) fn number(file: &str) -> Option<u64> {
    let number = file.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()?;
    // There has to be a next one.
    (number < u64::MAX && name(number) == file).then_some(number)
}

#[derive(Debug, Default)]
pub(super) struct Segment {
    pub(super) seq: u64,
    /// Up to here there are records.
    pub(super) len: u64,
    /// What the file may have, torn writes included.
    pub(super) file_bytes: u64,
    /// Where the next head is.
    pub(super) read_at: u64,
    pub(super) unread: Tally,
    pub(super) unread_records: u64,
    pub(super) in_flight: u64,
    pub(super) sealed: bool,
    /// The disk did not show all of it at the start. It stays until its room is needed: the next start may see more.
    pub(super) unreadable: bool,
    /// When the last record read, at first the first one, was written.
    pub(super) time_ms: u64,
    /// Failed reads at `read_at`.
    pub(super) failures: u32,
}

impl Segment {
    pub(super) fn name(&self) -> String {
        format!("{PREFIX}{:020}{SUFFIX}", self.seq)
    }

    pub(super) fn is_done(&self) -> bool {
        self.unread_records == 0 && self.in_flight == 0 && !self.unreadable
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        blocks(self.file_bytes)
    }
}

/// In whole blocks.
pub(super) fn blocks(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK_BYTES)
}

/// A record that was read and is not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId {
    pub(super) seq: u64,
    pub(super) at: u64,
}

/// The file of a segment.
pub(super) fn name(seq: u64) -> String {
    Segment { seq, ..Segment::default() }.name()
}

pub(super) fn find(segments: &mut VecDeque<Segment>, seq: u64) -> Option<&mut Segment> {
    let at = segments.binary_search_by_key(&seq, |segment| segment.seq).ok()?;
    segments.get_mut(at)
}
