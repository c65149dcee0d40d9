//! Access tokens from the UAA, by client credentials.
//!
//! - One renewal at a time, however many ask. While the old token still holds, nobody waits for it.
//! - Renewed at 80 % of its life, or when a caller reports it refused with [`TokenSource::invalidate`].
//!   Many callers that were refused the same token cause one renewal.
//! - A failed renewal is answered from memory for a while: callers in a loop do not become the UAA's
//!   load.
//! - Neither the secret nor a token is ever part of a log line, an error or a `Debug` output.

mod grant;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use secrecy::SecretString;
use tokio::time::{Instant, sleep, sleep_until};
use url::Url;

use self::grant::{basic, read_token, reason};
use super::backoff;
use super::http::{Http, HttpError, Reply, shown};
use super::root::below;

/// A token, even with hundreds of scopes, is a few kilobytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// How often the UAA is asked.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Requests in one renewal before it counts as failed.
    attempts: u32,
    /// Bounds of the pause between two attempts.
    between: (Duration, Duration),
    /// Bounds of the time a failure is answered from memory.
    hold: (Duration, Duration),
    /// Two renewals are at least this far apart, even if every new token is refused.
    spacing: Duration,
}

const PACE: Pace = Pace {
    attempts: 4,
    between: (Duration::from_millis(250), Duration::from_secs(4)),
    hold: (Duration::from_secs(1), Duration::from_secs(30)),
    spacing: Duration::from_secs(1),
};

/// Who the nozzle is to the UAA.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The UAA client's name.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
}

/// A token to send along; cheap to clone. `Debug` shows nothing of it.
#[derive(Clone, Debug)]
pub struct AccessToken {
    header: HeaderValue,
    serial: u64,
}

impl AccessToken {
    /// The value of the `authorization` header: `bearer …`, marked sensitive.
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

/// Why there is no token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TokenError {
    /// The UAA does not know the client or its secret.
    #[error("UAA refused client `{client_id}` at {url} ({reason}): check CLIENT_ID and CLIENT_SECRET")]
    Credentials {
        /// The client's name.
        client_id: String,
        /// The token endpoint.
        url: String,
        /// The UAA's own words.
        reason: String,
    },
    /// The UAA knows the client but will not give it a token.
    #[error(
        "UAA at {url} gives client `{client_id}` no token ({status}: {reason}): \
         expected the grant type client_credentials"
    )]
    Refused {
        /// The client's name.
        client_id: String,
        /// The token endpoint.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The UAA's own words.
        reason: String,
    },
    /// The UAA has trouble of its own.
    #[error("UAA at {url} answered {status}, expected 200")]
    Status {
        /// The token endpoint.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The UAA cannot be reached.
    #[error("cannot reach the UAA: {0}")]
    Http(#[from] HttpError),
    /// A 200 that brings no bearer token.
    #[error("UAA at {url} answered 200, but not with a JSON document that holds a bearer `access_token`")]
    NoToken {
        /// The token endpoint.
        url: String,
    },
}

impl TokenError {
    /// Whether asking again at once can help; 429 asks for the opposite.
    fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => *status != 429,
            Self::Http(_) => true,
            Self::Credentials { .. } | Self::Refused { .. } | Self::NoToken { .. } => false,
        }
    }
}

/// Gives tokens, fetching and renewing them as needed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TokenSource {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: Http,
    url: Url,
    credentials: Credentials,
    pace: Pace,
    state: Mutex<State>,
    /// Held while the UAA is asked.
    renewal: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    live: Option<Live>,
    held: Option<Held>,
    fetched_at: Option<Instant>,
    serial: u64,
    failures: u32,
}

#[derive(Debug)]
struct Live {
    token: AccessToken,
    renew_at: Instant,
    expires_at: Instant,
}

/// A failure that is answered until its time is up.
#[derive(Debug)]
struct Held {
    error: TokenError,
    until: Instant,
}

/// What the state says about a request for a token.
enum Answer {
    Give(Result<AccessToken, TokenError>),
    /// Ask the UAA; the old token, if any, is good until then.
    Renew(Option<AccessToken>),
}

impl State {
    fn answer(&self, now: Instant) -> Answer {
        let usable = self.live.as_ref().filter(|live| now < live.expires_at);
        if let Some(live) = usable.filter(|live| now < live.renew_at) {
            return Answer::Give(Ok(live.token.clone()));
        }
        let usable = usable.map(|live| live.token.clone());
        match (&self.held, usable) {
            (Some(held), None) if now < held.until => Answer::Give(Err(held.error.clone())),
            (Some(held), Some(token)) if now < held.until => Answer::Give(Ok(token)),
            (_, usable) => Answer::Renew(usable),
        }
    }

    fn succeed(&mut self, header: HeaderValue, asked_at: Instant, life: Duration) -> AccessToken {
        self.serial += 1;
        let token = AccessToken { header, serial: self.serial };
        let renew_at = asked_at + life.mul_f64(0.8);
        self.live = Some(Live { token: token.clone(), renew_at, expires_at: asked_at + life });
        (self.held, self.failures, self.fetched_at) = (None, 0, Some(asked_at));
        token
    }

    fn fail(&mut self, error: TokenError, now: Instant, hold: (Duration, Duration)) {
        self.failures = self.failures.saturating_add(1);
        self.held = Some(Held { error, until: now + backoff::pause(self.failures, hold.0, hold.1) });
    }
}

impl TokenSource {
    /// A source of tokens from the UAA at `uaa`; makes no request yet.
    pub fn new(http: Http, uaa: &Url, credentials: Credentials) -> Self {
        Self::with_pace(http, uaa, credentials, PACE)
    }

    fn with_pace(http: Http, uaa: &Url, credentials: Credentials, pace: Pace) -> Self {
        let url = below(uaa, &["oauth", "token"]);
        let (state, renewal) = Default::default();
        Self { inner: Arc::new(Inner { http, url, credentials, pace, state, renewal }) }
    }

    /// A token that is good for now.
    ///
    /// Waits for the UAA only when there is none. Cancel safe.
    ///
    /// # Errors
    /// The UAA refuses the client, or could not be reached after a few attempts; the same error comes
    /// back at once for the next seconds.
    pub async fn token(&self) -> Result<AccessToken, TokenError> {
        let inner = &*self.inner;
        let answer = inner.state().answer(Instant::now());
        let _turn = match answer {
            Answer::Give(result) => return result,
            Answer::Renew(None) => inner.renewal.lock().await,
            Answer::Renew(Some(usable)) => match inner.renewal.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(usable),
            },
        };
        // Whoever had the turn before may have done the work.
        let answer = inner.state().answer(Instant::now());
        let usable = match answer {
            Answer::Give(result) => return result,
            Answer::Renew(usable) => usable,
        };
        let fetched_at = inner.state().fetched_at;
        if let Some(fetched_at) = fetched_at {
            sleep_until(fetched_at + inner.pace.spacing).await;
        }
        match (inner.renew().await, usable) {
            (Err(error), Some(usable)) => {
                tracing::warn!(%error, "cannot renew the access token, going on with the old one");
                Ok(usable)
            }
            (result, _) => result,
        }
    }

    /// Reports that a peer refused `refused`: the next call of [`TokenSource::token`] brings another.
    ///
    /// Does nothing when the token has been replaced meanwhile.
    pub fn invalidate(&self, refused: &AccessToken) {
        let mut state = self.inner.state();
        if state.live.as_ref().is_some_and(|live| live.token.serial == refused.serial) {
            state.live = None;
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change to the state is complete in itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn renew(&self) -> Result<AccessToken, TokenError> {
        let mut attempt = 1;
        loop {
            let asked_at = Instant::now();
            match self.ask().await {
                Ok((header, life)) => return Ok(self.state().succeed(header, asked_at, life)),
                Err(error) if error.is_transient() && attempt < self.pace.attempts => {
                    sleep(backoff::pause(attempt, self.pace.between.0, self.pace.between.1)).await;
                    attempt += 1;
                }
                Err(error) => {
                    self.state().fail(error.clone(), Instant::now(), self.pace.hold);
                    return Err(error);
                }
            }
        }
    }

    async fn ask(&self) -> Result<(HeaderValue, Duration), TokenError> {
        const FORM: &str = "grant_type=client_credentials";
        let authorization = basic(&self.credentials);
        let reply = self.http.post_form(&self.url, authorization, FORM, BODY_BYTES_MAX).await?;
        match reply.status.as_u16() {
            200 => read_token(&reply.body).ok_or_else(|| TokenError::NoToken { url: shown(&self.url) }),
            _ => Err(self.refusal(&reply)),
        }
    }

    fn refusal(&self, reply: &Reply) -> TokenError {
        let (url, status) = (shown(&self.url), reply.status.as_u16());
        let client_id = self.credentials.client_id.clone();
        match status {
            401 => TokenError::Credentials { client_id, url, reason: reason(&reply.body) },
            400 | 403 => TokenError::Refused { client_id, url, status, reason: reason(&reply.body) },
            _ => TokenError::Status { url, status },
        }
    }
}

#[cfg(test)]
mod tests;
