//! Simulated traffic over simulated endpoints, with seeds: who gets how much.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::time::Instant;

use super::super::load::Load;
use super::*;

const BODY: usize = 100_000;

/// Endpoints, each with the time a request takes, and what they were given.
struct World {
    loads: Vec<Load>,
    takes: Vec<Duration>,
    given: Vec<u64>,
    now: Instant,
    under_way: BinaryHeap<Reverse<(Instant, Instant, usize)>>,
    chance: fastrand::Rng,
}

impl World {
    fn new(takes: &[u64], seed: u64) -> Self {
        let now = Instant::now();
        Self {
            loads: vec![Load::new(now); takes.len()],
            takes: takes.iter().map(|ms| Duration::from_millis(*ms)).collect(),
            given: vec![0; takes.len()],
            now,
            under_way: BinaryHeap::new(),
            chance: fastrand::Rng::with_seed(seed),
        }
    }

    fn send(&mut self) {
        let look = |load: &Load| load.candidate(BODY, self.now);
        let mut candidates: Vec<_> = self.loads.iter().map(look).collect();
        let mean = mean_sent(&candidates);
        for (load, candidate) in self.loads.iter_mut().zip(&mut candidates) {
            load.caught_up(mean, self.now);
            *candidate = load.candidate(BODY, self.now);
        }
        let at = choose(&candidates, &mut self.chance).unwrap();
        self.given[at] += 1;
        self.loads[at].began(BODY, self.now);
        // Give or take a fifth, as servers do.
        let takes = self.takes[at].mul_f64(0.8 + 0.4 * self.chance.f64());
        self.under_way.push(Reverse((self.now + takes, self.now, at)));
    }

    fn answer(&mut self) {
        let Reverse((end, began, at)) = self.under_way.pop().unwrap();
        self.now = self.now.max(end);
        self.loads[at].ended(BODY);
        self.loads[at].replied(end - began, end);
    }

    /// As many requests as there are senders, each sends anew as soon as it has an answer.
    fn busy(&mut self, senders: usize, requests: u64) {
        for _ in 0..requests {
            if self.under_way.len() >= senders {
                self.answer();
            }
            self.send();
        }
    }

    /// A request every so often, however long they take.
    fn steady(&mut self, every: Duration, requests: u64) {
        for _ in 0..requests {
            let next = self.now + every;
            while self.under_way.peek().is_some_and(|Reverse((end, ..))| *end <= next) {
                self.answer();
            }
            self.now = next;
            self.send();
        }
    }
}

#[test]
fn six_equal_endpoints_get_the_same_within_a_twentieth() {
    for seed in 0..4 {
        for senders in [1, 8, 64] {
            let mut world = World::new(&[50; 6], seed);
            world.busy(senders, 6000);
            for given in &world.given {
                assert!((950..=1050).contains(given), "{senders} senders, seed {seed}: {:?}", world.given);
            }
        }
        for every in [1, 20, 1000] {
            let mut world = World::new(&[50; 6], seed);
            world.steady(Duration::from_millis(every), 6000);
            for given in &world.given {
                assert!((950..=1050).contains(given), "every {every} ms, seed {seed}: {:?}", world.given);
            }
        }
    }
}

#[test]
fn one_that_is_ten_times_slower_gets_less_than_a_fifth_of_the_mean() {
    for seed in 0..4 {
        for senders in [1, 8, 64] {
            let mut world = World::new(&[50, 50, 500, 50, 50, 50], seed);
            world.busy(senders, 6000);
            assert!(world.given[2] < 200, "{senders} senders, seed {seed}: {:?}", world.given);
            assert!(world.given[2] > 0, "it is not forgotten");
        }
        for every in [1, 20, 100] {
            let mut world = World::new(&[50, 50, 500, 50, 50, 50], seed);
            world.steady(Duration::from_millis(every), 6000);
            assert!(world.given[2] < 200, "every {every} ms, seed {seed}: {:?}", world.given);
        }
    }
}

#[test]
fn one_that_becomes_quick_again_gets_its_share_again() {
    let mut world = World::new(&[50, 50, 500, 50], 1);
    world.busy(8, 4000);
    world.takes[2] = Duration::from_millis(50);
    world.busy(8, 40_000);
    world.given = vec![0; 4];
    world.busy(8, 4000);
    for given in &world.given {
        assert!((900..=1100).contains(given), "{:?}", world.given);
    }
}

#[test]
fn one_that_is_back_gets_little_at_first_and_never_more_than_its_share() {
    for seed in 0..4 {
        let mut world = World::new(&[50; 6], seed);
        world.steady(Duration::from_millis(5), 6000);
        let now = world.now;
        world.loads[5] = Load::new(now);
        world.loads[5].restart(now);
        for (second, least, most) in
            [(1, 0, 20), (5, 40, 110), (11, 110, 240), (20, 250, 450), (60, 1250, 1450)]
        {
            let begins = world.now;
            world.given = vec![0; 6];
            // From one mark to the next.
            let seconds = second - (begins - now).as_secs();
            world.steady(Duration::from_millis(5), 200 * seconds);
            let given = world.given[5];
            assert!((least..=most).contains(&given), "until {second} s, seed {seed}: {given}");
        }
    }
}

#[test]
fn who_fails_is_given_less() {
    let mut world = World::new(&[50; 4], 5);
    for _ in 0..400 {
        world.send();
        // Every third request to the first endpoint fails, at once.
        if world.given[0] % 3 == 1 && world.chance.u8(..3) == 0 {
            world.loads[0].failed(world.now);
        }
        while world.under_way.len() > 4 {
            world.answer();
        }
    }
    assert!(world.given[0] < 450, "{:?}", world.given);
}

#[test]
fn without_candidates_there_is_no_choice_and_one_is_taken() {
    let mut chance = fastrand::Rng::with_seed(1);
    assert_eq!(choose(&[], &mut chance), None);
    let one = Load::new(Instant::now()).candidate(1, Instant::now());
    assert_eq!(choose(&[one], &mut chance), Some(0));
}

#[test]
fn the_same_seed_chooses_the_same() {
    let run = || {
        let mut world = World::new(&[50, 70, 90], 9);
        world.busy(8, 500);
        world.given
    };
    assert_eq!(run(), run());
}
