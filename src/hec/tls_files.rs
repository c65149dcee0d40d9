//! Certificates and keys in files that may be replaced while we run.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::tls::{ClientTls, TlsError};

/// When a file was written, and how long it is; `None` if it is not there.
type Stamp = Option<(SystemTime, u64)>;

/// The files of a site's TLS, as they were when they were last read.
#[derive(Debug)]
pub(crate) struct TlsFiles {
    tls: ClientTls,
    seen: Mutex<Vec<Stamp>>,
}

impl TlsFiles {
    /// Looks at the files; to be called before they are read for the first time.
    pub(crate) fn new(tls: &ClientTls) -> Self {
        Self { tls: tls.clone(), seen: Mutex::new(stamps(tls)) }
    }

    /// Whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        files(&self.tls).next().is_none()
    }

    /// Reads the files again if one has changed. Not for async threads.
    ///
    /// Files that do not go together are looked at again when the next one changes: certificate and key are
    /// seldom replaced at the same moment.
    pub(crate) fn reload(&self) -> Option<Result<rustls::ClientConfig, TlsError>> {
        let now = stamps(&self.tls);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return None;
        }
        *seen = now;
        Some(self.tls.rustls())
    }
}

fn files(tls: &ClientTls) -> impl Iterator<Item = &Path> {
    let identity = tls.identity.iter().flat_map(|identity| [&identity.cert_file, &identity.key_file]);
    tls.ca_file.iter().chain(identity).map(AsRef::as_ref)
}

fn stamps(tls: &ClientTls) -> Vec<Stamp> {
    let stamp = |path: &Path| {
        let file = path.metadata().ok()?;
        Some((file.modified().ok()?, file.len()))
    };
    files(tls).map(stamp).collect()
}
