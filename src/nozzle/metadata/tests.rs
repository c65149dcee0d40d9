//! The whole of the metadata against a Cloud Controller on a real socket.

mod environment;
mod foundation;
mod golden;
mod trouble;

use std::collections::VecDeque;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::*;
use crate::nozzle::cf::fake::{Fake, FakeApp};
use crate::task::Tasks;

/// A test that waits longer than this has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long events may wait in tests.
pub(crate) const WAIT: Duration = Duration::from_secs(5);

const A: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const B: &str = "bbbbbbbb-0000-4000-8000-000000000002";

/// All fields, no index, no renewal, no file, and a rate that is no limit.
pub(crate) fn settings() -> Settings {
    Settings {
        fields: Fields { app_name: true, org_name: true, org_guid: true, space_name: true, space_guid: true },
        ignore_missing: true,
        missing_ttl: Duration::ZERO,
        app_ttl: Duration::ZERO,
        org_space_ttl: Duration::ZERO,
        app_limit: None,
        rate_per_second: 10_000,
        index_from_env: false,
        index_from_label: false,
        refresh: Duration::ZERO,
        wait: WAIT,
        sourcetype_from_label: false,
        file: None,
    }
}

/// The metadata and the foundation it is about.
struct Rig {
    fake: Fake,
    metadata: Metadata,
    cancel: CancellationToken,
    tasks: Tasks<()>,
}

impl Rig {
    /// Runs the metadata; `prepare` sets the foundation up before the first request.
    async fn start(settings: Settings, prepare: impl FnOnce(&Fake)) -> Self {
        let fake = Fake::start().await;
        prepare(&fake);
        let cancel = CancellationToken::new();
        let (metadata, task) =
            Metadata::with_timing(settings, fake.foundation(), cancel.clone(), engine::Timing::quick());
        let mut tasks = Tasks::new();
        tasks.spawn("metadata", task);
        Self { fake, metadata, cancel, tasks }
    }

    /// As [`Rig::start`], but the list is held back, so that every app is looked up alone.
    async fn start_without_list(settings: Settings, prepare: impl FnOnce(&Fake)) -> Self {
        Self::start(settings, |fake| {
            fake.hold("/v3/apps");
            prepare(fake);
        })
        .await
    }

    /// Waits until `done` gives a value, looking each time something changes.
    async fn until<T>(&self, mut done: impl FnMut(&Self) -> Option<T>) -> T {
        let looking = async {
            loop {
                let seen = self.metadata.news();
                match done(self) {
                    Some(value) => return value,
                    None => self.metadata.changed(seen).await,
                }
            }
        };
        tokio::time::timeout(DEADLINE, looking).await.expect("did not come true in time")
    }

    /// The answer once it is not [`Lookup::Pending`].
    async fn settled(&self, id: &str) -> Lookup {
        self.until(|rig| match rig.metadata.lookup(id) {
            Lookup::Pending(_) => None,
            answer => Some(answer),
        })
        .await
    }

    /// The app once it is known and `done` holds; asks again as time goes by.
    async fn known(&self, id: &str, done: impl Fn(&App) -> bool) -> Arc<App> {
        let looking = async {
            loop {
                if let Lookup::Known(app) = self.metadata.lookup(id)
                    && done(&app)
                {
                    return app;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(DEADLINE, looking).await.expect("did not become known in time")
    }

    async fn listed(&self) -> ListStats {
        self.until(|rig| Some(rig.metadata.stats().list).filter(|list| list.passes > 0)).await
    }
}

fn fragment(app: &App) -> Value {
    let text = String::from_utf8(app.fragment.to_vec()).unwrap();
    serde_json::from_str(&format!("{{\"\":0{text}}}")).unwrap()
}

fn known(lookup: &Lookup) -> &App {
    match lookup {
        Lookup::Known(app) => app,
        other => panic!("expected a known app, got {other:?}"),
    }
}

#[tokio::test]
async fn a_hundred_events_of_an_app_cause_one_look_up() {
    let rig = Rig::start_without_list(settings(), |fake| fake.add(A, "shop")).await;
    for _ in 0..100 {
        assert!(matches!(rig.metadata.lookup(A), Lookup::Pending(_)));
    }
    let all = join_all((0..100).map(|_| rig.settled(A))).await;
    assert!(all.iter().all(|lookup| &*known(lookup).names.app == "shop"));
    assert_eq!(rig.fake.calls(&format!("/v3/apps/{A}")), 1);
    assert_eq!((rig.fake.calls("/v3/spaces"), rig.fake.calls("/v3/organizations")), (0, 0));
    let expected = json!({
        "": 0, "cf_app_name": "shop", "cf_space_name": "prod", "cf_space_id": "space-1",
        "cf_org_name": "acme", "cf_org_id": "org-1",
    });
    assert_eq!(fragment(known(&all[0])), expected);
}

#[tokio::test]
async fn the_list_answers_without_single_calls() {
    let rig = Rig::start(settings(), |fake| {
        for n in 0..5 {
            fake.add(&format!("{n}{}", &A[1..]), &format!("app-{n}"));
        }
        fake.script().page_size = 2;
    })
    .await;
    let list = rig.listed().await;
    assert_eq!((list.pages, list.apps, list.skipped, list.running), (3, 5, 0, false));
    for n in 0..5 {
        let lookup = rig.metadata.lookup(&format!("{n}{}", &A[1..]));
        assert_eq!(&*known(&lookup).names.app, format!("app-{n}").as_str());
        assert_eq!(&*known(&lookup).names.org, "acme");
    }
    assert_eq!(rig.metadata.stats().calls, CallStats { pages: 3, ..CallStats::default() });
}

#[tokio::test]
async fn apps_that_queue_up_are_looked_up_together() {
    let rig = Rig::start_without_list(settings(), |fake| {
        for n in 0..5 {
            fake.add(&format!("{n}{}", &A[1..]), &format!("app-{n}"));
        }
        fake.script().apps.get_mut(&format!("4{}", &A[1..])).unwrap().unlisted = true;
    })
    .await;
    let ids: Vec<_> = (0..6).map(|n| format!("{n}{}", &A[1..])).collect();
    let all = join_all(ids.iter().map(|id| rig.settled(id))).await;
    for (n, lookup) in all[..5].iter().enumerate() {
        assert_eq!(&*known(lookup).names.app, format!("app-{n}"));
    }
    assert!(matches!(all[5], Lookup::Missing));
    // What the answer leaves out may be there all the same, and is asked for alone.
    let expected = CallStats { pages: 1, apps: 2, batches: 1, ..CallStats::default() };
    assert_eq!(rig.metadata.stats().calls, expected);
}

#[tokio::test]
async fn many_ids_that_are_none_of_apps_cost_few_calls() {
    const IDS: usize = 2_000;
    let id = |n: usize| format!("{n:08x}{}", &A[8..]);
    let rig = Rig::start_without_list(settings(), |_| {}).await;
    for n in 0..IDS {
        rig.metadata.lookup(&id(n));
    }
    let upper = A.to_uppercase();
    rig.metadata.lookup(&upper);
    let stats = rig.until(|rig| Some(rig.metadata.stats()).filter(|stats| stats.missing == IDS + 1)).await;
    assert!(stats.calls.apps + stats.calls.batches <= 50, "{stats:?}");
    assert_eq!(rig.fake.calls(&format!("/v3/apps/{upper}")), 1, "another spelling is asked for as it is");
}

#[tokio::test]
async fn look_ups_do_not_wait_for_the_list() {
    let rig = Rig::start_without_list(settings(), |fake| fake.add(A, "a")).await;
    assert_eq!(&*known(&rig.settled(A).await).names.app, "a");
    assert_eq!(rig.metadata.stats().list.pages, 0);
    rig.fake.release();
    assert_eq!(rig.listed().await.apps, 1);
}

#[tokio::test]
async fn an_app_that_does_not_exist_is_asked_for_once() {
    let rig = Rig::start_without_list(settings(), |_| {}).await;
    for _ in 0..10 {
        assert!(matches!(rig.settled(A).await, Lookup::Missing));
    }
    assert_eq!(rig.fake.calls(&format!("/v3/apps/{A}")), 1);
    let stats = rig.metadata.stats();
    assert_eq!((stats.entries, stats.missing, stats.pending, stats.failures), (1, 1, 0, 0));
}

#[tokio::test]
async fn an_id_that_is_not_a_guid_is_not_asked_for() {
    let rig = Rig::start(settings(), |_| {}).await;
    let long = "a".repeat(10_000);
    for id in ["", "routing_api", "../../v2/info", "aaaaaaaa-0000-4000-8000-00000000000", &long] {
        assert!(matches!(rig.metadata.lookup(id), Lookup::Missing), "{id}");
    }
    assert_eq!(rig.metadata.stats().entries, 0);
}

#[tokio::test]
async fn without_include_each_space_and_org_is_read_once() {
    let rig = Rig::start(settings(), |fake| {
        fake.script().include = false;
        for n in 0..9 {
            fake.add(&format!("{n}{}", &A[1..]), "app");
        }
    })
    .await;
    rig.listed().await;
    let ids: Vec<_> = (0..9).map(|n| format!("{n}{}", &A[1..])).collect();
    for lookup in join_all(ids.iter().map(|id| rig.settled(id))).await {
        assert_eq!((&*known(&lookup).names.space, &*known(&lookup).names.org), ("prod", "acme"));
    }
    let expected = CallStats { pages: 2, spaces: 1, organizations: 1, ..CallStats::default() };
    assert_eq!(rig.metadata.stats().calls, expected);
}

#[tokio::test]
async fn fields_that_are_not_selected_cost_no_calls() {
    let fields = Fields { app_name: true, space_guid: true, ..Fields::default() };
    let rig = Rig::start_without_list(Settings { fields, ..settings() }, |fake| {
        fake.script().include = false;
        fake.add(A, "a");
    })
    .await;
    let lookup = rig.settled(A).await;
    let expected = json!({"": 0, "cf_app_name": "a", "cf_space_id": "space-1"});
    assert_eq!(fragment(known(&lookup)), expected);
    assert_eq!(rig.metadata.stats().calls.apps, 1);
    assert_eq!(rig.fake.calls("/v3/spaces"), 0);
}

#[tokio::test]
async fn a_listed_app_is_renewed_by_the_next_list() {
    let ttl = Duration::from_millis(20);
    for settings in [
        Settings { app_ttl: ttl, ..settings() },
        Settings { org_space_ttl: ttl, app_ttl: Duration::ZERO, ..settings() },
    ] {
        let rig = Rig::start(settings, |fake| fake.add(A, "old")).await;
        assert_eq!(&*rig.known(A, |_| true).await.names.app, "old");
        rig.fake.script().apps.get_mut(A).unwrap().name = "new".into();
        rig.fake.script().orgs.insert("org-1".into(), "renamed".into());
        let app = rig.known(A, |app| &*app.names.app == "new" && &*app.names.org == "renamed").await;
        assert!(String::from_utf8_lossy(&app.fragment).contains("renamed"));
    }
}

#[tokio::test]
async fn a_deleted_app_is_noticed_and_keeps_its_names() {
    let rig =
        Rig::start_without_list(Settings { app_ttl: Duration::from_millis(20), ..settings() }, |fake| {
            fake.add(A, "a")
        })
        .await;
    rig.known(A, |_| true).await;
    rig.fake.script().apps.clear();
    let looking = async {
        while rig.metadata.stats().deleted == 0 {
            assert_eq!(&*known(&rig.metadata.lookup(A)).names.app, "a");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.expect("not noticed");
    assert_eq!(&*known(&rig.metadata.lookup(A)).names.app, "a");
}

#[tokio::test]
async fn the_number_of_apps_kept_is_bounded() {
    let rig = Rig::start(Settings { app_limit: Some(2), ..settings() }, |fake| {
        for n in 0..5 {
            fake.add(&format!("{n}{}", &A[1..]), &format!("app-{n}"));
        }
    })
    .await;
    let list = rig.listed().await;
    assert_eq!((list.apps, list.skipped), (5, 3));
    for n in 0..5 {
        let lookup = rig.settled(&format!("{n}{}", &A[1..])).await;
        assert_eq!(&*known(&lookup).names.app, format!("app-{n}").as_str());
        assert_eq!(rig.metadata.stats().entries, 2);
    }
    assert!(rig.metadata.stats().evicted >= 3);
}

#[tokio::test]
async fn the_task_ends_when_it_is_told_to_and_answers_stay() {
    let mut rig = Rig::start(settings(), |fake| fake.add(A, "a")).await;
    rig.listed().await;
    rig.cancel.cancel();
    let end = tokio::time::timeout(DEADLINE, rig.tasks.join_next()).await.expect("ended in time");
    assert!(matches!(end, Some(Ok(("metadata", ())))));
    assert_eq!(&*known(&rig.metadata.lookup(A)).names.app, "a");
}

#[tokio::test(start_paused = true)]
async fn metadata_that_is_off_knows_nothing_and_never_changes() {
    let metadata = Metadata::off();
    assert!(matches!(metadata.lookup(A), Lookup::Missing));
    assert_eq!((metadata.generation(), metadata.stats()), (0, MetadataStats::default()));
    let wait = tokio::time::timeout(Duration::from_secs(3600), metadata.changed(1));
    assert!(wait.await.is_err());
}
