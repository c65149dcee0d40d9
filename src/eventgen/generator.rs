//! The generators that come with it: what makes the events of a sample.
//!
//! | name | makes |
//! |---|---|
//! | `default` | the lines of a sample file, in order or at random |
//! | `perdayvolumegenerator` | the same by volume |
//! | `replay` | the lines of a sample file once, with the gaps their times have |
//! | `windbag` | numbered lines, for load |
//! | `counter` | a template with a number that counts |
//!
//! A generator is compiled from its settings when it is made. What is wrong with a setting, and can be done without,
//! is logged then and told by [`examine`]; what cannot is the error. [`preview`] shows what a sample's first events will be.
//!
//! How many events are made, and when, is decided by raters and timers; where they go, by outputs.

mod counter;
mod examine;
mod lines;
mod origin;
mod preview;
mod replay;
mod sampled;
mod windbag;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) use self::counter::loops as counter_loops;
pub use self::examine::{Examination, TokenMatches, examine};
pub use self::preview::{PreviewEvent, preview};
use super::config::SampleConfig;
use super::plugin::{GenerateError, Generator, MakeError, Part, Registry};
pub use super::token::Problem;
use super::token::values::ValueFiles;
use crate::clock::UnixNanos;

/// Registers all generators.
pub fn register(registry: &mut Registry) {
    let shared = Arc::new(Shared::default());
    for name in NAMES {
        let shared = Arc::clone(&shared);
        let make = move |sample: &SampleConfig| {
            let mut problems = Vec::new();
            let made = make(name, sample, &shared, &mut problems);
            for Problem { message, place } in problems {
                let place = place.map(|place| place.to_string()).unwrap_or_default();
                tracing::warn!(stanza = %sample.stanza, sample = %sample.name, place, "{message}");
            }
            made
        };
        registry.generators.insert(name.to_owned(), Arc::new(make));
    }
}

const NAMES: [&str; 5] = ["default", "perdayvolumegenerator", "replay", "windbag", "counter"];

/// What the samples of a process share.
#[derive(Debug, Default)]
struct Shared {
    files: ValueFiles,
    /// Which sample keeps its counts in a file.
    count_files: Mutex<HashMap<PathBuf, Arc<str>>>,
}

fn make(
    name: &str,
    sample: &SampleConfig,
    shared: &Shared,
    problems: &mut Vec<Problem>,
) -> Result<Arc<dyn Generator>, MakeError> {
    Ok(match name {
        "replay" => Arc::new(replay::Replay::new(sample, shared, problems)?),
        "windbag" => Arc::new(windbag::Windbag::new(sample, shared, problems)?),
        "counter" => Arc::new(counter::Counter::new(sample, shared, problems)?),
        _ => Arc::new(sampled::Sampled::new(sample, shared, problems)?),
    })
}

impl Shared {
    /// Tells if another sample keeps its counts in the same file.
    fn claim(&self, file: PathBuf, sample: &SampleConfig, problems: &mut Vec<Problem>) {
        let mut owners = self.count_files.lock().unwrap_or_else(PoisonError::into_inner);
        let own: Arc<str> = format!("{} ([{}])", sample.name, sample.stanza).into();
        match owners.get(&file) {
            Some(other) if *other != own => problems.push(Problem {
                message: format!(
                    "{} is used by {other} as well: after a restart both go on from the number of the one that \
                     was written last; give their tokens different patterns",
                    file.display()
                ),
                place: sample.place.clone(),
            }),
            _ => _ = owners.insert(file, own),
        }
    }
}

/// The window of a part from earliest to latest, in nanoseconds.
fn window(part: &Part) -> Result<u64, GenerateError> {
    u64::try_from(i128::from(part.latest.0) - i128::from(part.earliest.0)).map_err(|_| GenerateError {
        message: format!(
            "earliest is {} s after latest: no event can be in between; check both settings",
            (part.earliest.0 - part.latest.0) as f64 / 1e9
        ),
        fatal: false,
    })
}

/// The instant at `number`/`of` of a window.
fn instant(earliest: UnixNanos, window: u64, number: u64, of: u64) -> UnixNanos {
    let offset = match window.checked_mul(number) {
        Some(product) => product.checked_div(of).unwrap_or(0),
        None => (u128::from(window) * u128::from(number) / u128::from(of.max(1))) as u64,
    };
    UnixNanos(earliest.0.saturating_add_unsigned(offset))
}

fn only_events(part: &Part, name: &str) -> Result<u64, GenerateError> {
    match part.amount {
        super::plugin::Amount::Events(count) => Ok(count),
        super::plugin::Amount::Bytes(_) => Err(GenerateError {
            message: format!(
                "the generator {name} makes events by number, not by volume: leave out perDayVolume"
            ),
            fatal: true,
        }),
    }
}

#[cfg(test)]
mod tests;
