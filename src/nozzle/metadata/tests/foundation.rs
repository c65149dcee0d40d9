//! The whole of the metadata against the simulated Cloud Controller: what is known is compared with
//! the truth, app by app, and the calls are counted where they arrive.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

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

/// Lets time pass by hand, although the peers are on real sockets: the clock moves only while no
/// request is under way.
struct Hours {
    ticks: mpsc::Receiver<()>,
}

impl Hours {
    /// From here on time stands still. The thread does nothing but keep the runtime from moving the
    /// clock by itself, and give it time to look at its sockets.
    fn pause() -> Self {
        let (sender, ticks) = mpsc::channel(1);
        tokio::time::pause();
        drop(spawn_blocking(move || while sender.blocking_send(()).is_ok() {}));
        Self { ticks }
    }

    async fn pass(&mut self, seconds: u64, world: &World) {
        for _ in 0..seconds {
            tokio::time::advance(Duration::from_secs(1)).await;
            let mut quiet = 0;
            while quiet < 3 {
                self.ticks.recv().await.unwrap();
                quiet = if world.metadata.stats().under_way == 0 { quiet + 1 } else { 0 };
            }
        }
    }
}

#[tokio::test]
async fn an_hour_without_the_cloud_controller_costs_nobody_a_wait_and_leaves_no_trace() {
    const APPS: usize = 200;
    let foundation = platform(APPS).await;
    let settings = Settings { refresh: Duration::from_secs(15), ..settings() };
    let world = World::with_timing(foundation, settings, engine::Timing::default());
    world.listed().await;
    let mut time = Hours::pause();
    let capi = world.foundation.capi();
    time.pass(60, &world).await;
    assert_eq!((world.wrong(), world.metadata.stats().away), (vec![], false));

    capi.set_failing(100, 503);
    time.pass(60, &world).await;
    assert!(world.metadata.stats().away);
    let calls = world.calls();
    capi.put_app(sim::App { space_guid: place(0), ..app(APPS) });
    capi.put_app(sim::App { name: "renamed".to_owned(), ..app(0) });
    for _ in 0..59 {
        time.pass(60, &world).await;
        // What is known is served, what is not is not waited for.
        assert_eq!(&*known(&world.metadata.lookup(&app_guid(1))).names.app, "app-1");
        assert!(matches!(world.metadata.lookup(&app_guid(APPS)), Lookup::Unavailable));
    }
    let asked = world.calls() - calls;
    assert!((59..59 * 10).contains(&asked), "{asked} calls in an hour: a probe now and then");
    let stats = world.metadata.stats();
    assert_eq!((stats.outages, stats.pending, stats.entries), (1, 0, APPS));

    capi.set_failing(0, 503);
    time.pass(60, &world).await;
    assert!(!world.metadata.stats().away);
    assert_eq!(world.wrong(), [""; 0]);
}

#[tokio::test]
async fn what_changes_in_a_minute_is_known_a_refresh_later() {
    const APPS: usize = 500;
    let foundation = platform(APPS).await;
    let settings = Settings { refresh: Duration::from_secs(15), ..settings() };
    let world = World::with_timing(foundation, settings, engine::Timing::default());
    world.listed().await;
    let mut time = Hours::pause();
    let (calls, mut wrong_seconds) = (world.calls(), BTreeMap::<String, u64>::new());
    for second in 0..300 {
        // A hundred changes a minute.
        let n = second as usize;
        let capi = world.foundation.capi();
        capi.put_app(sim::App { name: format!("renamed-{second}"), ..app(n) });
        if second % 3 == 0 {
            let space = capi.space(&place(n % 25)).unwrap();
            capi.put_space(sim::Space { name: format!("renamed-{second}"), ..space });
        }
        if second % 3 == 1 {
            capi.put_organization(sim::Organization {
                guid: place(n % 5),
                name: format!("renamed-{second}"),
            });
        }
        time.pass(1, &world).await;
        let wrong = world.wrong();
        wrong_seconds.retain(|guid, _| wrong.contains(guid));
        for guid in wrong {
            let seconds = wrong_seconds.entry(guid).or_default();
            *seconds += 1;
            assert!(*seconds <= 60, "an app of a place that changes all the time");
        }
    }
    let asked = world.calls() - calls;
    assert!((3 * 300 / 19..=3 * 300 / 13).contains(&asked), "{asked} calls in five minutes");
    // When it calms down all is right within one refresh.
    time.pass(17, &world).await;
    assert_eq!(world.wrong(), [""; 0]);
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

#[tokio::test]
async fn times_to_come_and_a_clock_that_is_set_back_hide_no_change() {
    const YEAR: Duration = Duration::from_hours(365 * 24);
    let foundation = platform(100).await;
    // One API server was a year ahead when this app was changed.
    foundation.capi().go_ahead(YEAR);
    foundation.capi().put_app(sim::App { name: "of-next-year".to_owned(), ..app(9) });
    foundation.capi().go_back(YEAR);
    let world = World::of(foundation, watchful());
    world.right().await;
    world.listed().await;
    let rename = |n, name: &str| {
        let app = sim::App { name: name.to_owned(), ..app(n) };
        world.foundation.capi().put_app(app);
    };
    rename(1, "now");
    world.right().await;
    // While all is quiet the clock is set right, which it was not.
    world.foundation.capi().go_ahead(Duration::from_hours(1));
    rename(2, "an-hour-ahead");
    world.right().await;
    world.foundation.capi().go_back(Duration::from_hours(1));
    rename(3, "an-hour-earlier");
    world.right().await;
    rename(4, "later");
    world.right().await;
}
