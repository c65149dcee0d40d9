//! One turn of work at the disk.

use std::io;

use crate::hec::batch::Batch;
use crate::hec::spool::{RecordId, Spool, Stored};
use crate::nozzle::deliver::pool::Admitted;
use crate::nozzle::deliver::room::Place;

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Job {
    pub(super) settled: Vec<RecordId>,
    pub(super) write: Vec<Admitted>,
    /// For the batch that is to be read.
    pub(super) place: Option<Place>,
    pub(super) sync: bool,
    /// Whether the disk can be written again.
    pub(super) probe: bool,
    /// Whether the disk can be read again.
    pub(super) look: bool,
}

impl Job {
    pub(super) fn is_empty(&self) -> bool {
        self.is_idle() && self.place.is_none() && !(self.sync || self.probe || self.look)
    }

    /// Nothing is to be written.
    pub(super) fn is_idle(&self) -> bool {
        self.settled.is_empty() && self.write.is_empty()
    }
}

/// The same without what the pool keeps of it.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) settled: Vec<RecordId>,
    pub(super) batches: Vec<Batch>,
    pub(super) sync: bool,
    pub(super) probe: bool,
    pub(super) read: bool,
    pub(super) look: bool,
    pub(super) now_ms: u64,
}

/// What was done.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) spool: Box<Spool>,
    /// The last ones of what was to be written.
    pub(super) unwritten: Vec<Batch>,
    pub(super) write_error: Option<io::Error>,
    pub(super) read: Option<Stored>,
    pub(super) read_error: Option<io::Error>,
    /// What the next batch takes.
    pub(super) next_bytes: Option<usize>,
}

impl Done {
    /// Does it, and takes a look at what is next if the disk can be read. Blocks.
    pub(super) fn of(mut spool: Box<Spool>, turn: Turn) -> Self {
        let Turn { settled, batches, sync, probe, read, look, now_ms } = turn;
        let mut write_error = if probe { spool.probe().err() } else { None };
        for id in settled {
            write_error = spool.settle(id).err().or(write_error);
        }
        let mut batches = batches.into_iter();
        let mut unwritten = Vec::new();
        for batch in batches.by_ref() {
            if let Err(error) = spool.append(&batch, now_ms) {
                write_error = Some(error);
                unwritten.push(batch);
                break;
            }
        }
        unwritten.extend(batches);
        if sync {
            write_error = spool.sync().err().or(write_error);
        }
        let (mut stored, mut read_error) = (None, None);
        if read {
            match spool.read() {
                Ok(next) => stored = next,
                Err(error) => read_error = Some(error),
            }
        }
        let mut next_bytes = None;
        // Each failed look counts as one of the tries a place gets.
        if look && read_error.is_none() {
            match spool.peek() {
                Ok(bytes) => next_bytes = bytes,
                Err(error) => read_error = Some(error),
            }
        }
        Self { spool, unwritten, write_error, read: stored, read_error, next_bytes }
    }
}
