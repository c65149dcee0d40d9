//! What an error of the HTTP library says: sorted, and in words.

use std::error::Error as _;
use std::io;

use rustls::AlertDescription;

use crate::causes::chain;
use crate::hec::classify::TransportFailure;

/// The most characters of an error's text that are kept.
const ERROR_CHARS_MAX: usize = 400;

/// The HTTP library's words for a tunnel that a proxy refused with 407.
const TUNNEL_REFUSED: &str = "proxy authorization required";

/// Sorts an error by what it says about the data.
pub(super) fn sort(error: &reqwest::Error) -> TransportFailure {
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            TransportFailure::Certificate
        }
        Some(rustls::Error::AlertReceived(alert)) if refuses_certificate(*alert) => {
            TransportFailure::Certificate
        }
        Some(rustls::Error::InvalidMessage(_)) if error.is_connect() => TransportFailure::NotTls,
        // The library has a type for it, which it keeps to itself.
        _ if error.is_connect() && chain(error).contains(TUNNEL_REFUSED) => {
            TransportFailure::ProxyAuthentication
        }
        _ if error.is_connect() || error.is_builder() => TransportFailure::Unreachable,
        _ => TransportFailure::Interrupted,
    }
}

fn refuses_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
    )
}

/// The TLS error among the causes. An `io::Error` hides what it wraps from `source`.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause = error.source();
    while let Some(current) = cause {
        if let Some(tls) = current.downcast_ref() {
            return Some(tls);
        }
        cause = match current.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => current.source(),
        };
    }
    None
}

/// The causes in one line, each said once.
pub(super) fn words(error: &reqwest::Error) -> String {
    chain(error).chars().take(ERROR_CHARS_MAX).collect()
}
