//! One way to set up TLS for every client: Cloud Controller, UAA, Loggregator and Splunk.
//!
//! rustls with aws-lc-rs; the system's trusted roots plus an optional CA file; a client
//! certificate where the peer asks for one. Certificates are matched by their subject
//! alternative names: the common name alone, as old test certificates have it, never matches.

pub mod cause;
mod kept;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CipherSuite, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

pub use self::kept::KeptTls;

/// Why a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file is missing, unreadable, or holds nothing usable.
    #[error("cannot read {what} from {path}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: pem::Error,
    },
    /// A certificate was read but rustls refuses it.
    #[error("{path} is not usable as {what}")]
    Unusable {
        /// What it was to be used as.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: rustls::Error,
    },
    /// The system has no trusted roots and no CA file is configured.
    #[error("the system has no trusted CA certificates; install ca-certificates or configure a CA file")]
    NoRoots,
}

/// Whether the peer's certificate is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// Chain, name and validity are checked.
    #[default]
    Full,
    /// Nothing is checked: anyone in between can read and change the traffic.
    Skip,
}

/// A client certificate and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate chain, leaf first.
    pub cert_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
}

/// What a client needs to know to set up TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Trusted beside the system's roots.
    pub ca_file: Option<PathBuf>,
    /// Presented when the server asks.
    pub identity: Option<Identity>,
    /// Whether the server's certificate is checked.
    pub verification: Verification,
}

impl ClientTls {
    /// Reads the files and builds a rustls configuration, without ALPN.
    ///
    /// # Errors
    /// A file that cannot be read or used, or no trusted roots at all.
    pub fn rustls(&self) -> Result<ClientConfig, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|source| self.unusable("TLS versions", Path::new("built in"), source))?;
        let builder = match self.verification {
            Verification::Full => builder.with_root_certificates(self.roots()?),
            Verification::Skip => builder.dangerous().with_custom_certificate_verifier(Arc::new(
                NoVerification(provider().signature_verification_algorithms),
            )),
        };
        let Some(identity) = &self.identity else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = read_certificates("a client certificate", &identity.cert_file)?;
        let key = PrivateKeyDer::from_pem_file(&identity.key_file).map_err(|source| TlsError::Pem {
            what: "a private key",
            path: identity.key_file.clone(),
            source,
        })?;
        builder
            .with_client_auth_cert(chain, key)
            .map_err(|source| self.unusable("a client certificate", &identity.cert_file, source))
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        // A root the library cannot parse is no reason to trust none: the rest is used.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = &self.ca_file {
            for certificate in read_certificates("CA certificates", path)? {
                roots.add(certificate).map_err(|source| self.unusable("a CA certificate", path, source))?;
            }
        }
        if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
    }

    fn unusable(&self, what: &'static str, path: &Path, source: rustls::Error) -> TlsError {
        TlsError::Unusable { what, path: path.to_path_buf(), source }
    }
}

/// Makes aws-lc-rs the process's TLS provider; libraries that rely on a default need it.
///
/// Call it first in `main` and in test set-up; further calls do nothing.
pub fn install_provider() {
    // An error only says that it is installed already.
    let _ = cryptography().install_default();
}

/// The cryptography used everywhere in this crate.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(cryptography())
}

/// The library's choice with AES-128 before AES-256, for peers that leave the choice to us: it is as safe for as long as a
/// connection lives, takes three quarters of the time, and is what the platform's own components prefer.
fn cryptography() -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // Stable: what is alike stays in its order.
    provider.cipher_suites.sort_by_key(|suite| match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => 0,
        CipherSuite::TLS13_AES_256_GCM_SHA384 | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => 1,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 2,
        _ => 3,
    });
    provider
}

fn read_certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrap = |source| TlsError::Pem { what, path: path.to_path_buf(), source };
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(wrap)?.collect::<Result<_, _>>().map_err(wrap)?;
    if certificates.is_empty() { Err(wrap(pem::Error::NoItemsFound)) } else { Ok(certificates) }
}

/// Accepts any certificate; signatures are still checked, so a broken peer is still noticed.
#[derive(Debug)]
struct NoVerification(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheaper_ciphers_are_offered_first_and_none_is_left_out() {
        let offered: Vec<_> = provider().cipher_suites.iter().map(|suite| suite.suite()).collect();
        assert_eq!(offered[0], CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(offered[3], CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
        let all = rustls::crypto::aws_lc_rs::default_provider().cipher_suites;
        assert!(all.iter().all(|suite| offered.contains(&suite.suite())));
        assert_eq!(offered.len(), all.len());
    }
}
