//! Values to choose from: lists, the lines of files, columns of files.
//!
//! A file is read once and shared by all tokens and samples that name it. Its lines are trimmed; a blank one is a
//! value like any other. Columns are read with the quoting of CSV, each line for itself.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::language::{ByteSet, Language};

/// A longer file of values is a mistake.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// An ordered set of texts, some of which may be missing.
#[derive(Debug)]
pub(in crate::eventgen) struct Values {
    text: Box<[u8]>,
    spans: Box<[Span]>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    /// `MISSING`, or the length.
    length: u32,
}

const MISSING: u32 = u32::MAX;

impl Values {
    /// These texts in order; `None` where one is missing. Together below 4 GiB, which callers see to.
    pub(in crate::eventgen) fn new<T: AsRef<str>>(values: impl IntoIterator<Item = Option<T>>) -> Self {
        let mut text = Vec::new();
        let spans = values.into_iter().map(|value| {
            let start = text.len() as u32;
            let Some(value) = value else { return Span { start, length: MISSING } };
            text.extend_from_slice(value.as_ref().as_bytes());
            Span { start, length: value.as_ref().len() as u32 }
        });
        let spans = spans.collect();
        Self { text: text.into_boxed_slice(), spans }
    }

    /// How many there are, missing ones included.
    pub(in crate::eventgen) fn len(&self) -> usize {
        self.spans.len()
    }

    /// One of them; `None` if it is missing.
    #[inline]
    pub(in crate::eventgen) fn get(&self, index: usize) -> Option<&[u8]> {
        let span = self.spans.get(index)?;
        if span.length == MISSING {
            return None;
        }
        self.text.get(span.start as usize..(span.start + span.length) as usize)
    }

    /// The texts in order.
    pub(in crate::eventgen) fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Whether some are missing.
    pub(in crate::eventgen) fn has_missing(&self) -> bool {
        self.spans.iter().any(|span| span.length == MISSING)
    }

    /// What the texts look like.
    pub(in crate::eventgen) fn language(&self) -> Language {
        let lengths = || self.spans.iter().map(|span| span.length).filter(|length| *length != MISSING);
        let (least, most) = (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0));
        Language::of(ByteSet::of(&self.text), least, Some(most))
    }
}

/// A file of values, or a column of one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// From 1; `None` for whole lines.
    pub(super) column: Option<usize>,
}

/// Files of values that are in use.
#[derive(Debug, Default)]
pub(in crate::eventgen) struct ValueFiles {
    loaded: Mutex<HashMap<Source, Weak<Values>>>,
}

impl ValueFiles {
    /// The values of a file, read if nobody has it yet.
    pub(super) fn load(&self, source: &Source) -> Result<Arc<Values>, String> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(values) = loaded.get(source).and_then(Weak::upgrade) {
            return Ok(values);
        }
        let values = Arc::new(read(source)?);
        loaded.retain(|_, values| values.strong_count() > 0);
        loaded.insert(source.clone(), Arc::downgrade(&values));
        Ok(values)
    }
}

fn read(source: &Source) -> Result<Values, String> {
    let text = read_text(&source.path, FILE_BYTES_MAX)?;
    if text.is_empty() {
        return Err(format!("{} is empty", source.path.display()));
    }
    let lines = text.split_terminator('\n').map(str::trim);
    let Some(column) = source.column else { return Ok(Values::new(lines.map(Some))) };
    let values = Values::new(lines.map(|line| cell(line, column)));
    if values.iter().all(|value| value.is_none()) {
        return Err(format!("no line of {} has a column {column}", source.path.display()));
    }
    Ok(values)
}

/// Reads a text file: UTF-8, else Latin-1, with line ends as `\n`.
pub(in crate::eventgen) fn read_text(path: &Path, bytes_max: u64) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > bytes_max {
        return Err(format!("{} has {length} bytes; at most {bytes_max} can be used", path.display()));
    }
    let text = match String::from_utf8(fs::read(path).map_err(unreadable)?) {
        Ok(text) => text,
        Err(error) => error.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
    };
    Ok(if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text })
}

/// A cell of one line of CSV; blanks around it are its own.
fn cell(line: &str, column: usize) -> Option<String> {
    if !line.contains('"') {
        return line.split(',').nth(column - 1).map(str::to_owned);
    }
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(line.as_bytes());
    let row = reader.records().next()?.ok()?;
    row.get(column - 1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_as_in_csv() {
        for (line, expected) in [
            ("dave, 40 ,nice", [Some("dave"), Some(" 40 "), Some("nice"), None]),
            (r#""a,b",c"#, [Some("a,b"), Some("c"), None, None]),
            (r#"x"y,"say ""hi""","#, [Some("x\"y"), Some("say \"hi\""), Some(""), None]),
            ("", [Some(""), None, None, None]),
        ] {
            let cells = [1, 2, 3, 4].map(|column| cell(line, column));
            assert_eq!(cells.each_ref().map(Option::as_deref), expected, "{line}");
        }
    }

    #[test]
    fn a_file_is_read_once_while_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.list");
        fs::write(&path, "  one \r\n\r\ntwo").unwrap();
        let files = ValueFiles::default();
        let source = Source { path: path.clone(), column: None };
        let values = files.load(&source).unwrap();
        fs::write(&path, "other\n").unwrap();
        assert!(Arc::ptr_eq(&values, &files.load(&source).unwrap()));
        let texts: Vec<_> = values.iter().map(Option::unwrap).collect();
        assert_eq!(texts, [&b"one"[..], b"", b"two"]);
        assert_eq!(values.get(3), None);
        drop(values);
        assert_eq!(files.load(&source).unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let fails = |path, column| read(&Source { path, column }).unwrap_err();
        assert!(fails(folder.path().join("nope"), None).contains("nope cannot be read"));
        assert!(fails(write("empty", b""), None).contains("empty is empty"));
        assert!(fails(write("narrow", b"a,b\n"), Some(9)).contains("no line of"));
        assert_eq!(read_text(&write("latin", b"caf\xe9\n"), 10).unwrap(), "café\n");
        assert!(read_text(&write("long", b"12345"), 4).unwrap_err().contains("has 5 bytes; at most 4"));
    }
}
