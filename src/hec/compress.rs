//! Gzip for request bodies.
//!
//! A body is compressed once, however often it is sent. The compressor's state and its output
//! buffer are kept for the next body; what is sent is an exact copy of the output, a tenth to a
//! fifth of the body. A body that does not become smaller goes out as it is.

use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::{Compress, Compression as Level, FlushCompress, Status};
use tokio::sync::Semaphore;

/// Deflate level. Measured with `examples/hec_gzip_levels.rs` on log events, 512 KiB a body:
/// level 1 shrinks 5.7-fold for 1.3 µs per event of 500 bytes, level 2 7.7-fold for 1.6 µs,
/// level 3 8.7-fold for 3.1 µs, level 6 10.2-fold for 5.4 µs. Compressing is the dearest step of
/// an event's way, and the network to Splunk is rarely the narrow place.
pub const GZIP_LEVEL: u32 = 1;

/// Bodies from here on are compressed off the async threads: below, it takes under 0.2 ms.
const BLOCKING_BYTES_MIN: usize = 32 * 1024;

/// Bodies below this are not worth gzip's 18 bytes of frame.
const WORTHWHILE_BYTES_MIN: usize = 128;

/// Bodies compressed at a time, and compressors kept for that, each with some 300 KiB of state and room for a body: as many as
/// there are CPUs, but no more than this. More would take memory and be no faster.
const AT_ONCE_MAX: usize = 8;

/// 15 bits: the largest window there is.
pub(crate) const WINDOW_BITS: u8 = 15;

/// Whether request bodies are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Sent as they are.
    None,
    /// `Content-Encoding: gzip`, turned off for an endpoint that does not take it.
    #[default]
    Gzip,
}

/// A body as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wire {
    pub(crate) bytes: Bytes,
    pub(crate) encoding: Compression,
}

impl Wire {
    pub(crate) fn plain(bytes: Bytes) -> Self {
        Self { bytes, encoding: Compression::None }
    }
}

/// Compressors that wait for the next body.
#[derive(Clone, Debug)]
pub(crate) struct Compressors {
    idle: Arc<Mutex<Vec<Compressor>>>,
    /// Given to who compresses on a blocking thread.
    turns: Arc<Semaphore>,
}

impl Default for Compressors {
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self { idle: Arc::default(), turns: Arc::new(Semaphore::new(cpus.min(AT_ONCE_MAX))) }
    }
}

impl Compressors {
    /// Compresses a body, on a blocking thread if it is large.
    ///
    /// Cancel safe: a compression under way ends by itself within milliseconds.
    pub(crate) async fn gzip(&self, body: Bytes) -> Wire {
        if body.len() < BLOCKING_BYTES_MIN {
            return self.gzip_here(body);
        }
        // It is never closed.
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let compressors = self.clone();
        let moved = body.clone();
        let compressing = tokio::task::spawn_blocking(move || {
            let wire = compressors.gzip_here(moved);
            drop(turn);
            wire
        });
        match compressing.await {
            Ok(wire) => wire,
            // The runtime is shutting down: let the request decide what becomes of it.
            Err(_) => Wire::plain(body),
        }
    }

    fn gzip_here(&self, body: Bytes) -> Wire {
        if body.len() < WORTHWHILE_BYTES_MIN {
            return Wire::plain(body);
        }
        let mut compressor = self.lock().pop().unwrap_or_else(Compressor::new);
        let smaller = compressor.gzip(&body).filter(|output| output.len() < body.len());
        let wire = match smaller {
            Some(output) => Wire { bytes: Bytes::copy_from_slice(output), encoding: Compression::Gzip },
            None => Wire::plain(body),
        };
        let mut idle = self.lock();
        if idle.len() < AT_ONCE_MAX {
            idle.push(compressor);
        }
        wire
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Compressor>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One compressor with its memory.
#[derive(Debug)]
pub(crate) struct Compressor {
    deflate: Compress,
    output: Vec<u8>,
}

impl Compressor {
    pub(crate) fn new() -> Self {
        Self { deflate: Compress::new_gzip(Level::new(GZIP_LEVEL), WINDOW_BITS), output: Vec::new() }
    }

    /// The compressed body; `None` when it would be larger than the body itself.
    pub(crate) fn gzip(&mut self, body: &[u8]) -> Option<&[u8]> {
        self.deflate.reset();
        self.output.clear();
        self.output.reserve(body.len());
        match self.deflate.compress_vec(body, &mut self.output, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => Some(&self.output),
            // No room left: incompressible.
            Ok(Status::Ok | Status::BufError) | Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn gunzip(bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
        plain
    }

    fn noise(len: usize) -> Bytes {
        let mut chance = fastrand::Rng::with_seed(5);
        (0..len).map(|_| chance.u8(..)).collect()
    }

    #[tokio::test]
    async fn bodies_of_every_size_come_back_and_never_grow() {
        let compressors = Compressors::default();
        let line = r#"{"event":"GET /orders/17 200 in 3 ms","sourcetype":"cf:logmessage"}"#;
        for len in [0, 1, 127, 128, 1000, BLOCKING_BYTES_MIN - 1, BLOCKING_BYTES_MIN, 512 * 1024] {
            let body: Bytes = line.bytes().cycle().take(len).collect();
            let wire = compressors.gzip(body.clone()).await;
            assert!(wire.bytes.len() <= len);
            match wire.encoding {
                Compression::Gzip => assert_eq!(gunzip(&wire.bytes), body, "{len}"),
                Compression::None => assert_eq!(wire.bytes, body, "{len}"),
            }
            assert_eq!(wire.encoding == Compression::Gzip, len >= WORTHWHILE_BYTES_MIN, "{len}");
        }
    }

    #[tokio::test]
    async fn what_does_not_shrink_is_sent_as_it_is_and_the_compressor_stays_good() {
        let compressors = Compressors::default();
        for len in [200, 40_000, 300_000] {
            let body = noise(len);
            assert_eq!(compressors.gzip(body.clone()).await, Wire::plain(body));
            let text: Bytes = b"again and again ".repeat(len / 16 + 10).into();
            let wire = compressors.gzip(text.clone()).await;
            assert_eq!(gunzip(&wire.bytes), text);
        }
        assert_eq!(compressors.lock().len(), 1, "one compressor served them all");
    }

    #[tokio::test]
    async fn only_so_many_compressors_are_there() {
        let compressors = Compressors::default();
        let body: Bytes = vec![b'x'; 100_000].into();
        let wires = futures_util::future::join_all((0..20).map(|_| compressors.gzip(body.clone()))).await;
        assert!(wires.iter().all(|wire| gunzip(&wire.bytes) == body));
        let cpus = std::thread::available_parallelism().unwrap().get();
        assert!(compressors.lock().len() <= cpus.min(AT_ONCE_MAX));
    }
}
