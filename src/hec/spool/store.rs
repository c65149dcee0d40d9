//! Segments and records: what is where, what was read, what is settled.
//!
//! Of a record only its segment's sums are kept in memory; where it stands is found by reading heads one after
//! another. A segment found at the start is never appended to: what may be a torn write stays the last of its file.

mod read;
mod scan;
mod segment;

use std::collections::VecDeque;
use std::io;

pub use self::segment::RecordId;
use self::segment::{Segment, blocks, find, number};
use super::disk::Disk;
use super::record::{Codec, SETTLED, STATE_AT};
use crate::hec::batch::{Batch, Tally};

/// The limit is shared by about so many segments: so much of it goes at once when there is no more room.
const SEGMENTS: u64 = 64;
const SEGMENT_BYTES_MIN: u64 = 256 << 10;
const SEGMENT_BYTES_MAX: u64 = 16 << 20;

/// See the [module](super).
#[derive(Debug)]
pub struct Spool {
    disk: Box<dyn Disk>,
    max_bytes: u64,
    segment_bytes: u64,
    /// Oldest first; the last one is appended to unless it is sealed.
    segments: VecDeque<Segment>,
    next_seq: u64,
    /// Records that were given back, to be read before all others.
    returned: Vec<RecordId>,
    codec: Codec,
    losses: Losses,
    unsynced: bool,
}

/// A batch out of the spool.
#[derive(Debug)]
pub struct Stored {
    /// To be settled, or given back.
    pub id: RecordId,
    /// As it was appended.
    pub batch: Batch,
}

/// What was found at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Batches that are not settled.
    pub batches: u64,
    /// What is in them.
    pub tally: Tally,
    /// Bytes that are no record, nor a torn write at the end of a file: of what they were nothing is known.
    pub damaged_bytes: u64,
    /// Bytes of writes that had not ended.
    pub torn_bytes: u64,
}

/// What is gone without having been settled, of what was counted as appended or recovered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Removed for want of room, the oldest first.
    pub evicted: Tally,
    /// Damaged on disk, or not to be read.
    pub damaged: Tally,
    /// Batches of these.
    pub damaged_batches: u64,
}

/// How full the spool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolFigures {
    /// Batches nobody has read yet.
    pub batches: u64,
    /// What is in them.
    pub tally: Tally,
    /// Bytes on disk.
    pub bytes: u64,
    /// When about the oldest of them was written.
    pub oldest_ms: Option<u64>,
}

impl Spool {
    /// Opens what is on a disk, or begins anew; all of it may take `max_bytes`.
    ///
    /// # Errors
    /// The folder cannot be listed. Files that cannot be read are damaged, which is no error.
    pub fn open(disk: Box<dyn Disk>, max_bytes: u64) -> io::Result<(Self, Recovered)> {
        let mut spool = Self {
            disk,
            max_bytes,
            segment_bytes: (max_bytes / SEGMENTS).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX),
            segments: VecDeque::new(),
            next_seq: 0,
            returned: Vec::new(),
            codec: Codec::new(),
            losses: Losses::default(),
            unsynced: false,
        };
        let mut numbers: Vec<u64> = spool.disk.names()?.iter().filter_map(|name| number(name)).collect();
        numbers.sort_unstable();
        spool.next_seq = numbers.last().map_or(0, |last| last + 1);
        let mut recovered = Recovered::default();
        for seq in numbers {
            let segment = spool.scan(seq, &mut recovered);
            recovered.batches += segment.unread_records;
            recovered.tally += segment.unread;
            spool.segments.push_back(segment);
        }
        spool.sweep();
        // Whoever wrote it may have been killed before it was safe; all segments but the last one were.
        spool.unsynced = !spool.segments.is_empty();
        Ok((spool, recovered))
    }

    /// Writes a batch behind all others; removes the oldest if there is no room.
    ///
    /// # Errors
    /// It was not taken. Should the disk have kept it all the same, it may be found at the next start.
    pub fn append(&mut self, batch: &Batch, time_ms: u64) -> io::Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.sweep();
        let Self { codec, disk, segments, next_seq, unsynced, segment_bytes, .. } = self;
        let too_large = || io::Error::new(io::ErrorKind::InvalidInput, "the batch is larger than the spool");
        let record = codec.encode(batch, time_ms).ok_or_else(too_large)?;
        let bytes = record.len() as u64;
        if blocks(bytes) > self.max_bytes {
            return Err(too_large());
        }
        let fits = |segment: &Segment| !segment.sealed && segment.len + bytes <= *segment_bytes;
        // Whatever is removed for room, the last segment only goes when it does not take this one.
        let growth = match segments.back().filter(|last| fits(last)) {
            Some(last) => blocks(last.file_bytes + bytes) - last.disk_bytes(),
            None => blocks(bytes),
        };
        make_room(&mut **disk, segments, &mut self.returned, &mut self.losses, self.max_bytes, growth)?;
        if !segments.back().is_some_and(fits) {
            if let Some(last) = segments.back_mut() {
                last.sealed = true;
                sync(&mut **disk, last, unsynced)?;
            }
            let segment = Segment { seq: *next_seq, time_ms, ..Segment::default() };
            *next_seq += 1;
            disk.create(&segment.name())?;
            segments.push_back(segment);
        }
        let Some(segment) = segments.back_mut() else { return Err(too_large()) };
        let written = disk.write(&segment.name(), segment.len, record);
        if written.is_err() {
            // The next one is to find a file that is in order.
            segment.sealed = true;
            let cut = disk.truncate(&segment.name(), segment.len);
            segment.file_bytes = if cut.is_ok() { segment.len } else { segment.len + bytes };
            self.sweep();
            return written;
        }
        segment.len += bytes;
        segment.file_bytes = segment.len;
        segment.unread += batch.tally();
        segment.unread_records += 1;
        *unsynced = true;
        Ok(())
    }

    /// Makes what was appended survive a loss of power.
    ///
    /// # Errors
    /// It may not. The records are there as long as the machine lives.
    pub fn sync(&mut self) -> io::Result<()> {
        let Some(last) = self.segments.back_mut() else { return Ok(()) };
        let result = sync(&mut *self.disk, last, &mut self.unsynced);
        // A system that failed to write its pages may forget that they are to be written.
        last.sealed |= result.is_err();
        result
    }

    /// Tries whether the disk can be written, without anything that is to stay.
    ///
    /// # Errors
    /// It cannot.
    pub fn probe(&mut self) -> io::Result<()> {
        self.disk.probe()
    }

    /// Whether a loss of power could cost anything, as far as is known.
    pub fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// Nothing of a record is needed any more.
    ///
    /// # Errors
    /// It could not be marked: after a restart it will be read again.
    pub fn settle(&mut self, id: RecordId) -> io::Result<()> {
        // One that was evicted meanwhile needs no mark.
        let Some(segment) = find(&mut self.segments, id.seq) else { return Ok(()) };
        segment.in_flight = segment.in_flight.saturating_sub(1);
        if segment.is_done() {
            self.sweep();
        }
        match find(&mut self.segments, id.seq) {
            Some(segment) => self.disk.write(&segment.name(), id.at + STATE_AT, &[SETTLED]),
            None => Ok(()),
        }
    }

    /// Takes a record back that was read, to be read again; false if it was evicted meanwhile.
    pub fn give_back(&mut self, id: RecordId, tally: Tally) -> bool {
        let Some(segment) = find(&mut self.segments, id.seq) else { return false };
        segment.in_flight = segment.in_flight.saturating_sub(1);
        segment.unread += tally;
        segment.unread_records += 1;
        self.returned.push(id);
        self.returned.sort_unstable_by(|a, b| b.cmp(a));
        true
    }

    /// What was lost since it was last asked.
    pub fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }

    /// How full it is.
    pub fn figures(&self) -> SpoolFigures {
        let mut figures = SpoolFigures::default();
        for segment in &self.segments {
            figures.batches += segment.unread_records;
            figures.tally += segment.unread;
            figures.bytes += segment.disk_bytes();
            let oldest = (segment.unread_records > 0).then_some(segment.time_ms);
            figures.oldest_ms = figures.oldest_ms.or(oldest);
        }
        figures
    }

    /// Removes everything; gives what nobody had read.
    ///
    /// # Errors
    /// Some of it is still there, and will be found at the next start.
    pub fn clear(&mut self) -> io::Result<Tally> {
        let left = self.figures().tally;
        self.returned.clear();
        while let Some(segment) = self.segments.pop_front() {
            self.disk.remove(&segment.name())?;
        }
        Ok(left)
    }

    /// Removes segments with nothing left in them. One that cannot be removed is tried again.
    fn sweep(&mut self) {
        let Self { disk, segments, unsynced, .. } = self;
        let last = segments.back().map(|last| last.seq);
        segments.retain(|segment| {
            let gone = segment.is_done() && disk.remove(&segment.name()).is_ok();
            *unsynced &= !(gone && last == Some(segment.seq));
            !gone
        });
    }
}

fn sync(disk: &mut dyn Disk, segment: &Segment, unsynced: &mut bool) -> io::Result<()> {
    if *unsynced {
        disk.sync(&segment.name())?;
        *unsynced = false;
    }
    Ok(())
}

/// Removes the oldest segments until so many bytes fit.
fn make_room(
    disk: &mut dyn Disk,
    segments: &mut VecDeque<Segment>,
    returned: &mut Vec<RecordId>,
    losses: &mut Losses,
    max_bytes: u64,
    growth: u64,
) -> io::Result<()> {
    while segments.iter().map(Segment::disk_bytes).sum::<u64>() + growth > max_bytes {
        let Some(oldest) = segments.front() else { break };
        disk.remove(&oldest.name())?;
        losses.evicted += oldest.unread;
        returned.retain(|id| id.seq != oldest.seq);
        segments.pop_front();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
