//! Peers that are not there: the nozzle stays, says what to do, and goes on when they come.

use std::net::SocketAddr;

use serde_json::Value;
use url::Url;

use super::forwarder::Forwarder;
use super::peers::{Peers, Source};
use super::process::{eventually, get};

/// The reasons that `/ready` gives, if it is not ready.
async fn reasons(admin: SocketAddr) -> Option<String> {
    let (status, body) = get(admin, "/ready", "").await;
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    let reasons = answer["reasons"].as_array().expect("a list");
    assert_eq!(answer["ready"], status == 200, "{answer}");
    assert_eq!(reasons.is_empty(), status == 200, "{answer}");
    (status == 503)
        .then(|| reasons.iter().map(|reason| reason.as_str().expect("text")).collect::<Vec<_>>().join("\n"))
}

#[tokio::test]
async fn it_waits_for_all_its_peers_and_then_delivers() {
    for source in Source::BOTH {
        let peers = Peers::start().await;
        let api = Url::parse(&peers.foundation.api_url()).expect("a URL");
        let api = api.socket_addrs(|| None).expect("an address")[0];
        let [api, rlp, hec] =
            [api, peers.foundation.rlp_address(), peers.hec.address()].map(Forwarder::reserve);
        let mut nozzle = peers
            .nozzle(source, &[])
            .with([("API_ENDPOINT", api.url()), ("SPLUNK_HOST", hec.url())])
            .var("ADMIN_ADDRESS", "127.0.0.1:0");
        if source == Source::Grpc {
            nozzle = nozzle.var("RLP_ADDRESS", rlp.address().to_string());
        }
        let mut nozzle = nozzle.start();
        let admin = nozzle.admin().await;

        // Nothing is there: the first thing needed is named, with its address and what to do.
        let (missing, next_step) = match source {
            Source::Grpc => (&rlp, "security groups"),
            Source::Firehose => (&api, "check API_ENDPOINT"),
        };
        eventually("a reason that names the address", async || {
            let reasons = reasons(admin).await.expect("not ready");
            (reasons.contains(&missing.address().to_string()) && reasons.contains(next_step)).then_some(())
        })
        .await;
        assert_eq!(get(admin, "/health", "").await, (200, "ok\n".to_owned()));

        // The foundation comes, Splunk does not: what is read is kept.
        let _foundation = (api.open().await, rlp.open().await);
        peers.wait_read(source).await;
        peers.publish(0, 500).await;
        eventually("a reason that names Splunk and a next step", async || {
            let reasons = reasons(admin).await?;
            (reasons.contains(&hec.address().to_string()) && reasons.contains("check the URL")).then_some(())
        })
        .await;
        assert_eq!(get(admin, "/health", "").await.0, 200);

        let _splunk = hec.open().await;
        peers.wait_indexed(500).await;
        eventually("ready", async || reasons(admin).await.is_none().then_some(())).await;
        let ledger = nozzle.stop().await.ledger();
        assert_eq!(ledger.sum("dropped"), 0, "{ledger:?}");
        assert_eq!(ledger.delivered(), peers.indexed());
    }
}

#[tokio::test]
async fn it_waits_for_certificate_files_and_names_them() {
    let peers = Peers::start().await;
    let place = peers.directory.path().join("mounted-later");
    let path = |name: &str| place.join(name).to_str().expect("a path of plain text").to_owned();
    let files = [("RLP_CA_FILE", "ca.crt"), ("RLP_CERT_FILE", "client.crt"), ("RLP_KEY_FILE", "client.key")];
    let nozzle = peers.nozzle(Source::Grpc, &[]).with(files.map(|(name, file)| (name, path(file))));
    let mut nozzle = nozzle.start();
    let line: Value = serde_json::from_str(&nozzle.printed("stream ended").await).expect("JSON");
    let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    assert_eq!((field("level"), field("reason")), ("ERROR".to_owned(), "tls_files".to_owned()), "{line}");
    assert!(field("error").contains(&path("ca.crt")), "{line}");
    assert!(field("next_step").contains("RLP_CERT_FILE"), "{line}");
    assert!(line["retry_in_ms"].is_u64(), "{line}");

    std::fs::create_dir(&place).expect("a directory");
    peers.foundation.write_certificates(&place).expect("certificates");
    peers.wait_read(Source::Grpc).await;
    peers.publish(0, 100).await;
    peers.wait_indexed(100).await;
    let ledger = nozzle.stop().await.ledger();
    assert_eq!(ledger.delivered(), peers.indexed());
}
