//! The disk spool of a nozzle that is killed, again and again, at any moment of outages and of what follows them.

use std::collections::BTreeSet;
use std::path::Path;

use firehose_nozzle::hec::spool::Folder;
use firehose_nozzle::sim::hec::{Action, Code, Endpoint, Reply, Rule};
use firehose_nozzle::sim::load::{Limit, Load, LoadConfig, Mix};
use serde_json::Value;
use tokio::time::{Duration, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::peers::{Peers, Source, load};
use super::process::{Command, Nozzle, Signal, eventually, get};
use crate::spooled::on_disk;

/// How often it is killed in each of two tests, which run side by side.
const KILLS: u64 = 25;

/// In each so many'th life it is killed when something is on disk, however slow the machine; in the others at any moment.
const CERTAIN: u64 = 5;

/// Lines of one life, if it lives long enough; three times what it holds in memory.
const LINES: u64 = 1500;
const LINE_BYTES: usize = 4000;

/// Events of a request.
const BATCH: u64 = 20;

/// Batches read in advance, and the one that is being read.
const AHEAD: u64 = 3;

/// Batches out of the spool that may come twice after a kill, when the server saw so many requests at once: those under way, and
/// those that were while the disk had its last turn, whose marks were not written yet.
fn window(requests_at_once: u64) -> u64 {
    2 * (requests_at_once + AHEAD)
}

fn nozzle(peers: &Peers, spool: &Path) -> Command {
    peers.nozzle(Source::Grpc, &[]).with([
        ("SPOOL_DIR", spool.to_str().expect("text").to_owned()),
        ("DELIVERY_MAX_BYTES", "4MiB".to_owned()),
        ("HEC_BATCH_SIZE", BATCH.to_string()),
        ("HEC_COMPRESSION", "off".to_owned()),
        ("BOLTDB_PATH", "off".to_owned()),
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_disk_when_it_is_killed_arrives() {
    kill_and_kill(20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_disk_when_it_is_killed_at_other_moments_arrives() {
    kill_and_kill(21).await;
}

async fn kill_and_kill(seed: u64) {
    let peers = Peers::start().await;
    let folder = peers.directory.path().join("spool");
    std::fs::create_dir(&folder).expect("a folder");
    let mut chance = fastrand::Rng::with_seed(seed);
    let (mut promised, mut seen_on_disk, mut lives_spilled) = (BTreeSet::new(), 0, 0);
    for life in 0..KILLS {
        let is_certain = life % CERTAIN == 0;
        let is_away = chance.u8(..3) > 0 || is_certain;
        if is_away {
            let busy = Reply::hec(Code::ServerBusy).with_retry_after("0");
            peers.hec.add_rule(Rule::on(Endpoint::Event, Action::Answer(busy)));
        }
        let twice_before = peers.hec.snapshot().ledger.duplicates;
        let mut nozzle = nozzle(&peers, &folder).var("ADMIN_ADDRESS", "127.0.0.1:0").start();
        peers.wait_read(Source::Grpc).await;
        let sending = Load::new(LoadConfig {
            mix: Mix::logs(),
            payload_bytes: LINE_BYTES,
            limit: Limit::Events(LINES),
            ..load(life * LINES)
        });
        // Not to wait for anything, but to meet it in the middle of whatever it does.
        let moment = Duration::from_millis(chance.u64(..700));
        let stop = CancellationToken::new();
        if is_certain {
            sending.run(&peers.foundation, &stop).await;
            more_on_disk(&mut nozzle, seen_on_disk).await;
        } else {
            let _ = timeout(moment, async {
                sending.run(&peers.foundation, &stop).await;
                sleep(moment).await;
            })
            .await;
        }
        nozzle.signal(Signal::KILL);
        assert_eq!(nozzle.ended().await.code, None);
        peers.wait_streams(Source::Grpc, 0).await;
        let now = on_disk(&folder);
        lives_spilled += u64::from(now.len() > seen_on_disk);
        seen_on_disk = now.len();
        promised.extend(now);
        let seen = peers.hec.snapshot();
        let (twice, at_once) = (seen.ledger.duplicates - twice_before, seen.max_in_flight);
        assert!(
            twice <= window(at_once) * BATCH,
            "life {life}: {twice} came twice, {at_once} requests at once"
        );
        peers.hec.clear_rules();
    }
    assert!(lives_spilled >= KILLS / CERTAIN, "in only {lives_spilled} lives anything was spooled");

    let mut nozzle = nozzle(&peers, &folder).start();
    nozzle.logged("the disk spool is open").await;
    let all = 0..KILLS * LINES;
    eventually("everything that was on disk arrives", async || {
        let missing = peers.hec.first_missing(all.clone(), usize::MAX).expect("numbers are kept");
        let files = std::fs::read_dir(&folder).expect("a folder").count();
        (files == 1 && missing.iter().all(|number| !promised.contains(number))).then_some(())
    })
    .await;
    let ledger = nozzle.stop().await.ledger();
    assert!(ledger.count("recovered_from_spool") >= seen_on_disk as u64, "{ledger:?}");
    assert_eq!((ledger.count("spooled"), ledger.sum("dropped"), ledger.sum("rejected")), (0, 0, 0));
}

/// Waits until it has more than so many numbered lines on disk.
async fn more_on_disk(nozzle: &mut Nozzle, lines: usize) {
    let admin = nozzle.admin().await;
    // The platform's own counters may be there too, which have no number.
    let enough = (lines as u64) + LINES / 10;
    eventually("more is on disk", async || {
        let status: Value = serde_json::from_str(&get(admin, "/status.json", "").await.1).expect("JSON");
        (status["ledger"]["spooled"].as_u64() > Some(enough)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_folder_of_somebody_else_is_said_and_costs_nothing() {
    let peers = Peers::start().await;
    let folder = peers.directory.path().join("spool");
    let held = Folder::open(&folder).expect("a folder");
    let mut nozzle = nozzle(&peers, &folder).start();
    let line = nozzle.logged("the disk spool cannot be used").await;
    assert_eq!(line["level"], "ERROR");
    assert!(
        line["error"].as_str().is_some_and(|error| error.contains("in use by another process")),
        "{line}"
    );
    assert!(line["next_step"].as_str().is_some_and(|step| step.contains("SPOOL_DIR of its own")), "{line}");
    peers.wait_read(Source::Grpc).await;
    peers.publish(0, 100).await;
    peers.wait_indexed(100).await;
    let check = Command::new(&["check"])
        .with(peers.essentials())
        .with(peers.source(Source::Grpc))
        .with([("CF_CA_FILE", peers.ca_file()), ("SPLUNK_CA_FILE", peers.ca_file())])
        .var("SPOOL_DIR", folder.to_str().expect("text"));
    let ended = check.clone().run().await;
    assert_eq!(ended.code, Some(69), "{}", ended.text());
    assert!(ended.text().contains("FAIL  disk spool"), "{}", ended.text());
    drop(held);
    nozzle.logged("the disk spool is open").await;
    nozzle.stop().await.ledger();
    let ended = check.run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    assert!(ended.text().contains("ok    disk spool      "), "{}", ended.text());
}
