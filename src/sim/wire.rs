//! Envelopes as bytes: encoded once, then only copied.
//!
//! An envelope is kept in the form it has inside an `EnvelopeBatch` (field key, length, body),
//! so that a batch message is a plain concatenation. Routing needs a few fields only; they are
//! found by hopping over the others, and bytes that make no sense simply have no such field.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};

use crate::proto::dropsonde as v1;
use crate::proto::loggregator as v2;
use crate::proto::loggregator::envelope::Message;
use crate::proto::loggregator::value::Data;

/// Key of `EnvelopeBatch.batch`, and of any first field that is length-delimited.
pub(crate) const FIRST_FIELD: u8 = 1 << 3 | LENGTH_DELIMITED;
pub(crate) const SECOND_FIELD: u8 = 2 << 3 | LENGTH_DELIMITED;
const LENGTH_DELIMITED: u8 = 2;
/// Key of a log within an envelope.
pub(crate) const LOG: u8 = 4 << 3 | LENGTH_DELIMITED;

const SOURCE_ID: u32 = 2;
const DEPRECATED_TAGS: u32 = 3;
pub(crate) const V2_TAGS: u8 = 9;
pub(crate) const V1_TAGS: u8 = 17;

/// What an envelope carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A line of an app or of the platform.
    Log,
    /// A counter.
    Counter,
    /// One or more metrics.
    Gauge,
    /// A span of time, usually an HTTP request.
    Timer,
    /// A notice.
    Event,
}

impl Kind {
    /// All kinds, in the order of [`Kind::index`].
    pub const ALL: [Self; 5] = [Self::Log, Self::Counter, Self::Gauge, Self::Timer, Self::Event];

    /// A small number to index tables with.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The kind a message is of.
    pub fn of(message: &Message) -> Self {
        match message {
            Message::Log(_) => Self::Log,
            Message::Counter(_) => Self::Counter,
            Message::Gauge(_) => Self::Gauge,
            Message::Timer(_) => Self::Timer,
            Message::Event(_) => Self::Event,
        }
    }

    pub(crate) fn of_field(number: u32) -> Option<Self> {
        Some(match number {
            4 => Self::Log,
            5 => Self::Counter,
            6 => Self::Gauge,
            7 => Self::Timer,
            10 => Self::Event,
            _ => return None,
        })
    }
}

/// One v2 envelope, encoded.
#[derive(Clone, Debug)]
pub struct Encoded {
    record: Bytes,
    /// Where the body begins in the record, after key and length.
    body_at: usize,
    /// `None`: no selector can match it.
    kind: Option<Kind>,
    tags: TagForm,
}

/// Which of the two tag maps an envelope uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagForm {
    /// Only `tags`, if any.
    Preferred,
    /// Something in `deprecated_tags`.
    Deprecated,
}

impl Encoded {
    /// Encodes an envelope in the platform's field order, tags in random order.
    pub fn new(envelope: &v2::Envelope) -> Self {
        let mut body = BytesMut::with_capacity(envelope.encoded_len());
        put_envelope(envelope, &mut body);
        let form = if envelope.deprecated_tags.is_empty() { TagForm::Preferred } else { TagForm::Deprecated };
        Self::with(&body, envelope.message.as_ref().map(Kind::of), form)
    }

    /// Takes the bytes of one envelope as they are, malformed ones too.
    ///
    /// The kind is read from the bytes as far as they make sense, else it is `fallback`:
    /// selectors of that kind without a name or source id will match.
    pub fn from_bytes(body: &[u8], fallback: Option<Kind>) -> Self {
        let mut kind = None;
        let mut form = TagForm::Preferred;
        for field in fields(body) {
            // The last one wins, as in any decoder.
            kind = Kind::of_field(field.number).or(kind);
            if field.number == DEPRECATED_TAGS {
                form = TagForm::Deprecated;
            }
        }
        Self::with(body, kind.or(fallback), form)
    }

    /// A record that was written with [`record_header`] in front, by one who knows its parts.
    pub(crate) fn from_record(record: Bytes, body_at: usize, kind: Kind) -> Self {
        Self { record, body_at, kind: Some(kind), tags: TagForm::Preferred }
    }

    fn with(body: &[u8], kind: Option<Kind>, tags: TagForm) -> Self {
        let mut record = BytesMut::with_capacity(body.len() + 6);
        let body_at = record_header(body.len(), &mut record);
        record.put_slice(body);
        Self { record: record.freeze(), body_at, kind, tags }
    }

    /// What the envelope carries, if it can be told.
    pub fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// The envelope as one entry of a batch message: key, length, body.
    pub fn record(&self) -> &Bytes {
        &self.record
    }

    /// As [`Encoded::record`], without keeping the envelope.
    pub(crate) fn into_record(self) -> Bytes {
        self.record
    }

    /// The envelope alone.
    pub fn body(&self) -> Bytes {
        self.record.slice(self.body_at..)
    }

    /// As [`Encoded::body`], borrowed.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.record[self.body_at..]
    }

    pub(crate) fn tag_form(&self) -> TagForm {
        self.tags
    }

    pub(crate) fn decode(&self) -> Option<v2::Envelope> {
        v2::Envelope::decode(&self.record[self.body_at..]).ok()
    }

    /// The source id; empty if there is none.
    pub fn source_id(&self) -> &[u8] {
        field(&self.record[self.body_at..], SOURCE_ID).unwrap_or_default()
    }

    /// The name of a counter; empty if there is none.
    pub(crate) fn counter_name(&self) -> &[u8] {
        self.message(Kind::Counter).and_then(|counter| field(counter, 1)).unwrap_or_default()
    }

    /// The names of a gauge's metrics, in the order of the wire.
    pub(crate) fn metric_names(&self) -> impl Iterator<Item = &[u8]> {
        let gauge = self.message(Kind::Gauge).unwrap_or_default();
        fields(gauge).filter(|entry| entry.number == 1).map(|entry| field(entry.value, 1).unwrap_or_default())
    }

    fn message(&self, kind: Kind) -> Option<&[u8]> {
        fields(&self.record[self.body_at..])
            .find(|field| Kind::of_field(field.number) == Some(kind))
            .map(|field| field.value)
    }
}

/// Writes key and length of a batch entry; gives how many bytes that took.
pub(crate) fn record_header(body_len: usize, out: &mut impl BufMut) -> usize {
    out.put_u8(FIRST_FIELD);
    encode_varint(body_len as u64, out);
    1 + encoded_len_varint(body_len as u64)
}

/// All tags as `tags`: deprecated ones as text, over plain ones of the same name.
///
/// A deprecated tag without a value goes.
pub(crate) fn prefer_tags(mut envelope: v2::Envelope) -> v2::Envelope {
    for (name, value) in std::mem::take(&mut envelope.deprecated_tags) {
        if let Some(text) = text(&value) {
            envelope.tags.insert(name, text);
        }
    }
    envelope
}

/// All tags as `deprecated_tags`: plain ones as text, over deprecated ones of the same name.
pub(crate) fn deprecate_tags(mut envelope: v2::Envelope) -> v2::Envelope {
    for (name, value) in std::mem::take(&mut envelope.tags) {
        envelope.deprecated_tags.insert(name, v2::Value { data: Some(Data::Text(value)) });
    }
    envelope
}

/// A tag value as the proxy writes it: the shortest decimal form of the platform's language.
fn text(value: &v2::Value) -> Option<String> {
    Some(match value.data.as_ref()? {
        Data::Text(text) => text.clone(),
        Data::Integer(integer) => integer.to_string(),
        Data::Decimal(decimal) => decimal_text(*decimal),
    })
}

/// `3.25`, `1e+21`, `1e-07`, `NaN`, `+Inf`: exponents below -4 and from 21 on, two digits at least.
fn decimal_text(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value == 0.0 || value.is_nan() || (1e-4..1e21).contains(&value.abs()) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    match exponent.strip_prefix('-') {
        Some(exponent) => format!("{digits}e-{exponent:0>2}"),
        None => format!("{digits}e+{exponent:0>2}"),
    }
}

/// Field order as the platform's encoder has it: the message last, tags as they come.
fn put_envelope(envelope: &v2::Envelope, out: &mut BytesMut) {
    let head = v2::Envelope {
        timestamp: envelope.timestamp,
        source_id: envelope.source_id.clone(),
        deprecated_tags: envelope.deprecated_tags.clone(),
        instance_id: envelope.instance_id.clone(),
        ..v2::Envelope::default()
    };
    head.encode_raw(out);
    put_tags(V2_TAGS, &envelope.tags, out);
    if let Some(message) = &envelope.message {
        message.encode(out);
    }
}

/// Encodes a v1 envelope; its tags, in random order, come last as in the platform's encoder.
pub(crate) fn encode_v1(mut envelope: v1::Envelope) -> BytesMut {
    let tags = std::mem::take(&mut envelope.tags);
    let mut out = BytesMut::with_capacity(envelope.encoded_len() + 32 * tags.len());
    envelope.encode_raw(&mut out);
    put_tags(V1_TAGS, &tags, &mut out);
    out
}

fn put_tags(number: u8, tags: &std::collections::BTreeMap<String, String>, out: &mut BytesMut) {
    let mut order: Vec<_> = tags.iter().collect();
    // The platform's maps have no order; a consumer that relies on one must notice.
    fastrand::shuffle(&mut order);
    for (name, value) in order {
        put_tag(number, name.as_bytes(), value.as_bytes(), out);
    }
}

/// One entry of a map of strings; name and value are always written.
pub(crate) fn put_tag(number: u8, name: &[u8], value: &[u8], out: &mut impl BufMut) {
    let len = |text: &[u8]| 1 + encoded_len_varint(text.len() as u64) + text.len();
    encode_varint(u64::from(number) << 3 | u64::from(LENGTH_DELIMITED), out);
    encode_varint((len(name) + len(value)) as u64, out);
    put_text(FIRST_FIELD, name, out);
    put_text(SECOND_FIELD, value, out);
}

/// Key, length and bytes.
pub(crate) fn put_text(key: u8, text: &[u8], out: &mut impl BufMut) {
    out.put_u8(key);
    encode_varint(text.len() as u64, out);
    out.put_slice(text);
}

/// A field of a message: its number, its bytes if it is length-delimited, its varint if it is one.
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    pub(crate) value: &'a [u8],
    pub(crate) varint: u64,
    /// Bytes of it, with its key.
    pub(crate) size: usize,
}

/// The fields of a message up to the first byte that makes no sense.
pub(crate) fn fields(mut rest: &[u8]) -> impl Iterator<Item = Field<'_>> {
    std::iter::from_fn(move || {
        let before = rest.len();
        let key = decode_varint(&mut rest).ok()?;
        let number = u32::try_from(key >> 3).ok()?;
        let (mut value, mut varint) = (&rest[..0], 0);
        match key & 7 {
            0 => varint = decode_varint(&mut rest).ok()?,
            1 => rest = rest.get(8..)?,
            2 => {
                let len = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
                (value, rest) = rest.split_at_checked(len)?;
            }
            5 => rest = rest.get(4..)?,
            _ => return None,
        }
        Some(Field { number, value, varint, size: before - rest.len() })
    })
}

fn field(message: &[u8], number: u32) -> Option<&[u8]> {
    fields(message).find(|field| field.number == number).map(|field| field.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> v2::Envelope {
        let gauge = v2::Gauge {
            metrics: [("cpu".to_owned(), v2::GaugeValue { unit: "percentage".into(), value: 1.0 })].into(),
        };
        v2::Envelope {
            timestamp: 1_700_000_000_123_456_789,
            source_id: "app".into(),
            instance_id: "0".into(),
            tags: (0..12).map(|n| (format!("tag{n}"), format!("value{n}"))).collect(),
            deprecated_tags: [("old".to_owned(), v2::Value { data: Some(Data::Integer(-42)) })].into(),
            message: Some(Message::Gauge(gauge)),
        }
    }

    #[test]
    fn an_encoded_envelope_decodes_to_itself_and_knows_its_parts() {
        let encoded = Encoded::new(&sample());
        assert_eq!(encoded.decode().unwrap(), sample());
        let batch = v2::EnvelopeBatch::decode(encoded.record().clone()).unwrap();
        assert_eq!(batch.batch, [sample()]);
        assert_eq!(encoded.kind(), Some(Kind::Gauge));
        assert_eq!(encoded.source_id(), b"app");
        assert_eq!(encoded.metric_names().collect::<Vec<_>>(), [b"cpu"]);
        assert_eq!(encoded.tag_form(), TagForm::Deprecated);

        let again = Encoded::from_bytes(&encoded.body(), None);
        assert_eq!(again.record(), encoded.record());
        assert_eq!((again.kind(), again.tag_form()), (Some(Kind::Gauge), TagForm::Deprecated));
    }

    #[test]
    fn tags_come_in_any_order() {
        let first = Encoded::new(&sample());
        // 12! orders: twenty equal ones in a row do not happen.
        assert!((0..20).any(|_| Encoded::new(&sample()).record() != first.record()));
    }

    #[test]
    fn malformed_bytes_keep_the_kind_they_are_given() {
        for body in [&b"\xff\xff"[..], b"", b"\x22\x7fshort", b"\x0f"] {
            let encoded = Encoded::from_bytes(body, Some(Kind::Log));
            assert_eq!(encoded.kind(), Some(Kind::Log), "{body:?}");
            assert_eq!(encoded.body(), body);
            assert_eq!(encoded.source_id(), b"");
        }
    }

    #[test]
    fn tag_forms_convert_as_the_proxy_does() {
        let mut envelope = sample();
        let value = |data| v2::Value { data };
        envelope.tags = [("both".to_owned(), "plain".to_owned()), ("only".to_owned(), "x".to_owned())].into();
        envelope.deprecated_tags = [
            ("both", value(Some(Data::Text("deprecated".into())))),
            ("big", value(Some(Data::Decimal(1e21)))),
            ("small", value(Some(Data::Decimal(0.000_000_1)))),
            ("fraction", value(Some(Data::Decimal(3.25)))),
            ("integer", value(Some(Data::Integer(-42)))),
            ("nothing", value(None)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();

        let expected = [
            ("big", "1e+21"),
            ("both", "deprecated"),
            ("fraction", "3.25"),
            ("integer", "-42"),
            ("only", "x"),
            ("small", "1e-07"),
        ];
        let preferred = prefer_tags(envelope.clone());
        let tags: Vec<_> = preferred.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(tags, expected);
        assert!(preferred.deprecated_tags.is_empty());

        let typed = envelope.deprecated_tags.clone();
        let deprecated = deprecate_tags(envelope);
        assert!(deprecated.tags.is_empty());
        let text = |text: &str| value(Some(Data::Text(text.to_owned())));
        let expected = [("both".to_owned(), text("plain")), ("only".to_owned(), text("x"))];
        assert_eq!(deprecated.deprecated_tags, typed.into_iter().chain(expected).collect());
    }

    #[test]
    fn a_v1_envelope_decodes_to_itself() {
        let envelope = v1::Envelope {
            origin: "rep".into(),
            event_type: v1::envelope::EventType::CounterEvent as i32,
            tags: (0..9).map(|n| (format!("tag{n}"), String::new())).collect(),
            counter_event: Some(v1::CounterEvent { name: "c".into(), delta: 0, total: None }),
            ..Default::default()
        };
        assert_eq!(v1::Envelope::decode(encode_v1(envelope.clone()).freeze()).unwrap(), envelope);
    }
}
