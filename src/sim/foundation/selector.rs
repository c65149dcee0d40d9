//! What a stream asks for, and how equal askers are told apart.

use std::collections::BTreeSet;

use crate::proto::loggregator as v2;
use crate::proto::loggregator::selector::Message;
use crate::sim::wire::{Encoded, Kind};

/// One selector. Streams of a shard share exactly where their selectors are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Selector {
    /// Empty: any.
    source_id: String,
    kind: Kind,
    names: Names,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Names {
    Any,
    Counter(String),
    /// The metrics of a gauge must be exactly these.
    Gauge(BTreeSet<String>),
}

impl Selector {
    /// `None` for a selector without a type.
    pub(crate) fn parse(selector: &v2::Selector) -> Option<Self> {
        let (kind, names) = match selector.message.as_ref()? {
            Message::Log(_) => (Kind::Log, Names::Any),
            Message::Timer(_) => (Kind::Timer, Names::Any),
            Message::Event(_) => (Kind::Event, Names::Any),
            Message::Counter(counter) if counter.name.is_empty() => (Kind::Counter, Names::Any),
            Message::Counter(counter) => (Kind::Counter, Names::Counter(counter.name.clone())),
            Message::Gauge(gauge) if gauge.names.is_empty() => (Kind::Gauge, Names::Any),
            Message::Gauge(gauge) => (Kind::Gauge, Names::Gauge(gauge.names.iter().cloned().collect())),
        };
        Some(Self { source_id: selector.source_id.clone(), kind, names })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether an envelope of the selector's kind is asked for.
    pub(crate) fn matches(&self, envelope: &Encoded) -> bool {
        if !self.source_id.is_empty() && self.source_id.as_bytes() != envelope.source_id() {
            return false;
        }
        match &self.names {
            Names::Any => true,
            Names::Counter(name) => name.as_bytes() == envelope.counter_name(),
            Names::Gauge(names) => {
                let wanted: BTreeSet<_> = names.iter().map(String::as_bytes).collect();
                envelope.metric_names().collect::<BTreeSet<_>>() == wanted
            }
        }
    }
}

/// Where envelopes of one name go when streams have deterministic names; `None`: at random.
pub(crate) fn name_hash(envelope: &Encoded) -> Option<u64> {
    match envelope.kind()? {
        Kind::Counter => Some(crc64(envelope.counter_name())),
        Kind::Gauge => Some(envelope.metric_names().fold(0, |sum: u64, name| sum.wrapping_add(crc64(name)))),
        Kind::Log | Kind::Timer | Kind::Event => None,
    }
}

/// CRC-64 with the ECMA polynomial, reflected, as the platform's language has it.
fn crc64(bytes: &[u8]) -> u64 {
    const POLYNOMIAL: u64 = 0xC96C_5795_D787_0F42;
    let mut crc = !0;
    for &byte in bytes {
        crc ^= u64::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (POLYNOMIAL & 0u64.wrapping_sub(crc & 1));
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::loggregator::envelope;

    fn counter(source_id: &str, name: &str) -> Encoded {
        Encoded::new(&v2::Envelope {
            source_id: source_id.into(),
            message: Some(envelope::Message::Counter(v2::Counter {
                name: name.into(),
                ..Default::default()
            })),
            ..Default::default()
        })
    }

    fn gauge(names: &[&str]) -> Encoded {
        let metrics = names.iter().map(|&n| (n.to_owned(), v2::GaugeValue::default())).collect();
        Encoded::new(&v2::Envelope {
            message: Some(envelope::Message::Gauge(v2::Gauge { metrics })),
            ..Default::default()
        })
    }

    fn selector(source_id: &str, message: Message) -> Selector {
        Selector::parse(&v2::Selector { source_id: source_id.into(), message: Some(message) }).unwrap()
    }

    fn names(names: &[&str]) -> Message {
        Message::Gauge(v2::GaugeSelector { names: names.iter().map(|&n| n.to_owned()).collect() })
    }

    #[test]
    fn selectors_match_by_source_and_exact_names() {
        let any = |name: &str| Message::Counter(v2::CounterSelector { name: name.into() });
        for (selector, envelope, expected) in [
            (selector("", any("")), counter("a", "x"), true),
            (selector("a", any("")), counter("a", "x"), true),
            (selector("b", any("")), counter("a", "x"), false),
            (selector("", any("x")), counter("a", "x"), true),
            (selector("", any("x")), counter("a", "xy"), false),
            (selector("", names(&[])), gauge(&["cpu", "memory"]), true),
            (selector("", names(&["memory", "cpu"])), gauge(&["cpu", "memory"]), true),
            (selector("", names(&["cpu"])), gauge(&["cpu", "memory"]), false),
            (selector("", names(&["cpu", "memory"])), gauge(&["cpu"]), false),
        ] {
            assert_eq!(selector.matches(&envelope), expected, "{selector:?} {envelope:?}");
        }
        assert_eq!(Selector::parse(&v2::Selector::default()), None);
    }

    #[test]
    fn the_order_of_names_makes_no_other_selector() {
        assert_eq!(selector("", names(&["a", "b"])), selector("", names(&["b", "a"])));
        assert_ne!(selector("", names(&["a", "b"])), selector("x", names(&["a", "b"])));
    }

    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(crc64(b"123456789"), 0x995D_C9BB_DF19_39FA);
        assert_eq!(name_hash(&counter("", "123456789")), Some(0x995D_C9BB_DF19_39FA));
        assert_eq!(name_hash(&gauge(&["123456789", "123456789x"])), {
            Some(crc64(b"123456789").wrapping_add(crc64(b"123456789x")))
        });
    }
}
