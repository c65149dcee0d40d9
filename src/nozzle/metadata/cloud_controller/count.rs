//! Calls by kind, and those under way.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::nozzle::metadata::pacer::Purpose;

/// The kinds of calls, as counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Call {
    /// One app.
    App,
    /// A few apps by their guids.
    Batch,
    /// A page of all apps.
    List,
    /// What has changed, and when anything changed last.
    Changes,
    Environment,
    Space,
    Organization,
    Probe,
}

pub(super) const CALL_KINDS: usize = Call::Probe as usize + 1;

impl Call {
    pub(super) fn purpose(self) -> Purpose {
        if self == Self::Environment { Purpose::Environment } else { Purpose::Names }
    }
}

/// Counts a request for as long as it lasts.
pub(super) struct UnderWay<'a>(&'a AtomicU64);

impl<'a> UnderWay<'a> {
    pub(super) fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
