//! What is printed: log lines for machines and people, and bodies with DEBUG.

use serde_json::Value;

use super::peers::{Peers, Source};

#[tokio::test]
async fn the_log_is_one_json_object_a_line() {
    let peers = Peers::start().await;
    let mut nozzle = peers.nozzle(Source::Grpc, &[]).var("LOG_LEVEL", "debug").start();
    nozzle.logged("stream connected").await;
    let ended = nozzle.stop().await;
    ended.ledger();
    let log = ended.log();
    for line in &log {
        for member in ["timestamp", "level", "message"] {
            assert!(line.get(member).is_some_and(Value::is_string), "{member}: {line:?}");
        }
    }
    let mut times = log.iter().flatten().filter(|(name, _)| name.ends_with("_ms"));
    assert!(times.clone().next().is_some() && times.all(|(_, value)| value.is_u64()), "{}", ended.text());
    assert!(ended.stderr.is_empty(), "{}", ended.text());
}

#[tokio::test]
async fn the_log_is_text_where_that_is_asked_for() {
    let peers = Peers::start().await;
    let mut nozzle = peers.nozzle(Source::Grpc, &[]).var("LOG_FORMAT", "text").start();
    nozzle.printed("stream connected").await;
    let ended = nozzle.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    for line in &ended.stdout {
        assert!(line.contains(" INFO ") && serde_json::from_str::<Value>(line).is_err(), "{line}");
        assert!(!line.contains('\u{1b}'), "no colours without a terminal: {line:?}");
    }
    assert!(ended.stdout.last().is_some_and(|line| line.contains("stopped")), "{}", ended.text());
}

#[tokio::test]
async fn only_what_is_asked_for_is_logged() {
    let peers = Peers::start().await;
    let nozzle = peers.nozzle(Source::Grpc, &[]).var("LOG_LEVEL", "off").start();
    peers.wait_read(Source::Grpc).await;
    let ended = nozzle.stop().await;
    assert_eq!((ended.code, ended.text().trim()), (Some(0), ""));
}

#[tokio::test]
async fn debug_prints_bodies_and_sends_nothing() {
    const ENVELOPES: u64 = 300;
    for source in Source::BOTH {
        let peers = Peers::start().await;
        let mut nozzle = peers.nozzle(source, &[]).with([("DEBUG", "true"), ("LOG_LEVEL", "info")]).start();
        peers.wait_read(source).await;
        peers.publish(0, ENVELOPES).await;
        nozzle.printed(&format!("seq={:09}", ENVELOPES - 1)).await;
        let ended = nozzle.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.text());
        let documents = ended.stdout.iter().flat_map(|line| {
            serde_json::Deserializer::from_str(line).into_iter::<Value>().map(|each| each.expect("JSON"))
        });
        let events = documents.filter(|document| document.get("event").is_some()).count() as u64;
        assert!(events >= ENVELOPES, "{events} events of {ENVELOPES} envelopes");
        let warning =
            |line: &&String| line.contains("\"level\":\"WARN\"") && line.contains("\"setting\":\"DEBUG\"");
        assert!(ended.stdout.iter().any(|line| warning(&line)), "{}", ended.text());
        let seen = peers.hec.snapshot();
        assert_eq!((seen.requests, seen.connections_opened), (0, 0), "nothing goes to Splunk");
    }
}
