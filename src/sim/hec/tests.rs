//! The server against an independent HTTP client, over real sockets.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, RequestBuilder, Response};
use serde_json::Value;

use super::*;

mod acks;
mod bodies;
mod connections;
mod faults;
mod ledgers;
mod replies;

const TOKEN: &str = "11111111-2222-3333-4444-555555555555";
const ACK_TOKEN: &str = "aaaaaaaa-2222-3333-4444-555555555555";
const CHANNEL: &str = "0a0a0a0a-0000-4000-8000-000000000001";
const OTHER_CHANNEL: &str = "0a0a0a0a-0000-4000-8000-000000000002";
/// Far more than anything takes: only a failure waits so long.
const LONG: Duration = Duration::from_secs(60);

fn config() -> HecServerConfig {
    HecServerConfig::new(vec![
        Token::new("plain", TOKEN),
        Token::new("acks", ACK_TOKEN).with_acks(),
        Token::new("limited", "limited").with_indexes(["main", "cf"]),
        Token::new("off", "off").disabled(),
        Token::new("query", "query").with_query_auth(),
    ])
}

async fn start(config: HecServerConfig) -> HecServer {
    HecServer::start(config).await.unwrap()
}

fn client() -> Client {
    builder().user_agent("test/1").build().unwrap()
}

/// A client that trusts nobody: reading the system's certificates takes longer than most tests.
fn builder() -> ClientBuilder {
    crate::tls::install_provider();
    Client::builder().no_proxy().timeout(LONG).tls_certs_only([])
}

/// A request with the plain token.
fn post(client: &Client, server: &HecServer, path: &str) -> RequestBuilder {
    let url = format!("{}/services/collector{path}", server.url());
    client.post(url).header("Authorization", format!("Splunk {TOKEN}"))
}

/// A request with the token that uses acknowledgement.
fn post_on(client: &Client, server: &HecServer, path: &str, channel: &str) -> RequestBuilder {
    let url = format!("{}/services/collector{path}", server.url());
    client
        .post(url)
        .header("Authorization", format!("Splunk {ACK_TOKEN}"))
        .header("X-Splunk-Request-Channel", channel)
}

async fn answer(request: RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn send(server: &HecServer, body: impl Into<reqwest::Body>) -> (u16, String) {
    answer(post(&client(), server, "/event").body(body)).await
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

const SUCCESS: &str = r#"{"text":"Success","code":0}"#;

fn success() -> (u16, String) {
    (200, SUCCESS.to_owned())
}

fn gzip(text: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}
