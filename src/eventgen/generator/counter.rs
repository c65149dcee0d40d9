//! `counter`: a text with a number that counts from `start_count` to `end_count` by `count_by`. Needs no sample.
//!
//! A pass is one count from start to end, both included; `count` is the number of passes of a run. Without `end_count`
//! there is one pass, to `count` (to 60 if there is none either). If the end is below the start, it is taken as
//! a distance from it. A step that misses the end stops before it.

use std::fmt::Write as _;

use fastrand::Rng;

use super::origin::Origins;
use super::windbag::{Printed, PythonTime};
use super::{Shared, only_events, window};
use crate::clock::UnixNanos;
use crate::eventgen::config::{Count, SampleConfig};
use crate::eventgen::event::Batch;
use crate::eventgen::plugin::{GenerateError, Generator, Part};
use crate::eventgen::token::Problem;
use crate::eventgen::token::draw::Draws;

/// Where a count without any end ends.
const DEFAULT_END: i64 = 60;

/// Numbers are kept in hundred-thousandths: they are rounded to five places.
const SCALE: i64 = 100_000;
const PLACES: usize = 5;

/// Larger numbers are mistakes; they would not be exact any more.
const NUMBER_MAX: f64 = 1e12;

const DEFAULT_TEMPLATE: &str = "{event_ts}-0700 Counter for sample:{samplename}, Now processing event counting {loop_count} of \
     {max_loop} cycles. Counter Values: Start_Count: {start_count} Current_Counter:{current_count} End_Count:{end_count} \
     Counting_By: {count_by}";

pub(super) struct Counter {
    name: Box<str>,
    start: Number,
    end: Number,
    by: Number,
    /// Events of one pass.
    per_pass: u64,
    template: Vec<Piece>,
    times: PythonTime,
    origins: Origins,
}

/// How many passes a run of a `counter` makes.
pub(in crate::eventgen) fn loops(config: &SampleConfig) -> u64 {
    match config.count {
        Count::Events(count) if count == 1 || end(config).is_ok_and(|end| end.value != 0) => count,
        _ => 1,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number {
    /// In parts of `SCALE`.
    value: i64,
    /// Shown with a point.
    is_float: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Field(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    SampleName,
    EventTime,
    LoopCount,
    MaxLoop,
    Start,
    Current,
    End,
    By,
}

const FIELDS: [(&str, Field); 8] = [
    ("samplename", Field::SampleName),
    ("event_ts", Field::EventTime),
    ("loop_count", Field::LoopCount),
    ("max_loop", Field::MaxLoop),
    ("start_count", Field::Start),
    ("current_count", Field::Current),
    ("end_count", Field::End),
    ("count_by", Field::By),
];

impl Counter {
    pub(super) fn new(
        config: &SampleConfig,
        shared: &Shared,
        problems: &mut Vec<Problem>,
    ) -> Result<Self, String> {
        let start = setting(config, "start_count", 0)?;
        let mut by = setting(config, "count_by", SCALE)?;
        let mut end = end(config)?;
        if end.value == 0 && start.value <= 0 {
            end = match config.count {
                Count::WholeFile => Number { value: DEFAULT_END * SCALE, is_float: false },
                Count::Events(1) => end,
                Count::Events(count) => {
                    Number { value: (count.min(NUMBER_MAX as u64) as i64) * SCALE, is_float: false }
                }
            };
        }
        if end.value < start.value && by.value > 0 {
            end.value += start.value;
        }
        if by.value == 0 {
            return Err("count_by = 0 never reaches end_count: give a step such as 1".to_owned());
        }
        let distance = end.value - start.value;
        if distance.signum() * by.value.signum() < 0 {
            return Err(format!(
                "counting from start_count = {start} by count_by = {by} never reaches end_count = {end}: \
                 change the sign of count_by"
            ));
        }
        by.is_float |= start.is_float;
        let text = config.settings.get("count_template").map_or(DEFAULT_TEMPLATE, |setting| &setting.value);
        Ok(Self {
            name: (*config.name).into(),
            start,
            end,
            by,
            per_pass: (distance / by.value) as u64 + 1,
            template: template(text).map_err(|why| format!("count_template = {text:?}: {why}"))?,
            times: PythonTime::new(config)?,
            origins: Origins::without_file(config, shared, problems),
        })
    }

    /// The instant of an event: the window is as long as the count.
    fn time(&self, part: &Part, window: u64, current: Number) -> UnixNanos {
        let distance = (self.end.value - self.start.value).unsigned_abs();
        if distance == 0 {
            return part.latest;
        }
        let micros = window as f64 / 1e3 * ((current.value + SCALE) as f64 / distance as f64);
        UnixNanos(part.earliest.0.saturating_add((micros.round_ties_even() as i64).saturating_mul(1_000)))
    }
}

impl Generator for Counter {
    fn is_parallel(&self) -> bool {
        true
    }

    fn events_per_pass(&self) -> u64 {
        self.per_pass
    }

    fn generate(&self, part: &Part, out: &mut Batch) -> Result<(), GenerateError> {
        let count = only_events(part, "counter")?;
        let window = window(part)?;
        let mut seeds = Rng::with_seed(part.seed);
        let mut printed = Printed::default();
        let mut text = String::new();
        for number in part.first..part.first + count {
            let step = (number % self.per_pass) as i64;
            let current =
                Number { value: self.start.value + step * self.by.value, is_float: self.by.is_float };
            let time = self.time(part, window, current);
            for piece in &self.template {
                text.clear();
                let written = match piece {
                    Piece::Text(piece) => text.write_str(piece),
                    Piece::Field(Field::EventTime) => {
                        self.times.write(time, &mut printed, out.buffer());
                        Ok(())
                    }
                    Piece::Field(Field::SampleName) => text.write_str(&self.name),
                    Piece::Field(Field::LoopCount) => write!(text, "{}", number / self.per_pass + 1),
                    Piece::Field(Field::MaxLoop) => write!(text, "{}", part.total.div_ceil(self.per_pass)),
                    Piece::Field(Field::Start) => write!(text, "{}", self.start),
                    Piece::Field(Field::Current) => write!(text, "{current}"),
                    Piece::Field(Field::End) => write!(text, "{}", self.end),
                    Piece::Field(Field::By) => write!(text, "{}", self.by),
                };
                debug_assert!(written.is_ok(), "writing to a string does not fail");
                out.buffer().extend_from_slice(text.as_bytes());
            }
            let meta = self.origins.number(0, Draws::new(seeds.u64(..)), out);
            out.commit(time, meta);
        }
        Ok(())
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) =
            (self.value.unsigned_abs() / SCALE as u64, self.value.unsigned_abs() % SCALE as u64);
        let sign = if self.value < 0 { "-" } else { "" };
        if !self.is_float && rest == 0 {
            return write!(f, "{sign}{whole}");
        }
        let decimals = format!("{rest:0PLACES$}");
        let decimals = decimals.trim_end_matches('0');
        write!(f, "{sign}{whole}.{}", if decimals.is_empty() { "0" } else { decimals })
    }
}

fn end(config: &SampleConfig) -> Result<Number, String> {
    setting(config, "end_count", 0)
}

fn setting(config: &SampleConfig, name: &str, default: i64) -> Result<Number, String> {
    let Some(setting) = config.settings.get(name) else {
        return Ok(Number { value: default, is_float: false });
    };
    let text = setting.value.trim();
    let number = text.parse().ok().filter(|number: &f64| number.abs() <= NUMBER_MAX);
    let number = number.ok_or_else(|| format!("{name} = {text:?} is not a number such as 10 or 0.5"))?;
    Ok(Number { value: (number * SCALE as f64).round_ties_even() as i64, is_float: text.contains('.') })
}

/// Reads a template: `{name}` is a field, `{{` and `}}` are braces.
fn template(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(place) = rest.find(['{', '}']) {
        literal.push_str(&rest[..place]);
        let (brace, after) = (&rest[place..=place], &rest[place + 1..]);
        if let Some(after) = after.strip_prefix(brace) {
            literal.push_str(brace);
            rest = after;
            continue;
        }
        let Some((name, after)) = (if brace == "{" { after.split_once('}') } else { None }) else {
            return Err(format!("a single {brace}: write {brace}{brace} for the brace itself"));
        };
        let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<_> = FIELDS.iter().map(|(name, _)| *name).collect();
            return Err(format!("there is no field {{{name}}}: the fields are {}", known.join(", ")));
        };
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
        }
        pieces.push(Piece::Field(*field));
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal.into()));
    }
    Ok(pieces)
}
