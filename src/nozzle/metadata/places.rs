//! Spaces and orgs: found along with apps, or read one by one where that is not possible.
//!
//! Each is read by one caller at a time; what fails is left alone for a while, for all its apps.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::Fields;
use super::app::Facts;
use super::cloud_controller::{CallError, CloudController, Included};
use super::engine::Retry;

/// Spaces, and orgs, remembered; beyond that all are forgotten and read anew.
const PLACES_MAX: usize = 100_000;
/// Places whose guids fall into the same stripe are read one after the other.
const STRIPES: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Space {
    name: Arc<str>,
    org_guid: Arc<str>,
}

/// The spaces and orgs known so far.
#[derive(Debug)]
pub(super) struct Places {
    fields: Fields,
    spaces: Directory<Space>,
    orgs: Directory<Arc<str>>,
}

impl Places {
    /// `ttl` is how long a name is believed; zero for ever.
    pub(super) fn new(fields: Fields, ttl: Duration, retry: Retry) -> Self {
        Self { fields, spaces: Directory::new(ttl, retry), orgs: Directory::new(ttl, retry) }
    }

    /// Keeps what came along with apps, or in lists of their own; says whether any name has changed.
    pub(super) fn learn(&self, included: Included, now: Instant) -> bool {
        let mut changed = false;
        for org in included.organizations {
            changed |= self.orgs.learn(org.guid.into(), org.name.into(), now);
        }
        for space in included.spaces {
            // All apps of an org share the text of its guid.
            let org_guid = self.orgs.key(&space.org_guid());
            changed |= self.spaces.learn(space.guid.into(), Space { name: space.name.into(), org_guid }, now);
        }
        changed
    }

    /// Fills in what is known already; says whether that changes anything.
    pub(super) fn fill_known(&self, facts: &mut Facts, now: Instant) -> bool {
        let Some(space) = self.spaces.get(&facts.space_guid, now) else { return false };
        facts.space_guid = self.spaces.key(&facts.space_guid);
        // If the space has moved, the old name is that of another org.
        let old = || facts.org.clone().filter(|_| facts.org_guid.as_ref() == Some(&space.org_guid));
        let org = self.orgs.get(&space.org_guid, now).or_else(old);
        let (space, org_guid) = (Some(space.name), Some(space.org_guid));
        let changed = (&facts.space, &facts.org_guid, &facts.org) != (&space, &org_guid, &org);
        (facts.space, facts.org_guid, facts.org) = (space, org_guid, org);
        changed
    }

    /// Fills in what the selected fields need, reading what is not known.
    ///
    /// Returns when to ask again if something could not be read.
    pub(super) async fn fill(&self, facts: &mut Facts, controller: &CloudController) -> Option<Instant> {
        if facts.space_guid.is_empty() || !self.fields.needs_space() {
            return None;
        }
        let guid = Arc::clone(&facts.space_guid);
        let read = async || {
            let space = controller.space(&guid).await?;
            Ok(Space { org_guid: space.org_guid(), name: space.name.into() })
        };
        let space = match self.spaces.get_or_read(&guid, read).await {
            Ok(space) => space,
            Err(again) => return Some(again),
        };
        let org_guid = Arc::clone(&space.org_guid);
        (facts.space, facts.org_guid) = (Some(space.name), Some(space.org_guid));
        if !self.fields.org_name || org_guid.is_empty() {
            // No org is an answer, too: there is nothing left to ask.
            facts.org.get_or_insert_default();
            return None;
        }
        let read = async || Ok(controller.organization(&org_guid).await?.name.into());
        match self.orgs.get_or_read(&org_guid, read).await {
            Ok(name) => {
                facts.org = Some(name);
                None
            }
            Err(again) => Some(again),
        }
    }
}

#[derive(Debug)]
enum Slot<T> {
    Known { value: T, read_at: Instant },
    Failed { again: Instant, failures: u32 },
}

/// Things of one kind by guid.
#[derive(Debug)]
struct Directory<T> {
    slots: Mutex<HashMap<Arc<str>, Slot<T>, RandomState>>,
    stripes: [tokio::sync::Mutex<()>; STRIPES],
    hasher: RandomState,
    ttl: Duration,
    retry: Retry,
}

impl<T: Clone + PartialEq> Directory<T> {
    fn new(ttl: Duration, retry: Retry) -> Self {
        let (slots, stripes, hasher) = Default::default();
        Self { slots, stripes, hasher, ttl, retry }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Arc<str>, Slot<T>, RandomState>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, guid: Arc<str>, value: T, now: Instant) {
        self.put(guid, Slot::Known { value, read_at: now });
    }

    /// Keeps a value; says whether it takes the place of another one. One that is the same stays as
    /// it is, so that all who hold it go on sharing it.
    fn learn(&self, guid: Arc<str>, value: T, now: Instant) -> bool {
        if let Some(Slot::Known { value: old, read_at }) = self.slots().get_mut(&guid)
            && *old == value
        {
            *read_at = now;
            return false;
        }
        let known = matches!(self.slots().get(&guid), Some(Slot::Known { .. }));
        self.insert(guid, value, now);
        known
    }

    /// This guid, in the one text all share if it is known.
    fn key(&self, guid: &Arc<str>) -> Arc<str> {
        self.slots().get_key_value(guid).map_or_else(|| Arc::clone(guid), |(key, _)| Arc::clone(key))
    }

    fn put(&self, guid: Arc<str>, slot: Slot<T>) {
        let mut slots = self.slots();
        if slots.len() >= PLACES_MAX && !slots.contains_key(&guid) {
            slots.clear();
        }
        slots.insert(guid, slot);
    }

    /// The value, if it is known and not too old.
    fn get(&self, guid: &str, now: Instant) -> Option<T> {
        match self.slots().get(guid) {
            Some(Slot::Known { value, read_at })
                if self.ttl.is_zero() || now.saturating_duration_since(*read_at) < self.ttl =>
            {
                Some(value.clone())
            }
            _ => None,
        }
    }

    /// The value, read if need be; or when to ask again.
    async fn get_or_read(
        &self,
        guid: &Arc<str>,
        read: impl AsyncFnOnce() -> Result<T, CallError>,
    ) -> Result<T, Instant> {
        let _turn = self.stripes[self.hasher.hash_one(guid) as usize % STRIPES].lock().await;
        let now = Instant::now();
        if let Some(value) = self.get(guid, now) {
            return Ok(value);
        }
        let failures = match self.slots().get(guid) {
            Some(Slot::Failed { again, .. }) if now < *again => return Err(*again),
            Some(Slot::Failed { failures, .. }) => *failures,
            _ => 0,
        };
        match read().await {
            Ok(value) => {
                self.insert(Arc::clone(guid), value.clone(), Instant::now());
                Ok(value)
            }
            Err(error) => {
                let failures = failures.saturating_add(1);
                let again = Instant::now() + self.retry.pause(failures, &error);
                tracing::debug!(%error, guid = &**guid, "cannot read the name of a space or org");
                // An old name is better than none.
                if let Some(Slot::Known { value, .. }) = self.slots().get(guid) {
                    return Ok(value.clone());
                }
                self.put(Arc::clone(guid), Slot::Failed { again, failures });
                Err(again)
            }
        }
    }
}
