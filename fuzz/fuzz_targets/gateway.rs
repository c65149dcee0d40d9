//! The gateway's batches: any bytes are survived; what another parser reads is read alike.
#![no_main]

use firehose_nozzle::nozzle::event::Event;
use firehose_nozzle::nozzle::wire::gateway::{Batch, Envelope, Scratch, count_envelopes, to_tags};
use firehose_nozzle::nozzle::wire::{deprecated, v2};
use firehose_nozzle_fuzz::{encode, reference};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use serde_json::Value;

fuzz_target!(|frame: &[u8]| {
    let ours = read(frame);
    let whole = ours.iter().flatten().count() as u64;
    let counted = count_envelopes(frame);
    assert!(whole <= counted, "{whole} read, {counted} counted");
    let Some(theirs) = reference::batch(frame) else { return };
    assert_eq!((whole, counted), (theirs.len() as u64, theirs.len() as u64), "none is damaged");
    for (ours, theirs) in ours.into_iter().flatten().zip(theirs) {
        assert_eq!(ours, read_v2(&theirs.encode_to_vec()), "{theirs:?}");
    }
});

/// The HEC events of each envelope; `None` for one that is malformed.
fn read(frame: &[u8]) -> Vec<Option<Vec<Value>>> {
    let (mut scratch, mut batch, mut all) = (Scratch::default(), Batch::new(frame), Vec::new());
    while let Some(envelope) = batch.next(&mut scratch) {
        all.push(envelope.ok().and_then(|envelope| events(&envelope)));
        assert!(all.len() <= frame.len() + 1, "there is an end");
    }
    all
}

fn events(envelope: &Envelope<'_>) -> Option<Vec<Value>> {
    if !envelope.has_deprecated_tags {
        let event = Event::from_gateway(envelope).expect("it was read whole");
        return Some(event.map(|event| encode(&event)).unwrap_or_default());
    }
    let plain = to_tags(envelope.text).ok()?;
    let mut scratch = Scratch::default();
    let envelope = Envelope::parse(&plain, &mut scratch).expect("as it was written");
    assert!(!envelope.has_deprecated_tags);
    events(&envelope)
}

/// The HEC events of an envelope in protobuf.
fn read_v2(bytes: &[u8]) -> Vec<Value> {
    let plain = deprecated::to_tags(bytes).expect("correct");
    let envelope = v2::Envelope::parse(&plain).expect("correct");
    Event::from_v2(&envelope).expect("correct").map(|event| encode(&event)).unwrap_or_default()
}
