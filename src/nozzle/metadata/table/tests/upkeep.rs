//! What is done to all entries: saving, forgetting, making room.

use super::*;

#[test]
fn apps_that_left_the_list_are_forgotten_when_nobody_asks() {
    let mut bench = Bench::new(settings(), 10, 10);
    let listed = |ids: [usize; 2]| ids.map(|n| (id(n).into(), facts("app")));
    bench.table.learn(&listed([1, 2]), Some(1), bench.now);
    bench.learn(&id(3), facts("found by itself"));
    let known = |bench: &Bench| {
        (1..4).filter(|&n| bench.table.read().entries.contains_key(id(n).as_str())).collect::<Vec<_>>()
    };
    assert_eq!(bench.table.forget_unlisted(1, bench.now), 0, "all of it is young");
    bench.pass(SECOND * 3600);
    bench.lookup(&id(3));
    bench.pass(SECOND);
    bench.table.learn(&listed([2, 4]), Some(2), bench.now);
    assert_eq!(bench.table.forget_unlisted(2, bench.now), 1);
    assert_eq!(known(&bench), [2, 3]);
}

#[test]
fn what_is_new_is_saved_once_and_comes_back() {
    let settings = Settings { index_from_env: true, ..settings() };
    let bench = Bench::new(settings.clone(), 10, 10);
    bench.learn(A, updated("before anything is saved", 0));
    assert_eq!(bench.table.take_unsaved(10), []);
    bench.table.save_changes();
    for n in 0..3 {
        bench.learn(&id(n), updated("a", 0));
        bench.learn(&id(n), updated("b", 0));
    }
    bench.lookup(&id(1));
    let environment = Environment { index: Some("mine".into()), muted: false };
    bench.table.settle(&id(1), Outcome::Environment(EnvironmentAnswer::Read(environment)), bench.now);
    let mut saved = bench.table.take_unsaved(2);
    assert_eq!(saved.len(), 2);
    // As if it could not be written.
    bench.table.not_saved(saved.drain(..).map(|(id, _)| id));
    let mut saved = bench.table.take_unsaved(10);
    saved.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(saved.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>(), [id(0), id(1), id(2)]);
    bench.learn(&id(1), updated("b", 0));
    assert_eq!(bench.table.take_unsaved(10), [], "nothing has changed since");

    let other = Bench::new(settings, 10, 10);
    let records: Vec<(Arc<str>, Record)> =
        saved.into_iter().map(|(id, record)| (id, record.unwrap())).collect();
    assert_eq!(other.table.restore(records, other.now), 3);
    let lookup = other.lookup(&id(1));
    assert!(matches!(&lookup, Lookup::Known(app) if app.index.as_deref() == Some("mine")), "{lookup:?}");
    assert!(!other.environment_queued() && !other.queued());
    assert!(matches!(other.lookup(&id(2)), Lookup::Pending(Some(_))), "its environment was never read");
    other.learn(&id(1), updated("b", 5));
    assert!(matches!(other.lookup(&id(1)), Lookup::Known(_)));
}

#[test]
fn what_is_forgotten_is_removed_from_the_file() {
    let bench = Bench::new(settings(), 2, 10);
    bench.table.save_changes();
    for n in 0..2 {
        bench.learn(&id(n), facts("a"));
    }
    assert_eq!(bench.table.take_unsaved(10).len(), 2);
    bench.lookup(&id(2));
    let gone = bench.table.take_unsaved(10);
    assert_eq!(gone.len(), 1);
    assert!(gone.iter().all(|(_, record)| record.is_none()));
}

#[test]
fn those_not_asked_for_the_longest_make_room() {
    let mut bench = Bench::new(settings(), 4, 10);
    let listed: Vec<_> = (0..3).map(|n| (id(n).into(), facts("app"))).collect();
    assert_eq!(bench.table.learn(&listed, None, bench.now), 0);
    for n in [2, 0] {
        bench.pass(SECOND);
        assert!(matches!(bench.lookup(&id(n)), Lookup::Known(_)));
    }
    let kept = |bench: &Bench| -> Vec<usize> {
        (0..10).filter(|&n| bench.table.read().entries.contains_key(id(n).as_str())).collect()
    };
    bench.pass(SECOND);
    for (asked, expected) in [(3, [0, 1, 2, 3]), (4, [0, 2, 3, 4]), (5, [0, 3, 4, 5])] {
        assert!(matches!(bench.lookup(&id(asked)), Lookup::Pending(_)));
        assert_eq!(kept(&bench), expected);
    }
    // The list never takes the place of what events ask for, and a look-up under way never goes.
    assert_eq!(bench.table.learn(&[(A.into(), facts("a"))], None, bench.now), 1);
    assert!(matches!(bench.lookup(&id(6)), Lookup::Pending(_)));
    assert!(matches!(bench.lookup(&id(7)), Lookup::Unavailable));
    assert_eq!(kept(&bench), [3, 4, 5, 6]);
    assert_eq!(bench.table.evicted(), 3);
}

#[test]
fn ids_that_are_none_of_apps_push_out_no_app() {
    let mut bench = Bench::new(settings(), 100, 10);
    (0..50).for_each(|n| bench.learn(&id(n), facts("silent")));
    for n in 50..10_000 {
        bench.pass(SECOND);
        assert!(matches!(bench.lookup(&id(n)), Lookup::Pending(_)));
        assert!(bench.queued());
        bench.table.settle(&id(n), Outcome::Missing, bench.now);
    }
    let census = bench.table.census();
    assert_eq!((census.known, census.entries <= 100), (50, true), "{census:?}");
    assert!(matches!(bench.lookup(&id(9_999)), Lookup::Missing));
    assert!(!bench.queued());
}

#[test]
fn a_large_table_makes_room_in_shares() {
    let bench = Bench::new(settings(), 640, 10);
    let listed: Vec<_> = (0..640).map(|n| (id(n).into(), facts("app"))).collect();
    assert_eq!(bench.table.learn(&listed, None, bench.now), 0);
    assert!(matches!(bench.lookup(&id(640)), Lookup::Pending(_)));
    assert_eq!((bench.table.evicted(), bench.table.census().entries), (10, 631));
}
