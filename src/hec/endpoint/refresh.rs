//! Tokens and certificates from files that change while we run.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;

use super::Endpoint;
use crate::causes::chain;
use crate::hec::classify::Disposition;
use crate::hec::hold::HoldReason;
use crate::hec::token::Reload;

/// What was last wrong with each kind of file, so that it is said once.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    token: Mutex<Option<String>>,
}

impl Complaints {
    /// Whether this has not just been said.
    fn is_news(&self, text: &str) -> bool {
        let mut said = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_deref() == Some(text) {
            return false;
        }
        *said = Some(text.to_owned());
        true
    }

    fn none(&self) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Endpoint {
    /// Whether anything comes from a file that may change.
    pub(crate) fn has_files(&self) -> bool {
        self.tokens.is_from_file() || !self.tls_files.is_empty()
    }

    /// Reads again what comes from files. What changed is used from now on, and a hold is put to the test
    /// at once. Not for async threads.
    pub(crate) fn refresh(&self) {
        let token = self.refresh_token();
        let certificates = self.refresh_certificates();
        if token || certificates {
            self.gate.nudge();
        }
    }

    fn refresh_token(&self) -> bool {
        let url = self.transport.url().as_str();
        match self.tokens.reload() {
            Reload::Same => self.complaints.none(),
            Reload::Fresh => {
                self.complaints.none();
                tracing::info!(url, "the file holds another HEC token; it is used from now on");
                return true;
            }
            Reload::Failed(error) => {
                let error = chain(&error);
                if self.complaints.is_news(&error) {
                    tracing::warn!(
                        url,
                        error,
                        next_step = "write the token into the file: nothing else, in one line",
                        "no HEC token can be read from its file; the one before stays in use"
                    );
                }
            }
        }
        false
    }

    fn refresh_certificates(&self) -> bool {
        let url = self.transport.url().as_str();
        let error = match self.tls_files.reload() {
            None => return false,
            Some(Ok(tls)) => match self.transport.replace_tls(tls) {
                Ok(()) => {
                    tracing::info!(url, "certificates have changed; new connections to the HEC use them");
                    return true;
                }
                Err(error) => chain(&error),
            },
            Some(Err(error)) => chain(&error),
        };
        tracing::warn!(
            url,
            error,
            next_step = "put the right files there; they are read again when they change",
            "certificates have changed and cannot be used; those before stay in use"
        );
        false
    }

    /// A refused token is only the end if there is no other one to show.
    pub(super) async fn judge_token(&self, disposition: Disposition, token: &HeaderValue) -> Disposition {
        match disposition {
            Disposition::Accepted(_) => self.tokens.accepted(token),
            Disposition::Hold(HoldReason::Token { .. })
                if self.tokens.refused(token) || self.reread_token().await =>
            {
                return Disposition::FreshToken;
            }
            _ => {}
        }
        disposition
    }

    async fn reread_token(&self) -> bool {
        if !self.tokens.is_from_file() {
            return false;
        }
        let tokens = Arc::clone(&self.tokens);
        // What is wrong with the file is said by those who look at it all the time.
        matches!(tokio::task::spawn_blocking(move || tokens.reload()).await, Ok(Reload::Fresh))
    }
}
