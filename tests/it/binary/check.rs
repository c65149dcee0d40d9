//! `nozzle check`: says what works, and for what does not, why and what to do.

use firehose_nozzle::sim::certs::Authority;
use firehose_nozzle::sim::foundation::{FoundationConfig, V1Firehose};

use super::forwarder::Forwarder;
use super::peers::{Peers, Source};
use super::process::{Command, Ended};

/// The items of a check, in order.
const ITEMS: [&str; 5] = ["configuration", "cloud foundry", "token", "log stream", "splunk"];

/// The line about one item.
fn finding<'a>(ended: &'a Ended, item: &str) -> &'a str {
    let about = |line: &&String| {
        let rest = line.strip_prefix("ok").or(line.strip_prefix("FAIL"));
        rest.is_some_and(|rest| rest.trim_start().starts_with(item))
    };
    ended.stdout.iter().find(about).unwrap_or_else(|| panic!("nothing on {item}:\n{}", ended.text()))
}

/// Checks, and expects exactly these items to fail, each with these words.
async fn fails(nozzle: Command, expected: &[(&str, &[&str])]) {
    let ended = nozzle.run().await;
    assert_eq!(ended.code, Some(69), "{}", ended.text());
    for (item, words) in expected {
        let line = finding(&ended, item);
        assert!(line.starts_with("FAIL"), "{}", ended.text());
        for word in *words {
            assert!(line.contains(word), "{word:?} is not in: {line}");
        }
    }
    let failed = ended.stdout.iter().filter(|line| line.starts_with("FAIL")).count();
    assert_eq!(failed, expected.len(), "{}", ended.text());
}

#[tokio::test]
async fn all_good_is_said_of_each_item() {
    for source in Source::BOTH {
        let peers = Peers::start().await;
        let ended = peers.nozzle(source, &["check"]).run().await;
        assert_eq!(ended.code, Some(0), "{}", ended.text());
        for item in ITEMS {
            assert!(finding(&ended, item).starts_with("ok"), "{}", ended.text());
        }
        assert_eq!((ended.stdout.len(), ended.stderr.len()), (ITEMS.len(), 0), "{}", ended.text());
        assert_eq!(peers.indexed(), 0, "a check delivers nothing");
    }
}

#[tokio::test]
async fn a_wrong_client_secret() {
    let peers = Peers::start().await;
    let advice: &[&str] = &["CLIENT_ID", "CLIENT_SECRET", "nozzle"];
    let wrong = |source| peers.nozzle(source, &["check"]).var("CLIENT_SECRET", "wrong");
    fails(wrong(Source::Firehose), &[("token", advice), ("log stream", advice)]).await;
    // The gRPC source asks for no token.
    fails(wrong(Source::Grpc), &[("token", advice)]).await;
}

#[tokio::test]
async fn a_wrong_splunk_token() {
    let peers = Peers::start().await;
    let wrong = peers.nozzle(Source::Grpc, &["check"]).var("SPLUNK_TOKEN", "wrong");
    fails(wrong, &[("splunk", &["403", "check the HEC token"])]).await;
}

#[tokio::test]
async fn splunk_is_away() {
    let peers = Peers::start().await;
    let way = Forwarder::reserve(peers.hec.address());
    let away = peers.nozzle(Source::Grpc, &["check"]).var("SPLUNK_HOST", way.url());
    fails(away, &[("splunk", &[&way.address().to_string(), "check the URL", "security groups"])]).await;
}

#[tokio::test]
async fn the_foundation_is_away() {
    let peers = Peers::start().await;
    let way = Forwarder::reserve(peers.foundation.rlp_address());
    let address = way.address().to_string();
    let away = peers
        .nozzle(Source::Grpc, &["check"])
        .with([("API_ENDPOINT", way.url()), ("RLP_ADDRESS", address.clone())]);
    let api: &[&str] = &[&address, "check API_ENDPOINT"];
    fails(away, &[("cloud foundry", api), ("log stream", &[&address, "security groups"])]).await;
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority() {
    let peers = Peers::start().await;
    let stranger = Authority::new("a stranger").expect("an authority");
    let stranger = stranger.write_to(peers.directory.path(), "stranger").expect("a file");
    let stranger = stranger.to_str().expect("text");
    let wrong = |source| {
        let names = ["CF_CA_FILE", "RLP_CA_FILE", "SPLUNK_CA_FILE"];
        peers.nozzle(source, &["check"]).with(names.map(|name| (name, stranger)))
    };
    let splunk: &[&str] = &["certificate", "CA file"];
    for source in Source::BOTH {
        let expected: [(&str, &[&str]); 3] = [
            ("cloud foundry", &["certificate", "CF_CA_FILE"]),
            ("log stream", &["certificate", "check"]),
            ("splunk", splunk),
        ];
        fails(wrong(source), &expected).await;
    }
}

#[tokio::test]
async fn a_foundation_without_the_v1_firehose() {
    let config = FoundationConfig { v1: V1Firehose::Absent, ..FoundationConfig::default() };
    let peers = Peers::start_with("nozzle-secret", "a-token", config).await;
    let expected: [(&str, &[&str]); 1] = [("log stream", &["v1 firehose is switched off", "RLP_ADDRESS"])];
    fails(peers.nozzle(Source::Firehose, &["check"]), &expected).await;
}

#[tokio::test]
async fn a_running_nozzle_loses_nothing_to_a_check() {
    const EACH: u64 = 200;
    for source in Source::BOTH {
        let peers = Peers::start().await;
        let nozzle = peers.nozzle(source, &[]).start();
        peers.wait_read(source).await;
        let mut published = 0;
        let checking = peers.nozzle(source, &["check"]).run();
        tokio::pin!(checking);
        let ended = loop {
            tokio::select! {
                ended = &mut checking => break ended,
                _ = peers.publish(published, EACH) => published += EACH,
            }
            peers.wait_indexed(published).await;
        };
        assert_eq!(ended.code, Some(0), "{}", ended.text());
        let ledger = nozzle.stop().await.ledger();
        assert_eq!(ledger.delivered(), peers.indexed());
    }
}
