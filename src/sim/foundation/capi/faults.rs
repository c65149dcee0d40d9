//! What the Cloud Controller does wrong when it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;

/// Scripted trouble.
#[derive(Debug)]
pub(super) struct Faults {
    pub(super) statuses: BTreeMap<String, u16>,
    pub(super) latency: Duration,
    /// Apps that no list can show.
    pub(super) unshowable: BTreeSet<String>,
    /// Of a hundred calls so many fail, with this status.
    share: Option<(u8, u16)>,
    rng: Rng,
}

impl Default for Faults {
    /// The same calls fail in each run.
    fn default() -> Self {
        Self {
            statuses: BTreeMap::new(),
            latency: Duration::ZERO,
            unshowable: BTreeSet::new(),
            share: None,
            rng: Rng::with_seed(3),
        }
    }
}

impl Faults {
    pub(super) fn set_share(&mut self, percent: u8, status: u16) {
        self.share = (percent > 0).then_some((percent, status));
    }

    /// The status to answer a call with, instead of the truth.
    pub(super) fn status(&mut self, path: &str) -> Option<u16> {
        let scripted = self.statuses.get(path).copied();
        scripted.or_else(|| {
            let (percent, status) = self.share?;
            (self.rng.u8(..100) < percent).then_some(status)
        })
    }
}
