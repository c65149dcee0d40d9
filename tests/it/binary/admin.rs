//! Health and status, asked as an operator asks: with curl.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use serde_json::Value;

use super::peers::{Peers, Source};
use super::process::{eventually, free_port};
use crate::tools;

const TOKEN: &str = "an-admin-token";

/// The status and the body.
async fn curl(address: SocketAddr, path: &str, token: Option<&str>) -> (u16, String) {
    let header = token.map(|token| format!("Authorization: Bearer {token}"));
    let output = tokio::process::Command::new("curl")
        .args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "10"])
        .args(["--write-out", "\n%{http_code}"])
        .args(header.iter().flat_map(|header| ["--header", header.as_str()]))
        .arg(format!("http://{address}{path}"))
        .output()
        .await
        .expect("curl runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (body, status) = text.rsplit_once('\n').expect("a status after the body");
    (status.parse().expect("a number"), body.to_owned())
}

#[tokio::test]
async fn health_readiness_and_status() {
    if !tools::available("curl") {
        return;
    }
    let peers = Peers::start().await;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let mut nozzle = peers.nozzle(Source::Firehose, &[]).var("ADMIN_ADDRESS", address.to_string()).start();
    assert_eq!(nozzle.admin().await, address);
    peers.wait_read(Source::Firehose).await;
    peers.publish(0, 100).await;
    peers.wait_indexed(100).await;

    assert_eq!(curl(address, "/health", None).await, (200, "ok\n".to_owned()));
    assert_eq!(curl(address, "/ready", None).await, (200, r#"{"ready":true,"reasons":[]}"#.to_owned()));
    assert_eq!(curl(address, "/elsewhere", None).await.0, 404);
    let status: Value = eventually("all is settled", async || {
        let (code, body) = curl(address, "/status.json", None).await;
        assert_eq!(code, 200);
        let status: Value = serde_json::from_str(&body).expect("JSON");
        (status["ledger"]["delivered"].as_u64() >= Some(100)).then_some(status)
    })
    .await;
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["source"]["kind"], "firehose");
    assert_eq!(status["source"]["connected"], 2);
    assert_eq!(status["hec"]["state"], "open");
    assert_eq!(status["not_ready"], Value::Array(Vec::new()));
    nozzle.stop().await.ledger();
}

#[tokio::test]
async fn the_watch_stream_is_shown_where_there_is_one() {
    if !tools::available("curl") {
        return;
    }
    for source in Source::BOTH {
        let peers = Peers::start().await;
        let mut nozzle = peers.nozzle(source, &[]).var("ADMIN_ADDRESS", "127.0.0.1:0").start();
        let address = nozzle.admin().await;
        peers.wait_read(source).await;
        let watched = source == Source::Grpc;
        let status: Value = eventually("all streams are open", async || {
            let status: Value =
                serde_json::from_str(&curl(address, "/status.json", None).await.1).expect("JSON");
            let open = !watched || status["source"]["watch"]["state"] == "connected";
            open.then_some(status)
        })
        .await;
        assert_eq!(status["source"]["watch"].is_null(), !watched, "{status}");
        if watched {
            assert_eq!(status["source"]["watch"]["connects"], 1, "{status}");
            assert_eq!(status["source"]["watch"]["malformed"], 0, "{status}");
        }
        let (_, metrics) = curl(address, "/metrics", None).await;
        assert_eq!(metrics.contains("\nnozzle_watch_connected 1\n"), watched, "{metrics}");
        nozzle.stop().await.ledger();
    }
}

#[tokio::test]
async fn the_status_is_behind_the_token_and_health_is_not() {
    if !tools::available("curl") {
        return;
    }
    let peers = Peers::start().await;
    let command = peers.nozzle(Source::Firehose, &[]).var("ADMIN_TOKEN", TOKEN);
    let by_port = free_port();
    for variable in [("ADMIN_ADDRESS", "127.0.0.1:0".to_owned()), ("PORT", by_port.to_string())] {
        let mut nozzle = command.clone().with([variable]).start();
        let port = nozzle.admin().await.port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        for token in [None, Some("an-admin-tokem"), Some("an-admin-token2"), Some("")] {
            let (status, body) = curl(address, "/status.json", token).await;
            assert_eq!(status, 401, "{token:?}");
            assert!(body.contains("ADMIN_TOKEN is required"), "{body}");
            assert_eq!(curl(address, "/health", token).await.0, 200);
        }
        let (status, body) = curl(address, "/status.json", Some(TOKEN)).await;
        assert_eq!(status, 200);
        assert!(serde_json::from_str::<Value>(&body).expect("JSON")["ledger"].is_object(), "{body}");
        nozzle.stop().await.ledger();
    }
}

#[tokio::test]
async fn a_port_open_to_all_serves_only_health_without_a_token() {
    if !tools::available("curl") {
        return;
    }
    let peers = Peers::start().await;
    let port = free_port();
    let mut nozzle = peers.nozzle(Source::Firehose, &[]).var("PORT", port.to_string()).start();
    assert_eq!(nozzle.admin().await, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    assert_eq!(curl(address, "/health", None).await.0, 200);
    peers.wait_read(Source::Firehose).await;
    eventually("ready", async || (curl(address, "/ready", None).await.0 == 200).then_some(())).await;
    assert_eq!(curl(address, "/status.json", None).await.0, 404);
    assert_eq!(curl(address, "/status.json", Some("any")).await.0, 404);
    nozzle.stop().await.ledger();
}

#[tokio::test]
async fn an_address_in_use_is_a_warning_and_events_are_delivered() {
    let peers = Peers::start().await;
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let mut nozzle = peers.nozzle(Source::Firehose, &[]).var("ADMIN_ADDRESS", address.clone()).start();
    let line = nozzle.logged("health and status are not served").await;
    assert_eq!((&line["level"], &line["address"]), (&"WARN".into(), &address.into()));
    assert!(line["next_step"].as_str().is_some_and(|step| step.contains("ADMIN_ADDRESS")), "{line}");
    peers.wait_read(Source::Firehose).await;
    peers.publish(0, 100).await;
    peers.wait_indexed(100).await;
    nozzle.stop().await.ledger();
}
