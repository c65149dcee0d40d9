//! What goes to the token endpoint and what comes back.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::Credentials;

/// Assumed when the UAA does not say; the shortest life found in the field.
const LIFE_DEFAULT: Duration = Duration::from_secs(600);
/// A shorter life would mean a renewal for each request.
const LIFE_MIN: Duration = Duration::from_secs(10);
/// Longer makes no difference and keeps the arithmetic safe.
const LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// What the UAA says about a refusal is cut to this many characters.
const REASON_CHARS_MAX: usize = 200;

/// `Basic …` of the credentials as they are: the UAA decodes percent signs only when told to, so a
/// secret with special characters must not be encoded.
pub(super) fn basic(credentials: &Credentials) -> HeaderValue {
    let pair = format!("{}:{}", credentials.client_id, credentials.client_secret.expose_secret());
    let value = format!("Basic {}", STANDARD.encode(pair));
    // Base64 is always a valid header value.
    let mut header = HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static("Basic"));
    header.set_sensitive(true);
    header
}

pub(super) fn read_token(body: &[u8]) -> Option<(HeaderValue, Duration)> {
    #[derive(Deserialize)]
    struct Granted {
        access_token: String,
        token_type: Option<String>,
        expires_in: Option<i64>,
    }
    let granted: Granted = serde_json::from_slice(body).ok()?;
    let bearer = granted.token_type.is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    if !bearer || granted.access_token.is_empty() {
        return None;
    }
    let mut header = HeaderValue::try_from(format!("bearer {}", granted.access_token)).ok()?;
    header.set_sensitive(true);
    let life = granted.expires_in.map_or(LIFE_DEFAULT, |seconds| {
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).clamp(LIFE_MIN, LIFE_MAX)
    });
    Some((header, life))
}

/// The UAA's `error` and `error_description`, as far as it gave them.
pub(super) fn reason(body: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    struct Refusal {
        #[serde(default)]
        error: String,
        #[serde(default)]
        error_description: String,
    }
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let text = match (refusal.error.as_str(), refusal.error_description.as_str()) {
        ("", "") => "no reason given".to_owned(),
        (error, "") => error.to_owned(),
        ("", description) => description.to_owned(),
        (error, description) => format!("{error}: {description}"),
    };
    text.chars().take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_hold_no_token_are_not_taken_for_one() {
        let read = |text: &str| read_token(text.as_bytes()).map(|(_, life)| life.as_secs());
        let cases = [
            (r#"{"access_token":"a","token_type":"bearer","expires_in":43199}"#, Some(43199)),
            (r#"{"access_token":"a","token_type":"Bearer"}"#, Some(600)),
            (r#"{"access_token":"a","expires_in":0}"#, Some(10)),
            (r#"{"access_token":"a","expires_in":-5}"#, Some(10)),
            (r#"{"access_token":"a","expires_in":9223372036854775807}"#, Some(30 * 24 * 3600)),
            (r#"{"access_token":"a","token_type":"mac"}"#, None),
            (r#"{"access_token":""}"#, None),
            (r#"{"access_token":"a\nb"}"#, None),
            (r#"{"token_type":"bearer"}"#, None),
            ("<html>login</html>", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
