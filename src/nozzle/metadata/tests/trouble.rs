//! A Cloud Controller that fails, refuses, is busy or comes late.

use super::*;

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
