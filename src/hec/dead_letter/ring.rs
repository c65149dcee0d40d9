//! Files that together never hold more than a limit: the oldest goes first.
//!
//! A line is in a file whole or not at all, as far as the disk lets us take a part of it back. However
//! often the disk refuses, no more files come of it.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The limit is shared by about so many files: with each that goes, so much of it is gone.
const FILES: u64 = 8;

const PREFIX: &str = "dead-letters-";
const SUFFIX: &str = ".ndjson";

/// The files, oldest first.
#[derive(Debug)]
pub(super) struct Ring {
    folder: PathBuf,
    max_bytes: u64,
    /// Number and length; unknown until the folder was looked into.
    files: Option<VecDeque<(u64, u64)>>,
    /// The last of them.
    open: Option<File>,
}

impl Ring {
    pub(super) fn new(folder: PathBuf, max_bytes: u64) -> Self {
        Self { folder, max_bytes, files: None, open: None }
    }

    pub(super) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().flatten().map(|(_, length)| length).sum()
    }

    /// Adds a line.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let mut files = match self.files.take() {
            Some(files) => files,
            None => find(&self.folder)?,
        };
        let done = self.append_to(&mut files, line);
        self.files = Some(files);
        done
    }

    fn append_to(&mut self, files: &mut VecDeque<(u64, u64)>, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        let full = files.back().is_none_or(|(_, last)| last + length > self.max_bytes / FILES);
        if full || self.open.is_none() {
            self.open = None;
            let next = files.back().map_or(1, |(last, _)| last + 1);
            self.make_room(files, length)?;
            self.open = Some(create(&self.folder, next, files)?);
        }
        self.make_room(files, length)?;
        let (Some(file), Some((_, last))) = (&mut self.open, files.back_mut()) else { return Ok(()) };
        match file.write_all(line) {
            Ok(()) => *last += length,
            Err(error) => {
                self.take_back(files);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Part of a line may be in the open file. A full disk lets it be shortened, and then it is used again;
    /// else it is left, or removed if it holds no whole line.
    fn take_back(&mut self, files: &mut VecDeque<(u64, u64)>) {
        let (Some(file), Some((number, whole))) = (&self.open, files.back_mut()) else { return };
        if file.set_len(*whole).is_ok() {
            return;
        }
        self.open = None;
        let path = path(&self.folder, *number);
        if *whole == 0 && fs::remove_file(&path).is_ok() {
            files.pop_back();
        } else if let Ok(found) = path.metadata() {
            *whole = found.len();
        }
    }

    fn make_room(&self, files: &mut VecDeque<(u64, u64)>, length: u64) -> io::Result<()> {
        let keep = usize::from(self.open.is_some());
        while files.len() > keep
            && files.iter().map(|(_, length)| length).sum::<u64>() + length > self.max_bytes
        {
            let Some((oldest, _)) = files.front() else { break };
            match fs::remove_file(path(&self.folder, *oldest)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => drop(files.pop_front()),
            }
        }
        Ok(())
    }
}

pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{number:010}{SUFFIX}"))
}

/// The files of an earlier run. They are not written to any more: the last line may be half a line.
pub(super) fn find(folder: &Path) -> io::Result<VecDeque<(u64, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            files.push((number, entry.metadata()?.len()));
        }
    }
    files.sort_unstable();
    Ok(files.into())
}

/// Only for the owner: events are what apps log.
fn create(folder: &Path, mut number: u64, files: &mut VecDeque<(u64, u64)>) -> io::Result<File> {
    loop {
        // What is written goes to the end, also after the file was shortened.
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path(folder, number));
        match file {
            Ok(file) => {
                files.push_back((number, 0));
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk without room for what is written to the open file.
    fn fill(ring: &mut Ring) {
        ring.open = Some(OpenOptions::new().append(true).open("/dev/full").unwrap());
    }

    #[test]
    fn a_full_disk_makes_no_more_files_and_no_half_lines() {
        let folder = tempfile::tempdir().unwrap();
        let names = || find(folder.path()).unwrap().len();
        let mut ring = Ring::new(folder.path().to_owned(), 1 << 20);
        ring.append(b"one\n").unwrap();
        for _ in 0..100 {
            fill(&mut ring);
            let error = ring.append(b"lost\n").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            assert_eq!((names(), ring.bytes()), (1, 4));
        }
        // As a file that was made just before the disk was full.
        ring.open = None;
        ring.append(b"two\n").unwrap();
        ring.files.as_mut().unwrap()[1].1 = 0;
        fs::write(path(folder.path(), 2), "").unwrap();
        fill(&mut ring);
        ring.append(b"lost\n").unwrap_err();
        assert_eq!((names(), ring.bytes()), (1, 4));
        ring.append(b"two\n").unwrap();
        let text: String = (1..=2).map(|n| fs::read_to_string(path(folder.path(), n)).unwrap()).collect();
        assert_eq!(text, "one\ntwo\n");
    }

    #[test]
    fn what_was_written_of_a_line_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut ring = Ring::new(folder.path().to_owned(), 1 << 20);
        ring.append(b"one\n").unwrap();
        ring.open.as_mut().unwrap().write_all(b"ha").unwrap();
        let mut files = ring.files.take().unwrap();
        ring.take_back(&mut files);
        ring.files = Some(files);
        ring.append(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(path(folder.path(), 1)).unwrap(), "one\ntwo\n");
        assert_eq!(ring.bytes(), 8);
    }
}
