//! The spool against a list, on a disk that fails, crashes and decays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::hec::spool::disk::{Folder, FolderError};
use crate::hec::spool::memory::{Faults, MemoryDisk};

/// Four records or so of the largest kind here.
const MAX_BYTES: u64 = 1 << 20;

/// A batch with a number, of so many bytes that do not compress.
fn batch(number: u64, bytes: usize) -> Batch {
    let mut chance = fastrand::Rng::with_seed(number);
    let mut batch = Batch::new(Arc::from("main"), 0);
    batch.buffer().extend_from_slice(format!("{number:020}").as_bytes());
    batch.commit_for(3, 1);
    batch.buffer().extend((0..bytes).map(|_| chance.u8(..)));
    batch.commit_for(4, 2);
    batch
}

fn number(batch: &Batch) -> u64 {
    let text = std::str::from_utf8(&batch.body()[..20]).unwrap();
    let number = text.parse().unwrap();
    let bytes = batch.body().len() - 20;
    assert_eq!(batch.body(), self::batch(number, bytes).body(), "a batch comes back whole or not at all");
    number
}

const EACH: Tally = Tally { events: 2, units: 3 };

fn times(n: u64) -> Tally {
    Tally { events: EACH.events * n, units: EACH.units * n }
}

fn open(disk: &MemoryDisk) -> (Spool, Recovered) {
    Spool::open(Box::new(disk.clone()), MAX_BYTES).unwrap()
}

fn drain(spool: &mut Spool) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(stored) = spool.read().unwrap() {
        numbers.push(number(&stored.batch));
        spool.settle(stored.id).unwrap();
    }
    numbers
}

#[test]
fn what_goes_in_comes_out_in_order_also_after_a_restart() {
    let disk = MemoryDisk::default();
    let (mut spool, recovered) = open(&disk);
    assert_eq!(recovered, Recovered::default());
    for n in 0..100 {
        spool.append(&batch(n, 5000), 1000 + n).unwrap();
    }
    let figures = spool.figures();
    assert_eq!((figures.batches, figures.tally, figures.oldest_ms), (100, times(100), Some(1000)));
    assert_eq!(figures.bytes, disk.bytes());
    for n in 0..40 {
        assert!(spool.peek().unwrap().unwrap() >= 5000);
        let stored = spool.read().unwrap().unwrap();
        assert_eq!(number(&stored.batch), n);
        // Settled in any order: every other one now.
        if n % 2 == 0 {
            spool.settle(stored.id).unwrap();
        }
    }
    assert_eq!(spool.figures().oldest_ms, Some(1039), "about that of the next one");
    drop(spool);
    let (mut spool, recovered) = open(&disk);
    assert_eq!((recovered.batches, recovered.tally), (80, times(80)));
    assert_eq!((recovered.torn_bytes, recovered.damaged_bytes), (0, 0));
    spool.append(&batch(100, 10), 2000).unwrap();
    let expected: Vec<u64> = (0..40).filter(|n| n % 2 == 1).chain(40..=100).collect();
    assert_eq!(drain(&mut spool), expected);
    assert_eq!((disk.files(), spool.figures()), (0, SpoolFigures::default()), "an empty spool takes no room");
}

#[test]
fn what_is_given_back_is_the_next() {
    let disk = MemoryDisk::default();
    let (mut spool, _) = open(&disk);
    (0..4).for_each(|n| spool.append(&batch(n, 100), n).unwrap());
    let read: Vec<_> = (0..3).map(|_| spool.read().unwrap().unwrap().id).collect();
    assert_eq!(spool.figures().tally, times(1));
    spool.settle(read[1]).unwrap();
    assert!(spool.give_back(read[2], EACH) && spool.give_back(read[0], EACH));
    assert_eq!(spool.figures().tally, times(3));
    assert_eq!(drain(&mut spool), [0, 2, 3]);
}

#[test]
fn at_the_limit_the_oldest_goes_and_is_counted() {
    let disk = MemoryDisk::default();
    let (mut spool, _) = open(&disk);
    let first = {
        spool.append(&batch(0, 1000), 0).unwrap();
        spool.read().unwrap().unwrap()
    };
    let mut evicted = Tally::default();
    for n in 1..200 {
        spool.append(&batch(n, 20_000), n).unwrap();
        assert!(disk.bytes() <= MAX_BYTES);
        evicted += spool.take_losses().evicted;
    }
    assert!(disk.bytes() > MAX_BYTES * 2 / 3, "the room is used: {}", disk.bytes());
    spool.settle(first.id).unwrap();
    assert!(!spool.give_back(first.id, EACH), "its segment is gone");
    let left = drain(&mut spool);
    assert_eq!(left, (200 - left.len() as u64..200).collect::<Vec<_>>());
    assert_eq!(evicted, times(199 - left.len() as u64), "the one that was read is nobody's loss");
    let error = spool.append(&batch(1, MAX_BYTES as usize), 0).unwrap_err();
    assert_eq!(error.to_string(), "the batch is larger than the spool");
}

#[test]
fn a_limit_that_was_lowered_holds_from_the_next_batch_on() {
    let disk = MemoryDisk::default();
    let (mut spool, _) = Spool::open(Box::new(disk.clone()), 4 * MAX_BYTES).unwrap();
    (0..150).for_each(|n| spool.append(&batch(n, 20_000), n).unwrap());
    drop(spool);
    let (mut spool, recovered) = open(&disk);
    assert_eq!(recovered.tally, times(150));
    spool.append(&batch(150, 20_000), 0).unwrap();
    assert!(disk.bytes() <= MAX_BYTES);
    let evicted = spool.take_losses().evicted;
    assert_eq!(times(drain(&mut spool).len() as u64).units + evicted.units, times(151).units);
}

#[test]
fn a_disk_that_is_full_takes_nothing_loses_nothing_and_may_be_emptied() {
    for (torn, truncate) in [(0, false), (30, false), (3000, true), (100_000, true)] {
        let disk = MemoryDisk::default();
        let (mut spool, _) = open(&disk);
        (0..3).for_each(|n| spool.append(&batch(n, 5000), n).unwrap());
        disk.set(Faults { full: true, torn, truncate, ..Faults::default() });
        for _ in 0..3 {
            let error = spool.append(&batch(9, 5000), 9).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        }
        let stored = spool.read().unwrap().unwrap();
        spool.settle(stored.id).unwrap();
        assert!(spool.figures().bytes >= disk.bytes());
        disk.set(Faults::default());
        spool.append(&batch(3, 5000), 3).unwrap();
        assert_eq!(drain(&mut spool), [1, 2, 3], "{torn}");
        assert_eq!(disk.files(), 0);
    }
}

#[test]
fn a_place_that_cannot_be_read_is_given_up_in_the_end_and_only_that() {
    let disk = MemoryDisk::default();
    let (mut spool, _) = open(&disk);
    (0..3).for_each(|n| spool.append(&batch(n, 5000), n).unwrap());
    disk.set(Faults { read: true, ..Faults::default() });
    assert!(spool.read().is_err() && spool.peek().is_err());
    disk.set(Faults::default());
    assert_eq!(number(&spool.read().unwrap().unwrap().batch), 0);
    // Without its head nothing is known of those behind it either.
    disk.set(Faults { read: true, ..Faults::default() });
    while spool.read().is_err() {}
    assert_eq!(spool.take_losses().damaged, times(2));
    disk.set(Faults::default());
    spool.append(&batch(3, 10), 3).unwrap();
    assert_eq!(drain(&mut spool), [3]);
}

#[test]
fn what_cannot_be_read_at_the_start_is_left_for_the_next_one() {
    let disk = MemoryDisk::default();
    let (mut spool, _) = open(&disk);
    (0..3).for_each(|n| spool.append(&batch(n, 5000), n).unwrap());
    disk.set(Faults { read: true, ..Faults::default() });
    let (mut other, recovered) = open(&disk);
    assert_eq!((recovered.batches, recovered.torn_bytes), (0, 0));
    assert!(recovered.damaged_bytes > 15_000);
    disk.set(Faults::default());
    assert!(other.read().unwrap().is_none());
    assert_eq!(drain(&mut open(&disk).0), [0, 1, 2]);
}

#[test]
fn files_of_others_are_let_alone() {
    let mut disk = MemoryDisk::default();
    let others = ["spool-5.seg", "spool-+0000000000000000005.seg", "spool-18446744073709551615.seg", "notes"];
    others.iter().for_each(|name| disk.create(name).unwrap());
    for n in 0..3 {
        let (mut spool, recovered) = open(&disk);
        assert_eq!((recovered.batches, spool.figures().bytes), (n, n * 4096));
        spool.append(&batch(n, 10), n).unwrap();
    }
    assert_eq!(drain(&mut open(&disk).0), [0, 1, 2]);
    assert_eq!(disk.files(), others.len());
}

#[test]
fn a_folder_belongs_to_one_process_and_keeps_its_files() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("spool");
    let mut folder = Folder::open(&path).unwrap();
    folder.probe().unwrap();
    assert!(matches!(Folder::open(&path), Err(FolderError::InUse(_))));
    let (mut spool, _) = Spool::open(Box::new(folder), MAX_BYTES).unwrap();
    (0..100).for_each(|n| spool.append(&batch(n, 2000), n).unwrap());
    spool.sync().unwrap();
    let stored = spool.read().unwrap().unwrap();
    spool.settle(stored.id).unwrap();
    drop(spool);
    let (mut spool, recovered) = Spool::open(Box::new(Folder::open(&path).unwrap()), MAX_BYTES).unwrap();
    assert_eq!(recovered.tally, times(99));
    let mut disk_bytes = 0;
    for entry in std::fs::read_dir(&path).unwrap() {
        disk_bytes += blocks(entry.unwrap().metadata().unwrap().len());
    }
    assert_eq!(spool.figures().bytes, disk_bytes);
    assert_eq!(drain(&mut spool), (1..100).collect::<Vec<_>>());
    assert_eq!(spool.clear().unwrap(), Tally::default());
    assert!(matches!(Folder::open(&parent.path().join("a/b")), Err(FolderError::Io { .. })));
}

/// One step of a schedule.
#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Read,
    Settle(usize),
    GiveBack(usize),
    Sync,
    Faults(Faults),
    /// The process is killed, in the middle of a write of so many bytes if there is one.
    Kill(Option<(usize, usize)>),
    /// The machine dies, and so much of what was not synced is there afterwards.
    PowerLoss(usize),
    Damage(usize, usize),
}

fn faults() -> impl Strategy<Value = Faults> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (flags, 0_usize..40_000).prop_map(|((full, read_only, write, read, sync, truncate), torn)| Faults {
        full,
        read_only,
        write,
        read,
        sync,
        torn,
        truncate,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0_usize..60_000).prop_map(Step::Append),
        10 => Just(Step::Read),
        8 => (0_usize..8).prop_map(Step::Settle),
        2 => (0_usize..8).prop_map(Step::GiveBack),
        2 => Just(Step::Sync),
        1 => faults().prop_map(Step::Faults),
        3 => Just(Step::Faults(Faults::default())),
        1 => prop::option::of((0_usize..60_000, 0_usize..60_000)).prop_map(Step::Kill),
        1 => (0_usize..100_000).prop_map(Step::PowerLoss),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(file, at)| Step::Damage(file, at)),
    ];
    prop::collection::vec(step, 1..120)
}

/// What the list knows of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// On disk; whether it was synced.
    There(bool),
    /// With somebody.
    Out(bool),
    /// It may be found once more after a restart: its mark, or a write that failed, may or may not be there.
    Maybe,
}

/// The list: everything the spool may ever give, by number.
#[derive(Default)]
struct Model {
    known: BTreeMap<u64, Known>,
    /// Nothing is promised of what was on the disk when it was damaged, nor of what cannot be read.
    decayed: bool,
    out: Vec<(u64, RecordId)>,
    /// Settled, by a mark that a loss of power may undo.
    marked: BTreeSet<u64>,
    appended: u64,
    settled: u64,
    lost: Tally,
    next_number: u64,
}

impl Model {
    fn losses(&mut self, losses: Losses) {
        self.lost += losses.evicted;
        self.lost += losses.damaged;
    }

    /// What is in the spool by its own word, and what is out, add up with what came and went.
    fn check(&self, spool: &Spool, disk: &MemoryDisk) {
        let figures = spool.figures();
        let mut accounted = figures.tally;
        accounted += times(self.out.len() as u64 + self.settled);
        accounted += self.lost;
        assert_eq!(accounted, times(self.appended), "{figures:?}, {} out", self.out.len());
        assert!(disk.bytes() <= MAX_BYTES, "{}", disk.bytes());
        assert!(figures.bytes >= disk.bytes(), "{} on disk, {figures:?}", disk.bytes());
    }

    fn restart(&mut self, recovered: Recovered, spool: &Spool, power_lost: bool) {
        if power_lost {
            self.known
                .extend(std::mem::take(&mut self.marked).into_iter().map(|number| (number, Known::Maybe)));
        }
        let must = |known: &Known| match known {
            Known::There(synced) | Known::Out(synced) => *synced || !power_lost,
            Known::Maybe => false,
        };
        let least = self.known.values().filter(|known| must(known)).count() as u64;
        let most = self.known.len() as u64;
        if !self.decayed && self.lost == Tally::default() {
            assert!((least..=most).contains(&recovered.batches), "{least} {recovered:?} {most}");
        }
        assert!(recovered.batches <= most);
        assert_eq!(recovered.tally, times(recovered.batches));
        assert_eq!(spool.figures().tally, recovered.tally);
        for known in self.known.values_mut() {
            // What was not synced may be gone; the others have to come.
            *known = match known {
                Known::There(synced) | Known::Out(synced) if *synced || !power_lost => Known::There(*synced),
                _ => Known::Maybe,
            };
        }
        self.out.clear();
        (self.settled, self.lost) = (0, Tally::default());
        self.appended = recovered.batches;
    }
}

fn run(steps: Vec<Step>) {
    let disk = MemoryDisk::default();
    let (mut spool, _) = open(&disk);
    let mut model = Model::default();
    let mut evicted_before = false;
    for step in steps {
        match step {
            Step::Append(bytes) => {
                let number = model.next_number;
                model.next_number += 1;
                let taken = spool.append(&batch(number, bytes), number).is_ok();
                model.appended += u64::from(taken);
                model.known.insert(number, if taken { Known::There(false) } else { Known::Maybe });
            }
            Step::Read => match spool.read() {
                Ok(Some(stored)) => {
                    let number = number(&stored.batch);
                    let known = model.known.get_mut(&number).unwrap_or_else(|| panic!("{number} never was"));
                    let synced = matches!(known, Known::There(true));
                    assert!(!matches!(known, Known::Out(_)), "{number} comes twice");
                    *known = Known::Out(synced);
                    model.out.push((number, stored.id));
                }
                Ok(None) => {
                    let losses = spool.take_losses();
                    model.losses(losses);
                    assert_eq!(spool.figures().batches, 0, "it says that there is nothing more");
                }
                Err(_) => {}
            },
            Step::Settle(at) if !model.out.is_empty() => {
                let (number, id) = model.out.remove(at % model.out.len());
                let marked = spool.settle(id).is_ok();
                model.settled += 1;
                match marked {
                    true => drop((model.known.remove(&number), model.marked.insert(number))),
                    false => drop(model.known.insert(number, Known::Maybe)),
                }
            }
            Step::GiveBack(at) if !model.out.is_empty() => {
                let (number, id) = model.out.remove(at % model.out.len());
                let Some(Known::Out(synced)) = model.known.remove(&number) else { unreachable!() };
                match spool.give_back(id, EACH) {
                    true => drop(model.known.insert(number, Known::There(synced))),
                    false => model.appended -= 1,
                }
            }
            Step::Settle(_) | Step::GiveBack(_) => {}
            Step::Sync => {
                if spool.sync().is_ok() {
                    for known in model.known.values_mut() {
                        match known {
                            Known::There(synced) | Known::Out(synced) => *synced = true,
                            Known::Maybe => {}
                        }
                    }
                }
            }
            Step::Faults(faults) => {
                model.decayed |= faults.read;
                disk.set(faults);
            }
            Step::Kill(torn) => {
                if let Some((bytes, kept)) = torn {
                    disk.set(Faults { write: true, truncate: true, torn: kept, ..Faults::default() });
                    let number = model.next_number;
                    model.next_number += 1;
                    assert!(spool.append(&batch(number, bytes), number).is_err());
                    model.known.insert(number, Known::Maybe);
                }
                let losses = spool.take_losses();
                model.losses(losses);
                disk.set(Faults::default());
                let (again, recovered) = open(&disk);
                spool = again;
                model.decayed |= evicted_before;
                model.restart(recovered, &spool, false);
            }
            Step::PowerLoss(kept) => {
                let losses = spool.take_losses();
                model.losses(losses);
                disk.lose_power(kept);
                disk.set(Faults::default());
                let (again, recovered) = open(&disk);
                spool = again;
                model.decayed |= evicted_before;
                model.restart(recovered, &spool, true);
            }
            Step::Damage(file, at) => {
                model.decayed = true;
                disk.damage(file, at);
            }
        }
        let losses = spool.take_losses();
        evicted_before |= losses != Losses::default();
        model.losses(losses);
        model.check(&spool, &disk);
    }
    end(spool, model, evicted_before, &disk);
}

/// On a good disk everything that is promised comes, oldest first, once.
fn end(mut spool: Spool, mut model: Model, evicted: bool, disk: &MemoryDisk) {
    disk.set(Faults::default());
    let mut seen = BTreeSet::new();
    let mut came = Vec::new();
    while let Some(stored) = spool.read().unwrap() {
        let number = number(&stored.batch);
        assert!(seen.insert(number), "{number} comes twice");
        came.push(number);
        spool.settle(stored.id).unwrap();
        model.settled += 1;
    }
    assert!(came.is_sorted(), "{came:?}");
    for (_, id) in std::mem::take(&mut model.out) {
        spool.settle(id).unwrap();
        model.settled += 1;
    }
    let losses = spool.take_losses();
    model.losses(losses);
    model.check(&spool, disk);
    if !evicted && !model.decayed && model.lost == Tally::default() {
        for (number, known) in model.known {
            assert!(!matches!(known, Known::There(_)) || seen.contains(&number), "{number} is missing");
        }
    }
    assert_eq!(spool.figures(), SpoolFigures::default());
}

proptest! {
    #[test]
    fn it_is_a_list_whatever_the_disk_does(steps in steps()) {
        run(steps);
    }
}
