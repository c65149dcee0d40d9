//! One entry: its state, and what an answer does to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;

use super::Rules;
use crate::nozzle::metadata::app::{App, Facts};
use crate::nozzle::metadata::{Lookup, PENDING_MAX};

/// What is kept about one app.
#[derive(Debug)]
pub(super) struct Entry {
    /// When an event last asked; see [`super::Table::tick`].
    asked: AtomicU32,
    /// Since when a look-up has been queued or under way.
    pub(super) pending_since: Option<Instant>,
    /// Look-ups in a row that did not find out everything.
    failures: u32,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) enum State {
    /// Never answered.
    Unknown,
    Known(Known),
    Missing {
        until: Instant,
    },
    Unavailable {
        until: Instant,
    },
}

#[derive(Debug)]
pub(super) struct Known {
    app: Arc<App>,
    facts: Facts,
    env: Env,
    /// Whether everything that is wanted has been asked for once, with whatever result.
    tried: bool,
    /// When Cloud Controller last described the app.
    read_at: Instant,
    /// When to ask again for names that could not be read.
    names_again: Option<Instant>,
    /// When the next look-up is due, of all reasons.
    due: Option<Instant>,
}

/// The index from the environment.
#[derive(Debug)]
enum Env {
    Unasked,
    Answered {
        index: Option<Arc<str>>,
        read_at: Instant,
    },
    /// `unread` if it never succeeded before.
    Failed {
        last: Option<Arc<str>>,
        unread: bool,
        again: Instant,
    },
}

impl Env {
    fn index(&self) -> Option<&Arc<str>> {
        match self {
            Self::Unasked => None,
            Self::Answered { index, .. } | Self::Failed { last: index, .. } => index.as_ref(),
        }
    }

    fn is_unread(&self) -> bool {
        match self {
            Self::Unasked => true,
            Self::Answered { .. } => false,
            Self::Failed { unread, .. } => *unread,
        }
    }
}

/// What a look-up has to find out.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Need {
    /// Nothing: the list was quicker.
    Nothing,
    /// Everything.
    Whole,
    /// What is missing to these facts.
    Rest { facts: Facts, env: bool },
}

/// What a look-up found out.
#[derive(Debug)]
pub(in super::super) enum Outcome {
    /// There was no need.
    Nothing,
    /// The app, as far as it could be read.
    Found(Box<Found>),
    /// Cloud Controller does not know the app.
    Missing,
    /// No answer.
    Failed,
}

/// An app as a look-up found it.
#[derive(Debug)]
pub(in super::super) struct Found {
    pub(in super::super) facts: Facts,
    /// Whether the facts are new, or those the entry had with names filled in.
    pub(in super::super) fresh: bool,
    pub(in super::super) names_again: Option<Instant>,
    pub(in super::super) env: EnvAnswer,
}

/// What became of the environment.
#[derive(Debug)]
pub(in super::super) enum EnvAnswer {
    /// Not asked for.
    Unasked,
    /// The index, or that there is none.
    Index(Option<Arc<str>>),
    /// No answer; `lasting` if soon again is no use.
    Failed { lasting: bool },
}

impl Entry {
    /// An entry whose look-up has just been queued for an event.
    pub(super) fn asked_for(now: Instant, tick: u32) -> Self {
        Self { asked: AtomicU32::new(tick), pending_since: Some(now), failures: 0, state: State::Unknown }
    }

    /// An entry from the list that no event has asked for.
    pub(super) fn listed(facts: Facts, now: Instant, rules: &Rules) -> Self {
        let mut entry =
            Self { asked: AtomicU32::new(0), pending_since: None, failures: 0, state: State::Unknown };
        entry.learn(facts, now, rules);
        entry
    }

    pub(super) fn stamp(&self, tick: u32) {
        // Spares the cache line while the second lasts.
        if self.last_asked() != tick {
            self.asked.store(tick, Ordering::Relaxed);
        }
    }

    pub(super) fn last_asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// The answer to an event, and whether a look-up should be queued.
    pub(super) fn answer(&self, now: Instant) -> (Lookup, bool) {
        let pending = self.pending_since.is_some();
        let late = |since: Instant| now.saturating_duration_since(since) >= PENDING_MAX;
        let waits = self.pending_since.is_none_or(|since| !late(since));
        match &self.state {
            State::Unknown if waits => (Lookup::Pending, !pending),
            State::Unknown => (Lookup::Unavailable, false),
            State::Known(known) if known.tried => {
                let due = known.due.is_some_and(|due| due <= now);
                (Lookup::Known(Arc::clone(&known.app)), due && !pending)
            }
            State::Known(_) if waits => (Lookup::Pending, !pending),
            State::Known(known) => (Lookup::Known(Arc::clone(&known.app)), false),
            State::Missing { until } => (Lookup::Missing, *until <= now && !pending),
            State::Unavailable { until } => (Lookup::Unavailable, *until <= now && !pending),
        }
    }

    /// The answer after an attempt to queue a look-up: what there is, rather than a wait for nothing.
    pub(super) fn answer_if_not_queued(&self, now: Instant) -> Lookup {
        match (&self.state, self.pending_since) {
            (_, Some(_)) => self.answer(now).0,
            (State::Known(known), None) => Lookup::Known(Arc::clone(&known.app)),
            (State::Missing { .. }, None) => Lookup::Missing,
            (State::Unknown | State::Unavailable { .. }, None) => Lookup::Unavailable,
        }
    }

    pub(super) fn need(&self, now: Instant, rules: &Rules) -> Need {
        let State::Known(known) = &self.state else { return Need::Whole };
        let ttl = rules.settings.app_ttl;
        if !ttl.is_zero() && now.saturating_duration_since(known.read_at) >= ttl {
            return Need::Whole;
        }
        let env = known.wants_env(now, rules);
        if env || known.facts.lacks_names(rules.settings.fields) {
            return Need::Rest { facts: known.facts.clone(), env };
        }
        if known.tried && known.due.is_some_and(|due| due <= now) { Need::Whole } else { Need::Nothing }
    }

    /// Takes what the list says.
    pub(super) fn learn(&mut self, facts: Facts, now: Instant, rules: &Rules) {
        let found = Found { facts, fresh: true, names_again: None, env: EnvAnswer::Unasked };
        self.found(found, now, rules, false);
    }

    /// Takes what a look-up found out.
    pub(super) fn settle(&mut self, outcome: Outcome, now: Instant, rules: &Rules) {
        self.pending_since = None;
        match outcome {
            Outcome::Nothing => {}
            Outcome::Found(found) => self.found(*found, now, rules, true),
            Outcome::Missing => {
                self.failures = 0;
                self.state = State::Missing { until: now + rules.missing_for };
            }
            Outcome::Failed => {
                self.failures = self.failures.saturating_add(1);
                let again = now + rules.retry.growing(self.failures);
                match &mut self.state {
                    State::Known(known) => (known.tried, known.due) = (true, Some(again)),
                    // Still true as far as anybody knows.
                    State::Missing { until } => *until = again,
                    state => *state = State::Unavailable { until: again },
                }
            }
        }
    }

    fn found(&mut self, found: Found, now: Instant, rules: &Rules, looked_up: bool) {
        let Found { mut facts, fresh, mut names_again, env: answer } = found;
        let failed = names_again.is_some() || matches!(answer, EnvAnswer::Failed { .. });
        if looked_up {
            self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        }
        let before = std::mem::replace(&mut self.state, State::Unknown);
        let (env, tried, read_at) = match before {
            State::Known(known) => {
                facts.inherit(&known.facts);
                if !looked_up && facts.lacks_names(rules.settings.fields) {
                    names_again = known.names_again;
                }
                (known.env, known.tried, if fresh { now } else { known.read_at })
            }
            _ => (Env::Unasked, false, now),
        };
        let env = match answer {
            EnvAnswer::Unasked => env,
            EnvAnswer::Index(index) => Env::Answered { index, read_at: now },
            EnvAnswer::Failed { lasting } => {
                let pause = if lasting { rules.retry.lasting } else { rules.retry.growing(self.failures) };
                Env::Failed { last: env.index().cloned(), unread: env.is_unread(), again: now + pause }
            }
        };
        let index_unread = facts.needs_env(&rules.settings) && env.is_unread();
        let app = App { index_unread, ..App::new(&facts, env.index(), rules.settings.fields) };
        let app = Arc::new(app);
        let mut known = Known { app, facts, env, tried, read_at, names_again, due: None };
        known.tried |=
            looked_up || !(known.wants_env(now, rules) || known.facts.lacks_names(rules.settings.fields));
        known.due = known.next_look_up(rules);
        self.state = State::Known(known);
    }
}

impl Known {
    /// Whether the environment is to be read now.
    fn wants_env(&self, now: Instant, rules: &Rules) -> bool {
        self.facts.needs_env(&rules.settings) && self.env_due(rules).is_some_and(|due| due <= now)
    }

    fn env_due(&self, rules: &Rules) -> Option<Instant> {
        let ttl = rules.settings.app_ttl;
        match &self.env {
            Env::Unasked => Some(self.read_at),
            Env::Answered { read_at, .. } => (!ttl.is_zero()).then(|| *read_at + ttl),
            Env::Failed { again, .. } => Some(*again),
        }
    }

    fn next_look_up(&self, rules: &Rules) -> Option<Instant> {
        let ttl = rules.settings.app_ttl;
        let env = self.facts.needs_env(&rules.settings).then(|| self.env_due(rules)).flatten();
        // The list comes first; only an app that is not in it is read alone.
        let whole = (!ttl.is_zero()).then(|| self.read_at + ttl + ttl / 4);
        let lacks = self.facts.lacks_names(rules.settings.fields);
        let names = lacks.then(|| self.names_again.unwrap_or(self.read_at));
        [env, whole, names].into_iter().flatten().min()
    }
}
