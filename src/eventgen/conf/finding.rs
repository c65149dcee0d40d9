//! What there is to say about a conf: errors, warnings and notes, each with its place.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::settings::is_secret;
use crate::eventgen::config::Place;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A stanza, or all of them, cannot run.
    Error,
    /// Something the conf asks for will not happen; the rest runs.
    Warning,
    /// Good to know.
    Note,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }

    fn color(self) -> &'static str {
        match self {
            Self::Error => "\x1b[1;31m",
            Self::Warning => "\x1b[1;33m",
            Self::Note => "\x1b[1;36m",
        }
    }
}

/// One thing to say about a conf.
///
/// Displayed over several lines: the message, the place, the line with a caret below what is meant,
/// and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// Where; `None` if it is about no line.
    pub place: Option<Place>,
    /// What is wrong: names the thing, the value and what was expected.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The line of the file, and how many characters of it are meant.
    excerpt: Option<(Arc<str>, usize)>,
}

impl Finding {
    /// A finding about no line.
    pub fn new(level: Level, message: impl Into<String>) -> Self {
        Self { level, place: None, message: message.into(), help: None, excerpt: None }
    }

    /// A finding about a piece of a file.
    pub(super) fn at(level: Level, spot: &Spot, message: impl Into<String>) -> Self {
        Self {
            place: Some(spot.place()),
            excerpt: Some((spot.text(), spot.width)),
            ..Self::new(level, message)
        }
    }

    /// A finding about a place that is known by its numbers only; relative paths start at the working
    /// directory. Without the line if the file has gone since.
    pub fn at_place(level: Level, place: &Place, working_dir: &Path, message: impl Into<String>) -> Self {
        let text = fs::read_to_string(working_dir.join(&*place.file)).unwrap_or_default();
        let line =
            text.lines().nth((place.line as usize).saturating_sub(1)).map(|line| Arc::from(shown(line)));
        Self {
            place: Some(place.clone()),
            excerpt: line.map(|line| (line, usize::MAX)),
            ..Self::new(level, message)
        }
    }

    /// Adds what to do about it.
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// As text; with colors if a terminal shows it.
    pub fn render(&self, colored: bool) -> String {
        let paint = |color: &str, text: &str| {
            if colored { format!("{color}{text}\x1b[0m") } else { text.to_owned() }
        };
        let mut out = format!("{}: {}", paint(self.level.color(), self.level.word()), self.message);
        if let Some(place) = &self.place {
            let gutter = place.line.to_string();
            let margin = " ".repeat(gutter.len());
            let _ = write!(out, "\n{margin}--> {place}");
            if let Some((line, width)) = &self.excerpt {
                let (line, column) = window(line, (place.column as usize).saturating_sub(1));
                let room = line.chars().count().saturating_sub(column).max(1);
                let carets = "^".repeat((*width).clamp(1, room));
                let _ = write!(out, "\n{gutter} | {line}");
                let pad = " ".repeat(column);
                let _ = write!(out, "\n{margin} | {pad}{}", paint(self.level.color(), &carets));
            }
        }
        if let Some(help) = &self.help {
            let _ = write!(out, "\n  = {help}");
        }
        out
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Characters of a line that are shown.
const LINE_CHARS_MAX: usize = 100;
/// Characters before the caret that are shown of a longer line.
const CHARS_BEFORE: usize = 40;

/// The part of a line around a column, tabs as blanks, and the column in it.
fn window(line: &str, column: usize) -> (String, usize) {
    let start = if line.chars().count() > LINE_CHARS_MAX { column.saturating_sub(CHARS_BEFORE) } else { 0 };
    let shown = line.chars().skip(start).take(LINE_CHARS_MAX);
    (shown.map(|c| if c.is_control() { ' ' } else { c }).collect(), column - start)
}

/// A conf file that was read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: Arc<PathBuf>,
    /// As they are shown: without passwords and the like.
    lines: Vec<Arc<str>>,
}

impl Source {
    pub(super) fn new(path: &Path, text: &str) -> Self {
        let lines = text.lines().map(|line| Arc::from(shown(line))).collect();
        Self { path: Arc::new(path.into()), lines }
    }
}

/// A line as it may be shown.
fn shown(line: &str) -> Cow<'_, str> {
    match line.find(['=', ':']) {
        Some(end) if is_secret(line[..end].trim()) => format!("{} …", &line[..=end]).into(),
        _ => line.into(),
    }
}

/// A piece of a line.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) source: Arc<Source>,
    /// From 0.
    pub(super) line: usize,
    /// Characters before it.
    pub(super) column: usize,
    /// Characters of it.
    pub(super) width: usize,
}

impl Spot {
    pub(super) fn place(&self) -> Place {
        let number = |value: usize| u32::try_from(value + 1).unwrap_or(u32::MAX);
        Place { file: Arc::clone(&self.source.path), line: number(self.line), column: number(self.column) }
    }

    fn text(&self) -> Arc<str> {
        self.source.lines.get(self.line).cloned().unwrap_or_default()
    }

    /// The character `offset` bytes into this piece's text, if that is on its first line.
    pub(super) fn inside(&self, text: &str, offset: usize) -> Self {
        match text.get(..offset) {
            Some(before) if !before.contains('\n') => {
                Self { column: self.column + before.chars().count(), width: 1, ..self.clone() }
            }
            _ => self.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(line: &str, column: usize, width: usize) -> Spot {
        let source = Arc::new(Source::new(Path::new("a.conf"), &format!("[s]\n{line}")));
        Spot { source, line: 1, column, width }
    }

    #[test]
    fn a_caret_stands_below_what_is_meant() {
        let finding = Finding::at(Level::Warning, &spot("\tcafé = abc", 8, 3), "no number").help("write one");
        let want = "warning: no number\n --> a.conf:2:9\n2 |  café = abc\n  |         ^^^\n  = write one";
        assert_eq!(finding.to_string(), want);
        assert!(finding.render(true).contains("\x1b[1;33m^^^\x1b[0m"));
        assert_eq!(Finding::new(Level::Error, "none at all").to_string(), "error: none at all");
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let text = Finding::at(Level::Error, &spot(&line, 500, 9999), "here").to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[2], format!("2 | {}X{}", "a".repeat(40), "b".repeat(59)));
        assert_eq!(lines[3], format!("  | {}{}", " ".repeat(40), "^".repeat(60)));
    }

    #[test]
    fn secrets_are_not_shown() {
        for name in
            ["httpeventServers", "splunkPass", "sessionKey", "accessToken", "awsSecretKey", "PASSWORD"]
        {
            let text = Finding::at(Level::Note, &spot(&format!("{name} = hush"), 0, 3), "x").to_string();
            assert!(text.contains(&format!("{name} = …")) && !text.contains("hush"), "{text}");
        }
        assert!(
            Finding::at(Level::Note, &spot("token.0.token = seen", 0, 3), "x").to_string().contains("seen")
        );
    }

    #[test]
    fn a_place_known_by_its_numbers_shows_its_line() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.conf"), "[s]\nx = abc\n").unwrap();
        let place = Place { file: Arc::new("a.conf".into()), line: 2, column: 5 };
        let text = Finding::at_place(Level::Warning, &place, folder.path(), "no").to_string();
        assert_eq!(text, "warning: no\n --> a.conf:2:5\n2 | x = abc\n  |     ^^^");
        let gone = Finding::at_place(Level::Warning, &place, Path::new("/nowhere"), "no").to_string();
        assert_eq!(gone, "warning: no\n --> a.conf:2:5");
    }

    #[test]
    fn a_place_inside_a_text_is_found_by_its_bytes() {
        let inside = spot("x = é((", 4, 3).inside("é((", 3);
        assert_eq!((inside.column, inside.width), (6, 1));
        assert_eq!(spot("x = a", 4, 1).inside("a\nb", 2).column, 4);
    }
}
