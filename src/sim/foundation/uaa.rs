//! The token server: client credentials in, opaque bearer tokens out.
//!
//! Tokens are looked up where they are used (Cloud Controller, traffic controller), so that
//! revoking or expiring them acts at once on new requests, and never on open streams.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{RawForm, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::clock::UnixNanos;

/// Older tokens are forgotten beyond this many.
const TOKENS_MAX: usize = 100_000;

/// A client that may ask for tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its name.
    pub id: String,
    /// Its password; throw-away, like everything here.
    pub secret: String,
    /// The scopes of its tokens, like `doppler.firehose`.
    pub authorities: Vec<String>,
}

/// What goes wrong with a token request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// 401, as for a wrong secret.
    Unauthorized,
    /// Some other status, with a body that is not JSON.
    Status(u16),
    /// The right answer, late.
    Slow(Duration),
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Unknown,
    Expired,
}

#[derive(Clone, Debug)]
struct Token {
    client: String,
    scopes: Vec<String>,
    expires: Instant,
    expires_unix: i64,
    age: u64,
}

/// The token server's state; clones share it.
#[derive(Clone, Debug)]
pub struct Uaa {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    clients: Vec<Client>,
    lifetime: Duration,
    tokens: BTreeMap<String, Token>,
    issued: u64,
    faults: VecDeque<TokenFault>,
}

impl Uaa {
    pub(crate) fn new(clients: Vec<Client>, lifetime: Duration) -> Self {
        let inner = Inner { clients, lifetime, tokens: BTreeMap::new(), issued: 0, faults: VecDeque::new() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Sets how long tokens issued from now on are good for.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.lock().lifetime = lifetime;
    }

    /// Makes a token without a request, for instance one with other scopes.
    pub fn issue(&self, client: &str, scopes: &[&str]) -> String {
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        self.lock().issue(client, scopes)
    }

    /// Forgets every token: they are answered as unknown.
    pub fn revoke_all(&self) {
        self.lock().tokens.clear();
    }

    /// Ends the life of every token now.
    pub fn expire_all(&self) {
        let now = Instant::now();
        for token in self.lock().tokens.values_mut() {
            token.expires = now;
        }
    }

    /// Lets the next `n` token requests go wrong.
    pub fn fail_next(&self, n: usize, fault: TokenFault) {
        self.lock().faults.extend(std::iter::repeat_n(fault, n));
    }

    /// Every token that was issued and not forgotten, good or expired.
    pub fn tokens(&self) -> Vec<String> {
        self.lock().tokens.keys().cloned().collect()
    }

    /// Whether any token is good now.
    pub fn has_good_token(&self) -> bool {
        let now = Instant::now();
        self.lock().tokens.values().any(|token| now < token.expires)
    }

    /// How many tokens were issued.
    pub fn issued(&self) -> u64 {
        self.lock().issued
    }

    /// The scopes of a token, if it is good now.
    pub(crate) fn scopes(&self, token: &str) -> Result<Vec<String>, Refusal> {
        let inner = self.lock();
        let token = inner.tokens.get(token).ok_or(Refusal::Unknown)?;
        if token.expires <= Instant::now() { Err(Refusal::Expired) } else { Ok(token.scopes.clone()) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that can panic runs under the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn issue(&mut self, client: &str, scopes: Vec<String>) -> String {
        if self.tokens.len() >= TOKENS_MAX {
            let oldest = self.tokens.iter().min_by_key(|(_, token)| token.age);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                self.tokens.remove(&name);
            }
        }
        self.issued += 1;
        let name = uuid::Uuid::new_v4().simple().to_string();
        let token = Token {
            client: client.to_owned(),
            scopes,
            expires: Instant::now() + self.lifetime,
            expires_unix: UnixNanos::now().0 / 1_000_000_000
                + i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX / 2),
            age: self.issued,
        };
        self.tokens.insert(name.clone(), token);
        name
    }

    fn client(&self, id: &str, secret: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.id == id && client.secret == secret)
    }
}

/// `POST /oauth/token`.
pub(crate) async fn token(State(uaa): State<Uaa>, headers: HeaderMap, RawForm(body): RawForm) -> Response {
    let fault = uaa.lock().faults.pop_front();
    match fault {
        None => {}
        Some(TokenFault::Unauthorized) => return bad_credentials("unauthorized"),
        Some(TokenFault::Status(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return (status, "the token server has a bad day").into_response();
        }
        Some(TokenFault::Slow(delay)) => tokio::time::sleep(delay).await,
    }
    let form = form(&body);
    let field = |name: &str| form.get(name).map(String::as_str);
    match field("grant_type") {
        Some("client_credentials") => {}
        Some(_) => return error(StatusCode::BAD_REQUEST, "unsupported_grant_type", "Unsupported grant type"),
        None => return error(StatusCode::BAD_REQUEST, "invalid_request", "Missing grant type"),
    }
    let basic = basic(&headers);
    let in_form = || Some((field("client_id")?.to_owned(), field("client_secret")?.to_owned()));
    let Some((id, secret)) = basic.or_else(in_form) else {
        return bad_credentials("unauthorized");
    };
    let mut inner = uaa.lock();
    let Some(client) = inner.client(&id, &secret) else {
        return bad_credentials("invalid_client");
    };
    let granted: Vec<String> = match field("scope") {
        None | Some("") => client.authorities.clone(),
        Some(wanted) => {
            let wanted = wanted.split(' ').map(str::to_owned);
            wanted.filter(|scope| client.authorities.contains(scope)).collect()
        }
    };
    if granted.is_empty() && field("scope").is_some_and(|scope| !scope.is_empty()) {
        return error(StatusCode::BAD_REQUEST, "invalid_scope", "[] is invalid for this client");
    }
    let access_token = inner.issue(&id, granted.clone());
    // The platform's policy gives one second less than it is set to.
    let expires_in = inner.lifetime.as_secs().saturating_sub(1);
    Json(json!({
        "access_token": access_token,
        "token_type": "bearer",
        "expires_in": expires_in,
        "scope": granted.join(" "),
        "jti": access_token,
    }))
    .into_response()
}

/// `POST /check_token`.
pub(crate) async fn check_token(
    State(uaa): State<Uaa>,
    headers: HeaderMap,
    RawForm(body): RawForm,
) -> Response {
    let inner = uaa.lock();
    if basic(&headers).is_none_or(|(id, secret)| inner.client(&id, &secret).is_none()) {
        return bad_credentials("unauthorized");
    }
    let name = form(&body).remove("token").unwrap_or_default();
    let Some(token) = inner.tokens.get(&name) else {
        return error(StatusCode::BAD_REQUEST, "invalid_token", "Token was not recognised");
    };
    if token.expires <= Instant::now() {
        return error(StatusCode::BAD_REQUEST, "invalid_token", "Token has expired");
    }
    Json(json!({
        "scope": token.scopes,
        "client_id": token.client,
        "cid": token.client,
        "exp": token.expires_unix,
        "aud": [token.client, "doppler"],
        "jti": name,
    }))
    .into_response()
}

fn bad_credentials(code: &str) -> Response {
    error(StatusCode::UNAUTHORIZED, code, "Bad credentials")
}

fn error(status: StatusCode, error: &str, description: &str) -> Response {
    (status, Json(json!({ "error": error, "error_description": description }))).into_response()
}

fn form(body: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let decoded = STANDARD.decode(value.strip_prefix("Basic ")?.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}
