//! The keeper between a pool and a disk that fails.

use std::collections::BTreeSet;

use futures_util::FutureExt as _;

use super::*;
use crate::hec::batch::Batch;
use crate::hec::spool::memory::{Faults, MemoryDisk};
use crate::nozzle::config::WhenFull;
use crate::nozzle::deliver::MergeLimits;
use crate::nozzle::deliver::pool::Work;
use crate::nozzle::ledger::Drop as DropReason;
use crate::task::Tasks;

/// Bytes of a batch in memory, about.
const BATCH: usize = 10_000;

/// Ten batches; five before any of them goes to disk, two of which may come from there.
const CAPACITY: usize = 10 * (BATCH + 600);

struct World {
    pool: Arc<Pool>,
    ledger: Arc<Ledger>,
    disk: MemoryDisk,
    status: Arc<Mutex<SpoolStatus>>,
    ends: Ends,
    keeper: Tasks<()>,
}

impl World {
    fn new(persistent: bool) -> Self {
        Self::on(MemoryDisk::default(), persistent)
    }

    /// A keeper of this disk, which may be in use by another process at first.
    fn on(disk: MemoryDisk, persistent: bool) -> Self {
        let ledger = Arc::new(Ledger::new());
        let merge = MergeLimits { bytes: 0, events: 0 };
        let pool = Arc::new(Pool::new(CAPACITY, WhenFull::DropNewest, merge, ledger.clone()));
        let settings = SpoolSettings { folder: "/spool".into(), max_bytes: 1 << 20, persistent };
        let status = Arc::new(Mutex::new(SpoolStatus::new(&settings)));
        let its_disk = disk.clone();
        let open: Open = Arc::new(move || Ok(Box::new(its_disk.clone())));
        let keeper = Keeper::on_disk(pool.clone(), ledger.clone(), settings, status.clone(), open);
        let ends = Ends {
            shutdown: CancellationToken::new(),
            hurry: CancellationToken::new(),
            finish: CancellationToken::new(),
            finish_time: Duration::from_secs(2),
        };
        let mut tasks = Tasks::new();
        tasks.spawn("keeper", keeper.run(ends.clone()));
        Self { pool, ledger, disk, status, ends, keeper: tasks }
    }

    /// Numbered batches come in, as fast as the keeper can do with.
    async fn admit(&self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            self.take_in(number).await;
            self.rest().await;
        }
    }

    async fn take_in(&self, number: u64) {
        let batch = batch(number);
        // What a worker that made it would have told.
        let tally = batch.tally();
        self.ledger.intake(&crate::nozzle::ledger::Intake {
            received: tally.units,
            encoded: tally,
            ..Default::default()
        });
        self.pool.admit(batch, &CancellationToken::new()).await;
    }

    /// Gives the keeper time for what it has to do at once.
    async fn rest(&self) {
        sleep(Duration::from_millis(10)).await;
    }

    /// Takes what there is to send, and settles it as delivered.
    async fn deliver(&self) -> Vec<u64> {
        let mut numbers = Vec::new();
        while let Some(Some(work)) = self.pool.take(4, |_| false).now_or_never() {
            let (admitted, _draining) = match work {
                Work::New(admitted) => (admitted, None),
                Work::Spooled(admitted, draining) => (admitted, Some(draining)),
                Work::Again(..) => panic!("nothing was set aside"),
            };
            numbers.push(number(&admitted.batch));
            self.ledger.delivered(admitted.batch.tally());
            drop(admitted.place);
            self.rest().await;
        }
        numbers
    }

    fn status(&self) -> SpoolStatus {
        self.status.lock().unwrap().clone()
    }

    async fn finish(mut self) -> crate::nozzle::ledger::Snapshot {
        self.pool.close();
        self.ends.shutdown.cancel();
        self.ends.hurry.cancel();
        self.rest().await;
        self.ends.finish.cancel();
        while let Some(joined) = self.keeper.join_next().await {
            joined.unwrap();
        }
        let ledger = self.ledger.snapshot();
        ledger.balance().unwrap();
        assert_eq!(ledger.buffered(), 0, "{ledger}");
        ledger
    }
}

fn batch(number: u64) -> Batch {
    let mut chance = fastrand::Rng::with_seed(number);
    let mut batch = Batch::new(Arc::from("main"), BATCH);
    batch.buffer().extend_from_slice(format!("{number:020}").as_bytes());
    batch.buffer().extend((20..BATCH).map(|_| chance.u8(..)));
    batch.commit(1);
    batch
}

fn number(batch: &Batch) -> u64 {
    std::str::from_utf8(&batch.body()[..20]).unwrap().parse().unwrap()
}

const DISK_FULL: Faults = Faults {
    full: true,
    read_only: false,
    write: false,
    read: false,
    sync: false,
    torn: 100,
    truncate: false,
};

#[tokio::test(start_paused = true)]
async fn memory_holds_the_newest_and_the_disk_gives_the_oldest_first() {
    let world = World::new(true);
    world.admit(0..40).await;
    let status = world.status();
    assert!((34..=37).contains(&status.batches), "{status:?}");
    let numbers = world.deliver().await;
    assert_eq!(numbers.iter().copied().collect::<BTreeSet<_>>(), (0..40).collect());
    // While live batches wait the disk gets its share, no more; then all that is left over.
    let live: Vec<_> = numbers.iter().copied().filter(|number| *number >= 36).collect();
    let spooled: Vec<_> = numbers.iter().copied().filter(|number| *number < 36).collect();
    assert!(live.is_sorted() && spooled.is_sorted(), "{numbers:?}");
    assert!(numbers.iter().position(|number| *number == 39).unwrap() < 8, "{numbers:?}");
    assert_eq!(world.disk.files(), 0);
    let ledger = world.finish().await;
    assert_eq!((ledger.delivered, ledger.spooled, ledger.lost()), (40, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn live_batches_that_keep_coming_leave_the_disk_every_fourth_byte() {
    let world = World::new(true);
    world.admit(0..40).await;
    let mut sent = Vec::new();
    // As much comes as is sent: live batches always wait.
    for n in 100..200 {
        world.admit(n..n + 1).await;
        let Some(Some(work)) = world.pool.take(4, |_| false).now_or_never() else { panic!("there is work") };
        let (Work::New(admitted) | Work::Spooled(admitted, _)) = &work else {
            panic!("nothing was set aside")
        };
        sent.push(number(&admitted.batch));
        world.ledger.delivered(admitted.batch.tally());
        drop(work);
        world.rest().await;
    }
    let from_disk = sent.iter().filter(|number| **number < 35).count();
    assert!((20..=26).contains(&from_disk), "{from_disk} of 100: {sent:?}");
    world.deliver().await;
    let ledger = world.finish().await;
    assert_eq!((ledger.delivered, ledger.lost()), (140, 0));
}

#[tokio::test(start_paused = true)]
async fn what_comes_from_disk_leaves_live_batches_their_room() {
    let world = World::new(true);
    world.admit(0..30).await;
    let mut under_way = Vec::new();
    // Splunk takes whatever it is offered, and takes its time.
    while let Some(Some(work)) = world.pool.take(100, |_| false).now_or_never() {
        under_way.push(work);
        world.rest().await;
    }
    assert!(under_way.iter().any(|work| matches!(work, Work::Spooled(..))));
    world.admit(30..40).await;
    assert_eq!(world.ledger.snapshot().lost(), 0, "{:?}", world.pool.status());
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_leaves_memory_and_is_used_again_when_it_works() {
    let read_only = Faults { full: false, read_only: true, ..DISK_FULL };
    let broken = Faults { full: false, write: true, sync: true, ..DISK_FULL };
    for (faults, says) in [
        (DISK_FULL, "no storage space"),
        (read_only, "read-only filesystem or storage medium"),
        (broken, "the device has failed"),
    ] {
        let world = World::new(true);
        world.admit(0..10).await;
        let before = world.status().batches;
        assert!(before > 0 && world.status().trouble.is_none());
        world.disk.set(faults);
        world.admit(10..20).await;
        let status = world.status();
        assert_eq!(status.trouble.as_deref(), Some(says));
        assert_eq!(status.batches, before, "{says}");
        let full = world.ledger.snapshot();
        assert_eq!(full.dropped.keys().collect::<Vec<_>>(), ["delivery_full"], "{says}");
        full.balance().unwrap();
        // It recovers by itself.
        world.disk.set(Faults::default());
        sleep(RETRY_EVERY).await;
        world.admit(20..30).await;
        assert_eq!(world.status().trouble, None, "{says}");
        assert!(world.status().batches > before + 5, "{:?}", world.status());
        let kept = 30 - full.lost();
        assert_eq!(world.deliver().await.len() as u64, kept, "{says}");
        let ledger = world.finish().await;
        assert_eq!((ledger.delivered, ledger.lost()), (kept, full.lost()), "{says}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_was_mended_is_no_trouble_though_nothing_is_to_be_written() {
    let world = World::new(true);
    world.disk.set(DISK_FULL);
    world.admit(0..8).await;
    assert!(world.status().trouble.is_some());
    assert_eq!(world.deliver().await.len(), 8);
    sleep(2 * RETRY_EVERY).await;
    assert!(world.status().trouble.is_some(), "it is still full");
    world.disk.set(Faults::default());
    sleep(2 * RETRY_EVERY).await;
    assert_eq!((world.status().trouble, world.disk.files()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_does_not_answer_is_said_and_holds_up_nothing() {
    let world = World::new(true);
    world.rest().await;
    let hanging = world.disk.hang();
    // Time stands still while a thread is at the disk.
    for number in 0..8 {
        world.take_in(number).await;
    }
    for _ in 0..2 {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(HANGS_AFTER).await;
    }
    assert_eq!(world.status().trouble.as_deref(), Some("the disk does not answer"));
    assert!(matches!(world.pool.take(4, |_| false).now_or_never(), Some(Some(Work::New(_)))));
    drop(hanging);
    world.rest().await;
    assert_eq!(world.status().trouble, None);
    assert!(world.status().batches > 0, "{:?}", world.status());
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_cannot_be_read_holds_up_nothing_live() {
    let world = World::new(true);
    world.admit(0..20).await;
    world.disk.set(Faults { read: true, ..Faults::default() });
    let first = world.deliver().await;
    // Three in memory, and two at hand.
    assert_eq!(first.len(), 5, "{first:?}");
    assert_eq!(world.status().trouble.as_deref(), Some("the device cannot be read"));
    world.admit(20..23).await;
    assert_eq!(world.deliver().await, [20, 21, 22]);
    world.disk.set(Faults::default());
    sleep(RETRY_EVERY).await;
    world.rest().await;
    let rest = world.deliver().await;
    assert_eq!(first.len() + rest.len(), 20, "{rest:?}");
    assert_eq!(world.finish().await.delivered, 23);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_could_never_be_read_is_looked_at_again() {
    let world = World::new(true);
    world.admit(0..4).await;
    world.disk.set(Faults { read: true, ..Faults::default() });
    world.admit(4..12).await;
    assert_eq!(world.status().trouble.as_deref(), Some("the device cannot be read"));
    world.disk.set(Faults::default());
    sleep(RETRY_EVERY).await;
    world.rest().await;
    assert_eq!(world.deliver().await.len(), 12);
    assert_eq!(world.finish().await.delivered, 12);
}

#[tokio::test(start_paused = true)]
async fn what_is_damaged_is_counted_and_the_others_arrive() {
    let world = World::new(true);
    world.admit(0..20).await;
    // Behind what was read in advance, in the payload of some record.
    world.disk.damage(0, 6 * BATCH);
    let numbers = world.deliver().await;
    assert_eq!(numbers.len(), 19, "{numbers:?}");
    assert_eq!(world.status().damaged_batches, 1);
    let ledger = world.finish().await;
    assert_eq!(ledger.dropped, [("spool_damaged".to_owned(), 1)].into());
}

#[tokio::test(start_paused = true)]
async fn at_the_end_what_is_left_goes_to_disk_and_comes_back() {
    let world = World::new(true);
    world.admit(0..20).await;
    // With a sender when time runs out: one from memory, and one from disk of which a part was delivered.
    let mut left = 0;
    for _ in 0..5 {
        match world.pool.take(4, |_| false).now_or_never() {
            Some(Some(Work::New(admitted))) => world.pool.leave(admitted.batch, admitted.place),
            Some(Some(Work::Spooled(admitted, _))) => {
                left += 1;
                world.pool.leave(admitted.batch, admitted.place);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(left > 0, "one from disk was with a sender");
    let disk = world.disk.clone();
    let ledger = world.finish().await;
    assert_eq!((ledger.received, ledger.spooled, ledger.lost()), (20, 20, 0));
    let next = World::on(disk, true);
    next.rest().await;
    assert_eq!(next.ledger.snapshot().recovered_from_spool, 20);
    let numbers = next.deliver().await;
    assert_eq!(numbers.iter().copied().collect::<BTreeSet<_>>(), (0..20).collect());
    assert_eq!(numbers.len(), 20, "none comes twice: {numbers:?}");
    assert_eq!(next.finish().await.delivered, 20);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_a_disk_that_fails_costs_what_is_in_memory_alone() {
    let world = World::new(true);
    world.admit(0..20).await;
    let on_disk = world.ledger.snapshot().spooled;
    let from_disk = loop {
        match world.pool.take(4, |_| false).now_or_never() {
            Some(Some(Work::New(admitted))) => world.pool.leave(admitted.batch, admitted.place),
            Some(Some(Work::Spooled(admitted, _))) => break admitted,
            other => panic!("{other:?}"),
        }
        world.rest().await;
    };
    world.disk.set(Faults { full: true, ..Faults::default() });
    world.pool.leave(from_disk.batch, from_disk.place);
    let disk = world.disk.clone();
    let ledger = world.finish().await;
    assert!(ledger.spooled >= on_disk, "{ledger}");
    let lost = ledger.lost();
    assert_eq!(ledger.spooled.unsigned_abs() + lost, 20);
    disk.set(Faults::default());
    let next = World::on(disk, true);
    next.rest().await;
    assert_eq!(next.ledger.snapshot().recovered_from_spool, 20 - lost);
    next.deliver().await;
    assert_eq!(next.finish().await.delivered, 20 - lost);
}

#[tokio::test(start_paused = true)]
async fn what_dies_with_the_container_is_counted_at_the_end() {
    let world = World::new(false);
    world.admit(0..20).await;
    let disk = world.disk.clone();
    // The pool counts as empty when the spool is; at a hurry nobody waits for it any more.
    while let Some(Some(Work::New(admitted))) = world.pool.take(0, |_| false).now_or_never() {
        world.ledger.dropped(DropReason::Shutdown, admitted.batch.tally());
    }
    world.pool.close();
    assert!(world.pool.take(0, |_| false).now_or_never().is_none(), "there is more on disk");
    world.ends.hurry.cancel();
    world.rest().await;
    assert!(matches!(world.pool.take(0, |_| false).now_or_never(), Some(None)));
    let ledger = world.finish().await;
    assert_eq!((ledger.spooled, ledger.lost()), (0, 20));
    assert!(ledger.dropped["ephemeral_disk"] >= 14, "{:?}", ledger.dropped);
    assert_eq!(disk.files(), 0, "it is not counted again if it lives on all the same");
}
