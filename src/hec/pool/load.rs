//! What an endpoint has under way, and how it has done lately: what the choice goes by.
//!
//! Pure. Estimates fade while nothing comes in, so that an endpoint that was slow or failing is
//! tried again after a while, and one that was quick is not believed for ever.

use std::time::Duration;

use tokio::time::Instant;

use super::choice::Candidate;

/// The weight of one reply in the estimates.
const REPLY_WEIGHT: f64 = 0.2;

/// An estimate that nothing confirms is worth half as much after this time.
const HALF_LIFE: Duration = Duration::from_secs(20);

/// The same for the bytes sent lately.
const SENT_HALF_LIFE: Duration = Duration::from_secs(30);

/// How long an endpoint that is new or back takes to get its full share.
pub(crate) const SLOW_START: Duration = Duration::from_secs(10);

/// The share it begins with.
const SHARE_MIN: f64 = 0.1;

/// Latencies below (seconds) are all alike.
const LATENCY_MIN: f64 = 0.001;

/// However often it fails, an endpoint's cost is at most so many times its latency.
const SUCCESS_MIN: f64 = 0.1;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) requests: usize,
    pub(crate) bytes: usize,
    latency: Option<Faded>,
    failing: Faded,
    sent: Faded,
    /// Since when it has been given more and more.
    ramp_began: Option<Instant>,
}

/// A figure that loses its worth with time.
#[derive(Clone, Copy, Debug)]
struct Faded {
    value: f64,
    at: Instant,
    half_life: Duration,
}

impl Faded {
    fn new(value: f64, at: Instant, half_life: Duration) -> Self {
        Self { value, at, half_life }
    }

    fn get(self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.at);
        self.value * (-age.as_secs_f64() / self.half_life.as_secs_f64()).exp2()
    }

    fn set(&mut self, value: f64, now: Instant) {
        (self.value, self.at) = (value, now);
    }

    /// Moves towards a new observation.
    fn move_to(&mut self, seen: f64, now: Instant) {
        self.set(self.value + (seen - self.value) * REPLY_WEIGHT, now);
    }
}

impl Load {
    /// For an endpoint that is there from the start.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            requests: 0,
            bytes: 0,
            latency: None,
            failing: Faded::new(0.0, now, HALF_LIFE),
            sent: Faded::new(0.0, now, SENT_HALF_LIFE),
            ramp_began: None,
        }
    }

    /// The endpoint is new, or back: from now on it gets more and more.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.ramp_began = Some(now);
        self.failing.set(0.0, now);
        // What it was like before says little.
        self.latency = None;
    }

    /// A request begins.
    pub(crate) fn began(&mut self, bytes: usize, now: Instant) {
        self.requests += 1;
        self.bytes += bytes;
        self.sent.set(self.sent.get(now) + bytes as f64, now);
    }

    /// A request is over, whatever came of it.
    pub(crate) fn ended(&mut self, bytes: usize) {
        self.requests = self.requests.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// A request was answered, after so long.
    pub(crate) fn replied(&mut self, took: Duration, now: Instant) {
        let seconds = took.as_secs_f64();
        match &mut self.latency {
            Some(latency) => latency.move_to(seconds, now),
            None => self.latency = Some(Faded::new(seconds, now, HALF_LIFE)),
        }
        self.failing.move_to(0.0, now);
    }

    /// A request failed on the way. How long that took says nothing: refusing is quick.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.failing.move_to(1.0, now);
    }

    /// How long a request takes.
    pub(crate) fn latency(&self) -> Option<Duration> {
        self.latency.map(|latency| Duration::from_secs_f64(latency.value))
    }

    /// The endpoint as the choice sees it, for one request more of so many bytes.
    pub(crate) fn candidate(&self, bytes: usize, now: Instant) -> Candidate {
        let success = (1.0 - self.failing.get(now)).max(SUCCESS_MIN);
        Candidate {
            work: (self.bytes + bytes).max(1) as f64 / success,
            latency: self.latency.map(|latency| latency.get(now).max(LATENCY_MIN)),
            sent: self.sent.get(now),
            share: self.share(now),
        }
    }

    /// Counts as having got as much as the others: it does not make up for when it was away.
    pub(crate) fn caught_up(&mut self, sent: f64, now: Instant) {
        if self.share(now) < 1.0 {
            self.sent.set(self.sent.get(now).max(sent), now);
        }
    }

    /// How much of a full share it is to get.
    fn share(&self, now: Instant) -> f64 {
        let Some(began) = self.ramp_began else { return 1.0 };
        let part = now.saturating_duration_since(began).as_secs_f64() / SLOW_START.as_secs_f64();
        part.clamp(SHARE_MIN, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_follow_what_is_seen_and_fade() {
        let now = Instant::now();
        let mut load = Load::new(now);
        assert_eq!(load.candidate(100, now).latency, None);
        for _ in 0..50 {
            load.replied(Duration::from_millis(100), now);
        }
        let seen = |load: &Load, after: u64| load.candidate(100, now + Duration::from_secs(after)).latency;
        assert!((seen(&load, 0).unwrap() - 0.1).abs() < 1e-6);
        assert!((seen(&load, 20).unwrap() - 0.05).abs() < 1e-6);
        assert_eq!(seen(&load, 100_000), Some(LATENCY_MIN));
        assert_eq!(load.latency(), Some(Duration::from_millis(100)), "what is shown does not fade");
        let before = load.candidate(100, now).work;
        load.failed(now);
        let after = load.candidate(100, now).work;
        assert!(after > before, "failing costs");
        let later = load.candidate(100, now + Duration::from_mins(10)).work;
        assert!((later - before).abs() < 0.01, "and is forgiven");
        for _ in 0..1000 {
            load.failed(now);
        }
        assert!(load.candidate(100, now).work <= before * 10.1, "within bounds");
    }

    #[test]
    fn what_is_under_way_adds_up_and_never_falls_below_nothing() {
        let now = Instant::now();
        let mut load = Load::new(now);
        load.began(300, now);
        load.began(200, now);
        assert_eq!((load.requests, load.bytes), (2, 500));
        assert_eq!(load.candidate(100, now).work, 600.0);
        for _ in 0..3 {
            load.ended(300);
        }
        assert_eq!((load.requests, load.bytes), (0, 0));
    }

    #[test]
    fn who_is_back_gets_a_full_share_after_ten_seconds() {
        let now = Instant::now();
        let mut load = Load::new(now);
        assert_eq!(load.candidate(1, now).share, 1.0);
        load.restart(now);
        for (after, share) in [(0, 0.1), (1, 0.1), (5, 0.5), (10, 1.0), (1000, 1.0)] {
            assert_eq!(load.candidate(1, now + Duration::from_secs(after)).share, share, "{after}");
        }
        load.caught_up(5000.0, now);
        assert_eq!(load.candidate(1, now).sent, 5000.0);
        let full = now + SLOW_START;
        load.caught_up(50_000.0, full);
        assert!(load.candidate(1, full).sent < 5000.0, "only while it starts");
    }
}
