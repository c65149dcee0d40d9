//! A lane by itself, and against servers that restart or take turns.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::asking::{POLL_IDS_MAX, POLL_IDS_MAX_LARGE};
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const TIMING: AckTiming = AckTiming {
    poll_first: SECOND,
    poll_max: Duration::from_secs(10),
    keep_alive: Duration::from_secs(300),
    poll_timeout: Duration::from_secs(30),
    late: Duration::from_secs(600),
    breaks_within: Duration::from_secs(60),
    distrust: Duration::from_secs(600),
    distrust_max: Duration::from_secs(3600),
};

/// In the middle: no jitter.
const EVEN: f64 = 0.5;

fn lane() -> Lane<&'static str> {
    Lane::new(&TIMING)
}

/// A request and its reply.
fn exchange<T>(lane: &mut Lane<T>, id: u64, item: T, now: Instant) -> Inserted<T> {
    let floor = lane.began();
    let inserted = lane.insert(id, floor, item, 100, now, &TIMING);
    lane.ended(floor);
    inserted
}

fn poll<T>(lane: &mut Lane<T>, statuses: &[(u64, bool)], now: Instant) -> Answered<T> {
    let ids = lane.begin_poll(now);
    lane.answered(&ids, &statuses.iter().copied().collect(), now, &TIMING, EVEN)
}

#[test]
fn polls_begin_after_a_second_and_double_up_to_ten() {
    let (mut lane, start) = (lane(), Instant::now());
    assert_eq!(lane.due(true, &TIMING), None, "the server has never heard of the channel");
    exchange(&mut lane, 0, "a", start);
    exchange(&mut lane, 1, "b", start + SECOND / 2);
    let mut now = start;
    for seconds in [1, 1, 2, 4, 8, 10, 10] {
        let due = lane.due(true, &TIMING).unwrap();
        assert_eq!(due, now + SECOND * seconds);
        now = due;
        let ids = lane.begin_poll(now);
        assert_eq!(ids, [0, 1]);
        assert_eq!(lane.due(true, &TIMING), None, "one at a time");
        lane.answered(&ids, &BTreeMap::new(), now, &TIMING, EVEN);
    }
    assert_eq!(poll(&mut lane, &[(1, true), (0, false)], now), Answered { indexed: vec!["b"], late: 0 });
    assert_eq!(lane.due(true, &TIMING), Some(now + SECOND), "something came: back to the first pace");
    assert_eq!(poll(&mut lane, &[(0, true)], now).indexed, ["a"]);
    assert_eq!(lane.due(true, &TIMING), Some(now + TIMING.keep_alive));
    assert_eq!(lane.due(false, &TIMING), None, "nobody needs the channel");
    assert_eq!(lane.begin_poll(now), [1], "only to be heard of");
}

#[test]
fn times_between_polls_vary_by_a_fifth() {
    let start = Instant::now();
    for (chance, millis) in [(0.0, 800), (0.5, 1000), (1.0, 1200)] {
        let mut lane = lane();
        exchange(&mut lane, 0, "a", start);
        let ids = lane.begin_poll(start);
        lane.failed(&ids, start, &TIMING, chance);
        let wait = lane.due(true, &TIMING).unwrap() - start;
        assert!(wait.abs_diff(Duration::from_millis(millis)) < Duration::from_millis(1), "{wait:?}");
    }
}

#[test]
fn replies_of_requests_under_way_together_come_in_any_order() {
    let (mut lane, now) = (lane(), Instant::now());
    let floors = [(); 4].map(|()| lane.began());
    for (id, floor) in [3, 0, 2, 1].into_iter().zip(floors) {
        assert_eq!(lane.insert(id, floor, "x", 1, now, &TIMING), Inserted::Pending, "{id}");
    }
    floors.into_iter().for_each(|floor| lane.ended(floor));
    assert_eq!((lane.len(), lane.under_way(), lane.recent.len()), (4, 0, 0));
}

#[test]
fn an_id_from_before_breaks_the_lane_and_what_is_older_is_lost_at_once() {
    let (mut lane, now) = (lane(), Instant::now());
    for (id, item) in [(7, "a"), (8, "b"), (9, "c")] {
        assert_eq!(exchange(&mut lane, id, item, now), Inserted::Pending);
    }
    let late = lane.began();
    assert_eq!(exchange(&mut lane, 0, "new", now), Inserted::Broke(vec!["a", "b", "c"]));
    // Sent before the break, replied after it: no further break.
    assert_eq!(lane.insert(1, late, "late", 1, now, &TIMING), Inserted::Pending);
    lane.ended(late);
    assert_eq!(poll(&mut lane, &[(0, true), (1, true), (8, true)], now).late, 1);
    assert_eq!(lane.len(), 0);
}

#[test]
fn two_batches_of_one_id_are_both_sent_again() {
    let (mut lane, now) = (lane(), Instant::now());
    let floors = [lane.began(), lane.began(), lane.began(), lane.began()];
    assert_eq!(lane.insert(0, floors[0], "a", 1, now, &TIMING), Inserted::Pending);
    assert_eq!(lane.insert(0, floors[1], "b", 1, now, &TIMING), Inserted::Broke(vec!["a", "b"]));
    assert_eq!(lane.insert(1, floors[2], "c", 1, now, &TIMING), Inserted::Pending);
    assert_eq!(lane.insert(1, floors[3], "d", 1, now, &TIMING), Inserted::Lost(vec!["c", "d"]));
    floors.into_iter().for_each(|floor| lane.ended(floor));
    assert_eq!(lane.len(), 0);
}

#[test]
fn what_waits_too_long_is_given_up_and_a_late_true_is_known_for_a_duplicate() {
    let (mut lane, start) = (lane(), Instant::now());
    exchange(&mut lane, 0, "a", start);
    exchange(&mut lane, 1, "b", start + SECOND * 5);
    poll(&mut lane, &[(0, false)], start + SECOND);
    assert_eq!(lane.expire(SECOND * 300, start + SECOND * 299, &TIMING), []);
    let expired = lane.expire(SECOND * 300, start + SECOND * 300, &TIMING);
    assert_eq!(expired, [Expired { item: "a", bytes: 100, denied: true }]);
    let expired = lane.expire(SECOND * 300, start + SECOND * 305, &TIMING);
    assert_eq!(expired, [Expired { item: "b", bytes: 100, denied: false }], "nobody said anything of it");
    let now = start + SECOND * 310;
    assert_eq!(poll(&mut lane, &[(0, true), (1, false)], now), Answered { indexed: vec![], late: 1 });
    assert_eq!(poll(&mut lane, &[(0, true)], now).late, 0, "once");
    assert!(!lane.is_done(now) && lane.is_done(start + SECOND * 905));
}

#[test]
fn an_answer_that_failed_denies_nothing() {
    let (mut lane, start) = (lane(), Instant::now());
    exchange(&mut lane, 0, "a", start);
    poll(&mut lane, &[(0, false)], start);
    let ids = lane.begin_poll(start);
    lane.failed(&ids, start, &TIMING, EVEN);
    assert!(!lane.expire(SECOND, start + SECOND, &TIMING)[0].denied);
}

#[test]
fn polls_are_bounded_and_all_have_their_turn() {
    for (bytes, most) in [(1000, POLL_IDS_MAX), (200_000, POLL_IDS_MAX_LARGE)] {
        let (mut lane, now) = (Lane::new(&TIMING), Instant::now());
        let all = 2 * most as u64 + 7;
        for id in 0..all {
            let floor = lane.began();
            lane.insert(id, floor, id, bytes, now, &TIMING);
            lane.ended(floor);
        }
        let mut asked = Vec::new();
        for _ in 0..3 {
            let ids = lane.begin_poll(now);
            assert!(ids.len() <= most);
            lane.answered(&ids, &BTreeMap::new(), now, &TIMING, EVEN);
            asked.extend(ids);
        }
        assert_eq!(asked[..all as usize], (0..all).collect::<Vec<_>>(), "the oldest first");
    }
}

#[test]
fn an_id_that_came_while_the_poll_was_out_is_not_answered_by_it() {
    let (mut lane, now) = (lane(), Instant::now());
    exchange(&mut lane, 0, "a", now);
    let mut ids = lane.begin_poll(now);
    exchange(&mut lane, 1, "b", now);
    // Nobody asked for it; and if somebody had, it would have been another one.
    let all = BTreeMap::from([(0, true), (1, true)]);
    ids.push(1);
    assert_eq!(lane.answered(&ids, &all, now, &TIMING, EVEN).indexed, ["a"]);
    assert_eq!(lane.len(), 1);
}

/// A server of one channel.
#[derive(Clone, Debug, Default)]
struct Server {
    next: u64,
    /// Which item each id stands for.
    items: BTreeMap<u64, u32>,
    ready: BTreeSet<u64>,
}

#[derive(Clone, Debug)]
enum Step {
    /// A request reaches one of the servers.
    Send(usize),
    /// One of the replies arrives.
    Reply(usize),
    /// One of the servers has indexed one of its ids whose reply has arrived.
    Index(usize, usize),
    /// A poll reaches one of them.
    Poll(usize),
    /// So does one whose answer is lost.
    LosePoll(usize),
    Restart(usize),
}

fn steps(servers: usize) -> impl Strategy<Value = Vec<Step>> {
    let server = 0..servers;
    let step = prop_oneof![
        6 => server.clone().prop_map(Step::Send),
        6 => (0..100_usize).prop_map(Step::Reply),
        6 => (server.clone(), 0..100_usize).prop_map(|(server, at)| Step::Index(server, at)),
        4 => server.clone().prop_map(Step::Poll),
        1 => server.clone().prop_map(Step::LosePoll),
        1 => server.prop_map(Step::Restart),
    ];
    prop::collection::vec(step, 0..200)
}

/// Plays the steps; checks that each item ends once, and is only confirmed if it was indexed.
fn play(steps: Vec<Step>, servers: usize) {
    let (mut lane, now) = (Lane::new(&TIMING), Instant::now());
    let mut servers = vec![Server::default(); servers];
    let mut under_way: Vec<(usize, u64, u32, Floor)> = Vec::new();
    let (mut arrived, mut indexed) = (BTreeSet::new(), BTreeSet::new());
    let mut ended = BTreeSet::new();
    let mut sent = 0;
    for step in steps {
        match step {
            Step::Send(at) => {
                let (server, floor) = (&mut servers[at], lane.began());
                server.items.insert(server.next, sent);
                under_way.push((at, server.next, sent, floor));
                server.next += 1;
                sent += 1;
            }
            Step::Reply(at) if !under_way.is_empty() => {
                let (_, id, item, floor) = under_way.remove(at % under_way.len());
                arrived.insert(item);
                let lost = match lane.insert(id, floor, item, 1, now, &TIMING) {
                    Inserted::Pending => Vec::new(),
                    Inserted::Broke(lost) | Inserted::Lost(lost) => lost,
                };
                lane.ended(floor);
                lost.into_iter().for_each(|item| assert!(ended.insert(item), "{item} ends twice"));
            }
            Step::Index(at, nth) => {
                let server = &mut servers[at];
                let waiting: Vec<_> = (server.items.iter())
                    .filter(|(id, item)| arrived.contains(*item) && !server.ready.contains(*id))
                    .map(|(id, item)| (*id, *item))
                    .collect();
                if let Some((id, item)) = waiting.get(nth % waiting.len().max(1)) {
                    server.ready.insert(*id);
                    indexed.insert(*item);
                }
            }
            Step::Poll(at) | Step::LosePoll(at) if lane.len() > 0 => {
                let lost = matches!(step, Step::LosePoll(_));
                let (server, ids) = (&mut servers[at], lane.begin_poll(now));
                // Told once.
                let answer = ids.iter().map(|id| (*id, server.ready.remove(id))).collect();
                ids.iter().filter(|id| answer_of(&answer, **id)).for_each(|id| {
                    server.items.remove(id);
                });
                if lost {
                    lane.failed(&ids, now, &TIMING, EVEN);
                    continue;
                }
                for item in lane.answered(&ids, &answer, now, &TIMING, EVEN).indexed {
                    assert!(indexed.contains(&item), "{item} is confirmed and not indexed");
                    assert!(ended.insert(item), "{item} ends twice");
                }
            }
            Step::Restart(at) => servers[at] = Server::default(),
            Step::Reply(_) | Step::Poll(_) | Step::LosePoll(_) => {}
        }
    }
    let left = lane.give_up_all(now, &TIMING);
    left.into_iter().for_each(|item| assert!(ended.insert(item), "{item} ends twice"));
    assert_eq!(ended, arrived, "each that was taken ends");
}

fn answer_of(answer: &BTreeMap<u64, bool>, id: u64) -> bool {
    answer.get(&id).copied().unwrap_or_default()
}

proptest! {
    #[test]
    fn whatever_servers_do_nothing_is_confirmed_that_is_not_indexed(one in steps(1), two in steps(2), three in steps(3)) {
        play(one, 1);
        play(two, 2);
        play(three, 3);
    }

    #[test]
    fn one_server_that_stays_never_breaks_a_lane(order in prop::collection::vec(0..8_usize, 1..200)) {
        let (mut lane, now) = (Lane::new(&TIMING), Instant::now());
        let (mut next, mut under_way) = (0, Vec::new());
        for pick in order {
            if under_way.len() < 8 {
                under_way.push((next, lane.began()));
                next += 1;
            } else {
                let (id, floor) = under_way.remove(pick);
                prop_assert_eq!(lane.insert(id, floor, id, 1, now, &TIMING), Inserted::Pending);
                lane.ended(floor);
            }
        }
    }
}
