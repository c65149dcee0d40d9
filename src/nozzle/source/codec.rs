//! A gRPC codec that leaves messages as they are: nothing is decoded where bytes are read.

use bytes::{Buf, Bytes};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

use crate::proto::loggregator::EgressBatchRequest;

/// The least the read buffer grows by. A message of a hundred ordinary envelopes fits in, so one
/// allocation serves one large message or many small ones.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Encodes the request; hands out each reply's bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RawBatches;

impl Codec for RawBatches {
    type Encode = EgressBatchRequest;
    type Decode = Bytes;
    type Encoder = ProstEncoder<EgressBatchRequest>;
    type Decoder = RawDecoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        RawDecoder
    }
}

/// Splits a message off the read buffer without copying it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawDecoder;

impl Decoder for RawDecoder {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(READ_BUFFER_BYTES, READ_BUFFER_BYTES)
    }
}
