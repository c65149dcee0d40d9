//! One way to set up TLS for every client: Cloud Controller, UAA, Loggregator and Splunk.
//!
//! rustls with aws-lc-rs, and the ciphers of ring where they are faster; the system's trusted roots plus an optional CA file; a client
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

/// Makes [`provider`] the process's TLS provider; libraries that rely on a default need it, and panic without.
///
/// Call it first in `main` and in test set-up; further calls do nothing.
pub fn install_provider() {
    // An error only says that it is installed already.
    let _ = cryptography(Ciphers::for_this_cpu()).install_default();
}

/// The cryptography used everywhere in this crate.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(cryptography(Ciphers::for_this_cpu()))
}

/// Who enciphers records. Handshakes and signatures are always aws-lc-rs's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ciphers {
    AwsLc,
    Ring,
}

impl Ciphers {
    /// The faster ones for this CPU. Both use instructions for four blocks of AES at a time where there is AVX-512 (19 GB/s and
    /// more with aws-lc-rs). Where there is only their form for two blocks, aws-lc-rs does not know it, and takes twice the time.
    fn for_this_cpu() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("vaes") && has!("vpclmulqdq") && has!("avx2") && !has!("avx512vl") {
                return Self::Ring;
            }
        }
        Self::AwsLc
    }
}

/// The library's choice with AES-128 before AES-256, for peers that leave the choice to us: it is as safe for as long as a
/// connection lives, takes three quarters of the time, and is what the platform's own components prefer.
fn cryptography(ciphers: Ciphers) -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if ciphers == Ciphers::Ring {
        provider.cipher_suites = rustls::crypto::ring::ALL_CIPHER_SUITES.to_vec();
    }
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
    use std::io::{Read as _, Write as _};

    use rustls::{ClientConnection, Connection, ServerConfig, ServerConnection, SupportedCipherSuite};

    use super::*;
    use crate::sim::certs::Authority;

    const BOTH: [Ciphers; 2] = [Ciphers::AwsLc, Ciphers::Ring];

    #[test]
    fn the_cheaper_ciphers_are_offered_first_and_none_is_left_out() {
        let all = rustls::crypto::aws_lc_rs::default_provider().cipher_suites;
        for ciphers in BOTH {
            let offered: Vec<_> =
                cryptography(ciphers).cipher_suites.iter().map(SupportedCipherSuite::suite).collect();
            assert_eq!(offered[0], CipherSuite::TLS13_AES_128_GCM_SHA256);
            assert_eq!(offered[3], CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
            assert!(all.iter().all(|suite| offered.contains(&suite.suite())));
            assert_eq!(offered.len(), all.len());
        }
    }

    /// Moves what one side has to say to the other.
    fn pass(from: &mut Connection, to: &mut Connection) {
        let mut wire = Vec::new();
        while from.wants_write() {
            from.write_tls(&mut wire).unwrap();
        }
        let mut rest = &wire[..];
        while !rest.is_empty() {
            to.read_tls(&mut rest).unwrap();
            to.process_new_packets().unwrap();
        }
    }

    fn say(from: &mut Connection, to: &mut Connection) {
        let said = [7; 10_000];
        from.writer().write_all(&said).unwrap();
        pass(from, to);
        let mut heard = [0; 10_000];
        to.reader().read_exact(&mut heard).unwrap();
        assert_eq!(heard, said);
    }

    #[test]
    fn each_cipher_of_either_library_is_understood_by_the_other() {
        let authority = Authority::new("test authority").unwrap();
        let leaf = authority.server(&["localhost"]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let tls = ClientTls {
            ca_file: Some(authority.write_to(dir.path(), "ca").unwrap()),
            ..ClientTls::default()
        };
        let roots = tls.roots().unwrap();
        let mut seen = 0;
        for (ours, theirs) in BOTH.into_iter().flat_map(|ours| BOTH.map(|theirs| (ours, theirs))) {
            let chain = CertificateDer::pem_slice_iter(leaf.cert_pem.as_bytes()).collect::<Result<_, _>>();
            let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).unwrap();
            let server = ServerConfig::builder_with_provider(Arc::new(cryptography(theirs)))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(chain.unwrap(), key)
                .unwrap();
            let server = Arc::new(server);
            for suite in cryptography(ours).cipher_suites {
                // The certificate has a key on a curve.
                if format!("{:?}", suite.suite()).contains("RSA") {
                    continue;
                }
                let provider = CryptoProvider { cipher_suites: vec![suite], ..cryptography(ours) };
                let client = ClientConfig::builder_with_provider(Arc::new(provider))
                    .with_safe_default_protocol_versions()
                    .unwrap()
                    .with_root_certificates(roots.clone())
                    .with_no_client_auth();
                let name = ServerName::try_from("localhost").unwrap();
                let mut client = Connection::from(ClientConnection::new(Arc::new(client), name).unwrap());
                let mut server = Connection::from(ServerConnection::new(Arc::clone(&server)).unwrap());
                while client.is_handshaking() || server.is_handshaking() {
                    pass(&mut client, &mut server);
                    pass(&mut server, &mut client);
                }
                say(&mut client, &mut server);
                say(&mut server, &mut client);
                let used = server.negotiated_cipher_suite().map(|used| used.suite());
                assert_eq!(used, Some(suite.suite()), "{ours:?} to {theirs:?}");
                seen += 1;
            }
        }
        assert_eq!(seen, 4 * 6);
    }
}
