//! What is known about an app, and when it is asked for again.

use super::*;

#[test]
fn what_is_known_is_served_while_it_is_renewed_and_outlives_failures() {
    let ttl = SECOND * 100;
    let mut bench = Bench::new(Settings { app_ttl: ttl, ..settings() }, 10, 10);
    bench.learn(A, facts("old"));
    bench.pass(ttl);
    assert!(bench.app().is_some() && !bench.queued(), "the list has the first go");
    bench.pass(ttl / 4);
    assert!(bench.app().is_some() && bench.queued());
    assert_eq!(bench.table.need(A, bench.now), Need::Whole);
    bench.settle(Outcome::Failed);
    assert_eq!(&*bench.app().unwrap().names.app, "old");
    bench.pass(SECOND * 10);
    assert!(bench.app().is_some() && bench.queued());
    bench.settle(found("new"));
    assert_eq!(&*bench.app().unwrap().names.app, "new");
    bench.learn(A, facts("newer"));
    assert_eq!(&*bench.app().unwrap().names.app, "newer");
}

#[test]
fn a_listed_app_waits_for_its_environment_and_keeps_it() {
    let mut bench = Bench::new(Settings { index_from_env: true, ..settings() }, 10, 10);
    bench.learn(A, facts("a"));
    let Lookup::Pending(Some(so_far)) = bench.lookup(A) else { panic!("its names are known") };
    assert_eq!((&*so_far.names.app, so_far.index_unread), ("a", true));
    assert!(bench.environment_queued() && !bench.queued());
    bench.environment(Some("mine"));
    let app = bench.app().unwrap();
    assert_eq!((app.index.as_deref(), app.index_unread), (Some("mine"), false));
    bench.learn(A, facts("b"));
    let app = bench.app().unwrap();
    assert_eq!((&*app.names.app, app.index.as_deref()), ("b", Some("mine")));
    bench.pass(SECOND * 1_000_000);
    assert!(bench.app().is_some() && !bench.environment_queued(), "without a ttl it is not read again");
}

#[test]
fn an_environment_is_read_again_when_the_app_has_changed() {
    let bench = Bench::new(Settings { index_from_env: true, ..settings() }, 10, 10);
    bench.learn(A, updated("a", 0));
    bench.lookup(A);
    assert!(bench.environment_queued());
    bench.environment(Some("old"));
    bench.learn(A, updated("a", 0));
    assert!(bench.app().is_some() && !bench.environment_queued());
    bench.learn(A, updated("a", 1));
    assert_eq!(bench.app().unwrap().index.as_deref(), Some("old"), "served meanwhile");
    assert!(bench.environment_queued());
    bench.environment(Some("new"));
    assert_eq!(bench.app().unwrap().index.as_deref(), Some("new"));
    assert!(!bench.environment_queued());
}

#[test]
fn an_environment_that_failed_keeps_the_last_index_and_is_read_again() {
    let ttl = SECOND * 100;
    for (lasting, pause) in [(false, 10), (true, 600)] {
        let settings = Settings { index_from_env: true, app_ttl: ttl, ..settings() };
        let mut bench = Bench::new(settings, 10, 10);
        bench.lookup(A);
        assert!(bench.queued());
        bench.settle(found("a"));
        bench.lookup(A);
        assert!(bench.environment_queued());
        bench.environment(Some("mine"));
        bench.pass(ttl);
        bench.learn(A, facts("a"));
        assert!(bench.app().is_some() && bench.environment_queued());
        bench.settle(Outcome::Environment(EnvironmentAnswer::Failed { lasting }));
        assert_eq!(bench.app().unwrap().index.as_deref(), Some("mine"));
        assert!(!bench.environment_queued());
        bench.pass(SECOND * pause);
        bench.learn(A, facts("a"));
        assert!(bench.app().is_some() && bench.environment_queued());
        bench.environment(None);
        assert_eq!(bench.app().unwrap().index, None);
    }
}

#[test]
fn a_deleted_app_keeps_its_names_and_is_asked_for_now_and_then() {
    let ttl = SECOND * 100;
    let mut bench = Bench::new(Settings { app_ttl: ttl, ..settings() }, 10, 10);
    bench.learn(A, facts("a"));
    bench.pass(ttl * 2);
    assert!(bench.app().is_some() && bench.queued());
    bench.settle(Outcome::Missing);
    for _ in 0..3 {
        assert_eq!(&*bench.app().unwrap().names.app, "a");
        assert!(!bench.queued());
        bench.pass(MISSING_LONG);
        assert!(bench.app().is_some() && bench.queued());
        bench.settle(Outcome::Missing);
    }
    assert_eq!(bench.table.census().deleted, 1);
    bench.learn(A, facts("back"));
    assert_eq!((&*bench.app().unwrap().names.app, bench.table.census().deleted), ("back", 0));
}

#[test]
fn names_that_became_unknown_are_asked_for() {
    let bench = Bench::new(settings(), 10, 10);
    bench.learn(A, facts("a"));
    let moved = Facts { name: "a".into(), space_guid: "s-2".into(), ..Facts::default() };
    bench.learn(A, moved.clone());
    assert_eq!(&*bench.app().unwrap().names.space_guid, "s-2");
    assert!(bench.queued());
    assert_eq!(bench.table.need(A, bench.now), Need::Places(moved));
}

#[test]
fn a_space_or_org_that_is_renamed_renames_its_apps() {
    let bench = Bench::new(settings(), 10, 10);
    bench.learn(A, facts("a"));
    bench.learn(&id(1), Facts { space_guid: "other".into(), ..facts("b") });
    let held = bench.app().unwrap();
    let seen = bench.table.generation();
    bench.table.rename(|facts| {
        let is_it = &*facts.space_guid == "s";
        if is_it {
            facts.space = Some("renamed".into());
        }
        is_it
    });
    assert_eq!((&*bench.app().unwrap().names.space, &*held.names.space), ("renamed", "prod"));
    assert_ne!(bench.table.generation(), seen);
    assert!(matches!(bench.lookup(&id(1)), Lookup::Known(app) if &*app.names.space == "prod"));
}

#[test]
fn only_what_somebody_may_remember_moves_the_generation() {
    let bench = Bench::new(settings(), 10, 10);
    let mut seen = bench.table.generation();
    let mut moved = |bench: &Bench| std::mem::replace(&mut seen, bench.table.generation()) != seen;
    bench.learn(A, facts("a"));
    bench.learn(A, facts("b"));
    assert!(!moved(&bench), "nobody has asked");
    let held = bench.app().unwrap();
    bench.learn(A, updated("b", 1));
    assert!(!moved(&bench), "it looks the same");
    bench.learn(A, facts("c"));
    assert!(moved(&bench));
    drop(held);
    bench.lookup(&id(1));
    bench.table.settle(&id(1), Outcome::Missing, bench.now);
    assert!(!moved(&bench), "it was not known before");
    bench.learn(&id(1), facts("new"));
    assert!(moved(&bench), "that it is missing may be remembered");
}
