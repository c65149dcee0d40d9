//! Reading what a HEC endpoint answered.
//!
//! The body of a reply decides whether data was taken, and it comes from anything that stands
//! between here and Splunk: it may be JSON with members in any order, JSON with integers as
//! strings, an HTML page of a gateway, cut short, huge, or missing. Reading it never fails: what
//! is not recognised is named as such, and [`classify`](super::classify) decides what follows.

use serde_json::Value;

/// The most that is read of a reply body; the rest is thrown away with its connection.
pub const REPLY_BYTES_MAX: usize = 64 * 1024;

/// The most characters kept of a reply's `text`, for logs and the status.
const TEXT_CHARS_MAX: usize = 200;

/// The `code` of a HEC reply; it says more than the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HecCode(pub i64);

impl HecCode {
    /// Success: everything is in the input queue.
    pub const SUCCESS: Self = Self(0);
    /// No data: an empty body, or only events with unknown keys.
    pub const NO_DATA: Self = Self(5);
    /// Invalid data format: an event is not JSON, or is too large.
    pub const FORMAT: Self = Self(6);
    /// Incorrect index: the token may not write to it, or it does not exist.
    pub const INDEX: Self = Self(7);
    /// Server is busy.
    pub const BUSY: Self = Self(9);
    /// Event field is required.
    pub const EVENT_REQUIRED: Self = Self(12);
    /// Event field cannot be blank.
    pub const EVENT_BLANK: Self = Self(13);
    /// Error in handling indexed fields.
    pub const FIELDS: Self = Self(15);
    /// Success, but the server's queue is filling up.
    pub const QUEUE_FILLING: Self = Self(24);
    /// Success, but the acknowledgement channel is filling up.
    pub const ACKS_FILLING: Self = Self(25);
    /// The server's queue is full.
    pub const QUEUE_FULL: Self = Self(26);
    /// The acknowledgement channel is full.
    pub const ACKS_FULL: Self = Self(27);

    /// What it means for an event that is refused.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::NO_DATA => "No data",
            Self::FORMAT => "Invalid data format",
            Self::INDEX => "Incorrect index",
            Self::EVENT_REQUIRED => "Event field is required",
            Self::EVENT_BLANK => "Event field cannot be blank",
            Self::FIELDS => "Error in handling indexed fields",
            _ => "refused with another code",
        }
    }

    /// Whether it is what a health check says of a server that can take no events: full queues
    /// (18, 20), or that it is shutting down (23).
    pub(crate) fn wants_no_data(self) -> bool {
        matches!(self.0, 18 | 20 | 23)
    }
}

impl std::fmt::Display for HecCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A reply in HEC's own form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HecReply {
    /// What the server decided.
    pub code: HecCode,
    /// Its words, at most 200 characters and without control characters.
    pub text: String,
    /// `invalid-event-number`: where in the batch it stopped, from 0. Absent when it is missing,
    /// negative or not an integer.
    pub event_number: Option<u64>,
    /// `ackId`: under which the request's events can be asked for; absent as above.
    pub ack_id: Option<u64>,
}

/// What a reply body turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyBody {
    /// A JSON object with an integer `code`.
    Hec(HecReply),
    /// Nothing, or only white space.
    Empty,
    /// A page of markup: a gateway's error, a login page, a captive portal.
    Html,
    /// Something else, or more than [`REPLY_BYTES_MAX`].
    Other,
    /// The connection ended, or time ran out, before the whole body was there.
    Cut,
}

impl ReplyBody {
    /// Recognises a complete body (or its first [`REPLY_BYTES_MAX`] bytes).
    ///
    /// ```
    /// use firehose_nozzle::hec::reply::{HecCode, ReplyBody};
    ///
    /// let body = ReplyBody::parse(br#"{"code":"6","invalid-event-number":2,"text":"Invalid data format"}"#);
    /// let ReplyBody::Hec(reply) = body else { panic!("not recognised") };
    /// assert_eq!((reply.code, reply.event_number), (HecCode::FORMAT, Some(2)));
    /// ```
    pub fn parse(bytes: &[u8]) -> Self {
        // Lossy: a body that is not quite UTF-8 still carries its code.
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Self::Empty;
        }
        if text.starts_with('<') {
            return Self::Html;
        }
        let Ok(Value::Object(members)) = serde_json::from_str(text) else { return Self::Other };
        let Some(code) = members.get("code").and_then(integer) else { return Self::Other };
        let number =
            |name: &str| members.get(name).and_then(integer).and_then(|number| u64::try_from(number).ok());
        Self::Hec(HecReply {
            code: HecCode(code),
            text: members.get("text").and_then(Value::as_str).map(shorten).unwrap_or_default(),
            event_number: number("invalid-event-number"),
            ack_id: number("ackId"),
        })
    }

    /// The HEC code, where there is one.
    pub fn code(&self) -> Option<HecCode> {
        self.hec().map(|reply| reply.code)
    }

    /// The reply, where it is a HEC's.
    pub fn hec(&self) -> Option<&HecReply> {
        match self {
            Self::Hec(reply) => Some(reply),
            Self::Empty | Self::Html | Self::Other | Self::Cut => None,
        }
    }
}

/// An integer as a number or as a string of one.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Fit for a log line: bounded, on one line.
fn shorten(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hec(code: i64, text: &str, event_number: Option<u64>) -> ReplyBody {
        ReplyBody::Hec(HecReply { code: HecCode(code), text: text.to_owned(), event_number, ack_id: None })
    }

    #[test]
    fn an_ack_id_is_read_by_its_one_name() {
        for (body, expected) in [
            (r#"{"text":"Success","code":0,"ackId":7}"#, Some(7)),
            (r#"{"ackId":"0","code":0}"#, Some(0)),
            (r#"{"ackID":7,"ack_id":7,"code":0}"#, None),
            (r#"{"ackId":-1,"code":0}"#, None),
            (r#"{"ackId":1.5,"code":0}"#, None),
            (r#"{"ackId":null,"code":0}"#, None),
        ] {
            let ReplyBody::Hec(reply) = ReplyBody::parse(body.as_bytes()) else { panic!("{body}") };
            assert_eq!(reply.ack_id, expected, "{body}");
        }
    }

    #[test]
    fn bodies_are_recognised_whatever_their_form() {
        let huge = format!("{{\"text\":\"{}\",\"code\":0}}", "x".repeat(REPLY_BYTES_MAX));
        let cases: Vec<(&[u8], ReplyBody)> = vec![
            (br#"{"text":"Success","code":0}"#, hec(0, "Success", None)),
            (b" \r\n{ \"code\" : 0 , \"text\" : \"Success\" }\r\n", hec(0, "Success", None)),
            (br#"{"ackid":7,"code":0,"text":"Success","new":{"a":[1]}}"#, hec(0, "Success", None)),
            (
                br#"{"text":"Incorrect index","code":7,"invalid-event-number":1}"#,
                hec(7, "Incorrect index", Some(1)),
            ),
            (br#"{"code":"7","invalid-event-number":" 12 "}"#, hec(7, "", Some(12))),
            (br#"{"code":6,"invalid-event-number":-1}"#, hec(6, "", None)),
            (br#"{"code":6,"invalid-event-number":1.5}"#, hec(6, "", None)),
            (br#"{"code":6,"invalid-event-number":null,"text":5}"#, hec(6, "", None)),
            (b"\xef\xbb\xbf{\"code\":9}", hec(9, "", None)),
            (b"{\"code\":9,\"text\":\"caf\xe9\\n\"}", hec(9, "caf\u{fffd} ", None)),
            (br#"{"code":-3}"#, hec(-3, "", None)),
            (b"", ReplyBody::Empty),
            (b" \r\n\t", ReplyBody::Empty),
            (b"<!doctype html><html>Login</html>", ReplyBody::Html),
            (b"\n<?xml version=\"1.0\"?>", ReplyBody::Html),
            (br#"{"text":"Success","co"#, ReplyBody::Other),
            (br#"{"text":"Success"}"#, ReplyBody::Other),
            (br#"{"code":true}"#, ReplyBody::Other),
            (br#"{"code":99999999999999999999}"#, ReplyBody::Other),
            (br#""OK""#, ReplyBody::Other),
            (br#"[{"code":0}]"#, ReplyBody::Other),
            (b"{\"code\":0}{\"code\":0}", ReplyBody::Other),
            (b"Bad Gateway", ReplyBody::Other),
            (b"\x00\xff\xfe", ReplyBody::Other),
            (&huge.as_bytes()[..REPLY_BYTES_MAX], ReplyBody::Other),
        ];
        for (bytes, expected) in cases {
            assert_eq!(
                ReplyBody::parse(bytes),
                expected,
                "{}",
                String::from_utf8_lossy(&bytes[..bytes.len().min(80)])
            );
        }
    }

    #[test]
    fn text_is_bounded_and_stays_on_one_line() {
        let body = format!(r#"{{"code":1,"text":"a\n{}"}}"#, "é".repeat(500));
        let ReplyBody::Hec(reply) = ReplyBody::parse(body.as_bytes()) else { panic!("not recognised") };
        assert_eq!(reply.text.chars().count(), TEXT_CHARS_MAX);
        assert!(reply.text.starts_with("a é"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = ReplyBody::parse(&bytes);
        }

        #[test]
        fn a_truncated_reply_is_never_taken_for_a_whole_one(cut in 0usize..60) {
            let whole = br#"{"text":"Success","code":0,"invalid-event-number":3,"a":1}"#;
            let cut = cut.min(whole.len() - 1);
            proptest::prop_assert_eq!(ReplyBody::parse(&whole[..cut]).code(), None);
        }
    }
}
