//! What comes in, what goes out, and what is lost in between, policy by policy.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;

use super::*;
use crate::task::Tasks;

const MERGE: MergeLimits = MergeLimits { bytes: 100_000, events: 1000 };

fn pool(capacity_bytes: usize, when_full: WhenFull) -> (Arc<Pool>, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::new());
    (Arc::new(Pool::new(capacity_bytes, when_full, MERGE, ledger.clone())), ledger)
}

/// Events of flows, each of so many bytes and a unit.
fn batch(flows: &[u32], bytes: usize) -> Batch {
    let mut batch = Batch::new(Arc::from("main"), 0);
    for flow in flows {
        let text = format!(r#"{{"event":{{"cf_app_id":"{flow}"}}}}"#);
        batch.buffer().extend_from_slice(format!("{text:<bytes$}").as_bytes());
        batch.commit_for(*flow, 1);
    }
    batch.shrink_to_fit();
    batch
}

/// Hands a batch over where nobody should have to wait.
fn admit(pool: &Pool, batch: Batch) {
    let stop = CancellationToken::new();
    assert!(pool.admit(batch, &stop).now_or_never().is_some(), "no waiting");
}

fn take(pool: &Pool) -> Option<Admitted> {
    match pool.take(0, |_| false).now_or_never()?? {
        Work::New(admitted) => Some(admitted),
        Work::Again(..) | Work::Spooled(..) => panic!("nothing was set aside"),
    }
}

fn suspected(deferred: Vec<Deferred>) -> Rest {
    Rest { deferred, ..Rest::default() }
}

fn to_confirm(batch: Batch) -> Rest {
    Rest { pending: vec![Pending::of(batch)], ..Rest::default() }
}

/// Takes everything that waits: events by flow.
fn drain(pool: &Pool, ledger: &Ledger) -> BTreeMap<u32, u64> {
    let mut flows = BTreeMap::new();
    while let Some(Admitted { batch, place }) = take(pool) {
        for mark in batch.marks() {
            *flows.entry(mark.flow).or_default() += 1;
        }
        ledger.delivered(batch.tally());
        drop(place);
    }
    flows
}

fn dropped(ledger: &Ledger) -> u64 {
    ledger.snapshot().lost()
}

#[test]
fn fair_gives_the_quiet_what_they_need_and_counts_exactly() {
    let capacity = 200_000;
    let (pool, ledger) = pool(capacity, WhenFull::Fair);
    let mut sent = BTreeMap::<u32, u64>::new();
    // One app writes twenty times as much as twenty others together, and all in the same batches.
    for round in 0..300_u32 {
        let mut flows = vec![1000; 20];
        flows.insert(round as usize % 20, round % 20);
        for flow in &flows {
            *sent.entry(*flow).or_default() += 1;
        }
        admit(&pool, batch(&flows, 200));
        let used = pool.status().bytes;
        assert!(used <= capacity, "{used}");
        let waiting: usize = pool.lock().waiting.iter().map(|admitted| cost(&admitted.batch)).sum();
        assert_eq!(waiting, used);
    }
    let status = pool.status();
    assert!(status.high_water_bytes <= capacity && status.bytes > capacity * 9 / 10, "{status:?}");
    assert_eq!(status.shed.len(), 1, "{:?}", status.shed);
    assert_eq!((status.shed[0].app.as_str(), status.shed[0].events), ("1000", dropped(&ledger)));
    let requests = status.waiting_batches;
    assert!(requests < 60, "what is left of batches is gathered: {requests}");
    let kept = drain(&pool, &ledger);
    for flow in 0..20 {
        assert_eq!(kept[&flow], sent[&flow], "a quiet app lost something");
    }
    assert!(kept[&1000] > 300, "what the quiet do not need is not wasted: {}", kept[&1000]);
    let all: u64 = sent.values().sum();
    assert_eq!(kept.values().sum::<u64>() + dropped(&ledger), all);
    assert_eq!(ledger.snapshot().dropped.keys().collect::<Vec<_>>(), ["delivery_full"]);
    assert_eq!((pool.status().bytes, ledger.snapshot().batched), (0, 0));
    assert!(pool.lock().flows.is_empty());
}

#[test]
fn fair_keeps_the_oldest_of_an_app_and_drops_its_newest() {
    let (pool, _) = pool(20_000, WhenFull::Fair);
    for n in 0..40_u32 {
        let mut one = Batch::new(Arc::from("main"), 0);
        one.buffer().extend_from_slice(format!("{n:<1000}").as_bytes());
        one.commit_for(7, 1);
        admit(&pool, one);
    }
    let mut kept = Vec::new();
    while let Some(admitted) = take(&pool) {
        let text = String::from_utf8(admitted.batch.body().to_vec()).unwrap();
        kept.extend(text.split_whitespace().map(|n| n.parse::<usize>().unwrap()));
    }
    assert_eq!(kept, (0..kept.len()).collect::<Vec<_>>());
    assert!(kept.len() > 10);
}

#[test]
fn what_is_being_sent_is_nobodys_to_drop() {
    for policy in [WhenFull::Fair, WhenFull::DropOldest, WhenFull::DropNewest] {
        let (pool, ledger) = pool(20_000, policy);
        admit(&pool, batch(&[1; 15], 1000));
        let sending = take(&pool).unwrap();
        admit(&pool, batch(&[2; 15], 1000));
        assert!(pool.status().bytes <= 20_000, "{policy:?}");
        assert_eq!(sending.batch.len(), 15);
        drop(sending);
        let kept = drain(&pool, &ledger).get(&2).copied().unwrap_or_default();
        assert_eq!(kept + dropped(&ledger), 15, "{policy:?}");
        assert_eq!(kept > 0, policy == WhenFull::Fair, "{policy:?}: {kept}");
    }
}

#[test]
fn the_newest_or_the_oldest_batch_goes_as_configured() {
    for (policy, kept) in [(WhenFull::DropNewest, [1, 2]), (WhenFull::DropOldest, [2, 3])] {
        let (pool, ledger) = pool(25_000, policy);
        for flow in 1..=3 {
            admit(&pool, batch(&[flow; 10], 1000));
        }
        assert_eq!(dropped(&ledger), 10);
        assert_eq!(drain(&pool, &ledger).into_keys().collect::<Vec<_>>(), kept, "{policy:?}");
    }
}

#[test]
fn the_number_of_batches_is_bounded_by_their_bytes_alone() {
    let (pool, ledger) = pool(32 << 20, WhenFull::Fair);
    for n in 0..20_000_u32 {
        admit(&pool, batch(&[n % 10], 100));
    }
    assert_eq!(pool.status().waiting_batches, 20_000);
    assert_eq!(dropped(&ledger), 0);
}

#[test]
fn a_batch_larger_than_the_pool_takes_all_of_it() {
    for policy in [WhenFull::Fair, WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block] {
        let (pool, ledger) = pool(10_000, policy);
        admit(&pool, batch(&[1], 30_000));
        assert_eq!(pool.status().bytes, 10_000, "{policy:?}");
        assert_eq!(drain(&pool, &ledger)[&1], 1);
    }
}

#[tokio::test]
async fn block_waits_for_room_in_turn_and_loses_nothing() {
    let (pool, ledger) = pool(25_000, WhenFull::Block);
    let mut workers = Tasks::new();
    for worker in 0..4 {
        let pool = pool.clone();
        workers.spawn("worker", async move {
            for size in [1, 20, 3, 10] {
                pool.admit(batch(&vec![worker; size], 1000), &CancellationToken::new()).await;
            }
        });
    }
    let mut taken = 0;
    while taken < 4 * 34 {
        let Some(Work::New(Admitted { batch, place })) = pool.take(0, |_| false).await else { panic!() };
        assert!(pool.status().bytes <= 25_000);
        taken += batch.len();
        ledger.delivered(batch.tally());
        drop(place);
    }
    while let Some(joined) = workers.join_next().await {
        joined.unwrap();
    }
    assert_eq!(dropped(&ledger), 0);
}

#[tokio::test]
async fn a_worker_that_waits_gives_up_when_there_is_no_time_left() {
    let (pool, ledger) = pool(25_000, WhenFull::Block);
    admit(&pool, batch(&[1; 20], 1000));
    let stop = CancellationToken::new();
    let waiting = pool.admit(batch(&[1; 20], 1000), &stop);
    tokio::join!(waiting, async { stop.cancel() });
    assert_eq!(ledger.snapshot().dropped, [("shutdown".to_owned(), 20)].into());
}

#[tokio::test]
async fn senders_end_when_the_pool_is_closed_and_empty() {
    let (pool, _) = pool(25_000, WhenFull::Fair);
    admit(&pool, batch(&[1], 1000));
    let mut senders = Tasks::new();
    for _ in 0..4 {
        let pool = pool.clone();
        senders.spawn("sender", async move {
            let mut taken = 0;
            while pool.take(0, |_| false).await.is_some() {
                taken += 1;
            }
            taken
        });
    }
    tokio::task::yield_now().await;
    pool.close();
    let mut taken = 0;
    while let Some(joined) = senders.join_next().await {
        taken += joined.unwrap().1;
    }
    assert_eq!(taken, 1);
}

/// Events that a client could not judge.
fn deferred(flows: &[u32]) -> Deferred {
    Deferred::of(batch(flows, 100))
}

#[test]
fn what_is_set_aside_waits_until_it_can_be_judged_or_nothing_else_is_there() {
    let (pool, ledger) = pool(100_000, WhenFull::Fair);
    admit(&pool, batch(&[1; 5], 100));
    let first = take(&pool).unwrap();
    drop(pool.keep(suspected(vec![deferred(&[1, 1])]), first.place));
    ledger.delivered(Tally { events: 3, units: 3 });
    assert_eq!((pool.status().set_aside, ledger.snapshot().batched), (1, 2));
    assert!(!pool.is_backlogged(), "it keeps nobody from sending");

    // There is other data: that goes first.
    admit(&pool, batch(&[2], 100));
    let other = pool.take(0, |_| false).now_or_never().flatten().unwrap();
    assert!(matches!(&other, Work::New(_)));
    // Nothing else: it is tried, by one sender only.
    let Some(Some(Work::Again(aside, Some(test)))) = pool.take(0, |_| false).now_or_never() else { panic!() };
    drop(pool.keep(suspected(vec![deferred(&[1])]), aside.place));
    assert!(pool.take(0, |_| false).now_or_never().is_none(), "another one is with a sender");
    drop(test);
    let Some(Some(Work::Again(aside, Some(test)))) = pool.take(0, |_| false).now_or_never() else { panic!() };
    drop(test);
    drop(pool.keep(suspected(vec![deferred(&[1])]), aside.place));
    // It can be judged: it goes before other data.
    admit(&pool, batch(&[3], 100));
    let Some(Some(Work::Again(aside, None))) = pool.take(0, |_| true).now_or_never() else { panic!() };
    drop(pool.keep(Rest::default(), aside.place));
    assert!(matches!(pool.take(0, |_| true).now_or_never(), Some(Some(Work::New(_)))));
    drop(other);
    assert_eq!((pool.status().bytes, ledger.snapshot().batched), (0, 0));
}

#[test]
fn the_pool_is_not_empty_while_something_is_set_aside() {
    let (pool, _) = pool(100_000, WhenFull::Fair);
    admit(&pool, batch(&[1; 5], 100));
    let first = take(&pool).unwrap();
    pool.close();
    drop(pool.keep(suspected(vec![deferred(&[1])]), first.place));
    let Some(Some(Work::Again(aside, test))) = pool.take(0, |_| false).now_or_never() else { panic!() };
    assert!(pool.take(0, |_| false).now_or_never().is_none(), "its sender may set it aside again");
    drop((aside, test));
    assert!(matches!(pool.take(0, |_| false).now_or_never(), Some(None)));
}

#[test]
fn what_is_to_be_confirmed_keeps_its_place_and_comes_back_before_suspects() {
    let (pool, ledger) = pool(100_000, WhenFull::Fair);
    for flow in [1, 2] {
        admit(&pool, batch(&[flow; 5], 100));
    }
    let (first, second) = (take(&pool).unwrap(), take(&pool).unwrap());
    let before = pool.status().bytes;
    let mut pending = pool.keep(to_confirm(first.batch), first.place);
    assert_eq!(
        (pool.status().bytes, pool.status().awaiting_acks, ledger.snapshot().batched),
        (before, 1, 10)
    );
    pool.close();
    let suspects = (0..2 * ASIDE_LOOKS).map(|_| deferred(&[])).collect();
    drop(pool.keep(suspected(suspects), second.place));
    let (_, place) = pending.pop().unwrap();
    pool.confirmed(Some(deferred(&[1; 5])), place);
    let five = |deferred: &Deferred| deferred.tally().events == 5;
    let Some(Some(Work::Again(again, None))) = pool.take(0, five).now_or_never() else { panic!() };
    assert_eq!(again.deferred.tally().events, 5);

    // The last one may still come back, so senders stay.
    pool.lock().aside.clear();
    pending.extend(pool.keep(to_confirm(batch(&[1; 5], 100)), again.place));
    assert!(pool.take(0, |_| false).now_or_never().is_none());
    let (_, place) = pending.pop().unwrap();
    pool.confirmed(None, place);
    assert!(matches!(pool.take(0, |_| false).now_or_never(), Some(None)));
    assert_eq!((pool.status().bytes, ledger.snapshot().batched), (0, 0));
}

#[test]
fn what_is_to_be_confirmed_drives_nothing_to_disk_before_half_of_the_rest_is_used() {
    let (pool, ledger) = pool(100_000, WhenFull::Fair);
    pool.has_spool(OnDisk::Kept);
    let is_woken = || pool.desk().wake.notified().now_or_never().is_some();
    let admit = || admit(&pool, batch(&[1; 10], 1000));
    let mut pending = Vec::new();
    for _ in 0..4 {
        admit();
        let taken = take(&pool).unwrap();
        pending.extend(pool.keep(to_confirm(taken.batch), taken.place));
    }
    // Of less than sixty thousand bytes two batches are less than half, three are more.
    for _ in 0..2 {
        admit();
        assert!(!is_woken() && pool.spill().is_empty(), "{:?}", pool.status());
    }
    assert!(pool.status().bytes > 60_000);
    admit();
    assert!(is_woken());
    let spilled = pool.spill();
    assert_eq!((spilled.len(), pool.status().waiting_batches), (1, 2));
    drop(spilled);

    // What is confirmed makes room; what is to be sent again is as any other batch.
    let (_, place) = pending.pop().unwrap();
    pool.confirmed(None, place);
    assert!(pool.spill().is_empty());
    for (_, place) in pending {
        pool.confirmed(Some(Deferred::of(batch(&[1; 10], 1000))), place);
    }
    assert_eq!((pool.status().awaiting_acks, pool.spill().len()), (0, 1));
    pool.lock().aside.clear();
    drain(&pool, &ledger);
    assert_eq!((pool.status().bytes, ledger.snapshot().batched), (0, 0));
}
