use super::instance::QUEUE;
use super::*;

fn config() -> Config {
    Config {
        routers: 3,
        instances: 4,
        streams: 2,
        rate: 40_000.0,
        stream_rate: 20_000.0,
        capacity: 100_000.0,
        pool: 80_000,
        request: 600,
        hot: [0.0; 2],
        changes: Vec::new(),
        length_ms: 5_000,
        seed: 1,
    }
}

fn check(config: &Config) -> Report {
    let report = run(config);
    let delivered: u64 = report.delivered.iter().sum();
    assert_eq!(report.offered, delivered + report.lost() + report.buffered, "{report:?}");
    assert_eq!(report, run(config), "the same seed, the same run");
    report
}

#[test]
fn envelopes_are_split_evenly_and_none_is_lost() {
    let report = check(&config());
    assert_eq!((report.offered, report.lost()), (199_998, 0));
    let mean = 50_000.0;
    for delivered in &report.delivered {
        assert!((*delivered as f64 - mean).abs() / mean < 0.03, "{report:?}");
    }
}

#[test]
fn what_a_killed_instance_had_is_lost_and_the_others_take_its_share() {
    let report = check(&Config { changes: vec![(2_000, Change::Kill(1))], ..config() });
    assert!(report.lost[&Loss::UnderWay] < 4_000, "a tenth of a second of its share at most");
    assert!(report.delivered[0] > report.delivered[1] * 2);
    assert!(report.lost.keys().all(|loss| matches!(loss, Loss::UnderWay | Loss::Held)), "{report:?}");
}

#[test]
fn what_goes_to_an_unreachable_instance_is_lost_beyond_its_buffers() {
    let report = check(&Config { changes: vec![(0, Change::Lose(1))], ..config() });
    let (queues, share) = (2 * QUEUE, 50_000);
    assert!(report.lost[&Loss::Queue] + report.buffered + 2_000 > share, "{report:?}");
    assert!(report.buffered >= queues);
}

#[test]
fn stopping_delivers_what_is_held_and_starting_reads_again() {
    let changes = vec![(1_000, Change::Stop(0)), (2_000, Change::Start(0))];
    let report = check(&Config { capacity: 12_000.0, changes, ..config() });
    assert!(!report.lost.contains_key(&Loss::Held), "{report:?}");
    assert!(report.lost() < 3_000 && report.delivered[0] > 30_000, "{report:?}");
    let all: Vec<_> = (0..4).map(|n| (1_000, Change::Stop(n))).collect();
    let report = check(&Config { changes: all, ..config() });
    assert!(report.lost[&Loss::NoReader] > 150_000);
}

#[test]
fn slow_streams_lose_in_front_of_them() {
    let report = check(&Config { stream_rate: 4_000.0, length_ms: 20_000, ..config() });
    assert!(report.lost[&Loss::Queue] > 60_000 && report.delivered.iter().sum::<u64>() <= 8 * 84_000);
}

#[test]
fn who_is_loudest_loses() {
    let hot = [0.4, 0.3];
    let report = check(&Config { hot, capacity: 6_000.0, pool: 1_000, ..config() });
    assert!(report.lost[&Loss::Loud] > 60_000 && !report.lost.contains_key(&Loss::Quiet), "{report:?}");
    let none = check(&Config { capacity: 6_000.0, pool: 1_000, ..config() });
    assert!(none.lost[&Loss::Quiet] > 60_000, "where nobody is loud, all lose");
    assert_eq!(none.busiest_percent, 100);
}
