//! Signals: what has been read is delivered or counted, and the exit code tells how it ended.

use std::time::Duration;

use firehose_nozzle::sim::foundation::FoundationConfig;
use firehose_nozzle::sim::load::Load;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::forwarder::Forwarder;
use super::peers::{Peers, Source, load};
use super::process::{Ended, Nozzle, PATIENCE, Signal, eventually, get};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_full_load_nothing_that_was_read_is_lost() {
    for (source, signal) in [(Source::Grpc, Signal::TERM), (Source::Firehose, Signal::INT)] {
        let peers = Peers::start().await;
        // Room and time for all that comes meanwhile: this is about the end, not about overload.
        let room = [("QUEUE_MAX_BYTES", "1GiB"), ("DELIVERY_MAX_BYTES", "1GiB"), ("SHUTDOWN_TIMEOUT", "1h")];
        let soon = [("HEC_BATCH_BYTES", "64KiB"), ("HEC_COMPRESSION", "off")];
        let nozzle = peers.nozzle(source, &[]).with(room).with(soon).start();
        peers.wait_read(source).await;
        let stop = CancellationToken::new();
        let sending = Load::new(load(0)).run(&peers.foundation, &stop);
        let ending = async {
            let flowing = peers.hec.wait_until(PATIENCE, |seen| seen.ledger.events > 1000);
            flowing.await.expect("events flow");
            nozzle.signal(signal);
            peers.wait_streams(source, 0).await;
            stop.cancel();
            nozzle.ended().await
        };
        let (_, ended) = tokio::join!(sending, ending);
        let ledger = ended.ledger();
        assert_eq!((ledger.sum("dropped"), ledger.sum("rejected")), (0, 0), "{ledger:?}");
        assert!(ledger.count("received") > 1000, "{ledger:?}");
        assert_eq!(ledger.delivered(), peers.indexed());
    }
}

/// A nozzle that has delivered 500 envelopes and cannot deliver the next 500, because Splunk takes
/// requests and does not answer them.
async fn holding(peers: &Peers, shutdown_timeout: &str) -> Nozzle {
    let nozzle = peers.nozzle(Source::Grpc, &[]).var("SHUTDOWN_TIMEOUT", shutdown_timeout).start();
    peers.wait_read(Source::Grpc).await;
    peers.publish(0, 500).await;
    peers.wait_indexed(500).await;
    peers.hec.pause();
    peers.publish(500, 500).await;
    let stuck = peers.hec.wait_until(PATIENCE, |seen| seen.in_flight > 0);
    stuck.await.expect("a request waits for its reply");
    nozzle
}

/// What could not be delivered is counted, logged with what to do about it, and no defect.
fn counted(ended: &Ended, peers: &Peers) {
    let ledger = ended.ledger();
    assert!(ledger.count("dropped/shutdown") > 0, "{ledger:?}");
    assert_eq!(ledger.sum("dropped"), ledger.count("dropped/shutdown"), "{ledger:?}");
    assert_eq!(ledger.delivered(), peers.indexed());
    let lines = ended.logged("envelopes dropped");
    let envelopes: u64 = lines.iter().map(|line| line["envelopes"].as_u64().expect("a count")).sum();
    assert_eq!(envelopes, ledger.count("dropped/shutdown"));
    for line in lines {
        assert_eq!((&line["level"], &line["reason"]), (&"ERROR".into(), &"shutdown".into()), "{line:?}");
        assert!(line["next_step"].as_str().is_some_and(|step| step.contains("SHUTDOWN_TIMEOUT")), "{line:?}");
    }
}

#[tokio::test]
async fn what_splunk_does_not_take_in_time_is_counted() {
    for signal in [Signal::TERM, Signal::INT] {
        let peers = Peers::start().await;
        let nozzle = holding(&peers, "1s").await;
        nozzle.signal(signal);
        counted(&nozzle.ended().await, &peers);
    }
}

#[tokio::test]
async fn what_splunk_cannot_take_because_it_is_away_is_counted() {
    // Nothing but what is published: no request is under way when the connections are cut.
    let quiet =
        FoundationConfig { self_metrics_interval: Duration::from_hours(1), ..FoundationConfig::default() };
    let peers = Peers::start_with("nozzle-secret", "a-token", quiet).await;
    let way = Forwarder::reserve(peers.hec.address());
    let open = way.open().await;
    let mut nozzle = peers
        .nozzle(Source::Grpc, &[])
        .with([("SPLUNK_HOST", way.url()), ("SHUTDOWN_TIMEOUT", "1s".to_owned())])
        .with([("SPLUNK_LOGGING_INDEX", "off"), ("ADMIN_ADDRESS", "127.0.0.1:0")])
        .start();
    let admin = nozzle.admin().await;
    peers.wait_read(Source::Grpc).await;
    peers.publish(0, 500).await;
    eventually("all is delivered, and known to be", async || {
        let status: Value = serde_json::from_str(&get(admin, "/status.json", "").await.1).expect("JSON");
        let ledger = &status["ledger"];
        (ledger["received"] == 500 && ledger["delivered"] == 500).then_some(())
    })
    .await;
    drop(open);
    peers.publish(500, 500).await;
    let line = nozzle.logged("the HEC does not take data; it is kept and sent again").await;
    assert!(line["next_step"].as_str().is_some_and(|step| step.contains("check the URL")), "{line}");
    assert!(line["pause_ms"].is_u64(), "{line}");
    counted(&nozzle.stop().await, &peers);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    for [first, second] in
        [[Signal::TERM, Signal::TERM], [Signal::INT, Signal::INT], [Signal::INT, Signal::TERM]]
    {
        let peers = Peers::start().await;
        let mut nozzle = holding(&peers, "1h").await;
        nozzle.signal(first);
        nozzle.logged("stopping: no more reading, delivering what is buffered").await;
        nozzle.signal(second);
        let ended = nozzle.ended().await;
        assert_eq!(ended.code, Some(143), "{}", ended.text());
        assert_eq!(ended.logged("a second signal: ending at once, what is buffered is lost").len(), 1);
        assert!(ended.logged("stopped").is_empty(), "{}", ended.text());
    }
}

#[tokio::test]
async fn a_signal_is_heeded_from_the_first_line_of_the_log_on() {
    let peers = Peers::start().await;
    for signal in [Signal::TERM, Signal::INT].repeat(5) {
        let mut nozzle = peers.nozzle(Source::Firehose, &[]).start();
        nozzle.logged("starting").await;
        nozzle.signal(signal);
        let ledger = nozzle.ended().await.ledger();
        assert_eq!(ledger.count("received"), 0);
    }
}
