//! Several collectors: named by the check, watched without any event, and one site for another.

use firehose_nozzle::sim::hec::{HecServer, HecServerConfig, LedgerMode, Token};
use firehose_nozzle::sim::load::sequence_in;
use serde_json::Value;

use super::forwarder::Forwarder;
use super::peers::{Peers, Source};
use super::process::{PATIENCE, eventually, get};

const OTHER_TOKEN: &str = "66666666-7777-8888-9999-000000000000";

/// A second site.
async fn elsewhere() -> HecServer {
    let config = HecServerConfig::new(vec![Token::new("other", OTHER_TOKEN)]);
    HecServer::start(config.with_ledger(LedgerMode::sequences(sequence_in))).await.expect("a collector")
}

#[tokio::test]
async fn splunk_is_known_to_be_away_and_back_before_there_is_any_event() {
    let peers = Peers::start().await;
    let hec = Forwarder::reserve(peers.hec.address());
    let mut nozzle = peers
        .nozzle(Source::Grpc, &[])
        .with([("SPLUNK_HOST", hec.url()), ("ADMIN_ADDRESS", "127.0.0.1:0".to_owned())])
        .start();
    let admin = nozzle.admin().await;
    let line = nozzle.logged("the HEC takes no events yet; they are kept").await;
    assert!(line["next_step"].as_str().is_some_and(|step| step.contains("check the URL")), "{line}");
    assert!(line["error"].as_str().is_some_and(|text| text.contains(&hec.address().to_string())), "{line}");
    peers.wait_read(Source::Grpc).await;
    let named = async || {
        let (status, body) = get(admin, "/ready", "").await;
        (status == 503 && body.contains(&hec.address().to_string())).then_some(body)
    };
    let body = eventually("the reason is Splunk alone", async || {
        named().await.filter(|body| !body.contains("no stream"))
    })
    .await;
    assert!(body.contains("check the URL"), "{body}");
    let _splunk = hec.open().await;
    eventually("ready", async || (get(admin, "/ready", "").await.0 == 200).then_some(())).await;
    let ledger = nozzle.stop().await.ledger();
    assert_eq!((ledger.count("events/delivered"), ledger.delivered()), (0, peers.indexed()));
}

#[tokio::test]
async fn a_check_names_each_endpoint() {
    let peers = Peers::start().await;
    let (other, dead) = (elsewhere().await, Forwarder::reserve(peers.hec.address()));
    let check = peers.nozzle(Source::Grpc, &["check"]).with([
        ("SPLUNK_HOST", format!("{},{}", peers.hec.url(), dead.url())),
        ("SPLUNK_FAILOVER_HOST", other.url()),
        ("SPLUNK_FAILOVER_TOKEN", OTHER_TOKEN.to_owned()),
    ]);
    let ended = check.clone().run().await;
    assert_eq!(ended.code, Some(69), "{}", ended.text());
    let lines: Vec<_> = ended.stdout.iter().filter(|line| line.contains("splunk")).collect();
    assert_eq!(lines.len(), 3, "{}", ended.text());
    for (start, words) in [
        ("ok    splunk ", [peers.hec.url(), "takes the token".to_owned()]),
        ("FAIL  splunk ", [dead.address().to_string(), "check the URL".to_owned()]),
        ("ok    splunk failover ", [other.url(), "takes the token".to_owned()]),
    ] {
        let found = lines
            .iter()
            .any(|line| line.starts_with(start) && words.iter().all(|word| line.contains(word.as_str())));
        assert!(found, "{start} {words:?} in {}", ended.text());
    }
    let ended = check.var("SPLUNK_FAILOVER_TOKEN", "wrong").run().await;
    let line = ended.stdout.iter().find(|line| line.starts_with("FAIL  splunk failover"));
    assert!(line.is_some_and(|line| line.contains("check the HEC token")), "{}", ended.text());
}

#[tokio::test]
async fn another_site_stands_in_and_nothing_is_lost() {
    let peers = Peers::start().await;
    let (other, hec) = (elsewhere().await, Forwarder::reserve(peers.hec.address()));
    let mut nozzle = peers
        .nozzle(Source::Grpc, &[])
        .with([
            ("SPLUNK_HOST", hec.url()),
            ("SPLUNK_FAILOVER_HOST", other.url()),
            ("SPLUNK_FAILOVER_TOKEN", OTHER_TOKEN.to_owned()),
            ("ADMIN_ADDRESS", "127.0.0.1:0".to_owned()),
        ])
        .start();
    let admin = nozzle.admin().await;
    peers.wait_read(Source::Grpc).await;
    peers.publish(0, 500).await;
    let line =
        nozzle.logged("no endpoint of SPLUNK_HOST takes data: events go to SPLUNK_FAILOVER_HOST").await;
    assert_eq!(line["level"], "WARN", "{line}");
    other.wait_until(PATIENCE, |_| other.missing(0..500) == Ok(0)).await.expect("all arrives elsewhere");
    assert_eq!(get(admin, "/ready", "").await.0, 200, "events are delivered");
    let (_, metrics) = get(admin, "/metrics", "").await;
    for (name, url, address, site, value) in [
        ("open", hec.url(), "", "primary", 0),
        ("open", other.url(), "", "failover", 1),
        ("active", hec.url(), "", "primary", 0),
        ("active", other.url(), "", "failover", 1),
    ] {
        let labels = format!("url=\"{url}/services/collector/event\",address=\"{address}\",site=\"{site}\"");
        let line = format!("nozzle_hec_endpoint_{name}{{{labels}}} {value}\n");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    let _splunk = hec.open().await;
    nozzle.logged("SPLUNK_HOST takes data again: events go there").await;
    peers.publish(500, 500).await;
    let all_here = peers.hec.wait_until(PATIENCE, |_| peers.hec.missing(500..1000) == Ok(0)).await;
    all_here.expect("the rest arrives where it belongs");
    let (_, status) = get(admin, "/status.json", "").await;
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!((&status["hec"]["site"], &status["hec"]["state"]), (&"primary".into(), &"open".into()));
    let ledger = nozzle.stop().await.ledger();
    assert_eq!(ledger.sum("dropped"), 0, "{ledger:?}");
    let indexed = peers.indexed() + other.snapshot().ledger.events;
    assert_eq!(ledger.delivered(), indexed, "each event once, at one of the sites");
}
