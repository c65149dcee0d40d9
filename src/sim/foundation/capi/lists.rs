//! Lists of apps, spaces and organizations, and what is included with them.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::query::{Offer, Query};
use super::resource::{App, Dated, Organization, Resource, Space};
use super::{CloudController, Inner, Table, scripted};

pub(super) const APPS: Offer = Offer {
    path: "/v3/apps",
    includes: &["space.organization", "space", "org"],
    orders: &["created_at", "updated_at", "name"],
};
const SPACES: Offer =
    Offer { path: "/v3/spaces", includes: &["organization"], orders: &["created_at", "updated_at", "name"] };
const ORGANIZATIONS: Offer =
    Offer { path: "/v3/organizations", includes: &[], orders: &["created_at", "updated_at", "name"] };

pub(super) async fn list_apps(State(capi): State<CloudController>, request: Request) -> Response {
    let inner = capi.lock();
    list(&inner, &inner.apps, &APPS, &request)
}

pub(super) async fn list_spaces(State(capi): State<CloudController>, request: Request) -> Response {
    let inner = capi.lock();
    list(&inner, &inner.spaces, &SPACES, &request)
}

pub(super) async fn list_organizations(State(capi): State<CloudController>, request: Request) -> Response {
    let inner = capi.lock();
    list(&inner, &inner.organizations, &ORGANIZATIONS, &request)
}

fn list<T: Resource + InSpace>(
    inner: &Inner,
    table: &Table<T>,
    offer: &Offer,
    request: &Request,
) -> Response {
    let query = match Query::parse(request.uri().query(), offer) {
        Ok(query) => query,
        Err(refusal) => return *refusal,
    };
    let (mut body, shown) = query.page(&inner.base_url, offer.path, table.values());
    if shown.iter().any(|one| inner.faults.unshowable.contains(one.resource.guid())) {
        return scripted(500);
    }
    body["resources"] = shown.iter().map(|one| one.json(&inner.base_url)).collect();
    if let Some(include) = &query.include {
        body["included"] = included(inner, include, &shown);
    }
    Json(body).into_response()
}

/// What a resource brings along.
pub(super) trait InSpace {
    fn space_guid(&self) -> Option<&str> {
        None
    }
    fn organization_guid(&self) -> Option<&str> {
        None
    }
}

impl InSpace for App {
    fn space_guid(&self) -> Option<&str> {
        Some(&self.space_guid)
    }
}

impl InSpace for Space {
    fn organization_guid(&self) -> Option<&str> {
        Some(&self.organization_guid)
    }
}

impl InSpace for Organization {}

pub(super) fn included<T: Resource + InSpace>(inner: &Inner, include: &str, shown: &[&Dated<T>]) -> Value {
    let mut included = json!({});
    let spaces: BTreeSet<_> = shown.iter().filter_map(|one| one.resource.space_guid()).collect();
    let spaces: Vec<_> = spaces.into_iter().filter_map(|guid| inner.spaces.get(guid)).collect();
    let own = shown.iter().filter_map(|one| one.resource.organization_guid());
    let organizations: BTreeSet<_> =
        spaces.iter().map(|space| space.resource.organization_guid.as_str()).chain(own).collect();
    if include.contains("space") {
        included["spaces"] = spaces.iter().map(|space| space.json(&inner.base_url)).collect();
    }
    if include.contains("org") {
        let found = organizations.into_iter().filter_map(|guid| inner.organizations.get(guid));
        included["organizations"] = found.map(|one| one.json(&inner.base_url)).collect();
    }
    included
}
