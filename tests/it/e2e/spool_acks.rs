//! The disk spool and indexer acknowledgement together: a record stays on disk until its events are acknowledged,
//! whatever HEC has said of them before.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use firehose_nozzle::nozzle::config::Config;
use firehose_nozzle::nozzle::status::Status;
use firehose_nozzle::sim::hec::{AckConfig, AckFault, Action, Endpoint, Rule};

use super::hec_acks::{HOUR, SOON, indexed, quick_polls, world};
use super::spool::{DELIVERY, LINES, go_away, overfill, spooling_with};
use super::verdict::number;
use super::world::Folder;
use super::{Nozzle, World};
use crate::spooled::on_disk;

/// What may be missing to the most that may be pending when another batch has no room.
const LARGEST_BATCH: usize = 192 << 10;

/// Nothing counts as delivered without an ack.
fn configure(world: &World, folder: &Path, timeout: Duration) -> Config {
    let mut config = spooling_with(world, folder, &[("HEC_ACK", "required")]);
    config.hec.acks.timeout = timeout;
    config.hec.acks.timing = quick_polls();
    config
}

/// Indexers acknowledge from now on, what they have already as well.
fn acknowledge(world: &World) {
    world.hec.set_acks(AckConfig { delay: Duration::ZERO, idle: HOUR * 1000, ..AckConfig::default() });
    world.hec.advance(HOUR);
}

/// An outage, and then a HEC that takes data and acknowledges nothing, until as much is pending as may be. Gives the
/// status at the end of the outage.
async fn take_without_acks(world: &World, nozzle: &Nozzle) -> Status {
    let away = go_away(world);
    let full = overfill(world, nozzle, 0..LINES).await;
    assert!(world.hec.remove_rule(away).unwrap() > 0);
    let is_full = |status: &Status| status.hec.acks.pending_bytes > DELIVERY / 2 - LARGEST_BATCH;
    let status = nozzle.until("as much is pending as may be", is_full).await;
    assert_eq!((status.ledger.delivered, status.ledger.unconfirmed, status.ledger.lost()), (0, 0, 0));
    full
}

/// The numbers of what HEC has taken.
fn taken(world: &World) -> BTreeSet<u64> {
    world.hec.records().unwrap().iter().filter_map(number).collect()
}

async fn is_empty(nozzle: &Nozzle) {
    let is_empty =
        |status: &Status| status.spool.as_ref().is_some_and(|spool| (spool.batches, spool.bytes) == (0, 0));
    nozzle.until("the spool is empty", is_empty).await;
}

#[tokio::test]
async fn an_outage_costs_nothing_and_everything_is_confirmed_once() {
    let world = world(|_| {}).await;
    let folder = Folder::new();
    let config = configure(&world, folder.path(), HOUR);
    let nozzle = Box::pin(world.connected_nozzle(config)).await;
    let away = go_away(&world);
    let full = overfill(&world, &nozzle, 0..LINES).await;
    assert!(full.spool.unwrap().batches > 40);
    assert!(world.hec.remove_rule(away).unwrap() > 0);
    world.settled(&nozzle).await;
    is_empty(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..LINES);
    assert_eq!((verdict.ledger().delivered, verdict.ledger().unconfirmed), (LINES, 0));
}

#[tokio::test]
async fn a_record_stays_on_disk_until_its_ack_comes() {
    let world = world(|config| config.acks.delay = HOUR).await;
    let folder = Folder::new();
    let config = configure(&world, folder.path(), HOUR);
    let nozzle = Box::pin(world.connected_nozzle(config)).await;
    let full = take_without_acks(&world, &nozzle).await;

    // What the next start would find if this one were killed now.
    let copy = Folder::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let kept = on_disk(copy.path());
    assert!(kept.len() as i64 >= full.ledger.spooled, "{} of {}", kept.len(), full.ledger.spooled);
    let both = kept.intersection(&taken(&world)).count();
    assert!(both > 0, "nothing that was taken came from disk");

    acknowledge(&world);
    world.settled(&nozzle).await;
    is_empty(&nozzle).await;
    let first = nozzle.stop().await;
    assert_eq!((first.report.ledger.delivered, first.report.ledger.unconfirmed), (LINES, 0));
    let config = configure(&world, copy.path(), HOUR);
    let second = Box::pin(world.connected_nozzle(config)).await;
    let recovered = kept.len() as u64;
    second.until("what was on disk is sent", |status| status.ledger.delivered == recovered).await;
    let second = second.stop().await;
    assert_eq!(second.report.ledger.recovered_from_spool, recovered);
    let verdict = world.compare(vec![first, second]);
    verdict.assert_at_least(0..LINES);
    assert_eq!(verdict.duplicates(), recovered);
}

#[tokio::test]
async fn what_came_from_disk_and_is_never_acknowledged_is_sent_again() {
    let world = world(|_| {}).await;
    let folder = Folder::new();
    let config = configure(&world, folder.path(), SOON);
    let nozzle = Box::pin(world.connected_nozzle(config)).await;
    let away = go_away(&world);
    overfill(&world, &nozzle, 0..LINES).await;
    let never = Rule::on(Endpoint::Event, Action::Ack(AckFault::Never)).requests(0..12);
    world.hec.add_rule(never);
    assert!(world.hec.remove_rule(away).unwrap() > 0);
    world.settled(&nozzle).await;
    is_empty(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_at_least(0..LINES);
    let acks = &verdict.status().hec.acks.counters;
    assert!(acks.timeouts >= 12 && verdict.duplicates() > 0, "{acks:?}");
    assert_eq!((verdict.ledger().delivered, verdict.ledger().unconfirmed), (LINES, 0));
}

#[tokio::test]
async fn at_a_stop_what_is_pending_is_unconfirmed_and_the_rest_is_on_disk() {
    let world = world(|config| config.acks.delay = HOUR).await;
    let folder = Folder::new();
    let config = configure(&world, folder.path(), HOUR);
    let first = Box::pin(world.connected_nozzle(config)).await;
    take_without_acks(&world, &first).await;
    let first = first.stop().await;
    let ledger = &first.report.ledger;
    ledger.balance().unwrap();
    assert_eq!((ledger.delivered, ledger.lost()), (0, 0), "{ledger}");
    assert_eq!(ledger.unconfirmed, indexed(&world), "{ledger}");
    let spooled = LINES - ledger.unconfirmed;
    assert_eq!(ledger.spooled, i64::try_from(spooled).unwrap(), "{ledger}");
    let kept = on_disk(folder.path());
    assert_eq!(kept.len() as u64, spooled);
    assert!(kept.is_disjoint(&taken(&world)), "what HEC has taken is not sent again");

    acknowledge(&world);
    let config = configure(&world, folder.path(), HOUR);
    let second = Box::pin(world.connected_nozzle(config)).await;
    second.until("the rest is sent", |status| status.ledger.delivered == spooled).await;
    let second = second.stop().await;
    assert_eq!(second.report.ledger.recovered_from_spool, spooled);
    world.compare(vec![first, second]).assert_exactly(0..LINES);
}
