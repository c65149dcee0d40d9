//! Where the firehose's websocket is, and how to ask for it.

use http::{HeaderValue, Uri};
use rustls::pki_types::ServerName;
use url::{Host, Url};

use super::upgrade::Upgrade;
use crate::nozzle::source::end::End;
use crate::nozzle::source::selectors::FirehoseFilter;

/// Where a stream leads, worked out from the firehose's address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// `host:port`, to connect to.
    pub(super) address: String,
    /// The name the certificate must be for; without it there is no TLS.
    pub(super) server_name: Option<ServerName<'static>>,
    path_and_query: Uri,
    host: HeaderValue,
    origin: HeaderValue,
}

impl Target {
    /// # Errors
    /// The address is not one of a websocket.
    pub(super) fn new(url: &Url, shard_id: &str, filter: FirehoseFilter) -> Result<Self, End> {
        let bad = || End::Refused(format!("{url} is not a firehose address: expected wss://host[:port]"));
        let (secure, default_port) = match url.scheme() {
            "wss" | "https" => (true, 443),
            "ws" | "http" => (false, 80),
            _ => return Err(bad()),
        };
        let host = url.host().ok_or_else(bad)?;
        let name = match &host {
            Host::Ipv6(address) => address.to_string(),
            other => other.to_string(),
        };
        let server_name = ServerName::try_from(name).map_err(|_| bad())?;
        let authority = match url.port() {
            None => host.to_string(),
            Some(port) => format!("{host}:{port}"),
        };
        let (path, id) = (url.path().trim_end_matches('/'), percent_encode(shard_id));
        Ok(Self {
            address: format!("{host}:{}", url.port().unwrap_or(default_port)),
            server_name: secure.then_some(server_name),
            path_and_query: format!("{path}/firehose/{id}{}", filter.query())
                .try_into()
                .map_err(|_| bad())?,
            host: authority.try_into().map_err(|_| bad())?,
            // What the platform's own client library sends.
            origin: url.as_str().trim_end_matches('/').try_into().map_err(|_| bad())?,
        })
    }

    /// The request to make there.
    pub(super) fn upgrade(&self, authorization: HeaderValue) -> Upgrade<'_> {
        Upgrade {
            address: &self.address,
            path_and_query: &self.path_and_query,
            host: &self.host,
            origin: &self.origin,
            authorization,
        }
    }
}

/// Writes an id as one segment of a path: all but the unreserved characters are encoded.
fn percent_encode(id: &str) -> String {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    // A segment of dots alone means a folder, unless it is encoded.
    let dots = id.bytes().all(|byte| byte == b'.');
    let mut encoded = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => encoded.push(byte.into()),
            b'.' if !dots => encoded.push('.'),
            _ => {
                let digit = |half: u8| HEX.get(usize::from(half)).copied().unwrap_or('0');
                encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_one_segment_of_the_path() {
        let cases = [
            ("splunk-firehose_1.2~x", "splunk-firehose_1.2~x"),
            ("a b", "a%20b"),
            ("a/b?c#d%e", "a%2Fb%3Fc%23d%25e"),
            ("grün", "gr%C3%BCn"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("a..b", "a..b"),
        ];
        for (id, encoded) in cases {
            assert_eq!(percent_encode(id), encoded);
        }
    }

    proptest! {
        #[test]
        fn any_id_comes_back_as_it_was(id in ".*") {
            let url = Url::parse(&format!("wss://host/firehose/{}", percent_encode(&id))).unwrap();
            let segment = url.path_segments().unwrap().nth(1).unwrap().to_owned();
            // The form encoding agrees with the path's, but for the plus sign, which is not used.
            prop_assert!(!segment.contains('+'));
            let decoded = url::form_urlencoded::parse(segment.as_bytes()).next();
            prop_assert_eq!(decoded.map(|(name, _)| name.into_owned()).unwrap_or_default(), id);
        }
    }

    #[test]
    fn targets_follow_the_table() {
        let cases = [
            ("wss://doppler.example:443", "doppler.example:443", true, "doppler.example", "/firehose/id"),
            (
                "wss://doppler.example:4443/",
                "doppler.example:4443",
                true,
                "doppler.example:4443",
                "/firehose/id",
            ),
            ("ws://127.0.0.1:8081", "127.0.0.1:8081", false, "127.0.0.1:8081", "/firehose/id"),
            ("wss://[::1]:8081", "[::1]:8081", true, "[::1]:8081", "/firehose/id"),
            (
                "ws://doppler.example/base/",
                "doppler.example:80",
                false,
                "doppler.example",
                "/base/firehose/id",
            ),
        ];
        for (url, address, secure, host, path) in cases {
            let target = Target::new(&Url::parse(url).unwrap(), "id", FirehoseFilter::None).unwrap();
            assert_eq!(target.address, address);
            assert_eq!(target.server_name.is_some(), secure, "{url}");
            assert_eq!(target.host, host);
            assert_eq!(target.path_and_query, path);
            assert!(url.starts_with(target.origin.to_str().unwrap()), "{url}");
        }
        let wrong = Target::new(&Url::parse("ftp://doppler.example").unwrap(), "id", FirehoseFilter::None);
        assert!(wrong.unwrap_err().to_string().contains("expected wss://host[:port]"));
    }
}
