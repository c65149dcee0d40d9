//! The table alone, with time as an argument.

use super::*;
use crate::nozzle::metadata::engine::Timing;
use crate::nozzle::metadata::tests::settings;
use crate::nozzle::metadata::{App, PENDING_MAX};

const A: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const SECOND: Duration = Duration::from_secs(1);

/// A table with its queue, and a clock that is moved by hand.
struct Bench {
    table: Table,
    sender: Sender<Arc<str>>,
    queue: async_channel::Receiver<Arc<str>>,
    now: Instant,
}

impl Bench {
    fn new(settings: Settings, apps_max: usize, queue_max: usize) -> Self {
        let (sender, queue) = async_channel::bounded(queue_max);
        let table = Table::new(settings, apps_max, Timing::default().retry);
        Self { now: table.started, table, sender, queue }
    }

    fn lookup(&self, id: &str) -> Lookup {
        self.table.lookup(id, self.now, &self.sender)
    }

    /// Whether a look-up was queued; takes it out.
    fn queued(&self) -> bool {
        self.queue.try_recv().is_ok()
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

fn found(name: &str, env: EnvAnswer) -> Outcome {
    Outcome::Found(Box::new(Found { facts: facts(name), fresh: true, names_again: None, env }))
}

#[test]
fn a_look_up_is_queued_once_and_waited_for_a_bounded_time() {
    let mut bench = Bench::new(settings(), 10, 10);
    assert!(matches!(bench.lookup(A), Lookup::Pending));
    assert!(bench.queued());
    bench.pass(PENDING_MAX - Duration::from_millis(1));
    assert!(matches!(bench.lookup(A), Lookup::Pending));
    bench.pass(Duration::from_millis(1));
    assert!(matches!(bench.lookup(A), Lookup::Unavailable));
    assert!(!bench.queued());
    bench.settle(found("a", EnvAnswer::Unasked));
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
        bench.settle(found("back", EnvAnswer::Unasked));
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
    bench.settle(found("a", EnvAnswer::Unasked));
    assert!(bench.app().is_some());
}

#[test]
fn what_is_known_is_served_while_it_is_renewed_and_outlives_failures() {
    let ttl = SECOND * 100;
    let mut bench = Bench::new(Settings { app_ttl: ttl, ..settings() }, 10, 10);
    bench.table.learn(vec![(A.into(), facts("old"))], bench.now);
    bench.pass(ttl);
    assert!(bench.app().is_some() && !bench.queued(), "the list has the first go");
    bench.pass(ttl / 4);
    assert!(bench.app().is_some() && bench.queued());
    assert_eq!(bench.table.need(A, bench.now), Need::Whole);
    bench.settle(Outcome::Failed);
    assert_eq!(&*bench.app().unwrap().names.app, "old");
    bench.pass(SECOND * 10);
    assert!(bench.app().is_some() && bench.queued());
    bench.settle(found("new", EnvAnswer::Unasked));
    assert_eq!(&*bench.app().unwrap().names.app, "new");
    bench.table.learn(vec![(A.into(), facts("newer"))], bench.now);
    assert_eq!(&*bench.app().unwrap().names.app, "newer");
}

#[test]
fn a_listed_app_waits_for_its_environment_and_keeps_it() {
    let mut bench = Bench::new(Settings { index_from_env: true, ..settings() }, 10, 10);
    bench.table.learn(vec![(A.into(), facts("a"))], bench.now);
    assert!(matches!(bench.lookup(A), Lookup::Pending));
    assert!(bench.queued());
    assert_eq!(bench.table.need(A, bench.now), Need::Rest { facts: facts("a"), env: true });
    bench.settle(found("a", EnvAnswer::Index(Some("mine".into()))));
    assert_eq!(bench.app().unwrap().index.as_deref(), Some("mine"));
    bench.table.learn(vec![(A.into(), facts("b"))], bench.now);
    let app = bench.app().unwrap();
    assert_eq!((&*app.names.app, app.index.as_deref()), ("b", Some("mine")));
    bench.pass(SECOND * 1_000_000);
    assert!(bench.app().is_some() && !bench.queued(), "without a ttl it is not read again");
}

#[test]
fn an_environment_that_failed_keeps_the_last_index_and_is_read_again() {
    let ttl = SECOND * 100;
    for (lasting, pause) in [(false, 10), (true, 600)] {
        let settings = Settings { index_from_env: true, app_ttl: ttl, ..settings() };
        let mut bench = Bench::new(settings, 10, 10);
        bench.lookup(A);
        assert!(bench.queued());
        bench.settle(found("a", EnvAnswer::Index(Some("mine".into()))));
        bench.pass(ttl);
        bench.table.learn(vec![(A.into(), facts("a"))], bench.now);
        assert!(bench.app().is_some() && bench.queued());
        bench.settle(found("a", EnvAnswer::Failed { lasting }));
        assert_eq!(bench.app().unwrap().index.as_deref(), Some("mine"));
        assert!(!bench.queued());
        bench.pass(SECOND * pause);
        bench.table.learn(vec![(A.into(), facts("a"))], bench.now);
        assert!(bench.app().is_some() && bench.queued());
        let need = Need::Rest { facts: facts("a"), env: true };
        assert_eq!(bench.table.need(A, bench.now), need);
        bench.settle(found("a", EnvAnswer::Index(None)));
        assert_eq!(bench.app().unwrap().index, None);
    }
}

#[test]
fn names_that_became_unknown_are_asked_for() {
    let bench = Bench::new(settings(), 10, 10);
    bench.table.learn(vec![(A.into(), facts("a"))], bench.now);
    let moved = Facts { name: "a".into(), space_guid: "s-2".into(), ..Facts::default() };
    bench.table.learn(vec![(A.into(), moved.clone())], bench.now);
    assert_eq!(&*bench.app().unwrap().names.space_guid, "s-2");
    assert!(bench.queued());
    assert_eq!(bench.table.need(A, bench.now), Need::Rest { facts: moved, env: false });
}

#[test]
fn a_queued_look_up_the_list_has_answered_needs_nothing() {
    let bench = Bench::new(settings(), 10, 10);
    bench.lookup(A);
    bench.table.learn(vec![(A.into(), facts("a"))], bench.now);
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
        assert_eq!(matches!(lookup, Lookup::Pending), expected_pending, "{n}: {lookup:?}");
        assert_eq!(matches!(lookup, Lookup::Unavailable), !expected_pending, "{n}: {lookup:?}");
    }
    assert_eq!((bench.table.queue_full(), bench.table.census().entries), (3, 2));
    // What is known in part goes out as it is.
    let bench = Bench::new(Settings { index_from_env: true, ..settings() }, 10, 1);
    bench.lookup(&id(0));
    bench.table.learn(vec![(A.into(), facts("a"))], bench.now);
    assert!(bench.app().is_some());
    assert!(bench.queued());
    assert!(matches!(bench.lookup(A), Lookup::Pending), "asked again once there is room");
}

#[test]
fn a_full_queue_costs_readers_no_exclusive_lock() {
    let bench = Bench::new(Settings { index_from_env: true, ..settings() }, 10, 1);
    bench.lookup(&id(0));
    bench.table.learn(vec![(A.into(), facts("a"))], bench.now);
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
fn those_not_asked_for_the_longest_make_room() {
    let mut bench = Bench::new(settings(), 4, 10);
    let listed = (0..3).map(|n| (id(n).into(), facts("app"))).collect();
    assert_eq!(bench.table.learn(listed, bench.now), 0);
    for n in [2, 0] {
        bench.pass(SECOND);
        assert!(matches!(bench.lookup(&id(n)), Lookup::Known(_)));
    }
    let kept = |bench: &Bench| -> Vec<usize> {
        (0..10).filter(|&n| bench.table.read().contains_key(id(n).as_str())).collect()
    };
    bench.pass(SECOND);
    for (asked, expected) in [(3, [0, 1, 2, 3]), (4, [0, 2, 3, 4]), (5, [0, 3, 4, 5])] {
        assert!(matches!(bench.lookup(&id(asked)), Lookup::Pending));
        assert_eq!(kept(&bench), expected);
    }
    // The list never takes the place of what events ask for, and a look-up under way never goes.
    assert_eq!(bench.table.learn(vec![(A.into(), facts("a"))], bench.now), 1);
    assert!(matches!(bench.lookup(&id(6)), Lookup::Pending));
    assert!(matches!(bench.lookup(&id(7)), Lookup::Unavailable));
    assert_eq!(kept(&bench), [3, 4, 5, 6]);
    assert_eq!(bench.table.evicted(), 3);
}

#[test]
fn a_large_table_makes_room_in_shares() {
    let bench = Bench::new(settings(), 640, 10);
    let listed = (0..640).map(|n| (id(n).into(), facts("app"))).collect();
    assert_eq!(bench.table.learn(listed, bench.now), 0);
    assert!(matches!(bench.lookup(&id(640)), Lookup::Pending));
    assert_eq!((bench.table.evicted(), bench.table.census().entries), (10, 631));
}

#[tokio::test(start_paused = true)]
async fn every_answer_moves_the_generation_and_wakes_who_waits() {
    let bench = Bench::new(settings(), 10, 10);
    let seen = bench.table.generation();
    bench.table.changed(seen + 1).await;
    let waits = tokio::time::timeout(SECOND, bench.table.changed(seen));
    assert!(waits.await.is_err());
    let (woken, ()) = tokio::join!(tokio::time::timeout(SECOND, bench.table.changed(seen)), async {
        bench.settle(Outcome::Missing);
    });
    assert!(woken.is_ok());
    let seen = bench.table.generation();
    bench.table.learn(Vec::new(), bench.now);
    assert_ne!(bench.table.generation(), seen);
}
