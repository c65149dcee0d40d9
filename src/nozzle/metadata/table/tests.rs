//! The table alone, with time as an argument.

mod known;
mod upkeep;

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
        let answers = answers.recv_timeout(SECOND * 60);
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
