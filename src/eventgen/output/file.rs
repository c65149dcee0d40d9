//! Files: `file` rotates by size, `spool` does not. Samples with the same path share the file.
//!
//! A file that would grow beyond its limit becomes `.1`, that one `.2`, and so on. What is kept
//! are whole events: an event larger than the limit has a file of its own.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::lines::{Ending, lines};
use super::settings::Settings;
use super::{Common, lost, ready};
use crate::eventgen::config::SampleConfig;
use crate::eventgen::event::Batch;
use crate::eventgen::plugin::{Nature, Output, OutputError, OutputFuture};

const FILE_MAX_BYTES: u64 = 10_485_760;
const BACKUP_FILES: u32 = 5;
/// Beyond this many backups a rotation would take long.
const BACKUP_FILES_MAX: u32 = 10_000;

/// All files that are open.
pub(super) type Files = Common<PathBuf, Mutex<Appended>>;

/// The outputs `file` and `spool`.
#[derive(Debug)]
pub(super) struct File {
    file: Arc<Mutex<Appended>>,
    rotation: Option<Rotation>,
    scratch: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Rotation {
    bytes_max: u64,
    backups: u32,
}

impl File {
    /// `fileName`, by default the sample's name in `spoolDir`; `fileMaxBytes`, `fileBackupFiles`.
    pub(super) fn new(sample: &SampleConfig, files: &Files) -> Result<Self, String> {
        let settings = Settings(sample);
        let path = match settings.text("fileName") {
            Some(name) => settings.path("fileName", name)?,
            None => spool_dir(settings)?.join(&*sample.name),
        };
        let bytes_max =
            settings.number("fileMaxBytes", FILE_MAX_BYTES, "a number of bytes, 0 for no limit")?;
        let expected = "a number of files from 0 to 10000";
        let backups = settings.number("fileBackupFiles", BACKUP_FILES, expected)?;
        if backups > BACKUP_FILES_MAX {
            return Err(settings.wrong("fileBackupFiles", &backups.to_string(), expected));
        }
        let rotation = (bytes_max > 0).then_some(Rotation { bytes_max, backups: backups.max(1) });
        Self::at(path, rotation, files)
    }

    /// `spoolFile` in `spoolDir`, where `<SAMPLE>` is the sample's name.
    pub(super) fn spool(sample: &SampleConfig, files: &Files) -> Result<Self, String> {
        let settings = Settings(sample);
        let name = settings.text("spoolFile").unwrap_or("<SAMPLE>").replace("<SAMPLE>", &sample.name);
        Self::at(spool_dir(settings)?.join(name), None, files)
    }

    fn at(path: PathBuf, rotation: Option<Rotation>, files: &Files) -> Result<Self, String> {
        let file = files.get(path, |path| Ok::<_, String>(Mutex::new(Appended::new(path))))?;
        Ok(Self { file, rotation, scratch: Vec::new() })
    }

    fn append(&mut self, batch: &Batch) -> Result<(), OutputError> {
        let text = lines(batch, Ending::Kept, &mut self.scratch);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut written = 0;
        let result = match self.rotation {
            None => file.append(text),
            Some(rotation) => append_rotating(&mut file, rotation, batch, text, &mut written),
        };
        result.map_err(|error| {
            let message = format!("{}: {error}", file.path.display());
            lost(batch.len() - written, message)
        })
    }
}

impl Output for File {
    fn nature(&self) -> Nature {
        Nature::Blocking
    }

    fn write<'a>(&'a mut self, batch: &'a Batch) -> OutputFuture<'a> {
        ready(self.append(batch))
    }

    fn finish(&mut self) -> OutputFuture<'_> {
        ready(Ok(()))
    }
}

fn spool_dir(settings: Settings<'_>) -> Result<PathBuf, String> {
    let dir = settings.text("spoolDir").unwrap_or("$SPLUNK_HOME/var/spool/splunk");
    settings.path("spoolDir", dir)
}

/// Appends lines event by event, as many at once as the file has room for; `written` counts those
/// that are surely there.
fn append_rotating(
    file: &mut Appended,
    rotation: Rotation,
    batch: &Batch,
    text: &[u8],
    written: &mut usize,
) -> io::Result<()> {
    let (mut start, mut end, mut events) = (0, 0, 0);
    let size = file.size()?;
    let mut room = rotation.bytes_max.saturating_sub(size);
    let mut is_empty = size == 0;
    for event in batch.iter() {
        let length = event.text.len() + usize::from(!event.text.ends_with(b"\n"));
        if (end - start + length) as u64 > room && !(is_empty && start == end) {
            file.append(&text[start..end])?;
            *written += events;
            file.rotate(rotation.backups)?;
            (start, events, room, is_empty) = (end, 0, rotation.bytes_max, true);
        }
        end += length;
        events += 1;
    }
    file.append(&text[start..end])
}

/// A file that is appended to. Opened when there is something to write, again after an error.
#[derive(Debug)]
pub(super) struct Appended {
    path: PathBuf,
    open: Option<(fs::File, u64)>,
}

impl Appended {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), open: None }
    }

    fn size(&mut self) -> io::Result<u64> {
        Ok(self.open()?.1)
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let (file, size) = self.open()?;
        let result = file.write_all(text);
        *size += text.len() as u64;
        if result.is_err() {
            self.open = None;
        }
        result
    }

    fn open(&mut self) -> io::Result<&mut (fs::File, u64)> {
        if self.open.is_none() {
            if let Some(directory) = self.path.parent() {
                fs::create_dir_all(directory)?;
            }
            let file = OpenOptions::new().append(true).create(true).open(&self.path)?;
            let size = file.metadata()?.len();
            self.open = Some((file, size));
        }
        self.open.as_mut().ok_or_else(|| io::Error::other("the file is not open"))
    }

    /// The file becomes `.1`, that one `.2`, up to `backups`.
    fn rotate(&mut self, backups: u32) -> io::Result<()> {
        self.open = None;
        for number in (1..backups).rev() {
            ignore_missing(fs::rename(self.backup(number), self.backup(number + 1)))?;
        }
        ignore_missing(fs::rename(&self.path, self.backup(1)))
    }

    fn backup(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventgen::testing::{batch, sample, write_all};

    fn output(dir: &Path, settings: &[(&str, &str)]) -> File {
        let mut sample = sample("a.txt", settings);
        sample.working_dir = dir.to_owned();
        File::new(&sample, &Files::default()).unwrap()
    }

    fn content(dir: &Path) -> Vec<(String, String)> {
        let mut files: Vec<_> = (fs::read_dir(dir).unwrap())
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    #[tokio::test]
    async fn rotation_keeps_whole_events_and_as_many_files() {
        let texts: Vec<String> = (101..=111).map(|number| format!("event {number}\n")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let lines = |from: usize, to: usize| texts[from - 101..=to - 101].concat();
        let cases = [
            ("30", "2", vec![lines(110, 111), lines(107, 109), lines(104, 106)]),
            ("30", "0", vec![lines(110, 111), lines(107, 109)]),
            ("30", "1", vec![lines(110, 111), lines(107, 109)]),
            ("0", "2", vec![lines(101, 111)]),
            ("110", "2", vec![lines(101, 111)]),
            ("109", "2", vec![lines(111, 111), lines(101, 110)]),
            // An event larger than the limit has a file of its own.
            ("5", "2", vec![lines(111, 111), lines(110, 110), lines(109, 109)]),
        ];
        for (bytes_max, backups, expected) in cases {
            // In one batch and in several it is the same.
            for size in [1, 4, 11] {
                let dir = tempfile::tempdir().unwrap();
                let settings =
                    [("fileName", "x.log"), ("fileMaxBytes", bytes_max), ("fileBackupFiles", backups)];
                let mut file = output(dir.path(), &settings);
                for chunk in texts.chunks(size) {
                    file.append(&batch(chunk)).unwrap();
                }
                let names = ["x.log", "x.log.1", "x.log.2"].map(str::to_owned).into_iter();
                let expected: Vec<_> = names.zip(expected.clone()).collect();
                assert_eq!(content(dir.path()), expected, "{bytes_max} {backups} {size}");
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_is_there_is_appended_to_and_counts() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x.log"), "123456789\n").unwrap();
        let mut file = output(dir.path(), &[("fileName", "x.log"), ("fileMaxBytes", "15")]);
        write_all(&mut file, &["ab", "cd\n", "e\n"]).await.unwrap();
        let expected = [("x.log", "cd\ne\n"), ("x.log.1", "123456789\nab\n")];
        assert_eq!(content(dir.path()), expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }

    #[tokio::test]
    async fn directories_are_made_and_names_have_defaults() {
        let dir = tempfile::tempdir().unwrap();
        write_all(&mut output(dir.path(), &[("spoolDir", "deep/er")]), &["one\n"]).await.unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("deep/er/a.txt")).unwrap(), "one\n");
        let mut sample = sample("a.txt", &[("spoolDir", "spool"), ("spoolFile", "<SAMPLE>.log")]);
        sample.working_dir = dir.path().to_owned();
        let mut spool = File::spool(&sample, &Files::default()).unwrap();
        write_all(&mut spool, &["one", "two\n"]).await.unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("spool/a.txt.log")).unwrap(), "one\ntwo\n");
    }

    #[tokio::test]
    async fn samples_with_one_path_share_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::default();
        let mut sample =
            sample("a.txt", &[("fileName", "x.log"), ("fileMaxBytes", "10"), ("fileBackupFiles", "9")]);
        sample.working_dir = dir.path().to_owned();
        let mut both = [File::new(&sample, &files).unwrap(), File::new(&sample, &files).unwrap()];
        for round in 0..6 {
            both[round % 2].append(&batch(&["1234\n"])).unwrap();
        }
        let sizes: Vec<_> = content(dir.path()).into_iter().map(|(_, text)| text.len()).collect();
        assert_eq!(sizes, [10, 10, 10]);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("not-a-directory"), "").unwrap();
        let mut file = output(dir.path(), &[("fileName", "not-a-directory/x.log")]);
        let error = file.append(&batch(&["one\n", "two\n"])).unwrap_err();
        assert_eq!((error.lost, error.closed), (2, false));
        assert!(error.message.contains("not-a-directory/x.log: "), "{error}");
    }

    #[test]
    fn without_a_place_there_is_a_message() {
        let error = File::new(&sample("a.txt", &[]), &Files::default()).unwrap_err();
        let expected = "spoolDir = \"$SPLUNK_HOME/var/spool/splunk\": expected a path whose variables are set; \
             $SPLUNK_HOME is not";
        assert_eq!(error, expected);
    }
}
