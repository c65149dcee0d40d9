//! What Loggregator says it lost before the nozzle could read it.
//!
//! The platform tells nobody in the stream that it drops; only its own metrics and a few log notices
//! do. They are counted beside the ledger: what was never received cannot be part of its balance. None of them
//! names the consumer, so a neighbour's loss looks like one's own.
//!
//! From v2 sources each instance asks for the platform's counters and events by a stream of its own
//! ([`watch`]), whatever EVENTS selects and however many instances share the rest. v1 has no
//! such selection: there they are recognised where they pass by ([`passing`]). Notices are log
//! lines of an app, and are recognised where those pass by, from every source.

mod emitters;
pub mod watch;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::nozzle::event::{Body, Event};
use crate::nozzle::ledger::reasons;
use crate::nozzle::queue::FrameKind;
use crate::nozzle::wire::tags::Key;

/// The title of the event that tells of a slow consumer.
const SLOW_CONSUMER: &[u8] = b"Traffic Controller has disconnected slow consumer";

reasons! {
    /// Where the platform lost envelopes.
    Loss {
        /// The routers cannot take what is sent to them.
        RouterIngress = "router_ingress",
        /// The routers' buffer in front of a stream ran over.
        RouterEgress = "router_egress",
        /// The reverse log proxy's buffer in front of a stream ran over.
        RlpEgress = "rlp_egress",
        /// The traffic controller disconnected a slow consumer; counts consumers, not envelopes.
        SlowConsumer = "slow_consumer",
        /// Old platforms: the router's truncating buffer.
        TruncatingBuffer = "truncating_buffer",
        /// Log lines that tell of lost log lines.
        LogNotice = "log_notice",
    }
}

impl Loss {
    /// What an operator can do about it.
    pub fn next_step(self) -> &'static str {
        match self {
            Self::RouterIngress => "the platform needs more routers (doppler), or fewer logs",
            Self::RouterEgress | Self::RlpEgress => {
                "read faster: raise LOGGREGATOR_STREAMS or add instances; if all consumers are fast, it was another one"
            }
            Self::SlowConsumer => {
                "if it was this nozzle (see source in /status.json), give it CPU or add instances"
            }
            Self::TruncatingBuffer => "read faster: add instances",
            Self::LogNotice => "see the log lines of source type LGR",
        }
    }
}

/// Recognises a sign of loss in an event that came in frames of this kind, and how much it says was lost.
///
/// Not what the watch stream brings: where there is one, that would be counted twice.
#[inline]
pub fn passing(event: &Event<'_>, kind: FrameKind) -> Option<(Loss, u64)> {
    match event.body {
        Body::Log { payload, source_type: b"LGR", .. } => notice(payload).map(|lost| (Loss::LogNotice, lost)),
        Body::Counter { delta: 0, .. } => None,
        Body::Counter { name: b"TruncatingBuffer.DroppedMessages", delta, .. } => {
            Some((Loss::TruncatingBuffer, delta))
        }
        Body::Counter { name, delta, .. } if kind == FrameKind::V1Envelope => {
            counter(event, name).map(|loss| (loss, delta))
        }
        _ => None,
    }
}

/// The platform's own counters, as v1 has them.
fn counter(event: &Event<'_>, name: &[u8]) -> Option<Loss> {
    match (name, event.head.origin) {
        (b"dropped", b"loggregator.doppler") if event.tags.text(Key::Direction) == b"ingress" => {
            Some(Loss::RouterIngress)
        }
        (b"dropped", b"loggregator.doppler") => Some(Loss::RouterEgress),
        (b"dropped", b"loggregator.rlp") => Some(Loss::RlpEgress),
        (b"doppler_proxy.slow_consumer", _) => Some(Loss::SlowConsumer),
        _ => None,
    }
}

/// The number in a line such as `… 42 messages dropped …` or `Dropped 42 messages`.
fn notice(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line).ok()?;
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let at = words.iter().position(|word| *word == "messages")?;
    let tells_of_loss = words.iter().any(|word| {
        let word = word.trim_end_matches(['.', ',']);
        word.eq_ignore_ascii_case("dropped") || word.eq_ignore_ascii_case("lost")
    });
    let number = words.get(at.checked_sub(1)?)?;
    if tells_of_loss { number.parse().ok() } else { None }
}

/// The sums so far. Shared by all stages.
#[derive(Debug, Default)]
pub struct Upstream {
    lost: [AtomicU64; Loss::ALL.len()],
}

impl Upstream {
    /// Counts a sign of loss.
    pub fn add(&self, (loss, lost): (Loss, u64)) {
        self.lost[loss as usize].fetch_add(lost, Relaxed);
    }

    /// The sums, without those that are zero.
    pub fn get(&self) -> BTreeMap<String, u64> {
        Loss::ALL
            .iter()
            .map(|loss| (loss.label().to_owned(), self.lost[*loss as usize].load(Relaxed)))
            .filter(|(_, lost)| *lost > 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_tell_how_many() {
        for (line, lost) in [
            ("Log message output is too high. 100 messages dropped for 3 apps", Some(100)),
            ("TB: Output channel too full. Dropped 17 messages", Some(17)),
            ("3 messages lost for application 1 in user provided syslog drain with url x", Some(3)),
            ("app instance exceeded log rate limit (16384 bytes/sec)", None),
            ("messages dropped", None),
            ("42 messages delivered", None),
        ] {
            assert_eq!(notice(line.as_bytes()), lost, "{line}");
        }
        assert_eq!(notice(b"\xff 3 messages lost"), None);
    }
}
