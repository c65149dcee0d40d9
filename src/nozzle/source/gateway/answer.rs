//! What a gateway's answer means.

use std::sync::Arc;

use bytes::BytesMut;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use super::body::Body;
use crate::nozzle::source::dial::WireLog;
use crate::nozzle::source::end::{End, peer_text};

/// The most that is read of a refusal.
const BODY_BYTES_MAX: usize = 4 * 1024;

/// The gorouter's own errors have this header.
const ROUTER_ERROR: &str = "x-cf-routererror";

/// What the server answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// The stream is open.
    Open(Body, Arc<WireLog>),
    /// The token may be to blame.
    TokenRefused(End),
    /// Something else is.
    Refused(End),
}

/// The answer with this head; of a refusal the body is read.
pub(super) async fn of(head: &Parts, mut body: Body, log: Arc<WireLog>) -> Answer {
    if head.status == StatusCode::OK {
        return match content_type(&head.headers) {
            kind if kind.starts_with("text/event-stream") => Answer::Open(body, log),
            kind => Answer::Refused(End::Protocol(format!(
                "200 with content of type {:?}, expected text/event-stream",
                peer_text(&kind)
            ))),
        };
    }
    let mut text = BytesMut::new();
    // The status is worth telling even when the reason cannot be read to its end.
    while let Some(Ok(chunk)) = body.chunk().await {
        let room = BODY_BYTES_MAX - text.len();
        text.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if text.len() == BODY_BYTES_MAX {
            break;
        }
    }
    refusal(head.status, &head.headers, &text)
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    value.unwrap_or_default().to_ascii_lowercase()
}

/// What a status other than 200 means.
fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answer {
    let said = format!("{} {:?}", status.as_u16(), words(body));
    let from_router = headers.contains_key(ROUTER_ERROR);
    let end = match status {
        StatusCode::NOT_FOUND if from_router || body.starts_with(b"404 page not found") => End::Refused(
            format!("{said}; there is no gateway at the address that the API root names as log_stream"),
        ),
        // The gateway never answers 401 or 403.
        StatusCode::NOT_FOUND => {
            return Answer::TokenRefused(End::Unauthorized(format!(
                "{said}, which is what a gateway says of any token it does not accept; the client needs the \
                 authority doppler.firehose or logs.admin, and the gateway its UAA"
            )));
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Answer::TokenRefused(End::Unauthorized(format!(
                "{said}; a gateway does not say so: look for a proxy between"
            )));
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            End::Unavailable(format!("{said}; the gateway cannot reach a reverse log proxy, or is starting"))
        }
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            End::Unavailable(said)
        }
        _ => End::Refused(said),
    };
    Answer::Refused(end)
}

/// The message of an error as the gateway writes it, or else what there is.
fn words(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Error {
        message: String,
    }
    match serde_json::from_slice(body) {
        Ok(Error { message }) => peer_text(&message),
        Err(_) => peer_text(&String::from_utf8_lossy(body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_follow_the_table() {
        let error =
            |message: &str, error: &str| format!("{{\"message\":{message:?},\"error\":{error:?}}}\n\n");
        let not_found = error("resource not found", "not_found");
        let unavailable = error("streaming is temporarily unavailable", "streaming_unavailable");
        let long = "ü".repeat(BODY_BYTES_MAX);
        let cases = [
            (404, false, not_found.as_str(), true, "unauthorized", "404 \"resource not found\", which"),
            (404, false, &not_found, true, "unauthorized", "doppler.firehose or logs.admin"),
            (404, false, "", true, "unauthorized", "404 \"\""),
            (404, false, "404 page not found\n", false, "refused", "no gateway at the address"),
            (404, true, "404 Not Found: Requested route", false, "refused", "no gateway at the address"),
            (401, false, "no", true, "unauthorized", "look for a proxy"),
            (403, false, "no", true, "unauthorized", "403 \"no\""),
            (
                400,
                false,
                &error("query cannot be empty", "empty_query"),
                false,
                "refused",
                "query cannot be empty",
            ),
            (405, false, &error("method not allowed", "method_not_allowed"), false, "refused", "405"),
            (302, false, "moved", false, "refused", "302 \"moved\""),
            (429, false, "slowly", false, "unavailable", "429"),
            (500, false, "<html>", false, "unavailable", "500 \"<html>\""),
            (502, true, "502 Bad Gateway: Registered endpoint failed", false, "unavailable", "Registered"),
            (503, false, &unavailable, false, "unavailable", "503 \"streaming is temporarily unavailable\";"),
            (503, false, &long, false, "unavailable", "…"),
        ];
        for (status, from_router, body, token, label, words) in cases {
            let mut headers = HeaderMap::new();
            if from_router {
                headers.insert(ROUTER_ERROR, "unknown_route".parse().unwrap());
            }
            let answer = refusal(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes());
            let end = match answer {
                Answer::TokenRefused(end) if token => end,
                Answer::Refused(end) if !token => end,
                other => panic!("{status} {body:?}: {other:?}"),
            };
            assert_eq!(end.label(), label, "{end}");
            assert!(end.to_string().contains(words), "{end}");
        }
    }
}
