//! Throw-away certificates for the simulated peers: one authority, any number of leaves.
//!
//! Keys live in memory and in the files a caller asks for; nothing here is meant to protect
//! anything. ECDSA P-256, because making RSA keys would slow every test down.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::tls;

/// Why a certificate could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// The certificate library refused the request.
    #[error("cannot make a certificate for {name}")]
    Make {
        /// Whom the certificate is for.
        name: String,
        /// The cause.
        #[source]
        source: rcgen::Error,
    },
    /// A PEM text holds nothing usable.
    #[error("cannot read {what} from its PEM text")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// The cause.
        #[source]
        source: pem::Error,
    },
    /// The TLS library refused the certificate, the key or the client authority.
    #[error("cannot use the certificate for a TLS server: {0}")]
    Unusable(String),
}

/// A certificate authority that exists only for this process.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority with a fresh key.
    ///
    /// # Errors
    /// The certificate library fails; it has no ordinary reason to.
    pub fn new(name: &str) -> Result<Self, CertError> {
        let wrap = |source| CertError::Make { name: name.to_owned(), source };
        let key = KeyPair::generate().map_err(wrap)?;
        let mut params = CertificateParams::new(Vec::new()).map_err(wrap)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).map_err(wrap)?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    /// The authority's own certificate, to be trusted by peers.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A server certificate for DNS names and IP addresses (`["localhost", "127.0.0.1"]`).
    ///
    /// # Errors
    /// A name that is neither.
    pub fn server(&self, names: &[&str]) -> Result<Leaf, CertError> {
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth, Validity::Now)
    }

    /// A server certificate that ended years ago.
    ///
    /// # Errors
    /// As [`Authority::server`].
    pub fn expired_server(&self, names: &[&str]) -> Result<Leaf, CertError> {
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth, Validity::Past)
    }

    /// A client certificate.
    ///
    /// # Errors
    /// As [`Authority::server`].
    pub fn client(&self, name: &str) -> Result<Leaf, CertError> {
        self.issue(&[name], ExtendedKeyUsagePurpose::ClientAuth, Validity::Now)
    }

    /// A client certificate that ended years ago.
    ///
    /// # Errors
    /// As [`Authority::server`].
    pub fn expired_client(&self, name: &str) -> Result<Leaf, CertError> {
        self.issue(&[name], ExtendedKeyUsagePurpose::ClientAuth, Validity::Past)
    }

    /// Writes the authority's certificate to `<directory>/<stem>.crt`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_to(&self, directory: &Path, stem: &str) -> io::Result<PathBuf> {
        let path = directory.join(format!("{stem}.crt"));
        std::fs::write(&path, &self.pem)?;
        Ok(path)
    }

    fn issue(
        &self,
        names: &[&str],
        usage: ExtendedKeyUsagePurpose,
        validity: Validity,
    ) -> Result<Leaf, CertError> {
        let first = names.first().copied().unwrap_or("unnamed");
        let wrap = |source| CertError::Make { name: first.to_owned(), source };
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).map_err(wrap)?;
        params.distinguished_name.push(DnType::CommonName, first);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        if matches!(validity, Validity::Past) {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 12, 31);
        }
        let key = KeyPair::generate().map_err(wrap)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(wrap)?;
        Ok(Leaf { cert_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
enum Validity {
    Now,
    Past,
}

/// A certificate with its private key.
#[derive(Clone)]
pub struct Leaf {
    /// The certificate, PEM.
    pub cert_pem: String,
    /// The private key, PEM (PKCS #8).
    pub key_pem: String,
}

impl Leaf {
    /// Writes `<directory>/<stem>.crt` and `<directory>/<stem>.key`, and gives both paths.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_to(&self, directory: &Path, stem: &str) -> io::Result<(PathBuf, PathBuf)> {
        let cert = directory.join(format!("{stem}.crt"));
        let key = directory.join(format!("{stem}.key"));
        std::fs::write(&cert, &self.cert_pem)?;
        std::fs::write(&key, &self.key_pem)?;
        Ok((cert, key))
    }

    /// A TLS server configuration that presents this certificate.
    ///
    /// With `client_authority_pem`, a client must present a certificate of that authority.
    ///
    /// # Errors
    /// A PEM text that holds nothing, or a certificate the TLS library refuses.
    pub fn server_config(
        &self,
        client_authority_pem: Option<&str>,
        alpn: &[&str],
    ) -> Result<ServerConfig, CertError> {
        let wrap = |what| move |source| CertError::Pem { what, source };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(self.cert_pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(wrap("a certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(wrap("a private key"))?;
        let builder = ServerConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match client_authority_pem {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let authority =
                    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(wrap("a client authority"))?;
                let mut roots = RootCertStore::empty();
                roots.add(authority).map_err(unusable)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), tls::provider())
                    .build()
                    .map_err(unusable)?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(config)
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").field("cert_pem", &self.cert_pem).finish_non_exhaustive()
    }
}

fn unusable(source: impl fmt::Display) -> CertError {
    CertError::Unusable(source.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;
    use crate::tls::{ClientTls, Identity};

    /// Shakes hands once; the error text of whichever side refused.
    async fn shake(server: ServerConfig, client: &ClientTls, name: &'static str) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accept = async {
            let (tcp, _) = listener.accept().await.unwrap();
            TlsAcceptor::from(Arc::new(server)).accept(tcp).await.map_err(|e| format!("server: {e}"))
        };
        let connect = async {
            let tcp = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from(name).unwrap();
            TlsConnector::from(Arc::new(client.rustls().unwrap()))
                .connect(name, tcp)
                .await
                .map_err(|e| format!("client: {e}"))
        };
        let (server, client) = tokio::join!(accept, connect);
        client?;
        server.map(|_| ())
    }

    #[tokio::test]
    async fn a_certificate_holds_for_its_names_and_its_time_only() {
        let ca = Authority::new("test authority").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let trusting =
            ClientTls { ca_file: Some(ca.write_to(dir.path(), "ca").unwrap()), ..Default::default() };
        let good = ca.server(&["localhost", "127.0.0.1"]).unwrap();
        let config = |leaf: &Leaf| leaf.server_config(None, &[]).unwrap();

        assert_eq!(shake(config(&good), &trusting, "localhost").await, Ok(()));
        assert_eq!(shake(config(&good), &trusting, "127.0.0.1").await, Ok(()));
        let wrong = shake(config(&good), &trusting, "other.example").await.unwrap_err();
        assert!(wrong.contains("not valid for name"), "{wrong}");
        let expired = ca.expired_server(&["localhost"]).unwrap();
        let old = shake(config(&expired), &trusting, "localhost").await.unwrap_err();
        assert!(old.contains("xpired"), "{old}");
    }

    #[tokio::test]
    async fn a_server_can_demand_a_client_certificate() {
        let ca = Authority::new("one").unwrap();
        let stranger = Authority::new("two").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let ca_file = Some(ca.write_to(dir.path(), "ca").unwrap());
        let server = ca.server(&["localhost"]).unwrap();
        let config = || server.server_config(Some(ca.pem()), &["h2"]).unwrap();
        let with = |leaf: Option<Leaf>, stem: &str| {
            let identity = leaf.map(|leaf| {
                let (cert_file, key_file) = leaf.write_to(dir.path(), stem).unwrap();
                Identity { cert_file, key_file }
            });
            ClientTls { ca_file: ca_file.clone(), identity, ..Default::default() }
        };

        let known = with(Some(ca.client("nozzle").unwrap()), "known");
        assert_eq!(shake(config(), &known, "localhost").await, Ok(()));
        let none = shake(config(), &with(None, "none"), "localhost").await.unwrap_err();
        assert!(none.starts_with("server: "), "{none}");
        let other = with(Some(stranger.client("nozzle").unwrap()), "other");
        let other = shake(config(), &other, "localhost").await.unwrap_err();
        assert!(other.starts_with("server: "), "{other}");
    }
}
