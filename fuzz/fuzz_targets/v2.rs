//! v2 batches: any bytes are survived; what another decoder reads is read alike.
#![no_main]

use firehose_nozzle::nozzle::event::Event;
use firehose_nozzle::nozzle::wire::{deprecated, v2};
use firehose_nozzle::proto::loggregator::envelope::Message as Theirs;
use firehose_nozzle::proto::loggregator::{Envelope, EnvelopeBatch};
use firehose_nozzle_fuzz::encode;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(v2::count_envelopes(bytes), v2::Batch::new(bytes).filter(Result::is_ok).count() as u64);
    for envelope in v2::Batch::new(bytes).flatten() {
        survive(envelope);
    }
    if let Ok(batch) = EnvelopeBatch::decode(bytes) {
        for theirs in batch.batch {
            compare(&theirs);
        }
    }
});

fn survive(bytes: &[u8]) {
    let Ok(envelope) = v2::Envelope::parse(bytes) else { return };
    if envelope.has_deprecated_tags {
        if let Ok(plain) = deprecated::to_tags(bytes) {
            survive(&plain);
        }
        return;
    }
    if let Ok(Some(event)) = Event::from_v2(&envelope) {
        encode(&event);
    }
}

/// Written anew by the other codec, an envelope reads as it was.
fn compare(theirs: &Envelope) {
    let bytes = theirs.encode_to_vec();
    let ours = v2::Envelope::parse(&bytes).expect("correct");
    assert_eq!((ours.timestamp, ours.source_id, ours.instance_id), (theirs.timestamp, theirs.source_id.as_bytes(), theirs.instance_id.as_bytes()));
    match (&theirs.message, ours.message) {
        (None, v2::Message::None) => {}
        (Some(Theirs::Log(theirs)), v2::Message::Log(bytes)) => {
            let log = v2::Log::parse(bytes).expect("correct");
            assert_eq!((log.payload, log.kind), (&theirs.payload[..], theirs.r#type));
        }
        (Some(Theirs::Counter(theirs)), v2::Message::Counter(bytes)) => {
            let counter = v2::Counter::parse(bytes).expect("correct");
            assert_eq!((counter.name, counter.delta, counter.total), (theirs.name.as_bytes(), theirs.delta, theirs.total));
        }
        (Some(Theirs::Gauge(theirs)), v2::Message::Gauge(bytes)) => {
            let mut theirs = theirs.metrics.iter();
            let read = v2::Metrics::new(bytes).for_each(|metric| {
                let (name, value) = theirs.next().expect("as many");
                assert_eq!((metric.name, metric.unit), (name.as_bytes(), value.unit.as_bytes()));
                assert_eq!(metric.value.to_bits(), value.value.to_bits());
            });
            assert_eq!((read, theirs.next()), (Ok(()), None));
        }
        (Some(Theirs::Timer(theirs)), v2::Message::Timer(bytes)) => {
            let timer = v2::Timer::parse(bytes).expect("correct");
            assert_eq!((timer.name, timer.start, timer.stop), (theirs.name.as_bytes(), theirs.start, theirs.stop));
        }
        (Some(Theirs::Event(theirs)), v2::Message::Event(bytes)) => {
            let event = v2::Event::parse(bytes).expect("correct");
            assert_eq!((event.title, event.body), (theirs.title.as_bytes(), theirs.body.as_bytes()));
        }
        (theirs, ours) => panic!("{theirs:?} read as {ours:?}"),
    }
}
