//! The disk spool: an outage of Splunk costs nothing that fits on disk, nor does the end of the nozzle.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use firehose_nozzle::nozzle::app::App;
use firehose_nozzle::nozzle::config::Config;
use firehose_nozzle::nozzle::status::Status;
use firehose_nozzle::sim::hec::{Action, Code, Endpoint, Reply, Rule, RuleId};

use super::verdict::{Verdict, number};
use super::world::Folder;
use super::{Nozzle, Source, World, app_guid, long_log};

/// Bytes of a log line; the lines of a test are three times what memory holds.
const LINE: usize = 8000;
pub(super) const LINES: u64 = 1500;

pub(super) const DELIVERY: usize = 4 << 20;

/// One worker and one stream, so that lines are in order when they come to the pool; and at the end time to write all
/// that is in memory to a slow disk.
const SETTINGS: [(&str, &str); 5] = [
    ("HEC_WORKERS", "1"),
    ("LOGGREGATOR_STREAMS", "1"),
    ("HEC_BATCH_BYTES", "128KiB"),
    ("DELIVERY_MAX_BYTES", "4MiB"),
    ("SHUTDOWN_TIMEOUT", "8s"),
];

fn spooling(world: &World, folder: &Path) -> Config {
    spooling_with(world, folder, &[])
}

pub(super) fn spooling_with(world: &World, folder: &Path, settings: &[(&str, &str)]) -> Config {
    let spool = [("SPOOL_DIR", folder.to_str().unwrap())];
    world.configure(Source::Grpc, &[&SETTINGS[..], &spool, settings].concat())
}

/// Splunk takes nothing, and says so: so nothing is in doubt.
pub(super) fn go_away(world: &World) -> RuleId {
    let busy = Reply::hec(Code::ServerBusy).with_retry_after("0");
    world.hec.add_rule(Rule::on(Endpoint::Event, Action::Answer(busy)))
}

/// Publishes lines that no memory can hold, no faster than the disk takes what does not fit.
pub(super) async fn overfill(world: &World, nozzle: &Nozzle, lines: Range<u64>) -> Status {
    let mut status = nozzle.status();
    for from in lines.step_by(100) {
        let read = status.ledger.received + 100;
        world.publish(from..from + 100, |n| long_log(&app_guid(n % 5), n, LINE)).await;
        let spilled =
            |status: &Status| status.ledger.received == read && status.delivery.bytes <= DELIVERY / 2;
        status = nozzle.until("what memory is not to hold is on disk", spilled).await;
    }
    status
}

/// When each line came, by its number: the request that brought it first.
fn arrivals(verdict: &Verdict) -> BTreeMap<u64, u64> {
    let mut first = BTreeMap::new();
    for record in &verdict.records {
        if let Some(number) = number(record) {
            first.entry(number).or_insert(record.request);
        }
    }
    first
}

#[tokio::test]
async fn an_outage_costs_nothing_and_what_is_live_goes_first() {
    let world = World::start().await;
    let folder = Folder::new();
    let nozzle = world.connected_nozzle(spooling(&world, folder.path())).await;
    let away = go_away(&world);
    let full = overfill(&world, &nozzle, 0..LINES).await;
    assert!(full.delivery.high_water_bytes <= DELIVERY, "{:?}", full.delivery);
    let spool = full.spool.unwrap();
    assert!(spool.batches > 40 && spool.oldest_unix_ms.is_some(), "{spool:?}");
    assert_eq!((full.ledger.lost(), full.ledger.delivered), (0, 0));
    assert_eq!(full.ledger.buffered() + full.ledger.spooled, i64::try_from(LINES).unwrap());
    assert!(spool.bytes > 0 && spool.bytes < LINES * LINE as u64 / 4, "compressed: {}", spool.bytes);

    assert!(world.hec.remove_rule(away).unwrap() > 0);
    world.settled(&nozzle).await;
    let is_empty =
        |status: &Status| status.spool.as_ref().is_some_and(|spool| (spool.batches, spool.bytes) == (0, 0));
    nozzle.until("an empty spool takes no room", is_empty).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..LINES);

    let arrivals = arrivals(&verdict);
    let requests = |lines: Range<u64>| lines.map(|number| arrivals[&number]);
    // What came last was in memory: it did not wait for the disk.
    let newest = requests(LINES - 50..LINES).max().unwrap();
    let last = requests(0..LINES).max().unwrap();
    assert!(newest < last, "{newest} {last}");
    // The disk gave the oldest first, though some requests overtake others on their way.
    let median = |lines: Range<u64>| {
        let mut requests: Vec<u64> = requests(lines).collect();
        requests.sort_unstable();
        requests[requests.len() / 2]
    };
    let (older, newer) = (median(LINES / 4..LINES * 3 / 8), median(LINES * 3 / 8..LINES / 2));
    assert!(older < newer, "{older} {newer}");
}

#[tokio::test]
async fn what_splunk_does_not_take_before_the_end_is_sent_by_the_next_start() {
    let world = World::start().await;
    let folder = Folder::new();
    let away = go_away(&world);
    let first = world.connected_nozzle(spooling(&world, folder.path())).await;
    overfill(&world, &first, 0..LINES).await;
    let first = first.stop().await;
    let ledger = &first.report.ledger;
    assert_eq!((ledger.lost(), ledger.delivered), (0, 0), "{ledger}");
    assert_eq!(ledger.spooled, i64::try_from(LINES).unwrap(), "all of it, what was in memory too");

    assert!(world.hec.remove_rule(away).unwrap() > 0);
    let second = world.connected_nozzle(spooling(&world, folder.path())).await;
    world.publish(LINES..LINES + 100, |n| long_log(&app_guid(1), n, 10)).await;
    second.until("the new ones are read", |status| status.ledger.received == 100).await;
    let settled = |status: &Status| {
        status.ledger.recovered_from_spool == LINES && status.ledger.spooled + status.ledger.buffered() == 0
    };
    second.until("the old ones are sent", settled).await;
    let second = second.stop().await;
    let verdict = world.compare(vec![first, second]);
    verdict.assert_exactly(0..LINES + 100);
}

#[tokio::test]
async fn on_a_disk_that_dies_with_the_container_it_bridges_outages_and_counts_what_it_held() {
    let world = World::start().await;
    let folder = Folder::new();
    let config = || {
        let mut config = spooling(&world, folder.path());
        config.spool.as_mut().unwrap().persistent = false;
        config
    };
    let away = go_away(&world);
    let nozzle = world.connected_nozzle(config()).await;
    overfill(&world, &nozzle, 0..LINES).await;
    assert!(world.hec.remove_rule(away).unwrap() > 0);
    world.settled(&nozzle).await;
    // Away again, until the end.
    go_away(&world);
    overfill(&world, &nozzle, LINES..2 * LINES).await;
    let verdict = world.finish(nozzle).await;
    let ledger = verdict.ledger();
    assert_eq!((ledger.delivered, ledger.spooled), (LINES, 0));
    let reasons: Vec<_> = ledger.dropped.keys().map(String::as_str).collect();
    assert_eq!(reasons, ["ephemeral_disk", "shutdown"]);
    assert_eq!(ledger.lost(), LINES);
    assert_eq!(verdict.missing(0..2 * LINES).len() as u64, LINES);
    // Where the folder lives on all the same, nothing is counted twice.
    world.hec.clear_rules();
    let next = world.connected_nozzle(config()).await;
    next.until("the spool is open", |status| status.spool.as_ref().is_some_and(|spool| spool.open)).await;
    assert_eq!(next.stop().await.report.ledger.recovered_from_spool, 0);
}

#[tokio::test]
async fn it_is_drained_to_the_end_where_its_disk_dies() {
    let world = World::start().await;
    let folder = Folder::new();
    let mut config = spooling(&world, folder.path());
    config.spool.as_mut().unwrap().persistent = false;
    config.shutdown_timeout = super::DEADLINE;
    let away = go_away(&world);
    let nozzle = world.connected_nozzle(config).await;
    overfill(&world, &nozzle, 0..LINES).await;
    nozzle.begin_to_stop();
    world.foundation.wait_connected(super::DEADLINE, |open| open.rlp == 0).await.unwrap();
    assert!(world.hec.remove_rule(away).unwrap() > 0);
    world.finish(nozzle).await.assert_exactly(0..LINES);
}

#[tokio::test]
async fn when_the_disk_is_used_up_too_the_oldest_goes_and_is_counted() {
    let world = World::start().await;
    let folder = Folder::new();
    let mut config = spooling(&world, folder.path());
    // Some thirty batches: the lines compress well.
    config.spool.as_mut().unwrap().max_bytes = 64 << 10;
    let away = go_away(&world);
    let nozzle = world.connected_nozzle(config).await;
    let full = overfill(&world, &nozzle, 0..2 * LINES).await;
    let spool = full.spool.unwrap();
    assert!(spool.bytes <= spool.max_bytes && spool.batches > 0, "{spool:?}");
    assert!(world.hec.remove_rule(away).unwrap() > 0);
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    let missing = verdict.missing(0..2 * LINES);
    assert_eq!(verdict.ledger().dropped, [("spool_full".to_owned(), missing.len() as u64)].into());
    assert!(missing.len() as u64 > LINES / 4 && verdict.duplicates() == 0, "{}", missing.len());
    // What was gone was older than what was left on disk.
    let newest_missing = *missing.last().unwrap();
    let in_hand = 16 * 17;
    let older = (in_hand..newest_missing).filter(|number| !missing.contains(number)).count() as u64;
    assert!(older <= in_hand, "{older} that are older than {newest_missing} were kept");
}

#[tokio::test]
async fn a_second_nozzle_leaves_the_folder_alone_and_takes_over_when_the_first_ends() {
    let world = World::start().await;
    let folder = Folder::new();
    let away = go_away(&world);
    let first = world.connected_nozzle(spooling(&world, folder.path())).await;
    overfill(&world, &first, 0..LINES).await;
    let second = Nozzle::start(App::build(spooling(&world, folder.path())).unwrap()).await;
    let refused = |status: &Status| {
        let spool = status.spool.as_ref().unwrap();
        !spool.open && spool.trouble.as_ref().is_some_and(|why| why.contains("in use by another process"))
    };
    second.until("it is refused", refused).await;
    let first = first.stop().await;
    assert!(world.hec.remove_rule(away).unwrap() > 0);
    let taken_over = |status: &Status| {
        let ledger = &status.ledger;
        ledger.recovered_from_spool == LINES && ledger.spooled + ledger.buffered() == 0
    };
    second.until("it takes over", taken_over).await;
    let verdict = world.compare(vec![first, second.stop().await]);
    verdict.assert_exactly(0..LINES);
}
