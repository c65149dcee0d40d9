//! Why an endpoint is held: nothing is wrong with the data, and only an operator can help.
//!
//! While it is held all data is kept and the endpoint is asked again every so often. Each reason
//! names the next step for whoever reads the log.

use http::StatusCode;
use serde::{Serialize, Serializer};

use super::reply::HecCode;

/// A refusal that is not about the data sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// The token is unknown, disabled, malformed or missing.
    Token {
        /// HTTP status.
        status: StatusCode,
        /// HEC code, where the body had one.
        code: Option<HecCode>,
    },
    /// The reply asks for a data channel, and the one sent is not accepted either.
    Channel,
    /// Acknowledgement is required, and the HEC does not offer it for this token.
    NoAcks,
    /// Acknowledgement is required, and requests of one channel meet several servers.
    AcksScattered,
    /// A redirect; it is never followed.
    Redirect(StatusCode),
    /// There is no HEC at this path, or not for this method.
    WrongPath(StatusCode),
    /// A proxy in between wants to be authenticated to.
    ProxyAuthentication,
    /// Even an uncompressed JSON body is not accepted.
    MediaType,
    /// A 2xx whose body is not a success of HEC.
    NotHec(StatusCode),
    /// Single events are refused with 400 or 413 by something that does not answer as HEC does,
    /// and nothing was taken since.
    RefusesAll(StatusCode),
    /// Any other status that no retry will cure.
    Unexpected(StatusCode),
    /// The server's certificate is not trusted, or it does not accept ours.
    Certificate,
    /// The server does not speak TLS on this port.
    NotTls,
}

impl HoldReason {
    /// What an operator can do about it.
    pub fn next_step(self) -> &'static str {
        match self {
            Self::Token { .. } => {
                "check the HEC token: it must exist and be enabled on every node behind this URL, and HEC itself must be enabled"
            }
            Self::Channel => {
                "turn off indexer acknowledgement for this token, or check what removes the X-Splunk-Request-Channel header"
            }
            Self::NoAcks => {
                "turn on indexer acknowledgement for the token on every node behind this URL, or set HEC_ACK to auto or off"
            }
            Self::AcksScattered => {
                "name every indexer in SPLUNK_HOST, or make the load balancer stick by cookie; or set HEC_ACK to auto or off"
            }
            Self::Redirect(_) => {
                "use the URL of the HEC itself (https, port 8088 by default); redirects are not followed"
            }
            Self::WrongPath(_) => {
                "check host, port and path of the URL: the HEC listens on port 8088 by default, not on Splunk's web or management port"
            }
            Self::ProxyAuthentication => {
                "give the proxy's credentials in its address (HTTPS_PROXY, HTTP_PROXY), or name the HEC's host in NO_PROXY"
            }
            Self::MediaType => {
                "something in between refuses JSON bodies; check proxies and web application firewalls"
            }
            Self::NotHec(_) => {
                "check that the URL is a HEC's; for a compatible server that is not Splunk choose lenient responses"
            }
            Self::RefusesAll(_) => {
                "check that the URL is a HEC's and that its scheme (http or https) is right, and look into the log of the gateway in front of it, if any: the replies are not a HEC's"
            }
            Self::Unexpected(_) => "look for a proxy or gateway between here and the HEC, and into its log",
            Self::Certificate => {
                "check the server's certificate (name, validity, issuer) and the CA file; for mutual TLS check the client certificate"
            }
            Self::NotTls => "use http:// or the TLS port of the HEC: this port does not speak TLS",
        }
    }
}

impl std::fmt::Display for HoldReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token { status, code: Some(code) } => {
                write!(f, "token refused with status {} and code {code}", status.as_u16())
            }
            Self::Token { status, code: None } => write!(f, "token refused with status {}", status.as_u16()),
            Self::Channel => write!(f, "data channel refused"),
            Self::NoAcks => write!(f, "no indexer acknowledgement for the token"),
            Self::AcksScattered => write!(f, "ack ids of one channel come from several servers"),
            Self::Redirect(status) => write!(f, "redirected with status {}", status.as_u16()),
            Self::WrongPath(status) => write!(f, "no HEC at this URL, status {}", status.as_u16()),
            Self::ProxyAuthentication => write!(f, "a proxy wants authentication"),
            Self::MediaType => write!(f, "uncompressed JSON refused with status 415"),
            Self::NotHec(status) => {
                write!(f, "status {} without the success reply of a HEC", status.as_u16())
            }
            Self::RefusesAll(status) => write!(f, "single events refused with a bare {}", status.as_u16()),
            Self::Unexpected(status) => write!(f, "unexpected status {}", status.as_u16()),
            Self::Certificate => write!(f, "certificate not accepted"),
            Self::NotTls => write!(f, "the server does not speak TLS"),
        }
    }
}

impl Serialize for HoldReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
