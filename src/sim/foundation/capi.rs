//! The Cloud Controller: apps, spaces and organizations in a table that can change while it runs.
//!
//! Only what a nozzle asks is served, with the platform's shapes, paging and error bodies.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use self::clock::Clock;
use self::faults::Faults;
use self::lists::{APPS, included, list_apps, list_organizations, list_spaces};
use self::query::{Offer, Query};
use self::resource::{Dated, Resource};
use super::uaa::Uaa;

mod clock;
mod faults;
mod labels;
mod lists;
mod query;
mod resource;
pub use resource::{App, Organization, Space};

/// Beyond this many different paths, calls are counted but no longer told apart.
const PATHS_MAX: usize = 100_000;

/// The Cloud Controller's state; clones share it.
#[derive(Clone, Debug)]
pub struct CloudController {
    inner: Arc<Mutex<Inner>>,
    uaa: Uaa,
}

#[derive(Debug)]
struct Inner {
    base_url: String,
    clock: Clock,
    ids: u64,
    apps: Table<App>,
    spaces: Table<Space>,
    organizations: Table<Organization>,
    faults: Faults,
    calls: BTreeMap<String, u64>,
    calls_total: u64,
}

type Table<T> = BTreeMap<String, Dated<T>>;

impl Inner {
    fn put<T: Resource>(&mut self, resource: T, table: fn(&mut Self) -> &mut Table<T>) {
        self.ids += 1;
        let (id, now) = (self.ids, self.clock.now());
        let (guid, table) = (resource.guid().to_owned(), table(self));
        let (id, created_at) = table.get(&guid).map_or((id, now), |old| (old.id, old.created_at));
        table.insert(guid, Dated { resource, id, created_at, updated_at: now });
    }
}

impl CloudController {
    pub(crate) fn new(uaa: Uaa) -> Self {
        let inner = Inner {
            base_url: String::new(),
            clock: Clock::new(),
            ids: 0,
            apps: BTreeMap::new(),
            spaces: BTreeMap::new(),
            organizations: BTreeMap::new(),
            faults: Faults::default(),
            calls: BTreeMap::new(),
            calls_total: 0,
        };
        Self { inner: Arc::new(Mutex::new(inner)), uaa }
    }

    /// Adds an app, or replaces the one with its guid; it counts as updated now.
    pub fn put_app(&self, app: App) {
        self.lock().put(app, |inner| &mut inner.apps);
    }

    /// Adds a space, or replaces the one with its guid; its apps do not count as updated.
    pub fn put_space(&self, space: Space) {
        self.lock().put(space, |inner| &mut inner.spaces);
    }

    /// Adds an organization, or replaces the one with its guid.
    pub fn put_organization(&self, organization: Organization) {
        self.lock().put(organization, |inner| &mut inner.organizations);
    }

    /// Every app, as it is now.
    pub fn apps(&self) -> Vec<App> {
        self.lock().apps.values().map(|app| app.resource.clone()).collect()
    }

    /// The space with this guid, as it is now.
    pub fn space(&self, guid: &str) -> Option<Space> {
        self.lock().spaces.get(guid).map(|space| space.resource.clone())
    }

    /// The organization with this guid, as it is now.
    pub fn organization(&self, guid: &str) -> Option<Organization> {
        self.lock().organizations.get(guid).map(|organization| organization.resource.clone())
    }

    /// Lets the calendar go on by so much: what is changed from here on is that much later.
    pub fn go_ahead(&self, time: Duration) {
        self.lock().clock.go_ahead(time);
    }

    /// Deletes an app; whether there was one.
    pub fn delete_app(&self, guid: &str) -> bool {
        self.lock().apps.remove(guid).is_some()
    }

    /// Answers requests for a path (without the query) with a status; `None`: as usual again.
    pub fn set_status(&self, path: &str, status: Option<u16>) {
        let mut inner = self.lock();
        match status {
            Some(status) => inner.faults.statuses.insert(path.to_owned(), status),
            None => inner.faults.statuses.remove(path),
        };
    }

    /// Answers every request that much later.
    pub fn set_latency(&self, latency: Duration) {
        self.lock().faults.latency = latency;
    }

    /// Answers so many of a hundred calls, picked at random, with a status; 0: as usual again.
    pub fn set_failing(&self, percent: u8, status: u16) {
        self.lock().faults.set_share(percent, status);
    }

    /// Lets every list that would show this app fail with 500, as if it could not be decrypted.
    pub fn set_unshowable(&self, guid: &str) {
        self.lock().faults.unshowable.insert(guid.to_owned());
    }

    /// Sets the calendar back by so much: what was changed before is of the time to come.
    pub fn go_back(&self, time: Duration) {
        self.lock().clock.go_back(time);
    }

    /// How often a path (without the query) was asked for.
    pub fn calls(&self, path: &str) -> u64 {
        self.lock().calls.get(path).copied().unwrap_or_default()
    }

    /// How many requests there were for paths that `wanted` is true for.
    pub fn calls_where(&self, wanted: impl Fn(&str) -> bool) -> u64 {
        self.lock().calls.iter().filter(|(path, _)| wanted(path)).map(|(_, n)| n).sum()
    }

    /// How many requests there were.
    pub fn calls_total(&self) -> u64 {
        self.lock().calls_total
    }

    /// Every path asked for, with how often.
    pub fn all_calls(&self) -> BTreeMap<String, u64> {
        self.lock().calls.clone()
    }

    pub(crate) fn set_base_url(&self, base_url: String) {
        self.lock().base_url = base_url;
    }

    /// Whether a caller may read the logs of an app, as the status of the internal look-up.
    pub(crate) fn log_access(&self, guid: &str) -> u16 {
        let path = format!("/internal/v4/log_access/{guid}");
        let inner = self.lock();
        let known = if inner.apps.contains_key(guid) { 200 } else { 404 };
        inner.faults.statuses.get(&path).copied().unwrap_or(known)
    }

    /// Whether a caller may read the logs of an app or else of a service instance.
    ///
    /// There are no service instances but those whose path was given the status 200.
    pub(crate) fn may_read_logs(&self, guid: &str) -> bool {
        let path = format!("/v3/service_instances/{guid}");
        self.log_access(guid) == 200 || self.lock().faults.statuses.get(&path) == Some(&200)
    }

    pub(crate) fn routes(&self) -> axum::Router {
        axum::Router::new()
            .route("/v3/apps", get(list_apps))
            .route("/v3/apps/{guid}", get(one_app))
            .route("/v3/apps/{guid}/environment_variables", get(environment))
            .route("/v3/spaces", get(list_spaces))
            .route("/v3/spaces/{guid}", get(one_space))
            .route("/v3/organizations", get(list_organizations))
            .route("/v3/organizations/{guid}", get(one_organization))
            .route("/internal/v4/log_access/{guid}", get(log_access))
            .layer(middleware::from_fn_with_state(self.clone(), guard))
            .with_state(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that can panic runs under the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What every request goes through: counting, latency, scripted answers, the token.
async fn guard(State(capi): State<CloudController>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let (latency, status, now) = {
        let mut inner = capi.lock();
        inner.calls_total += 1;
        if inner.calls.len() < PATHS_MAX || inner.calls.contains_key(&path) {
            *inner.calls.entry(path.clone()).or_default() += 1;
        }
        (inner.faults.latency, inner.faults.status(&path), inner.clock.now())
    };
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let mut response = answer(capi, status, request, next).await;
    // Dates of answers are of the same calendar as those of resources.
    if let Ok(date) = header::HeaderValue::try_from(httpdate::fmt_http_date(now.into())) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

async fn answer(capi: CloudController, status: Option<u16>, request: Request, next: Next) -> Response {
    if let Some(status) = status {
        return scripted(status);
    }
    match bearer(request.headers()) {
        None => failure(StatusCode::UNAUTHORIZED, 10002, "CF-NotAuthenticated", "Authentication error"),
        Some(token) if capi.uaa.scopes(token).is_err() => {
            failure(StatusCode::UNAUTHORIZED, 1000, "CF-InvalidAuthToken", "Invalid Auth Token")
        }
        Some(_) => next.run(request).await,
    }
}

/// The Cloud Controller takes the scheme in any case.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn scripted(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match status {
        StatusCode::NOT_FOUND => not_found("App"),
        StatusCode::UNAUTHORIZED => failure(status, 1000, "CF-InvalidAuthToken", "Invalid Auth Token"),
        StatusCode::FORBIDDEN => failure(
            status,
            10003,
            "CF-NotAuthorized",
            "You are not authorized to perform the requested action",
        ),
        StatusCode::TOO_MANY_REQUESTS => {
            failure(status, 10013, "CF-RateLimitExceeded", "Rate Limit Exceeded")
        }
        _ => failure(status, 10001, "UnknownError", "An unknown error occurred."),
    };
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}

fn failure(status: StatusCode, code: u32, title: &str, detail: &str) -> Response {
    let body = json!({ "errors": [{ "code": code, "title": title, "detail": detail }] });
    (status, Json(body)).into_response()
}

fn not_found(what: &str) -> Response {
    failure(StatusCode::NOT_FOUND, 10010, "CF-ResourceNotFound", &format!("{what} not found"))
}

async fn one_app(
    State(capi): State<CloudController>,
    Path(guid): Path<String>,
    request: Request,
) -> Response {
    let inner = capi.lock();
    // One resource takes `include` and nothing else.
    let includes = Offer { orders: &[], ..APPS };
    let query = match Query::parse(request.uri().query(), &includes) {
        Ok(query) => query,
        Err(refusal) => return *refusal,
    };
    let Some(app) = inner.apps.get(&guid) else { return not_found("App") };
    let mut body = app.json(&inner.base_url);
    if let Some(include) = &query.include {
        body["included"] = included(&inner, include, &[app]);
    }
    Json(body).into_response()
}

async fn environment(State(capi): State<CloudController>, Path(guid): Path<String>) -> Response {
    match capi.lock().apps.get(&guid) {
        Some(app) => Json(json!({ "var": app.resource.environment })).into_response(),
        None => not_found("App"),
    }
}

async fn one_space(State(capi): State<CloudController>, Path(guid): Path<String>) -> Response {
    let inner = capi.lock();
    match inner.spaces.get(&guid) {
        Some(space) => Json(space.json(&inner.base_url)).into_response(),
        None => not_found("Space"),
    }
}

async fn one_organization(State(capi): State<CloudController>, Path(guid): Path<String>) -> Response {
    let inner = capi.lock();
    match inner.organizations.get(&guid) {
        Some(organization) => Json(organization.json(&inner.base_url)).into_response(),
        None => not_found("Organization"),
    }
}

async fn log_access(State(capi): State<CloudController>, Path(guid): Path<String>) -> Response {
    match capi.log_access(&guid) {
        200 => Json(json!({})).into_response(),
        status => scripted(status),
    }
}

#[cfg(test)]
mod tests;
