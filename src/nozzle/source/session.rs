//! The kinds of streams as one: what [`Stream`](super::stream::Stream) needs to know of them.

use super::end::End;
use super::group::{Fill, Group};
use super::{firehose, gateway, grpc};
use crate::nozzle::queue::FrameKind;

/// Opens streams of one kind.
#[derive(Debug)]
pub(super) enum Connector {
    Grpc(grpc::Connector),
    Gateway(gateway::Connector),
    Firehose(firehose::Connector),
}

impl Connector {
    pub(super) fn frame_kind(&self) -> FrameKind {
        match self {
            Self::Grpc(_) => FrameKind::V2Batch,
            Self::Gateway(_) => FrameKind::GatewayBatch,
            Self::Firehose(_) => FrameKind::V1Envelope,
        }
    }

    pub(super) async fn connect(&self) -> Result<Session, End> {
        match self {
            Self::Grpc(connector) => {
                Box::pin(connector.connect()).await.map(|session| Session::Grpc(Box::new(session)))
            }
            Self::Gateway(connector) => {
                Box::pin(connector.connect()).await.map(|session| Session::Gateway(Box::new(session)))
            }
            Self::Firehose(connector) => {
                Box::pin(connector.connect()).await.map(|session| Session::Firehose(Box::new(session)))
            }
        }
    }
}

/// An open stream of one kind.
#[derive(Debug)]
pub(super) enum Session {
    Grpc(Box<grpc::Session>),
    Gateway(Box<gateway::Session>),
    Firehose(Box<firehose::Session>),
}

impl Session {
    pub(super) fn address(&self) -> &str {
        match self {
            Self::Grpc(session) => session.address(),
            Self::Gateway(session) => session.address(),
            Self::Firehose(session) => session.address(),
        }
    }

    /// Waits for frames and adds all that are ready; none is a sign of life. Cancel safe.
    pub(super) async fn read(&mut self, group: &mut Group) -> Result<Fill, End> {
        match self {
            Self::Grpc(session) => session.read(group).await,
            Self::Gateway(session) => session.read(group).await,
            Self::Firehose(session) => session.read(group).await,
        }
    }

    /// Takes leave of the server; gives up after [`CLOSE_TIMEOUT`](super::stream::CLOSE_TIMEOUT).
    /// Frames that still come go to `late`.
    pub(super) async fn close(self, late: impl FnMut(Group)) {
        match self {
            Self::Grpc(session) => session.close().await,
            Self::Gateway(session) => session.close().await,
            Self::Firehose(session) => session.close(late).await,
        }
    }
}
