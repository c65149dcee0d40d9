//! The server's side of TLS.

use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use crate::tls::provider;

/// What the server shows and asks for. Build it from PEM text.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
}

/// Whose certificates a client may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates<'a> {
    /// None are asked for.
    NotAsked,
    /// One is welcome if it is signed by a certificate in this PEM text.
    Optional(&'a str),
    /// None, no service.
    Required(&'a str),
}

/// Protocol versions offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.2 and 1.3.
    #[default]
    All,
    /// 1.2 alone.
    Only12,
}

/// Why the server's TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ServerTlsError {
    /// PEM text that does not hold what is needed.
    #[error("no usable {what} in the PEM text")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// The cause.
        #[source]
        source: pem::Error,
    },
    /// The certificate, its key or the versions do not go together.
    #[error("the certificate and its key are not usable together")]
    Identity(#[source] rustls::Error),
    /// A client CA certificate is refused.
    #[error("the client CA certificates are not usable")]
    ClientCa(#[source] VerifierBuilderError),
}

impl ServerTls {
    /// A server with this certificate chain, leaf first, and its key.
    ///
    /// # Errors
    /// PEM text that does not hold what it should, or parts that do not fit.
    pub fn from_pem(
        chain: &str,
        key: &str,
        clients: ClientCertificates<'_>,
        versions: TlsVersions,
    ) -> Result<Self, ServerTlsError> {
        let certificates = certificates("certificate chain", chain)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|source| ServerTlsError::Pem { what: "private key", source })?;
        let versions = match versions {
            TlsVersions::All => rustls::ALL_VERSIONS,
            TlsVersions::Only12 => &[&rustls::version::TLS12],
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(ServerTlsError::Identity)?;
        let builder = match clients {
            ClientCertificates::NotAsked => builder.with_no_client_auth(),
            ClientCertificates::Optional(ca) => builder.with_client_cert_verifier(
                verifier(ca)?.allow_unauthenticated().build().map_err(ServerTlsError::ClientCa)?,
            ),
            ClientCertificates::Required(ca) => {
                builder.with_client_cert_verifier(verifier(ca)?.build().map_err(ServerTlsError::ClientCa)?)
            }
        };
        let mut config = builder.with_single_cert(certificates, key).map_err(ServerTlsError::Identity)?;
        // splunkd's HEC port speaks HTTP/1.1 only.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config) })
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}

fn verifier(ca: &str) -> Result<rustls::server::ClientCertVerifierBuilder, ServerTlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("client CA certificate", ca)? {
        let refused = |error| ServerTlsError::Identity(error);
        roots.add(certificate).map_err(refused)?;
    }
    Ok(WebPkiClientVerifier::builder_with_provider(roots.into(), provider()))
}

fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, ServerTlsError> {
    let wrap = |source| ServerTlsError::Pem { what, source };
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(wrap)?;
    if found.is_empty() { Err(wrap(pem::Error::NoItemsFound)) } else { Ok(found) }
}
