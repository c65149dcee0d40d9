//! Sample files: the events a stanza is made from, read once at the start.
//!
//! - *raw*: each line that is not empty, or the pieces a breaker cuts the text into: an event begins at each match,
//!   which stays at its head.
//! - *csv*: the column `_raw`; `index`, `host`, `source`, `sourcetype` and `hostRegex` of a row override those of the
//!   stanza where they are not empty.
//!
//! Files are UTF-8, else Latin-1; line ends become `\n`, and every event has one at its end. Texts are kept as they
//! are in the file: tokens are not this module's business.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::config::{SampleConfig, SampleType};
use super::event::Meta;
use super::pattern::Pattern;
use super::token::Problem;
use super::token::values::read_text;

/// A larger sample is a mistake: it is kept in memory.
const SAMPLE_BYTES_MAX: u64 = 1 << 30;

/// The column of CSV samples that holds the text.
const RAW: &str = "_raw";

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Sample {
    text: String,
    lines: Vec<Line>,
    metas: Vec<Arc<Meta>>,
}

#[derive(Clone, Debug)]
struct Line {
    text: Range<u32>,
    /// Where the column of the replay's time is; empty if it is part of the text.
    time: Range<u32>,
    meta: u32,
}

impl Sample {
    /// Reads the file of a sample. `time_field`: the column that is also wanted, as [`Sample::time_text`].
    ///
    /// # Errors
    /// It cannot be read, or nothing can be made from it.
    pub(super) fn read(
        config: &SampleConfig,
        time_field: Option<&str>,
        problems: &mut Vec<Problem>,
    ) -> Result<Self, String> {
        let Some(path) = &config.file else {
            return Err(format!(
                "no file in {} has the name [{}] asks for",
                config.sample_dir.display(),
                config.stanza
            ));
        };
        let text = read_text(path, SAMPLE_BYTES_MAX)?;
        let sample = match (config.sample_type, &config.breaker) {
            (SampleType::Csv, _) => csv(&text, config, time_field, problems),
            (SampleType::Raw, None) => Ok(lines(&text, config)),
            (SampleType::Raw, Some(breaker)) => broken(&text, breaker, config),
        };
        let sample = sample.map_err(|why| format!("{}: {why}", path.display()))?;
        if sample.lines.is_empty() {
            return Err(format!("{} has no events", path.display()));
        }
        Ok(sample)
    }

    /// How many events there are.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The texts of all events, each with its newline.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|line| self.slice(&line.text))
    }

    /// The text of an event.
    pub(super) fn text(&self, line: usize) -> &str {
        self.lines.get(line).map_or("", |line| self.slice(&line.text))
    }

    /// What the time of an event is looked for in.
    pub(super) fn time_text(&self, line: usize) -> &str {
        let Some(line) = self.lines.get(line) else { return "" };
        self.slice(if line.time.is_empty() { &line.text } else { &line.time })
    }

    /// The metas of all events, as places in [`Sample::metas`].
    pub(super) fn meta_numbers(&self) -> impl Iterator<Item = u32> {
        self.lines.iter().map(|line| line.meta)
    }

    /// All different metas.
    pub(super) fn metas(&self) -> &[Arc<Meta>] {
        &self.metas
    }

    /// Keeps the events with these numbers only, which rise.
    pub(super) fn keep(&mut self, numbers: &[usize]) {
        self.lines = numbers.iter().filter_map(|number| self.lines.get(*number).cloned()).collect();
    }

    fn slice(&self, range: &Range<u32>) -> &str {
        self.text.get(range.start as usize..range.end as usize).unwrap_or_default()
    }

    /// Appends a text; where it is. Samples are far below 4 GiB.
    fn push(&mut self, text: &str) -> Range<u32> {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        start..self.text.len() as u32
    }

    /// Appends an event that says no more than its text.
    fn push_event(&mut self, text: &str) {
        let mut range = self.push(text);
        if !text.ends_with('\n') {
            self.text.push('\n');
            range.end += 1;
        }
        self.lines.push(Line { text: range, time: 0..0, meta: 0 });
    }
}

/// An event for each line with something in it.
fn lines(text: &str, config: &SampleConfig) -> Sample {
    let mut sample = Sample { metas: vec![Arc::clone(&config.meta)], ..Sample::default() };
    text.split('\n').filter(|line| !line.is_empty()).for_each(|line| sample.push_event(line));
    sample
}

/// An event from each match of the breaker to the next one.
fn broken(text: &str, breaker: &str, config: &SampleConfig) -> Result<Sample, String> {
    let pattern = Pattern::multi_line(breaker)
        .map_err(|error| format!("breaker = {breaker:?} is not a regular expression: {error}"))?;
    let mut sample = Sample { metas: vec![Arc::clone(&config.meta)], ..Sample::default() };
    let mut start = 0;
    pattern.for_each(text, &mut pattern.finder(), |found| {
        if found.whole.start > start {
            sample.push_event(&text[start..found.whole.start]);
            start = found.whole.start;
        }
    });
    if start < text.len() {
        sample.push_event(&text[start..]);
    }
    Ok(sample)
}

fn csv(
    text: &str,
    config: &SampleConfig,
    time_field: Option<&str>,
    problems: &mut Vec<Problem>,
) -> Result<Sample, String> {
    let mut reader = ::csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| format!("the header is not CSV: {error}"))?.clone();
    let column = |name: &str| header.iter().position(|cell| cell.trim_start_matches('\u{feff}') == name);
    let Some(raw) = column(RAW) else {
        let columns: Vec<_> = header.iter().collect();
        return Err(format!("there is no column {RAW}; the columns are {}", columns.join(", ")));
    };
    let overrides = ["index", "host", "source", "sourcetype", "hostRegex"].map(column);
    // The original falls back to this name.
    let time =
        time_field.and_then(|field| column(field).or_else(|| column("_time"))).filter(|time| *time != raw);
    let mut sample = Sample::default();
    let mut known: HashMap<Meta, u32> = HashMap::new();
    let mut short_rows = 0_u64;
    for row in reader.records() {
        let row = row.map_err(|error| format!("not CSV: {error}"))?;
        let Some(text) = row.get(raw) else {
            short_rows += 1;
            continue;
        };
        let meta = meta(&row, overrides, &config.meta);
        let number = *known.entry(meta).or_insert_with_key(|meta| {
            sample.metas.push(Arc::new(meta.clone()));
            (sample.metas.len() - 1) as u32
        });
        let time = time.and_then(|time| row.get(time)).map_or(0..0, |time| sample.push(time));
        sample.push_event(text);
        if let Some(line) = sample.lines.last_mut() {
            (line.meta, line.time) = (number, time);
        }
    }
    if short_rows > 0 {
        problems.push(Problem {
            message: format!("{short_rows} rows have no cell for the column {RAW} and are left out"),
            place: config.place.clone(),
        });
    }
    Ok(sample)
}

/// What a row says of itself, else what the stanza says.
fn meta(row: &::csv::StringRecord, columns: [Option<usize>; 5], stanza: &Meta) -> Meta {
    let [index, host, source, sourcetype, host_regex] = columns;
    let cell = |column: Option<usize>, or: &Arc<str>| {
        let cell = column.and_then(|column| row.get(column)).filter(|cell| !cell.is_empty());
        cell.map_or_else(|| Arc::clone(or), Arc::from)
    };
    Meta {
        index: cell(index, &stanza.index),
        host: cell(host, &stanza.host),
        source: cell(source, &stanza.source),
        sourcetype: cell(sourcetype, &stanza.sourcetype),
        host_regex: cell(host_regex, &stanza.host_regex),
    }
}

#[cfg(test)]
mod tests;
