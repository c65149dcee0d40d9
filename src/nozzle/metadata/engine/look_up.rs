//! Look-ups of the apps that events ask for.
//!
//! Names are asked for many apps at a time, whatever has queued up. What such an answer leaves out does
//! not exist if the answer says that it is complete; else it is asked for alone.
//! Environments can only be read one by one, those of the apps that log most first.

use std::collections::HashMap;
use std::sync::Arc;

use async_channel::Receiver;
use tokio::time::Instant;
use uuid::fmt::Hyphenated;

use super::Engine;
use crate::nozzle::metadata::NAMES_BATCH_MAX;
use crate::nozzle::metadata::app::Facts;
use crate::nozzle::metadata::cloud_controller::{AppResource, CallError, Page};
use crate::nozzle::metadata::table::{EnvironmentAnswer, Found, Need, Outcome};

/// Out of so many apps the one with most events has its environment read first.
const WINDOW_APPS_MAX: usize = 1000;

impl Engine {
    /// Finds the names of queued apps.
    pub(super) async fn look_up_names(&self, queue: &Receiver<Arc<str>>) {
        while let Ok(first) = queue.recv().await {
            let mut whole = Vec::new();
            let rest = std::iter::from_fn(|| queue.try_recv().ok()).take(NAMES_BATCH_MAX - 1);
            let ids: Vec<_> = std::iter::once(first).chain(rest).collect();
            for id in ids {
                match self.shared.table.need(&id, Instant::now()) {
                    Need::Nothing => self.settle(&id, Outcome::Nothing),
                    Need::Places(facts) => {
                        let found = self.places_of(facts, false).await;
                        self.settle(&id, found);
                    }
                    Need::Whole => whole.push(id),
                }
            }
            self.find(whole).await;
        }
    }

    /// Finds apps, together as far as that goes.
    async fn find(&self, ids: Vec<Arc<str>>) {
        let mut todo = vec![ids];
        while let Some(mut ids) = todo.pop() {
            if ids.len() > 1 {
                ids = match self.batch(&ids).await {
                    Ok(page) => self.settle_found(ids, page).await,
                    // Not the list, but the apps may be readable.
                    Err(error) if error.is_lasting() => ids,
                    // One app that the server cannot show is not to cost the others their names.
                    Err(error) if error.is_too_much() => {
                        let rest = ids.split_off(ids.len() / 2);
                        todo.extend([ids, rest]);
                        continue;
                    }
                    Err(error) => {
                        for id in ids {
                            self.log.look_up(&id, &error);
                            self.settle(&id, Outcome::Failed);
                        }
                        continue;
                    }
                };
            }
            for id in ids {
                let outcome = self.one(&id).await;
                self.settle(&id, outcome);
            }
        }
    }

    async fn batch(&self, ids: &[Arc<str>]) -> Result<Page<AppResource>, CallError> {
        self.shared.controller.batch(ids, self.settings.fields.needs_space()).await
    }

    /// Takes the answer about several apps; gives those it does not settle.
    async fn settle_found(&self, mut ids: Vec<Arc<str>>, page: Page<AppResource>) -> Vec<Arc<str>> {
        let all = page.is_all();
        self.learn_places(page.included);
        let mut found: HashMap<Box<str>, AppResource> =
            page.resources.into_iter().map(|app| (app.guid.clone(), app)).collect();
        let (mut answered, mut missing) = (Vec::new(), Vec::new());
        ids.retain(|id| match found.remove(&**id) {
            Some(app) => {
                answered.push((Arc::clone(id), app));
                false
            }
            // Another spelling of an id may be found alone.
            None if all && is_plain(id) => {
                missing.push(Arc::clone(id));
                false
            }
            None => true,
        });
        for id in missing {
            self.settle(&id, Outcome::Missing);
        }
        for (id, app) in answered {
            let outcome = self.found(&id, &app).await;
            self.settle(&id, outcome);
        }
        ids
    }

    async fn one(&self, id: &str) -> Outcome {
        match self.shared.controller.app(id, self.settings.fields.needs_space()).await {
            Ok(answer) => {
                self.learn_places(answer.included);
                self.found(id, &answer.app).await
            }
            Err(CallError::NotFound { .. }) => Outcome::Missing,
            Err(error) => {
                self.log.look_up(id, &error);
                Outcome::Failed
            }
        }
    }

    async fn found(&self, id: &str, app: &AppResource) -> Outcome {
        let facts = app.facts();
        self.check_label(id, &facts);
        self.places_of(facts, true).await
    }

    async fn places_of(&self, mut facts: Facts, fresh: bool) -> Outcome {
        let again = self.places.fill(&mut facts, &self.shared.controller).await;
        Outcome::Found(Box::new(Found { facts, fresh, again }))
    }

    /// Reads the environment of queued apps.
    pub(super) async fn read_environments(&self, queue: &Receiver<Arc<str>>) {
        while let Some(id) = self.next_environment(queue).await {
            if !self.shared.table.needs_environment(&id, Instant::now()) {
                self.settle(&id, Outcome::Nothing);
                continue;
            }
            let answer = match self.shared.controller.environment(&id).await {
                Ok(read) => {
                    if read.index_refused {
                        self.refuse_index(&id, "environment variable");
                    }
                    EnvironmentAnswer::Read(read.environment)
                }
                Err(error) => {
                    self.log.environment(&id, &error);
                    EnvironmentAnswer::Failed { lasting: error.is_lasting() }
                }
            };
            self.settle(&id, Outcome::Environment(answer));
        }
    }

    /// The app among those waiting that has most events; `None` when no more can come.
    async fn next_environment(&self, queue: &Receiver<Arc<str>>) -> Option<Arc<str>> {
        loop {
            {
                let mut window = self.shared.window();
                while window.len() < WINDOW_APPS_MAX
                    && let Ok(id) = queue.try_recv()
                {
                    window.push(id);
                }
                if let Some(place) = self.shared.table.busiest(&window) {
                    return Some(window.remove(place));
                }
            }
            let id = queue.recv().await.ok()?;
            self.shared.window().push(id);
        }
    }

    fn settle(&self, id: &str, outcome: Outcome) {
        self.shared.table.settle(id, outcome, Instant::now());
    }
}

/// Whether an id is written as Cloud Controller writes it.
fn is_plain(id: &str) -> bool {
    id.len() == Hyphenated::LENGTH && !id.bytes().any(|byte| byte.is_ascii_uppercase())
}
