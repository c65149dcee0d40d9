//! The table alone, with time as an argument.

use super::upkeep::Census;
use super::*;
use crate::nozzle::metadata::App;
use crate::nozzle::metadata::app::Environment;
use crate::nozzle::metadata::engine::Timing;
use crate::nozzle::metadata::moment::Moment;
use crate::nozzle::metadata::record::Record;
use crate::nozzle::metadata::tests::{WAIT, settings};

const A: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const SECOND: Duration = Duration::from_secs(1);

/// A table with its queues, and a clock that is moved by hand.
struct Bench {
    table: Table,
    queues: Queues,
    names: async_channel::Receiver<Arc<str>>,
    environments: async_channel::Receiver<Arc<str>>,
    now: Instant,
}

impl Bench {
    fn new(settings: Settings, apps_max: usize, queue_max: usize) -> Self {
        let (names, names_queue) = async_channel::bounded(queue_max);
        let (environments, environments_queue) = async_channel::bounded(queue_max);
        let table = Table::new(settings, apps_max, Timing::default().retry);
        Self {
            now: table.started,
            table,
            queues: Queues { names, environments },
            names: names_queue,
            environments: environments_queue,
        }
    }

    fn lookup(&self, id: &str) -> Lookup {
        self.table.lookup(id, self.now, false, &self.queues)
    }

    /// Whether a look-up of names was queued; takes it out.
    fn queued(&self) -> bool {
        self.names.try_recv().is_ok()
    }

    /// Whether an environment was queued; takes it out.
    fn environment_queued(&self) -> bool {
        let queued = self.environments.try_recv();
        queued.is_ok_and(|id| self.table.needs_environment(&id, self.now))
    }

    fn learn(&self, id: &str, facts: Facts) {
        assert_eq!(self.table.learn(&[(id.into(), facts)], None, self.now), 0);
    }

    fn environment(&self, index: Option<&str>) {
        let environment = Environment { index: index.map(Arc::from), muted: false };
        self.settle(Outcome::Environment(EnvironmentAnswer::Read(environment)));
    }

    fn settle(&self, outcome: Outcome) {
        self.table.settle(A, outcome, self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn app(&self) -> Option<Arc<App>> {
        match self.lookup(A) {
            Lookup::Known(app) => Some(app),
            _ => None,
        }
    }
}

fn id(n: usize) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}

fn facts(name: &str) -> Facts {
    Facts {
        name: name.into(),
        space_guid: "s".into(),
        space: Some("prod".into()),
        org_guid: Some("o".into()),
        org: Some("acme".into()),
        ..Facts::default()
    }
}

fn found(name: &str) -> Outcome {
    Outcome::Found(Box::new(Found { facts: facts(name), fresh: true, again: None }))
}

/// Facts of an app that was changed so many seconds after some moment.
fn updated(name: &str, second: i64) -> Facts {
    let moment = Moment::parse("2026-01-01T00:00:00Z").unwrap();
    Facts { updated_at: Some(moment.minus(-second)), ..facts(name) }
}

#[test]
fn a_look_up_is_queued_once_and_waited_for_a_bounded_time() {
    let mut bench = Bench::new(settings(), 10, 10);
    assert!(matches!(bench.lookup(A), Lookup::Pending(_)));
    assert!(bench.queued());
    bench.pass(WAIT - Duration::from_millis(1));
    assert!(matches!(bench.lookup(A), Lookup::Pending(_)));
    bench.pass(Duration::from_millis(1));
    assert!(matches!(bench.lookup(A), Lookup::Unavailable));
    assert!(!bench.queued());
    bench.settle(found("a"));
    assert_eq!(&*bench.app().unwrap().names.app, "a");
}

#[test]
fn an_app_is_missing_for_as_long_as_the_settings_say() {
    let cases = [(true, 0, 600), (false, 0, 30), (true, 7, 7), (false, 7, 7)];
    for (ignore_missing, ttl, expected) in cases {
        let settings = Settings { ignore_missing, missing_ttl: SECOND * ttl, ..settings() };
        let mut bench = Bench::new(settings, 10, 10);
        bench.lookup(A);
        assert!(bench.queued());
        bench.settle(Outcome::Missing);
        bench.pass(SECOND * expected - Duration::from_millis(1));
        assert!(matches!(bench.lookup(A), Lookup::Missing));
        assert!(!bench.queued(), "not yet after {expected} s");
        bench.pass(Duration::from_millis(1));
        // Still the answer while it is asked for again: events of a missing app are not parked.
        assert!(matches!(bench.lookup(A), Lookup::Missing));
        assert!(bench.queued(), "after {expected} s");
        assert_eq!(bench.table.need(A, bench.now), Need::Whole);
        bench.settle(found("back"));
        assert!(bench.app().is_some());
    }
}

#[test]
fn failures_are_left_alone_longer_each_time() {
    let mut bench = Bench::new(settings(), 10, 10);
    bench.lookup(A);
    for (low, high) in [(5, 10), (10, 20), (20, 40), (30, 60), (30, 60)] {
        assert!(bench.queued());
        bench.settle(Outcome::Failed);
        bench.pass(SECOND * low - Duration::from_millis(1));
        assert!(matches!(bench.lookup(A), Lookup::Unavailable));
        assert!(!bench.queued(), "before {low} s");
        bench.pass(SECOND * (high - low) + Duration::from_millis(2));
        assert!(matches!(bench.lookup(A), Lookup::Unavailable));
    }
    assert!(bench.queued());
    bench.settle(found("a"));
    assert!(bench.app().is_some());
}

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
fn what_is_hopeless_is_neither_queued_nor_waited_for() {
    let bench = Bench::new(Settings { index_from_env: true, ..settings() }, 10, 10);
    let hopeless = |id: &str| bench.table.lookup(id, bench.now, true, &bench.queues);
    assert!(matches!(hopeless(A), Lookup::Unavailable));
    assert_eq!(bench.table.census().entries, 0);
    // One whose look-up was queued before, and one whose environment is not known.
    bench.lookup(A);
    assert!(matches!(hopeless(A), Lookup::Unavailable));
    bench.learn(&id(1), facts("b"));
    assert!(matches!(hopeless(&id(1)), Lookup::Known(app) if app.index_unread));
    assert!(matches!(hopeless("no-guid"), Lookup::Missing));
    assert!(bench.queued() && !bench.queued() && !bench.environment_queued());
}

#[test]
fn after_an_outage_nobody_waits_for_the_next_try() {
    let bench = Bench::new(Settings { index_from_env: true, ..settings() }, 10, 10);
    bench.lookup(A);
    bench.settle(Outcome::Failed);
    bench.learn(&id(1), facts("b"));
    bench.table.settle(&id(1), Outcome::Environment(EnvironmentAnswer::Failed { lasting: false }), bench.now);
    assert!(bench.queued());
    for ready in [false, true] {
        bench.lookup(A);
        bench.lookup(&id(1));
        assert_eq!((bench.queued(), bench.environment_queued()), (ready, ready));
        bench.table.retry_all(bench.now);
    }
}

#[test]
fn without_a_wait_nothing_is_ever_pending() {
    let bench = Bench::new(Settings { wait: Duration::ZERO, ..settings() }, 10, 10);
    assert!(matches!(bench.lookup(A), Lookup::Unavailable));
    assert!(bench.queued(), "it is looked up for later events");
    assert!(matches!(bench.lookup(A), Lookup::Unavailable));
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
fn a_queued_look_up_the_list_has_answered_needs_nothing() {
    let bench = Bench::new(settings(), 10, 10);
    bench.lookup(A);
    bench.learn(A, facts("a"));
    assert!(bench.app().is_some());
    assert_eq!(bench.table.need(A, bench.now), Need::Nothing);
    bench.settle(Outcome::Nothing);
    assert_eq!(bench.table.census(), Census { entries: 1, known: 1, ..Census::default() });
}

#[test]
fn a_full_queue_is_answered_at_once_and_leaves_no_trace() {
    let bench = Bench::new(settings(), 10, 2);
    for n in 0..5 {
        let expected_pending = n < 2;
        let lookup = bench.lookup(&id(n));
        assert_eq!(matches!(lookup, Lookup::Pending(_)), expected_pending, "{n}: {lookup:?}");
        assert_eq!(matches!(lookup, Lookup::Unavailable), !expected_pending, "{n}: {lookup:?}");
    }
    assert_eq!((bench.table.queue_full(), bench.table.census().entries), (3, 2));
    // What is known in part goes out as it is.
    let bench = Bench::new(Settings { index_from_env: true, ..settings() }, 10, 1);
    bench.lookup(&id(0));
    bench.learn(A, facts("a"));
    bench.learn(&id(9), facts("b"));
    assert!(matches!(bench.lookup(&id(9)), Lookup::Pending(Some(_))), "the one place");
    assert!(bench.app().is_some_and(|app| app.index_unread));
    assert!(bench.environments.try_recv().is_ok());
    assert!(matches!(bench.lookup(A), Lookup::Pending(Some(_))), "asked again once there is room");
}

#[test]
fn a_full_queue_costs_readers_no_exclusive_lock() {
    let bench = Bench::new(Settings { index_from_env: true, ..settings() }, 10, 1);
    for n in [0, 2] {
        bench.learn(&id(2), facts("b"));
        bench.lookup(&id(n));
    }
    bench.learn(A, facts("a"));
    let reading = bench.table.read();
    std::thread::scope(|scope| {
        let (sender, answers) = std::sync::mpsc::channel();
        let bench = &bench;
        scope.spawn(move || sender.send((bench.lookup(&id(1)), bench.lookup(A))));
        let answers = answers.recv_timeout(SECOND * 5);
        // Lets the other thread end in any case.
        drop(reading);
        let (unknown, known_in_part) = answers.expect("waited for the reader");
        assert!(matches!(unknown, Lookup::Unavailable), "{unknown:?}");
        assert!(matches!(known_in_part, Lookup::Known(_)), "{known_in_part:?}");
    });
    assert_eq!(bench.table.queue_full(), 2);
}

#[test]
fn the_busiest_is_the_one_most_asked_for_while_it_waits() {
    let bench = Bench::new(Settings { index_from_env: true, ..settings() }, 10, 10);
    let ids: Vec<Arc<str>> = (0..4).map(|n| id(n).into()).collect();
    assert_eq!(bench.table.busiest(&[]), None);
    for (id, asked) in ids.iter().zip([1, 3, 5, 5]) {
        bench.learn(id, facts("a"));
        (0..asked).for_each(|_| drop(bench.lookup(id)));
    }
    assert_eq!(bench.table.busiest(&ids), Some(2), "the one that has waited longest");
    let read = EnvironmentAnswer::Read(Environment::default());
    bench.table.settle(&ids[2], Outcome::Environment(read), bench.now);
    (0..100).for_each(|_| drop(bench.lookup(&ids[2])));
    assert_eq!(bench.table.busiest(&ids), Some(3), "nobody waits for that one");
    assert_eq!(bench.table.busiest(&ids[..2]), Some(1));
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

#[tokio::test(start_paused = true)]
async fn every_answer_is_news_and_wakes_who_waits() {
    let bench = Bench::new(settings(), 10, 10);
    let seen = bench.table.news();
    bench.table.changed(seen + 1).await;
    let waits = tokio::time::timeout(SECOND, bench.table.changed(seen));
    assert!(waits.await.is_err());
    let (woken, ()) = tokio::join!(tokio::time::timeout(SECOND, bench.table.changed(seen)), async {
        bench.settle(Outcome::Missing);
    });
    assert!(woken.is_ok());
    let seen = bench.table.news();
    bench.learn(A, facts("a"));
    assert_ne!(bench.table.news(), seen);
}
