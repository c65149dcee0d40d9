//! What ties a batch out of the disk spool to its record there.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::hec::batch::Tally;
use crate::hec::spool::RecordId;

/// Where records that are settled wait to be marked.
#[derive(Debug, Default)]
pub(super) struct Desk {
    settled: Mutex<Vec<RecordId>>,
    /// Told when there is something to do for the keeper.
    pub(super) wake: Notify,
}

impl Desk {
    /// What has been settled since it was last asked.
    pub(super) fn take_settled(&self) -> Vec<RecordId> {
        std::mem::take(&mut *self.settled.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A record in somebody's hands. When the last place of its events in the pool is gone they have all been settled, and so is the
/// record.
#[derive(Debug)]
pub(super) struct Ticket {
    id: RecordId,
    tally: Tally,
    kept: AtomicBool,
    desk: Arc<Desk>,
}

impl Ticket {
    pub(super) fn new(id: RecordId, tally: Tally, desk: &Arc<Desk>) -> Arc<Self> {
        Arc::new(Self { id, tally, kept: AtomicBool::new(false), desk: Arc::clone(desk) })
    }

    /// The record stays, whatever became of its events. Gives what the record is, to be given back.
    pub(super) fn keep(&self) -> (RecordId, Tally) {
        self.kept.store(true, Relaxed);
        (self.id, self.tally)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Of a task that fails nobody knows how far it came.
        if !self.kept.load(Relaxed) && !std::thread::panicking() {
            self.desk.settled.lock().unwrap_or_else(PoisonError::into_inner).push(self.id);
            self.desk.wake.notify_one();
        }
    }
}
