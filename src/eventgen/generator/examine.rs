//! What a person should know of a sample before it runs, without running it.

use super::lines::{Opened, Wanted};
use super::replay::Timed;
use super::{Problem, Shared, make};
use crate::clock::UnixNanos;
use crate::eventgen::config::SampleConfig;
use crate::eventgen::token::draw::Draws;
use crate::eventgen::token::{EventFacts, Scratch};

/// Facts about one sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examination {
    /// Events in the file, or of one pass of a generator that reads none. For replay: those that are replayed.
    pub events: Option<u64>,
    /// Each token of the stanza, in its order, then those that `autotimestamp` found.
    pub tokens: Vec<TokenMatches>,
    /// What is wrong and can be done without.
    pub problems: Vec<Problem>,
    /// Why nothing will be made, if nothing will.
    pub nothing: Option<String>,
}

/// How often a token matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenMatches {
    /// The N of `token.N`, if it has one.
    pub number: Option<u32>,
    /// In how many of the sample's lines it finds something, and has a value for it.
    pub lines: u64,
}

/// Looks at a sample as its generator would.
pub fn examine(config: &SampleConfig) -> Examination {
    let mut examination = Examination::default();
    let shared = Shared::default();
    match config.generator.as_str() {
        "default" | "perdayvolumegenerator" => {
            examine_file(config, Wanted::Events, &shared, &mut examination);
        }
        "replay" => examine_file(config, Wanted::Replay, &shared, &mut examination),
        name if super::NAMES.contains(&name) => {
            match make(name, config, &shared, &mut examination.problems) {
                Ok(generator) => examination.events = Some(generator.events_per_pass()),
                Err(why) => examination.nothing = Some(why),
            }
        }
        // Made elsewhere: nothing is known of it here.
        _ => {}
    }
    examination
}

fn examine_file(config: &SampleConfig, wanted: Wanted, shared: &Shared, examination: &mut Examination) {
    let problems = &mut examination.problems;
    let opened = match Opened::read(config, wanted, shared, problems) {
        Ok(opened) => opened,
        Err(why) => {
            examination.nothing = Some(why);
            return;
        }
    };
    let mut matches = vec![0; config.tokens.len()];
    let mut counts = opened.tokens.load_counts(problems);
    let mut scratch = Scratch::default();
    let facts = EventFacts { draws: Draws::new(0), time: UnixNanos(0), replay_time: UnixNanos(0) };
    for text in opened.sample.texts() {
        for token in opened.tokens.apply(text, &facts, &mut counts, &mut scratch).matched {
            let setting = opened.tokens.setting(token).unwrap_or_default();
            if matches.len() <= setting {
                matches.resize(setting + 1, 0);
            }
            matches[setting] += 1;
        }
    }
    let number = |setting: usize| config.tokens.get(setting).and_then(|token| token.number);
    let of_setting = |(setting, lines)| TokenMatches { number: number(setting), lines };
    examination.tokens = matches.into_iter().enumerate().map(of_setting).collect();
    examination.events = Some(opened.sample.len() as u64);
    if wanted == Wanted::Replay {
        let timed = Timed::read(&opened, config.time_multiple);
        timed.report(config, problems);
        examination.events = Some(timed.lines.len() as u64);
        examination.nothing = timed.why_nothing(&opened);
    }
}
