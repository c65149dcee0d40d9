//! Where envelopes come from: parallel streams of one shard id that fill the queue of frames.
//!
//! ```text
//! stream 0: connect → read → end → wait → connect …  ┐
//! stream 1: connect → read → end → wait → connect …  ┴─► FrameSender
//! ```
//!
//! - A reader only moves bytes: a gRPC message ([`grpc`]), the data of an event ([`gateway`]) or a
//!   websocket frame ([`firehose`]) goes into the queue as it is. It never waits for anything but
//!   its own socket, because the platform drops what is not read at once, and says so to nobody.
//! - Streams fail independently. Each tells why it ended ([`End`]), by one policy it connects
//!   again ([`reconnect`]), and it never gives up.
//! - A stream that is silent for too long is replaced, however open it looks.
//! - The old connection is closed before the new one is opened; except that a stream which the
//!   platform is going to end for its age is renewed before (`renewal`).
//! - Where to read from follows from the configuration and the API root alone, never from a failure
//!   (`auto`).
//!
//! Not done here: decoding, and counting envelopes.

mod auto;
mod codec;
mod dial;
mod end;
mod endpoint;
pub mod firehose;
pub mod gateway;
mod group;
pub mod grpc;
mod http2;
mod idle;
mod percent;
mod reading;
pub mod reconnect;
mod renewal;
mod repeat;
mod report;
pub mod selectors;
mod session;
mod status;
mod stream;
#[cfg(test)]
mod tests;
mod tunnel;

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

pub use self::end::{End, Severity};
pub use self::renewal::Renewal;
use self::renewal::Renewer;
use self::report::Reports;
pub use self::selectors::SelectorKinds;
use self::session::Connector;
use self::status::{Board, Place};
pub use self::status::{LastEnd, SourcesStatus, StreamState, StreamStatus};
use self::stream::Stream;
use crate::nozzle::cf::Foundation;
use crate::nozzle::queue::FrameSender;
use crate::proxy::ProxySettings;
use crate::task::Tasks;
use crate::tls::KeptTls;

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
    /// When streams are renewed, where the platform ends them for their age.
    pub renewal: Renewal,
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
        tls: KeptTls,
    },
    /// The RLP gateway.
    Gateway(Platform),
    /// The traffic controller's websocket.
    Firehose(Platform),
    /// The gateway if the API root names one, else the websocket.
    Auto(Platform),
}

/// A foundation that is read from outside, through its API. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Platform {
    /// Says where its parts are and gives the tokens to show. It is asked when a stream connects,
    /// so that nothing has to be up when the nozzle starts.
    pub foundation: Foundation,
    /// Whom to trust.
    pub tls: KeptTls,
    /// What is reached through a proxy.
    pub proxies: ProxySettings,
}

/// Why a plan cannot be carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PlanError {
    /// The proxy's name is not a name.
    #[error("RLP_SERVER_NAME {0:?} is neither a DNS name nor an IP address")]
    ServerName(String),
    /// None of the kinds wanted exists in v2.
    #[error("EVENTS names only types that v2 sources do not carry (HttpStart, HttpStop)")]
    NothingInV2,
    /// None of the kinds wanted exists in v1.
    #[error("EVENTS names only a type that the v1 firehose does not carry (Event)")]
    NothingInV1,
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
    /// The plan names no server, or its source carries nothing of what is wanted. With
    /// [`SourceKind::Auto`] the latter turns out later, and is told as the end of the streams.
    pub fn start(
        plan: SourcePlan,
        sender: FrameSender,
        stop: CancellationToken,
    ) -> Result<(Self, impl Future<Output = Result<(), JoinError>> + Send + 'static), PlanError> {
        let connectors = match plan.kind {
            SourceKind::Auto(_) => Vec::new(),
            _ => plan.connectors()?,
        };
        let board = Board::new(plan.kind.label(), plan.streams.get());
        let run = run(plan, connectors, sender, Arc::clone(&board), stop);
        Ok((Self { board }, run))
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

async fn run(
    mut plan: SourcePlan,
    mut connectors: Vec<Connector>,
    sender: FrameSender,
    board: Arc<Board>,
    stop: CancellationToken,
) -> Result<(), JoinError> {
    let places: Vec<_> = (0..plan.streams.get()).map(|index| Place::new(&board, index)).collect();
    if let SourceKind::Auto(platform) = &plan.kind {
        let Some(kind) = auto::settle(platform.clone(), &places, &stop).await else { return Ok(()) };
        board.settled(kind.label());
        plan.kind = kind;
        connectors = match plan.connectors() {
            Ok(connectors) => connectors,
            Err(error) => {
                auto::give_up(&places, error, &stop).await;
                return Ok(());
            }
        };
    }
    let renewer = matches!(plan.kind, SourceKind::Gateway(_)).then(|| Renewer::new(plan.renewal));
    let mut tasks = Tasks::new();
    for ((connector, place), number) in connectors.into_iter().zip(places).zip(0_u32..) {
        let index = number as usize;
        let stream = Stream {
            index,
            connector,
            place,
            sender: sender.clone(),
            idle_timeout: plan.idle_timeout,
            renewer: renewer.clone(),
            reports: Reports::new(index),
            stop: stop.clone(),
        };
        tasks.spawn("source stream", stream.run(START_STAGGER.saturating_mul(number)));
    }
    // The queue closes with the last stream.
    drop(sender);
    while let Some(joined) = tasks.join_next().await {
        joined?;
    }
    Ok(())
}

impl SourcePlan {
    fn connectors(&self) -> Result<Vec<Connector>, PlanError> {
        (0..self.streams.get()).map(|_| self.connector()).collect()
    }

    /// `Auto` counts as what it is when nothing else is named.
    fn connector(&self) -> Result<Connector, PlanError> {
        let (shard_id, kinds) = (self.shard_id.clone(), self.kinds);
        match &self.kind {
            SourceKind::Firehose(_) | SourceKind::Auto(_) if !kinds.any_in_v1() => {
                Err(PlanError::NothingInV1)
            }
            SourceKind::Grpc { .. } | SourceKind::Gateway(_) if !kinds.any_in_v2() => {
                Err(PlanError::NothingInV2)
            }
            SourceKind::Grpc { address, server_name, tls } => {
                let name = ServerName::try_from(server_name.clone())
                    .map_err(|_| PlanError::ServerName(server_name.clone()))?;
                Ok(Connector::Grpc(grpc::Connector::new(address.clone(), name, tls.clone(), shard_id, kinds)))
            }
            SourceKind::Gateway(platform) => {
                Ok(Connector::Gateway(gateway::Connector::new(platform.clone(), &shard_id, kinds)))
            }
            SourceKind::Firehose(platform) | SourceKind::Auto(platform) => {
                Ok(Connector::Firehose(firehose::Connector::new(platform.clone(), shard_id, kinds)))
            }
        }
    }
}

impl SourceKind {
    /// `grpc`, `gateway`, `firehose` or `auto`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Grpc { .. } => "grpc",
            Self::Gateway(_) => "gateway",
            Self::Firehose(_) => "firehose",
            Self::Auto(_) => "auto",
        }
    }
}
