//! Whether an endpoint's acks can be relied on.
//!
//! Behind a load balancer that does not stick, each request may meet another indexer: channels break all the time,
//! and every break sends again what was pending. Where acks never come, everything is sent again at the end of its
//! time. Both only make duplicates, so after some of it the endpoint's acks are left alone for a while.
//!
//! Pure: time is handed in.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::AckTiming;

/// So many breaks within [`AckTiming::breaks_within`] are too many.
const BREAKS_MAX: usize = 3;

/// Verdicts that are looked back on.
const VERDICTS: usize = 100;

/// More of them than this that are time-outs are too many: one in twenty.
const TIMEOUTS_MAX: usize = VERDICTS / 20;

/// Why acks are left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distrust {
    /// Requests of one channel meet several servers.
    Breaks,
    /// The server says that it has not indexed what it took.
    Timeouts,
}

impl Distrust {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Breaks => "ack ids of one channel come from several servers, or from one that restarts",
            Self::Timeouts => "more than one in twenty batches is not acknowledged in time",
        }
    }

    pub(super) fn next_step(self) -> &'static str {
        match self {
            Self::Breaks => {
                "name every indexer in SPLUNK_HOST, or make the load balancer stick by cookie; or set HEC_ACK=off"
            }
            Self::Timeouts => {
                "look for blocked queues or missing replicas on the indexers; raise HEC_ACK_TIMEOUT, or set HEC_ACK=off"
            }
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Trust {
    breaks: VecDeque<Instant>,
    /// The last verdicts; true for a time-out.
    verdicts: VecDeque<bool>,
    distrusted: Option<(Distrust, Instant)>,
    /// For how long it is next time, and since when it was trusted last.
    pause: Duration,
    trusted_since: Instant,
}

impl Trust {
    pub(super) fn new(timing: &AckTiming, now: Instant) -> Self {
        Self {
            breaks: VecDeque::new(),
            verdicts: VecDeque::new(),
            distrusted: None,
            pause: timing.distrust,
            trusted_since: now,
        }
    }

    /// Whether, and why, acks are left alone.
    pub(super) fn distrust(&self) -> Option<Distrust> {
        self.distrusted.map(|(why, _)| why)
    }

    /// Whether it is time to trust again; true once.
    pub(super) fn recovers(&mut self, now: Instant) -> bool {
        let over = self.distrusted.is_some_and(|(_, until)| now >= until);
        if over {
            self.distrusted = None;
            self.trusted_since = now;
            self.breaks.clear();
            self.verdicts.clear();
        }
        over
    }

    /// A channel broke; says if that was one too many, and for how long acks are left alone now.
    pub(super) fn broke(&mut self, timing: &AckTiming, now: Instant) -> Option<(Distrust, Duration)> {
        self.breaks.retain(|at| now.saturating_duration_since(*at) < timing.breaks_within);
        self.breaks.push_back(now);
        (self.breaks.len() >= BREAKS_MAX).then(|| self.fall(Distrust::Breaks, timing, now)).flatten()
    }

    /// Batches were confirmed.
    pub(super) fn indexed(&mut self, batches: usize) {
        for _ in 0..batches.min(VERDICTS) {
            self.verdict(false);
        }
    }

    /// A batch was denied until its time was over; as [`Trust::broke`].
    pub(super) fn timed_out(&mut self, timing: &AckTiming, now: Instant) -> Option<(Distrust, Duration)> {
        self.verdict(true);
        let timeouts = self.verdicts.iter().filter(|timeout| **timeout).count();
        (timeouts > TIMEOUTS_MAX).then(|| self.fall(Distrust::Timeouts, timing, now)).flatten()
    }

    fn verdict(&mut self, timeout: bool) {
        if self.verdicts.len() == VERDICTS {
            self.verdicts.pop_front();
        }
        self.verdicts.push_back(timeout);
    }

    fn fall(&mut self, why: Distrust, timing: &AckTiming, now: Instant) -> Option<(Distrust, Duration)> {
        if self.distrusted.is_some() {
            return None;
        }
        if now.saturating_duration_since(self.trusted_since) >= timing.distrust_max {
            self.pause = timing.distrust;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(timing.distrust_max);
        self.distrusted = Some((why, now + pause));
        Some((why, pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn three_breaks_in_a_minute_are_too_many() {
        let (timing, start) = (AckTiming::default(), Instant::now());
        let at = |second: u64| start + Duration::from_secs(second);
        let mut trust = Trust::new(&timing, start);
        assert_eq!([0, 30, 61, 95].map(|second| trust.broke(&timing, at(second))), [None; 4]);
        assert_eq!(trust.broke(&timing, at(100)), Some((Distrust::Breaks, MINUTE * 10)));
        assert_eq!(trust.distrust(), Some(Distrust::Breaks));
        assert_eq!(trust.broke(&timing, at(101)), None, "it is said once");
        assert!(!trust.recovers(at(699)));
        assert_eq!((trust.recovers(at(700)), trust.recovers(at(700))), (true, false));
        assert_eq!(trust.distrust(), None);
    }

    #[test]
    fn it_lasts_twice_as_long_each_time_up_to_an_hour_and_begins_anew_after_a_good_one() {
        let (timing, mut now) = (AckTiming::default(), Instant::now());
        let mut trust = Trust::new(&timing, now);
        for minutes in [10, 20, 40, 60, 60] {
            let told = [(); 3].map(|()| trust.broke(&timing, now));
            assert_eq!(told[2], Some((Distrust::Breaks, MINUTE * minutes)));
            now += MINUTE * minutes;
            assert!(trust.recovers(now));
        }
        now += MINUTE * 60;
        let told = [(); 3].map(|()| trust.broke(&timing, now));
        assert_eq!(told[2], Some((Distrust::Breaks, MINUTE * 10)));
    }

    #[test]
    fn more_than_one_time_out_in_twenty_is_too_many() {
        let (timing, now) = (AckTiming::default(), Instant::now());
        let mut trust = Trust::new(&timing, now);
        for _ in 0..40 {
            trust.indexed(24);
            assert_eq!(trust.timed_out(&timing, now), None, "one in twenty-five");
        }
        let mut trust = Trust::new(&timing, now);
        for _ in 0..5 {
            assert_eq!(trust.timed_out(&timing, now), None);
        }
        assert_eq!(trust.timed_out(&timing, now), Some((Distrust::Timeouts, MINUTE * 10)));
        let mut trust = Trust::new(&timing, now);
        trust.indexed(100_000);
        assert_eq!(
            [(); 6].map(|()| trust.timed_out(&timing, now).is_some()),
            [false, false, false, false, false, true]
        );
    }
}
