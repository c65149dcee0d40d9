//! v1 envelopes: any bytes are survived; what another decoder reads is read alike.
#![no_main]

use firehose_nozzle::nozzle::event::Event;
use firehose_nozzle::nozzle::wire::v1;
use firehose_nozzle::proto::dropsonde::Envelope;
use firehose_nozzle_fuzz::encode;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(envelope) = v1::Envelope::parse(bytes)
        && let Ok(event) = Event::from_v1(&envelope)
    {
        assert!(encode(&event).len() <= 1, "one envelope, one event");
    }
    let Ok(theirs) = Envelope::decode(bytes) else { return };
    let again = theirs.encode_to_vec();
    // An event type of another number is refused here and kept there.
    let Ok(ours) = v1::Envelope::parse(&again) else { return };
    assert_eq!(ours.timestamp, theirs.timestamp);
    assert_eq!(ours.origin, theirs.origin.as_bytes());
    assert_eq!(ours.job, theirs.job().as_bytes());
    if let (Some(log), Some(payload)) = (&theirs.log_message, ours.payload)
        && ours.event_type.name() == "LogMessage"
    {
        let ours = v1::LogMessage::parse(payload).expect("correct");
        assert_eq!((ours.message, ours.timestamp), (&log.message[..], log.timestamp));
        assert_eq!(ours.app_id, log.app_id().as_bytes());
    }
});
