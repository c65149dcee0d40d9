//! The usual log line, from v2 bytes to v1 bytes without an owned envelope in between.
//!
//! Nearly all envelopes of a load are such lines, and the load must leave the machine to what is
//! measured. Whatever is not quite usual is left to [`super::to_v1`], which says what is right: a test
//! holds that both agree.

use bytes::{BufMut, BytesMut};
use prost::encoding::encode_varint;

use super::V1_TYPE;
use crate::proto::dropsonde::envelope::EventType;
use crate::sim::wire::{self, FIRST_FIELD, SECOND_FIELD, V1_TAGS};

/// Numbers of the fields of a v2 envelope.
mod v2 {
    pub(super) const TIMESTAMP: u32 = 1;
    pub(super) const SOURCE_ID: u32 = 2;
    pub(super) const LOG: u32 = 4;
    pub(super) const INSTANCE_ID: u32 = 8;
    pub(super) const TAGS: u32 = 9;
}

/// Keys of texts in v1 envelopes and log messages.
const fn text_key(number: u8) -> u8 {
    number << 3 | 2
}
const EVENT_TYPE: u8 = 2 << 3;
const TIMESTAMP: u8 = 6 << 3;
const LOG_MESSAGE: u8 = text_key(8);
/// Tags that become fields of the envelope, with their keys from the second on.
const HEAD: [&[u8]; 5] = [b"origin", b"deployment", b"job", b"index", b"ip"];
const HEAD_KEY: u8 = 13;
/// The last field whose key is one byte.
const ONE_BYTE_MAX: u8 = 15;
/// More tags are not usual.
const TAGS_MAX: usize = 64;

type Tag<'a> = (&'a [u8], &'a [u8]);

/// The v1 form of a usual log line; `None` for everything else.
pub(crate) fn usual(envelope: &[u8]) -> Option<BytesMut> {
    let (mut timestamp, mut source_id, mut instance_id, mut log) = (0, None, &envelope[..0], None);
    let mut tags: [Tag<'_>; TAGS_MAX] = [(&[], &[]); TAGS_MAX];
    let mut count = 0;
    for field in wire::fields(envelope) {
        match field.number {
            v2::TIMESTAMP => timestamp = field.varint,
            v2::SOURCE_ID => source_id = Some(text(field.value)?),
            v2::INSTANCE_ID => instance_id = text(field.value)?,
            // The last one wins; one is usual.
            v2::LOG if log.is_none() => log = Some(field.value),
            v2::TAGS => {
                *tags.get_mut(count)? = tag(field.value)?;
                count += 1;
            }
            _ => return None,
        }
    }
    let (source_id, log, tags) = (source_id.filter(|id| !id.is_empty())?, log?, &tags[..count]);
    if !is_whole(envelope) || tags.iter().any(|(name, _)| *name == V1_TYPE.as_bytes()) {
        return None;
    }
    let message = message(log, timestamp, source_id, instance_id, value(tags, b"source_type"))?;
    let mut out = BytesMut::with_capacity(envelope.len() + 128);
    wire::put_text(FIRST_FIELD, value(tags, HEAD[0]), &mut out);
    put_number(EVENT_TYPE, EventType::LogMessage as u64, &mut out);
    put_number(TIMESTAMP, timestamp, &mut out);
    wire::put_text(LOG_MESSAGE, &message, &mut out);
    for (name, number) in HEAD[1..].iter().zip(HEAD_KEY..) {
        put_long(number, value(tags, name), &mut out);
    }
    for (name, value) in tags {
        let is_field = HEAD.contains(name) || *name == b"source_type" || *name == b"source_id";
        if !is_field {
            wire::put_tag(V1_TAGS, name, value, &mut out);
        }
    }
    wire::put_tag(V1_TAGS, b"source_id", source_id, &mut out);
    Some(out)
}

/// The log message of a v1 envelope.
fn message(
    log: &[u8],
    timestamp: u64,
    source_id: &[u8],
    instance_id: &[u8],
    source_type: &[u8],
) -> Option<Vec<u8>> {
    const OUT: u64 = 1;
    const ERR: u64 = 2;
    let (mut payload, mut kind) = (&log[..0], OUT);
    for field in wire::fields(log) {
        match field.number {
            1 => payload = field.value,
            2 => kind = if field.varint == 0 { OUT } else { ERR },
            _ => return None,
        }
    }
    if payload.is_empty() || !is_whole(log) {
        return None;
    }
    let mut out = Vec::with_capacity(log.len() + source_id.len() + source_type.len() + 48);
    wire::put_text(FIRST_FIELD, payload, &mut out);
    put_number(2 << 3, kind, &mut out);
    put_number(3 << 3, timestamp, &mut out);
    wire::put_text(text_key(4), source_id, &mut out);
    wire::put_text(text_key(5), source_type, &mut out);
    wire::put_text(text_key(6), instance_id, &mut out);
    Some(out)
}

/// Whether all bytes of a message are fields.
fn is_whole(message: &[u8]) -> bool {
    wire::fields(message).map(|field| field.size).sum::<usize>() == message.len()
}

fn tag(entry: &[u8]) -> Option<Tag<'_>> {
    let (mut name, mut value) = (&entry[..0], &entry[..0]);
    for field in wire::fields(entry) {
        match field.number {
            1 => name = text(field.value)?,
            2 => value = text(field.value)?,
            _ => return None,
        }
    }
    is_whole(entry).then_some((name, value))
}

/// What must be UTF-8.
fn text(bytes: &[u8]) -> Option<&[u8]> {
    std::str::from_utf8(bytes).ok().map(str::as_bytes)
}

/// The value of a tag, empty if there is none; the last one wins.
fn value<'a>(tags: &[Tag<'a>], name: &[u8]) -> &'a [u8] {
    tags.iter().rev().find(|tag| tag.0 == name).map_or(&[], |tag| tag.1)
}

fn put_number(key: u8, value: u64, out: &mut impl BufMut) {
    out.put_u8(key);
    encode_varint(value, out);
}

/// A text whose key may take two bytes.
fn put_long(number: u8, text: &[u8], out: &mut BytesMut) {
    if number <= ONE_BYTE_MAX {
        return wire::put_text(text_key(number), text, out);
    }
    encode_varint(u64::from(number) << 3 | u64::from(SECOND_FIELD & 7), out);
    encode_varint(text.len() as u64, out);
    out.put_slice(text);
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::dropsonde as v1;
    use crate::proto::loggregator::envelope::Message;
    use crate::proto::loggregator::{Envelope, Log};
    use crate::sim::convert::to_v1;
    use crate::sim::wire::Encoded;

    fn envelope(tags: &[(&str, &str)]) -> Envelope {
        Envelope {
            timestamp: 1_795_319_239_653_791_311,
            source_id: "5b5a9c2e-0f53-4f7d-8a61-0123456789ab".to_owned(),
            instance_id: "3".to_owned(),
            tags: tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            message: Some(Message::Log(Log { payload: b"hello \xff".to_vec().into(), r#type: 1 })),
            ..Envelope::default()
        }
    }

    #[test]
    fn usual_lines_become_what_the_long_way_makes_of_them() {
        let all = [
            ("origin", "rep"),
            ("deployment", "cf"),
            ("job", "diego_cell"),
            ("index", "x"),
            ("ip", "10.0.1.1"),
            ("source_type", "APP/PROC/WEB"),
            ("app_name", "größe"),
            ("empty", ""),
            ("source_id", "another"),
        ];
        for tags in [&all[..], &all[..3], &all[5..7], &[]] {
            let envelope = envelope(tags);
            let bytes = usual(&Encoded::new(&envelope).body()).unwrap();
            assert_eq!([v1::Envelope::decode(bytes).unwrap()], to_v1(envelope)[..]);
        }
    }

    #[test]
    fn what_is_not_usual_is_left_to_the_long_way() {
        let log = |payload: &'static str| Some(Message::Log(Log { payload: payload.into(), r#type: 0 }));
        let deprecated = [("old".to_owned(), Default::default())].into();
        for unusual in [
            envelope(&[(V1_TYPE, "Error")]),
            Envelope { message: log(""), ..envelope(&[]) },
            Envelope { message: None, ..envelope(&[]) },
            Envelope { source_id: String::new(), ..envelope(&[]) },
            Envelope { deprecated_tags: deprecated, ..envelope(&[]) },
        ] {
            assert_eq!(usual(&Encoded::new(&unusual).body()), None, "{unusual:?}");
        }
        let whole = Encoded::new(&envelope(&[("a", "b")])).body();
        for end in 0..whole.len() {
            let cut = &whole[..end];
            if let Some(bytes) = usual(cut) {
                let expected = to_v1(Envelope::decode(cut).unwrap());
                assert_eq!([v1::Envelope::decode(bytes).unwrap()], expected[..], "cut at {end}");
            }
        }
    }
}
