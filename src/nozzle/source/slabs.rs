//! Memory for frames, used again when nobody reads the frames in it any more.
//!
//! Frames come and go by the ten thousand a second and are of about the same size, but not quite. Left to the
//! allocator each kind of size gets pages of its own, and what is free for a second goes back to the system: then every page
//! of it is paid for anew, with more time than decoding it takes. So frames are put together one behind the other in slabs
//! of one size; a slab whose frames are gone is filled again. What the queue holds beyond that is ordinary memory.

use std::collections::VecDeque;
use std::mem;

use bytes::{Bytes, BytesMut};

/// Several frames of a hundred ordinary envelopes. The allocator gives what is so large pages of its own, and bodies of requests are
/// as large by default: memory of the one that is given back serves the other.
const SLAB_BYTES: usize = 528 * 1024;

/// Slabs of a stream that are kept to be filled again; what is in them is with the workers. More are let go.
const KEPT_MAX: usize = 4;

/// See the module's documentation. Each stream has its own.
#[derive(Debug, Default)]
pub(super) struct Slabs {
    /// The frame that is being put together, with room behind it.
    filling: BytesMut,
    /// Whether that room is a slab's, rather than that of one large frame.
    is_slab: bool,
    /// Handles of slabs that are full, the oldest first: it is free when its last frame is gone.
    full: VecDeque<BytesMut>,
}

impl Slabs {
    /// Bytes of the frame that has begun.
    pub(super) fn begun(&self) -> usize {
        self.filling.len()
    }

    /// Makes room for so many more bytes of it, all in one place.
    pub(super) fn reserve(&mut self, more: usize) {
        if self.filling.capacity() - self.filling.len() >= more {
            return;
        }
        let begun = self.filling.split();
        let bytes = begun.len() + more;
        let is_slab = bytes <= SLAB_BYTES;
        // Twice as much, where it is not known how long the frame will be.
        let fresh = if is_slab { self.slab() } else { BytesMut::with_capacity(bytes.max(2 * begun.len())) };
        let full = mem::replace(&mut self.filling, fresh);
        self.filling.extend_from_slice(&begun);
        if mem::replace(&mut self.is_slab, is_slab) {
            self.full.push_back(full);
        }
    }

    fn slab(&mut self) -> BytesMut {
        if let Some(mut oldest) = self.full.pop_front() {
            if oldest.try_reclaim(SLAB_BYTES) {
                return oldest;
            }
            if self.full.len() + 1 < KEPT_MAX {
                self.full.push_front(oldest);
            }
        }
        BytesMut::with_capacity(SLAB_BYTES)
    }

    /// Adds bytes to the frame.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.filling.extend_from_slice(bytes);
    }

    /// Ends the frame.
    pub(super) fn finish(&mut self) -> Bytes {
        let frame = if self.is_slab { self.filling.split() } else { mem::take(&mut self.filling) };
        frame.freeze()
    }

    /// Throws away what has begun of it.
    pub(super) fn abandon(&mut self) {
        if self.is_slab {
            self.filling.clear();
        } else {
            self.filling = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Slabs {
        fn copy(&mut self, frame: &[u8]) -> Bytes {
            self.extend(frame);
            self.finish()
        }
    }

    fn frame(len: usize) -> Bytes {
        (0..len).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn a_slab_is_filled_again_when_its_frames_are_gone() {
        let mut slabs = Slabs::default();
        let half = frame(SLAB_BYTES / 2);
        let places: Vec<*const u8> = (0..20).map(|_| slabs.copy(&half).as_ptr()).collect();
        assert!(places[4..].iter().all(|place| places[..4].contains(place)), "{places:?}");
        assert!(slabs.full.len() <= 1);
    }

    #[test]
    fn no_more_slabs_are_kept_than_may_be_however_many_frames_are_held() {
        let mut slabs = Slabs::default();
        let whole = frame(SLAB_BYTES);
        let held: Vec<_> = (0..50).map(|_| slabs.copy(&whole)).collect();
        assert!(slabs.full.len() <= KEPT_MAX);
        assert!(held.iter().all(|held| *held == whole), "none of them was filled again");
        drop(held);
        (0..50).for_each(|_| drop(slabs.copy(&whole)));
        assert!(slabs.full.len() <= KEPT_MAX);
    }

    #[test]
    fn a_frame_larger_than_a_slab_has_its_own_memory_which_is_not_kept() {
        let mut slabs = Slabs::default();
        for len in [10, SLAB_BYTES + 1, 10, 16 << 20, SLAB_BYTES, 10] {
            assert_eq!(slabs.copy(&frame(len)), frame(len));
        }
        slabs.extend(&frame(16 << 20));
        slabs.abandon();
        assert!(slabs.filling.capacity() <= SLAB_BYTES);
        let kept: usize = slabs.full.iter_mut().map(|full| usize::from(full.try_reclaim(SLAB_BYTES + 1))).sum();
        assert_eq!(kept, 0);
    }

    proptest! {
        #[test]
        fn frames_stay_as_they_were_written(
            pieces in prop::collection::vec((0_usize..300_000, any::<bool>(), any::<bool>()), 1..60),
        ) {
            let mut slabs = Slabs::default();
            let (mut expected, mut held) = (Vec::new(), VecDeque::new());
            for (seed, (len, ends, leaves)) in pieces.into_iter().enumerate() {
                let piece = vec![seed as u8; len];
                slabs.extend(&piece);
                expected.extend_from_slice(&piece);
                prop_assert_eq!(slabs.begun(), expected.len());
                if ends {
                    held.push_back((slabs.finish(), mem::take(&mut expected)));
                }
                if leaves && let Some((frame, expected)) = held.pop_front() {
                    prop_assert!(frame == expected);
                }
            }
            for (frame, expected) in held {
                prop_assert!(frame == expected);
            }
        }
    }
}
