//! What the endpoints of one site have in common, and the files it is read from.
//!
//! Files are read for the site, not for each endpoint; endpoints, also those found later, use what was
//! read last. What an endpoint makes of a token is its own affair.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use url::Url;

use super::Site;
use crate::causes::chain;
use crate::hec::config::{ClientConfig, ConfigError};
use crate::hec::indexes::RefusedIndexes;
use crate::hec::tls_files::TlsFiles;
use crate::hec::token::{Credentials, Reload, TokenSource};
use crate::hec::transport::{Settings, is_secure};

/// See the module's documentation.
pub(crate) struct Shared {
    pub(crate) site: Site,
    pub(crate) settings: Arc<Settings>,
    pub(crate) credentials: Arc<Credentials>,
    /// Indexes it refused: its endpoints lead to one Splunk.
    pub(crate) indexes: RefusedIndexes,
    /// `None` where TLS is not used.
    tls_files: Option<TlsFiles>,
    /// The version of the token of which the gates were told.
    told: AtomicU64,
    /// What was last wrong with the token's file, so that it is said once.
    complaint: Mutex<Option<String>>,
}

impl Shared {
    pub(crate) fn new(
        site: Site,
        config: &ClientConfig,
        token: &TokenSource,
        urls: &[Url],
    ) -> Result<Self, ConfigError> {
        // Before the files are read, so that no change in between is missed.
        let tls_files = is_secure(urls).then(|| TlsFiles::new(&config.tls));
        Ok(Self {
            site,
            settings: Arc::new(Settings::new(config, urls)?),
            credentials: Arc::new(Credentials::new(token)?),
            indexes: RefusedIndexes::default(),
            tls_files,
            told: AtomicU64::new(0),
            complaint: Mutex::default(),
        })
    }

    /// Whether anything comes from a file that may change.
    pub(crate) fn has_files(&self) -> bool {
        self.credentials.file().is_some() || self.tls_files.as_ref().is_some_and(|files| !files.is_empty())
    }

    /// Reads again what comes from files; true if something has changed since it last said so. Not for
    /// async threads.
    pub(crate) fn refresh(&self) -> bool {
        self.refresh_token();
        let certificates = self.refresh_certificates();
        // An endpoint that refused the token may have read the new one first.
        let version = self.credentials.version();
        let token = self.told.swap(version, Relaxed) != version;
        if token {
            let site = self.site.label();
            tracing::info!(site, "the file holds another HEC token; it is used from now on");
        }
        token || certificates
    }

    fn refresh_token(&self) {
        let Some(path) = self.credentials.file() else { return };
        let error = match self.credentials.reload() {
            Reload::Same | Reload::Fresh => None,
            Reload::Failed(error) => Some(chain(&error)),
        };
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = error.as_ref().filter(|_| error != *complaint) {
            tracing::warn!(
                site = self.site.label(),
                path = %path.display(),
                error,
                next_step = "write the token into the file: nothing else, in one line",
                "no HEC token can be read from its file; the one before stays in use"
            );
        }
        *complaint = error;
    }

    fn refresh_certificates(&self) -> bool {
        let site = self.site.label();
        match self.tls_files.as_ref().and_then(TlsFiles::reload) {
            None => false,
            Some(Ok(tls)) => {
                self.settings.replace_tls(tls);
                tracing::info!(site, "certificates have changed; new connections to the HEC use them");
                true
            }
            Some(Err(error)) => {
                tracing::warn!(
                    site,
                    error = chain(&error),
                    next_step = "put the right files there; they are read again when they change",
                    "certificates have changed and cannot be used; those before stay in use"
                );
                false
            }
        }
    }
}
