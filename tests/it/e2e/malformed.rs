//! Damaged messages cost themselves only: neighbours arrive, the stream stays open, each is counted.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use firehose_nozzle::nozzle::status::Status;
use firehose_nozzle::sim::wire::{Encoded, Kind};

use super::{Source, Verdict, World, app_guid, log};

/// Kinds of damage and how they are counted.
const DAMAGED: [(&str, &[u8], &str); 6] = [
    ("text that ends too early", &[0x12, 10, b'a', b'b'], "truncated"),
    ("a log that ends too early", &[0x22, 4, 0x0a, 200, b'a', b'b'], "truncated"),
    ("a log that is a number", &[0x20, 1], "wire_type"),
    ("a wire type that does not exist", &[0x0f, 1, 2, 3], "wire_type"),
    ("field number zero", &[0x02, 1, 2], "number"),
    ("a number without end", &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], "number"),
];

/// A number that may stand in front of so many bytes, and has not got them.
const ABSURD_LENGTHS: [u64; 3] = [1_000_000, u32::MAX as u64, u64::MAX];

fn good(number: u64) -> Encoded {
    Encoded::new(&log(&app_guid(1), number))
}

/// A message out of parts, whatever they are.
fn message(parts: &[&[u8]]) -> Bytes {
    parts.concat().into()
}

#[tokio::test]
async fn v2_messages() {
    let world = World::start().await;
    let nozzle = world.nozzle(Source::Grpc, &[]).await;
    let mut number = 0;
    let mut next = || {
        number += 1;
        good(number - 1)
    };
    // Within a message: the envelopes on both sides are whole.
    for (_, damaged, _) in DAMAGED {
        let damaged = Encoded::from_bytes(damaged, Some(Kind::Log));
        let (before, after) = (next(), next());
        let parts = [&before.record()[..], damaged.record(), after.record()];
        world.foundation.publish_message(message(&parts));
        // And as the log proxy batches it.
        world.foundation.publish_encoded(&[next(), damaged, next()]);
    }
    // The message itself: what comes before the damage is whole.
    for length in ABSURD_LENGTHS {
        let mut header = BytesMut::from(&[0x0a][..]);
        prost::encoding::encode_varint(length, &mut header);
        header.put_slice(b"short");
        world.foundation.publish_message(message(&[next().record(), &header]));
    }
    world.foundation.publish_message(message(&[next().record(), &[0x08, 7], next().record()]));
    world.foundation.publish_message(Bytes::from_static(&[0xff; 64]));
    world.foundation.publish_message(Bytes::new());
    world.foundation.publish_encoded(&[next()]);

    let count = |kind: &str| {
        let of_kind = DAMAGED.iter().filter(|(_, _, counted)| *counted == kind).count() as u64;
        // Each was published twice.
        2 * of_kind
    };
    let expected = [
        ("truncated", count("truncated") + ABSURD_LENGTHS.len() as u64),
        ("wire_type", count("wire_type") + 1),
        // The 64 bytes without sense.
        ("number", count("number") + 1),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(kind, n)| (kind.to_owned(), n)).into();
    let damage: u64 = expected.values().sum();
    // Not in order: there are two streams.
    let all = |status: &Status| {
        status.ledger.delivered == number && status.ledger.malformed.values().sum::<u64>() == damage
    };
    nozzle.until("all is read, and what is good delivered", all).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..number);
    assert_eq!(verdict.ledger().received, number, "what is malformed is no envelope");
    assert_eq!(verdict.ledger().malformed, expected);
    assert_never_reconnected(&verdict);
}

#[tokio::test]
async fn v1_frames() {
    let world = World::start().await;
    let nozzle = world.nozzle(Source::Firehose, &[]).await;
    let damaged: [(&[u8], &str); 6] = [
        (&[], "missing_field"),
        (&[0xff; 64], "number"),
        (&[0x0a, 200, 1, b'a'], "truncated"),
        (&[0x0a, 1, b'a', 0x10, 77], "event_type"),
        (&[0x08, 1], "wire_type"),
        (&[0x0a, 1, b'a', 0x10, 5, 0x42, 3, 0x0a, 200, 1], "truncated"),
    ];
    let mut number = 0;
    for (frame, _) in damaged {
        world.foundation.publish(&[log(&app_guid(1), number)]);
        world.foundation.publish_frame(frame);
        world.foundation.publish(&[log(&app_guid(1), number + 1)]);
        number += 2;
    }
    let all = |status: &Status| {
        status.ledger.delivered == number && status.ledger.malformed.values().sum::<u64>() == 6
    };
    nozzle.until("all good envelopes are delivered", all).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..number);
    let malformed = &verdict.ledger().malformed;
    for (_, kind) in damaged {
        let expected = damaged.iter().filter(|(_, counted)| *counted == kind).count() as u64;
        assert_eq!(malformed.get(kind), Some(&expected), "{kind}: {malformed:?}");
    }
    assert_never_reconnected(&verdict);
}

fn assert_never_reconnected(verdict: &Verdict) {
    let source = &verdict.status().source;
    assert!(source.streams.iter().all(|stream| stream.connects == 1), "{source:?}");
}

#[tokio::test]
async fn a_message_larger_than_any_costs_the_stream_once() {
    let world = World::start().await;
    let nozzle = world.nozzle(Source::Grpc, &[("LOGGREGATOR_STREAMS", "1")]).await;
    world.publish(0..100, |n| log(&app_guid(1), n)).await;
    world.settled(&nozzle).await;
    world.foundation.publish_message(vec![0; (16 << 20) + 1].into());
    nozzle.until("it came back", |status| status.source.streams[0].connects == 2).await;
    world.publish(100..200, |n| log(&app_guid(1), n)).await;
    nozzle.until("all others are delivered", |status| status.ledger.delivered == 200).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..200);
    assert_eq!(verdict.status().source.ends.get("too_large"), Some(&1), "{:?}", verdict.status().source);
}
