//! A load as the frames that readers get, without a foundation: for measuring what reads them.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::Load;
use crate::clock::UnixNanos;
use crate::sim::convert;
use crate::sim::foundation::gateway_batch;
use crate::sim::wire::{self, Encoded};

/// Envelopes of a full batch, as the platform gathers them.
const BATCH_ENVELOPES: usize = 100;

/// The same envelopes in each protocol.
#[derive(Clone, Debug)]
pub struct LoadFrames {
    /// Messages of the v1 websocket, an envelope each.
    pub v1: Vec<Bytes>,
    /// `EnvelopeBatch` messages.
    pub v2: Vec<Bytes>,
    /// The data of the gateway's events, as many envelopes each.
    pub gateway: Vec<Bytes>,
}

impl Load {
    /// Makes the next envelopes, but sends them to nobody.
    pub fn frames(&mut self, envelopes: usize) -> LoadFrames {
        self.generator.set_time(UnixNanos::now().0);
        let first = self.config.first_sequence;
        let mut made = Vec::with_capacity(envelopes);
        for at in 0..envelopes as u64 {
            let sort = self.sorts[self.rng.usize(..self.sorts.len())];
            made.push(self.generator.make(sort, first + at));
        }
        self.config.first_sequence += envelopes as u64;
        let v1 = made.iter().filter_map(Encoded::decode).flat_map(convert::to_v1);
        LoadFrames {
            v1: v1.map(|envelope| wire::encode_v1(envelope).freeze()).collect(),
            v2: made.chunks(BATCH_ENVELOPES).map(batch).collect(),
            gateway: made.chunks(BATCH_ENVELOPES).map(gateway_batch).collect(),
        }
    }
}

fn batch(envelopes: &[Encoded]) -> Bytes {
    let mut message = BytesMut::with_capacity(envelopes.iter().map(|envelope| envelope.record().len()).sum());
    envelopes.iter().for_each(|envelope| message.put_slice(envelope.record()));
    message.freeze()
}
