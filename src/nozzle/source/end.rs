//! Why a stream ended, in words that tell an operator the next step.

use std::time::Duration;

use super::PlanError;
use crate::causes::chain;
use crate::tls::TlsError;

/// The most of a peer's own text that is kept.
const PEER_TEXT_BYTES_MAX: usize = 512;

/// Why a stream ended, or never came about.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The nozzle is stopping.
    #[error("stopped")]
    Stopped,
    /// The server ended the stream in good order.
    #[error("the server ended the stream in good order")]
    Completed,
    /// The gateway ended the stream because of its age.
    #[error("the gateway closed the stream, as it does with each after some minutes")]
    Closing,
    /// A new stream took this one's place before the gateway ended it.
    #[error("replaced by a new stream, before the gateway would have ended it")]
    Renewed,
    /// Nothing of what is wanted is carried by the source.
    #[error("{0}")]
    NothingSelected(PlanError),
    /// The server says it is unavailable.
    #[error("the server is unavailable: {0}")]
    Unavailable(String),
    /// The server has as many streams as it may have.
    #[error("the server takes no more streams: {0}")]
    ResourceExhausted(String),
    /// The server does not accept who we are.
    #[error("the server refused the credentials: {0}")]
    Unauthorized(String),
    /// The server does not accept what we ask for.
    #[error("the server refused the request: {0}")]
    Refused(String),
    /// Nothing came for too long.
    #[error("no frame, ping or heartbeat for {} s", .0.as_secs())]
    Idle(Duration),
    /// The server closed the websocket.
    #[error("the server closed the stream with code {code} {reason:?}")]
    Closed {
        /// The websocket close code; 1005 when the server sent none.
        code: u16,
        /// The server's words.
        reason: String,
    },
    /// The connection was cut without a close frame.
    #[error("the connection was cut without a close frame")]
    Cut,
    /// The connection was cut inside a frame.
    #[error("the connection was cut in the middle of a frame")]
    CutInFrame,
    /// The connection broke.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// A message is larger than what is accepted.
    #[error("a message is too large: {0}")]
    TooLarge(String),
    /// The peer broke the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// The TLS files cannot be used.
    #[error("{}", chain(.0))]
    TlsFiles(TlsError),
    /// TLS failed.
    #[error("TLS with {address} failed: {cause}")]
    Tls {
        /// Whom with.
        address: String,
        /// Why, in plain words.
        cause: String,
    },
    /// No connection came about.
    #[error("cannot connect to {address}: {cause}")]
    Connect {
        /// Where to.
        address: String,
        /// Why not.
        cause: String,
    },
    /// A proxy on the way does not let us through.
    #[error("the proxy {proxy} opens no tunnel to {address}: {cause}")]
    Proxy {
        /// The proxy.
        proxy: String,
        /// Where to.
        address: String,
        /// The proxy's words.
        cause: String,
    },
    /// The foundation does not say where its firehose is.
    #[error("{0}")]
    Discovery(String),
    /// The foundation has no v1 firehose.
    #[error("the API root names no firehose: the v1 firehose is switched off on this foundation")]
    NoFirehose,
    /// The foundation has no RLP gateway.
    #[error("the API root names no log_stream: this foundation has no RLP gateway")]
    NoGateway,
    /// There is no token to show.
    #[error("no token for the firehose: {0}")]
    Token(String),
}

/// Who has to do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Part of normal life.
    Normal,
    /// Heals by itself.
    Degraded,
    /// Stays until an operator acts.
    Operator,
}

impl End {
    /// The name used in logs, metrics and the status page.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Completed => "completed",
            Self::Closing => "closing",
            Self::Renewed => "renewed",
            Self::NothingSelected(_) => "nothing_selected",
            Self::Unavailable(_) => "unavailable",
            Self::ResourceExhausted(_) => "resource_exhausted",
            Self::Unauthorized(_) => "unauthorized",
            Self::Refused(_) => "refused",
            Self::Idle(_) => "idle",
            Self::Closed { .. } => "closed",
            Self::Cut => "cut",
            Self::CutInFrame => "cut_in_frame",
            Self::Lost(_) => "lost",
            Self::TooLarge(_) => "too_large",
            Self::Protocol(_) => "protocol",
            Self::TlsFiles(_) => "tls_files",
            Self::Tls { .. } => "tls",
            Self::Connect { .. } => "connect",
            Self::Proxy { .. } => "proxy",
            Self::Discovery(_) => "discovery",
            Self::NoFirehose => "no_firehose",
            Self::NoGateway => "no_gateway",
            Self::Token(_) => "token",
        }
    }

    /// Who has to do something about it.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Stopped | Self::Completed | Self::Closing | Self::Renewed => Severity::Normal,
            Self::Closed { code: 1000 | 1001, .. } => Severity::Normal,
            Self::ResourceExhausted(_)
            | Self::Unauthorized(_)
            | Self::Refused(_)
            | Self::TooLarge(_)
            | Self::TlsFiles(_)
            | Self::Tls { .. }
            | Self::Proxy { .. }
            | Self::NothingSelected(_)
            | Self::NoFirehose
            | Self::NoGateway
            | Self::Token(_) => Severity::Operator,
            Self::Unavailable(_)
            | Self::Idle(_)
            | Self::Closed { .. }
            | Self::Cut
            | Self::CutInFrame
            | Self::Lost(_)
            | Self::Protocol(_)
            | Self::Discovery(_)
            | Self::Connect { .. } => Severity::Degraded,
        }
    }

    /// What to look at if it does not heal.
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::Stopped | Self::Completed => "nothing to do: the server restarts or is replaced",
            Self::Closing | Self::Renewed => "nothing to do: the next stream is opened at once",
            Self::NothingSelected(_) => {
                "name a type in EVENTS that the source carries, or set LOGGREGATOR_SOURCE"
            }
            Self::Unavailable(_) => "if it stays, look at the health of the reverse log proxies",
            Self::ResourceExhausted(_) => {
                "raise the reverse log proxy's max_egress_streams, add proxies, or lower LOGGREGATOR_STREAMS"
            }
            Self::Unauthorized(_) => {
                "give the client the authority doppler.firehose (v1, gateway), or a certificate of the proxy's CA \
                 (gRPC)"
            }
            Self::Refused(_) => "check FIREHOSE_SUBSCRIPTION_ID, EVENTS and the address of the source",
            Self::Idle(_) => {
                "replaced by a new stream; if it repeats, the platform sends nothing, or a router is gone"
            }
            Self::Closed { code: 1008, .. } => {
                "the server missed our pongs; if it repeats, the nozzle lacks CPU or the network is slow"
            }
            Self::Closed { .. } => "reconnecting; if it repeats, look at the traffic controller's log",
            Self::Cut | Self::CutInFrame => {
                "the traffic controller cuts slow readers; if it repeats, give the nozzle CPU or instances"
            }
            Self::Lost(_) => "reconnecting; if it repeats, look at the network and load balancers between",
            Self::TooLarge(_) => "report this: the platform sends messages larger than any known one",
            Self::Protocol(_) => "check that the address is the one of a Loggregator source",
            Self::TlsFiles(_) => "check the files RLP_CA_FILE, RLP_CERT_FILE, RLP_KEY_FILE or CF_CA_FILE",
            Self::Tls { .. } => "check the certificates on both sides and the expected server name",
            Self::Connect { .. } => "check the address, and that security groups let the nozzle reach it",
            Self::Discovery(_) => "check API_ENDPOINT, and that the Cloud Controller is up",
            Self::Proxy { .. } => "check HTTPS_PROXY and its credentials, or name the host in NO_PROXY",
            Self::NoFirehose => "set LOGGREGATOR_SOURCE=gateway, or RLP_ADDRESS, to read from another source",
            Self::NoGateway => "set LOGGREGATOR_SOURCE=firehose, or RLP_ADDRESS, to read from another source",
            Self::Token(_) => "check API_ENDPOINT, CLIENT_ID, CLIENT_SECRET and that UAA is reachable",
        }
    }
}

/// A peer's own words, fit for one line of a log.
pub(super) fn peer_text(text: &str) -> String {
    let printable = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut kept = String::new();
    for c in printable {
        if kept.len() + c.len_utf8() > PEER_TEXT_BYTES_MAX {
            kept.push('…');
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_cannot_flood_or_forge_the_log() {
        assert_eq!(peer_text(" no \r\n\x1b[31mway "), "no    [31mway");
        let long = peer_text(&"ü".repeat(PEER_TEXT_BYTES_MAX));
        assert_eq!(long.chars().count(), PEER_TEXT_BYTES_MAX / 2 + 1);
    }
}
