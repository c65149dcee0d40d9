//! What a request's head decides: path, method, coding, token, channel, in splunkd's order.
//!
//! Pure, and before a byte of the body is looked at.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, header};
use uuid::Uuid;

use super::code::Code;
use super::config::{AckUse, Endpoint, QueryAuth, Token, TokenState};
use super::events::Defaults;
use super::intake::Encoding;
use super::profile::{Behaviour, Oversize};
use super::reply::Reply;

const CHANNEL_HEADER: &str = "x-splunk-request-channel";

/// Where a request goes by its path and method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    To(Endpoint),
    /// `OPTIONS`: which methods the path allows.
    Options(&'static str),
    WrongMethod,
    Unknown,
}

impl Route {
    pub(super) fn of(method: &Method, path: &str) -> Self {
        let endpoint = match path {
            "/services/collector" | "/services/collector/event" | "/services/collector/event/1.0" => {
                Endpoint::Event
            }
            "/services/collector/raw" | "/services/collector/raw/1.0" => Endpoint::Raw,
            "/services/collector/ack" | "/services/collector/ack/1.0" => Endpoint::Ack,
            "/services/collector/health" | "/services/collector/health/1.0" => Endpoint::Health,
            _ => return Self::Unknown,
        };
        match (endpoint, method) {
            (Endpoint::Health, &Method::OPTIONS) => Self::Options("GET,HEAD,OPTIONS"),
            (_, &Method::OPTIONS) => Self::Options("POST,OPTIONS"),
            (Endpoint::Health, &Method::GET | &Method::HEAD) => Self::To(endpoint),
            (Endpoint::Event | Endpoint::Raw | Endpoint::Ack, &Method::POST) => Self::To(endpoint),
            (Endpoint::Ack, &Method::GET) => Self::To(endpoint),
            _ => Self::WrongMethod,
        }
    }

    /// The answer where there is nothing to do.
    pub(super) fn reply(self) -> Option<Reply> {
        match self {
            Self::To(_) => None,
            Self::Options(methods) => Some(Reply::allow(methods)),
            Self::WrongMethod => Some(Reply::hec(Code::NotFound).with_status(StatusCode::METHOD_NOT_ALLOWED)),
            Self::Unknown => Some(Reply::hec(Code::NotFound)),
        }
    }
}

/// The parts of the query string that mean something to HEC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query<'a> {
    token: Option<Cow<'a, str>>,
    channel: Option<Cow<'a, str>>,
    pub(super) defaults: Defaults,
}

impl<'a> Query<'a> {
    pub(super) fn of(query: Option<&'a str>) -> Self {
        let mut found = Self::default();
        for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let defaults = &mut found.defaults;
            let slot = match &*key {
                "token" => {
                    found.token = Some(value);
                    continue;
                }
                "channel" => {
                    found.channel = Some(value);
                    continue;
                }
                "host" => &mut defaults.host,
                "source" => &mut defaults.source,
                "sourcetype" => &mut defaults.sourcetype,
                "index" => &mut defaults.index,
                "time" => &mut defaults.time,
                _ => continue,
            };
            *slot = Some(value.into_owned());
        }
        found
    }
}

/// A channel as the client gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    None,
    Malformed,
    Given(Uuid),
}

impl Channel {
    pub(super) fn of(headers: &HeaderMap, query: &Query<'_>) -> Self {
        let header = headers.get(CHANNEL_HEADER).map(|value| value.to_str().unwrap_or_default());
        match header.or(query.channel.as_deref()) {
            None => Self::None,
            // 36 characters: only the form with hyphens.
            Some(text) => match Uuid::try_parse(text) {
                Ok(channel) if text.len() == 36 => Self::Given(channel),
                _ => Self::Malformed,
            },
        }
    }

    pub(super) fn id(self) -> Option<Uuid> {
        match self {
            Self::Given(channel) => Some(channel),
            Self::None | Self::Malformed => None,
        }
    }
}

/// A request whose head is in order.
#[derive(Clone, Debug)]
pub(super) struct Admitted {
    pub(super) token: Arc<Token>,
    pub(super) channel: Option<Uuid>,
    pub(super) encoding: Encoding,
}

/// What a head is judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admission<'a> {
    pub(super) tokens: &'a [Arc<Token>],
    pub(super) behaviour: &'a Behaviour,
    pub(super) gzip: GzipUse,
}

/// Whether compressed bodies are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GzipUse {
    Taken,
    Refused,
}

impl Admission<'_> {
    /// Checks an ingest request or a poll up to, not including, what depends on the server's state.
    pub(super) fn admit(
        &self,
        endpoint: Endpoint,
        head: &Parts,
        query: &Query<'_>,
        channel: Channel,
    ) -> Result<Admitted, Reply> {
        self.check_length(&head.headers)?;
        let encoding = self.encoding(&head.headers)?;
        let token = self.authenticate(&head.headers, query).map_err(Reply::hec)?;
        let polls = endpoint == Endpoint::Ack;
        match channel {
            Channel::Malformed => return Err(Reply::hec(Code::InvalidChannel)),
            Channel::None if polls || token.acks == AckUse::On => {
                return Err(Reply::hec(self.behaviour.missing_channel));
            }
            Channel::None | Channel::Given(_) => {}
        }
        if polls && token.acks == AckUse::Off {
            return Err(Reply::hec(Code::AckDisabled));
        }
        Ok(Admitted { token, channel: channel.id(), encoding })
    }

    /// The token's part in the answer of the health endpoint, which needs none.
    pub(super) fn health(&self, headers: &HeaderMap, query: &Query<'_>) -> Result<(), Code> {
        match self.authenticate(headers, query) {
            Err(Code::TokenDisabled) => Err(Code::HealthTokenDisabled),
            Err(Code::InvalidToken) => Err(Code::HealthInvalidToken),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The answer to a body that turned out too large.
    pub(super) fn too_large(&self, bytes: u64) -> Reply {
        match self.behaviour.oversize {
            Oversize::Html413 => Reply::content_too_large(bytes, self.behaviour.max_content_bytes),
            Oversize::CodeSix => Reply::hec(Code::InvalidDataFormat).with_event_number(0),
        }
    }

    fn check_length(&self, headers: &HeaderMap) -> Result<(), Reply> {
        let length = content_length(headers).unwrap_or(0);
        // Where a large body is answered in HEC's words, HEC's own checks come first.
        match self.behaviour.oversize {
            Oversize::Html413 if length > self.behaviour.max_content_bytes as u64 => {
                Err(self.too_large(length))
            }
            Oversize::Html413 | Oversize::CodeSix => Ok(()),
        }
    }

    fn encoding(&self, headers: &HeaderMap) -> Result<Encoding, Reply> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else {
            return Ok(Encoding::Identity);
        };
        match value.to_str().map(str::to_ascii_lowercase).as_deref() {
            Ok("gzip") if self.gzip == GzipUse::Taken => Ok(Encoding::Gzip),
            Ok("identity" | "") => Ok(Encoding::Identity),
            _ => Err(Reply::unsupported_encoding()),
        }
    }

    fn authenticate(&self, headers: &HeaderMap, query: &Query<'_>) -> Result<Arc<Token>, Code> {
        // A token in the query string hides the header, even where it is not allowed.
        let (value, from_query) = match &query.token {
            Some(token) if token.is_empty() => return Err(Code::InvalidAuthorization),
            Some(token) => (Cow::Borrowed(&**token), true),
            None => (Cow::Owned(header_token(headers)?), false),
        };
        let token = self.tokens.iter().find(|token| token.is(&value)).ok_or(Code::InvalidToken)?;
        if token.state == TokenState::Disabled {
            return Err(Code::TokenDisabled);
        }
        if from_query && token.query_auth == QueryAuth::Refused {
            return Err(Code::QueryAuthDisabled);
        }
        Ok(token.clone())
    }
}

pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn header_token(headers: &HeaderMap) -> Result<String, Code> {
    let value = headers.get(header::AUTHORIZATION).ok_or(Code::TokenRequired)?;
    let value = value.to_str().map_err(|_| Code::InvalidAuthorization)?.trim();
    if value.is_empty() {
        return Err(Code::TokenRequired);
    }
    let (scheme, rest) = value.split_once(' ').ok_or(Code::InvalidAuthorization)?;
    let rest = rest.trim_start();
    let token = if scheme.eq_ignore_ascii_case("splunk") {
        Some(rest.to_owned())
    } else if scheme.eq_ignore_ascii_case("basic") {
        basic_password(rest)
    } else {
        None
    };
    token.filter(|token| !token.is_empty()).ok_or(Code::InvalidAuthorization)
}

/// The password is the token; the user does not matter.
fn basic_password(credentials: &str) -> Option<String> {
    let text = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::hec::profile::Profile;

    #[test]
    fn every_path_and_method() {
        use Route::{Options, To, Unknown, WrongMethod};
        let post = "POST,OPTIONS";
        let table = [
            (Method::POST, "/services/collector", To(Endpoint::Event)),
            (Method::POST, "/services/collector/event", To(Endpoint::Event)),
            (Method::POST, "/services/collector/event/1.0", To(Endpoint::Event)),
            (Method::POST, "/services/collector/raw", To(Endpoint::Raw)),
            (Method::POST, "/services/collector/raw/1.0", To(Endpoint::Raw)),
            (Method::POST, "/services/collector/ack", To(Endpoint::Ack)),
            (Method::POST, "/services/collector/ack/1.0", To(Endpoint::Ack)),
            (Method::GET, "/services/collector/ack", To(Endpoint::Ack)),
            (Method::GET, "/services/collector/health", To(Endpoint::Health)),
            (Method::HEAD, "/services/collector/health/1.0", To(Endpoint::Health)),
            (Method::OPTIONS, "/services/collector/raw", Options(post)),
            (Method::OPTIONS, "/services/collector/health", Options("GET,HEAD,OPTIONS")),
            (Method::GET, "/services/collector", WrongMethod),
            (Method::PUT, "/services/collector/raw", WrongMethod),
            (Method::POST, "/services/collector/health", WrongMethod),
            (Method::POST, "/services/collector/validate", Unknown),
            (Method::POST, "/services/collector/", Unknown),
            (Method::GET, "/", Unknown),
        ];
        for (method, path, expected) in table {
            assert_eq!(Route::of(&method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn tokens_are_checked_in_order() {
        let tokens = [
            Token::new("a", "good"),
            Token::new("b", "off").disabled(),
            Token::new("c", "open").with_query_auth(),
        ]
        .map(Arc::new);
        let behaviour = Profile::Enterprise.behaviour();
        let admission = Admission { tokens: &tokens, behaviour: &behaviour, gzip: GzipUse::Taken };
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let table = [
            (None, None, Err(Code::TokenRequired)),
            (Some("".into()), None, Err(Code::TokenRequired)),
            (Some("Splunk".into()), None, Err(Code::InvalidAuthorization)),
            (Some("Bearer good".into()), None, Err(Code::InvalidAuthorization)),
            (Some("good".into()), None, Err(Code::InvalidAuthorization)),
            (Some("Splunk bad".into()), None, Err(Code::InvalidToken)),
            (Some("Splunk off".into()), None, Err(Code::TokenDisabled)),
            (Some("Splunk good".into()), None, Ok("a")),
            (Some("splunk good".into()), None, Ok("a")),
            (Some(basic("x:good")), None, Ok("a")),
            (Some(basic(":good")), None, Ok("a")),
            (Some(basic("good")), None, Err(Code::InvalidAuthorization)),
            (Some("Basic ?".into()), None, Err(Code::InvalidAuthorization)),
            (None, Some("token=good"), Err(Code::QueryAuthDisabled)),
            (None, Some("token=open"), Ok("c")),
            (Some("Splunk good".into()), Some("token=bad"), Err(Code::InvalidToken)),
            (Some("Splunk good".into()), Some("token=off"), Err(Code::TokenDisabled)),
            (Some("Splunk good".into()), Some("token=good"), Err(Code::QueryAuthDisabled)),
            (Some("Splunk bad".into()), Some("token=open"), Ok("c")),
        ];
        for (authorization, query, expected) in table {
            let mut headers = HeaderMap::new();
            if let Some(value) = &authorization {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            let got = admission.authenticate(&headers, &Query::of(query));
            let got = got.as_ref().map(|token| token.name.as_str()).map_err(|code| *code);
            assert_eq!(got, expected, "{authorization:?} {query:?}");
        }
    }
}
