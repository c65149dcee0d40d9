//! What the server answers: bodies to the byte, headers as the real one sends them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use super::code::Code;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=UTF-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=UTF-8");

/// One answer, real or scripted.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    content: Content,
}

#[derive(Clone, Debug, PartialEq)]
enum Content {
    Hec { code: Code, event_number: Option<u64>, ack_id: Option<u64> },
    Acks(BTreeMap<u64, bool>),
    Verbatim { content_type: Option<HeaderValue>, bytes: Bytes },
}

impl Reply {
    /// The answer for a code, with the status that belongs to it.
    pub fn hec(code: Code) -> Self {
        let content = Content::Hec { code, event_number: None, ack_id: None };
        Self { status: code.status(), headers: Vec::new(), content }
    }

    /// Any status with a body of any kind, such as a proxy in front of Splunk would send.
    pub fn verbatim(status: StatusCode, content_type: Option<HeaderValue>, body: impl Into<Bytes>) -> Self {
        let content = Content::Verbatim { content_type, bytes: body.into() };
        Self { status, headers: Vec::new(), content }
    }

    /// A JSON body under any status.
    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::verbatim(status, Some(JSON), body)
    }

    /// The HTML page splunkd sends for faults below HEC.
    pub fn html(status: StatusCode, message: &str) -> Self {
        let body = format!(
            "<!doctype html><html><head><meta http-equiv=\"content-type\" content=\"text/html; \
             charset=UTF-8\"><title>{code} {message}</title></head><body><h1>{message}</h1></body></html>\r\n",
            code = status.as_u16(),
        );
        Self::verbatim(status, Some(HTML), body)
    }

    /// A login page under 200, as a captive portal or a proxy puts in the way.
    pub fn html_200() -> Self {
        Self::html(StatusCode::OK, "Please sign in")
    }

    /// 200 with bytes that are no JSON.
    pub fn garbage_200() -> Self {
        Self::json(StatusCode::OK, &b"{\"text\":\xff\xfe\x00<<"[..])
    }

    /// A redirection; `location` must be a legal header value, or none is sent.
    pub fn redirect(status: StatusCode, location: &str) -> Self {
        let reply = Self::html(status, "Moved");
        match HeaderValue::from_str(location) {
            Ok(value) => reply.with_header(header::LOCATION, value),
            Err(_) => reply,
        }
    }

    pub(super) fn content_too_large(bytes: u64, limit: usize) -> Self {
        let message = format!("Content-Length of {bytes} too large (maximum is {limit})");
        Self::html(StatusCode::PAYLOAD_TOO_LARGE, &message)
    }

    pub(super) fn unsupported_encoding() -> Self {
        Self::html(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type")
    }

    pub(super) fn allow(methods: &'static str) -> Self {
        Self::verbatim(StatusCode::OK, None, Bytes::new())
            .with_header(header::ALLOW, HeaderValue::from_static(methods))
    }

    pub(super) fn acks(statuses: BTreeMap<u64, bool>) -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), content: Content::Acks(statuses) }
    }

    /// Under another status than the code's own.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With `invalid-event-number`, zero-based; nothing happens to a body that is not HEC's.
    #[must_use]
    pub fn with_event_number(mut self, number: u64) -> Self {
        if let Content::Hec { event_number, .. } = &mut self.content {
            *event_number = Some(number);
        }
        self
    }

    /// With `ackId`; nothing happens to a body that is not HEC's.
    #[must_use]
    pub fn with_ack_id(mut self, id: u64) -> Self {
        if let Content::Hec { ack_id, .. } = &mut self.content {
            *ack_id = Some(id);
        }
        self
    }

    /// With one more header, which replaces the server's own of that name.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With `Retry-After`, in seconds or as a date; an illegal header value is left out.
    #[must_use]
    pub fn with_retry_after(self, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => self.with_header(header::RETRY_AFTER, value),
            Err(_) => self,
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The HEC code, if the body is one of HEC's.
    pub fn code(&self) -> Option<Code> {
        match &self.content {
            Content::Hec { code, .. } => Some(*code),
            Content::Acks(_) | Content::Verbatim { .. } => None,
        }
    }

    /// The body as it goes on the wire.
    pub(super) fn body(&self) -> Bytes {
        match &self.content {
            Content::Hec { code, event_number, ack_id } => hec_body(*code, *event_number, *ack_id).into(),
            Content::Acks(statuses) => acks_body(statuses).into(),
            Content::Verbatim { bytes, .. } => bytes.clone(),
        }
    }

    /// Status line and headers, in the order and with the values of splunkd.
    pub(super) fn head(&self, body_bytes: usize, connection: Connection) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now())) {
            headers.insert(header::DATE, date);
        }
        if let Some(content_type) = self.content_type() {
            headers.insert(header::CONTENT_TYPE, content_type);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body_bytes));
        headers.insert(header::VARY, HeaderValue::from_static("Authorization"));
        headers.insert(header::CONNECTION, connection.value());
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
        headers.insert(header::SERVER, HeaderValue::from_static("Splunkd"));
        self.own_headers(headers);
        response
    }

    fn own_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            // Cookies come in several; anything else is said once.
            if name == header::SET_COOKIE {
                headers.append(name, value.clone());
            } else {
                headers.insert(name, value.clone());
            }
        }
    }

    fn content_type(&self) -> Option<HeaderValue> {
        match &self.content {
            Content::Hec { .. } | Content::Acks(_) => Some(JSON),
            Content::Verbatim { content_type, .. } => content_type.clone(),
        }
    }
}

/// What the reply says about the connection's future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    KeepAlive,
    Close,
}

impl Connection {
    fn value(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::KeepAlive => "Keep-Alive",
            Self::Close => "Close",
        })
    }
}

fn hec_body(code: Code, event_number: Option<u64>, ack_id: Option<u64>) -> String {
    let mut body = format!("{{\"text\":\"{}\",\"code\":{}", code.text(), code.number());
    // Writing to a string cannot fail.
    if let Some(number) = event_number {
        let _ = write!(body, ",\"invalid-event-number\":{number}");
    }
    if let Some(id) = ack_id {
        let _ = write!(body, ",\"ackId\":{id}");
    }
    body.push('}');
    body
}

fn acks_body(statuses: &BTreeMap<u64, bool>) -> String {
    let mut body = String::with_capacity(16 + statuses.len() * 16);
    body.push_str("{\"acks\":{");
    for (n, (id, status)) in statuses.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(body, "{comma}\"{id}\":{status}");
    }
    body.push_str("}}");
    body
}
