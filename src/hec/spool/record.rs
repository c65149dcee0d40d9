//! A batch as bytes on disk.
//!
//! ```text
//! 0 magic, version   4 state   5 encoding   8 stored bytes   12 plain bytes   16 time   24 events   32 units
//! 40 checksum of the payload   44 checksum of the head, without the state   48 payload
//! ```
//!
//! Little-endian. The head tells what the payload counts for, so that a payload that cannot be read is accounted
//! for all the same. The state is the one byte that is ever written again.
//!
//! Pure.

use std::sync::Arc;

use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::hec::batch::{Batch, EventMark, Tally};
use crate::hec::compress::{Compressor, WINDOW_BITS};

/// How a record begins; the last byte is the version.
pub(super) const MAGIC: [u8; 4] = *b"FNS1";

pub(super) const HEADER_BYTES: usize = 48;

/// Where the state stands.
pub(super) const STATE_AT: u64 = 4;
/// Not settled yet. Whatever is not [`SETTLED`] is taken for this: better twice than not at all.
const LIVE: u8 = b'L';
/// Nothing of it is needed any more.
pub(super) const SETTLED: u8 = b'S';

const PLAIN: u8 = 0;
const GZIP: u8 = 1;

/// Bytes of a mark.
const MARK_BYTES: usize = 12;

/// What a record says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) settled: bool,
    encoding: u8,
    stored: u32,
    plain: u32,
    pub(super) time_ms: u64,
    pub(super) tally: Tally,
    crc: u32,
}

impl Header {
    /// Reads a head; `None` if it is none, or damaged.
    pub(super) fn read(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let u32_at = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let u64_at = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if bytes[..4] != MAGIC || u32_at(44) != header_crc(bytes) {
            return None;
        }
        Some(Self {
            settled: bytes[4] == SETTLED,
            encoding: bytes[5],
            stored: u32_at(8),
            plain: u32_at(12),
            time_ms: u64_at(16),
            tally: Tally { events: u64_at(24), units: u64_at(32) },
            crc: u32_at(40),
        })
    }

    /// Bytes of the payload.
    pub(super) fn payload_bytes(&self) -> usize {
        self.stored as usize
    }

    /// Bytes of the whole record.
    pub(super) fn record_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.stored)
    }

    /// The most memory the batch takes.
    pub(super) fn memory(&self) -> usize {
        self.plain as usize
    }

    /// The batch; `None` if the payload is damaged.
    pub(super) fn batch(&self, payload: Vec<u8>) -> Option<Batch> {
        if crc(&payload) != self.crc {
            return None;
        }
        let batch = parse(match self.encoding {
            PLAIN => payload,
            GZIP => inflate(&payload, self.plain as usize)?,
            _ => return None,
        })?;
        (batch.tally() == self.tally).then_some(batch)
    }
}

/// Makes records; keeps its memory for the next one.
#[derive(Debug)]
pub(super) struct Codec {
    compressor: Compressor,
    plain: Vec<u8>,
    record: Vec<u8>,
}

impl Codec {
    pub(super) fn new() -> Self {
        Self { compressor: Compressor::new(), plain: Vec::new(), record: Vec::new() }
    }

    /// The record of a batch; `None` if it is too large to be one.
    pub(super) fn encode(&mut self, batch: &Batch, time_ms: u64) -> Option<&[u8]> {
        self.plain.clear();
        write(batch, &mut self.plain)?;
        let plain = u32::try_from(self.plain.len()).ok()?;
        let (encoding, payload) = match self.compressor.gzip(&self.plain) {
            Some(gzip) if gzip.len() < self.plain.len() => (GZIP, gzip),
            _ => (PLAIN, self.plain.as_slice()),
        };
        let Tally { events, units } = batch.tally();
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&MAGIC);
        header[4..6].copy_from_slice(&[LIVE, encoding]);
        header[8..12].copy_from_slice(&u32::try_from(payload.len()).ok()?.to_le_bytes());
        header[12..16].copy_from_slice(&plain.to_le_bytes());
        header[16..24].copy_from_slice(&time_ms.to_le_bytes());
        header[24..32].copy_from_slice(&events.to_le_bytes());
        header[32..40].copy_from_slice(&units.to_le_bytes());
        header[40..44].copy_from_slice(&crc(payload).to_le_bytes());
        let crc = header_crc(&header);
        header[44..].copy_from_slice(&crc.to_le_bytes());
        self.record.clear();
        self.record.extend_from_slice(&header);
        self.record.extend_from_slice(payload);
        Some(&self.record)
    }
}

fn header_crc(header: &[u8; HEADER_BYTES]) -> u32 {
    let mut crc = Crc::new();
    crc.update(&header[..4]);
    crc.update(&header[5..44]);
    crc.sum()
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn inflate(payload: &[u8], plain_bytes: usize) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(plain_bytes);
    let mut inflate = Decompress::new_gzip(WINDOW_BITS);
    // It stops where the reserved memory ends.
    let end = inflate.decompress_vec(payload, &mut plain, FlushDecompress::Finish);
    (matches!(end, Ok(Status::StreamEnd)) && plain.len() == plain_bytes).then_some(plain)
}

/// Length and text of the index, number of marks, marks, body.
fn write(batch: &Batch, plain: &mut Vec<u8>) -> Option<()> {
    let index = batch.index().as_bytes();
    let marks = batch.marks();
    plain.reserve(8 + index.len() + marks.len() * MARK_BYTES + batch.committed());
    plain.extend(u32::try_from(index.len()).ok()?.to_le_bytes());
    plain.extend_from_slice(index);
    plain.extend(u32::try_from(marks.len()).ok()?.to_le_bytes());
    for mark in marks {
        plain.extend(mark.end.to_le_bytes());
        plain.extend(mark.units.to_le_bytes());
        plain.extend(mark.flow.to_le_bytes());
    }
    plain.extend_from_slice(&batch.body()[..batch.committed()]);
    Some(())
}

fn parse(mut plain: Vec<u8>) -> Option<Batch> {
    let mut rest = plain.as_slice();
    let index_bytes = usize::try_from(take_u32(&mut rest)?).ok()?;
    let index = Arc::from(std::str::from_utf8(rest.split_off(..index_bytes)?).ok()?);
    let marks_bytes = usize::try_from(take_u32(&mut rest)?).ok()?.checked_mul(MARK_BYTES)?;
    let mut marks_left = rest.split_off(..marks_bytes)?;
    let mut marks = Vec::with_capacity(marks_bytes / MARK_BYTES);
    while !marks_left.is_empty() {
        let [end, units, flow] =
            [take_u32(&mut marks_left)?, take_u32(&mut marks_left)?, take_u32(&mut marks_left)?];
        marks.push(EventMark { end, units, flow });
    }
    let body = plain.split_off(plain.len() - rest.len());
    Batch::from_parts(index, body, marks)
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    bytes.split_off(..4)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(texts: &[&[u8]]) -> Batch {
        let mut batch = Batch::new(Arc::from("main"), 0);
        for (at, text) in texts.iter().enumerate() {
            batch.buffer().extend_from_slice(text);
            batch.commit_for(7 + at as u32, at as u32 % 2);
        }
        batch
    }

    fn parts(record: &[u8]) -> (Option<Header>, Vec<u8>) {
        (Header::read(record.first_chunk().unwrap()), record[HEADER_BYTES..].to_vec())
    }

    #[test]
    fn a_batch_comes_back_as_it_was() {
        let long = b"again ".repeat(50_000);
        let cases: [&[&[u8]]; 4] = [&[b"a"], &[b"a", b"", b"\xff\x00"], &[&long, b"b"], &[]];
        let mut codec = Codec::new();
        for texts in cases {
            let mut batch = batch(texts);
            batch.buffer().extend_from_slice(b"half an ev");
            let record = codec.encode(&batch, 17).unwrap();
            let (header, payload) = parts(record);
            let header = header.unwrap();
            assert_eq!((header.time_ms, header.settled, header.tally), (17, false, batch.tally()));
            assert_eq!(header.record_bytes(), record.len() as u64);
            assert!(record.len() < 10_000, "{}", record.len());
            let back = header.batch(payload).unwrap();
            batch.rollback();
            assert_eq!((back.index(), back.body()), (batch.index(), batch.body()));
            assert_eq!((back.marks(), back.tally()), (batch.marks(), batch.tally()));
            assert!(back.memory() <= header.memory(), "{} {}", back.memory(), header.memory());
        }
    }

    #[test]
    fn no_flipped_bit_goes_unnoticed_and_the_state_is_free() {
        let mut codec = Codec::new();
        let record = codec.encode(&batch(&[b"some text", b"and more"]), 3).unwrap().to_vec();
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let (header, payload) = parts(&damaged);
            let batch = header.and_then(|header| header.batch(payload));
            assert_eq!(batch.is_some(), bit / 8 == 4, "bit {bit}");
        }
        let mut settled = record;
        settled[4] = SETTLED;
        assert!(parts(&settled).0.unwrap().settled);
    }

    #[test]
    fn what_is_no_payload_is_refused() {
        for plain in [
            &b""[..],
            b"\x05\x00\x00\x00main\x00\x00\x00\x00",
            b"\x00\x00\x00\x00\xff\xff\xff\xff",
            b"\x01\x00\x00\x00\xff\x00\x00\x00\x00",
            // A mark behind the end, none for the body, two that go backwards.
            b"\x00\x00\x00\x00\x01\x00\x00\x00\x09\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00body",
            b"\x00\x00\x00\x00\x00\x00\x00\x00body",
        ] {
            assert!(parse(plain.to_vec()).is_none(), "{plain:?}");
        }
    }
}
