//! The main job: from either source to Splunk, told as the Go nozzle is told.

use super::peers::{Peers, Source};
use super::process::Command;

/// What a manifest of the Go nozzle gives beside the essentials.
const MANIFEST: [(&str, &str); 22] = [
    ("API_USER", "admin"),
    ("API_PASSWORD", "unused"),
    ("FIREHOSE_KEEP_ALIVE", "25s"),
    ("FIREHOSE_SUBSCRIPTION_ID", "splunk-ci"),
    ("ADD_APP_INFO", "AppName,OrgName,OrgGuid,SpaceName,SpaceGuid"),
    ("IGNORE_MISSING_APP", "true"),
    ("MISSING_APP_CACHE_INVALIDATE_TTL", "3600s"),
    ("APP_CACHE_INVALIDATE_TTL", "86440s"),
    ("ORG_SPACE_CACHE_INVALIDATE_TTL", "72h"),
    ("APP_LIMITS", "0"),
    ("BOLTDB_PATH", "cache.db"),
    ("EXTRA_FIELDS", "env:dev,name:test"),
    ("FLUSH_INTERVAL", "100ms"),
    ("CONSUMER_QUEUE_SIZE", "10000"),
    ("HEC_BATCH_SIZE", "100"),
    ("HEC_RETRIES", "5"),
    ("HEC_WORKERS", "8"),
    ("ENABLE_EVENT_TRACING", "true"),
    ("STATUS_MONITOR_INTERVAL", "0s"),
    ("SPLUNK_LOGGING_INDEX", "nozzle"),
    ("SPLUNK_METRIC_INDEX", "nozzle_metrics"),
    ("DEBUG", "false"),
];

/// Runs it, lets it deliver, stops it; its ledger and Splunk's must say the same.
async fn delivers(peers: &Peers, source: Source, nozzle: Command, shard_id: &str) {
    const ENVELOPES: u64 = 2000;
    let nozzle = nozzle.start();
    peers.wait_read(source).await;
    let streams = peers.foundation.streams();
    let shared = streams.iter().filter(|stream| stream.shard == shard_id).count();
    assert_eq!(shared, 2, "{streams:?}");
    // The watch stream shares with nobody.
    assert!(streams.iter().all(|stream| stream.shard == shard_id || stream.shard.is_empty()), "{streams:?}");
    peers.publish(0, ENVELOPES).await;
    peers.wait_indexed(ENVELOPES).await;
    let ended = nozzle.stop().await;
    let ledger = ended.ledger();
    assert!(ledger.count("received") >= ENVELOPES, "{ledger:?}");
    assert_eq!((ledger.sum("dropped"), ledger.sum("rejected")), (0, 0), "{ledger:?}");
    assert_eq!(ledger.delivered(), peers.indexed());
}

#[tokio::test]
async fn variables_of_the_go_nozzle_and_ca_files_are_enough() {
    for source in Source::BOTH {
        let peers = Peers::start().await;
        delivers(&peers, source, peers.nozzle(source, &[]).with(MANIFEST), "splunk-ci").await;
    }
}

#[tokio::test]
async fn certificates_need_not_be_checked() {
    for source in Source::BOTH {
        let peers = Peers::start().await;
        let nozzle = Command::new(&["run"])
            .with(peers.essentials())
            .with(peers.source(source))
            .with([("SKIP_SSL_VALIDATION_CF", "true"), ("SKIP_SSL_VALIDATION_SPLUNK", "true")]);
        delivers(&peers, source, nozzle, "splunk-firehose").await;
    }
}

#[tokio::test]
async fn flags_of_the_go_nozzle_are_enough() {
    for source in Source::BOTH {
        let peers = Peers::start().await;
        let settings = peers.essentials().into_iter().chain(peers.source(source));
        let flags = settings.flat_map(|(name, value)| [flag(name), value]);
        let switches =
            ["--add-tags", "--no-debug", "--skip-ssl-validation-cf", "--skip-ssl-validation-splunk=true"];
        let nozzle = Command::new(&["--subscription-id", "by-flag", "--user=admin"])
            .with_arguments(flags)
            .with_arguments(switches);
        delivers(&peers, source, nozzle, "by-flag").await;
    }
}

/// The flag of a setting.
fn flag(name: &str) -> String {
    format!("--{}", name.to_ascii_lowercase().replace('_', "-"))
}
