//! The file of the app cache: a restart knows what was known before.
//!
//! One record for each app, written in transactions that are on disk or are not: a crash loses the
//! last seconds and nothing else. What cannot be read is rebuilt, because everything in it can be asked
//! for again. But only a file that is an app cache, of this nozzle or the Go nozzle, is ever replaced:
//! a path given by mistake costs nobody their data.
//!
//! Blocking: not for the threads of the runtime, except once at the start.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::record::{Reader, Record};

/// Apps by their guids.
const APPS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("apps");
/// What the file is about.
const ABOUT: TableDefinition<'_, &str, &str> = TableDefinition::new("about");
/// Under this key in [`ABOUT`]: the form of the records, and the API whose apps they are.
const IDENTITY: &str = "identity";
/// A file with another form is rebuilt.
const FORM: u32 = 1;
/// Memory for pages of the file.
const PAGES_BYTES_MAX: usize = 2 << 20;

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// Another process has it.
    #[error("{path} is in use by another process")]
    InUse { path: PathBuf },
    /// It is something else.
    #[error("{path} is not the file of an app cache, and is left alone")]
    NotOurs { path: PathBuf },
    /// The file system refuses it.
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    /// Even a new file does not work.
    #[error("{path}: {reason}")]
    Unusable { path: PathBuf, reason: String },
}

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// The file.
    #[error(transparent)]
    Database(#[from] redb::Error),
    /// A record.
    #[error("a record is damaged: {0}")]
    Record(#[from] serde_json::Error),
    /// It is of another version of the nozzle, or of another foundation.
    #[error("it is about {found}, expected {expected}")]
    Other { found: String, expected: String },
    /// Reading it hit a defect.
    #[error("it is damaged in an unexpected way")]
    Panic,
}

macro_rules! from_redb {
    ($($error:ident)*) => {$(
        impl From<redb::$error> for FileError {
            fn from(error: redb::$error) -> Self {
                Self::Database(error.into())
            }
        }
    )*};
}

from_redb! { DatabaseError TransactionError TableError StorageError CommitError }

/// The open file.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    identity: String,
    /// `None` after a failure: the library does nothing more with a file it could not write once, even
    /// if there is room on the disk again.
    database: Mutex<Option<Database>>,
}

/// What a file is, by its first bytes.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Empty,
    Ours,
    GoNozzle,
    Other,
    /// A device or a pipe, which may be there for others.
    NoFile,
}

type Apps = Vec<(Arc<str>, Record)>;

impl Store {
    /// Opens or creates the file, and reads up to `apps_max` apps out of it; `api` says whose they are.
    ///
    /// A file that cannot be read is replaced, with a warning.
    pub(super) fn open(path: &Path, api: &str, apps_max: usize) -> Result<(Self, Apps), StoreError> {
        let identity = format!("form {FORM} of {api}");
        let io_error = |error| StoreError::Io { path: path.into(), error };
        // A link is to stay one: its target is replaced.
        let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let fault: String = match kind(path).map_err(io_error)? {
            Kind::Other | Kind::NoFile => return Err(StoreError::NotOurs { path: path.into() }),
            Kind::GoNozzle => "it is the go nozzle's".into(),
            Kind::Empty | Kind::Ours => match guarded(path, &identity, apps_max) {
                Ok(opened) => return Ok(opened),
                Err(FileError::Database(redb::Error::DatabaseAlreadyOpen)) => {
                    return Err(StoreError::InUse { path: path.into() });
                }
                Err(FileError::Database(redb::Error::Io(error)))
                    if error.kind() != io::ErrorKind::InvalidData =>
                {
                    return Err(io_error(error));
                }
                Err(error) => error.to_string(),
            },
        };
        tracing::warn!(path = %path.display(), fault, "the file of the app cache cannot be used, making a new one");
        std::fs::remove_file(path).map_err(io_error)?;
        guarded(path, &identity, apps_max)
            .map_err(|error| StoreError::Unusable { path: path.into(), reason: error.to_string() })
    }

    /// Writes apps; removes those without a record. All or nothing.
    pub(super) fn write(&self, apps: &[(Arc<str>, Option<Record>)]) -> Result<(), FileError> {
        let mut place = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match place.take() {
            Some(database) => database,
            None => connect(&self.path, &self.identity)?,
        };
        write(&database, apps)?;
        *place = Some(database);
        Ok(())
    }
}

fn write(database: &Database, apps: &[(Arc<str>, Option<Record>)]) -> Result<(), FileError> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(APPS)?;
        for (id, record) in apps {
            match record {
                Some(record) => drop(table.insert(&**id, record.write()?.as_slice())?),
                None => drop(table.remove(&**id)?),
            }
        }
    }
    Ok(transaction.commit()?)
}

/// Opens the file in a thread of its own: a file that is damaged in a way nobody has thought of may
/// make the library panic.
fn guarded(path: &Path, identity: &str, apps_max: usize) -> Result<(Store, Apps), FileError> {
    std::thread::scope(|scope| scope.spawn(|| open(path, identity, apps_max)).join())
        .unwrap_or(Err(FileError::Panic))
}

fn open(path: &Path, identity: &str, apps_max: usize) -> Result<(Store, Apps), FileError> {
    let database = connect(path, identity)?;
    let mut reader = Reader::default();
    let mut apps = Vec::new();
    for entry in database.begin_read()?.open_table(APPS)?.iter()?.take(apps_max) {
        let (id, record) = entry?;
        apps.push((Arc::from(id.value()), reader.read(record.value())?));
    }
    let database = Mutex::new(Some(database));
    Ok((Store { path: path.to_owned(), identity: identity.to_owned(), database }, apps))
}

/// Opens or creates the file, if it is of this identity.
fn connect(path: &Path, identity: &str) -> Result<Database, FileError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(redb::Error::Io)?;
    let new = file.metadata().map_err(redb::Error::Io)?.len() == 0;
    let file = FileBackend::new(file)?;
    let database = Builder::new().set_cache_size(PAGES_BYTES_MAX).create_with_backend(file)?;
    if new {
        let transaction = database.begin_write()?;
        drop(transaction.open_table(ABOUT)?.insert(IDENTITY, identity)?);
        drop(transaction.open_table(APPS)?);
        transaction.commit()?;
    }
    let about = database.begin_read()?.open_table(ABOUT)?.get(IDENTITY)?;
    let found = about.map(|found| found.value().to_owned()).unwrap_or_default();
    if found != identity {
        return Err(FileError::Other { found, expected: identity.to_owned() });
    }
    Ok(database)
}

fn kind(path: &Path) -> io::Result<Kind> {
    /// How a file of redb begins.
    const REDB: &[u8] = b"redb";
    /// What a file of BoltDB has behind the head of its first page, in little-endian order.
    const BOLT: [u8; 4] = 0xED0C_DAED_u32.to_le_bytes();
    const BOLT_AT: u64 = 16;
    // Not even opened: that may wait for ever, or do something.
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kind::Empty),
        Ok(found) if !found.is_file() && !found.is_dir() => return Ok(Kind::NoFile),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    let mut file = File::open(path)?;
    let mut start = Vec::new();
    (&mut file).take(4).read_to_end(&mut start)?;
    if start.is_empty() {
        return Ok(Kind::Empty);
    }
    if start == REDB {
        return Ok(Kind::Ours);
    }
    file.seek(SeekFrom::Start(BOLT_AT))?;
    let mut magic = Vec::new();
    file.take(4).read_to_end(&mut magic)?;
    Ok(if magic == BOLT { Kind::GoNozzle } else { Kind::Other })
}

#[cfg(test)]
mod tests;
