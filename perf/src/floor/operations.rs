//! Each operation by itself. Bodies are those of the nozzle; envelopes those of the simulated load, less some tags.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::anyhow;
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};
use prost::Message;

use super::{EVENT_BYTES, Operation};
use crate::corpus::Corpus;
use crate::timing::{ROUND, ROUNDS, best, cpu_time};

/// Messages as prost makes them where nobody asks for anything else.
#[allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
mod proto {
    pub(super) mod v1 {
        include!(concat!(env!("OUT_DIR"), "/events.rs"));
    }
    pub(super) mod v2 {
        include!(concat!(env!("OUT_DIR"), "/loggregator.v2.rs"));
    }
}

/// A full record of TLS.
const RECORD_BYTES: usize = 16 * 1024;
/// Bytes of a call, where bytes go through a socket.
const CALL_BYTES: usize = 64 * 1024;
/// What one call wrote lies in the buffers of its connection until it is read. So many bytes at once, …
const UNDER_WAY_BYTES: usize = 4 * CALL_BYTES;
/// … over no more connections: enough that the clock is asked seldom, few enough that all stays in a cache.
const CONNECTIONS_MAX: usize = 64;
const SIXTEEN_BYTES: [u8; 16] = [7; 16];

/// What one takes, in ns of CPU for one event.
pub(super) fn measure(operation: Operation, corpus: &Corpus) -> anyhow::Result<f64> {
    match operation {
        Operation::Seal => seal(),
        Operation::Write => Ok(sockets(CALL_BYTES)?.0),
        Operation::Read => Ok(sockets(CALL_BYTES)?.1),
        Operation::ReadEach => Ok(sockets(EVENT_BYTES as usize)?.1),
        Operation::Gzip => gzip(corpus),
        Operation::DecodeV1 => decode(&v1_envelopes(corpus)?, |bytes| proto::v1::Envelope::decode(bytes)),
        Operation::DecodeV2 => decode(&v2_envelopes(corpus)?, |bytes| proto::v2::Envelope::decode(bytes)),
    }
}

fn seal() -> anyhow::Result<f64> {
    let key = UnboundKey::new(&AES_128_GCM, &SIXTEEN_BYTES).map_err(|_| anyhow!("a key"))?;
    let key = LessSafeKey::new(key);
    let plain = vec![1; RECORD_BYTES];
    let (mut record, mut number) = (Vec::with_capacity(RECORD_BYTES + SIXTEEN_BYTES.len()), 0_u64);
    let nanos = best(|| {
        record.clear();
        record.extend_from_slice(black_box(&plain));
        number += 1;
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, Aad::empty(), &mut record).map_err(|_| anyhow!("sealing"))?;
        black_box(&record);
        Ok(())
    })?;
    Ok(nanos * EVENT_BYTES / RECORD_BYTES as f64)
}

/// Writing and reading in calls of so many bytes. One thread has both ends: nobody is woken up.
fn sockets(call_bytes: usize) -> anyhow::Result<(f64, f64)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS_MAX.min(UNDER_WAY_BYTES / call_bytes) {
        let near = TcpStream::connect(listener.local_addr()?)?;
        near.set_nodelay(true)?;
        connections.push((near, listener.accept()?.0));
    }
    let events = (connections.len() * call_bytes) as f64 / EVENT_BYTES;
    let (mut buffer, data) = (vec![0; call_bytes], vec![1; call_bytes]);
    let mut round = || -> anyhow::Result<(Duration, Duration)> {
        let began = cpu_time();
        for (near, _) in &mut connections {
            near.write_all(&data)?;
        }
        let written = cpu_time();
        for (_, far) in &mut connections {
            far.read_exact(&mut buffer)?;
        }
        Ok((written - began, cpu_time() - written))
    };
    let (mut write, mut read) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        let (mut rounds, mut writing, mut reading) = (0_u32, Duration::ZERO, Duration::ZERO);
        while writing + reading < ROUND {
            let (wrote, got) = round()?;
            (rounds, writing, reading) = (rounds + 1, writing + wrote, reading + got);
        }
        let each = |time: Duration| time.as_nanos() as f64 / f64::from(rounds) / events;
        (write, read) = (write.min(each(writing)), read.min(each(reading)));
    }
    Ok((write, read))
}

fn gzip(corpus: &Corpus) -> anyhow::Result<f64> {
    let bodies = corpus.bodies();
    let bytes: usize = bodies.iter().map(Bytes::len).sum();
    let mut deflate = Compress::new_gzip(Compression::new(1), 15);
    let mut output = Vec::new();
    let nanos = best(|| {
        for body in &bodies {
            deflate.reset();
            output.clear();
            output.reserve(body.len());
            deflate.compress_vec(body, &mut output, FlushCompress::Finish)?;
        }
        Ok(())
    })?;
    Ok(nanos * EVENT_BYTES / bytes as f64)
}

fn decode<M>(
    envelopes: &[Vec<u8>],
    decode: impl Fn(&[u8]) -> Result<M, prost::DecodeError>,
) -> anyhow::Result<f64> {
    let nanos = best(|| {
        for envelope in envelopes {
            black_box(&decode(envelope)?);
        }
        Ok(())
    })?;
    Ok(nanos / envelopes.len() as f64)
}

fn v1_envelopes(corpus: &Corpus) -> anyhow::Result<Vec<Vec<u8>>> {
    let envelope = |bytes: &Bytes| {
        let mut envelope = proto::v1::Envelope::decode(&bytes[..])?;
        keep(&mut envelope.tags, 12);
        Ok(envelope.encode_to_vec())
    };
    corpus.text.v1.iter().map(envelope).collect()
}

fn v2_envelopes(corpus: &Corpus) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut envelopes = Vec::new();
    for frame in &corpus.text.v2 {
        let batch = proto::v2::EnvelopeBatch::decode(&frame[..])?;
        for mut envelope in batch.batch {
            keep(&mut envelope.tags, 17);
            envelopes.push(envelope.encode_to_vec());
        }
    }
    Ok(envelopes)
}

/// So many tags, the same in all envelopes, in a random order in each: that of the map.
fn keep(tags: &mut HashMap<String, String>, number: usize) {
    let mut keys: Vec<_> = tags.keys().cloned().collect();
    keys.sort_unstable();
    keys.iter().skip(number).for_each(|key| drop(tags.remove(key)));
}
