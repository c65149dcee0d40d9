//! Where envelopes come from: parallel streams of one shard id that fill the queue of frames.
//!
//! ```text
//! stream 0: connect → read → end → wait → connect …  ┐
//! stream 1: connect → read → end → wait → connect …  ┴─► FrameSender
//! ```
//!
//! - A reader only moves bytes: a gRPC message ([`grpc`]) or a websocket frame ([`firehose`])
//!   goes into the queue as it is. It never waits for anything but its own socket, because the
//!   platform drops what is not read at once, and says so to nobody.
//! - Streams fail independently. Each tells why it ended ([`End`]), by one policy it connects
//!   again ([`reconnect`]), and it never gives up.
//! - A stream that is silent for too long is replaced, however open it looks.
//! - The old connection is closed before the new one is opened.
//!
//! Not done here: decoding, counting envelopes, and choosing the kind of source, which is part
//! of the configuration and never follows from a failure.

mod codec;
mod dial;
mod end;
pub mod firehose;
mod group;
pub mod grpc;
mod idle;
pub mod reconnect;
mod repeat;
pub mod selectors;
mod status;
mod stream;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

pub use self::end::{End, Severity};
pub use self::selectors::SelectorKinds;
use self::status::{Board, Place};
pub use self::status::{LastEnd, SourcesStatus, StreamState, StreamStatus};
use self::stream::{Connector, Stream};
use crate::nozzle::cf::Foundation;
use crate::nozzle::queue::FrameSender;
use crate::task::Tasks;
use crate::tls::ClientTls;

/// Between the starts of two streams, so that they do not hit the same server at one moment.
const START_STAGGER: Duration = Duration::from_millis(100);

/// What to read, and from where.
#[derive(Clone, Debug)]
pub struct SourcePlan {
    /// Where to read from.
    pub kind: SourceKind,
    /// How many streams to keep open (LOGGREGATOR_STREAMS).
    pub streams: NonZeroUsize,
    /// The shard id, which all streams and all instances share (FIREHOSE_SUBSCRIPTION_ID).
    pub shard_id: String,
    /// Which kinds of envelopes to ask for.
    pub kinds: SelectorKinds,
    /// A stream that brings nothing for this long is replaced; `None` for never.
    pub idle_timeout: Option<Duration>,
}

/// Where to read from.
#[derive(Clone, Debug)]
pub enum SourceKind {
    /// The reverse log proxy.
    Grpc {
        /// `host:port` (RLP_ADDRESS).
        address: String,
        /// The name its certificate must be for (RLP_SERVER_NAME).
        server_name: String,
        /// Whom to trust, and the client certificate.
        tls: ClientTls,
    },
    /// The traffic controller's websocket.
    Firehose {
        /// Says where it is and gives the tokens to show. It is asked when a stream connects, so
        /// that nothing has to be up when the nozzle starts.
        foundation: Foundation,
        /// Whom to trust.
        tls: ClientTls,
    },
}

/// Why a plan cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The proxy's name is not a name.
    #[error("RLP_SERVER_NAME {0:?} is neither a DNS name nor an IP address")]
    ServerName(String),
}

/// A view of all streams. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sources {
    board: Arc<Board>,
}

impl Sources {
    /// Makes the streams of a plan. They run while the future is polled, until `stop` is
    /// cancelled; then they take what has arrived, say good-bye, and the queue closes.
    ///
    /// The future ends early, and stops the other streams, only when one panics.
    ///
    /// # Errors
    /// The server's name in the plan is none.
    pub fn start(
        plan: SourcePlan,
        sender: FrameSender,
        stop: CancellationToken,
    ) -> Result<(Self, impl Future<Output = Result<(), JoinError>> + Send + 'static), PlanError> {
        let count = plan.streams.get();
        let board = Board::new(plan.kind.label(), count);
        let streams = (0..count)
            .map(|index| {
                Ok(Stream {
                    index,
                    connector: plan.connector()?,
                    sender: sender.clone(),
                    place: Place::new(&board, index),
                    idle_timeout: plan.idle_timeout,
                    stop: stop.clone(),
                })
            })
            .collect::<Result<Vec<_>, PlanError>>()?;
        Ok((Self { board }, run(streams)))
    }

    /// How many streams are open.
    pub fn connected(&self) -> usize {
        self.board.connected()
    }

    /// Waits until at least `streams` are open. Cancel safe.
    pub async fn wait_connected(&self, streams: usize) {
        self.board.wait_connected(streams).await;
    }

    /// What all streams are doing.
    pub fn status(&self) -> SourcesStatus {
        self.board.status()
    }
}

async fn run(streams: Vec<Stream>) -> Result<(), JoinError> {
    let mut tasks = Tasks::new();
    for (stream, number) in streams.into_iter().zip(0_u32..) {
        tasks.spawn("source stream", stream.run(START_STAGGER.saturating_mul(number)));
    }
    while let Some(joined) = tasks.join_next().await {
        joined?;
    }
    Ok(())
}

impl SourcePlan {
    fn connector(&self) -> Result<Connector, PlanError> {
        match &self.kind {
            SourceKind::Grpc { address, server_name, tls } => {
                let name = ServerName::try_from(server_name.clone())
                    .map_err(|_| PlanError::ServerName(server_name.clone()))?;
                let connector = grpc::Connector::new(
                    address.clone(),
                    name,
                    tls.clone(),
                    self.shard_id.clone(),
                    self.kinds,
                );
                Ok(Connector::Grpc(connector))
            }
            SourceKind::Firehose { foundation, tls } => Ok(Connector::Firehose(firehose::Connector::new(
                foundation.clone(),
                tls.clone(),
                self.shard_id.clone(),
                self.kinds,
            ))),
        }
    }
}

impl SourceKind {
    /// `grpc` or `firehose`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Grpc { .. } => "grpc",
            Self::Firehose { .. } => "firehose",
        }
    }
}
