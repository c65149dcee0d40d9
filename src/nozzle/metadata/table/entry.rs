//! One entry: its state, and what an answer does to it.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;

use super::known::{EnvironmentAnswer, Known, Names};
use super::{Rules, Want};
use crate::nozzle::metadata::Lookup;
use crate::nozzle::metadata::app::Facts;
use crate::nozzle::metadata::record::Record;

/// What is kept about one app.
#[derive(Debug)]
pub(super) struct Entry {
    /// When an event last asked; see [`super::Table::tick`].
    asked: AtomicU32,
    /// The last pass through all apps that found it.
    pub(super) pass: u32,
    /// Since when a look-up has been queued or under way.
    pub(super) pending_since: Option<Instant>,
    /// How often events asked since a look-up is pending.
    asks: AtomicU32,
    /// Look-ups in a row that did not find out everything.
    failures: u32,
    /// Whether what is saved is not what is known, and this has not been told yet.
    unsaved: bool,
    /// Whether it is among those to be saved.
    dirty: bool,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) enum State {
    /// Never answered.
    Unknown,
    Known(Box<Known>),
    Missing {
        until: Instant,
    },
    Unavailable {
        until: Instant,
    },
}

/// The answer to an event, and the look-up that is due.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) lookup: Lookup,
    pub(super) want: Option<Want>,
}

/// What a look-up of names has to find out.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Need {
    /// Nothing: the list was quicker.
    Nothing,
    /// Everything.
    Whole,
    /// The names of space and org that these facts lack.
    Places(Facts),
}

/// What a look-up found out.
#[derive(Debug)]
pub(in super::super) enum Outcome {
    /// There was no need.
    Nothing,
    /// The app, as far as it could be read.
    Found(Box<Found>),
    /// Its environment, or not.
    Environment(EnvironmentAnswer),
    /// Cloud Controller does not know the app.
    Missing,
    /// No answer.
    Failed,
}

/// An app as a look-up found it.
pub(in super::super) type Found = Names;

impl Entry {
    fn new(asked: u32, pending_since: Option<Instant>, state: State) -> Self {
        Self {
            asked: AtomicU32::new(asked),
            pass: 0,
            pending_since,
            asks: AtomicU32::new(0),
            failures: 0,
            unsaved: false,
            dirty: false,
            state,
        }
    }

    /// An entry whose look-up has just been queued for an event.
    pub(super) fn asked_for(now: Instant, tick: u32) -> Self {
        Self::new(tick, Some(now), State::Unknown)
    }

    /// An entry from a list that no event has asked for.
    pub(super) fn listed(facts: Facts, now: Instant, rules: &Rules) -> Self {
        let mut entry = Self::new(0, None, State::Known(Box::new(Known::new(facts, now, rules))));
        entry.unsaved = true;
        entry
    }

    /// An entry from disk.
    pub(super) fn restored(record: Record, now: Instant, rules: &Rules) -> Self {
        let Record { facts, environment } = record;
        Self::new(0, None, State::Known(Box::new(Known::restored(facts, environment, now, rules))))
    }

    pub(super) fn stamp(&self, tick: u32) {
        // Spares the cache line while the second lasts.
        if self.last_asked() != tick {
            self.asked.store(tick, Ordering::Relaxed);
        }
    }

    /// Counts an event that asks while a look-up is pending.
    pub(super) fn count(&self) {
        if self.pending_since.is_some() {
            self.asks.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often events asked since a look-up is pending.
    pub(super) fn asks(&self) -> u32 {
        self.asks.load(Ordering::Relaxed)
    }

    pub(super) fn last_asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// The answer to an event. While a look-up takes longer than events may wait, what there is.
    pub(super) fn answer(&self, now: Instant, rules: &Rules) -> Answer {
        let pending = self.pending_since.is_some();
        let late = |since: Instant| now.saturating_duration_since(since) >= rules.settings.wait;
        let waits = !rules.settings.wait.is_zero() && !self.pending_since.is_some_and(late);
        let (lookup, want) = match &self.state {
            State::Unknown => (Lookup::Pending(None), Some(Want::Names)),
            State::Known(known) if known.tried => (Lookup::Known(known.app(rules)), known.due(now, rules)),
            State::Known(known) => (Lookup::Pending(Some(known.app(rules))), known.due(now, rules)),
            State::Missing { until } => (Lookup::Missing, (*until <= now).then_some(Want::Names)),
            State::Unavailable { until } => (Lookup::Unavailable, (*until <= now).then_some(Want::Names)),
        };
        Answer { lookup: if waits { lookup } else { lookup.at_once() }, want: want.filter(|_| !pending) }
    }

    pub(super) fn need(&self, now: Instant, rules: &Rules) -> Need {
        let State::Known(known) = &self.state else { return Need::Whole };
        match known.due(now, rules) {
            Some(Want::Names) if known.whole_due(now, rules) => Need::Whole,
            Some(Want::Names) => Need::Places(known.facts.clone()),
            Some(Want::Environment) | None => Need::Nothing,
        }
    }

    pub(super) fn needs_environment(&self, now: Instant, rules: &Rules) -> bool {
        matches!(&self.state, State::Known(known) if known.environment_due(now, rules))
    }

    /// Takes what a list says; whether an answer given before is no longer right.
    pub(super) fn learn(&mut self, facts: Facts, now: Instant, rules: &Rules) -> bool {
        self.found(Names { facts, fresh: true, again: None }, now, rules)
    }

    /// Takes what a look-up found out; whether an answer given before is no longer right.
    pub(super) fn settle(&mut self, outcome: Outcome, now: Instant, rules: &Rules) -> bool {
        self.pending_since = None;
        *self.asks.get_mut() = 0;
        match outcome {
            Outcome::Nothing => false,
            Outcome::Found(names) => {
                self.failures = if names.again.is_some() { self.failures.saturating_add(1) } else { 0 };
                self.found(*names, now, rules)
            }
            Outcome::Environment(answer) => self.environment(answer, now, rules),
            Outcome::Missing => {
                self.failures = 0;
                let until = now + rules.missing_for;
                match &mut self.state {
                    State::Known(known) => {
                        known.fail(until);
                        known.deleted = true;
                    }
                    state => *state = State::Missing { until },
                }
                false
            }
            Outcome::Failed => {
                self.failures = self.failures.saturating_add(1);
                let again = now + rules.retry.growing(self.failures);
                match &mut self.state {
                    State::Known(known) => known.fail(again),
                    // Still true as far as anybody knows.
                    State::Missing { until } => *until = again,
                    state => *state = State::Unavailable { until: again },
                }
                false
            }
        }
    }

    fn found(&mut self, names: Names, now: Instant, rules: &Rules) -> bool {
        if let State::Known(known) = &mut self.state {
            let (changed, unsaved) = known.learn(names, now, rules);
            self.unsaved |= unsaved;
            return changed;
        }
        let changed = matches!(self.state, State::Missing { .. });
        let Names { facts, again, .. } = names;
        let mut known = Known::new(facts.clone(), now, rules);
        if again.is_some() {
            // Only now it is known that some names are not to be had for a while.
            known.learn(Names { facts, fresh: true, again }, now, rules);
        }
        self.state = State::Known(Box::new(known));
        self.unsaved = true;
        changed
    }

    fn environment(&mut self, answer: EnvironmentAnswer, now: Instant, rules: &Rules) -> bool {
        let failed = matches!(answer, EnvironmentAnswer::Failed { .. });
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        let pause = match answer {
            EnvironmentAnswer::Failed { lasting: true } => rules.retry.lasting,
            _ => rules.retry.growing(self.failures),
        };
        let State::Known(known) = &mut self.state else { return false };
        let (changed, unsaved) = known.learn_environment(answer, pause, now, rules);
        self.unsaved |= unsaved;
        changed
    }

    /// Names of spaces and orgs have changed; whether an answer given before is no longer right.
    pub(super) fn rename(&mut self, fill: &mut impl FnMut(&mut Facts) -> bool) -> bool {
        let State::Known(known) = &mut self.state else { return false };
        let renamed = known.rename(fill);
        self.unsaved |= renamed.is_some();
        renamed.unwrap_or(false)
    }

    /// Lets what failed be tried again now.
    pub(super) fn retry(&mut self, now: Instant) {
        self.failures = 0;
        match &mut self.state {
            State::Known(known) => known.retry(now),
            State::Unavailable { until } => *until = now,
            State::Unknown | State::Missing { .. } => {}
        }
    }

    /// Whether it has to be saved and is not among those to be saved yet; then it counts as one of them.
    pub(super) fn take_unsaved(&mut self) -> bool {
        std::mem::take(&mut self.unsaved) && self.mark_dirty()
    }

    /// Counts it among those to be saved; whether it was not.
    pub(super) fn mark_dirty(&mut self) -> bool {
        !std::mem::replace(&mut self.dirty, true)
    }

    /// What to save, if there is anything to know; from here on it counts as saved.
    pub(super) fn saved(&mut self) -> Option<Record> {
        (self.dirty, self.unsaved) = (false, false);
        let State::Known(known) = &self.state else { return None };
        Some(Record { facts: known.facts.clone(), environment: known.environment().cloned() })
    }
}
