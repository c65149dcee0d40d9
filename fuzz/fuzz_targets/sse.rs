//! Event streams: however a stream is cut into chunks, its events are the same, and bounded.
#![no_main]

use bytes::Bytes;
use firehose_nozzle::nozzle::source::gateway::sse::{Event, Reader};
use libfuzzer_sys::fuzz_target;

/// Small ones, so that streams of a few bytes come up to them.
const LIMITS: [usize; 4] = [1, 9, 60, 1 << 20];

fuzz_target!(|bytes: &[u8]| {
    let Some(([first, sizes @ ..], stream)) = bytes.split_first_chunk::<4>() else { return };
    let limit = LIMITS[usize::from(*first) % LIMITS.len()];
    let whole = read(limit, [stream]);
    assert_eq!(read(limit, stream.chunks(1)), whole);
    assert_eq!(read(limit, pieces(stream, sizes)), whole);
});

/// The events, and whether the end cuts one off.
fn read<'a>(limit: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, bool) {
    let mut reader = Reader::with_limit(limit);
    let mut events = Vec::new();
    for chunk in chunks {
        reader.push(Bytes::copy_from_slice(chunk));
        while let Some(event) = reader.next_event() {
            if let Event::Data(data) = &event {
                assert!((1..=limit).contains(&data.len()), "{} of {limit} bytes", data.len());
            }
            events.push(event);
        }
    }
    (events, reader.is_within_event())
}

/// The stream in pieces of these sizes, again and again.
fn pieces<'a>(mut stream: &'a [u8], sizes: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        let (piece, rest) = stream.split_at(stream.len().min(usize::from(*size) + 1));
        pieces.push(piece);
        stream = rest;
        if stream.is_empty() {
            break;
        }
    }
    pieces
}
