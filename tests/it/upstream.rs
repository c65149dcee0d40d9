//! Recorded losses of the real platform are recognised.

use firehose_nozzle::nozzle::event::Event;
use firehose_nozzle::nozzle::upstream::{Upstream, loss};
use firehose_nozzle::nozzle::wire::{v1, v2};

use crate::golden;

#[test]
fn counters_of_a_real_loss_are_added_up() {
    let upstream = Upstream::default();
    let mut counters = 0;
    for message in golden::messages("loggregator/rlp-counters-during-loss.hex") {
        for bytes in v2::Batch::new(&message) {
            let envelope = v2::Envelope::parse(bytes.unwrap()).unwrap();
            let event = Event::from_v2(&envelope).unwrap().unwrap();
            counters += 1;
            if let Some(lost) = loss(&event) {
                upstream.add(lost);
            }
        }
    }
    assert!(counters > 50, "{counters}");
    let sums = upstream.get();
    assert_eq!(sums.get("router_egress"), Some(&40_000));
    assert_eq!(sums.get("rlp_egress"), Some(&(117_700 + 29_899)));
    assert_eq!(sums.get("router_ingress"), None);
}

#[test]
fn what_is_no_loss_is_none() {
    for bytes in golden::messages("loggregator/ws-firehose-all-cases.hex") {
        let envelope = v1::Envelope::parse(&bytes).unwrap();
        assert_eq!(loss(&Event::from_v1(&envelope).unwrap()), None);
    }
}
