//! The state machine, step by step, on a clock the test moves.

use http::StatusCode;

use super::*;

const TOKEN: HoldReason = HoldReason::Token { status: StatusCode::FORBIDDEN, code: None };
const DOWN: Signal = Signal::Down { after: None };

/// A breaker and the time.
struct Bench {
    breaker: Breaker,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self { breaker: Breaker::new(fastrand::Rng::with_seed(3), now), now }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn admit(&mut self) -> Admission {
        self.breaker.admit(self.now)
    }

    fn enter(&mut self) -> Ticket {
        match self.admit() {
            Admission::Go(ticket) => ticket,
            other => panic!("not let through: {other:?}"),
        }
    }

    /// Waits out the pause, and returns its length.
    fn wait(&mut self) -> Duration {
        let Admission::At(when) = self.admit() else { return Duration::ZERO };
        let pause = when - self.now;
        self.now = when;
        pause
    }

    fn report(&mut self, ticket: Ticket, signal: Signal) -> Option<Notice> {
        self.breaker.report(ticket, signal, self.now)
    }

    fn state(&self) -> GateState {
        self.breaker.view(self.now).state
    }
}

#[test]
fn requests_that_fail_together_are_one_failure() {
    let mut bench = Bench::new();
    let tickets: Vec<Ticket> = (0..8).map(|_| bench.enter()).collect();
    for ticket in tickets {
        bench.report(ticket, DOWN);
    }
    assert_eq!(bench.breaker.progress(bench.now).failures, 1);
    assert!(bench.wait() <= Duration::from_millis(250));
    let probe = bench.enter();
    assert_eq!(bench.admit(), Admission::Later, "one probe at a time");
    bench.report(probe, Signal::Up);
    assert_eq!(bench.state(), GateState::Open);
}

#[test]
fn pauses_grow_with_failed_probes_and_start_anew_after_a_success() {
    let mut bench = Bench::new();
    let mut longest = Duration::ZERO;
    for round in 0..200u32 {
        bench.wait();
        let ticket = bench.enter();
        bench.report(ticket, DOWN);
        let limit = Duration::from_millis(250 * (1 << round.min(7))).min(Duration::from_secs(30));
        let Admission::At(until) = bench.admit() else { continue };
        assert!(until - bench.now <= limit, "{round}");
        longest = longest.max(until - bench.now);
    }
    assert!(longest > Duration::from_secs(25));
    bench.wait();
    let ticket = bench.enter();
    bench.report(ticket, Signal::Up);
    let ticket = bench.enter();
    bench.report(ticket, DOWN);
    assert!(bench.wait() <= Duration::from_millis(250));
}

#[test]
fn retry_after_is_the_least_pause_and_a_later_longer_one_counts() {
    let mut bench = Bench::new();
    let (first, second, third) = (bench.enter(), bench.enter(), bench.enter());
    bench.report(first, Signal::Down { after: Some(Duration::from_secs(10)) });
    bench.report(second, Signal::Down { after: Some(Duration::from_secs(60)) });
    bench.report(third, Signal::Down { after: Some(Duration::from_secs(5)) });
    assert_eq!(bench.wait(), Duration::from_secs(60));
}

#[test]
fn a_request_from_before_the_outage_does_not_close_or_open_anything() {
    let mut bench = Bench::new();
    let (slow, slower, failing) = (bench.enter(), bench.enter(), bench.enter());
    bench.report(failing, DOWN);
    bench.report(slow, Signal::Up);
    assert_eq!(bench.state(), GateState::Paused, "its success is older than the failure");
    bench.wait();
    let probe = bench.enter();
    bench.report(probe, Signal::Up);
    bench.report(slower, DOWN);
    assert_eq!(bench.state(), GateState::Open, "its failure is older than the success");
}

#[test]
fn a_hold_is_asked_about_after_5_s_doubling_to_60_s_and_does_not_count_as_time_or_attempts() {
    let mut bench = Bench::new();
    let mut pauses = Vec::new();
    bench.pass(Duration::from_secs(3));
    for _ in 0..6 {
        let ticket = bench.enter();
        bench.report(ticket, Signal::Hold(TOKEN));
        pauses.push(bench.wait().as_secs());
    }
    assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
    let progress = Progress { failures: 0, running: Duration::from_secs(3) };
    assert_eq!(bench.breaker.progress(bench.now), progress, "while held");
    let ticket = bench.enter();
    bench.report(ticket, Signal::Up);
    assert_eq!(bench.breaker.progress(bench.now), progress, "after it");
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.breaker.progress(bench.now).running, Duration::from_secs(5));
}

#[test]
fn a_hold_that_becomes_an_outage_counts_again() {
    let mut bench = Bench::new();
    let ticket = bench.enter();
    bench.report(ticket, Signal::Hold(TOKEN));
    bench.wait();
    let ticket = bench.enter();
    bench.report(ticket, DOWN);
    assert_eq!(bench.state(), GateState::Paused);
    bench.pass(Duration::from_secs(7));
    let expected = Progress { failures: 1, running: Duration::from_secs(7) };
    assert_eq!(bench.breaker.progress(bench.now), expected);
}

#[test]
fn a_late_refusal_of_the_token_turns_a_pause_into_a_hold() {
    let mut bench = Bench::new();
    let (failing, refused) = (bench.enter(), bench.enter());
    bench.report(failing, DOWN);
    let notice = bench.report(refused, Signal::Hold(TOKEN));
    assert_eq!(notice, Some(Notice::Held { reason: TOKEN, lasting: Duration::ZERO }));
    assert_eq!(bench.state(), GateState::Held { reason: TOKEN });
    assert_eq!(bench.wait(), Duration::from_secs(5));
}

#[test]
fn a_forgotten_probe_leaves_its_place_but_an_old_ticket_does_not() {
    let mut bench = Bench::new();
    let (old, failing) = (bench.enter(), bench.enter());
    bench.report(failing, DOWN);
    bench.wait();
    let probe = bench.enter();
    bench.breaker.forget(old);
    assert_eq!(bench.admit(), Admission::Later);
    bench.breaker.forget(probe);
    assert!(matches!(bench.admit(), Admission::Go(_)));
}

#[test]
fn slowing_down_delays_the_next_requests_without_closing() {
    let mut bench = Bench::new();
    let (first, second) = (bench.enter(), bench.enter());
    bench.report(first, Signal::UpSlow);
    bench.report(second, Signal::Up);
    assert_eq!(bench.state(), GateState::Open);
    assert_eq!(bench.wait(), SLOW_DOWN);
    bench.enter();
}

#[test]
fn notices_come_at_once_then_once_a_minute_and_again_for_a_new_reason() {
    let mut bench = Bench::new();
    let mut spoken = 0;
    let start = bench.now;
    while bench.now - start < Duration::from_secs(600) {
        let ticket = bench.enter();
        spoken += usize::from(bench.report(ticket, DOWN).is_some());
        bench.wait();
        // Flapping: every failure is followed by a success.
        let ticket = bench.enter();
        bench.report(ticket, Signal::Up);
        bench.pass(Duration::from_secs(1));
    }
    assert!((9..=10).contains(&spoken), "{spoken}");
    let ticket = bench.enter();
    assert!(bench.report(ticket, Signal::Hold(TOKEN)).is_some());
    bench.wait();
    let ticket = bench.enter();
    assert_eq!(bench.report(ticket, Signal::Hold(TOKEN)), None, "said 5 s ago");
    bench.wait();
    let ticket = bench.enter();
    let notice = bench.report(ticket, Signal::Hold(HoldReason::Channel));
    assert!(matches!(notice, Some(Notice::Held { reason: HoldReason::Channel, .. })));
    bench.wait();
    let ticket = bench.enter();
    assert!(matches!(bench.report(ticket, Signal::Up), Some(Notice::Back { .. })));
}

#[test]
fn failures_on_the_way_close_it_when_there_are_three_in_a_row() {
    let mut bench = Bench::new();
    for round in 0..2 {
        for _ in 0..2 {
            bench.wait();
            let ticket = bench.enter();
            assert_eq!(bench.report(ticket, Signal::Strike), None, "{round}");
            assert_eq!(bench.state(), GateState::Open);
            assert!(bench.wait() <= Duration::from_millis(250));
        }
        let ticket = bench.enter();
        bench.report(ticket, Signal::Up);
    }
    let tickets: Vec<Ticket> = (0..8).map(|_| bench.enter()).collect();
    let notices: Vec<_> = tickets.into_iter().filter_map(|it| bench.report(it, Signal::Strike)).collect();
    assert!(matches!(notices[..], [Notice::Down { failures: 1, .. }]), "{notices:?}");
    assert_eq!(bench.state(), GateState::Paused);
    bench.wait();
    let probe = bench.enter();
    bench.report(probe, Signal::Strike);
    assert_eq!(bench.state(), GateState::Paused, "a probe has one try");
    bench.wait();
    let probe = bench.enter();
    bench.report(probe, Signal::Up);
    let ticket = bench.enter();
    bench.report(ticket, Signal::Strike);
    assert_eq!(bench.state(), GateState::Open, "it begins anew");
}

#[test]
fn an_entry_says_what_admission_does() {
    let mut bench = Bench::new();
    let entry = |bench: &Bench| bench.breaker.entry(bench.now);
    assert_eq!(entry(&bench), Entry::Open);
    let ticket = bench.enter();
    bench.report(ticket, Signal::UpSlow);
    let soon = bench.now + SLOW_DOWN;
    assert_eq!((entry(&bench), entry(&bench).is_open()), (Entry::OpenAt(soon), true));
    bench.wait();
    let ticket = bench.enter();
    bench.report(ticket, Signal::Down { after: Some(Duration::from_secs(9)) });
    let until = bench.now + Duration::from_secs(9);
    assert_eq!((entry(&bench), entry(&bench).is_open()), (Entry::ClosedUntil(until), false));
    bench.pass(Duration::from_secs(10));
    assert_eq!(entry(&bench), Entry::Try(until));
    let _probe = bench.enter();
    assert_eq!(entry(&bench), Entry::Trying);
}
