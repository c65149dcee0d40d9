//! The first events of a sample as they will be, and what in them was put in.

use std::ops::Range;

use fastrand::Rng;

use super::lines::{Opened, Wanted};
use super::replay::Timed;
use super::sampled::Plan;
use super::{Shared, make};
use crate::clock::UnixNanos;
use crate::eventgen::config::SampleConfig;
use crate::eventgen::event::Batch;
use crate::eventgen::plugin::{Amount, Part};
use crate::eventgen::token::draw::Draws;
use crate::eventgen::token::{EventFacts, Scratch};

/// More events are no preview.
const EVENTS_MAX: usize = 10_000;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewEvent {
    /// Its text.
    pub text: String,
    /// Bytes of the text that tokens put in, in order.
    pub replaced: Vec<Range<usize>>,
    /// Its instant.
    pub time: UnixNanos,
}

/// The first `n` events of a run that begins at `now`. Counters are read and not moved on.
///
/// # Errors
/// Why nothing can be made.
pub fn preview(
    config: &SampleConfig,
    n: usize,
    now: UnixNanos,
    seed: u64,
) -> Result<Vec<PreviewEvent>, String> {
    let count = n.min(EVENTS_MAX) as u64;
    let part = Part {
        run: 0,
        first: 0,
        total: count,
        amount: Amount::Events(count),
        earliest: config.earliest.resolve(now, &config.zone),
        latest: config.latest.resolve(now, &config.zone),
        seed,
    };
    match config.generator.as_str() {
        "default" | "perdayvolumegenerator" => of_lines(config, &part, count),
        "replay" => of_replay(config, &Part { earliest: now, ..part }, count),
        name if super::NAMES.contains(&name) => whole(name, config, &part),
        name => {
            Err(format!("generator = {name}: events of this generator cannot be shown before they are made"))
        }
    }
}

fn of_lines(config: &SampleConfig, part: &Part, count: u64) -> Result<Vec<PreviewEvent>, String> {
    let mut preview = Preview::open(config, Wanted::Events)?;
    let lines = preview.opened.sample.len();
    let plan = Plan::new(config, lines, preview.opened.tokens.show_fractions());
    let window = plan.window(part).map_err(|error| error.message)?;
    let mut seeds = Rng::with_seed(part.seed);
    let event = |number| {
        let draws = Draws::new(seeds.u64(..));
        let line = plan.line((number % lines as u64) as usize, draws);
        preview.event(line, &plan.facts(&window, number, draws))
    };
    Ok((0..count).map(event).collect())
}

fn of_replay(config: &SampleConfig, part: &Part, count: u64) -> Result<Vec<PreviewEvent>, String> {
    let mut preview = Preview::open(config, Wanted::Replay)?;
    let timed = Timed::read(&preview.opened, config.time_multiple);
    if let Some(why) = timed.why_nothing(&preview.opened) {
        return Err(why);
    }
    let mut seeds = Rng::with_seed(part.seed);
    let event = |(line, offset): (&usize, &std::time::Duration)| {
        let offset = u64::try_from(offset.as_nanos()).unwrap_or(u64::MAX);
        let time = UnixNanos(part.earliest.0.saturating_add_unsigned(offset));
        preview.event(*line, &EventFacts { draws: Draws::new(seeds.u64(..)), time, replay_time: time })
    };
    Ok(timed.lines.iter().zip(&timed.schedule).take(count as usize).map(event).collect())
}

/// Events of a generator without tokens.
fn whole(name: &str, config: &SampleConfig, part: &Part) -> Result<Vec<PreviewEvent>, String> {
    let generator = make(name, config, &Shared::default(), &mut Vec::new())?;
    let mut batch = Batch::new();
    generator.generate(part, &mut batch).map_err(|error| error.message)?;
    let show = |event: crate::eventgen::event::Event<'_>| PreviewEvent {
        text: String::from_utf8_lossy(event.text).into_owned(),
        replaced: Vec::new(),
        time: event.time,
    };
    Ok(batch.iter().map(show).collect())
}

struct Preview {
    opened: Opened,
    counts: Vec<i64>,
    scratch: Scratch,
}

impl Preview {
    fn open(config: &SampleConfig, wanted: Wanted) -> Result<Self, String> {
        let mut problems = Vec::new();
        let opened = Opened::read(config, wanted, &Shared::default(), &mut problems)?;
        let counts = opened.tokens.load_counts(&mut problems);
        Ok(Self { opened, counts, scratch: Scratch::default() })
    }

    fn event(&mut self, line: usize, facts: &EventFacts) -> PreviewEvent {
        let text = self.opened.sample.text(line);
        let applied = self.opened.tokens.apply(text, facts, &mut self.counts, &mut self.scratch);
        PreviewEvent { text: applied.text, replaced: applied.places, time: facts.time }
    }
}
