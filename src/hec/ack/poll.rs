//! What a poll asks, and what the reply says. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;

use crate::hec::transport::Exchange;

/// An id that no server gives out: asked for where only the kind of the answer matters.
pub(crate) const NO_ID: u64 = u32::MAX as u64;

/// The body of a poll.
pub(crate) fn question(ids: &[u64]) -> Bytes {
    let ids: Vec<_> = ids.iter().map(u64::to_string).collect();
    format!("{{\"acks\":[{}]}}", ids.join(",")).into()
}

/// The statuses in a reply, if it is one to a poll: by id, and whether it is indexed.
///
/// Anything but a clear `true` is not one. What is no number is left out.
pub(crate) fn statuses(body: &[u8]) -> Option<BTreeMap<u64, bool>> {
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else { return None };
    let Value::Object(acks) = members.get("acks")? else { return None };
    let status = |(id, status): (&String, &Value)| {
        let indexed = matches!(status, Value::Bool(true)) || status.as_str() == Some("true");
        Some((id.trim().parse().ok()?, indexed))
    };
    Some(acks.iter().filter_map(status).collect())
}

/// What a poll came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The server says which of the ids are indexed.
    Statuses(BTreeMap<u64, bool>),
    /// Acknowledgement is off for the token.
    Disabled,
    /// The channel is missing, malformed or otherwise not liked.
    Channel,
    /// The token is refused.
    Token,
    /// It did not reach the server.
    NotAsked,
    /// The server said no, and told nothing.
    Refused,
    /// It may have told something that did not arrive.
    Uncertain,
}

impl Answer {
    /// Reads the outcome of a poll.
    pub(crate) fn of(exchange: &Exchange, statuses: Option<BTreeMap<u64, bool>>) -> Self {
        let (status, code) = match exchange {
            Exchange::Failed { failure, .. } if failure.is_before_sending() => return Self::NotAsked,
            Exchange::Failed { .. } => return Self::Uncertain,
            Exchange::Reply { status, body, .. } => (*status, body.code().map(|code| code.0)),
        };
        match (status.as_u16(), code, statuses) {
            (200..=299, _, Some(statuses)) => Self::Statuses(statuses),
            (400, Some(14), _) => Self::Disabled,
            (400, Some(10 | 11 | 28), _) => Self::Channel,
            (401 | 403, _, _) | (400, Some(1..=4 | 16), _) => Self::Token,
            // The server's own word, or of one that has not handed the request on.
            (_, Some(code), _) if code != 0 => Self::Refused,
            (300..=407 | 409..=499, _, _) => Self::Refused,
            _ => Self::Uncertain,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use proptest::prelude::*;

    use super::*;
    use crate::hec::classify::TransportFailure;
    use crate::hec::reply::ReplyBody;

    #[test]
    fn questions_and_replies() {
        assert_eq!(question(&[0, 1, 2]), r#"{"acks":[0,1,2]}"#);
        assert_eq!(question(&[]), r#"{"acks":[]}"#);
        let cases = [
            (r#"{"acks":{"0":true,"1":false}}"#, Some(vec![(0, true), (1, false)])),
            (
                r#" {"x":1,"acks":{" 7 ":"true","8":"yes","9":1,"10":null}} "#,
                Some(vec![(7, true), (8, false), (9, false), (10, false)]),
            ),
            (r#"{"acks":{"-1":true,"x":true}}"#, Some(vec![])),
            (r#"{"acks":[true]}"#, None),
            (r#"{"text":"ACK is disabled","code":14}"#, None),
            (r#"{"acks":{"0":true}"#, None),
            ("<html>", None),
            ("", None),
        ];
        for (body, expected) in cases {
            let expected = expected.map(|pairs| pairs.into_iter().collect());
            assert_eq!(statuses(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn every_status_means_something_and_only_statuses_mean_delivery() {
        use Answer::{Channel, Disabled, NotAsked, Refused, Statuses, Token, Uncertain};
        let told = || Statuses(BTreeMap::from([(0, true)]));
        let cases = [
            (200, r#"{"acks":{"0":true}}"#, told()),
            (200, "<html>login</html>", Uncertain),
            (200, r#"{"text":"Success","code":0}"#, Uncertain),
            (204, "", Uncertain),
            (400, r#"{"acks":{"0":true}}"#, Refused),
            (400, r#"{"text":"ACK is disabled","code":14}"#, Disabled),
            (403, r#"{"text":"ACK is disabled","code":14}"#, Token),
            (400, r#"{"code":10}"#, Channel),
            (400, r#"{"code":11}"#, Channel),
            (400, r#"{"code":28}"#, Channel),
            (400, r#"{"code":6}"#, Refused),
            (400, "", Refused),
            (401, r#"{"code":2}"#, Token),
            (403, "<html>", Token),
            (404, r#"{"code":404}"#, Refused),
            (302, "", Refused),
            (408, "", Uncertain),
            (413, "<html>", Refused),
            (429, r#"{"code":27}"#, Refused),
            (500, r#"{"code":8}"#, Refused),
            (503, r#"{"code":9}"#, Refused),
            (500, "", Uncertain),
            (502, "<html>", Uncertain),
            (504, "", Uncertain),
        ];
        for (status, body, expected) in cases {
            let exchange = Exchange::Reply {
                status: StatusCode::from_u16(status).unwrap(),
                retry_after: None,
                body: ReplyBody::parse(body.as_bytes()),
            };
            assert_eq!(Answer::of(&exchange, statuses(body.as_bytes())), expected, "{status} {body}");
        }
        for (failure, expected) in
            [(TransportFailure::Unreachable, NotAsked), (TransportFailure::Interrupted, Uncertain)]
        {
            let exchange = Exchange::Failed { failure, text: String::new() };
            assert_eq!(Answer::of(&exchange, None), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = statuses(&bytes);
        }
    }
}
