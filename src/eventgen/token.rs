//! Tokens: what is replaced in the lines of a sample, and by what.
//!
//! The tokens of a sample apply in order, each to the text the ones before it left. For each token and event there is
//! one value; it is put in the place of every match of the pattern: of group 1 if there is one that took part, else
//! of the whole match. A value that is missing (a column a row does not have) leaves the text as it is.
//!
//! [`compile`] does as much of this as it can once, at the start; what is left is done for each event by [`pass`].
//!
//! Nothing here knows of files of samples, of parts, or of how many events are wanted.

mod auto;
pub(super) mod compile;
pub(super) mod draw;
mod language;
mod pass;
mod path;
mod random;
mod rating;
mod replacement;
mod settle;
mod state;
pub(super) mod values;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use self::language::Language;
use self::pass::Edits;
use self::rating::Rating;
use self::replacement::{Pad, Reader, Replacement};
use self::settle::Sight;
use self::values::{ValueFiles, Values};
use super::config::{Place, ReplacementKind, SampleConfig, TokenConfig};
use super::pattern::{Finder, Pattern};
use crate::clock::UnixNanos;

pub(super) use self::auto::timestamps;
pub(super) use self::replacement::EventFacts;

/// More tokens in a stanza are a mistake.
const TOKENS_MAX: usize = 10_000;

/// Something a person should know about a sample before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is, and what follows from it.
    pub message: String,
    /// Where in the conf it comes from.
    pub place: Option<Place>,
}

/// The tokens of a sample, in the order they apply.
pub(super) struct Tokens {
    tokens: Vec<Token>,
    rating: Rating,
    counters: Vec<state::Counter>,
    sample_dir: PathBuf,
}

/// One token.
struct Token {
    pattern: Pattern,
    replacement: Replacement,
    /// For the analysis at the start; `None` if the pattern is beyond it.
    sight: OnceLock<Option<Sight>>,
    /// What its values look like, by format.
    languages: Vec<Arc<Language>>,
    /// Its place among the settings, those that are left out included.
    setting: usize,
}

/// What writing events reuses from one to the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pad: Pad,
    text: Vec<u8>,
    other: Vec<u8>,
    value: Vec<u8>,
    edits: Edits,
    finders: Vec<Option<Finder>>,
}

/// What the tokens of one sample are made from.
pub(super) struct Settings<'a> {
    /// The stanza's.
    pub(super) sample: &'a SampleConfig,
    /// Its tokens, and those found for it.
    pub(super) tokens: &'a [TokenConfig],
    /// Files of values in use.
    pub(super) files: &'a ValueFiles,
}

impl<'a> Settings<'a> {
    fn reader(&self) -> Reader<'a> {
        Reader {
            files: self.files,
            working_dir: &self.sample.working_dir,
            variables: &self.sample.variables,
            zone: &self.sample.zone,
            stamps: 0,
            counters: Vec::new(),
            rows: Vec::new(),
        }
    }
}

impl Tokens {
    /// Makes tokens; those that cannot be made are left out, and why is told.
    pub(super) fn new(settings: &Settings<'_>, problems: &mut Vec<Problem>) -> Self {
        let Settings { sample, tokens: configs, .. } = *settings;
        let mut reader = settings.reader();
        let mut tokens = Vec::with_capacity(configs.len());
        for (setting, config) in configs.iter().enumerate().take(TOKENS_MAX) {
            match Token::new(config, &mut reader, tokens.len(), setting) {
                Ok(token) => tokens.push(token),
                Err(problem) => problems.push(problem),
            }
        }
        if let Some(config) = configs.get(TOKENS_MAX) {
            let message =
                format!("only {TOKENS_MAX} tokens of a stanza are used; this one and those after it are not");
            problems.push(Problem { message, place: config.pattern_place.clone() });
        }
        Self {
            counters: reader.counters,
            tokens,
            rating: Rating::new(&sample.rates, &sample.zone),
            sample_dir: sample.sample_dir.clone(),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Which setting a token was made from, as its place among all.
    pub(super) fn setting(&self, token: usize) -> Option<usize> {
        self.tokens.get(token).map(|token| token.setting)
    }

    /// Whether event times are seen with parts of seconds.
    pub(super) fn show_fractions(&self) -> bool {
        self.tokens.iter().any(|token| token.replacement.shows_fractions())
    }

    /// Whether some of them count from event to event.
    pub(super) fn count(&self) -> bool {
        !self.counters.is_empty()
    }

    /// Where counting goes on.
    pub(super) fn load_counts(&self, problems: &mut Vec<Problem>) -> Vec<i64> {
        let load = |counter: &state::Counter| {
            counter.load(&self.sample_dir).unwrap_or_else(|message| {
                problems.push(Problem { message, place: None });
                counter.start()
            })
        };
        self.counters.iter().map(load).collect()
    }

    /// Keeps where counting goes on; the first error, if any.
    pub(super) fn save_counts(&self, counts: &[i64]) -> Result<(), String> {
        let save = |(counter, count): (&state::Counter, &i64)| counter.save(&self.sample_dir, *count);
        self.counters.iter().zip(counts).map(save).fold(Ok(()), Result::and)
    }

    /// Files that counts are kept in.
    pub(super) fn count_files(&self) -> impl Iterator<Item = PathBuf> {
        self.counters.iter().map(|counter| counter.path(&self.sample_dir))
    }

    /// The time a text tells by the first token of times that reads one in it.
    pub(super) fn read_time(&self, text: &str, now: UnixNanos) -> Option<UnixNanos> {
        self.tokens.iter().find_map(|token| {
            let found = token.pattern.find(text, 0, &mut token.pattern.finder())?;
            token.replacement.read_time(&text[found.group.unwrap_or(found.whole)], now)
        })
    }

    /// Whether one of them is a time, so that lines can be replayed by it.
    pub(super) fn have_times(&self) -> bool {
        let is_time = |token: &Token| {
            matches!(token.replacement, Replacement::Timestamp(_) | Replacement::ReplayTimestamp(_))
        };
        self.tokens.iter().any(is_time)
    }

    /// Applies all tokens to a text, one after the other.
    pub(super) fn apply(
        &self,
        text: &str,
        facts: &EventFacts,
        counts: &mut [i64],
        scratch: &mut Scratch,
    ) -> Applied {
        scratch.text.clear();
        scratch.text.extend_from_slice(text.as_bytes());
        let (mut places, mut matched) = (Vec::new(), Vec::new());
        for number in 0..self.tokens.len() {
            if pass::pass(self, number, facts, counts, scratch) {
                matched.push(number);
                scratch.edits.follow(scratch.value.len(), &mut places);
            }
        }
        Applied { text: String::from_utf8_lossy(&scratch.text).into_owned(), places, matched }
    }
}

/// A text all tokens were applied to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) text: String,
    /// Where values stand.
    pub(super) places: Vec<Range<usize>>,
    /// The tokens that found something and had a value for it.
    pub(super) matched: Vec<usize>,
}

impl Token {
    fn new(
        config: &TokenConfig,
        reader: &mut Reader<'_>,
        number: usize,
        setting: usize,
    ) -> Result<Self, Problem> {
        let name = config.number.map_or_else(|| "host".to_owned(), |number| format!("token.{number}"));
        let pattern = Pattern::new(&config.pattern).map_err(|error| Problem {
            message: format!(
                "{name}.token = {:?} is not a regular expression: {error}; the token is left out",
                config.pattern
            ),
            place: config.pattern_place.clone(),
        })?;
        let replacement = reader.read(config, number).map_err(|why| Problem {
            message: format!(
                "{name}.replacement = {:?} cannot be used: {why}; the text it would replace stays",
                config.replacement
            ),
            place: config.replacement_place.clone(),
        })?;
        let languages = replacement.languages(reader.zone);
        Ok(Self { pattern, replacement, sight: OnceLock::new(), languages, setting })
    }

    /// What stands in a slot of this token, where `original` does if there is no value.
    fn language(&self, variant: usize, original: &str) -> Arc<Language> {
        match self.languages.get(variant) {
            Some(language) if self.replacement.may_decline() => Arc::new(language.or_text(original)),
            Some(language) => Arc::clone(language),
            None => Arc::new(Language::any()),
        }
    }

    fn sight(&self) -> Option<&Sight> {
        self.sight.get_or_init(|| Sight::new(self.pattern.relaxed()?)).as_ref()
    }
}

/// A token of this kind and pattern that nobody wrote.
fn implied(kind: ReplacementKind, pattern: &str, replacement: &str) -> TokenConfig {
    TokenConfig {
        number: None,
        pattern: pattern.to_owned(),
        pattern_place: None,
        kind,
        replacement: replacement.to_owned(),
        replacement_place: None,
    }
}

/// The token that rewrites hosts with lines of a file.
pub(super) struct HostToken {
    token: Token,
    values: Arc<Values>,
}

impl HostToken {
    pub(super) fn new(settings: &Settings<'_>, config: &TokenConfig) -> Result<Self, Problem> {
        let token = Token::new(config, &mut settings.reader(), 0, 0)?;
        let values = match &token.replacement {
            Replacement::Pick(values) | Replacement::Row { values, .. } => Arc::clone(values),
            _ => {
                let message = "host.replacement is not a file; hosts stay as they are".to_owned();
                return Err(Problem { message, place: config.replacement_place.clone() });
            }
        };
        Ok(Self { token, values })
    }

    /// How many hosts a host may become.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// A host with a value in it; `None` if it stays as it is.
    pub(super) fn rewrite(&self, host: &str, value: usize) -> Option<String> {
        let value = self.values.get(value)?;
        let mut edits = Edits::default();
        edits.find(&self.token, host, &mut self.token.pattern.finder())?;
        let mut rewritten = Vec::new();
        edits.put(host.as_bytes(), value, &mut rewritten);
        String::from_utf8(rewritten).ok()
    }
}

#[cfg(test)]
mod tests;
