//! The messages of a gRPC stream, read from chunks of any size: pure, no clock, no network.
//!
//! Each has five bytes before it: a flag, which says whether it is compressed, and its length. So each is put
//! together in memory of the right size, and copied once.

use bytes::{Buf, Bytes};

use crate::nozzle::source::slabs::Slabs;

/// A flag and a length.
const PREFIX_BYTES: usize = 5;

/// Why reading cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// The flag is not 0. Compression was not offered.
    Flag(u8),
    /// The message is longer than allowed.
    TooLong(usize),
}

/// Takes chunks, gives messages.
#[derive(Debug)]
pub(super) struct Messages {
    message_bytes_max: usize,
    /// What is left of the latest chunk.
    chunk: Bytes,
    prefix: [u8; PREFIX_BYTES],
    /// Bytes of the prefix that are there.
    prefix_len: usize,
    /// The message behind it, as far as it is there.
    message: Slabs,
}

impl Messages {
    pub(super) fn new(message_bytes_max: usize) -> Self {
        Self {
            message_bytes_max,
            chunk: Bytes::new(),
            prefix: [0; PREFIX_BYTES],
            prefix_len: 0,
            message: Slabs::default(),
        }
    }

    /// Takes the next chunk; call it when [`Messages::next`] has given all messages of the one before.
    pub(super) fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "the chunk before has been read");
        self.chunk = chunk;
    }

    /// The next message that is complete.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Damage> {
        if self.prefix_len < PREFIX_BYTES {
            let there = self.chunk.len().min(PREFIX_BYTES - self.prefix_len);
            self.chunk.copy_to_slice(&mut self.prefix[self.prefix_len..][..there]);
            self.prefix_len += there;
            if self.prefix_len < PREFIX_BYTES {
                return Ok(None);
            }
            self.check()?;
        }
        let missing = self.message_bytes() - self.message.begun();
        self.message.reserve(missing);
        self.message.extend(&self.chunk[..missing.min(self.chunk.len())]);
        self.chunk.advance(missing.min(self.chunk.len()));
        if self.message.begun() < self.message_bytes() {
            return Ok(None);
        }
        self.prefix_len = 0;
        Ok(Some(self.message.finish()))
    }

    /// Whether a message has begun that is not complete.
    pub(super) fn is_within_message(&self) -> bool {
        self.prefix_len > 0
    }

    fn message_bytes(&self) -> usize {
        let [_, length @ ..] = self.prefix;
        u32::from_be_bytes(length) as usize
    }

    fn check(&self) -> Result<(), Damage> {
        match (self.prefix[0], self.message_bytes()) {
            (0, bytes) if bytes > self.message_bytes_max => Err(Damage::TooLong(bytes)),
            (0, _) => Ok(()),
            (flag, _) => Err(Damage::Flag(flag)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BYTES_MAX: usize = 1000;

    fn framed(flag: u8, length: usize, message: &[u8]) -> Vec<u8> {
        [&[flag], &u32::try_from(length).unwrap().to_be_bytes()[..], message].concat()
    }

    fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Bytes>, Option<Damage>, bool) {
        let (mut reader, mut messages) = (Messages::new(BYTES_MAX), Vec::new());
        for chunk in chunks {
            reader.push(Bytes::copy_from_slice(chunk));
            loop {
                match reader.next() {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(damage) => return (messages, Some(damage), true),
                }
            }
        }
        (messages, None, reader.is_within_message())
    }

    #[test]
    fn damage_is_told_as_soon_as_it_is_seen() {
        let good = framed(0, 3, b"abc");
        let cases = [
            (framed(0, BYTES_MAX, &[1; BYTES_MAX]), 2, None, false),
            (framed(0, BYTES_MAX + 1, b""), 1, Some(Damage::TooLong(BYTES_MAX + 1)), true),
            (framed(0, u32::MAX as usize, b""), 1, Some(Damage::TooLong(u32::MAX as usize)), true),
            (framed(1, 3, b"abc"), 1, Some(Damage::Flag(1)), true),
            (framed(255, 0, b""), 1, Some(Damage::Flag(255)), true),
            (framed(0, 0, b""), 2, None, false),
            (framed(0, 4, b"abc"), 1, None, true),
            (vec![0, 0], 1, None, true),
        ];
        for (bytes, messages, damage, within) in cases {
            let stream = [good.clone(), bytes.clone()].concat();
            let (read, told, is_within) = read([&stream[..]]);
            assert_eq!((read.len(), told, is_within), (messages, damage, within), "{bytes:?}");
            assert_eq!(read[0], &b"abc"[..]);
        }
    }

    proptest! {
        #[test]
        fn however_a_stream_is_cut_its_messages_are_the_same(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            sizes in prop::collection::vec(1_usize..60, 1..8),
        ) {
            let stream: Vec<u8> =
                messages.iter().flat_map(|message| framed(0, message.len(), message)).collect();
            let (mut rest, mut chunks) = (&stream[..], Vec::new());
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, after) = rest.split_at(rest.len().min(*size));
                chunks.push(chunk);
                rest = after;
            }
            let (read, damage, within) = read(chunks);
            prop_assert_eq!((read, damage, within), (messages.into_iter().map(Bytes::from).collect(), None, false));
        }
    }
}
