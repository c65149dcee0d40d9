//! What a worker asks about apps: a small map of its own in front of the shared metadata.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::nozzle::metadata::{App, Lookup, Metadata};

/// Apps a worker remembers by itself; beyond that it asks the shared metadata each time.
const APPS_MAX: usize = 50_000;

/// One worker's view of the metadata.
#[derive(Debug)]
pub struct Enricher {
    metadata: Metadata,
    /// `None` stands for an app of which nothing is known.
    apps: HashMap<Box<[u8]>, Option<Arc<App>>, RandomState>,
    generation: u64,
}

/// What is known about the app of an event.
#[derive(Debug)]
pub enum Enrichment<'a> {
    /// All there is to know.
    Known(&'a App),
    /// Nothing, and waiting would not help.
    Unknown,
    /// A look-up of this app is under way.
    Pending(&'a str),
}

impl Enricher {
    /// A view with nothing in it yet.
    pub fn new(metadata: Metadata) -> Self {
        let generation = metadata.generation();
        Self { metadata, apps: HashMap::default(), generation }
    }

    /// Forgets what may have changed. Called once for each group of frames.
    pub fn refresh(&mut self) {
        let generation = self.metadata.generation();
        if generation != self.generation {
            self.generation = generation;
            self.apps.clear();
        }
    }

    /// Waits until something has changed since the last [`Enricher::refresh`]. Cancel safe.
    pub async fn changed(&self) {
        self.metadata.changed(self.generation).await;
    }

    /// What is known about an app. Asks for a look-up if need be, without waiting for it.
    #[inline]
    pub fn app<'a>(&'a mut self, id: &'a [u8]) -> Enrichment<'a> {
        if !self.apps.contains_key(id) {
            let Ok(text) = std::str::from_utf8(id) else { return Enrichment::Unknown };
            let app = match self.metadata.lookup(text) {
                Lookup::Known(app) => Some(app),
                Lookup::Missing | Lookup::Unavailable => None,
                Lookup::Pending => return Enrichment::Pending(text),
            };
            if self.apps.len() >= APPS_MAX {
                self.apps.clear();
            }
            self.apps.insert(id.into(), app);
        }
        match self.apps.get(id) {
            Some(Some(app)) => Enrichment::Known(app),
            _ => Enrichment::Unknown,
        }
    }

    /// Whether a look-up of this app is under way.
    pub fn is_pending(&mut self, id: &str) -> bool {
        matches!(self.app(id.as_bytes()), Enrichment::Pending(_))
    }
}
