//! Reads replies: an answer, or why it is none.

use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tokio::task::spawn_blocking;
use url::Url;

use super::CallError;
use super::answers::Errors;
use crate::nozzle::cf::http::{Reply, shown};

/// A longer body takes more than a fraction of a millisecond to read.
const BODY_BYTES_AT_ONCE: usize = 64 * 1024;
/// Cloud Controller's error code for "no such resource".
const RESOURCE_NOT_FOUND: i64 = 10010;

/// What is kept of the peer's own words.
const WORDS_CHARS_MAX: usize = 100;

/// Reads a reply; a long one beside the threads that carry events.
pub(super) async fn read_aside<T>(url: &Url, reply: Reply) -> Result<T, CallError>
where
    T: DeserializeOwned + Send + 'static,
{
    if reply.body.len() < BODY_BYTES_AT_ONCE {
        return read(url, &reply);
    }
    let url = url.clone();
    let failed = CallError::Unreadable { url: shown(&url), found: "what nobody has thought of".to_owned() };
    spawn_blocking(move || read(&url, &reply)).await.unwrap_or(Err(failed))
}

fn read<T: DeserializeOwned>(url: &Url, reply: &Reply) -> Result<T, CallError> {
    let (shown, status) = (shown(url), reply.status.as_u16());
    let failed = |url| CallError::Failed { url, status };
    match status {
        200 => serde_json::from_slice(&reply.body)
            .map_err(|error| CallError::Unreadable { url: shown, found: found(reply, &error) }),
        401 | 429 => Err(failed(shown)),
        400..500 => {
            let errors: Errors = serde_json::from_slice(&reply.body).unwrap_or_default();
            // A 404 without the code comes from a router or proxy: the API is away, not the app.
            match (status, errors.has(RESOURCE_NOT_FOUND)) {
                (404, true) => Err(CallError::NotFound { url: shown }),
                (404, false) => Err(failed(shown)),
                _ => Err(CallError::Refused { url: shown, status, reason: errors.reason() }),
            }
        }
        _ => Err(failed(shown)),
    }
}

/// What an answer is that cannot be read. Nothing of what it says: it may be an environment.
fn found(reply: &Reply, error: &serde_json::Error) -> String {
    let header = |name| reply.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let media = header(CONTENT_TYPE).unwrap_or("no content type");
    let coding = header(CONTENT_ENCODING).map(|coding| format!(" in {coding}")).unwrap_or_default();
    let (line, column) = (error.line(), error.column());
    let fault = match error.classify() {
        Category::Data => "JSON of another form",
        Category::Eof => "JSON that is cut off",
        Category::Syntax | Category::Io => "no JSON",
    };
    let described: String = format!("{media}{coding}").chars().take(WORDS_CHARS_MAX).collect();
    format!("{fault} (line {line}, column {column}; {described})")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};
    use serde_json::Value;

    use super::*;
    use crate::nozzle::metadata::cloud_controller::answers::Variables;

    fn reply(status: u16, media: &'static str, coding: Option<&'static str>, body: &[u8]) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::copy_from_slice(body) }
    }

    fn fault(reply: &Reply) -> String {
        let url = Url::parse("https://api.example.com/v3/apps?secret=1").unwrap();
        read::<Variables>(&url, reply).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_read_is_described_and_not_repeated() {
        for (media, coding, body, expected) in [
            ("text/html", None, &b"<html>down</html>"[..], "no JSON (line 1, column 1; text/html)"),
            (
                "application/json",
                Some("gzip"),
                b"\x1f\x8b\x08",
                "no JSON (line 1, column 1; application/json in gzip)",
            ),
            (
                "application/json",
                None,
                b"{\"var\":{\"KEY\":\"hunter2",
                "JSON that is cut off (line 1, column 22; application/json)",
            ),
            (
                "application/json",
                None,
                b"\"hunter2\"",
                "JSON of another form (line 1, column 9; application/json)",
            ),
        ] {
            let text = fault(&reply(200, media, coding, body));
            let expected = format!(
                "https://api.example.com/v3/apps answered 200 with {expected}, expected an answer of the v3 API"
            );
            assert_eq!(text, expected);
            assert!(!text.contains("hunter2"));
        }
    }

    #[tokio::test]
    async fn a_long_answer_is_read_as_a_short_one_is() {
        let url = Url::parse("https://api.example.com/v3/apps").unwrap();
        let long = format!("[{}1]", "1,".repeat(BODY_BYTES_AT_ONCE));
        let read: Value =
            read_aside(&url, reply(200, "application/json", None, long.as_bytes())).await.unwrap();
        assert_eq!(read.as_array().unwrap().len(), BODY_BYTES_AT_ONCE + 1);
        let error = read_aside::<Variables>(&url, reply(200, "text/html", None, &long.as_bytes()[1..])).await;
        assert!(matches!(error, Err(CallError::Unreadable { .. })), "{error:?}");
    }
}
