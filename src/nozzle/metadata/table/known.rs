//! An app that is known: what it looks like, and when which part of it is to be asked for again.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use super::{Rules, Want};
use crate::nozzle::metadata::app::{App, Environment, Facts};
use crate::nozzle::metadata::moment::Moment;

#[derive(Debug)]
pub(super) struct Known {
    /// Rendered when the first event asks: most apps of a foundation are silent.
    app: OnceLock<Arc<App>>,
    pub(super) facts: Facts,
    environment: Variables,
    /// Whether everything that is wanted has been asked for once, with whatever result.
    pub(super) tried: bool,
    /// When Cloud Controller last described the app.
    read_at: Instant,
    /// When to ask again for names that could not be read.
    names_again: Option<Instant>,
    /// When to ask for the app whatever is known: a look-up failed, or it has been deleted.
    whole_again: Option<Instant>,
    /// Whether Cloud Controller no longer knows it; its last lines still get its names.
    pub(super) deleted: bool,
}

/// An environment as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct EnvironmentRead {
    pub(in super::super) environment: Environment,
    pub(in super::super) read_at: Moment,
    /// The app's last change at that time: a later one may have been one of the environment.
    pub(in super::super) as_of: Option<Moment>,
}

/// What became of the attempt to read an environment.
#[derive(Debug)]
pub(in super::super) enum EnvironmentAnswer {
    /// What it says.
    Read(Environment),
    /// No answer; `lasting` if soon again is no use.
    Failed {
        /// Whether soon again is no use.
        lasting: bool,
    },
}

#[derive(Debug, Default)]
struct Variables {
    last: Option<EnvironmentRead>,
    /// When to read them again; `None` for never, unless they were never read.
    again: Option<Instant>,
}

/// Names as an answer of Cloud Controller has them.
#[derive(Debug)]
pub(in super::super) struct Names {
    pub(in super::super) facts: Facts,
    /// Whether the facts are new, or those the entry had with names filled in.
    pub(in super::super) fresh: bool,
    /// When to ask again for names that could not be read.
    pub(in super::super) again: Option<Instant>,
}

impl Known {
    pub(super) fn new(facts: Facts, now: Instant, rules: &Rules) -> Self {
        let mut known = Self {
            app: OnceLock::new(),
            facts,
            environment: Variables::default(),
            tried: false,
            read_at: now,
            names_again: None,
            whole_again: None,
            deleted: false,
        };
        known.try_settled(now, rules);
        known
    }

    pub(super) fn restored(
        facts: Facts,
        environment: Option<EnvironmentRead>,
        now: Instant,
        rules: &Rules,
    ) -> Self {
        let mut known = Self::new(facts, now, rules);
        if let Some(last) = environment {
            let age = Duration::from_secs(Moment::now().since(last.read_at));
            known.environment.again = rules.after_ttl(now, age);
            known.environment.last = Some(last);
            known.heed_update(now);
        }
        known.try_settled(now, rules);
        known
    }

    /// The app for use in events.
    pub(super) fn app(&self, rules: &Rules) -> Arc<App> {
        let render = || {
            let environment = self.environment.last.as_ref().map(|last| &last.environment);
            Arc::new(App::new(&self.facts, environment, &rules.settings))
        };
        Arc::clone(self.app.get_or_init(render))
    }

    /// Forgets how it looks; says whether anybody else holds on to that.
    fn look_anew(&mut self) -> bool {
        self.app.take().is_some_and(|app| Arc::strong_count(&app) > 1)
    }

    /// What is due, names first.
    pub(super) fn due(&self, now: Instant, rules: &Rules) -> Option<Want> {
        if self.whole_due(now, rules) || self.names_due(now, rules) {
            Some(Want::Names)
        } else {
            self.environment_due(now, rules).then_some(Want::Environment)
        }
    }

    pub(super) fn whole_due(&self, now: Instant, rules: &Rules) -> bool {
        let ttl = rules.settings.app_ttl;
        // The list comes first; only an app that is not in it is read alone.
        let old = !ttl.is_zero() && now.saturating_duration_since(self.read_at) >= ttl + ttl / 4;
        match self.whole_again {
            // An app that failed is not asked for again and again because it is old.
            Some(again) => again <= now,
            None => old,
        }
    }

    fn names_due(&self, now: Instant, rules: &Rules) -> bool {
        self.facts.lacks_names(rules.settings.fields) && self.names_again.is_none_or(|again| again <= now)
    }

    pub(super) fn environment_due(&self, now: Instant, rules: &Rules) -> bool {
        let Variables { last, again } = &self.environment;
        self.facts.needs_environment(&rules.settings) && again.map_or(last.is_none(), |again| again <= now)
    }

    fn try_settled(&mut self, now: Instant, rules: &Rules) {
        self.tried |= !(self.names_due(now, rules) || self.environment_due(now, rules));
    }

    /// Lets an environment that may be that of an earlier version of the app be read again.
    fn heed_update(&mut self, now: Instant) {
        let Variables { last, again } = &mut self.environment;
        if last.as_ref().is_some_and(|last| last.as_of < self.facts.updated_at) {
            *again = Some(again.map_or(now, |again| again.min(now)));
        }
    }

    /// Takes names; gives whether an answer given before is no longer right, and whether what is saved
    /// is not either.
    pub(super) fn learn(&mut self, names: Names, now: Instant, rules: &Rules) -> (bool, bool) {
        let Names { mut facts, fresh, again } = names;
        facts.inherit(&self.facts);
        let (looks, unsaved) = (self.facts.looks_like(&facts), self.facts != facts);
        self.facts = facts;
        if fresh {
            (self.read_at, self.whole_again, self.deleted) = (now, None, false);
        }
        if again.is_some() || !self.facts.lacks_names(rules.settings.fields) {
            self.names_again = again;
        }
        self.heed_update(now);
        self.try_settled(now, rules);
        (!looks && self.look_anew(), unsaved)
    }

    /// Takes an environment, or that it could not be read; as [`Known::learn`].
    pub(super) fn learn_environment(
        &mut self,
        answer: EnvironmentAnswer,
        pause: Duration,
        now: Instant,
        rules: &Rules,
    ) -> (bool, bool) {
        self.tried = true;
        let environment = match answer {
            EnvironmentAnswer::Read(environment) => environment,
            EnvironmentAnswer::Failed { .. } => {
                self.environment.again = Some(now + pause);
                return (false, false);
            }
        };
        let same = self.environment.last.as_ref().is_some_and(|last| last.environment == environment);
        let last = EnvironmentRead { environment, read_at: Moment::now(), as_of: self.facts.updated_at };
        self.environment = Variables { last: Some(last), again: rules.after_ttl(now, Duration::ZERO) };
        (!same && self.look_anew(), true)
    }

    /// Takes names of a space and an org that have changed; whether an answer given before is wrong now.
    pub(super) fn rename(&mut self, fill: &mut impl FnMut(&mut Facts) -> bool) -> Option<bool> {
        fill(&mut self.facts).then(|| self.look_anew())
    }

    /// A look-up failed, or said that there is no such app.
    pub(super) fn fail(&mut self, again: Instant) {
        (self.tried, self.whole_again) = (true, Some(again));
    }

    /// Lets everything that failed be tried again now.
    pub(super) fn retry(&mut self, now: Instant) {
        if !self.deleted && self.whole_again.is_some() {
            self.whole_again = Some(now);
        }
        if self.names_again.is_some() {
            self.names_again = Some(now);
        }
        if self.environment.last.is_none() && self.environment.again.is_some() {
            self.environment.again = Some(now);
        }
    }

    pub(super) fn environment(&self) -> Option<&EnvironmentRead> {
        self.environment.last.as_ref()
    }
}

impl Rules {
    /// When what was read `age` ago is to be read again; `None` for never.
    fn after_ttl(&self, now: Instant, age: Duration) -> Option<Instant> {
        let ttl = self.settings.app_ttl;
        (!ttl.is_zero()).then(|| now + ttl.saturating_sub(age))
    }
}
