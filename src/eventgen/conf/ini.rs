//! Reads the INI dialect of conf files, with the place of everything.
//!
//! As Python's `RawConfigParser` reads it: `#` and `;` begin comment lines and nothing else, the first
//! `=` or `:` ends a name, names keep their case, a line indented deeper than the setting before it
//! continues its value, nothing is substituted. Unlike it, a stanza or setting that comes twice is no
//! error: the last one counts, as in Splunk, with a warning.
//!
//! Not responsible for what names and values mean.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::finding::{Finding, Level, Source, Spot};
use super::settings::is_secret;

/// Larger files are no conf files.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The stanzas of a file, or of several files merged.
#[derive(Debug, Default)]
pub(super) struct Conf {
    pub(super) stanzas: Vec<Stanza>,
}

#[derive(Debug)]
pub(super) struct Stanza {
    pub(super) name: Arc<str>,
    pub(super) spot: Spot,
    pub(super) entries: Vec<Entry>,
}

/// A setting as it stands in a file.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    pub(super) name_spot: Spot,
    /// Lines of a continued value are joined by newlines.
    pub(super) value: String,
    /// The first line of the value.
    pub(super) value_spot: Spot,
}

impl Conf {
    /// Lays another file over this one: its settings win, its new stanzas come last.
    pub(super) fn overlay(&mut self, other: Self) {
        for stanza in other.stanzas {
            match self.stanzas.iter_mut().find(|known| known.name == stanza.name) {
                Some(known) => stanza.entries.into_iter().for_each(|entry| known.set(entry)),
                None => self.stanzas.push(stanza),
            }
        }
    }
}

impl Stanza {
    /// Sets a setting in the place of an earlier one of its name.
    fn set(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|known| known.name == entry.name) {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
    }
}

/// Reads a conf file; relative paths start at the working directory. Findings of level error mean that
/// it is no such file.
pub(super) fn read(working_dir: &Path, path: &Path, findings: &mut Vec<Finding>) -> Conf {
    match read_text(&working_dir.join(path)) {
        Ok((text, lossless)) => {
            if !lossless {
                let message = format!("{} is not UTF-8 and was read as Latin-1", path.display());
                findings.push(Finding::new(Level::Warning, message));
            }
            parse(path, &text, findings)
        }
        Err(error) => {
            findings.push(Finding::new(Level::Error, format!("{} cannot be read: {error}", path.display())));
            Conf::default()
        }
    }
}

fn read_text(path: &Path) -> io::Result<(String, bool)> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => (text, true),
        Err(error) => (error.into_bytes().into_iter().map(char::from).collect(), false),
    })
}

/// Parses the text of a conf file.
pub(super) fn parse(path: &Path, text: &str, findings: &mut Vec<Finding>) -> Conf {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source::new(path, text);
    let mut reader = Reader { source: Arc::new(source), conf: Conf::default(), open: None, findings };
    for (number, line) in text.lines().enumerate() {
        reader.line(number, line);
    }
    reader.close();
    reader.conf.check_duplicates(findings)
}

/// A setting whose value may go on.
struct Open {
    indent: usize,
    entry: Entry,
    /// Empty lines that belong to the value if it goes on after them.
    blanks: usize,
}

struct Reader<'a> {
    source: Arc<Source>,
    conf: Conf,
    open: Option<Open>,
    findings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    fn line(&mut self, number: usize, line: &str) {
        let text = line.trim();
        let indent = line.chars().count() - line.trim_start().chars().count();
        if text.is_empty() {
            if let Some(open) = &mut self.open {
                open.blanks += 1;
            }
            return;
        }
        if text.starts_with(['#', ';']) {
            return;
        }
        if let Some(open) = &mut self.open
            && indent > open.indent
        {
            let value = &mut open.entry.value;
            value.extend(std::iter::repeat_n('\n', std::mem::take(&mut open.blanks) + 1));
            value.push_str(text);
            return;
        }
        self.close();
        let spot = |column, width| Spot { source: Arc::clone(&self.source), line: number, column, width };
        if let Some(end) = text.strip_prefix('[').and_then(|rest| rest.rfind(']')) {
            let name = Arc::from(&text[1..=end]);
            let spot = spot(indent, text[..end + 2].chars().count());
            self.conf.stanzas.push(Stanza { name, spot, entries: Vec::new() });
            return;
        }
        let whole = spot(indent, text.chars().count());
        let Some(delimiter) = text.find(['=', ':']).filter(|place| *place > 0) else {
            let help = "write name = value, or put a # before it";
            self.findings.push(
                Finding::at(Level::Error, &whole, format!("{} is no setting", quoted(text))).help(help),
            );
            return;
        };
        let name = text[..delimiter].trim_end();
        let value = text[delimiter + 1..].trim_start();
        let before = text[..text.len() - value.len()].chars().count();
        let entry = Entry {
            name: Arc::from(name),
            name_spot: spot(indent, name.chars().count()),
            value: value.to_owned(),
            value_spot: spot(indent + before, value.chars().count()),
        };
        if self.conf.stanzas.is_empty() {
            let message = format!("{} stands before the first stanza", quoted(name));
            let help = "settings follow a [stanza]; those for all samples stand in [global]";
            self.findings.push(Finding::at(Level::Error, &entry.name_spot, message).help(help));
        }
        self.open = Some(Open { indent, entry, blanks: 0 });
    }

    /// The value that was open is at its end.
    fn close(&mut self) {
        if let (Some(open), Some(stanza)) = (self.open.take(), self.conf.stanzas.last_mut()) {
            stanza.entries.push(open.entry);
        }
    }
}

fn quoted(text: &str) -> Cow<'_, str> {
    let short: String = text.chars().take(40).collect();
    format!("{short:?}").into()
}

impl Conf {
    /// Merges what comes twice, and says so.
    fn check_duplicates(self, findings: &mut Vec<Finding>) -> Self {
        let mut merged = Self::default();
        let mut stanzas: HashMap<Arc<str>, usize> = HashMap::new();
        for stanza in self.stanzas {
            let place = *stanzas.entry(Arc::clone(&stanza.name)).or_insert(merged.stanzas.len());
            if let Some(first) = merged.stanzas.get(place) {
                let message =
                    format!("[{}] comes twice, first on line {}", stanza.name, first.spot.place().line);
                let help = "they are read as one; where a setting comes twice, the last one counts";
                findings.push(Finding::at(Level::Warning, &stanza.spot, message).help(help));
            } else {
                merged.stanzas.push(Stanza { entries: Vec::new(), ..stanza.clone_heading() });
            }
            for entry in stanza.entries {
                let known = &mut merged.stanzas[place];
                if let Some(first) = known.entries.iter().find(|known| known.name == entry.name) {
                    let message = format!(
                        "{} is set twice, first on line {}",
                        entry.name,
                        first.name_spot.place().line
                    );
                    let value = if is_secret(&entry.name) { "…".into() } else { quoted(&entry.value) };
                    let help = format!("the last one counts: {value}");
                    findings.push(Finding::at(Level::Warning, &entry.name_spot, message).help(help));
                }
                known.set(entry);
            }
        }
        merged
    }
}

impl Stanza {
    fn clone_heading(&self) -> Self {
        Self { name: Arc::clone(&self.name), spot: self.spot.clone(), entries: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Entries = Vec<(String, String)>;

    fn read(text: &str) -> (Vec<(String, Entries)>, Vec<String>) {
        let mut findings = Vec::new();
        let conf = parse(Path::new("t.conf"), text, &mut findings);
        let entries = |stanza: &Stanza| {
            stanza.entries.iter().map(|entry| (entry.name.to_string(), entry.value.clone())).collect()
        };
        let stanzas = conf.stanzas.iter().map(|stanza| (stanza.name.to_string(), entries(stanza))).collect();
        (stanzas, findings.iter().map(ToString::to_string).collect())
    }

    fn entries(text: &str) -> Entries {
        let (stanzas, findings) = read(&format!("[s]\n{text}"));
        assert_eq!(findings, Vec::<String>::new());
        assert_eq!(stanzas.len(), 1);
        stanzas.into_iter().next().unwrap().1
    }

    #[test]
    fn settings_in_every_spelling() {
        for (text, name, value) in [
            ("count = 5", "count", "5"),
            ("count=5", "count", "5"),
            ("count : 5", "count", "5"),
            ("count: a = b", "count", "a = b"),
            ("token.0.token = a:b", "token.0.token", "a:b"),
            ("count = 5 # five", "count", "5 # five"),
            ("  count = 5  ", "count", "5"),
            ("empty =", "empty", ""),
            ("Count = 5\r", "Count", "5"),
            ("a = 1\n  2\n\t3", "a", "1\n2\n3"),
            ("a =\n  {\"1\": 2,\n  # no part of it\n   \"2\": 3}", "a", "\n{\"1\": 2,\n\"2\": 3}"),
            ("a = 1\n\n  2\n\n", "a", "1\n\n2"),
            ("  a = 1\n   2", "a", "1\n2"),
        ] {
            assert_eq!(entries(text), [(name.to_owned(), value.to_owned())], "{text:?}");
        }
        assert_eq!(entries("  a = 1\n  b = 2\n# c = 3\n; d = 4").len(), 2);
    }

    #[test]
    fn names_of_stanzas_may_have_brackets() {
        let (stanzas, findings) = read("\u{feff}[web[0-9]+\\.log]\n[ a b ] tail\n[unclosed = 1");
        let names: Vec<_> = stanzas.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["web[0-9]+\\.log", " a b "]);
        assert_eq!(stanzas[1].1, [("[unclosed".to_owned(), "1".to_owned())]);
        assert!(findings.is_empty());
    }

    #[test]
    fn the_last_of_two_counts() {
        let (stanzas, findings) = read("[a]\ncount = 1\ncount = 2\n[b]\n[a]\ncount = 3");
        assert_eq!(stanzas.len(), 2);
        assert_eq!(stanzas[0].1, [("count".to_owned(), "3".to_owned())]);
        assert_eq!(findings.len(), 3);
        assert!(findings[0].starts_with("warning: count is set twice, first on line 2\n --> t.conf:3:1"));
        assert!(findings[1].starts_with("warning: [a] comes twice, first on line 1\n --> t.conf:5:1"));
    }

    #[test]
    fn what_is_no_conf_says_so() {
        let (_, findings) = read("count = 1\n[a]\nsome words\n= 5");
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert!(findings[0].starts_with("error: \"count\" stands before the first stanza\n --> t.conf:1:1"));
        assert!(findings[1].starts_with("error: \"some words\" is no setting\n --> t.conf:3:1"));
        assert!(findings[2].starts_with("error: \"= 5\" is no setting"));
    }

    #[test]
    fn a_later_layer_wins_setting_by_setting() {
        let parse = |text| parse(Path::new("t"), text, &mut Vec::new());
        let mut conf = parse("[a]\nx = 1\ny = 1\n[b]\nx = 1");
        conf.overlay(parse("[c]\nx = 2\n[a]\ny = 2\nz = 2"));
        let shown: Vec<_> = conf.stanzas.iter().map(|stanza| (&*stanza.name, stanza.entries.len())).collect();
        assert_eq!(shown, [("a", 3), ("b", 1), ("c", 1)]);
        assert_eq!(conf.stanzas[0].entries[1].value, "2");
    }

    #[test]
    fn files_that_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut findings = Vec::new();
        super::read(folder.path(), Path::new("nope.conf"), &mut findings);
        fs::write(folder.path().join("latin.conf"), b"[a]\nhost = caf\xe9\n").unwrap();
        let conf = super::read(folder.path(), Path::new("latin.conf"), &mut findings);
        assert_eq!(conf.stanzas[0].entries[0].value, "café");
        assert!(findings[0].message.contains("nope.conf cannot be read: "));
        assert_eq!((findings[0].level, findings[1].level), (Level::Error, Level::Warning));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(\\[?[a-c=:# ;\\]\t]{0,6}\n){0,8}") {
            let mut findings = Vec::new();
            let conf = parse(Path::new("t"), &text, &mut findings);
            for stanza in &conf.stanzas {
                for entry in &stanza.entries {
                    // Places point at what they say.
                    let line = &text.lines().nth(entry.name_spot.line).unwrap();
                    let at: String = line.chars().skip(entry.name_spot.column).take(entry.name_spot.width).collect();
                    prop_assert_eq!(&at, &*entry.name);
                }
            }
        }
    }
}
