//! No secret is ever printed or served, whatever goes wrong and however much is logged.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firehose_nozzle::sim::foundation::{End, Fault, Target, TokenFault};
use firehose_nozzle::sim::hec::{HecServer, HecServerConfig, Token};

use super::peers::{Peers, Source};
use super::process::{Nozzle, eventually, get};

// Each has a part that any escaping leaves as it is, which is what is looked for.
const CLIENT_SECRET: &str = "0ddCl13ntS3cr3t\"'\\&=+%41 /ü";
const HEC_TOKEN: &str = "0ddH3cT0k3n!\"#$%&'*+\\`|~";
const ADMIN_TOKEN: &str = "0ddAdm1nT0k3n!\"#$%&'*+\\`|~";
const FAILOVER_TOKEN: &str = "0ddF41l0v3rT0k3n!";
const PARTS: [&str; 4] = ["0ddCl13ntS3cr3t", "0ddH3cT0k3n", "0ddAdm1nT0k3n", "0ddF41l0v3rT0k3n"];

/// Everything that must not be seen.
fn secrets(bearer_tokens: &[String]) -> Vec<String> {
    let basic =
        [format!("nozzle:{CLIENT_SECRET}"), format!("x:{HEC_TOKEN}")].map(|text| STANDARD.encode(text));
    PARTS.map(str::to_owned).into_iter().chain(basic).chain(bearer_tokens.iter().cloned()).collect()
}

fn assert_clean(what: &str, text: &str, secrets: &[String]) {
    for secret in secrets {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} in {what}");
    }
}

/// What the nozzle has sent of itself.
fn own_events(collectors: &[&HecServer]) -> String {
    let records = collectors.iter().flat_map(|hec| hec.records().expect("they are kept"));
    let own = records.filter(|record| record.index == "own" || record.index == "own_metrics");
    own.map(|record| String::from_utf8_lossy(&record.envelope).into_owned() + "\n").collect()
}

/// Takes the nozzle through everything that has to do with a secret; gives what it served meanwhile.
async fn troubled_life(peers: &Peers, other: &HecServer, source: Source, nozzle: &mut Nozzle) -> String {
    let admin = nozzle.admin().await;
    peers.wait_read(source).await;
    peers.publish(0, 300).await;
    peers.wait_indexed(300).await;

    // Tokens of the UAA end: the next request is refused, and so is the first renewal.
    let uaa = peers.foundation.uaa();
    let issued = uaa.issued();
    uaa.fail_next(1, TokenFault::Status(500));
    uaa.revoke_all();
    peers.foundation.inject(&Target::All, &Fault::End(End::Cut));
    eventually("the cut is noticed", async || {
        let (_, status) = get(admin, "/status.json", &authorization()).await;
        (!status.contains("\"ends\":{}")).then_some(())
    })
    .await;
    peers.wait_read(source).await;
    peers.publish(300, 300).await;
    peers.wait_indexed(600).await;
    eventually("another token", async || (uaa.issued() > issued).then_some(())).await;

    // Splunk's token is refused for a while, and so is that of the other site.
    other.set_tokens(vec![]);
    peers.hec.set_tokens(vec![Token::new("other", "other")]);
    peers.publish(600, 300).await;
    nozzle.logged("the HEC refuses requests; data is kept until that is put right").await;
    let ready = eventually("no site takes events", async || {
        let (code, ready) = get(admin, "/ready", "").await;
        (code == 503).then_some(ready)
    })
    .await;
    assert!(ready.contains("check the HEC token"), "{ready}");
    let (code, status) = get(admin, "/status.json", &authorization()).await;
    assert_eq!(code, 200);
    let (code, refusal) = get(admin, "/status.json", "Authorization: Bearer other\r\n").await;
    assert_eq!(code, 401);
    peers.hec.set_tokens(vec![Token::new("nozzle", HEC_TOKEN)]);
    other.set_tokens(vec![Token::new("other", FAILOVER_TOKEN)]);
    [ready, status, refusal].join("\n")
}

fn authorization() -> String {
    format!("Authorization: Bearer {ADMIN_TOKEN}\r\n")
}

async fn no_secret_is_seen(source: Source) {
    let peers = Peers::start_recording(CLIENT_SECRET, HEC_TOKEN, &[]).await;
    let other = HecServer::start(HecServerConfig::new(vec![Token::new("other", FAILOVER_TOKEN)]));
    let other = other.await.expect("a collector");
    let command = |arguments: &[&str]| {
        peers.nozzle(source, arguments).var("SPLUNK_FAILOVER_HOST", other.url()).with([
            ("SPLUNK_FAILOVER_TOKEN", FAILOVER_TOKEN),
            ("ADMIN_ADDRESS", "127.0.0.1:0"),
            ("ADMIN_TOKEN", ADMIN_TOKEN),
            ("API_PASSWORD", PARTS[0]),
            ("ADD_APP_INFO", "AppName,OrgName,SpaceName"),
            ("METADATA_RATE", "1000/s"),
            ("LOG_LEVEL", "trace"),
            ("SHUTDOWN_TIMEOUT", "1s"),
            ("SPLUNK_LOGGING_INDEX", "own"),
            ("SPLUNK_METRIC_INDEX", "own_metrics"),
            ("STATUS_MONITOR_INTERVAL", "1s"),
        ])
    };
    let mut nozzle = command(&[]).start();
    nozzle.logged("listed all apps").await;
    let mut tokens = peers.foundation.uaa().tokens();
    assert!(!tokens.is_empty());
    let served = troubled_life(&peers, &other, source, &mut nozzle).await;
    eventually("it has told of it", async || {
        let own = own_events(&[&peers.hec, &other]);
        let told = ["cf:nozzlemetrics", "the HEC refuses requests"].iter().all(|part| own.contains(part));
        told.then_some(())
    })
    .await;
    let config = command(&["config"]).run().await;
    let good = command(&["check"]).run().await;
    peers.hec.set_tokens(vec![Token::new("other", "other")]);
    let bad = command(&["check"]).var("CLIENT_SECRET", format!("{}-wrong", PARTS[0])).run().await;
    let ended = nozzle.stop().await;
    tokens.extend(peers.foundation.uaa().tokens());

    ended.ledger();
    assert!(ended.log().iter().any(|line| line["level"] == "TRACE"), "everything is logged");
    assert_eq!((config.code, good.code, bad.code), (Some(0), Some(0), Some(69)), "{}", bad.text());
    let secrets = secrets(&tokens);
    assert_clean("own events", &own_events(&[&peers.hec, &other]), &secrets);
    assert_clean("/status.json and /ready", &served, &secrets);
    for (what, ended) in [("nozzle", &ended), ("config", &config), ("check", &good), ("check", &bad)] {
        assert_clean(what, &ended.text(), &secrets);
    }
}

#[tokio::test]
async fn no_secret_is_seen_with_the_grpc_source() {
    no_secret_is_seen(Source::Grpc).await;
}

#[tokio::test]
async fn no_secret_is_seen_with_the_firehose() {
    no_secret_is_seen(Source::Firehose).await;
}
