use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::sim::foundation::testing::*;
use crate::sim::foundation::{App, Connected, Foundation, FoundationConfig};

mod access;
mod faults;
mod golden;

const APP: &str = "5b5a9c2e-0f53-4f7d-8a61-0123456789ab";

async fn with(gateway: GatewayConfig) -> Foundation {
    Foundation::start(FoundationConfig { gateway, ..Default::default() }).await.unwrap()
}

fn token(foundation: &Foundation) -> String {
    format!("bearer {}", foundation.uaa().issue("test", &["doppler.firehose"]))
}

async fn get(foundation: &Foundation, query: &str, authorization: &str) -> reqwest::Response {
    let url = format!("{}/v2/read?{query}", foundation.gateway_url());
    let request = http(foundation).get(url).header(header::AUTHORIZATION, authorization);
    within(request.send()).await.unwrap()
}

/// Reads an event stream.
struct Events {
    response: reqwest::Response,
    read: Vec<u8>,
}

impl Events {
    async fn open(foundation: &Foundation, query: &str) -> Self {
        Self::new(get(foundation, query, &token(foundation)).await)
    }

    fn new(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, read: Vec::new() }
    }

    async fn chunk(&mut self) -> reqwest::Result<Option<Bytes>> {
        within(self.response.chunk()).await
    }

    /// The next event, without what ends it; `None` at the end of the body.
    async fn next(&mut self) -> Option<String> {
        loop {
            let end = self.read.windows(2).position(|pair| pair == b"\n\n");
            if let Some(end) = end {
                let event = self.read.drain(..end + 2).take(end).collect();
                return Some(String::from_utf8(event).unwrap());
            }
            match self.chunk().await.unwrap() {
                Some(chunk) => self.read.extend_from_slice(&chunk),
                None => {
                    assert!(self.read.is_empty(), "it ends within {:?}", String::from_utf8_lossy(&self.read));
                    return None;
                }
            }
        }
    }

    /// The lines of so many logs.
    async fn logs(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            let event = self.next().await.expect("the stream ended");
            let batch: Value = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
            for envelope in batch["batch"].as_array().unwrap() {
                let payload = STANDARD.decode(envelope["log"]["payload"].as_str().unwrap()).unwrap();
                lines.push(String::from_utf8(payload).unwrap());
            }
        }
        lines
    }
}

fn lines(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|n| format!("line {n}")).collect()
}

#[tokio::test]
async fn http_2_is_not_offered_where_it_is_switched_off() {
    for (versions, offered) in [(HttpVersions::Both, true), (HttpVersions::One, false)] {
        let foundation = with(GatewayConfig { http: versions, ..Default::default() }).await;
        let request = http_over(&foundation, "h2").get(foundation.gateway_url());
        assert_eq!(within(request.send()).await.is_ok(), offered);
    }
}

#[tokio::test]
async fn envelopes_arrive_in_order_over_either_version_of_http() {
    let foundation = start().await;
    for (alpn, version) in [("http/1.1", Version::HTTP_11), ("h2", Version::HTTP_2)] {
        let url = format!("{}/v2/read?log", foundation.gateway_url());
        let request = http_over(&foundation, alpn).get(url).header("authorization", token(&foundation));
        // The head comes although there is nothing to read yet.
        let response = within(request.send()).await.unwrap();
        assert_eq!(response.version(), version);
        assert_eq!(response.headers().contains_key("connection"), version == Version::HTTP_11);
        let mut events = Events::new(response);
        foundation.publish(&numbered(251));
        assert_eq!(events.logs(251).await, lines(0..251));
        let stats = &foundation.streams()[0];
        assert_eq!(stats.protocol, crate::sim::foundation::Protocol::Gateway);
        assert_eq!((stats.accepted, stats.sent, stats.dropped), (251, 251, 0));
        drop(events);
        foundation.wait_connected(PATIENCE, |now| *now == Connected::default()).await.unwrap();
    }
}

#[tokio::test]
async fn it_works_without_tls() {
    let config =
        FoundationConfig { transport: crate::sim::foundation::Transport::Plain, ..Default::default() };
    let foundation = Foundation::start(config).await.unwrap();
    assert!(foundation.gateway_url().starts_with("http://127.0.0.1:"));
    let mut events = Events::open(&foundation, "log").await;
    foundation.publish(&numbered(3));
    assert_eq!(events.logs(3).await, lines(0..3));
}

#[tokio::test]
async fn streams_share_a_shard_with_those_of_the_log_proxy() {
    let foundation = start().await;
    let mut shared = Events::open(&foundation, "log&shard_id=a").await;
    let mut alone = Events::open(&foundation, "log").await;
    let mut client = egress(&foundation).await;
    let mut grpc = client.batched_receiver(batch_request("a")).await.unwrap().into_inner();
    foundation.wait_connected(PATIENCE, |now| (now.rlp, now.gateway, now.copies) == (1, 1, 1)).await.unwrap();
    foundation.publish(&numbered(1000));

    let accepted = |shard: &str, protocol| {
        let streams = foundation.streams();
        let stream = streams.iter().find(|s| s.shard == shard && s.protocol == protocol).unwrap();
        usize::try_from(stream.accepted).unwrap()
    };
    let here = accepted("a", crate::sim::foundation::Protocol::Gateway);
    let there = accepted("a", crate::sim::foundation::Protocol::Rlp);
    assert_eq!(here + there, 1000);
    assert!(here > 0 && there > 0, "{here} {there}");
    assert_eq!(alone.logs(1000).await, lines(0..1000));

    let mut all = shared.logs(here).await;
    while all.len() < 1000 {
        for envelope in within(grpc.message()).await.unwrap().unwrap().batch {
            let Some(crate::proto::loggregator::envelope::Message::Log(log)) = envelope.message else {
                panic!("not a log")
            };
            all.push(String::from_utf8(log.payload.to_vec()).unwrap());
        }
    }
    all.sort_by_key(|line| line[5..].parse::<usize>().unwrap());
    assert_eq!(all, lines(0..1000));
}

#[tokio::test]
async fn a_line_may_have_eight_megabytes() {
    let foundation = start().await;
    let mut events = Events::open(&foundation, "log").await;
    foundation.publish(&vec![log(vec![b'x'; 61_440]); 101]);
    let small = events.next().await.unwrap();
    assert!(small.len() > 81_920, "{}", small.len());
    let large = events.next().await.unwrap();
    assert!(large.len() > 8_192_000 && !large.contains('\n'), "{}", large.len());
}

#[tokio::test]
async fn older_gateways_spell_in_their_own_way() {
    let json = JsonStyle { spelling: Spelling::Older, spacing: Spacing::Compact };
    let foundation = with(GatewayConfig { json, ..Default::default() }).await;
    let mut events = Events::open(&foundation, "log").await;
    foundation.publish(&[log("x")]);
    let expected = r#"data: {"batch":[{"timestamp":"1700000000123456789","sourceId":"5b5a9c2e-0f53-4f7d-8a61-0123456789ab","instanceId":"0","tags":{"origin":"rep"},"log":{"payload":"eA=="}}]}"#;
    assert_eq!(events.next().await.unwrap(), expected);
}

#[tokio::test]
async fn a_silent_stream_beats_and_a_connection_outlives_its_streams() {
    let second = std::time::Duration::from_secs(1);
    let config = GatewayConfig { heartbeat_interval: second / 100, ..Default::default() };
    let foundation = with(config).await;
    let mut events = Events::open(&foundation, "log").await;
    for _ in 0..3 {
        let event = events.next().await.unwrap();
        let seconds = event.strip_prefix("event: heartbeat\ndata: ").unwrap();
        assert!(seconds.parse::<u64>().unwrap() > 1_700_000_000);
    }

    let foundation = with(GatewayConfig { stream_lifetime: second / 100, ..Default::default() }).await;
    let address = foundation.gateway_url().strip_prefix("https://").unwrap().parse().unwrap();
    let mut connection = tls(address, client(&foundation, Present::Nothing), "http/1.1").await.unwrap();
    let request = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n\r\n", token(&foundation))
    };
    for _ in 0..2 {
        let (head, mut body) = exchange(&mut connection, &request("/v2/read?log")).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        while !body.ends_with("0\r\n\r\n") {
            let mut buffer = [0; 1024];
            let read = tokio::io::AsyncReadExt::read(&mut connection, &mut buffer);
            let n = within(read).await.unwrap();
            body.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
        }
        assert_eq!(body, "34\r\nevent: closing\ndata: closing due to stream timeout\n\n\r\n0\r\n\r\n");
    }
    let (head, _) = exchange(&mut connection, &request("/nothing")).await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
}
