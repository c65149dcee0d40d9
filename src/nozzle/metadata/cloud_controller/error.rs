//! Why a call brought nothing, and what follows from it.

use crate::nozzle::cf::CfError;
use crate::nozzle::cf::http::HttpFault;
use crate::nozzle::cf::token::TokenError;

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum CallError {
    /// Cloud Controller itself says that there is no such thing.
    #[error("{url}: not found")]
    NotFound { url: String },
    /// The request, or the client's right to make it, is refused: soon again is no use.
    #[error("{url} answered {status}: {reason}")]
    Refused { url: String, status: u16, reason: String },
    /// Anything that may pass: 5xx, 429, a token that is not taken, a 404 of something in between.
    #[error("{url} answered {status}, expected 200")]
    Failed { url: String, status: u16 },
    /// 200, but not with what the API answers: a page of something in between, an answer cut off.
    #[error("{url} answered 200 with {found}, expected an answer of the v3 API")]
    Unreadable { url: String, found: String },
    /// No answer, or no token to ask with.
    #[error(transparent)]
    Foundation(#[from] CfError),
    /// Not asked: the calls before brought no answer.
    #[error("the cloud controller does not answer, not asked")]
    Away,
}

impl CallError {
    /// Whether a smaller question may bring an answer.
    pub(in super::super) fn is_too_much(&self) -> bool {
        match self {
            Self::Failed { status, .. } => *status >= 500,
            Self::Unreadable { .. } => true,
            Self::Foundation(CfError::Http(error)) => {
                matches!(error.fault, HttpFault::Timeout | HttpFault::TooLarge { .. })
            }
            _ => false,
        }
    }

    /// Whether the next moment may bring what this one did not, and waiting for it has not taken long.
    pub(super) fn is_brief(&self) -> bool {
        match self {
            Self::Failed { .. } | Self::Unreadable { .. } => true,
            Self::Foundation(CfError::Http(error)) => {
                matches!(error.fault, HttpFault::Connect(_) | HttpFault::Exchange(_))
            }
            _ => false,
        }
    }

    /// Whether it will take more than a moment until asking again can help.
    pub(in super::super) fn is_lasting(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Refused { .. })
    }

    /// What an operator can do about it.
    pub(in super::super) fn next_step(&self) -> &'static str {
        match self {
            Self::Refused { status: 403, .. } => {
                "let the client of CLIENT_ID have cloud_controller.admin_read_only"
            }
            Self::Failed { status: 429, .. } => {
                "lower METADATA_RATE, or have the API's rate limit raised for the client of CLIENT_ID"
            }
            Self::Failed { status: 401, .. } => {
                "the API refuses the tokens of its UAA: see whether API_ENDPOINT is the right foundation, and the clocks and keys of API and UAA"
            }
            Self::Failed { status: 404, .. } => "see whether API_ENDPOINT is right and its route is there",
            Self::Unreadable { .. } => {
                "see what answers at API_ENDPOINT: a maintenance page, a proxy, a login page"
            }
            Self::Foundation(CfError::Token(TokenError::Credentials { .. } | TokenError::Refused { .. })) => {
                "check CLIENT_ID and CLIENT_SECRET; the client needs the grant type client_credentials"
            }
            Self::Foundation(_) => "look at the API and UAA, and at the network between; check API_ENDPOINT",
            Self::NotFound { .. } | Self::Refused { .. } | Self::Failed { .. } | Self::Away => {
                "look at the cloud controller's own log"
            }
        }
    }
}
