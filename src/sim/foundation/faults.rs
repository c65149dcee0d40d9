//! What can be done to open streams, and to those about to open.

use super::router::StreamId;

/// Which streams a fault is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every open stream.
    All,
    /// Every gRPC stream of the log proxy.
    Rlp,
    /// Every websocket of the traffic controller.
    Websockets,
    /// Every stream of one shard id or subscription id.
    Shard(String),
    /// One stream.
    Stream(StreamId),
}

/// What happens to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends.
    End(End),
    /// It stays open and silent; its buffer fills and then loses.
    Stall,
    /// A stalled stream goes on.
    Resume,
    /// The next envelopes are lost and counted.
    DropNext(u64),
    /// The next envelopes are delivered twice.
    DuplicateNext(u64),
    /// The connection says GOAWAY: its streams live on, new ones need a new connection.
    /// Websockets know no such thing and are left alone.
    GoAway,
}

/// How a stream ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As on an orderly stop: what is buffered is sent, then status OK or close 1000.
    Eof,
    /// gRPC status UNAVAILABLE; a websocket is cut.
    Unavailable,
    /// gRPC status RESOURCE_EXHAUSTED; a websocket is cut.
    ResourceExhausted,
    /// The connection is cut, with every stream on it; a websocket in the middle of a frame.
    Cut,
    /// A websocket close frame; UNAVAILABLE with this text on gRPC.
    Close {
        /// The close code.
        code: u16,
        /// The reason given.
        reason: String,
    },
}
