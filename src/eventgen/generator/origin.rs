//! Where an event says it comes from: its row's or its stanza's meta, with an index and a host drawn for it.
//!
//! Each combination is made once, when it is first drawn, and shared by all its events.

use std::sync::{Arc, OnceLock};

use super::Shared;
use crate::eventgen::config::SampleConfig;
use crate::eventgen::event::{Batch, Meta};
use crate::eventgen::token::draw::{Draws, Purpose};
use crate::eventgen::token::{HostToken, Problem, Settings};

/// Combinations that are kept; of more, each event gets a meta of its own.
const KEPT_MAX: usize = 1 << 16;

pub(super) struct Origins {
    bases: Vec<Arc<Meta>>,
    indexes: Vec<Arc<str>>,
    hosts: Option<HostToken>,
    made: Box<[OnceLock<Arc<Meta>>]>,
}

impl Origins {
    pub(super) fn new(bases: Vec<Arc<Meta>>, indexes: &[Arc<str>], hosts: Option<HostToken>) -> Self {
        let mut origins = Self { bases, indexes: indexes.to_vec(), hosts, made: Box::default() };
        if origins.varies() {
            let count = origins
                .bases
                .len()
                .saturating_mul(origins.index_count())
                .saturating_mul(origins.host_count());
            let kept = if count <= KEPT_MAX { count } else { 0 };
            origins.made = (0..kept).map(|_| OnceLock::new()).collect();
        }
        origins
    }

    /// Those of a generator that reads no sample file.
    pub(super) fn without_file(config: &SampleConfig, shared: &Shared, problems: &mut Vec<Problem>) -> Self {
        let settings = Settings { sample: config, tokens: &[], files: &shared.files };
        let host = config.host_token.as_ref().map(|host| HostToken::new(&settings, host)).transpose();
        let host = host.unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        Self::new(vec![Arc::clone(&config.meta)], &config.extend_indexes, host)
    }

    /// The number, in `out`, of the meta of an event made from a line with this base.
    #[inline]
    pub(super) fn number(&self, base: usize, draws: Draws, out: &mut Batch) -> u32 {
        match self.bases.get(base) {
            Some(base) if !self.varies() => out.meta(base),
            _ => self.drawn(base, draws, out),
        }
    }

    fn varies(&self) -> bool {
        !self.indexes.is_empty() || self.hosts.is_some()
    }

    fn index_count(&self) -> usize {
        self.indexes.len().max(1)
    }

    fn host_count(&self) -> usize {
        self.hosts.as_ref().map_or(1, HostToken::len).max(1)
    }

    fn drawn(&self, base: usize, draws: Draws, out: &mut Batch) -> u32 {
        let index = draws.stream(Purpose::INDEX).index(self.index_count());
        let host = draws.stream(Purpose::HOST).index(self.host_count());
        let place = (base * self.index_count() + index) * self.host_count() + host;
        match self.made.get(place) {
            Some(made) => out.meta(made.get_or_init(|| self.make(base, index, host))),
            None => out.meta(&self.make(base, index, host)),
        }
    }

    fn make(&self, base: usize, index: usize, host: usize) -> Arc<Meta> {
        let mut meta = self.bases.get(base).map(|base| Meta::clone(base)).unwrap_or_default();
        if let Some(index) = self.indexes.get(index) {
            meta.index = Arc::clone(index);
        }
        if let Some(host) = self.hosts.as_ref().and_then(|hosts| hosts.rewrite(&meta.host, host)) {
            meta.host = host.into();
        }
        Arc::new(meta)
    }
}
