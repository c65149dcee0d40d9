//! Batches on disk: a queue in files that outlives the process.
//!
//! ```text
//! append ─► [segment][segment][segment] ─► read ─► a delivery ─► settle
//!              newest                oldest            └─► give_back
//! ```
//!
//! A record is a batch as it is: index, bounds, units and flows of its events, body; compressed, with
//! checksums over head and payload. Records are appended to segments, files of a bounded size, and read in the order
//! they were written. A settled record is marked where it stands, and a segment with nothing but settled records is
//! removed.
//!
//! # What holds
//!
//! - What [`Spool::append`] took is there until it is settled, damaged or removed for want of room; a process that is
//!   killed costs none of it. A machine that dies costs at most what came since the last [`Spool::sync`].
//! - All files together take no more than the limit, rounded up to blocks. When it is reached the oldest segment goes:
//!   [`Losses::evicted`].
//! - What is damaged costs itself alone: [`Losses::damaged`] if it was counted before, else [`Recovered::damaged_bytes`]. A
//!   damaged head is searched for the next good one.
//! - A record comes back twice only if the mark that it is settled did not reach the disk, or a write that failed did.
//! - Memory does not grow with the number of records.
//!
//! Not responsible for threads: everything here blocks. Nor for time: it is handed in.
//!
//! # Why not a database
//!
//! Measured with redb 4.5 and records of 70 to 110 KB: its file takes 2.0 times the records, since values take powers of
//! two of pages and the file doubles; it does not shrink when it is emptied; and after a kill one
//! damaged page of any record makes all of them unreadable ("all roots are corrupted"), where here one is lost. Its speed,
//! 100 MB/s, would do.

mod disk;
mod record;
mod store;

#[cfg(test)]
pub(crate) mod memory;

pub use self::disk::{Disk, Folder, FolderError};
pub use self::store::{Losses, RecordId, Recovered, Spool, SpoolFigures, Stored};
