//! Replies of HEC and of whatever stands in front of it.
#![no_main]

use firehose_nozzle::hec::reply::ReplyBody;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = ReplyBody::parse(bytes);
});
