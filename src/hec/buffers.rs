//! Memory of bodies that were sent, for those that are written next.
//!
//! A body is half a megabyte. Back with the allocator for a second it goes back to the system, and each page of
//! the next one is paid for anew. So a few wait here: as many as are written and sent at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// The most memory that waits.
const IDLE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Smaller ones are not worth it.
const BUFFER_BYTES_MIN: usize = 64 * 1024;

/// See the module's documentation. Clones share what waits.
#[derive(Clone, Debug, Default)]
pub struct Buffers(Arc<Mutex<Idle>>);

#[derive(Debug, Default)]
struct Idle {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Buffers {
    /// An empty buffer with room for so many bytes, and not for much more.
    pub(super) fn take(&self, bytes: usize) -> Vec<u8> {
        let mut idle = self.lock();
        let fits = |buffer: &Vec<u8>| (bytes..=bytes + bytes / 8).contains(&buffer.capacity());
        match idle.buffers.iter().rposition(fits) {
            Some(at) => {
                let buffer = idle.buffers.swap_remove(at);
                idle.bytes -= buffer.capacity();
                buffer
            }
            None => Vec::with_capacity(bytes),
        }
    }

    /// Takes back the memory of a body that nobody else reads any more.
    pub(super) fn give_back(&self, mut body: Bytes) {
        if !body.is_unique() {
            return;
        }
        // Nothing is left to be copied then.
        body.clear();
        let buffer = Vec::from(body);
        let mut idle = self.lock();
        if buffer.capacity() >= BUFFER_BYTES_MIN && idle.bytes + buffer.capacity() <= IDLE_BYTES_MAX {
            idle.bytes += buffer.capacity();
            idle.buffers.push(buffer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: usize = 512 * 1024;

    fn written(buffers: &Buffers, bytes: usize) -> Bytes {
        let mut buffer = buffers.take(bytes);
        assert!(buffer.is_empty() && buffer.capacity() >= bytes);
        buffer.resize(bytes - 7, 1);
        buffer.into()
    }

    #[test]
    fn what_was_sent_is_written_again_unless_somebody_reads_it() {
        let buffers = Buffers::default();
        let body = written(&buffers, BODY);
        let place = body.as_ptr();
        let reader = body.slice(100..200);
        buffers.give_back(body.clone());
        assert_ne!(written(&buffers, BODY).as_ptr(), place, "somebody reads it");
        drop(reader);
        buffers.give_back(body);
        assert_eq!(written(&buffers, BODY).as_ptr(), place);
    }

    #[test]
    fn only_so_much_waits_and_only_what_fits_is_taken() {
        let buffers = Buffers::default();
        let bodies: Vec<_> = (0..100).map(|_| written(&buffers, BODY)).collect();
        bodies.into_iter().for_each(|body| buffers.give_back(body));
        assert_eq!(buffers.lock().bytes, IDLE_BYTES_MAX);
        for bytes in [100, BODY / 2, BODY + 1] {
            assert!(buffers.take(bytes).capacity() < BODY / 2 + bytes, "{bytes}");
        }
        assert_eq!(buffers.lock().bytes, IDLE_BYTES_MAX);
        (0..IDLE_BYTES_MAX / BODY).for_each(|_| drop(buffers.take(BODY)));
        assert_eq!((buffers.lock().bytes, buffers.lock().buffers.len()), (0, 0));
        buffers.give_back(written(&buffers, BUFFER_BYTES_MIN / 2));
        assert_eq!(buffers.lock().bytes, 0, "too small to wait");
    }
}
