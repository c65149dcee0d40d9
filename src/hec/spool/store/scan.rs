//! Looks for records: in a file found at the start, and behind what is damaged.

use std::io;

use super::segment::Segment;
use super::{Recovered, Spool};
use crate::hec::spool::disk::Disk;
use crate::hec::spool::record::{HEADER_BYTES, Header, MAGIC};

/// Bytes read at once when a good head is looked for.
const SEARCH_BYTES: usize = 64 << 10;

impl Spool {
    /// Goes through a file found at the start.
    pub(super) fn scan(&mut self, seq: u64, recovered: &mut Recovered) -> Segment {
        let mut segment = Segment { seq, sealed: true, ..Segment::default() };
        let name = segment.name();
        match self.disk.len(&name) {
            Ok(bytes) => (segment.file_bytes, segment.len) = (bytes, bytes),
            Err(_) => segment.unreadable = true,
        }
        let (mut at, file_bytes) = (0, segment.file_bytes);
        while at < file_bytes {
            match self.header_in(&name, at, file_bytes) {
                Ok(Some(header)) => {
                    if !header.settled {
                        if segment.unread_records == 0 {
                            (segment.read_at, segment.time_ms) = (at, header.time_ms);
                        }
                        segment.unread += header.tally;
                        segment.unread_records += 1;
                    }
                    at += header.record_bytes();
                }
                Ok(None) => {
                    let next = search(&mut *self.disk, &name, at + 1, file_bytes);
                    if next < file_bytes {
                        recovered.damaged_bytes += next - at;
                    } else {
                        recovered.torn_bytes += file_bytes - at;
                        segment.len = at;
                    }
                    at = next;
                }
                Err(_) => {
                    segment.unreadable = true;
                    segment.len = at;
                    recovered.damaged_bytes += file_bytes - at;
                    break;
                }
            }
        }
        segment
    }

    /// The head at this place; `None` if there is none in order, with all of its payload before the end.
    pub(super) fn header_in(&mut self, name: &str, at: u64, len: u64) -> io::Result<Option<Header>> {
        if at + HEADER_BYTES as u64 > len {
            return Ok(None);
        }
        let mut bytes = [0; HEADER_BYTES];
        self.disk.read(name, at, &mut bytes)?;
        Ok(Header::read(&bytes).filter(|header| at + header.record_bytes() <= len))
    }
}

/// The next place with a good head, or the end.
pub(super) fn search(disk: &mut dyn Disk, name: &str, from: u64, len: u64) -> u64 {
    let mut at = from;
    let mut window = vec![0; SEARCH_BYTES];
    while at + HEADER_BYTES as u64 <= len {
        let bytes = usize::try_from(len - at).unwrap_or(usize::MAX).min(SEARCH_BYTES);
        if disk.read(name, at, &mut window[..bytes]).is_err() {
            return len;
        }
        let good = |place: &usize| {
            let head = window[*place..bytes].first_chunk();
            let header = head.filter(|head| head.starts_with(&MAGIC)).and_then(Header::read);
            header.is_some_and(|header| at + *place as u64 + header.record_bytes() <= len)
        };
        if let Some(place) = (0..=bytes - HEADER_BYTES).find(good) {
            return at + place as u64;
        }
        // A head may begin in what is too short for one.
        at += (bytes - HEADER_BYTES + 1) as u64;
    }
    len
}
