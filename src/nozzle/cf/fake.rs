//! Peers for tests: routers on real sockets, and a scriptable Cloud Controller with its UAA.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::watch;
use url::Url;

use super::Foundation;
use super::http::Http;
use super::token::Credentials;
use crate::proxy::ProxySettings;
use crate::task::Tasks;
use crate::tls::ClientTls;

/// A server that ends with this value.
pub(crate) struct Server {
    _tasks: Tasks<()>,
}

/// Serves `app` on a free port of the loopback interface.
pub(crate) async fn serve(app: Router) -> (Url, Server) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let mut tasks = Tasks::new();
    tasks.spawn("fake server", async move { axum::serve(listener, app).await.unwrap() });
    (url, Server { _tasks: tasks })
}

/// A client with the default TLS settings.
pub(crate) fn client() -> Http {
    crate::tls::install_provider();
    Http::new(&ClientTls::default(), &ProxySettings::default()).unwrap()
}

/// An app as the fake Cloud Controller holds it.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeApp {
    pub(crate) name: String,
    pub(crate) space: String,
    pub(crate) labels: Value,
    pub(crate) env: Value,
    pub(crate) unlisted: bool,
}

/// What the fake answers, and what it was asked.
pub(crate) struct Script {
    pub(crate) apps: BTreeMap<String, FakeApp>,
    /// Space guid to name and org guid.
    pub(crate) spaces: BTreeMap<String, (String, String)>,
    pub(crate) orgs: BTreeMap<String, String>,
    /// The next answers for a path: status (200 for the regular answer), Retry-After.
    pub(crate) failures: HashMap<String, VecDeque<(u16, Option<&'static str>)>>,
    /// Paths that always answer so.
    pub(crate) broken: HashMap<String, u16>,
    pub(crate) include: bool,
    pub(crate) page_size: usize,
    /// Every request but those to UAA, with its query.
    pub(crate) calls: Vec<String>,
    pub(crate) tokens_given: u32,
    pub(crate) token: String,
}

/// A foundation of one process: API root, UAA, Cloud Controller.
pub(crate) struct Fake {
    pub(crate) url: Url,
    state: Arc<State>,
    _server: Server,
}

struct State {
    script: Mutex<Script>,
    /// The path whose requests wait.
    held: watch::Sender<Option<String>>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let script = Script {
            apps: BTreeMap::new(),
            spaces: BTreeMap::from([("space-1".into(), ("prod".into(), "org-1".into()))]),
            orgs: BTreeMap::from([("org-1".into(), "acme".into())]),
            failures: HashMap::new(),
            broken: HashMap::new(),
            include: true,
            page_size: 500,
            calls: Vec::new(),
            tokens_given: 0,
            token: String::new(),
        };
        let state = Arc::new(State { script: Mutex::new(script), held: watch::Sender::new(None) });
        let (url, server) = serve(Router::new().fallback(answer).with_state(Arc::clone(&state))).await;
        Self { url, state, _server: server }
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.state.script.lock().unwrap()
    }

    /// A handle on this foundation, as the nozzle has it.
    pub(crate) fn foundation(&self) -> Foundation {
        let credentials =
            Credentials { client_id: "nozzle".into(), client_secret: "secret".to_owned().into() };
        Foundation::new(client(), self.url.clone(), credentials)
    }

    /// Adds an app in space-1 of org-1, without an index.
    pub(crate) fn add(&self, guid: &str, name: &str) {
        let app = FakeApp { name: name.into(), space: "space-1".into(), ..FakeApp::default() };
        self.script().apps.insert(guid.into(), app);
    }

    /// Lets requests to `path` wait until [`Fake::release`].
    pub(crate) fn hold(&self, path: &str) {
        self.state.held.send_replace(Some(path.into()));
    }

    pub(crate) fn release(&self) {
        self.state.held.send_replace(None);
    }

    /// Makes the token in use invalid.
    pub(crate) fn revoke(&self) {
        self.script().token = String::new();
    }

    /// How many requests began with `path`.
    pub(crate) fn calls(&self, path: &str) -> usize {
        self.script().calls.iter().filter(|call| call.starts_with(path)).count()
    }
}

async fn answer(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let (uri, headers) = (request.uri().clone(), request.headers().clone());
    if uri.path() != "/oauth/token" {
        state.script.lock().unwrap().calls.push(uri.to_string());
    }
    let mut held = state.held.subscribe();
    // A few apps by their guids are not the list, though the path is the same.
    let place = if uri.query().unwrap_or("").contains("guids=") { "/v3/apps?guids" } else { uri.path() };
    let _ = held.wait_for(|held| held.as_deref() != Some(place)).await;
    let mut script = state.script.lock().unwrap();
    let scripted = script.failures.get_mut(place).and_then(VecDeque::pop_front);
    if let Some((status, retry_after)) = scripted.filter(|(status, _)| *status != 200) {
        return failure(status, retry_after);
    }
    if let Some(status) = script.broken.get(place) {
        return failure(*status, None);
    }
    script.answer(&uri, &headers)
}

fn failure(status: u16, retry_after: Option<&str>) -> Response {
    let mut response = StatusCode::from_u16(status).unwrap().into_response();
    if let Some(value) = retry_after {
        response.headers_mut().insert("retry-after", value.parse().unwrap());
    }
    response
}

fn error(status: u16, code: u32, detail: &str) -> Response {
    let body = json!({"errors": [{"code": code, "title": "CF-Error", "detail": detail}]});
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

impl Script {
    fn answer(&mut self, uri: &Uri, headers: &HeaderMap) -> Response {
        let base = format!("http://{}", headers["host"].to_str().unwrap());
        let path: Vec<_> = uri.path().split('/').skip(1).collect();
        if path.first() == Some(&"v3") {
            let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
            if self.token.is_empty() || authorization != Some(&format!("bearer {}", self.token)) {
                return error(401, 1000, "Invalid Auth Token");
            }
        }
        let include = uri.query().unwrap_or("").contains("include=space.organization");
        if include && !self.include {
            return error(400, 10005, "Invalid included resource: 'space.organization'");
        }
        let found = match path.as_slice() {
            [""] => Some(json!({"links": {
                "uaa": {"href": base}, "cloud_controller_v3": {"href": format!("{base}/v3")},
                "logging": null, "log_stream": null,
            }})),
            ["oauth", "token"] => {
                self.tokens_given += 1;
                self.token = format!("token-{}", self.tokens_given);
                Some(json!({"access_token": self.token, "token_type": "bearer", "expires_in": 600}))
            }
            ["v3", "apps"] => Some(self.page(uri, include)),
            ["v3", "apps", guid] => self.apps.get_key_value(*guid).map(|(guid, app)| {
                let mut body = resource(guid, app);
                if include {
                    body["included"] = self.included([app]);
                }
                body
            }),
            ["v3", "apps", guid, "environment_variables"] => {
                self.apps.get(*guid).map(|app| json!({"var": app.env, "links": {}}))
            }
            ["v3", "spaces", guid] => self.spaces.get(*guid).map(|space| space_resource(guid, space)),
            ["v3", "organizations", guid] => {
                self.orgs.get(*guid).map(|name| json!({"guid": guid, "name": name}))
            }
            _ => None,
        };
        found.map_or_else(|| error(404, 10010, "Resource not found"), |body| axum::Json(body).into_response())
    }

    fn page(&self, uri: &Uri, include: bool) -> Value {
        let query: HashMap<String, String> =
            url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()).into_owned().collect();
        let number: usize = query.get("page").map_or(1, |page| page.parse().unwrap());
        let size: usize = query["per_page"].parse().unwrap();
        let size = size.min(self.page_size);
        let wanted =
            |guid: &str| query.get("guids").is_none_or(|guids| guids.split(',').any(|one| one == guid));
        let wanted: Vec<_> = self.apps.iter().filter(|(guid, _)| wanted(guid)).collect();
        let listed: Vec<_> = wanted.iter().filter(|(_, app)| !app.unlisted).collect();
        let page: Vec<_> = listed.iter().skip((number - 1) * size).take(size).collect();
        let mut body = json!({
            // One that is not shown is counted all the same: then the answer is not complete.
            "pagination": {"total_results": wanted.len(), "total_pages": listed.len().div_ceil(size).max(1),
                // Nobody is to follow it: the token is not for that host.
                "next": {"href": "http://localhost:1/v3/apps?page=2"}},
            "resources": page.iter().map(|(guid, app)| resource(guid, app)).collect::<Vec<_>>(),
        });
        if include {
            body["included"] = self.included(page.iter().map(|(_, app)| *app));
        }
        body
    }

    fn included<'a>(&self, apps: impl IntoIterator<Item = &'a FakeApp>) -> Value {
        let (mut spaces, mut orgs) = (BTreeMap::new(), BTreeMap::new());
        for app in apps {
            if let Some(space) = self.spaces.get(&app.space) {
                spaces.insert(&app.space, space_resource(&app.space, space));
                if let Some(name) = self.orgs.get(&space.1) {
                    orgs.insert(&space.1, json!({"guid": space.1, "name": name}));
                }
            }
        }
        json!({
            "spaces": spaces.into_values().collect::<Vec<_>>(),
            "organizations": orgs.into_values().collect::<Vec<_>>(),
        })
    }
}

fn resource(guid: &str, app: &FakeApp) -> Value {
    json!({
        "guid": guid, "name": app.name, "state": "STARTED", "lifecycle": {"type": "buildpack"},
        "relationships": {"space": {"data": {"guid": app.space}}},
        "metadata": {"labels": app.labels, "annotations": {}},
    })
}

fn space_resource(guid: &str, (name, org): &(String, String)) -> Value {
    json!({"guid": guid, "name": name, "relationships": {"organization": {"data": {"guid": org}}}})
}
