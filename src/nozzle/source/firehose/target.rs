//! How to ask for the firehose's websocket.

use http::{HeaderValue, Uri};
use url::Url;

use super::upgrade::Upgrade;
use crate::nozzle::source::end::End;
use crate::nozzle::source::endpoint::Endpoint;
use crate::nozzle::source::percent;
use crate::nozzle::source::selectors::FirehoseFilter;

/// Where a stream leads, worked out from the firehose's address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) endpoint: Endpoint,
    path_and_query: Uri,
    origin: HeaderValue,
}

impl Target {
    /// # Errors
    /// The address is not one of a websocket.
    pub(super) fn new(url: &Url, shard_id: &str, filter: FirehoseFilter) -> Result<Self, End> {
        let bad = || End::Refused(format!("{url} is not a firehose address: expected wss://host[:port]"));
        let endpoint = Endpoint::new(url).ok_or_else(bad)?;
        let (base, id) = (&endpoint.base_path, percent::encode(shard_id));
        Ok(Self {
            path_and_query: format!("{base}/firehose/{id}{}", filter.query())
                .try_into()
                .map_err(|_| bad())?,
            // What the platform's own client library sends.
            origin: url.as_str().trim_end_matches('/').try_into().map_err(|_| bad())?,
            endpoint,
        })
    }

    /// The request to make there.
    pub(super) fn upgrade(&self, authorization: HeaderValue) -> Upgrade<'_> {
        Upgrade {
            address: &self.endpoint.address,
            path_and_query: &self.path_and_query,
            host: &self.endpoint.host,
            origin: &self.origin,
            authorization,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_follow_the_table() {
        let cases = [
            ("wss://doppler.example:443", FirehoseFilter::None, "/firehose/an%2Fid"),
            ("wss://doppler.example:4443/", FirehoseFilter::Logs, "/firehose/an%2Fid?filter-type=logs"),
            ("ws://doppler.example/base/", FirehoseFilter::None, "/base/firehose/an%2Fid"),
        ];
        for (url, filter, path) in cases {
            let target = Target::new(&Url::parse(url).unwrap(), "an/id", filter).unwrap();
            assert_eq!(target.path_and_query, path);
            assert!(url.starts_with(target.origin.to_str().unwrap()), "{url}");
        }
        let wrong = Target::new(&Url::parse("ftp://doppler.example").unwrap(), "id", FirehoseFilter::None);
        assert!(wrong.unwrap_err().to_string().contains("expected wss://host[:port]"));
    }
}
