//! What can be done to open streams, and to those about to open.

use super::gateway::StreamForm;
use super::stats::StreamId;

/// Which streams a fault is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every open stream.
    All,
    /// Every gRPC stream of the log proxy.
    Rlp,
    /// Every stream of the gateway.
    Gateway,
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
    /// It stays open and silent; its buffer fills and then loses. A gateway sends no heartbeat
    /// and does not close either; a websocket's pings go on.
    Stall,
    /// Likewise, but a gateway goes on with its heartbeats, as when the routers behind are gone.
    Starve,
    /// A stalled or starved stream goes on.
    Resume,
    /// The next envelopes are lost and counted.
    DropNext(u64),
    /// The next envelopes are delivered twice.
    DuplicateNext(u64),
    /// The connection says GOAWAY: its streams live on, new ones need a new connection.
    /// Websockets know no such thing and are left alone.
    GoAway,
    /// A gateway's stream writes in another way; the others are left alone.
    Form(StreamForm),
}

/// How a stream ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As on an orderly stop: what is buffered is sent, then status OK, close 1000 or, on a
    /// gateway, the end of the body.
    Eof,
    /// gRPC status UNAVAILABLE; a websocket is cut; a gateway's body ends without a word.
    Unavailable,
    /// gRPC status RESOURCE_EXHAUSTED; a websocket is cut; a gateway's body ends without a word.
    ResourceExhausted,
    /// The connection is cut, with every stream on it; a websocket in the middle of a frame, a
    /// gateway's stream in the middle of a line.
    Cut,
    /// A websocket close frame; UNAVAILABLE with this text on gRPC; a gateway's `closing` event.
    Close {
        /// The close code.
        code: u16,
        /// The reason given.
        reason: String,
    },
}
