//! The API root: the document that says where the foundation's parts are.
//!
//! Tolerant: a link that is absent, null or has no address is absent. Strict where a guess would do
//! harm: a link that is present but not a URL is an error, because taking it for absent would make
//! the nozzle read from another source than its neighbours.

use serde_json::Value;
use url::Url;

use super::http::{Http, HttpError, shown};

/// The root document is a few kilobytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Where the foundation's parts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The UAA, which gives tokens (the login server where the root names only that).
    pub uaa: Url,
    /// Cloud Controller's v3 API.
    pub cloud_controller: Url,
    /// The traffic controller's websocket; absent where the v1 firehose is switched off.
    pub logging: Option<Url>,
    /// The RLP gateway; absent on foundations without it.
    pub log_stream: Option<Url>,
}

/// Why the API root could not be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RootError {
    /// No reply.
    #[error("cannot read the API root (check API_ENDPOINT): {0}")]
    Http(#[from] HttpError),
    /// A reply, but not 200.
    #[error("{url} answered {status}, expected 200 and a JSON document with links (check API_ENDPOINT)")]
    Status {
        /// The URL asked.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// Not the document of an API root.
    #[error("{url} did not answer with a JSON document that holds `links` (check API_ENDPOINT)")]
    NotARoot {
        /// The URL asked.
        url: String,
    },
    /// A link that is needed is missing.
    #[error("the API root at {url} has no link `{link}`")]
    Missing {
        /// The URL asked.
        url: String,
        /// The link's name.
        link: &'static str,
    },
    /// A link is there but cannot be used.
    #[error("the API root at {url} links `{link}` to `{value}`, expected a URL with scheme {expected}")]
    Unusable {
        /// The URL asked.
        url: String,
        /// The link's name.
        link: &'static str,
        /// What it says.
        value: String,
        /// The schemes that would do.
        expected: &'static str,
    },
}

impl Root {
    /// Reads the root of the API at `api`.
    ///
    /// # Errors
    /// No reply, not an API root, or no way to the UAA.
    pub async fn discover(http: &Http, api: &Url) -> Result<Self, RootError> {
        let reply = http.get(api, None, BODY_BYTES_MAX).await?;
        if reply.status != 200 {
            return Err(RootError::Status { url: shown(api), status: reply.status.as_u16() });
        }
        Self::parse(api, &reply.body)
    }

    fn parse(api: &Url, body: &[u8]) -> Result<Self, RootError> {
        let document: Value = serde_json::from_slice(body).unwrap_or_default();
        let links = Links { document: &document, url: shown(api) };
        if !document["links"].is_object() {
            return Err(RootError::NotARoot { url: links.url });
        }
        let uaa = match links.http("uaa")? {
            Some(uaa) => uaa,
            None => links.http("login")?.ok_or(RootError::Missing { url: shown(api), link: "uaa" })?,
        };
        let cloud_controller = links.http("cloud_controller_v3")?.unwrap_or_else(|| below(api, &["v3"]));
        let logging = links.get("logging", &["ws", "wss"], "ws or wss")?;
        let log_stream = links.http("log_stream")?;
        Ok(Self { uaa, cloud_controller, logging, log_stream })
    }
}

/// A URL some path segments below another.
pub(crate) fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    // An http or ws URL can always be a base; one that cannot has no path to extend.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

struct Links<'a> {
    document: &'a Value,
    url: String,
}

impl Links<'_> {
    fn http(&self, link: &'static str) -> Result<Option<Url>, RootError> {
        self.get(link, &["http", "https"], "http or https")
    }

    fn get(
        &self,
        link: &'static str,
        schemes: &[&str],
        expected: &'static str,
    ) -> Result<Option<Url>, RootError> {
        let value = match &self.document["links"][link]["href"] {
            Value::String(text) if !text.trim().is_empty() => text.trim(),
            _ => return Ok(None),
        };
        match Url::parse(value) {
            Ok(url) if schemes.contains(&url.scheme()) && url.has_host() => Ok(Some(url)),
            _ => Err(RootError::Unusable { url: self.url.clone(), link, value: value.to_owned(), expected }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::nozzle::cf::fake::{client, serve};

    fn parse(document: &Value) -> Result<Root, RootError> {
        let api = Url::parse("https://api.example.com").unwrap();
        Root::parse(&api, document.to_string().as_bytes())
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn all_links_are_found() {
        let root = parse(&json!({"links": {
            "self": {"href": "https://api.example.com"},
            "cloud_controller_v3": {"href": "https://api.example.com/v3", "meta": {"version": "3.190.0"}},
            "uaa": {"href": "https://uaa.example.com"},
            "login": {"href": "https://login.example.com"},
            "logging": {"href": "wss://doppler.example.com:443"},
            "log_stream": {"href": "https://log-stream.example.com"},
            "app_ssh": {"href": "ssh.example.com:2222"},
        }}))
        .unwrap();
        assert_eq!(root.uaa, url("https://uaa.example.com"));
        assert_eq!(root.cloud_controller, url("https://api.example.com/v3"));
        assert_eq!(root.logging, Some(url("wss://doppler.example.com:443")));
        assert_eq!(root.log_stream, Some(url("https://log-stream.example.com")));
    }

    #[test]
    fn absent_links_are_absent_in_every_spelling() {
        for nothing in [json!(null), json!({}), json!({"href": null}), json!({"href": ""}), json!([])] {
            let root = parse(&json!({"links": {
                "uaa": nothing, "logging": nothing, "log_stream": nothing, "cloud_controller_v3": nothing,
                "login": {"href": "https://login.example.com"},
            }}))
            .unwrap();
            assert_eq!(root.uaa, url("https://login.example.com"), "{nothing}");
            assert_eq!(root.cloud_controller, url("https://api.example.com/v3"), "{nothing}");
            assert_eq!((root.logging, root.log_stream), (None, None), "{nothing}");
        }
    }

    #[test]
    fn errors_say_what_was_expected_where() {
        let cases = [
            (json!("<html>"), "https://api.example.com/ did not answer with a JSON document"),
            (json!({"links": []}), "did not answer with a JSON document that holds `links`"),
            (json!({"links": {}}), "the API root at https://api.example.com/ has no link `uaa`"),
            (
                json!({"links": {"uaa": {"href": "uaa.example.com"}}}),
                "links `uaa` to `uaa.example.com`, expected a URL with scheme http or https",
            ),
            (
                json!({"links": {"uaa": {"href": "http://u"}, "logging": {"href": "https://doppler"}}}),
                "links `logging` to `https://doppler`, expected a URL with scheme ws or wss",
            ),
        ];
        for (document, expected) in cases {
            let error = parse(&document).unwrap_err().to_string();
            assert!(error.contains(expected), "{document}: {error}");
        }
    }

    #[test]
    fn paths_are_extended_whether_or_not_the_base_ends_in_a_slash() {
        for base in ["https://h/uaa", "https://h/uaa/"] {
            assert_eq!(below(&url(base), &["oauth", "token"]).as_str(), "https://h/uaa/oauth/token");
        }
        assert_eq!(below(&url("https://h"), &["a b", "{c}"]).as_str(), "https://h/a%20b/%7Bc%7D");
    }

    #[tokio::test]
    async fn a_status_other_than_200_is_named() {
        let (url, _server) = serve(axum::Router::new()).await;
        let error = Root::discover(&client(), &url).await.unwrap_err();
        assert!(matches!(error, RootError::Status { status: 404, .. }), "{error}");
    }
}
