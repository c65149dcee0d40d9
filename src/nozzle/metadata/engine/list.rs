//! A pass through all apps.
//!
//! The first pass reads pages several at a time, because every event wants names. Later ones only renew
//! what is known, and take their time, so that nobody notices. A page that fails is read again later, the others are not; one that
//! is too much for the server is read in halves. Meanwhile changes are followed: a page that fails for ever, for one app
//! that the server cannot show, keeps nobody from hearing of the others. New apps come last in the list, so that pages stay what
//! they were; of an app that slips through when another one is deleted, events ask by themselves.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};

use super::{Engine, Marks};
use crate::nozzle::metadata::ListStats;
use crate::nozzle::metadata::cloud_controller::{AppResource, CallError, Page};

/// Apps on a page: about a megabyte, and some tenths of a second of the server's time.
const PAGE_APPS: u64 = 512;
/// A smaller page is not tried.
const PAGE_APPS_MIN: u64 = 64;
/// Pages under way at the same time in the first pass.
const PAGES_AT_ONCE: usize = 4;
/// The pause after a page in later passes: about a minute for 50,000 apps.
pub(super) const PAGE_PAUSE: Duration = Duration::from_millis(500);
/// A list of more pages (5 million apps) is not one.
const PAGES_MAX: u64 = 10_000;
/// Failures of a page after which it is read in halves.
const FAILURES_WHOLE_MAX: u32 = 2;
/// Failures to learn what changed last after which the list is read without.
const MARK_TRIES_MAX: u32 = 3;

/// A page to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    page: u64,
    apps: u64,
    failures: u32,
}

impl Part {
    fn whole(page: u64) -> Self {
        Self { page, apps: PAGE_APPS, failures: 0 }
    }

    /// What to read instead, after a failure.
    fn again(self, too_much: bool) -> Vec<Self> {
        let failures = self.failures + 1;
        let apps = self.apps / 2;
        if !too_much || failures < FAILURES_WHOLE_MAX || apps < PAGE_APPS_MIN {
            return vec![Self { failures, ..self }];
        }
        let half = |page| Self { page, apps, failures: 0 };
        vec![half(2 * self.page - 1), half(2 * self.page)]
    }
}

impl Engine {
    /// Reads all apps, however long that takes.
    pub(super) async fn pass(&self, pass: u32, marks: &mut Marks) {
        let before = *self.shared.list();
        *self.shared.list() = ListStats { running: true, pages: 0, apps: 0, skipped: 0, ..before };
        let (started, mut failures) = (Instant::now(), 0);
        // What changes while the list is read may be on a page that has been read.
        while let Err(error) = self.mark(marks).await {
            failures += u32::from(!matches!(error, CallError::Away));
            self.log.list("what changed last", &error);
            if error.is_lasting() || failures >= MARK_TRIES_MAX {
                // Then the changes since ever are read once, or nothing tells of them at all.
                break;
            }
            self.pause_after(&error, failures).await;
        }
        tokio::select! {
            () = self.pages(pass, before.passes == 0) => {}
            () = self.follow_changes(marks, None) => {}
        }
        let forgotten = self.shared.table.forget_unlisted(pass, Instant::now());
        self.end_pass(started, forgotten);
    }

    /// Reads page after page, until there is none left.
    async fn pages(&self, pass: u32, first: bool) {
        let mut todo = VecDeque::from([Part::whole(1)]);
        let mut planned = 1;
        let mut under_way = FuturesUnordered::new();
        let (at_once, pause) =
            if first { (PAGES_AT_ONCE, Duration::ZERO) } else { (1, self.timing.page_pause) };
        loop {
            while under_way.len() < at_once
                && let Some(part) = todo.pop_front()
            {
                under_way.push(self.part(part));
            }
            let Some((part, answer)) = under_way.next().await else { break };
            match answer {
                Ok(page) => {
                    // Also later: apps may have been added meanwhile.
                    let pages = if part.apps == PAGE_APPS { page.pages().min(PAGES_MAX) } else { 0 };
                    todo.extend((planned + 1..=pages).map(Part::whole));
                    planned = planned.max(pages);
                    self.take(page, pass);
                    sleep(pause).await;
                }
                Err(error) => {
                    self.shared.list().failures += 1;
                    self.log.list("apps", &error);
                    todo.extend(part.again(error.is_too_much()));
                }
            }
        }
    }

    /// Reads a part, after a pause if it has failed before.
    async fn part(&self, part: Part) -> (Part, Result<Page<AppResource>, CallError>) {
        if part.failures > 0 {
            sleep(self.timing.retry.growing(part.failures)).await;
        }
        self.shared.controller.outage().until(false).await;
        let places = self.settings.fields.needs_space();
        (part, self.shared.controller.apps(part.page, part.apps, places).await)
    }

    fn take(&self, page: Page<AppResource>, pass: u32) {
        let seen = page.resources.len() as u64;
        let skipped = self.learn(page.resources, page.included, Some(pass)) as u64;
        let mut list = self.shared.list();
        list.pages += 1;
        list.apps += seen;
        list.skipped += skipped;
    }

    fn end_pass(&self, started: Instant, forgotten: usize) {
        let mut list = self.shared.list();
        list.running = false;
        list.passes += 1;
        list.took_ms = crate::clock::millis(started.elapsed());
        let ListStats { pages, apps, skipped, took_ms, .. } = *list;
        drop(list);
        if skipped > 0 {
            tracing::warn!(
                apps,
                skipped,
                next_step = "raise APP_LIMITS if the memory allows; until then they are looked up one by one",
                "there are more apps than APP_LIMITS allows to keep"
            );
        }
        tracing::info!(apps, pages, took_ms, forgotten, "listed all apps");
    }

    /// Waits as long as it makes sense after this error.
    pub(super) async fn pause_after(&self, error: &CallError, failures: u32) {
        let pause = if matches!(error, CallError::Away) {
            Duration::ZERO
        } else {
            self.timing.retry.growing(failures)
        };
        sleep(pause).await;
        self.shared.controller.outage().until(false).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_too_much_is_read_in_ever_smaller_parts() {
        let part = Part::whole(3);
        assert_eq!(part.again(true), [Part { failures: 1, ..part }], "once may be chance");
        assert_eq!(part.again(false), [Part { failures: 1, ..part }]);
        let mut parts = vec![Part { failures: 1, ..part }];
        for _ in 0..10 {
            parts = parts.into_iter().flat_map(|part| part.again(true)).collect();
        }
        assert_eq!(parts.len(), 8);
        let apps: Vec<_> = parts.iter().flat_map(|p| (p.page - 1) * p.apps..p.page * p.apps).collect();
        assert_eq!(apps, (1024..1536).collect::<Vec<_>>());
        assert!(parts.iter().all(|part| part.apps == PAGE_APPS_MIN));
    }
}
