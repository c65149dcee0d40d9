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
    known: HashMap<Box<[u8]>, Arc<App>, RandomState>,
    generation: u64,
    /// Whether something has changed since [`Enricher::take_news`].
    news: bool,
}

/// What is known about the app of an event.
#[derive(Debug)]
pub enum Enrichment<'a> {
    /// The app, as far as it could be found out.
    Known(&'a App),
    /// There is nothing to know.
    Unknown,
    /// Nothing is known for the time being: the look-up failed, takes long, or could not be queued.
    Unavailable,
    /// A look-up of this app is under way.
    Pending(&'a str),
}

impl Enricher {
    /// A view with nothing in it yet.
    pub fn new(metadata: Metadata) -> Self {
        let generation = metadata.generation();
        Self { metadata, known: HashMap::default(), generation, news: false }
    }

    /// Forgets what may have changed. Called once for each group of frames.
    pub fn refresh(&mut self) {
        let generation = self.metadata.generation();
        if generation != self.generation {
            self.generation = generation;
            self.news = true;
            self.known.clear();
        }
    }

    /// Whether a look-up may have ended since this was asked before.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// Waits until something has changed since the last [`Enricher::refresh`]. Cancel safe.
    pub async fn changed(&self) {
        self.metadata.changed(self.generation).await;
    }

    /// What is known about an app. Asks for a look-up if need be, without waiting for it.
    #[inline]
    pub fn app<'a>(&'a mut self, id: &'a [u8]) -> Enrichment<'a> {
        if !self.known.contains_key(id) {
            let Ok(text) = std::str::from_utf8(id) else { return Enrichment::Unknown };
            let app = match self.metadata.lookup(text) {
                Lookup::Known(app) => app,
                Lookup::Missing => return Enrichment::Unknown,
                Lookup::Unavailable => return Enrichment::Unavailable,
                Lookup::Pending => return Enrichment::Pending(text),
            };
            if self.known.len() >= APPS_MAX {
                self.known.clear();
            }
            self.known.insert(id.into(), app);
        }
        self.known.get(id).map_or(Enrichment::Unknown, |app| Enrichment::Known(app))
    }

    /// Whether a look-up of this app is under way.
    pub fn is_pending(&mut self, id: &str) -> bool {
        matches!(self.app(id.as_bytes()), Enrichment::Pending(_))
    }
}
