//! Regular expressions as conf files write them: Python's `re`, run by Rust's engines.
//!
//! The spelling is translated once (`python`). Most patterns run on the `regex` crate, in linear time; those with
//! look-around, back-references or a `$` that has to see past the final newline run on `fancy-regex`, which
//! backtracks. Its steps are bounded ([`BACKTRACK_LIMIT`]): a search that needs more finds nothing and says so once,
//! where Python would hang.
//!
//! Matches are found as Python's `finditer` finds them, empty ones right after others included.

mod python;

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Steps one search of a backtracking pattern may take.
pub const BACKTRACK_LIMIT: usize = 1_000_000;

/// Memory one compiled pattern may take, in bytes.
const PATTERN_BYTES_MAX: usize = 32 << 20;

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    /// What is wrong with it, for a person.
    pub message: String,
    /// Byte of the pattern it is about, if that is known.
    pub offset: Option<usize>,
}

/// A compiled pattern.
pub struct Pattern {
    text: Box<str>,
    /// As translated, for the analysis of what it can see.
    relaxed: Option<Box<str>>,
    engine: Engine,
    gave_up: AtomicBool,
}

enum Engine {
    Linear(Box<regex::Regex>),
    Backtracking(Box<fancy_regex::Regex>),
}

/// Where a pattern matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The whole match.
    pub whole: Range<usize>,
    /// Group 1, if the pattern has one and it took part.
    pub group: Option<Range<usize>>,
}

/// Memory a search reuses.
#[derive(Clone, Debug)]
pub struct Finder(Option<regex::CaptureLocations>);

impl Pattern {
    /// Compiles a pattern as `re.compile(text)`.
    ///
    /// # Errors
    /// It is no regular expression, or too large.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        Self::compile(text, false)
    }

    /// Compiles a pattern as `re.compile(text, re.MULTILINE)`: `^` and `$` match at each line.
    ///
    /// # Errors
    /// It is no regular expression, or too large.
    pub fn multi_line(text: &str) -> Result<Self, PatternError> {
        Self::compile(text, true)
    }

    fn compile(text: &str, multi_line: bool) -> Result<Self, PatternError> {
        let translated = python::translate(text, multi_line)?;
        let refused = |message: String| PatternError { message, offset: None };
        let engine = if translated.needs_backtracking {
            let built = fancy_regex::RegexBuilder::new(&translated.source)
                .backtrack_limit(BACKTRACK_LIMIT)
                .delegate_size_limit(PATTERN_BYTES_MAX)
                .build();
            Engine::Backtracking(Box::new(built.map_err(|error| refused(short(&error.to_string())))?))
        } else {
            let built = regex::RegexBuilder::new(&translated.source).size_limit(PATTERN_BYTES_MAX).build();
            Engine::Linear(Box::new(built.map_err(|error| refused(short(&error.to_string())))?))
        };
        Ok(Self {
            text: text.into(),
            relaxed: translated.relaxed.map(String::into_boxed_str),
            engine,
            gave_up: AtomicBool::new(false),
        })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A pattern in the syntax of the `regex` crate that matches wherever this one does, and perhaps where this one
    /// does not because of a `$`; `None` if it looks around in other ways.
    pub(super) fn relaxed(&self) -> Option<&str> {
        self.relaxed.as_deref()
    }

    /// Memory to search with, to be kept and handed to [`Pattern::find`].
    pub fn finder(&self) -> Finder {
        Finder(match &self.engine {
            Engine::Linear(regex) => Some(regex.capture_locations()),
            Engine::Backtracking(_) => None,
        })
    }

    /// The first match that begins at `start` or later.
    pub fn find(&self, text: &str, start: usize, finder: &mut Finder) -> Option<Match> {
        match &self.engine {
            Engine::Linear(regex) if regex.captures_len() == 1 => {
                regex.find_at(text, start).map(|found| Match { whole: found.range(), group: None })
            }
            Engine::Linear(regex) => {
                let groups = finder.0.get_or_insert_with(|| regex.capture_locations());
                let whole = regex.captures_read_at(groups, text, start)?.range();
                Some(Match { whole, group: groups.get(1).map(|(start, end)| start..end) })
            }
            Engine::Backtracking(regex) => match regex.captures_from_pos(text, start) {
                Ok(groups) => groups.and_then(|groups| {
                    Some(Match {
                        whole: groups.get(0)?.range(),
                        group: groups.get(1).map(|group| group.range()),
                    })
                }),
                Err(error) => {
                    self.give_up(&error);
                    None
                }
            },
        }
    }

    /// Calls `each` with every match in order, as Python's `finditer`: after an empty match the search goes on one
    /// character further, and an empty match may follow right after another one.
    pub fn for_each(&self, text: &str, finder: &mut Finder, mut each: impl FnMut(Match)) {
        let mut start = 0;
        while start <= text.len() {
            let Some(found) = self.find(text, start, finder) else { return };
            start = found.whole.end;
            if found.whole.is_empty() {
                start += text[start..].chars().next().map_or(1, char::len_utf8);
            }
            each(found);
        }
    }

    /// Whether it matches anywhere.
    pub fn is_match(&self, text: &str) -> bool {
        self.find(text, 0, &mut self.finder()).is_some()
    }

    fn give_up(&self, error: &fancy_regex::Error) {
        if !self.gave_up.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                pattern = %self.text, %error, limit = BACKTRACK_LIMIT,
                "a search took too many steps and counts as no match; make the pattern more definite"
            );
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

/// The last line of an error that draws its pattern over several lines.
fn short(error: &str) -> String {
    let line = error.trim_end().lines().last().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests;
