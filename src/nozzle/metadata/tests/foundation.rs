//! The whole of the metadata against the simulated Cloud Controller: what is known is compared with
//! the truth, app by app, and the calls are counted where they arrive.

mod time;

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::nozzle::cf::fake::client;
use crate::nozzle::cf::token::Credentials;
use crate::sim::foundation as sim;

const APPS_PER_SPACE: usize = 20;
const SPACES_PER_ORG: usize = 5;

/// A simulated foundation, and metadata that asks it.
struct World {
    foundation: sim::Foundation,
    metadata: Metadata,
    cancel: CancellationToken,
    tasks: Tasks<()>,
}

fn app_guid(n: usize) -> String {
    format!("{n:08x}-aaaa-4000-8000-000000000000")
}

fn place(n: usize) -> String {
    format!("{n:08x}-bbbb-4000-8000-000000000000")
}

fn app(n: usize) -> sim::App {
    sim::App {
        guid: app_guid(n),
        name: format!("app-{n}"),
        space_guid: place(n / APPS_PER_SPACE),
        environment: [("SPLUNK_INDEX".to_owned(), json!(format!("index-{n}")))].into(),
        listed: true,
        ..sim::App::default()
    }
}

async fn platform(apps: usize) -> sim::Foundation {
    crate::tls::install_provider();
    let config = sim::FoundationConfig {
        transport: sim::Transport::Plain,
        self_metrics_interval: Duration::from_hours(10_000),
        token_lifetime: Duration::from_hours(10_000),
        ..sim::FoundationConfig::default()
    };
    let foundation = sim::Foundation::start(config).await.unwrap();
    let capi = foundation.capi();
    let spaces = apps.div_ceil(APPS_PER_SPACE);
    for n in 0..spaces.div_ceil(SPACES_PER_ORG) {
        capi.put_organization(sim::Organization { guid: place(n), name: format!("org-{n}") });
    }
    for n in 0..spaces {
        let organization_guid = place(n / SPACES_PER_ORG);
        capi.put_space(sim::Space { guid: place(n), name: format!("space-{n}"), organization_guid });
    }
    (0..apps - 1).for_each(|n| capi.put_app(app(n)));
    // One is newer than the others, so that it alone is asked for again as the latest change.
    capi.go_ahead(Duration::from_hours(1));
    capi.put_app(app(apps - 1));
    // What the tests change is of another day.
    capi.go_ahead(Duration::from_hours(24));
    foundation
}

impl World {
    async fn start(apps: usize, settings: Settings) -> Self {
        Self::of(platform(apps).await, settings)
    }

    fn of(foundation: sim::Foundation, settings: Settings) -> Self {
        Self::with_timing(foundation, settings, engine::Timing::quick())
    }

    fn with_timing(foundation: sim::Foundation, settings: Settings, timing: engine::Timing) -> Self {
        let credentials =
            Credentials { client_id: "nozzle".into(), client_secret: "nozzle-secret".to_owned().into() };
        let api = url::Url::parse(&foundation.api_url()).unwrap();
        let cf = Foundation::new(client(), api, credentials);
        let cancel = CancellationToken::new();
        let (metadata, task) = Metadata::with_timing(settings, cf, cancel.clone(), timing);
        let mut tasks = Tasks::new();
        tasks.spawn("metadata", task);
        Self { foundation, metadata, cancel, tasks }
    }

    /// Ends the metadata as a nozzle ends it; gives back the foundation.
    async fn stop(mut self) -> sim::Foundation {
        self.cancel.cancel();
        self.tasks.join_next().await.unwrap().unwrap();
        self.foundation
    }

    /// The apps whose names are not what the Cloud Controller has at this moment, whether or not their
    /// environment is known.
    fn wrong(&self) -> Vec<String> {
        let capi = self.foundation.capi();
        let apps = capi.apps();
        let wrong = apps.into_iter().filter(|app| {
            let (Lookup::Known(known) | Lookup::Pending(Some(known))) = self.metadata.lookup(&app.guid)
            else {
                return true;
            };
            let space = capi.space(&app.space_guid).unwrap();
            let org = capi.organization(&space.organization_guid).unwrap();
            let names = &known.names;
            [&names.app, &names.space, &names.space_guid, &names.org, &names.org_guid].map(|name| &**name)
                != [&app.name, &space.name, &space.guid, &org.name, &org.guid]
        });
        wrong.map(|app| app.guid).collect()
    }

    /// Waits until all is as the Cloud Controller has it.
    async fn right(&self) {
        let looking = async {
            loop {
                let seen = self.metadata.news();
                if self.wrong().is_empty() {
                    return;
                }
                self.metadata.changed(seen).await;
            }
        };
        let ended = tokio::time::timeout(DEADLINE, looking).await;
        assert!(ended.is_ok(), "wrong: {:?} {:?}", self.wrong().len(), self.metadata.stats());
    }

    async fn listed(&self) -> MetadataStats {
        let looking = async {
            while self.metadata.stats().list.passes == 0 {
                self.metadata.changed(self.metadata.news()).await;
            }
        };
        tokio::time::timeout(DEADLINE, looking).await.expect("the list has an end");
        self.metadata.stats()
    }

    /// How many calls the Cloud Controller has seen.
    fn calls(&self) -> u64 {
        self.foundation.capi().calls_total()
    }

    fn environment_calls(&self) -> u64 {
        self.foundation.capi().calls_where(|path| path.ends_with("/environment_variables"))
    }
}

/// All that changes is seen at once.
fn watchful() -> Settings {
    Settings { refresh: Duration::from_millis(10), ..settings() }
}

/// What the Go nozzle asks for when it starts.
fn go_nozzle_calls(apps: usize) -> u64 {
    let spaces = apps.div_ceil(APPS_PER_SPACE);
    (1 + apps + spaces + spaces.div_ceil(SPACES_PER_ORG)) as u64
}

#[tokio::test]
async fn all_apps_are_known_for_a_hundredth_of_the_calls() {
    const APPS: usize = 10_000;
    let world = World::start(APPS, Settings { refresh: Duration::from_hours(1), ..settings() }).await;
    let stats = world.listed().await;
    assert_eq!((stats.list.apps, stats.known, stats.list.skipped), (APPS as u64, APPS, 0));
    assert_eq!(world.wrong(), [""; 0]);
    let calls = world.calls();
    assert!(calls * 100 <= go_nozzle_calls(APPS), "{calls} calls");
    assert_eq!(calls, 3 + APPS.div_ceil(512) as u64, "pages, and what changed last of each kind");
}

#[tokio::test]
async fn a_hundred_changes_are_seen_in_a_few_calls() {
    const APPS: usize = 1_000;
    let world = World::start(APPS, watchful()).await;
    world.listed().await;
    let capi = world.foundation.capi();
    let before = world.metadata.stats();
    for n in 0..20 {
        capi.put_app(sim::App { name: format!("renamed-{n}"), ..app(n) });
        capi.put_app(sim::App { space_guid: place(n % 7), ..app(20 + n) });
        capi.put_app(sim::App { space_guid: place(3), ..app(APPS + n) });
        let space = sim::Space { name: format!("renamed-{n}"), ..capi.space(&place(20 + n)).unwrap() };
        // Every other one moves to another org as well.
        let organization_guid = if n % 2 == 0 { place(0) } else { space.organization_guid.clone() };
        capi.put_space(sim::Space { organization_guid, ..space });
    }
    for n in 0..10 {
        capi.put_organization(sim::Organization { guid: place(n), name: format!("renamed-{n}") });
    }
    for n in (0..10).map(|n| APPS + n) {
        capi.put_space(sim::Space { guid: place(n), name: "new".to_owned(), organization_guid: place(1) });
        capi.put_app(sim::App { space_guid: place(n), ..app(n) });
    }
    world.right().await;
    let after = world.metadata.stats();
    assert_eq!(after.calls.pages, before.calls.pages, "the list is not read again");
    let alone = |calls: CallStats| calls.apps + calls.spaces + calls.organizations + calls.batches;
    // `right` asks for new apps before the next turn, as events would.
    assert!(alone(after.calls) - alone(before.calls) <= 30, "{after:?}");
    let turns = after.changes.turns - before.changes.turns;
    assert!(after.calls.changes - before.calls.changes <= 3 * (turns + 1), "{after:?}");
}

#[tokio::test]
async fn a_deleted_app_keeps_its_last_names() {
    let world = World::start(100, watchful()).await;
    world.right().await;
    world.foundation.capi().delete_app(&app_guid(3));
    let turns = world.metadata.stats().changes.turns;
    let looking = async {
        while world.metadata.stats().changes.turns < turns + 3 {
            world.metadata.changed(world.metadata.news()).await;
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.unwrap();
    assert_eq!(&*known(&world.metadata.lookup(&app_guid(3))).names.app, "app-3");
    assert_eq!(world.metadata.stats().calls.apps, 0);
}

#[tokio::test]
async fn one_call_in_ten_may_fail() {
    const APPS: usize = 5_000;
    let foundation = platform(APPS).await;
    foundation.capi().set_failing(10, 503);
    let world = World::of(foundation, Settings { index_from_env: true, ..settings() });
    // Events ask from the first moment on.
    for n in 0..100 {
        let lookup = world.metadata.lookup(&app_guid(n));
        assert!(matches!(lookup, Lookup::Pending(None)), "{lookup:?}");
    }
    world.listed().await;
    let looking = async {
        for n in 0..100 {
            loop {
                let seen = world.metadata.news();
                match world.metadata.lookup(&app_guid(n)) {
                    Lookup::Known(app) if !app.index_unread => {
                        assert_eq!(&*app.names.app, format!("app-{n}"));
                        assert_eq!(app.index.as_deref(), Some(&*format!("index-{n}")));
                        break;
                    }
                    Lookup::Missing => panic!("a failure is not an answer"),
                    _ => world.metadata.changed(seen).await,
                }
            }
        }
    };
    let ended = tokio::time::timeout(DEADLINE, looking).await;
    let stats = world.metadata.stats();
    assert!(ended.is_ok(), "not all are known: {stats:?}");
    assert_eq!((stats.known, stats.missing), (APPS, 0));
    assert!(world.calls() < 200, "{} calls, {stats:?}", world.calls());
    assert!(world.environment_calls() >= 100);
}

#[tokio::test]
async fn an_environment_is_read_once_for_each_app_that_logs_and_outlives_a_restart() {
    const LOGGING: usize = 50;
    let directory = tempfile::tempdir().unwrap();
    let file = Some(directory.path().join("cache.db"));
    let settings = Settings { index_from_env: true, file, app_ttl: Duration::from_hours(24), ..watchful() };
    let world = World::start(500, settings.clone()).await;
    world.listed().await;
    let indexes = |world: &World| -> Vec<bool> {
        let lookup = |n| world.metadata.lookup(&app_guid(n));
        let expected = |n| format!("index-{n}");
        (0..LOGGING)
            .map(|n| matches!(lookup(n), Lookup::Known(app) if app.index.as_deref() == Some(&*expected(n))))
            .collect()
    };
    let looking = async {
        while indexes(&world).contains(&false) {
            world.metadata.changed(world.metadata.news()).await;
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.expect("all indexes are read");
    assert_eq!(world.environment_calls(), LOGGING as u64);

    // A restart, while the Cloud Controller is away: the first event already has all.
    let foundation = world.stop().await;
    foundation.capi().set_failing(100, 503);
    let calls = foundation.capi().calls_total();
    let world = World::of(foundation, settings.clone());
    assert_eq!(indexes(&world), [true; LOGGING]);
    assert_eq!(world.calls(), calls, "nothing has been asked yet");
    world.foundation.capi().set_failing(0, 503);
    world.listed().await;
    assert_eq!(indexes(&world), [true; LOGGING]);
    assert_eq!(world.environment_calls(), LOGGING as u64, "nor is it read again");

    // One that has been changed is read again.
    let environment = [("SPLUNK_INDEX".to_owned(), json!("changed"))].into();
    let world = World::of(world.stop().await, settings);
    world.listed().await;
    world.foundation.capi().put_app(sim::App { environment, ..app(7) });
    let looking = async {
        while known(&world.metadata.lookup(&app_guid(7))).index.as_deref() != Some("changed") {
            world.metadata.changed(world.metadata.news()).await;
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.expect("the change is seen");
    assert_eq!(world.environment_calls(), LOGGING as u64 + 1);
}

#[tokio::test]
async fn a_file_that_is_in_use_or_not_ours_does_not_keep_it_from_working() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes");
    std::fs::write(&path, "not a cache").unwrap();
    let world = World::start(10, Settings { file: Some(path.clone()), ..settings() }).await;
    world.right().await;
    assert!(!world.metadata.stats().file.enabled);
    world.stop().await;
    assert_eq!(std::fs::read(Path::new(&path)).unwrap(), b"not a cache");
}

#[tokio::test]
async fn a_new_label_or_another_sourcetype_is_seen() {
    let world =
        World::start(10, Settings { index_from_label: true, sourcetype_from_label: true, ..watchful() })
            .await;
    world.right().await;
    let labels = [("SPLUNK_INDEX", "mine"), ("SPLUNK_SOURCETYPE", "nginx"), ("F2S_DISABLE_LOGGING", "true")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    world.foundation.capi().put_app(sim::App { labels, ..app(1) });
    let looking = async {
        loop {
            let seen = world.metadata.news();
            let lookup = world.metadata.lookup(&app_guid(1));
            let app = known(&lookup);
            if app.muted {
                assert_eq!((app.index.as_deref(), app.sourcetype.as_deref()), (Some("mine"), Some("nginx")));
                return;
            }
            world.metadata.changed(seen).await;
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.expect("the labels are seen");
}

#[tokio::test]
async fn one_app_that_no_list_can_show_costs_the_others_nothing() {
    const APPS: usize = 1_500;
    let foundation = platform(APPS).await;
    foundation.capi().set_unshowable(&app_guid(600));
    let world = World::of(foundation, watchful());
    world.right().await;
    let stats = world.metadata.stats();
    assert!(stats.list.running && stats.list.failures > 0, "{stats:?}");
    // The page it is on never comes, but changes do.
    let capi = world.foundation.capi();
    capi.put_app(sim::App { name: "renamed".to_owned(), ..app(5) });
    capi.put_space(sim::Space { name: "renamed".to_owned(), ..capi.space(&place(3)).unwrap() });
    world.right().await;
}

#[tokio::test]
async fn a_list_that_cannot_be_read_keeps_nobody_from_reading_the_others() {
    let foundation = platform(100).await;
    foundation.capi().set_status("/v3/spaces", Some(500));
    let world = World::of(foundation, watchful());
    assert_eq!(world.listed().await.known, 100);
    world.foundation.capi().set_status("/v3/spaces", None);
    world.foundation.capi().put_space(sim::Space {
        guid: place(3),
        name: "renamed".to_owned(),
        organization_guid: place(0),
    });
    world.right().await;
}
