//! The apps envelopes come from: the same names and ids in every run.

use std::collections::BTreeMap;

use crate::sim::foundation::{App, CloudController, Organization, Space};
use crate::sim::writer::Tags;

const LOG_SOURCE_TYPE: &str = "APP/PROC/WEB";

/// Apps, spread over spaces, spread over organizations.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct World {
    tenants: Vec<Tenant>,
    apps: Vec<App>,
    spaces: Vec<Space>,
    organizations: Vec<Organization>,
}

/// One app, as its envelopes have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tenant {
    pub(super) guid: String,
    pub(super) tags: Vec<(String, String)>,
    /// Those of its log lines, encoded.
    pub(super) log_tags: Tags,
}

impl World {
    /// So many apps; so many spaces in each of so many organizations.
    pub(super) fn new(apps: usize, spaces: usize, organizations: usize) -> Self {
        let organizations: Vec<_> = (1..=organizations.min(apps))
            .map(|number| Organization { guid: guid("org", number), name: format!("org-{number}") })
            .collect();
        let spaces: Vec<_> = (0..(spaces * organizations.len()).min(apps))
            .map(|at| Space {
                guid: guid("space", at + 1),
                name: format!("space-{}", at / organizations.len() + 1),
                organization_guid: organizations[at % organizations.len()].guid.clone(),
            })
            .collect();
        let apps: Vec<_> = (0..apps)
            .map(|at| App {
                guid: guid("app", at + 1),
                name: format!("app-{}", at + 1),
                space_guid: spaces[at % spaces.len()].guid.clone(),
                listed: true,
                ..App::default()
            })
            .collect();
        let tenants = apps.iter().enumerate().map(|(at, app)| {
            let space = &spaces[at % spaces.len()];
            let organization = &organizations[at % spaces.len() % organizations.len()];
            tenant(app, space, organization)
        });
        Self { tenants: tenants.collect(), apps, spaces, organizations }
    }

    /// The app of an event, in turn.
    pub(super) fn app(&self, number: usize) -> &Tenant {
        &self.tenants[number % self.tenants.len()]
    }

    /// Makes all of it known to a Cloud Controller.
    pub(super) fn register(&self, capi: &CloudController) {
        self.organizations.iter().for_each(|organization| capi.put_organization(organization.clone()));
        self.spaces.iter().for_each(|space| capi.put_space(space.clone()));
        self.apps.iter().for_each(|app| capi.put_app(app.clone()));
    }
}

fn tenant(app: &App, space: &Space, organization: &Organization) -> Tenant {
    let tags = [
        ("app_id", &*app.guid),
        ("app_name", &app.name),
        ("space_id", &space.guid),
        ("space_name", &space.name),
        ("organization_id", &organization.guid),
        ("organization_name", &organization.name),
        ("deployment", "cf"),
        ("index", "5f1a6ac6-8be3-4ee6-a6a0-2f4d8c3c0b11"),
        ("ip", "10.0.1.10"),
        ("job", "diego_cell"),
        ("origin", "rep"),
        ("process_type", "web"),
    ];
    let log_tags = Tags::new(tags.into_iter().chain([("source_type", LOG_SOURCE_TYPE)]));
    let tags = tags.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Tenant { guid: app.guid.clone(), tags: BTreeMap::from(tags).into_iter().collect(), log_tags }
}

/// An id that looks like the platform's, and is the same in every run.
fn guid(kind: &str, number: usize) -> String {
    let seed =
        kind.bytes().fold(number as u64, |seed, byte| seed.wrapping_mul(257).wrapping_add(byte.into()));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_ids_fit_together_and_never_change() {
        let world = World::new(10, 2, 3);
        assert_eq!((world.organizations.len(), world.spaces.len(), world.apps.len()), (3, 6, 10));
        assert_eq!(world, World::new(10, 2, 3));
        let guids: BTreeSet<_> = (0..10).map(|number| world.app(number).guid.clone()).collect();
        assert_eq!(guids.len(), 10);
        assert_eq!(world.app(11).guid, world.app(1).guid);
        for (at, app) in world.apps.iter().enumerate() {
            let tags: BTreeMap<_, _> = world.tenants[at].tags.iter().cloned().collect();
            let space = world.spaces.iter().find(|space| space.guid == app.space_guid).unwrap();
            assert_eq!((&tags["app_name"], &tags["space_id"]), (&app.name, &space.guid));
            assert_eq!(tags["organization_id"], space.organization_guid);
        }
        // Fewer apps than spaces: none is empty.
        assert_eq!(World::new(1, 5, 5).spaces.len(), 1);
    }
}
