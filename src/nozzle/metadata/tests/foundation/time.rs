//! Hours and minutes by the clock, and clocks that are wrong.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::*;

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
