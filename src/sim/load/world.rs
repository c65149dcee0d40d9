//! The made-up tenants of the load: organizations, spaces, apps, their instances and their tags.
//!
//! The same seed makes the same world. What the tags say and what the Cloud Controller says
//! agree, so that names can come from either.

use fastrand::Rng;

use crate::sim::foundation::{App, CloudController, Organization, Space};
use crate::sim::writer::Tags;

const APPS_PER_SPACE: usize = 8;
const SPACES_PER_ORGANIZATION: usize = 3;
const INSTANCES_MAX: usize = 4;

const FIRST_NAMES: [&str; 8] =
    ["checkout", "inventory", "pricing", "search", "mailer", "gateway", "reports", "sessions"];
const LAST_NAMES: [&str; 5] = ["api", "web", "worker", "service", "ui"];
const SPACE_NAMES: [&str; SPACES_PER_ORGANIZATION] = ["production", "staging", "development"];
const ORGANIZATION_NAMES: [&str; 6] =
    ["retail", "logistics", "finance", "platform-team", "data science", "größenwahn"];

/// One instance of an app.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) app_guid: String,
    /// Its number within the app, as text.
    pub(super) index: String,
    /// The id of its container.
    pub(super) id: String,
    pub(super) host: String,
    /// Where the router reaches it.
    pub(super) backend: String,
    /// Of its log lines.
    pub(super) log_tags: Tags,
    /// Of its container metrics.
    pub(super) metric_tags: Tags,
    /// Of the router's log lines about it.
    pub(super) router_log_tags: Tags,
    /// Of the router's timers about it.
    pub(super) timer_tags: Tags,
}

/// A job of the platform.
#[derive(Debug)]
pub(super) struct Component {
    pub(super) source_id: &'static str,
    pub(super) instance_id: String,
    pub(super) metric: &'static str,
    pub(super) tags: Tags,
}

/// Everything there is.
#[derive(Debug)]
pub(super) struct World {
    pub(super) instances: Vec<Instance>,
    pub(super) components: Vec<Component>,
    apps: Vec<App>,
    spaces: Vec<Space>,
    organizations: Vec<Organization>,
}

impl World {
    pub(super) fn new(apps: usize, rng: &mut Rng) -> Self {
        let mut world = Self {
            instances: Vec::new(),
            components: components(rng),
            apps: Vec::new(),
            spaces: Vec::new(),
            organizations: Vec::new(),
        };
        for n in 0..apps.max(1) {
            if n % (APPS_PER_SPACE * SPACES_PER_ORGANIZATION) == 0 {
                let number = world.organizations.len();
                let name = ORGANIZATION_NAMES[number % ORGANIZATION_NAMES.len()];
                let name = numbered(name, number / ORGANIZATION_NAMES.len());
                world.organizations.push(Organization { guid: guid(rng), name });
            }
            if n % APPS_PER_SPACE == 0 {
                let name = SPACE_NAMES[world.spaces.len() % SPACE_NAMES.len()].to_owned();
                let organization_guid = last(&world.organizations).guid;
                world.spaces.push(Space { guid: guid(rng), name, organization_guid });
            }
            world.add_app(n, rng);
        }
        world
    }

    /// Puts all of it into a Cloud Controller.
    pub(super) fn register(&self, capi: &CloudController) {
        for organization in &self.organizations {
            capi.put_organization(organization.clone());
        }
        for space in &self.spaces {
            capi.put_space(space.clone());
        }
        for app in &self.apps {
            capi.put_app(app.clone());
        }
    }

    fn add_app(&mut self, n: usize, rng: &mut Rng) {
        let first = FIRST_NAMES[n % FIRST_NAMES.len()];
        let name = format!("{first}-{}", LAST_NAMES[n / FIRST_NAMES.len() % LAST_NAMES.len()]);
        let name = numbered(&name, n / (FIRST_NAMES.len() * LAST_NAMES.len()));
        let space = last(&self.spaces);
        let app = App {
            guid: guid(rng),
            name,
            space_guid: space.guid.clone(),
            labels: [("team".to_owned(), first.to_owned())].into(),
            environment: [("LOG_LEVEL".to_owned(), "info".into())].into(),
            listed: true,
            ..App::default()
        };
        let organization = last(&self.organizations);
        for index in 0..rng.usize(1..=INSTANCES_MAX) {
            self.instances.push(instance(&app, &space, &organization, index, rng));
        }
        self.apps.push(app);
    }
}

fn instance(app: &App, space: &Space, organization: &Organization, index: usize, rng: &mut Rng) -> Instance {
    let (id, index) = (guid(rng), index.to_string());
    let cell = format!("10.0.8.{}", rng.u8(1..));
    let (cell_id, router_id) = (guid(rng), guid(rng));
    let tenant = [
        ("app_id", app.guid.as_str()),
        ("app_name", &app.name),
        ("space_id", &space.guid),
        ("space_name", &space.name),
        ("organization_id", &organization.guid),
        ("organization_name", &organization.name),
        ("process_id", &app.guid),
        ("process_instance_id", &id),
        ("process_type", "web"),
        ("source_id", &app.guid),
        ("product", "VMware Tanzu Application Service"),
        ("system_domain", "sys.example.com"),
        ("deployment", "cf-7c1f9d1b4a9d5b2e3c60"),
    ];
    let on_cell = [
        ("origin", "rep"),
        ("job", "diego_cell"),
        ("index", &cell_id),
        ("ip", &cell),
        ("instance_id", &index),
    ];
    let on_router = [("origin", "gorouter"), ("job", "router"), ("index", &router_id), ("ip", "10.0.4.20")];
    let with = |more: &[&[(&str, &str)]]| Tags::new([&tenant, more.concat().as_slice()].concat());
    Instance {
        log_tags: with(&[&on_cell, &[("source_type", "APP/PROC/WEB")]]),
        metric_tags: with(&[&on_cell]),
        router_log_tags: with(&[&on_router, &[("source_type", "RTR"), ("instance_id", "0")]]),
        timer_tags: with(&[&on_router, &[("instance_id", &index), ("__v1_type", "HttpStartStop")]]),
        app_guid: app.guid.clone(),
        host: format!("{}.apps.example.com", app.name),
        backend: format!("{cell}:{}", rng.u16(61_000..62_000)),
        index,
        id,
    }
}

fn components(rng: &mut Rng) -> Vec<Component> {
    let mut component = |source_id, origin: &str, job: &str, metric| {
        let (instance_id, ip) = (guid(rng), format!("10.0.4.{}", rng.u8(1..)));
        let tags = [
            ("origin", origin),
            ("deployment", "cf-7c1f9d1b4a9d5b2e3c60"),
            ("job", job),
            ("index", &instance_id),
            ("ip", &ip),
            ("source_id", source_id),
            ("product", "VMware Tanzu Application Service"),
            ("system_domain", "sys.example.com"),
        ];
        Component { source_id, metric, tags: Tags::new(tags), instance_id }
    };
    vec![
        component("doppler", "loggregator.doppler", "doppler", "ingress"),
        component("gorouter", "gorouter", "router", "total_requests"),
        component("bbs", "bbs", "diego_database", "RequestLatency"),
        component("cc", "cc", "cloud_controller", "http_status.2XX"),
        component("uaa", "uaa", "uaa", "requests.global.completed.count"),
        component("system_metrics_agent", "system_metrics_agent", "diego_cell", "system_cpu_user"),
    ]
}

/// The first one has no number.
fn numbered(name: &str, n: usize) -> String {
    if n == 0 { name.to_owned() } else { format!("{name}-{n}") }
}

fn last<T: Clone + Default>(all: &[T]) -> T {
    all.last().cloned().unwrap_or_default()
}

fn guid(rng: &mut Rng) -> String {
    let mut text = Vec::with_capacity(36);
    super::corpus::uuid(rng, &mut text);
    String::from_utf8(text).unwrap_or_default()
}
