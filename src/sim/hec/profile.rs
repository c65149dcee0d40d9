//! Which server is played, and what tells the kinds apart.

use super::code::Code;

/// Which server is played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Splunk Enterprise of today.
    #[default]
    Enterprise,
    /// Splunk Cloud: a body over 5.5 MB is code 6 for event 0, a missing channel code 28.
    Cloud,
    /// Splunk before 6.5: a body holds at most 1,000,000 bytes; no codes 24 to 27.
    Legacy,
    /// An emulator: a batch is taken whole or not at all, code 7 names the offender itself.
    Naive,
    /// Not Splunk: success is 201 with the JSON string `"OK"`; no acknowledgement.
    Foreign,
}

/// A profile taken apart, so that a test can change one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Largest body, bytes, compressed or inflated.
    pub max_content_bytes: usize,
    /// What a larger body is answered.
    pub oversize: Oversize,
    /// Largest event (`maxEventSize`), bytes; larger ones are code 6.
    pub max_event_bytes: usize,
    /// Whether what precedes a bad event is indexed.
    pub batches: Batches,
    /// How a missing channel is said: [`Code::ChannelMissing`] or [`Code::ChannelMissingSticky`].
    pub missing_channel: Code,
    /// Which codes tell of full queues.
    pub capacity: CapacityCodes,
    /// What success looks like.
    pub success: Success,
    /// What becomes of an event whose `time` is neither a number nor one in a string.
    pub bad_time: BadTime,
    /// Whether events before an invalid-event-number of code 9 are indexed.
    pub busy_prefix: Prefix,
    /// What a request without `User-Agent` costs.
    pub without_user_agent: WithoutUserAgent,
}

/// What a body over the limit is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversize {
    /// 413 and an HTML page.
    Html413,
    /// Code 6 that names event 0.
    CodeSix,
}

/// Whether what precedes a bad event is indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batches {
    /// It is; code 7 names the event after the offender.
    Prefix,
    /// Nothing is; code 7 names the offender.
    AllOrNothing,
}

/// Which codes tell of full queues and full acknowledgement state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapacityCodes {
    /// 24 to 27.
    Modern,
    /// Code 9 for everything, no warning before it.
    BusyOnly,
}

/// What success looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    /// 200 and code 0.
    Splunk,
    /// 201 and `"OK"`.
    Created,
}

/// What becomes of an event whose `time` is neither a number nor one in a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTime {
    /// The arrival time is used.
    Ignored,
    /// Code 6.
    Rejected,
}

/// Whether the events before a stop are indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// They are.
    Indexed,
    /// They are not.
    Discarded,
}

/// What a request without `User-Agent` costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutUserAgent {
    /// The connection, as with splunkd's `forceHttp10 = auto`.
    ClosesConnection,
    /// Nothing.
    KeepsConnection,
}

impl Profile {
    /// The profile's parts.
    pub fn behaviour(self) -> Behaviour {
        let enterprise = Behaviour {
            max_content_bytes: 838_860_800,
            oversize: Oversize::Html413,
            max_event_bytes: 5 * 1024 * 1024,
            batches: Batches::Prefix,
            missing_channel: Code::ChannelMissing,
            capacity: CapacityCodes::Modern,
            success: Success::Splunk,
            bad_time: BadTime::Ignored,
            busy_prefix: Prefix::Indexed,
            without_user_agent: WithoutUserAgent::ClosesConnection,
        };
        match self {
            Self::Enterprise => enterprise,
            Self::Cloud => Behaviour {
                max_content_bytes: 5_500_000,
                oversize: Oversize::CodeSix,
                missing_channel: Code::ChannelMissingSticky,
                ..enterprise
            },
            Self::Legacy => {
                Behaviour { max_content_bytes: 1_000_000, capacity: CapacityCodes::BusyOnly, ..enterprise }
            }
            Self::Naive => Behaviour {
                batches: Batches::AllOrNothing,
                busy_prefix: Prefix::Discarded,
                without_user_agent: WithoutUserAgent::KeepsConnection,
                ..enterprise
            },
            Self::Foreign => Behaviour {
                batches: Batches::AllOrNothing,
                busy_prefix: Prefix::Discarded,
                success: Success::Created,
                without_user_agent: WithoutUserAgent::KeepsConnection,
                ..enterprise
            },
        }
    }
}
