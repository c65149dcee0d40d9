//! What has changed since it was last read.
//!
//! Apps, spaces and organizations are asked for separately: that a space has another name does not
//! count as a change of its apps. What counts is the time the API gives its resources, never the clock
//! of this machine. A resource may bear a time that is still to come, from a clock that was wrong for a
//! while; what counts then is the time the API gives its answers, or nothing else would be seen until then. Changes become visible a moment after the time they bear, so that the last seconds
//! before the latest one known are asked for again, until that moment has surely passed.

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout_at};

use super::Engine;
use crate::nozzle::metadata::cloud_controller::{AppResource, CallError, Dated, Included, Page};
use crate::nozzle::metadata::moment::Moment;

/// A change may become visible so much later than the time it bears.
const OVERLAP_SECONDS: u32 = 10;
/// Clocks of the API may differ by so much.
const SKEW_SECONDS_MAX: i64 = 60;
/// Changes on a page.
const PAGE_CHANGES: u64 = 1000;
/// Pages of changes read in a row; then the next turn goes on.
const PAGES_MAX: u64 = 1000;

/// The latest change known of each kind.
#[derive(Debug, Default)]
pub(super) struct Marks {
    organizations: Mark,
    spaces: Mark,
    apps: Mark,
}

/// The latest change of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    at: Moment,
    /// Since when it is known.
    known: Option<Instant>,
    /// Whether all changes up to it are known as well.
    settled: bool,
}

impl Default for Mark {
    /// If there is nothing of a kind, everything will be new.
    fn default() -> Self {
        Self { at: Moment::EPOCH, known: None, settled: true }
    }
}

impl Mark {
    fn new(at: Option<Moment>, now: Instant) -> Self {
        at.map_or_else(Self::default, |at| Self { at, known: Some(now), settled: false })
    }

    /// From when on changes may be new.
    fn since(self) -> Moment {
        if self.settled { self.at.next() } else { self.at.minus(i64::from(OVERLAP_SECONDS)) }
    }

    /// After a turn that began at `began` and has seen `last`.
    fn after(self, last: Option<Moment>, began: Instant) -> Self {
        match last.filter(|last| *last > self.at) {
            Some(at) => Self { at, known: Some(began), settled: false },
            None => {
                let overlap = Duration::from_secs(u64::from(OVERLAP_SECONDS));
                let settled =
                    self.known.is_none_or(|known| began.saturating_duration_since(known) >= overlap);
                Self { settled: self.settled || settled, ..self }
            }
        }
    }
}

/// What the API's own clock says to the times its resources bear.
#[derive(Clone, Copy, Debug)]
struct Bound {
    /// The date of its last answer; without one all times are believed.
    now: Option<Moment>,
}

impl Bound {
    fn of(now: Option<Moment>) -> Self {
        Self { now }
    }

    /// Whether it may bear this time: not all parts of the API have the same clock.
    fn has_passed(self, moment: Moment) -> bool {
        self.now.is_none_or(|now| moment <= now.plus(SKEW_SECONDS_MAX))
    }

    fn cap(self, moment: Moment) -> Moment {
        if self.has_passed(moment) { moment } else { self.now.unwrap_or(moment) }
    }

    /// Where to go back to if the clock has been set back before what was known as the latest change:
    /// to where it may have been set back to since the last turn.
    fn reset(self, known: Moment, refresh: Duration) -> Option<Moment> {
        let turn = i64::try_from(refresh.as_secs()).unwrap_or(i64::MAX);
        self.now.filter(|_| !self.has_passed(known)).map(|now| now.minus(turn).minus(SKEW_SECONDS_MAX))
    }
}

/// Where the reading of changes has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    since: Moment,
    page: u64,
}

impl Place {
    /// Where to go on after a page of so many changes, the last of them at `last`; `None` at the end.
    ///
    /// Pages shift while changes go on, so the next question starts at the time of the last change.
    fn after(self, changes: usize, last: Option<Moment>) -> Option<Self> {
        if (changes as u64) < PAGE_CHANGES {
            return None;
        }
        Some(match last.filter(|last| *last > self.since) {
            Some(since) => Self { since, page: 1 },
            // More changes in one second than there are on a page.
            None => Self { page: self.page + 1, ..self },
        })
    }
}

impl Engine {
    /// Notes when anything was changed last.
    pub(super) async fn mark(&self, marks: &mut Marks) -> Result<(), CallError> {
        if self.settings.refresh.is_zero() {
            return Ok(());
        }
        let controller = &self.shared.controller;
        let now = Instant::now();
        let mark = async |kind| {
            let last = controller.last_change(kind).await?;
            Ok::<_, CallError>(Mark::new(last.map(|last| Bound::of(controller.date()).cap(last)), now))
        };
        marks.apps = mark("apps").await?;
        if self.settings.fields.needs_space() {
            marks.spaces = mark("spaces").await?;
            marks.organizations = mark("organizations").await?;
        }
        Ok(())
    }

    /// Asks for changes again and again, until it is time to read everything.
    pub(super) async fn follow_changes(&self, marks: &mut Marks, end: Option<Instant>) {
        let following = async {
            if self.settings.refresh.is_zero() {
                return std::future::pending().await;
            }
            let mut failures = 0;
            loop {
                sleep(self.settings.refresh.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
                match self.changes(marks).await {
                    Ok(()) => failures = 0,
                    Err(CallError::Refused { status: 400 | 422, reason, .. }) => {
                        tracing::warn!(
                            %reason,
                            next_step = "set APP_CACHE_INVALIDATE_TTL, so that all apps are listed now and then",
                            "the api does not tell what has changed: new names are seen only when all apps are listed"
                        );
                        return std::future::pending().await;
                    }
                    Err(error) => {
                        failures += 1;
                        self.shared.changes().failures += 1;
                        self.log.list("changes", &error);
                        self.pause_after(&error, failures).await;
                    }
                }
            }
        };
        match end {
            // A turn that is cut off is done again by the pass that follows.
            Some(end) => drop(timeout_at(end, following).await),
            None => following.await,
        }
    }

    async fn changes(&self, marks: &mut Marks) -> Result<(), CallError> {
        if self.settings.fields.needs_space() {
            self.follow("organizations", &mut marks.organizations, |page| {
                self.learn_places(Included { organizations: page.resources, ..Included::default() });
            })
            .await?;
            self.follow("spaces", &mut marks.spaces, |page| {
                self.learn_places(Included { spaces: page.resources, ..Included::default() });
            })
            .await?;
        }
        self.follow("apps", &mut marks.apps, |page: Page<AppResource>| {
            self.learn(page.resources, page.included, None);
        })
        .await?;
        self.shared.changes().turns += 1;
        Ok(())
    }

    async fn follow<T: DeserializeOwned + Dated + Send + 'static>(
        &self,
        kind: &'static str,
        mark: &mut Mark,
        mut learn: impl FnMut(Page<T>),
    ) -> Result<(), CallError> {
        let controller = &self.shared.controller;
        let began = Instant::now();
        let latest = mark.at;
        let places = kind == "apps" && self.settings.fields.needs_space();
        let mut place = Place { since: mark.since(), page: 1 };
        for _ in 0..PAGES_MAX {
            let page: Page<T> =
                controller.changed(kind, place.since, place.page, PAGE_CHANGES, places).await?;
            let bound = Bound::of(controller.date());
            let dates = page.resources.iter().filter_map(Dated::updated_at);
            let seen = page.resources.len();
            let last = dates.clone().max();
            let passed = dates.filter(|date| bound.has_passed(*date));
            let new = passed.clone().filter(|date| *date > latest).count() as u64;
            let latest_passed = passed.max();
            learn(page);
            self.shared.changes().seen += new;
            *mark = match bound.reset(mark.at, self.settings.refresh) {
                Some(at) => Mark::new(Some(at), began),
                None => mark.after(latest_passed, began),
            };
            match place.after(seen, last) {
                Some(next) => place = next,
                None => break,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_seconds_are_asked_for_until_they_have_surely_passed() {
        let start = Instant::now();
        let at = Moment::parse("2026-01-01T00:00:10Z").unwrap();
        let overlapping = at.minus(10);
        let mark = Mark::new(Some(at), start);
        assert_eq!(mark.since(), overlapping);
        let soon = start + Duration::from_secs(9);
        assert_eq!(mark.after(Some(at), soon).since(), overlapping);
        let late = start + Duration::from_secs(10);
        assert_eq!(mark.after(Some(at), late).since(), at.next());
        assert_eq!(mark.after(None, late).after(None, late).since(), at.next());
        let moved = mark.after(None, late).after(Some(at.next()), late);
        assert_eq!((moved.at, moved.since()), (at.next(), overlapping.next()));
        assert_eq!(Mark::new(None, start).since(), Moment::EPOCH.next());
    }

    #[test]
    fn the_next_question_starts_where_the_last_answer_ended() {
        let at = |second: i64| Moment::parse("2026-01-01T00:00:00Z").unwrap().minus(-second);
        let full = usize::try_from(PAGE_CHANGES).unwrap();
        let place = Place { since: at(0), page: 1 };
        assert_eq!(place.after(full - 1, Some(at(5))), None);
        assert_eq!(place.after(0, None), None);
        assert_eq!(place.after(full, Some(at(5))), Some(Place { since: at(5), page: 1 }));
        let same_second = place.after(full, Some(at(0)));
        assert_eq!(same_second, Some(Place { since: at(0), page: 2 }));
        assert_eq!(same_second.unwrap().after(full, Some(at(1))), Some(Place { since: at(1), page: 1 }));
    }
}
