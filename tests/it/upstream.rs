//! Recorded losses of the real platform are recognised.

use std::sync::Arc;

use bytes::Bytes;
use firehose_nozzle::nozzle::event::Event;
use firehose_nozzle::nozzle::queue::FrameKind;
use firehose_nozzle::nozzle::upstream::watch::Watch;
use firehose_nozzle::nozzle::upstream::{Upstream, passing};
use firehose_nozzle::nozzle::wire::{v1, v2};
use firehose_nozzle::proto::loggregator::EnvelopeBatch;
use firehose_nozzle::sim::convert;
use prost::Message as _;

use crate::golden;

fn messages() -> Vec<Bytes> {
    let messages = golden::messages("loggregator/rlp-counters-during-loss.hex");
    messages.into_iter().map(Bytes::from).collect()
}

/// What the recorded platform lost.
fn assert_all_is_told(upstream: &Upstream) {
    let sums = upstream.get();
    assert_eq!(sums.get("router_egress"), Some(&40_000));
    assert_eq!(sums.get("rlp_egress"), Some(&147_599));
    assert_eq!(sums.get("router_ingress"), None);
}

#[test]
fn counters_of_a_real_loss_are_added_up() {
    let upstream = Arc::new(Upstream::default());
    let watch = Watch::new(Arc::clone(&upstream));
    watch.read(FrameKind::V2Batch, &messages());
    assert_all_is_told(&upstream);
    let counts = watch.counts();
    assert!(counts.envelopes > 50, "{counts:?}");
    assert_eq!(counts.malformed, 0);

    watch.read(FrameKind::V2Batch, &messages());
    assert_all_is_told(&upstream);
}

#[test]
fn what_was_missed_is_in_the_next_report() {
    let upstream = Arc::new(Upstream::default());
    let watch = Watch::new(Arc::clone(&upstream));
    let messages = messages();
    // The router tells of the increase in the sixth message, and from then on of the sum alone.
    watch.read(FrameKind::V2Batch, &messages[..5]);
    assert!(upstream.get().is_empty(), "nothing is lost yet");
    watch.read(FrameKind::V2Batch, &messages[6..]);
    assert_eq!(upstream.get().get("router_egress"), Some(&40_000));
}

#[test]
fn damage_costs_that_envelope_only() {
    let upstream = Arc::new(Upstream::default());
    let watch = Watch::new(Arc::clone(&upstream));
    let damaged = Bytes::from_static(b"\x0a\x02\x2a\x05");
    let mut all = vec![damaged];
    all.extend(messages());
    watch.read(FrameKind::V2Batch, &all);
    assert_all_is_told(&upstream);
    assert_eq!(watch.counts().malformed, 1);
    watch.read(FrameKind::GatewayBatch, &[Bytes::from_static(b"{\"batch\":[{\"counter\":{\"name\":7}}]}")]);
    assert_eq!(watch.counts().malformed, 2);
}

/// The platform's counters are left to the watch stream: counted here as well they would count twice.
#[test]
fn counters_that_pass_by_in_v2_are_left_alone() {
    for message in messages() {
        for bytes in v2::Batch::new(&message) {
            let envelope = v2::Envelope::parse(bytes.unwrap()).unwrap();
            let event = Event::from_v2(&envelope).unwrap().unwrap();
            assert_eq!(passing(&event, FrameKind::V2Batch), None);
            assert_eq!(passing(&event, FrameKind::GatewayBatch), None);
        }
    }
}

#[test]
fn counters_that_pass_by_in_v1_are_added_up() {
    let upstream = Upstream::default();
    for message in messages() {
        for envelope in EnvelopeBatch::decode(message).unwrap().batch {
            for converted in convert::to_v1(envelope) {
                let bytes = converted.encode_to_vec();
                let envelope = v1::Envelope::parse(&bytes).unwrap();
                let lost = passing(&Event::from_v1(&envelope).unwrap(), FrameKind::V1Envelope);
                lost.into_iter().for_each(|lost| upstream.add(lost));
            }
        }
    }
    assert_all_is_told(&upstream);
}

#[test]
fn what_is_no_loss_is_none() {
    for bytes in golden::messages("loggregator/ws-firehose-all-cases.hex") {
        let envelope = v1::Envelope::parse(&bytes).unwrap();
        assert_eq!(passing(&Event::from_v1(&envelope).unwrap(), FrameKind::V1Envelope), None);
    }
}
