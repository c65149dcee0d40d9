//! Why a call brought nothing, and what follows from it.

use crate::nozzle::cf::CfError;
use crate::nozzle::cf::http::HttpFault;

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum CallError {
    /// Cloud Controller itself says that there is no such thing.
    #[error("{url}: not found")]
    NotFound { url: String },
    /// The request, or the client's right to make it, is refused: soon again is no use.
    #[error("{url} answered {status}: {reason}")]
    Refused { url: String, status: u16, reason: String },
    /// Anything that may pass: 5xx, a broken answer.
    #[error("{url} answered {status}, expected 200 and JSON")]
    Failed { url: String, status: u16 },
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
            Self::Foundation(CfError::Http(error)) => {
                matches!(error.fault, HttpFault::Timeout | HttpFault::TooLarge { .. })
            }
            _ => false,
        }
    }

    /// Whether the next moment may bring what this one did not, and waiting for it has not taken long.
    pub(super) fn is_brief(&self) -> bool {
        match self {
            Self::Failed { .. } => true,
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
}
