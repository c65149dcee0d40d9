//! What a worker asks about apps: a small map of its own in front of the shared metadata.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::nozzle::metadata::{App, Lookup, Metadata};

/// Apps a worker remembers by itself; beyond that it asks the shared metadata each time.
const APPS_MAX: usize = 50_000;

/// A longer id is none of an app: a GUID has 36 bytes, 45 in its longest spelling.
const ID_BYTES_MAX: usize = 64;

/// One worker's view of the metadata.
#[derive(Debug)]
pub struct Enricher {
    metadata: Metadata,
    /// The place in `apps` of what is known about an app; none if there is nothing to know.
    known: HashMap<Box<[u8]>, Option<usize>, RandomState>,
    apps: Vec<Arc<App>>,
    generation: u64,
    seen: u64,
    /// Whether a look-up may have ended since [`Enricher::take_news`].
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
    Pending {
        /// The app's id.
        id: &'a str,
        /// What is known by now, for an event that cannot wait.
        so_far: Option<Arc<App>>,
    },
}

impl Enricher {
    /// A view with nothing in it yet.
    pub fn new(metadata: Metadata) -> Self {
        let (generation, seen) = (metadata.generation(), metadata.news());
        Self { metadata, known: HashMap::default(), apps: Vec::new(), generation, seen, news: false }
    }

    /// Forgets what may have changed. Called once for each group of frames.
    pub fn refresh(&mut self) {
        let (generation, seen) = (self.metadata.generation(), self.metadata.news());
        if seen != self.seen {
            self.seen = seen;
            self.news = true;
        }
        if generation != self.generation {
            self.generation = generation;
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.known.clear();
        self.apps.clear();
    }

    /// Whether a look-up may have ended since this was asked before.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// Waits until a look-up may have ended since the last [`Enricher::refresh`]. Cancel safe.
    pub async fn changed(&self) {
        self.metadata.changed(self.seen).await;
    }

    /// What is known about an app. Asks for a look-up if need be, without waiting for it.
    #[inline]
    pub fn app<'a>(&'a mut self, id: &'a [u8]) -> Enrichment<'a> {
        let place = match self.known.get(id) {
            Some(&place) => place,
            None => match self.ask(id) {
                Ok(place) => place,
                Err(enrichment) => return enrichment,
            },
        };
        place.and_then(|place| self.apps.get(place)).map_or(Enrichment::Unknown, |app| Enrichment::Known(app))
    }

    /// Asks the shared metadata, and remembers an answer that will not change soon: gives the place of
    /// the app, none if there is nothing to know.
    fn ask<'a>(&mut self, id: &'a [u8]) -> Result<Option<usize>, Enrichment<'a>> {
        if self.metadata.is_off() || id.len() > ID_BYTES_MAX {
            return Ok(None);
        }
        let Ok(text) = std::str::from_utf8(id) else { return Ok(None) };
        let app = match self.metadata.lookup(text) {
            Lookup::Known(app) => Some(app),
            Lookup::Missing => None,
            Lookup::Unavailable => return Err(Enrichment::Unavailable),
            Lookup::Pending(so_far) => return Err(Enrichment::Pending { id: text, so_far }),
        };
        if self.known.len() >= APPS_MAX {
            self.forget();
        }
        let place = app.map(|app| {
            self.apps.push(app);
            self.apps.len() - 1
        });
        self.known.insert(id.into(), place);
        Ok(place)
    }

    /// Whether a look-up of this app is under way.
    pub fn is_pending(&mut self, id: &str) -> bool {
        matches!(self.app(id.as_bytes()), Enrichment::Pending { .. })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::nozzle::cf::fake::Fake;
    use crate::nozzle::metadata::tests::settings;

    const KNOWN: &[u8] = b"aaaaaaaa-0000-4000-8000-000000000001";
    const DELETED: &[u8] = b"bbbbbbbb-0000-4000-8000-000000000002";

    #[tokio::test]
    async fn an_answer_is_remembered_until_something_changes() {
        let fake = Fake::start().await;
        fake.add(std::str::from_utf8(KNOWN).unwrap(), "a");
        let (metadata, task) = Metadata::start(settings(), fake.foundation(), CancellationToken::new());
        let mut enricher = Enricher::new(metadata.clone());
        let settled = async {
            while [KNOWN, DELETED].iter().any(|id| matches!(enricher.app(id), Enrichment::Pending { .. })) {
                enricher.changed().await;
                enricher.refresh();
            }
        };
        tokio::select! {
            () = task => {}
            settled = tokio::time::timeout(Duration::from_secs(20), settled) => settled.unwrap(),
        }
        // From here on nothing changes by itself: the task has been dropped.
        enricher.refresh();
        let long = vec![b'x'; ID_BYTES_MAX + 1];
        for _ in 0..2 {
            assert!(matches!(enricher.app(KNOWN), Enrichment::Known(app) if &*app.names.app == "a"));
            for id in [DELETED, b"routing_api", &long, b"\xff"] {
                assert!(matches!(enricher.app(id), Enrichment::Unknown), "{id:?}");
            }
        }
        let remembered = |enricher: &Enricher| {
            [KNOWN, DELETED, b"routing_api", &long].map(|id| enricher.known.contains_key(id))
        };
        assert_eq!(remembered(&enricher), [true, true, true, false]);
        enricher.generation = 0;
        enricher.refresh();
        assert_eq!(remembered(&enricher), [false; 4]);
    }

    #[test]
    fn metadata_that_is_off_costs_no_memory() {
        let mut enricher = Enricher::new(Metadata::off());
        assert!(matches!(enricher.app(KNOWN), Enrichment::Unknown));
        assert_eq!(enricher.known.len(), 0);
    }
}
