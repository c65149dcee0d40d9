//! The file system below the spool, as little of it as is needed.

use std::fmt::Debug;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Files by name, in one folder. What is written is seen by the next read, whatever happens to the process.
pub trait Disk: Debug + Send {
    /// The names of all files.
    ///
    /// # Errors
    /// As the file system has them; so in all others.
    fn names(&mut self) -> io::Result<Vec<String>>;

    /// Bytes of a file.
    ///
    /// # Errors
    /// It is not there, or cannot be asked.
    fn len(&mut self, name: &str) -> io::Result<u64>;

    /// Makes an empty file.
    ///
    /// # Errors
    /// It is there already, or cannot be made.
    fn create(&mut self, name: &str) -> io::Result<()>;

    /// Writes all bytes at this place.
    ///
    /// # Errors
    /// Then any part of it may have been written.
    fn write(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Fills the buffer from this place.
    ///
    /// # Errors
    /// There is less, or it cannot be read.
    fn read(&mut self, name: &str, at: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Cuts a file off.
    ///
    /// # Errors
    /// It has its old length.
    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()>;

    /// Waits until a file, and that it exists, would survive a loss of power.
    ///
    /// # Errors
    /// What was written since the last time may be lost then.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// It is still there.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Writes a file as large as a block, reads it and removes it.
    ///
    /// # Errors
    /// What keeps the disk from being used.
    fn probe(&mut self) -> io::Result<()> {
        const NAME: &str = "spool.probe";
        const BYTES: [u8; 4096] = [0x5A; 4096];
        let mut back = [0; BYTES.len()];
        // One that could not be removed the last time.
        let _ = self.remove(NAME);
        self.create(NAME)?;
        let tried = self
            .write(NAME, 0, &BYTES)
            .and_then(|()| self.sync(NAME))
            .and_then(|()| self.read(NAME, 0, &mut back));
        self.remove(NAME)?;
        tried
    }
}

/// Holds the lock of the folder.
const LOCK: &str = "spool.lock";

/// A folder that belongs to one process at a time.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// The files written and read last: the next call is most likely for them.
    writing: Option<(String, File)>,
    reading: Option<(String, File)>,
    _lock: File,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process uses it.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// The file system says no.
    #[error("{path}: {error}")]
    Io {
        /// what it was done to.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

impl Folder {
    /// Takes the folder for this process; makes it if it is not there, but not its parents.
    ///
    /// # Errors
    /// Another process has it, or the file system refuses it.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let failed = |error| FolderError::Io { path: path.into(), error };
        match std::fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        let lock = options().create(true).open(path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.into(), writing: None, reading: None, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(FolderError::InUse(path.into())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    fn close(&mut self, name: &str) {
        let is_it = |open: &mut (String, File)| open.0 == name;
        let _ = self.writing.take_if(is_it);
        let _ = self.reading.take_if(is_it);
    }

    fn writing(&mut self, name: &str) -> io::Result<&File> {
        opened(&mut self.writing, &self.path, name)
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn opened<'a>(slot: &'a mut Option<(String, File)>, path: &Path, name: &str) -> io::Result<&'a File> {
    let open = match slot.take() {
        Some(open) if open.0 == name => open,
        // On a disk that has become read-only what is there can still be read.
        _ => match options().open(path.join(name)) {
            Ok(file) => (name.to_owned(), file),
            Err(_) => (name.to_owned(), File::open(path.join(name))?),
        },
    };
    Ok(&slot.insert(open).1)
}

impl Disk for Folder {
    fn names(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn len(&mut self, name: &str) -> io::Result<u64> {
        Ok(std::fs::metadata(self.path.join(name))?.len())
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        let file = options().create_new(true).open(self.path.join(name))?;
        self.writing = Some((name.to_owned(), file));
        Ok(())
    }

    fn write(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.writing(name)?.write_all_at(bytes, at)
    }

    fn read(&mut self, name: &str, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        opened(&mut self.reading, &self.path, name)?.read_exact_at(buffer, at)
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.writing(name)?.set_len(len)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.writing(name)?.sync_data()?;
        File::open(&self.path)?.sync_all()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.close(name);
        match std::fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
