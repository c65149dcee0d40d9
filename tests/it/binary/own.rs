//! The nozzle's own events in Splunk, and its own lines in its stream.

use std::time::Duration;

use firehose_nozzle::clock::UnixNanos;
use firehose_nozzle::nozzle::own::{ECHO_BURST, ECHO_PER_SECOND};
use firehose_nozzle::proto::loggregator::envelope::Message;
use firehose_nozzle::proto::loggregator::{Envelope, Log};
use firehose_nozzle::sim::foundation::FoundationConfig;
use firehose_nozzle::sim::hec::{Action, Code, Endpoint, HecServerConfig, Record, Reply, Rule, Token};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::peers::{Peers, Source};
use super::process::{Ledger, PATIENCE, eventually, get};

const TOKEN: &str = "5ca1ab1e-0000-4000-8000-000000000001";

/// What the platform says of the nozzle.
const APP: &str = "0e0e0e0e-0000-4000-8000-0123456789ab";
const VCAP_APPLICATION: (&str, &str) = (
    "VCAP_APPLICATION",
    r#"{"application_id":"0e0e0e0e-0000-4000-8000-0123456789ab","instance_index":3,"limits":{"mem":8192},"name":"nozzle"}"#,
);

/// What a collector has in an index.
fn events_of(peers: &Peers, index: &str) -> Vec<Value> {
    let records = peers.hec.records().expect("they are kept");
    records.iter().filter(|record| record.index == index).map(Record::json).collect()
}

fn bytes(records: &[Record]) -> u64 {
    records.iter().map(|record| record.envelope.len() as u64).sum()
}

#[tokio::test]
async fn lines_of_the_log_and_metrics_arrive_in_their_indexes() {
    let peers = Peers::start_recording("nozzle-secret", TOKEN, &[]).await;
    let nozzle = peers.nozzle(Source::Grpc, &[]).with([VCAP_APPLICATION]).with([
        ("SPLUNK_LOGGING_INDEX", "own"),
        ("SPLUNK_METRIC_INDEX", "own_metrics"),
        ("STATUS_MONITOR_INTERVAL", "1s"),
        ("JOB_HOST", "localhost"),
        ("CONSUMER_QUEUE_SIZE", "7"),
    ]);
    let nozzle = nozzle.start();
    peers.wait_read(Source::Grpc).await;
    peers.publish(0, 500).await;
    peers.wait_indexed(500).await;
    let measured = peers.hec.wait_until(PATIENCE, |_| !events_of(&peers, "own_metrics").is_empty());
    measured.await.expect("metrics by the clock");
    let ended = nozzle.stop().await;
    let ledger = ended.ledger();
    assert_eq!(ledger.delivered(), peers.indexed());
    assert_eq!(ledger.own["delivered"], ledger.own["written"], "{ledger:?}");

    // Each line of the log but the last, which is written when all is over.
    let lines = events_of(&peers, "own");
    let prefix = "splunk-nozzle-logger.";
    let mut messages: Vec<_> =
        lines.iter().map(|line| line["event"]["message"].as_str().expect("text")).collect();
    let log = ended.log();
    let mut logged: Vec<_> = log[..log.len() - 1]
        .iter()
        .map(|line| format!("{prefix}{}", line["message"].as_str().expect("text")))
        .collect();
    // Lines of two threads may be written in one order and passed on in the other.
    messages.sort_unstable();
    logged.sort_unstable();
    assert_eq!(messages, logged);
    for line in &lines {
        assert_eq!((&line["sourcetype"], &line["host"]), (&"cf:splunknozzle".into(), &"localhost".into()));
        assert!(["127.0.0.1", "::1"].contains(&line["event"]["ip"].as_str().expect("text")), "{line}");
    }
    let warning = lines.iter().find(|line| line["event"]["data"]["setting"] == "CONSUMER_QUEUE_SIZE");
    let warning = &warning.expect("the warning about a setting")["event"];
    assert_eq!((&warning["log_level"], &warning["data"]["level"]), (&2.into(), &"warn".into()));

    check_metrics(&peers, &ledger);
}

/// The last metrics are those of the end.
fn check_metrics(peers: &Peers, ledger: &Ledger) {
    let metrics = events_of(peers, "own_metrics");
    assert!(metrics.len() >= 2, "one by the clock, one at the end");
    let last = metrics.last().expect("metrics");
    assert_eq!((&last["event"], &last["sourcetype"]), (&"metric".into(), &"cf:nozzlemetrics".into()));
    assert_eq!(last["fields"]["instance_index"], "3");
    let value = |name: &str| last["fields"][format!("metric_name:{name}")].as_f64().expect("a number");
    for (name, expected) in [
        ("firehose.events.received.count", ledger.count("received")),
        ("firehose.events.dropped.count", 0),
        ("splunk.events.sent.count", ledger.count("events/delivered")),
        ("splunk.events.dropped.count", 0),
        ("nozzle.envelopes.received", ledger.count("received")),
        ("nozzle.envelopes.delivered", ledger.count("delivered")),
        ("nozzle.envelopes.filtered", ledger.sum("filtered")),
        ("nozzle.envelopes.dropped", 0),
        ("nozzle.envelopes.rejected", 0),
        ("nozzle.envelopes.buffered", 0),
        ("nozzle.cache.memory.hit", 0),
        ("nozzle.cache.remote.hit", 0),
        ("nozzle.cache.boltdb.miss", 0),
        ("nozzle.queue.percentage", 0),
    ] {
        assert_eq!(value(name), expected as f64, "{name}: {last}");
    }
    let all = peers.hec.records().expect("they are kept");
    let (own, users): (Vec<_>, Vec<_>) = all.into_iter().partition(|record| record.index.starts_with("own"));
    let throughput = value("splunk.events.throughput");
    assert!(throughput >= bytes(&users) as f64, "{last}");
    assert!(throughput <= (bytes(&users) + bytes(&own)) as f64, "{last}");
    assert!(value("nozzle.usage.ram") > 0.0 && value("nozzle.usage.ram") < 100.0, "{last}");
    assert!(value("nozzle.usage.cpu") >= 0.0, "{last}");
}

#[tokio::test]
async fn metrics_tell_of_what_was_lost() {
    // Splunk takes own events, and no others.
    let peers = Peers::start_recording("nozzle-secret", TOKEN, &["own", "own_metrics"]).await;
    let nozzle = peers.nozzle(Source::Firehose, &[]).with([
        ("EVENTS", "LogMessage,CounterEvent"),
        ("SPLUNK_LOGGING_INDEX", "own"),
        ("SPLUNK_METRIC_INDEX", "own_metrics"),
        ("STATUS_MONITOR_INTERVAL", "1h"),
        (
            "SELECTED_MONITORING_METRICS",
            "splunk.events.dropped.count,nozzle.envelopes.rejected,nozzle.envelopes.filtered",
        ),
    ]);
    let mut nozzle = nozzle.start();
    peers.wait_read(Source::Firehose).await;
    peers.publish(0, 500).await;
    nozzle.logged("the HEC refuses an index").await;
    let ledger = nozzle.stop().await.ledger();
    let (rejected, filtered) = (ledger.sum("rejected"), ledger.sum("filtered"));
    assert!(rejected > 0 && filtered > 0 && ledger.count("delivered") == 0, "{ledger:?}");
    let metrics = events_of(&peers, "own_metrics");
    let [last] = &metrics[..] else { panic!("only those of the end: {metrics:?}") };
    let fields = serde_json::json!({
        "metric_name:splunk.events.dropped.count": ledger.count("events/rejected"),
        "metric_name:nozzle.envelopes.rejected": rejected,
        "metric_name:nozzle.envelopes.filtered": filtered,
    });
    assert_eq!(last["fields"], fields);
}

#[tokio::test]
async fn lines_go_to_the_index_of_events_unless_they_are_switched_off() {
    for (setting, expected) in [(None, true), (Some("off"), false)] {
        let peers = Peers::start_recording("nozzle-secret", TOKEN, &[]).await;
        let setting = setting.map(|value| ("SPLUNK_LOGGING_INDEX", value));
        let mut nozzle = peers.nozzle(Source::Firehose, &[]).with(setting).start();
        nozzle.logged("stream connected").await;
        let ledger = nozzle.stop().await.ledger();
        assert_eq!(!events_of(&peers, "main").is_empty(), expected);
        assert_eq!(ledger.own["written"].as_u64() > Some(0), expected, "{ledger:?}");
    }
}

#[tokio::test]
async fn own_events_that_splunk_refuses_touch_no_others_and_cause_no_further_ones() {
    let peers = Peers::start_recording("nozzle-secret", TOKEN, &["main"]).await;
    let nozzle = peers.nozzle(Source::Grpc, &[]).with([
        ("SPLUNK_LOGGING_INDEX", "refused"),
        ("SPLUNK_METRIC_INDEX", "refused_metrics"),
        ("STATUS_MONITOR_INTERVAL", "1s"),
        ("LOG_LEVEL", "trace"),
        ("ADMIN_ADDRESS", "127.0.0.1:0"),
    ]);
    let mut nozzle = nozzle.start();
    let admin = nozzle.admin().await;
    peers.wait_read(Source::Grpc).await;
    peers.publish(0, 500).await;
    peers.wait_indexed(500).await;
    eventually("lines and metrics are refused", async || {
        let status: Value = serde_json::from_str(&get(admin, "/status.json", "").await.1).expect("JSON");
        (status["own"]["dropped"]["rejected"].as_u64() > Some(5)).then_some(())
    })
    .await;
    let ended = nozzle.stop().await;
    let ledger = ended.ledger();
    assert_eq!((ledger.sum("dropped"), ledger.sum("rejected")), (0, 0), "{ledger:?}");
    assert_eq!((ledger.count("events/delivered"), &ledger.own["delivered"]), (peers.indexed(), &0.into()));
    assert_eq!(ledger.own_dropped("rejected"), ledger.own["written"].as_u64().expect("a count"));
    // Each is said once for each index, however often it is tried.
    assert_eq!(ended.logged("the HEC refuses an index: its events are rejected").len(), 2);
    assert_eq!(ended.logged("splunk refuses the nozzle's own events").len(), 2);
    let ours = ended.log().iter().filter(|line| line["level"] != "TRACE").count() as u64;
    assert!(ledger.own_dropped("rejected") < ours + 60, "{ledger:?}");
}

#[tokio::test]
async fn own_events_wait_for_no_indexer() {
    let mut collect = HecServerConfig::new(vec![Token::new("nozzle", TOKEN).with_acks()]);
    collect.acks.delay = Duration::from_hours(1);
    let peers = Peers::start_all("nozzle-secret", TOKEN, FoundationConfig::default(), collect).await;
    let nozzle = peers.nozzle(Source::Grpc, &[]).with([
        ("SPLUNK_LOGGING_INDEX", "own"),
        ("SPLUNK_METRIC_INDEX", "own_metrics"),
        ("STATUS_MONITOR_INTERVAL", "1s"),
        ("HEC_ACK", "required"),
    ]);
    let nozzle = nozzle.start();
    let measured = peers.hec.wait_until(PATIENCE, |_| events_of(&peers, "own_metrics").len() > 2);
    measured.await.expect("metrics by the clock");
    let ledger = nozzle.stop().await.ledger();
    assert_eq!((&ledger.own["delivered"], &ledger.own["unconfirmed"]), (&0.into(), &ledger.own["written"]));
}

#[tokio::test]
async fn own_events_hold_up_no_end() {
    // Splunk takes requests and does not answer, and there is all the time in the world.
    let peers = Peers::start().await;
    let nozzle = peers.nozzle(Source::Grpc, &[]).var("SHUTDOWN_TIMEOUT", "1h").start();
    peers.wait_read(Source::Grpc).await;
    peers.publish(0, 500).await;
    peers.wait_indexed(500).await;
    peers.hec.pause();
    let ledger = nozzle.stop().await.ledger();
    assert!(ledger.own_dropped("shutdown") > 0, "{ledger:?}");
    assert_eq!(ledger.sum("dropped"), 0, "{ledger:?}");
}

#[tokio::test]
async fn with_splunk_away_own_events_are_bounded_and_counted() {
    let peers = Peers::start().await;
    let busy = Action::Answer(Reply::hec(Code::ServerBusy));
    peers.hec.add_rule(Rule::on(Endpoint::Event, busy));
    let nozzle = peers.nozzle(Source::Grpc, &[]).with([
        ("SHUTDOWN_TIMEOUT", "1s"),
        ("SPLUNK_METRIC_INDEX", "own_metrics"),
        ("STATUS_MONITOR_INTERVAL", "1s"),
    ]);
    let nozzle = nozzle.start();
    peers.wait_read(Source::Grpc).await;
    peers.publish(0, 500).await;
    let ledger = nozzle.stop().await.ledger();
    assert_eq!(peers.indexed(), 0);
    assert_eq!(
        ledger.own_dropped("shutdown"),
        ledger.own["written"].as_u64().expect("a count"),
        "{ledger:?}"
    );
    assert!(ledger.own_dropped("shutdown") > 3, "{ledger:?}");
}

/// A line of the nozzle's output, as the platform makes one of it.
fn echo(line: &str) -> Envelope {
    Envelope {
        timestamp: UnixNanos::now().0,
        source_id: APP.to_owned(),
        instance_id: "3".to_owned(),
        message: Some(Message::Log(Log { payload: line.as_bytes().to_vec().into(), r#type: 0 })),
        ..Envelope::default()
    }
}

/// Each frame that is read causes lines (of libraries, with `trace`), as does each delivery that fails, and each line is
/// in a frame that is read: a loop that grows, were it not cut.
#[tokio::test]
async fn in_its_own_stream_it_lets_a_bounded_rate_pass() {
    let peers = Peers::start_recording("nozzle-secret", TOKEN, &[]).await;
    peers.hec.add_rule(Rule::on(Endpoint::Event, Action::Answer(Reply::hec(Code::ServerBusy))));
    let started = Instant::now();
    let nozzle = peers.nozzle(Source::Grpc, &[]).with([VCAP_APPLICATION]).with([
        ("LOG_LEVEL", "trace"),
        ("EVENTS", "LogMessage"),
        ("ADMIN_ADDRESS", "127.0.0.1:0"),
        ("SHUTDOWN_TIMEOUT", "1s"),
    ]);
    let mut nozzle = nozzle.start();
    let admin = nozzle.admin().await;
    peers.wait_read(Source::Grpc).await;
    let mut fed = 0;
    let flood = async {
        loop {
            let lines = nozzle.lines_from(fed);
            fed += lines.len();
            let envelopes: Vec<_> = lines.iter().map(|line| echo(line)).collect();
            for chunk in envelopes.chunks(100) {
                peers.foundation.room(chunk.len()).await;
                peers.foundation.publish(chunk);
            }
            let status: Value = serde_json::from_str(&get(admin, "/status.json", "").await.1).expect("JSON");
            if status["ledger"]["filtered"]["own_lines"].as_u64() > Some(2000) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, flood).await.expect("a flood");
    let ledger = nozzle.stop().await.ledger();
    let passed = ledger.count("received") - ledger.count("filtered/own_lines");
    let most = u64::from(ECHO_BURST) + u64::from(ECHO_PER_SECOND) * (started.elapsed().as_secs() + 1);
    assert!((1..=most).contains(&passed), "{passed} passed, at most {most} may: {ledger:?}");
    assert_eq!(ledger.sum("filtered"), ledger.count("filtered/own_lines"), "{ledger:?}");
}
