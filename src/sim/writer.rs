//! Writes v2 envelopes straight in wire form, tags in a new order each time.
//!
//! About half a microsecond each: what makes a load must leave the machine to what is measured.

use bytes::{BufMut, BytesMut};
use fastrand::Rng;
use prost::encoding::encode_varint;

use super::wire::{self, Encoded, Kind, SECOND_FIELD};

/// Envelopes are cut out of blocks of this size; one is freed when all of its envelopes are.
const BLOCK_BYTES: usize = 256 * 1024;
/// Bytes of a record before its body, at most.
const HEADER_BYTES_MAX: usize = 16;

/// Keys of an envelope's fields: number and wire type.
const TIMESTAMP: u8 = 1 << 3;
const SOURCE_ID: u8 = SECOND_FIELD;
const INSTANCE_ID: u8 = 8 << 3 | 2;

/// Map entries, encoded, to be written in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tags {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Tags {
    pub(crate) fn new<'a>(tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut all = Self::default();
        for (name, value) in tags {
            all.put(name, value.as_bytes());
        }
        all
    }

    pub(crate) fn put(&mut self, name: &str, value: &[u8]) {
        wire::put_tag(wire::V2_TAGS, name.as_bytes(), value, &mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    fn entry(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }
}

/// Everything of an envelope but its message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) unix_nanos: i64,
    pub(crate) source_id: &'a str,
    pub(crate) instance_id: &'a str,
    pub(crate) tags: &'a Tags,
    /// Further tags; all of them are shuffled together.
    pub(crate) more_tags: &'a Tags,
}

/// Writes one envelope after the other.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    block: BytesMut,
    body: Vec<u8>,
    order: Vec<u8>,
}

impl Writer {
    /// An envelope in the platform's order of fields; `key` is the one of its message.
    pub(crate) fn envelope(
        &mut self,
        head: &Head<'_>,
        key: u8,
        message: &[u8],
        kind: Kind,
        rng: &mut Rng,
    ) -> Encoded {
        self.body.clear();
        put_varint(TIMESTAMP, head.unix_nanos.cast_unsigned(), &mut self.body);
        wire::put_text(SOURCE_ID, head.source_id.as_bytes(), &mut self.body);
        wire::put_text(INSTANCE_ID, head.instance_id.as_bytes(), &mut self.body);
        let total = head.tags.len() + head.more_tags.len();
        self.order.clear();
        self.order.extend((0..total).map(|at| u8::try_from(at).unwrap_or(u8::MAX)));
        rng.shuffle(&mut self.order);
        for &at in &self.order {
            let at = usize::from(at);
            let entry = match at.checked_sub(head.tags.len()) {
                None => head.tags.entry(at),
                Some(at) => head.more_tags.entry(at),
            };
            self.body.put_slice(entry);
        }
        wire::put_text(key, message, &mut self.body);
        self.seal(kind)
    }

    fn seal(&mut self, kind: Kind) -> Encoded {
        let needed = self.body.len() + HEADER_BYTES_MAX;
        if self.block.capacity() < needed {
            self.block = BytesMut::with_capacity(BLOCK_BYTES.max(needed));
        }
        let body_at = wire::record_header(self.body.len(), &mut self.block);
        self.block.put_slice(&self.body);
        Encoded::from_record(self.block.split().freeze(), body_at, kind)
    }
}

pub(crate) fn put_varint(key: u8, value: u64, out: &mut Vec<u8>) {
    out.put_u8(key);
    encode_varint(value, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::loggregator::envelope::Message;
    use crate::proto::loggregator::{Envelope, Log};
    use crate::sim::wire::{FIRST_FIELD, LOG};

    #[test]
    fn an_envelope_decodes_to_what_was_written() {
        let (tags, more) = (Tags::new([("a", "1"), ("b", "2")]), Tags::new([("c", "3")]));
        let head = Head {
            unix_nanos: 1_795_319_239_653_791_311,
            source_id: "app",
            instance_id: "3",
            tags: &tags,
            more_tags: &more,
        };
        let mut message = Vec::new();
        wire::put_text(FIRST_FIELD, b"hello", &mut message);
        let mut writer = Writer::default();
        let expected = Envelope {
            timestamp: head.unix_nanos,
            source_id: "app".to_owned(),
            instance_id: "3".to_owned(),
            tags: [("a", "1"), ("b", "2"), ("c", "3")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            message: Some(Message::Log(Log { payload: "hello".into(), r#type: 0 })),
            ..Envelope::default()
        };
        let mut rng = Rng::with_seed(1);
        // More than a block.
        let envelopes: Vec<_> =
            (0..5000).map(|_| writer.envelope(&head, LOG, &message, Kind::Log, &mut rng)).collect();
        for envelope in &envelopes {
            assert_eq!(envelope.decode().unwrap(), expected);
            assert_eq!(envelope.kind(), Some(Kind::Log));
        }
        assert!(envelopes.iter().any(|envelope| envelope.record() != envelopes[0].record()), "any order");
    }
}
