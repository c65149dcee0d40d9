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
use serde_json::{Value, json};

use self::query::Query;
use super::uaa::Uaa;

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

#[derive(Debug, Default)]
struct Inner {
    base_url: String,
    // In the order of their guids, which is as good as any.
    apps: BTreeMap<String, App>,
    spaces: BTreeMap<String, Space>,
    organizations: BTreeMap<String, Organization>,
    statuses: BTreeMap<String, u16>,
    latency: Duration,
    calls: BTreeMap<String, u64>,
    calls_total: u64,
}

impl CloudController {
    pub(crate) fn new(uaa: Uaa) -> Self {
        Self { inner: Arc::default(), uaa }
    }

    /// Adds an app, or replaces the one with its guid.
    pub fn put_app(&self, app: App) {
        self.lock().apps.insert(app.guid.clone(), app);
    }

    /// Adds a space, or replaces the one with its guid.
    pub fn put_space(&self, space: Space) {
        self.lock().spaces.insert(space.guid.clone(), space);
    }

    /// Adds an organization, or replaces the one with its guid.
    pub fn put_organization(&self, organization: Organization) {
        self.lock().organizations.insert(organization.guid.clone(), organization);
    }

    /// Deletes an app; whether there was one.
    pub fn delete_app(&self, guid: &str) -> bool {
        self.lock().apps.remove(guid).is_some()
    }

    /// Answers requests for a path (without the query) with a status; `None`: as usual again.
    pub fn set_status(&self, path: &str, status: Option<u16>) {
        let mut inner = self.lock();
        match status {
            Some(status) => inner.statuses.insert(path.to_owned(), status),
            None => inner.statuses.remove(path),
        };
    }

    /// Answers every request that much later.
    pub fn set_latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    /// How often a path (without the query) was asked for.
    pub fn calls(&self, path: &str) -> u64 {
        self.lock().calls.get(path).copied().unwrap_or_default()
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
        inner.statuses.get(&path).copied().unwrap_or(known)
    }

    /// Whether a caller may read the logs of an app or else of a service instance.
    ///
    /// There are no service instances but those whose path was given the status 200.
    pub(crate) fn may_read_logs(&self, guid: &str) -> bool {
        let path = format!("/v3/service_instances/{guid}");
        self.log_access(guid) == 200 || self.lock().statuses.get(&path) == Some(&200)
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
    let (latency, status) = {
        let mut inner = capi.lock();
        inner.calls_total += 1;
        if inner.calls.len() < PATHS_MAX || inner.calls.contains_key(&path) {
            *inner.calls.entry(path.clone()).or_default() += 1;
        }
        (inner.latency, inner.statuses.get(&path).copied())
    };
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
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

async fn one_app(State(capi): State<CloudController>, Path(guid): Path<String>) -> Response {
    let inner = capi.lock();
    match inner.apps.get(&guid) {
        Some(app) => Json(app.json(&inner.base_url)).into_response(),
        None => not_found("App"),
    }
}

async fn environment(State(capi): State<CloudController>, Path(guid): Path<String>) -> Response {
    match capi.lock().apps.get(&guid) {
        Some(app) => Json(json!({ "var": app.environment })).into_response(),
        None => not_found("App"),
    }
}

async fn one_space(State(capi): State<CloudController>, Path(guid): Path<String>) -> Response {
    match capi.lock().spaces.get(&guid) {
        Some(space) => Json(space.json()).into_response(),
        None => not_found("Space"),
    }
}

async fn one_organization(State(capi): State<CloudController>, Path(guid): Path<String>) -> Response {
    match capi.lock().organizations.get(&guid) {
        Some(organization) => Json(organization.json()).into_response(),
        None => not_found("Organization"),
    }
}

async fn log_access(State(capi): State<CloudController>, Path(guid): Path<String>) -> Response {
    match capi.log_access(&guid) {
        200 => Json(json!({})).into_response(),
        status => scripted(status),
    }
}

async fn list_apps(State(capi): State<CloudController>, request: Request) -> Response {
    let inner = capi.lock();
    let query = match Query::parse(request.uri().query(), &["space.organization", "space"]) {
        Ok(query) => query,
        Err(refusal) => return *refusal,
    };
    let listed = inner.apps.values().filter(|app| app.listed && query.wants(&app.guid)).collect();
    let (page, shown) = query.page(&inner.base_url, "/v3/apps", listed);
    let mut body = page;
    body["resources"] = shown.iter().map(|app| app.json(&inner.base_url)).collect();
    if let Some(include) = &query.include {
        let mut spaces: Vec<_> = shown.iter().map(|app| &app.space_guid).collect();
        spaces.sort();
        spaces.dedup();
        let spaces: Vec<_> = spaces.into_iter().filter_map(|guid| inner.spaces.get(guid)).collect();
        body["included"]["spaces"] = spaces.iter().map(|space| space.json()).collect();
        if include == "space.organization" {
            let mut guids: Vec<_> = spaces.iter().map(|space| &space.organization_guid).collect();
            guids.sort();
            guids.dedup();
            let found = guids.into_iter().filter_map(|guid| inner.organizations.get(guid));
            body["included"]["organizations"] = found.map(Organization::json).collect();
        }
    }
    Json(body).into_response()
}

async fn list_spaces(State(capi): State<CloudController>, request: Request) -> Response {
    let inner = capi.lock();
    let all = inner.spaces.iter();
    plain_list(&inner.base_url, "/v3/spaces", &request, all, Space::json)
}

async fn list_organizations(State(capi): State<CloudController>, request: Request) -> Response {
    let inner = capi.lock();
    let all = inner.organizations.iter();
    plain_list(&inner.base_url, "/v3/organizations", &request, all, Organization::json)
}

fn plain_list<'a, T: 'a>(
    base_url: &str,
    path: &str,
    request: &Request,
    all: impl Iterator<Item = (&'a String, &'a T)>,
    json: impl Fn(&T) -> Value,
) -> Response {
    let query = match Query::parse(request.uri().query(), &["organization"]) {
        Ok(query) => query,
        Err(refusal) => return *refusal,
    };
    let listed = all.filter(|(guid, _)| query.wants(guid)).map(|(_, resource)| resource).collect();
    let (mut body, shown) = query.page(base_url, path, listed);
    body["resources"] = shown.into_iter().map(json).collect();
    Json(body).into_response()
}

#[cfg(test)]
mod tests;
