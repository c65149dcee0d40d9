//! The whole of the metadata against a Cloud Controller on a real socket.

mod foundation;
mod golden;

use std::collections::VecDeque;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::*;
use crate::nozzle::cf::fake::{Fake, FakeApp};
use crate::task::Tasks;

/// A test that waits longer than this has failed.
const DEADLINE: Duration = Duration::from_secs(20);

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
async fn a_page_that_fails_is_read_again_and_the_others_are_not() {
    let rig = Rig::start(settings(), |fake| {
        for n in 0..5 {
            fake.add(&format!("{n}{}", &A[1..]), "app");
        }
        let mut script = fake.script();
        script.page_size = 1;
        // Beyond what is tried again within the call.
        let page_2_fails = VecDeque::from([(200, None), (503, None), (503, None), (503, None), (503, None)]);
        script.failures.insert("/v3/apps".into(), page_2_fails);
    })
    .await;
    let list = rig.listed().await;
    assert_eq!((list.pages, list.apps), (5, 5));
    assert_eq!(rig.fake.calls("/v3/apps?"), 9, "four failed");
    assert_eq!(rig.metadata.stats().known, 5);
    assert_eq!(rig.metadata.stats().outages, 0);
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
async fn trouble_is_not_taken_for_absence_and_passes() {
    let path = format!("/v3/apps/{A}");
    // 404 without Cloud Controller's own code comes from a router in front of it.
    for status in [500, 502, 404, 403] {
        let rig = Rig::start_without_list(settings(), |fake| {
            fake.add(A, "a");
            // As often as it is tried within the call, but for a refusal, which is not tried again.
            let tries = if status == 403 { 1 } else { 3 };
            fake.script().failures.insert(path.clone(), VecDeque::from(vec![(status, None); tries]));
        })
        .await;
        let first = rig.settled(A).await;
        assert!(matches!(first, Lookup::Unavailable), "{status}: {first:?}");
        let app = rig.known(A, |_| true).await;
        assert_eq!(&*app.names.app, "a");
        assert_eq!(rig.fake.calls(&path), if status == 403 { 2 } else { 4 });
        assert_eq!(rig.metadata.stats().failures, 1);
    }
}

#[tokio::test]
async fn why_the_cloud_controller_counts_as_away_is_told() {
    for (status, expected) in [(200, "answered 200 with"), (401, "answered 401"), (502, "answered 502")] {
        let rig = Rig::start(settings(), |fake| {
            fake.script().broken.insert("/v3/apps".into(), status);
        })
        .await;
        rig.until(|rig| rig.metadata.stats().away.then_some(())).await;
        let error = rig.metadata.stats().last_error.unwrap();
        assert!(error.contains("/v3/apps") && error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn an_api_that_comes_late_is_found() {
    let rig = Rig::start(settings(), |fake| {
        fake.add(A, "a");
        fake.script().failures.insert("/".into(), VecDeque::from([(503, None); 4]));
    })
    .await;
    assert_eq!(&*rig.known(A, |_| true).await.names.app, "a");
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
async fn a_failed_environment_costs_the_index_for_a_while_and_nothing_else() {
    let path = format!("/v3/apps/{A}/environment_variables");
    let rig = Rig::start(Settings { index_from_env: true, ..settings() }, |fake| {
        fake.add(A, "a");
        let mut script = fake.script();
        script.apps.get_mut(A).unwrap().env = json!({"SPLUNK_INDEX": "mine"});
        script.failures.insert(path.clone(), VecDeque::from([(500, None); 3]));
    })
    .await;
    let first = rig.settled(A).await;
    assert_eq!((&*known(&first).names.app, known(&first).index.as_deref()), ("a", None));
    rig.known(A, |app| app.index.as_deref() == Some("mine")).await;
    assert_eq!(rig.fake.calls(&path), 4);
}

#[tokio::test]
async fn the_environment_is_read_only_where_it_counts() {
    let rig = Rig::start(Settings { index_from_env: true, index_from_label: true, ..settings() }, |fake| {
        let labels = [
            json!({"SPLUNK_INDEX": "label"}),
            json!({"F2S_DISABLE_LOGGING": "true"}),
            json!({"SPLUNK_INDEX": ""}),
            json!({}),
            json!({}),
        ];
        for (n, labels) in labels.into_iter().enumerate() {
            let env = json!({"SPLUNK_INDEX": "env"});
            let app = FakeApp { labels, env, space: "space-1".into(), ..FakeApp::default() };
            fake.script().apps.insert(format!("{n}{}", &A[1..]), app);
        }
    })
    .await;
    rig.listed().await;
    assert_eq!(rig.metadata.stats().calls.environments, 0, "nothing is read before an event asks");
    // The last one is never asked for.
    for (n, index) in [Some("label"), None, Some(""), Some("env")].into_iter().enumerate() {
        let lookup = rig.settled(&format!("{n}{}", &A[1..])).await;
        assert_eq!(known(&lookup).index.as_deref(), index, "{n}");
        assert_eq!(known(&lookup).muted, n == 1, "{n}");
    }
    // A label may give the index, but the variable may mute.
    let expected = CallStats { pages: 1, environments: 3, ..CallStats::default() };
    assert_eq!(rig.metadata.stats().calls, expected);
}

#[tokio::test]
async fn the_environment_of_the_busiest_app_is_read_first() {
    const APPS: usize = 200;
    let id = |n: usize| format!("{n:08x}{}", &A[8..]);
    let rig = Rig::start(Settings { index_from_env: true, ..settings() }, |fake| {
        (0..APPS).for_each(|n| fake.add(&id(n), "app"));
    })
    .await;
    rig.listed().await;
    for n in 0..APPS {
        rig.metadata.lookup(&id(n));
    }
    (0..10).for_each(|_| drop(rig.metadata.lookup(&id(150))));
    for n in 0..APPS {
        rig.settled(&id(n)).await;
    }
    let calls = rig.fake.script().calls.clone();
    let mut environments = calls.iter().filter(|call| call.ends_with("/environment_variables"));
    let place = environments.position(|call| call.contains(&id(150)));
    assert!(place.is_some_and(|place| place < ENVIRONMENT_READS_MAX), "{place:?}");
}

#[tokio::test]
async fn an_index_that_cannot_be_one_is_refused_and_counted() {
    let (longest, long) = ("i".repeat(255), "i".repeat(256));
    let cases = [
        (json!({}), json!(longest), Some(longest.as_str())),
        (json!({}), json!(long), None),
        (json!({}), json!("a\nb"), None),
        (json!({}), json!([long]), None),
        (json!({}), json!(""), Some("")),
        (json!({}), json!(" "), Some(" ")),
        // A label wins over the environment even if it is no use.
        (json!({"SPLUNK_INDEX": long}), json!("env"), None),
        (json!({"SPLUNK_INDEX": "a\u{7f}"}), json!("env"), None),
        (json!({"SPLUNK_INDEX": " "}), json!("env"), Some(" ")),
    ];
    let refused = cases.iter().filter(|case| case.2.is_none()).count() as u64;
    let settings = Settings { index_from_env: true, index_from_label: true, ..settings() };
    for listed in [true, false] {
        let rig = Rig::start(settings.clone(), |fake| {
            if !listed {
                fake.hold("/v3/apps");
            }
            for (n, (labels, index, _)) in cases.iter().enumerate() {
                let (labels, env) = (labels.clone(), json!({"SPLUNK_INDEX": index}));
                let app = FakeApp { labels, env, space: "space-1".into(), ..FakeApp::default() };
                fake.script().apps.insert(format!("{n}{}", &A[1..]), app);
            }
        })
        .await;
        if listed {
            rig.listed().await;
        }
        for (n, (_, _, expected)) in cases.iter().enumerate() {
            let lookup = rig.settled(&format!("{n}{}", &A[1..])).await;
            assert_eq!(known(&lookup).index.as_deref(), *expected, "{n}");
        }
        assert_eq!(rig.metadata.stats().indexes_refused, refused);
    }
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
async fn a_name_that_failed_is_asked_for_later_and_not_on_each_event() {
    let rig = Rig::start_without_list(settings(), |fake| {
        let mut script = fake.script();
        script.include = false;
        let failures = VecDeque::from([(500, None); 3]);
        script.failures.insert("/v3/organizations/org-1".into(), failures.clone());
        drop(script);
        fake.add(A, "a");
    })
    .await;
    let first = rig.settled(A).await;
    let names = &known(&first).names;
    assert_eq!((&*names.space, &*names.org_guid, &*names.org), ("prod", "org-1", ""));
    rig.known(A, |app| &*app.names.org == "acme").await;
    assert_eq!(rig.fake.calls("/v3/organizations"), 4);
    assert_eq!(rig.fake.calls("/v3/spaces"), 1);
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
async fn a_refused_token_is_replaced_within_the_call() {
    let rig = Rig::start_without_list(settings(), |fake| fake.add(A, "a")).await;
    rig.settled(B).await;
    rig.fake.revoke();
    assert_eq!(&*known(&rig.settled(A).await).names.app, "a");
    assert_eq!(rig.fake.script().tokens_given, 2);
    assert_eq!(rig.metadata.stats().failures, 0);
}

#[tokio::test]
async fn a_rate_limit_is_obeyed_and_the_call_made_again() {
    let path = format!("/v3/apps/{A}");
    let rig = Rig::start_without_list(settings(), |fake| {
        fake.add(A, "a");
        let failures = VecDeque::from([(429, Some("3600"))]);
        fake.script().failures.insert(path.clone(), failures);
    })
    .await;
    assert!(matches!(rig.metadata.lookup(A), Lookup::Pending(_)));
    let throttled = async {
        while rig.metadata.stats().throttled == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, throttled).await.expect("was not throttled in time");
    // The peer asks for an hour and gets five minutes; events do not wait so long.
    tokio::time::pause();
    tokio::time::advance(WAIT + Duration::from_secs(1)).await;
    assert!(matches!(rig.metadata.lookup(A), Lookup::Unavailable));
    tokio::time::advance(Duration::from_secs(290)).await;
    assert_eq!(rig.fake.calls(&path), 1);
    tokio::time::advance(Duration::from_secs(10)).await;
    tokio::time::resume();
    assert_eq!(&*rig.known(A, |_| true).await.names.app, "a");
    assert_eq!(rig.fake.calls(&path), 2);
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
