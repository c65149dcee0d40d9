//! What a health check and an empty request with the token find out.

use std::fmt;
use std::net::SocketAddr;

use http::StatusCode;
use serde::Serialize;

use super::classify::{Disposition, ResponseMode, TransportFailure};
use super::gate::{AWAY_NEXT_STEP, BUSY_NEXT_STEP};
use super::hold::HoldReason;
use super::pool::{Member, Site};

/// Whether an endpoint would take events.
///
/// A HEC checks the token before it finds that there is no data, so its complaint about that
/// (400, code 5) is good news. Whether it takes an index only an event can show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum Probe {
    /// The HEC is there and takes the token.
    Ready,
    /// The HEC is there, but busy for now.
    Busy {
        /// What it said.
        detail: String,
    },
    /// Only an operator can help; the reason names the next step.
    Refused {
        /// Why.
        reason: HoldReason,
        /// What it said.
        detail: String,
    },
    /// No reply.
    Unreachable {
        /// Why.
        detail: String,
    },
}

impl Probe {
    pub(crate) fn of_reply(
        disposition: Disposition,
        status: StatusCode,
        mode: ResponseMode,
        detail: String,
    ) -> Self {
        match disposition {
            Disposition::Accepted(_) | Disposition::Isolate { .. } | Disposition::FreshChannel => Self::Ready,
            // A compatible server words its refusal of an empty body as it likes.
            Disposition::Bisect if mode == ResponseMode::Lenient => Self::Ready,
            Disposition::Bisect => Self::Refused { reason: HoldReason::NotHec(status), detail },
            Disposition::Split | Disposition::WithoutGzip | Disposition::FreshToken => {
                Self::Refused { reason: HoldReason::Unexpected(status), detail }
            }
            Disposition::Hold(reason) => Self::Refused { reason, detail },
            Disposition::Retry { .. } => Self::Busy { detail },
        }
    }

    /// What was said, where something is wrong.
    pub(crate) fn detail(&self) -> Option<&str> {
        match self {
            Self::Ready => None,
            Self::Busy { detail } | Self::Refused { detail, .. } | Self::Unreachable { detail } => {
                Some(detail)
            }
        }
    }

    /// What an operator can do about it; nothing where nothing is wrong.
    pub fn next_step(&self) -> Option<&'static str> {
        match self {
            Self::Ready => None,
            Self::Busy { .. } => Some(BUSY_NEXT_STEP),
            Self::Unreachable { .. } => Some(AWAY_NEXT_STEP),
            Self::Refused { reason, .. } => Some(reason.next_step()),
        }
    }

    pub(crate) fn of_failure(failure: TransportFailure, detail: String) -> Self {
        match failure {
            TransportFailure::Certificate => Self::Refused { reason: HoldReason::Certificate, detail },
            TransportFailure::NotTls => Self::Refused { reason: HoldReason::NotTls, detail },
            TransportFailure::ProxyAuthentication => {
                Self::Refused { reason: HoldReason::ProxyAuthentication, detail }
            }
            TransportFailure::Unreachable | TransportFailure::Interrupted => Self::Unreachable { detail },
        }
    }
}

/// One endpoint, and what it said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Probed {
    /// Where events are posted to.
    pub url: String,
    /// The address behind it, if it is settled.
    pub address: Option<SocketAddr>,
    /// Of which site it is.
    pub site: Site,
    /// What it said.
    #[serde(flatten)]
    pub probe: Probe,
}

impl Probed {
    pub(crate) fn of(member: &Member, probe: Probe) -> Self {
        let endpoint = &member.endpoint;
        let (url, address) = (endpoint.url().to_owned(), endpoint.address());
        Self { url, address, site: member.target.site, probe }
    }
}

impl fmt::Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)?;
        if let Some(address) = self.address {
            write!(f, " ({address})")?;
        }
        match &self.probe {
            Probe::Ready => f.write_str(" takes the token"),
            Probe::Busy { detail } => write!(f, " is busy: {detail}"),
            Probe::Refused { detail, .. } => write!(f, " refuses: {detail}"),
            Probe::Unreachable { detail } => write!(f, " cannot be reached: {detail}"),
        }
    }
}
