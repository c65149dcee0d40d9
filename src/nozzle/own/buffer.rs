//! A queue that nobody ever waits in front of, bounded in bytes and items.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::mpsc;

use super::ledger::{OwnDrop, OwnLedger};

/// The most that waits, however small it is.
const ITEMS_MAX: usize = 4096;

/// Makes a buffer for `bytes_max` bytes.
pub(super) fn buffer<T>(bytes_max: usize, ledger: Arc<OwnLedger>) -> (Entry<T>, Exit<T>) {
    let (sender, receiver) = mpsc::channel(ITEMS_MAX);
    let bytes = Arc::new(AtomicUsize::new(0));
    let entry = Entry { sender, bytes: Arc::clone(&bytes), bytes_max, ledger: Arc::clone(&ledger) };
    (entry, Exit { receiver, bytes, ledger })
}

/// Where items come in.
#[derive(Debug)]
pub(super) struct Entry<T> {
    sender: mpsc::Sender<(T, usize)>,
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
    ledger: Arc<OwnLedger>,
}

impl<T> Entry<T> {
    /// Whether nobody takes anything any more.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Keeps an item if there is room for it, and counts it in any case. Never waits.
    pub(super) fn offer(&self, item: T, bytes: usize) -> bool {
        let before = self.bytes.fetch_add(bytes, Relaxed);
        // Counted before it is there: else it might be settled first.
        self.ledger.kept();
        if before + bytes <= self.bytes_max && self.sender.try_send((item, bytes)).is_ok() {
            return true;
        }
        self.bytes.fetch_sub(bytes, Relaxed);
        self.ledger.gave_way(OwnDrop::BufferFull);
        false
    }
}

/// Where items are taken out.
#[derive(Debug)]
pub(super) struct Exit<T> {
    receiver: mpsc::Receiver<(T, usize)>,
    bytes: Arc<AtomicUsize>,
    ledger: Arc<OwnLedger>,
}

impl<T> Exit<T> {
    /// The next item; `None` when there will be none any more. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<T> {
        let (item, bytes) = self.receiver.recv().await?;
        self.bytes.fetch_sub(bytes, Relaxed);
        Some(item)
    }

    /// Nothing is taken in any more.
    pub(super) fn close(&mut self) {
        self.receiver.close();
    }
}

impl<T> Drop for Exit<T> {
    fn drop(&mut self) {
        self.receiver.close();
        while let Ok((_, bytes)) = self.receiver.try_recv() {
            self.bytes.fetch_sub(bytes, Relaxed);
            self.ledger.gave_way(OwnDrop::Shutdown);
        }
    }
}
