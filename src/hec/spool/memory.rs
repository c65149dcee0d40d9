//! A disk in memory that fails, crashes and decays as a test wants it to.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::disk::Disk;

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Nothing more fits; a write leaves what does.
    pub(crate) full: bool,
    pub(crate) read_only: bool,
    /// Writes, reads and syncs end with an error of the device.
    pub(crate) write: bool,
    pub(crate) read: bool,
    pub(crate) sync: bool,
    /// How much of a failed write reaches the disk, in bytes.
    pub(crate) torn: usize,
    /// Even cutting off what is torn fails.
    pub(crate) truncate: bool,
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, File>,
    faults: Faults,
    hangs: bool,
}

/// Clones show the same disk: it stays when the process is gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDisk(Arc<(Mutex<State>, Condvar)>);

/// Writes do not come to an end as long as this exists.
#[derive(Debug)]
pub(crate) struct Hanging(MemoryDisk);

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.lock().hangs = false;
        self.0.0.1.notify_all();
    }
}

impl MemoryDisk {
    pub(crate) fn set(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    pub(crate) fn hang(&self) -> Hanging {
        self.lock().hangs = true;
        Hanging(self.clone())
    }

    /// Bytes of all files, in whole blocks.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().files.values().map(|file| file.bytes.len().next_multiple_of(4096) as u64).sum()
    }

    pub(crate) fn files(&self) -> usize {
        self.lock().files.len()
    }

    /// The power fails: of what was not synced so many bytes are left in each file.
    pub(crate) fn lose_power(&self, kept: usize) {
        for file in self.lock().files.values_mut() {
            let end = file.bytes.len().min(file.synced.len() + kept);
            file.bytes.truncate(end);
            let same = file.synced.len().min(end);
            file.bytes[..same].copy_from_slice(&file.synced[..same]);
        }
    }

    /// Flips bits in a byte of a file; both chosen by number.
    pub(crate) fn damage(&self, file: usize, at: usize) {
        let mut state = self.lock();
        let files = state.files.len();
        let Some(file) = state.files.values_mut().nth(file % files.max(1)) else { return };
        let len = file.bytes.len();
        if len > 0 {
            file.bytes[at % len] ^= 0x5A;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        self.files.get_mut(name).ok_or(io::ErrorKind::NotFound.into())
    }

    fn writable(&self) -> io::Result<()> {
        let Faults { full, read_only, write, .. } = self.faults;
        match () {
            () if read_only => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            () if full => Err(io::ErrorKind::StorageFull.into()),
            () if write => Err(io::Error::other("the device has failed")),
            () => Ok(()),
        }
    }
}

impl Disk for MemoryDisk {
    fn names(&mut self) -> io::Result<Vec<String>> {
        Ok(self.lock().files.keys().cloned().collect())
    }

    fn len(&mut self, name: &str) -> io::Result<u64> {
        Ok(self.lock().file(name)?.bytes.len() as u64)
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.writable()?;
        assert!(state.files.insert(name.to_owned(), File::default()).is_none(), "{name} is there already");
        Ok(())
    }

    fn write(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        let state = self.lock();
        let hung = self.0.1.wait_while(state, |state| state.hangs);
        let mut state = hung.unwrap_or_else(PoisonError::into_inner);
        let writable = state.writable();
        let torn = state.faults.torn.min(bytes.len());
        let read_only = state.faults.read_only;
        let file = state.file(name)?;
        let at = usize::try_from(at).unwrap();
        // On a full disk what is there can be written over.
        let inside = at + bytes.len() <= file.bytes.len();
        let kept = match &writable {
            Ok(()) => bytes.len(),
            Err(error) if error.kind() == io::ErrorKind::StorageFull && inside => bytes.len(),
            Err(_) if read_only => 0,
            Err(_) => torn,
        };
        let end = at + kept;
        if file.bytes.len() < end {
            file.bytes.resize(end, 0);
        }
        file.bytes[at..end].copy_from_slice(&bytes[..kept]);
        if kept == bytes.len() && (inside || writable.is_ok()) { Ok(()) } else { writable }
    }

    fn read(&mut self, name: &str, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut state = self.lock();
        if state.faults.read {
            return Err(io::Error::other("the device cannot be read"));
        }
        let at = usize::try_from(at).unwrap();
        let bytes = state.file(name)?.bytes.get(at..at + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        let mut state = self.lock();
        if state.faults.truncate || state.faults.read_only {
            return Err(io::Error::other("the device has failed"));
        }
        state.file(name)?.bytes.truncate(usize::try_from(len).unwrap());
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        if state.faults.sync {
            return Err(io::Error::other("the device has failed"));
        }
        let file = state.file(name)?;
        file.synced.clone_from(&file.bytes);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        if state.faults.read_only || state.faults.write {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        state.files.remove(name);
        Ok(())
    }
}
