//! From the oldest segment on: the next record that nobody has read, past what is settled or damaged.

use std::io;

use super::scan::search;
use super::segment::{RecordId, find, name};
use super::{Spool, Stored};
use crate::hec::spool::record::{HEADER_BYTES, Header};

/// How often the same place is tried before it counts as damaged. Tried every few seconds, a file system that is away for
/// some minutes costs nothing.
const READS_MAX: u32 = 60;

impl Spool {
    /// The most memory that the next batch will take; `None` if there is none.
    ///
    /// # Errors
    /// The disk cannot be read now.
    pub fn peek(&mut self) -> io::Result<Option<usize>> {
        Ok(self.seek()?.map(|(_, header)| header.memory()))
    }

    /// The oldest batch nobody has read yet. What is damaged is passed over, and part of the [`Losses`](super::Losses).
    ///
    /// # Errors
    /// The disk cannot be read now. The same place is tried again, but not for ever.
    pub fn read(&mut self) -> io::Result<Option<Stored>> {
        while let Some((id, header)) = self.seek()? {
            let mut payload = vec![0; header.payload_bytes()];
            let read = self.disk.read(&name(id.seq), id.at + HEADER_BYTES as u64, &mut payload);
            let batch = match read {
                Ok(()) => header.batch(payload),
                Err(error) if !self.gives_up(id.seq) => return Err(error),
                Err(_) => None,
            };
            let is_returned = self.returned.last() == Some(&id);
            if is_returned {
                self.returned.pop();
            }
            let Some(segment) = find(&mut self.segments, id.seq) else { continue };
            if !is_returned {
                segment.read_at = id.at + header.record_bytes();
                segment.time_ms = header.time_ms;
            }
            segment.failures = 0;
            segment.unread -= header.tally;
            segment.unread_records = segment.unread_records.saturating_sub(1);
            segment.in_flight += 1;
            match batch {
                Some(batch) => return Ok(Some(Stored { id, batch })),
                None => {
                    self.losses.damaged += header.tally;
                    self.losses.damaged_batches += 1;
                    // Not to be counted again after a restart; if that fails it is.
                    let _ = self.settle(id);
                }
            }
        }
        Ok(None)
    }

    /// Where the next record is. Passes over what is settled or damaged.
    fn seek(&mut self) -> io::Result<Option<(RecordId, Header)>> {
        while let Some(id) = self.returned.last().copied() {
            let len = find(&mut self.segments, id.seq).map_or(0, |segment| segment.len);
            match self.header_in(&name(id.seq), id.at, len) {
                Ok(Some(header)) => return Ok(Some((id, header))),
                Err(error) if !self.gives_up(id.seq) => return Err(error),
                // It stays in the sum of its segment, which is written off in the end.
                Ok(None) | Err(_) => drop(self.returned.pop()),
            }
        }
        let mut at = 0;
        while let Some(segment) = self.segments.get(at) {
            let (seq, read_at, len) = (segment.seq, segment.read_at, segment.len);
            if segment.unread_records == 0 || read_at >= len {
                self.write_off(at);
                at += 1;
                continue;
            }
            let next = match self.header_in(&name(seq), read_at, len) {
                Ok(Some(header)) if header.settled => read_at + header.record_bytes(),
                Ok(Some(header)) => return Ok(Some((RecordId { seq, at: read_at }, header))),
                Ok(None) => search(&mut *self.disk, &name(seq), read_at + 1, len),
                Err(error) if !self.gives_up(seq) => return Err(error),
                // The disk does not show where the next one is.
                Err(_) => len,
            };
            if let Some(segment) = self.segments.get_mut(at) {
                segment.read_at = next;
            }
        }
        self.sweep();
        Ok(None)
    }

    /// What a segment that has been read to its end still counts can only have been damaged.
    fn write_off(&mut self, at: usize) {
        let returned = |seq| self.returned.iter().any(|id| id.seq == seq);
        let Some(segment) = self.segments.get_mut(at).filter(|segment| !returned(segment.seq)) else {
            return;
        };
        if segment.unread_records > 0 {
            self.losses.damaged += std::mem::take(&mut segment.unread);
            self.losses.damaged_batches += std::mem::take(&mut segment.unread_records);
        }
    }

    /// Counts a failed read; true if there were enough of them.
    fn gives_up(&mut self, seq: u64) -> bool {
        let Some(segment) = find(&mut self.segments, seq) else { return true };
        segment.failures = (segment.failures + 1) % READS_MAX;
        segment.failures == 0
    }
}
