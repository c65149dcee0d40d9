//! A TLS configuration that is kept for as long as its files stay the same.
//!
//! Building one parses every root of the system, about a tenth of a second of CPU, and streams that are
//! opened again and again would pay that each time. What is configured by name (CA, certificate, key) is
//! read before each use, so that a renewed certificate counts at once.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::time::Instant;

use super::{ClientTls, TlsError};

/// The system's roots change with the system only; they are read again after this long.
const SYSTEM_ROOTS_AGE_MAX: Duration = Duration::from_hours(1);

/// Builds configurations from [`ClientTls`], and again only when something has changed. Clones share
/// what is kept.
#[derive(Clone, Debug)]
pub struct KeptTls {
    client: ClientTls,
    /// Makes a fingerprint of what files hold.
    hasher: RandomState,
    kept: Arc<Mutex<Option<Kept>>>,
}

#[derive(Debug)]
struct Kept {
    files: u64,
    built: Instant,
    config: Arc<ClientConfig>,
}

/// Builds nothing yet.
impl From<ClientTls> for KeptTls {
    fn from(client: ClientTls) -> Self {
        Self { client, hasher: RandomState::new(), kept: Arc::default() }
    }
}

impl KeptTls {
    /// The configuration, without ALPN. Reads files.
    ///
    /// Whoever comes while it is being built waits for it: streams start together.
    ///
    /// # Errors
    /// As [`ClientTls::rustls`]; a file that has become unusable is one, whatever was kept.
    pub fn rustls(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Read before building: a file that changes in between is noticed the next time.
        let files = self.fingerprint();
        if let Some(kept) = &*kept
            && kept.files == files
            && kept.built.elapsed() < SYSTEM_ROOTS_AGE_MAX
        {
            return Ok(Arc::clone(&kept.config));
        }
        *kept = None;
        let config = Arc::new(self.client.rustls()?);
        *kept = Some(Kept { files, built: Instant::now(), config: Arc::clone(&config) });
        Ok(config)
    }

    /// What the files hold. By contents, because a certificate may be replaced by one of the same size
    /// within the resolution of the file's time.
    fn fingerprint(&self) -> u64 {
        let ClientTls { ca_file, identity, verification: _ } = &self.client;
        let read = |path: &Path| std::fs::read(path).ok();
        let ca = ca_file.as_deref().map(read);
        let identity = identity.as_ref().map(|files| (read(&files.cert_file), read(&files.key_file)));
        self.hasher.hash_one((ca, identity))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::sim::certs::Authority;
    use crate::tls::Identity;

    fn files(dir: &Path) -> ClientTls {
        let authority = Authority::new("test authority").unwrap();
        let (cert_file, key_file) = authority.client("nozzle").unwrap().write_to(dir, "client").unwrap();
        let ca_file = Some(authority.write_to(dir, "ca").unwrap());
        ClientTls { ca_file, identity: Some(Identity { cert_file, key_file }), ..ClientTls::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_built_again_when_a_file_changes_and_after_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let tls = KeptTls::from(files(dir.path()));
        let first = tls.rustls().unwrap();
        advance(SYSTEM_ROOTS_AGE_MAX / 2).await;
        assert!(Arc::ptr_eq(&first, &tls.rustls().unwrap()), "nothing has changed");

        files(dir.path());
        let second = tls.rustls().unwrap();
        assert!(!Arc::ptr_eq(&first, &second), "the files are new ones");
        assert!(Arc::ptr_eq(&second, &tls.rustls().unwrap()));

        advance(SYSTEM_ROOTS_AGE_MAX).await;
        assert!(!Arc::ptr_eq(&second, &tls.rustls().unwrap()), "the system's roots may be new ones");
    }

    #[test]
    fn a_file_that_goes_is_an_error_until_it_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let client = files(dir.path());
        let key_file = client.identity.clone().unwrap().key_file;
        let tls = KeptTls::from(client);
        let first = tls.rustls().unwrap();
        let key = std::fs::read(&key_file).unwrap();
        std::fs::remove_file(&key_file).unwrap();
        assert!(matches!(tls.rustls(), Err(TlsError::Pem { what: "a private key", .. })));
        std::fs::write(&key_file, key).unwrap();
        assert!(!Arc::ptr_eq(&first, &tls.rustls().unwrap()));
    }
}
