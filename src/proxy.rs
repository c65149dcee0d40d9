//! Which connections go through an HTTP proxy, and how it is asked.
//!
//! Parsed once, from HTTPS_PROXY, HTTP_PROXY and NO_PROXY, and then asked for each URL, so that
//! every client of this crate decides alike. The rules are those of Go programs, and so of the Go
//! nozzle: see [`bypass`].
//!
//! Credentials of a proxy are in no `Debug` output and in no [`Proxy::address`].

pub mod bypass;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use url::Url;

use self::bypass::Bypass;

/// The port of a proxy whose address names none, as in Go.
const DEFAULT_PORT: u16 = 80;

/// The form of a proxy's address, for messages.
pub const PROXY_FORM: &str = "the address of an HTTP proxy, [http://][user:password@]host[:port]";

/// Which proxy serves which connections; by default there is none. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// For `https` and `wss` (HTTPS_PROXY).
    pub secure: Option<Proxy>,
    /// For `http` and `ws` (HTTP_PROXY).
    pub plain: Option<Proxy>,
    /// What is reached directly all the same (NO_PROXY).
    pub bypass: Bypass,
}

impl ProxySettings {
    /// The proxy for connections to `url`, if they do not go there directly.
    pub fn for_url(&self, url: &Url) -> Option<&Proxy> {
        let proxy = match url.scheme() {
            "https" | "wss" => self.secure.as_ref(),
            "http" | "ws" => self.plain.as_ref(),
            _ => None,
        };
        proxy.filter(|_| !self.bypass.matches(url))
    }
}

/// An HTTP proxy. `Debug` shows where it is, not who we are to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// With user and password, if there are.
    url: Url,
}

impl Proxy {
    /// Reads `http://user:password@host:port`; scheme, user, password and port may be missing.
    ///
    /// `None` if it is nothing of the kind; proxies that are spoken to by TLS or SOCKS are not
    /// supported.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let url = match text.contains("://") {
            true => Url::parse(text),
            false => Url::parse(&format!("http://{text}")),
        };
        let mut url = url.ok().filter(|url| url.scheme() == "http" && url.has_host())?;
        // A password with a slash in it would make a host of the user.
        if [Some(url.path()), url.query(), url.fragment()]
            .into_iter()
            .flatten()
            .any(|part| part.contains('@'))
        {
            return None;
        }
        url.set_path("");
        url.set_query(None);
        url.set_fragment(None);
        Some(Self { url })
    }

    /// `host:port`, to connect to.
    pub fn address(&self) -> String {
        format!("{}:{}", self.url.host_str().unwrap_or_default(), self.url.port().unwrap_or(DEFAULT_PORT))
    }

    /// The address for a client that makes its own tunnels. Holds the credentials.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Whether the proxy is told who we are.
    pub fn has_credentials(&self) -> bool {
        !self.url.username().is_empty() || self.url.password().is_some()
    }

    /// The value of the `proxy-authorization` header, marked sensitive.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        if !self.has_credentials() {
            return None;
        }
        let user = percent_decoded(self.url.username());
        let password = percent_decoded(self.url.password().unwrap_or_default());
        let credentials = STANDARD.encode([&user[..], b":", &password].concat());
        let mut value = HeaderValue::try_from(format!("Basic {credentials}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxy").field(&self.address()).finish()
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = digit(bytes.get(at + 1)).zip(digit(bytes.get(at + 2)));
        let code = pair.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        match code.filter(|_| byte == b'%') {
            Some(code) => {
                decoded.push(code);
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(secure: Option<&str>, plain: Option<&str>, bypass: &str) -> ProxySettings {
        let proxy = |text: &str| Proxy::parse(text).unwrap();
        ProxySettings { secure: secure.map(proxy), plain: plain.map(proxy), bypass: Bypass::parse(bypass).0 }
    }

    #[test]
    fn addresses_follow_the_table() {
        let cases = [
            ("http://proxy.example:3128", "proxy.example:3128", None),
            ("http://proxy.example:3128/", "proxy.example:3128", None),
            ("http://proxy.example/pac?x#y", "proxy.example:80", None),
            ("proxy.example:3128", "proxy.example:3128", None),
            (" proxy.example ", "proxy.example:80", None),
            ("10.0.0.1:3128", "10.0.0.1:3128", None),
            ("http://[::1]:3128", "[::1]:3128", None),
            ("HTTP://user:password@proxy:1", "proxy:1", Some("user:password")),
            ("user@proxy:1", "proxy:1", Some("user:")),
            ("user:p%40ss%3a%25%e4%zz@proxy:1", "proxy:1", Some("user:p@ss:%\u{e4}%zz")),
        ];
        for (text, address, credentials) in cases {
            let proxy = Proxy::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(proxy.address(), address, "{text}");
            let authorization = proxy.authorization().map(|value| {
                assert!(value.is_sensitive());
                let encoded = value.to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
                // Bytes as they are: the one that is no UTF-8 stands for itself.
                STANDARD.decode(encoded).unwrap().into_iter().map(char::from).collect::<String>()
            });
            assert_eq!(authorization.as_deref(), credentials, "{text}");
        }
        for wrong in [
            "http://user:1/2@proxy:3128",
            "https://proxy:3128",
            "socks5://proxy:1080",
            "http://",
            "",
            "a b",
            "proxy:port",
            "://x",
        ] {
            assert_eq!(Proxy::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn schemes_have_their_proxies() {
        let both = settings(Some("secure:1"), Some("plain:2"), "direct.example");
        let secure_only = settings(Some("secure:1"), None, "");
        let cases = [
            (&both, "https://api.example", Some("secure:1")),
            (&both, "wss://doppler.example:4443", Some("secure:1")),
            (&both, "http://api.example", Some("plain:2")),
            (&both, "ws://doppler.example", Some("plain:2")),
            (&both, "https://direct.example", None),
            (&both, "ftp://api.example", None),
            (&secure_only, "wss://doppler.example", Some("secure:1")),
            (&secure_only, "http://api.example", None),
        ];
        for (settings, url, proxy) in cases {
            let found = settings.for_url(&Url::parse(url).unwrap()).map(Proxy::address);
            assert_eq!(found.as_deref(), proxy, "{url}");
        }
        assert_eq!(ProxySettings::default().for_url(&Url::parse("https://api.example").unwrap()), None);
    }

    proptest! {
        #[test]
        fn credentials_are_never_shown(
            user in "[a-z]{0,3}S3CR3T",
            password in "(S3CR3T[!-~]{0,5})?",
            host in "[a-z:/@.]{0,10}",
        ) {
            for text in [format!("http://{user}:{password}@{host}"), format!("{user}:{password}@{host}")] {
                let Some(proxy) = Proxy::parse(&text) else { continue };
                let said = format!("{proxy:?} {} {:?}", proxy.address(), proxy.authorization());
                prop_assert!(!said.to_ascii_uppercase().contains("S3CR3T"), "{}", said);
            }
        }
    }
}
