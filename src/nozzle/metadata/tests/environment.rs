//! Indexes and muting: by the environment, read one by one, and by labels.

use super::*;

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
