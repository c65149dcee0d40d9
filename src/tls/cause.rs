//! Says in plain words why a TLS connection failed, and what there is to do about it.

use std::error::Error;
use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};
use time::OffsetDateTime;

/// Finds the TLS error behind another error, if there is one.
pub fn find<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An I/O error names the source of what it wraps as its own source: look inside first.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The cause in words for an operator.
pub fn explain(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(cause) => explain_certificate(cause),
        rustls::Error::AlertReceived(alert) => explain_alert(*alert),
        rustls::Error::InvalidMessage(_) => {
            "the peer does not speak TLS on this port; check the address and the port".to_owned()
        }
        rustls::Error::NoApplicationProtocol => {
            "the peer speaks none of the offered protocols; check the address and the port".to_owned()
        }
        other => other.to_string(),
    }
}

fn explain_certificate(cause: &CertificateError) -> String {
    match cause {
        CertificateError::Expired => "the server's certificate has expired".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the server's certificate expired on {} (this host's clock says {})",
            date(*not_after),
            date(*time)
        ),
        CertificateError::NotValidYet => "the server's certificate is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the server's certificate is not valid before {} (this host's clock says {})",
            date(*not_before),
            date(*time)
        ),
        CertificateError::UnknownIssuer => {
            "the server's certificate is signed by an unknown CA; configure the CA file it belongs to"
                .to_owned()
        }
        CertificateError::NotValidForName => {
            "the server's certificate is for another name than the expected one".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } if presented.is_empty() => format!(
            "the server's certificate has only a common name, no subject alternative name, \
             so it cannot be matched with {:?}; have it issued again",
            expected.to_str()
        ),
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "the server's certificate is not for the expected name {:?} but for {}",
            expected.to_str(),
            presented.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ")
        ),
        CertificateError::BadSignature => {
            "the server's certificate names a trusted CA but is not signed by its key; \
             the CA was made anew, configure its present certificate"
                .to_owned()
        }
        CertificateError::Revoked => "the server's certificate is revoked".to_owned(),
        other => format!("the server's certificate is not acceptable: {other}"),
    }
}

/// A name out of the TLS library's notation of it, such as `DnsName("a.example")`.
fn plain(presented: &str) -> &str {
    let inner = presented.split_once('(').and_then(|(_, inner)| inner.strip_suffix(')'));
    inner.unwrap_or(presented).trim_matches('"')
}

fn explain_alert(alert: AlertDescription) -> String {
    let words = match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            "the server requires a client certificate; configure one with its key"
        }
        AlertDescription::UnknownCA => "the server does not know the CA of the client certificate",
        AlertDescription::CertificateExpired => "the server says the client certificate has expired",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateRevoked
        | AlertDescription::DecryptError
        | AlertDescription::AccessDenied => "the server does not accept the client certificate",
        AlertDescription::HandshakeFailure => {
            "the server found nothing in common to talk with, or requires a client certificate"
        }
        AlertDescription::ProtocolVersion => "the server speaks neither TLS 1.2 nor TLS 1.3",
        AlertDescription::UnrecognisedName => "the server does not know the name it was asked for",
        AlertDescription::NoApplicationProtocol => {
            "the server speaks none of the offered protocols; check the address and the port"
        }
        _ => "the server ended the TLS handshake",
    };
    format!("{words} (TLS alert {alert:?})")
}

fn date(time: UnixTime) -> String {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .map_or_else(|| "a date out of range".to_owned(), |time| time.date().to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::ServerName;

    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn each_cause_has_words() {
        let name = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("reverselogproxy").unwrap(),
            presented: presented.iter().map(|&name| name.to_owned()).collect(),
        };
        let expired =
            CertificateError::ExpiredContext { time: at(1_700_000_000), not_after: at(1_600_000_000) };
        let cases = [
            (rustls::Error::InvalidCertificate(expired), "expired on 2020-09-13"),
            (rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer), "unknown CA"),
            (rustls::Error::InvalidCertificate(CertificateError::BadSignature), "not signed by its key"),
            (
                rustls::Error::InvalidCertificate(name(&["DnsName(\"a\")", "IpAddress(::1)", "b"])),
                "\"reverselogproxy\" but for a, ::1, b",
            ),
            (rustls::Error::InvalidCertificate(name(&[])), "only a common name, no subject alternative name"),
            (
                rustls::Error::AlertReceived(AlertDescription::CertificateRequired),
                "requires a client certificate",
            ),
            (rustls::Error::AlertReceived(AlertDescription::UnknownCA), "CA of the client certificate"),
        ];
        for (error, words) in cases {
            let text = explain(&error);
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_tls_error_is_found_inside_io_errors() {
        let tls = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        let nested = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls.clone()));
        assert_eq!(find(&nested), Some(&tls));
        assert_eq!(find(&io::Error::other("something else")), None);
    }
}
