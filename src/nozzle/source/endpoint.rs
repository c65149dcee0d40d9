//! Where a stream of HTTP leads, worked out from a URL of the API root.

use http::HeaderValue;
use rustls::pki_types::ServerName;
use url::{Host, Url};

use super::dial::{Peer, PeerTls};
use crate::proxy::Proxy;
use crate::tls::KeptTls;

/// A server, taken apart as the protocols need it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// `host:port`, to connect to.
    pub(super) address: String,
    /// The name the certificate must be for; without it there is no TLS.
    pub(super) server_name: Option<ServerName<'static>>,
    /// The host as requests name it, with the port if the URL has one.
    pub(super) host: HeaderValue,
    /// The path of the URL, without a slash at its end.
    pub(super) base_path: String,
}

impl Endpoint {
    /// `None` if the URL is not one of HTTP or of a websocket.
    pub(super) fn new(url: &Url) -> Option<Self> {
        let (secure, default_port) = match url.scheme() {
            "wss" | "https" => (true, 443),
            "ws" | "http" => (false, 80),
            _ => return None,
        };
        let host = url.host()?;
        let name = match &host {
            Host::Ipv6(address) => address.to_string(),
            other => other.to_string(),
        };
        let server_name = ServerName::try_from(name).ok()?;
        let authority = match url.port() {
            None => host.to_string(),
            Some(port) => format!("{host}:{port}"),
        };
        Some(Self {
            address: format!("{host}:{}", url.port().unwrap_or(default_port)),
            server_name: secure.then_some(server_name),
            host: authority.try_into().ok()?,
            base_path: url.path().trim_end_matches('/').to_owned(),
        })
    }

    /// How to get there: with TLS that offers the protocols `alpn`, through a proxy or not.
    pub(super) fn peer<'a>(
        &'a self,
        client: &'a KeptTls,
        alpn: &'static [&'static str],
        proxy: Option<&'a Proxy>,
    ) -> Peer<'a> {
        let tls = self.server_name.clone().map(|server_name| PeerTls { client, server_name, alpn });
        Peer { address: &self.address, tls, proxy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_follow_the_table() {
        let cases = [
            ("wss://doppler.example:443", "doppler.example:443", true, "doppler.example", ""),
            ("wss://doppler.example:4443/", "doppler.example:4443", true, "doppler.example:4443", ""),
            ("ws://127.0.0.1:8081", "127.0.0.1:8081", false, "127.0.0.1:8081", ""),
            ("wss://[::1]:8081", "[::1]:8081", true, "[::1]:8081", ""),
            ("ws://doppler.example/base/", "doppler.example:80", false, "doppler.example", "/base"),
            ("https://log-stream.example", "log-stream.example:443", true, "log-stream.example", ""),
            (
                "http://log-stream.example:8088",
                "log-stream.example:8088",
                false,
                "log-stream.example:8088",
                "",
            ),
        ];
        for (url, address, secure, host, base_path) in cases {
            let endpoint = Endpoint::new(&Url::parse(url).unwrap()).unwrap();
            assert_eq!(endpoint.address, address);
            assert_eq!(endpoint.server_name.is_some(), secure, "{url}");
            assert_eq!(endpoint.host, host);
            assert_eq!(endpoint.base_path, base_path, "{url}");
        }
        assert_eq!(Endpoint::new(&Url::parse("ftp://doppler.example").unwrap()), None);
    }
}
