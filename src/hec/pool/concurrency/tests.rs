//! The limit against servers with few threads and many, on a clock of the test.

use std::collections::BinaryHeap;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A server with so many threads: each request takes one of them for `service`.
struct Server {
    service: Duration,
    free_at: Vec<Instant>,
}

impl Server {
    fn new(threads: usize, service: Duration, now: Instant) -> Self {
        Self { service, free_at: vec![now; threads] }
    }

    fn ends(&mut self, now: Instant) -> Instant {
        let thread = self.free_at.iter_mut().min().unwrap();
        *thread = now.max(*thread) + self.service;
        *thread
    }
}

/// Keeps as many requests under way as the limit allows, for so long; gives the limits seen.
fn drive(limit: &mut Limit, server: &mut Server, from: Instant, lasting: Duration) -> Vec<usize> {
    let mut now = from;
    let mut under_way = BinaryHeap::new();
    let mut seen = Vec::new();
    while now < from + lasting {
        while under_way.len() < limit.get() {
            under_way.push(std::cmp::Reverse((server.ends(now), now)));
        }
        limit.reached();
        let std::cmp::Reverse((end, began)) = under_way.pop().unwrap();
        now = end;
        limit.replied(100_000, began, now);
        seen.push(limit.get());
    }
    seen
}

#[test]
fn the_limit_settles_where_the_server_is_busy_and_does_not_creep() {
    for threads in [2, 8] {
        let now = Instant::now();
        let mut limit = Limit::new(now);
        let mut server = Server::new(threads, 50 * MS, now);
        let seen = drive(&mut limit, &mut server, now, Duration::from_mins(30));
        let settled = &seen[seen.len() / 10..];
        let mean = settled.iter().sum::<usize>() as f64 / settled.len() as f64;
        assert!(mean >= threads as f64 && mean <= 3.0 * threads as f64, "{threads}: {mean}");
        let late = &seen[seen.len() * 9 / 10..];
        assert!(late.iter().all(|limit| *limit <= 4 * threads), "{threads}: {:?}", late.iter().max());
    }
}

#[test]
fn a_server_with_room_gets_the_ceiling_quickly() {
    let now = Instant::now();
    let mut limit = Limit::new(now);
    let seen = drive(&mut limit, &mut Server::new(64, 50 * MS, now), now, Duration::from_secs(3));
    assert_eq!(limit.get(), 32);
    assert!(seen.iter().take_while(|limit| **limit < 32).count() <= 4 + 8 + 16);
}

#[test]
fn it_grows_only_when_it_is_in_the_way() {
    let mut now = Instant::now();
    let mut limit = Limit::new(now);
    for _ in 0..1000 {
        let began = now;
        now += 50 * MS;
        limit.replied(1000, began, now);
    }
    assert_eq!(limit.get(), 4);
}

#[test]
fn requests_that_are_turned_away_together_halve_it_once() {
    let now = Instant::now();
    let mut limit = Limit::new(now);
    drive(&mut limit, &mut Server::new(64, 50 * MS, now), now, Duration::from_secs(3));
    let began = now + Duration::from_secs(3);
    for answered in 1..=8 {
        limit.pushed_back(began, began + answered * MS);
    }
    assert_eq!(limit.get(), 16);
    for round in 1..10 {
        let began = began + round * Duration::from_secs(1);
        limit.pushed_back(began, began + MS);
    }
    assert_eq!(limit.get(), 1, "and never below one");
}

#[test]
fn larger_bodies_that_take_longer_do_not_look_like_a_queue() {
    let mut now = Instant::now();
    let mut limit = Limit::new(now);
    let mut send = |bytes, takes| {
        let began = now;
        now += takes;
        limit.reached();
        limit.replied(bytes, began, now);
        limit.get()
    };
    for _ in 0..40 {
        send(2_000, 30 * MS);
    }
    for _ in 0..100 {
        assert!(send(500_000, 300 * MS) >= 16);
    }
}

#[test]
fn what_takes_longer_for_good_is_the_new_base_within_two_minutes() {
    let now = Instant::now();
    let mut limit = Limit::new(now);
    drive(&mut limit, &mut Server::new(64, 30 * MS, now), now, Duration::from_secs(10));
    let now = now + Duration::from_secs(11);
    drive(&mut limit, &mut Server::new(64, 300 * MS, now), now, Duration::from_mins(2));
    assert!(limit.get() >= 16, "{}", limit.get());
}

#[test]
fn an_endpoint_that_is_back_begins_with_one_request_unless_it_only_asked_for_less() {
    let now = Instant::now();
    let mut limit = Limit::new(now);
    limit.pushed_back(now, now);
    limit.reopened(now);
    assert_eq!(limit.get(), 2);
    drive(&mut limit, &mut Server::new(64, 50 * MS, now), now, Duration::from_secs(1));
    let now = now + Duration::from_secs(1);
    limit.reopened(now);
    assert_eq!(limit.get(), 1);
    drive(&mut limit, &mut Server::new(64, 50 * MS, now), now, Duration::from_secs(3));
    assert_eq!(limit.get(), 32);
}

#[test]
fn sizes_fall_into_classes() {
    for (bytes, expected) in
        [(0, 0), (8192, 0), (8193, 1), (16_384, 1), (16_385, 2), (524_288, 6), (1_000_000, 7), (1 << 30, 7)]
    {
        assert_eq!(class(bytes), expected, "{bytes}");
    }
}
