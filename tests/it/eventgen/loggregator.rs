//! A real nozzle reads what the real `eventgen` makes, over each of the three ways.

use std::time::Duration;

use firehose_nozzle::sim::hec::{HecServer, HecServerConfig, LedgerMode, Token};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::examples::Copy;
use super::process::PATIENCE;
use crate::binary::process::Command;

const TOKEN: &str = "11111111-2222-3333-4444-555555555555";
/// 500 lines, and a gauge of two metrics.
const EVENTS: u64 = 502;

#[tokio::test]
async fn a_nozzle_gets_every_event_over_grpc() {
    read_over("grpc", EVENTS).await;
}

#[tokio::test]
async fn a_nozzle_gets_every_event_over_the_gateway() {
    read_over("gateway", EVENTS).await;
}

#[tokio::test]
async fn a_nozzle_gets_every_event_from_the_v1_firehose() {
    read_over("firehose", EVENTS).await;
}

async fn read_over(source: &str, events: u64) {
    let copy = Copy::new();
    let eventgen = copy.start("output-loggregator.conf");
    let file = copy.path().join("out/foundation.env");
    let environment = timeout(PATIENCE, async {
        while !file.exists() {
            sleep(Duration::from_millis(10)).await;
        }
        std::fs::read_to_string(&file).unwrap()
    });
    let environment = environment.await.expect("the foundation starts");
    let variables = environment.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('\'').to_owned()))
    });
    let hec = HecServerConfig::new(vec![Token::new("t", TOKEN)]).with_ledger(LedgerMode::default());
    let hec = HecServer::start(hec).await.unwrap();
    let nozzle = Command::default()
        .with(variables)
        .with([
            ("LOGGREGATOR_SOURCE", source),
            ("SPLUNK_HOST", &hec.url()),
            ("SPLUNK_TOKEN", TOKEN),
            ("SPLUNK_INDEX", "main"),
            ("SPLUNK_LOGGING_INDEX", "off"),
            ("EVENTS", "LogMessage,ValueMetric,ContainerMetric"),
            ("ADD_APP_INFO", "AppName,OrgName,SpaceName"),
        ])
        .start();
    let ended = tokio::task::spawn_blocking(|| eventgen.ended()).await.unwrap();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let arrived = timeout(PATIENCE, async {
        while hec.snapshot().ledger.events < events {
            sleep(Duration::from_millis(10)).await;
        }
    });
    arrived.await.unwrap_or_else(|_| panic!("{} of {events} events", hec.snapshot().ledger.events));
    drop(nozzle);
    let records: Vec<Value> = hec.records().unwrap().iter().map(|record| record.json()).collect();
    assert_eq!(records.len() as u64, events);
    let app = |name: &str| {
        let of_app = |record: &&Value| record["event"]["cf_app_name"] == name;
        let lines: Vec<_> = records.iter().filter(of_app).collect();
        assert!(lines.iter().all(|record| record["event"]["cf_org_name"] == "org-1"), "{lines:?}");
        lines.len()
    };
    // The lines in turn; the gauge's events have no names of apps.
    assert_eq!([app("app-1"), app("app-2"), app("app-3")], [167, 167, 166]);
}
