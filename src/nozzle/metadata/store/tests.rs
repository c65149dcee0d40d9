//! The file: what comes back, what is replaced, what is left alone.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::nozzle::metadata::app::Facts;
use crate::nozzle::metadata::record::tests::record;

const API: &str = "https://api.example.com/";

/// A place for a file; the directory goes with it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.db");
    (directory, path)
}

fn open(path: &Path) -> (Store, Apps) {
    Store::open(path, API, 1000).unwrap()
}

fn app(name: &str) -> Record {
    Record { facts: Facts { name: name.into(), ..Facts::default() }, environment: None }
}

fn names(apps: &Apps) -> Vec<(&str, &str)> {
    apps.iter().map(|(id, record)| (&**id, &*record.facts.name)).collect()
}

/// A file with one app in it.
fn filled(path: &Path) {
    let (store, apps) = open(path);
    assert!(apps.is_empty());
    store.write(&[("a".into(), Some(app("shop")))]).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn what_was_written_last_comes_back(
        writes in prop::collection::vec(prop::collection::vec((0..9_u8, prop::option::of(record())), 0..9), 0..5)
    ) {
        let (_directory, path) = place();
        let mut model = BTreeMap::<String, Record>::new();
        for write in writes {
            let (store, found) = open(&path);
            let found: BTreeMap<_, _> = found.into_iter().map(|(id, record)| (id.to_string(), record)).collect();
            prop_assert_eq!(&found, &model);
            let apps: Vec<_> = write.into_iter().map(|(n, record)| (Arc::from(n.to_string()), record)).collect();
            store.write(&apps).unwrap();
            for (id, record) in apps {
                match record {
                    Some(record) => drop(model.insert(id.to_string(), record)),
                    None => drop(model.remove(&*id)),
                }
            }
        }
    }

    #[test]
    fn a_damaged_file_is_read_or_replaced(at in 0.0..1.0_f64, byte in any::<u8>(), cut in any::<bool>()) {
        let (_directory, path) = place();
        filled(&path);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = 4 + ((bytes.len() - 5) as f64 * at) as usize;
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        std::fs::write(&path, bytes).unwrap();
        let (store, apps) = open(&path);
        prop_assert!(apps.len() <= 1);
        store.write(&[("b".into(), Some(app("new")))]).unwrap();
        drop(store);
        prop_assert!(names(&open(&path).1).contains(&("b", "new")));
    }
}

#[test]
fn no_more_is_read_than_there_is_room_for() {
    let (_directory, path) = place();
    let (store, _) = open(&path);
    store.write(&["a", "b", "c"].map(|id| (id.into(), Some(app(id))))).unwrap();
    drop(store);
    assert_eq!(Store::open(&path, API, 2).unwrap().1.len(), 2);
}

#[test]
fn another_foundation_starts_from_nothing() {
    let (_directory, path) = place();
    filled(&path);
    assert_eq!(names(&open(&path).1), [("a", "shop")]);
    assert!(Store::open(&path, "https://api.other.example.com/", 10).unwrap().1.is_empty());
}

#[test]
fn the_go_nozzles_file_is_replaced_and_anything_else_is_left_alone() {
    let (_directory, path) = place();
    let mut go = vec![0; 16];
    go.extend_from_slice(&0xED0C_DAED_u32.to_le_bytes());
    go.resize(32 * 1024, 0);
    std::fs::write(&path, &go).unwrap();
    filled(&path);
    for other in ["notes", "red", "a file that is longer than twenty bytes"] {
        std::fs::write(&path, other).unwrap();
        let error = Store::open(&path, API, 10).unwrap_err();
        assert!(matches!(error, StoreError::NotOurs { .. }), "{other}: {error}");
        assert_eq!(std::fs::read(&path).unwrap(), other.as_bytes());
    }
}

#[test]
fn a_file_in_use_is_left_alone() {
    let (_directory, path) = place();
    filled(&path);
    let first = open(&path);
    let error = Store::open(&path, API, 10).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    first.0.write(&[("b".into(), Some(app("b")))]).unwrap();
    drop(first);
    assert_eq!(open(&path).1.len(), 2);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let (directory, _) = place();
    for path in [directory.path().join("no/such/directory/cache.db"), directory.path().to_owned()] {
        let error = Store::open(&path, API, 10).unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    }
}

#[test]
fn a_write_that_did_not_end_leaves_what_was_there() {
    let (directory, path) = place();
    filled(&path);
    // As a crash would leave it: the file as it is while it is open and a transaction is under way.
    let (store, _) = open(&path);
    let database = store.database.lock().unwrap();
    let transaction = database.as_ref().unwrap().begin_write().unwrap();
    drop(transaction.open_table(APPS).unwrap().insert("b", [1].as_slice()).unwrap());
    let copy = directory.path().join("copy.db");
    std::fs::write(&copy, std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(names(&open(&copy).1), [("a", "shop")]);
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_left_alone_and_a_link_stays_one() {
    let (directory, path) = place();
    for device in ["/dev/null", "/dev/zero", "/dev/full"] {
        let link = directory.path().join(device.replace('/', "-"));
        std::os::unix::fs::symlink(device, &link).unwrap();
        let error = Store::open(&link, API, 10).unwrap_err();
        assert!(matches!(error, StoreError::NotOurs { .. }), "{device}: {error}");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    }
    let damaged = directory.path().join("target");
    std::fs::write(&damaged, "redb, once upon a time").unwrap();
    std::os::unix::fs::symlink(&damaged, &path).unwrap();
    filled(&path);
    assert!(std::fs::symlink_metadata(&path).unwrap().is_symlink());
    assert_eq!(names(&open(&damaged).1), [("a", "shop")]);
}

/// A disk that has no room.
#[derive(Debug)]
struct FullDisk(redb::backends::InMemoryBackend, Arc<std::sync::atomic::AtomicBool>);

impl redb::StorageBackend for FullDisk {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.1.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write(offset, data)
    }
}

#[test]
fn a_disk_that_has_room_again_is_written_to() {
    let (_directory, path) = place();
    let (store, _) = open(&path);
    let full = Arc::default();
    let disk = FullDisk(redb::backends::InMemoryBackend::new(), Arc::clone(&full));
    *store.database.lock().unwrap() = Some(Builder::new().create_with_backend(disk).unwrap());
    full.store(true, std::sync::atomic::Ordering::Relaxed);
    let apps = [("a".into(), Some(app("shop")))];
    let error = store.write(&apps).unwrap_err();
    assert!(matches!(error, FileError::Database(_)), "{error}");
    // Whatever the library makes of that disk, the file is opened anew.
    store.write(&apps).unwrap();
    drop(store);
    assert_eq!(names(&open(&path).1), [("a", "shop")]);
}
