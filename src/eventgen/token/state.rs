//! Counters that survive a restart: those of `integerid` and `seqfile`.
//!
//! `integerid` has a file `state.` and the token's pattern, percent-encoded, in the folder of the samples: the name
//! the original looks for, and never writes. `seqfile` has `state.seqfile.` and the pattern. Each holds the number
//! that comes next. A file is replaced as a whole, so what a crash leaves is the old one or the new one.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// More than the digits of a number with blanks around them.
const FILE_BYTES_MAX: u64 = 64;

/// A number that grows by one with each event a token matches in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::eventgen) struct Counter {
    /// Its file, in the folder of the samples.
    file_name: String,
    /// What it shows without a file.
    start: i64,
}

impl Counter {
    pub(super) fn of_ids(pattern: &str, start: i64) -> Self {
        Self { file_name: format!("state.{}", percent_encoded(pattern)), start }
    }

    pub(super) fn of_lines(pattern: &str) -> Self {
        Self { file_name: format!("state.seqfile.{}", percent_encoded(pattern)), start: 0 }
    }

    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(&self.file_name)
    }

    /// Where it goes on: what its file says, else its start.
    pub(super) fn load(&self, folder: &Path) -> Result<i64, String> {
        let path = self.path(folder);
        let text = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(self.start),
            Err(error) => Err(error),
            Ok(found) if found.len() > FILE_BYTES_MAX => Ok(String::new()),
            Ok(_) => fs::read_to_string(&path),
        };
        let start = self.start;
        match text {
            Ok(text) => text.trim().parse().map_err(|_| {
                format!("{} does not hold a whole number; counting starts at {start}", path.display())
            }),
            Err(error) => {
                Err(format!("{} cannot be read: {error}; counting starts at {start}", path.display()))
            }
        }
    }

    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// Keeps the number that comes next.
    pub(super) fn save(&self, folder: &Path, next: i64) -> Result<(), String> {
        let path = self.path(folder);
        replace(folder, &path, next).map_err(|error| {
            format!(
                "{} cannot be written: {error}; after a restart, counting goes on from an earlier number",
                path.display()
            )
        })
    }
}

fn replace(folder: &Path, path: &Path, next: i64) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{next}")?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// As `urllib.parse.quote`, the slash included: this is part of a file's name.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut name, byte| {
        if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_percent_encoded() {
        assert_eq!(Counter::of_ids("@1", 1).file_name, "state.%401");
        assert_eq!(Counter::of_ids(r"id=(\d+)/é", 1).file_name, "state.id%3D%28%5Cd%2B%29%2F%C3%A9");
        assert_eq!(Counter::of_lines("a_b.c-d~",).file_name, "state.seqfile.a_b.c-d~");
    }

    #[test]
    fn a_number_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let counter = Counter::of_ids("@1", 100);
        assert_eq!(counter.load(folder.path()), Ok(100));
        counter.save(folder.path(), -7).unwrap();
        assert_eq!(counter.load(folder.path()), Ok(-7));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing but the state is left behind");
        fs::write(folder.path().join("state.%401"), " 555 \n").unwrap();
        assert_eq!(counter.load(folder.path()), Ok(555));
        for text in ["", "five", &"1".repeat(100)] {
            fs::write(folder.path().join("state.%401"), text).unwrap();
            assert!(
                counter.load(folder.path()).unwrap_err().contains("whole number; counting starts at 100")
            );
        }
        let error = counter.save(&folder.path().join("gone"), 1).unwrap_err();
        assert!(error.contains("state.%401 cannot be written"), "{error}");
    }
}
