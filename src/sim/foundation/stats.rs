//! What can be seen of a foundation's streams from outside.

/// One stream, for its whole life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// How a stream reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// gRPC, v2.
    Rlp,
    /// An event stream of the gateway, v2.
    Gateway,
    /// A websocket on `/firehose`, v1.
    Firehose,
    /// A websocket on `/apps/:guid/stream`, v1.
    AppStream,
}

/// The counters of one open stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamStats {
    /// The stream.
    pub id: StreamId,
    /// How it reads.
    pub protocol: Protocol,
    /// Its shard id, subscription id or app.
    pub shard: String,
    /// Envelopes put into its buffer.
    pub accepted: u64,
    /// Envelopes taken out of it to be sent.
    pub sent: u64,
    /// Envelopes lost because it was full, or by a fault.
    pub dropped: u64,
    /// Envelopes in it now.
    pub buffered: usize,
}

/// How many streams are open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connected {
    /// gRPC streams that share by a shard id.
    pub rlp: usize,
    /// Streams of the gateway that share by a shard id.
    pub gateway: usize,
    /// gRPC and gateway streams without a shard id: each gets a copy for itself.
    pub copies: usize,
    /// Firehose websockets.
    pub firehose: usize,
    /// App stream websockets.
    pub app_streams: usize,
}

/// What went through the router since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Envelopes published.
    pub published: u64,
    /// Envelopes sent to gRPC streams and to the gateway's, as far as they have a shard id.
    pub rlp_sent: u64,
    /// Envelopes lost in front of them.
    pub rlp_dropped: u64,
    /// Envelopes sent to streams without a shard id.
    pub copies_sent: u64,
    /// Envelopes lost in front of those.
    pub copies_dropped: u64,
    /// Frames sent to websockets.
    pub v1_sent: u64,
    /// Frames lost in front of websockets.
    pub v1_dropped: u64,
}
