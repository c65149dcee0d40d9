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
//! - Beside them, v2 sources get a watch stream, which asks for a copy of what the platform tells of its losses
//!   and of its life. What it brings is read on the spot ([`upstream`](crate::nozzle::upstream)) and never queued; its failure
//!   stops nothing.
//! - The old connection is closed before the new one is opened; except that a stream which the
//!   platform is going to end for its age is renewed before (`renewal`).
//! - Where to read from follows from the configuration and the API root alone, never from a failure
//!   (`auto`).
//!
//! Not done here: decoding, and counting envelopes.

mod auto;
mod board;
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
mod slabs;
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

use self::board::{Board, Place};
pub use self::end::{End, Severity};
use self::idle::Pulse;
pub use self::renewal::Renewal;
use self::renewal::Renewer;
use self::report::Reports;
pub use self::selectors::SelectorKinds;
use self::selectors::Wanted;
use self::session::Connector;
pub use self::status::{LastEnd, SourcesStatus, StreamState, StreamStatus, WatchStatus};
use self::stream::{Sink, Stream, StreamName};
use crate::nozzle::cf::Foundation;
use crate::nozzle::queue::FrameSender;
use crate::nozzle::upstream::watch::Watch;
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
    /// Who reads the watch stream; without it there is none. v1 has none in any case.
    pub watch: Option<Arc<Watch>>,
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
            SourceKind::Auto(_) => Connectors::default(),
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
    mut connectors: Connectors,
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
    let mut tasks = Tasks::new();
    let mut start_after = Duration::ZERO;
    for stream in streams(&plan, connectors, places, &board, sender, &stop) {
        tasks.spawn("source stream", stream.run(start_after));
        start_after += START_STAGGER;
    }
    while let Some(joined) = tasks.join_next().await {
        joined?;
    }
    Ok(())
}

/// The streams of a plan, the watch stream last. The queue closes with the last one that has its `sender`.
fn streams(
    plan: &SourcePlan,
    connectors: Connectors,
    places: Vec<Place>,
    board: &Arc<Board>,
    sender: FrameSender,
    stop: &CancellationToken,
) -> Vec<Stream> {
    let renewer = matches!(plan.kind, SourceKind::Gateway(_)).then(|| Renewer::new(plan.renewal));
    // A gateway's stream is never silent: its heartbeats do not depend on what is selected.
    let may_be_silent = matches!(plan.kind, SourceKind::Grpc { .. });
    let (data, watch) = (Pulse::default(), Pulse::default());
    let stream = |name, connector, place, sink| Stream {
        name,
        connector,
        sink,
        place,
        idle_timeout: plan.idle_timeout,
        pulse: data.clone(),
        elsewhere: may_be_silent.then(|| watch.clone()),
        renewer: renewer.clone(),
        reports: Reports::new(name),
        stop: stop.clone(),
    };
    let mut streams: Vec<_> = (connectors.data.into_iter().zip(places).enumerate())
        .map(|(index, (connector, place))| {
            stream(StreamName::Data(index), connector, place, Sink::Queue(sender.clone()))
        })
        .collect();
    if let Some((connector, reader)) = connectors.watch.zip(plan.watch.clone()) {
        let place = Place::of_watch(board, &reader);
        let of_watch = stream(StreamName::Watch, connector, place, Sink::Watch(reader));
        streams.push(Stream {
            pulse: watch.clone(),
            elsewhere: may_be_silent.then(|| data.clone()),
            // Old and new would both get a copy; what comes between the two is in the next sums.
            renewer: None,
            ..of_watch
        });
    }
    streams
}

/// What opens the streams of a plan.
#[derive(Debug, Default)]
struct Connectors {
    data: Vec<Connector>,
    watch: Option<Connector>,
}

impl SourcePlan {
    fn connectors(&self) -> Result<Connectors, PlanError> {
        let wanted = Wanted::Share { shard_id: self.shard_id.clone(), kinds: self.kinds };
        let data = (0..self.streams.get()).map(|_| self.connector(&wanted)).collect::<Result<_, _>>()?;
        let watched =
            self.watch.is_some() && matches!(self.kind, SourceKind::Grpc { .. } | SourceKind::Gateway(_));
        let watch = watched.then(|| self.connector(&Wanted::Watch)).transpose()?;
        Ok(Connectors { data, watch })
    }

    /// `Auto` counts as what it is when nothing else is named.
    fn connector(&self, wanted: &Wanted) -> Result<Connector, PlanError> {
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
                Ok(Connector::Grpc(grpc::Connector::new(address.clone(), name, tls.clone(), wanted)))
            }
            SourceKind::Gateway(platform) => {
                Ok(Connector::Gateway(gateway::Connector::new(platform.clone(), wanted)))
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
