//! When the next call may be made: a rate, a pause the peer asked for, and who goes first.
//!
//! Names go before environments: one call brings the names of up to a thousand apps, but the
//! environment of one app only. While names queue up, environments still get one call in
//! [`ENVIRONMENT_SHARE`], so that they always move on.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// While names wait, one call in this many belongs to environments.
const ENVIRONMENT_SHARE: u32 = 4;
/// Calls that may follow each other without a pause after a quiet time.
const BURST_MAX: u32 = 8;

/// Why a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Names: a look-up, a page of a list, a probe.
    Names,
    /// The environment of one app.
    Environment,
}

/// The token bucket; pure.
#[derive(Debug)]
struct Bucket {
    interval: Duration,
    tolerance: Duration,
    /// When the next call would be due at an even pace.
    next: Instant,
    /// No call before this.
    held_until: Instant,
}

impl Bucket {
    fn new(per_second: u32, now: Instant) -> Self {
        let per_second = per_second.max(1);
        let interval = Duration::from_secs(1) / per_second;
        let tolerance = interval * (per_second.min(BURST_MAX) - 1);
        Self { interval, tolerance, next: now, held_until: now }
    }

    /// Takes a permit, or says when to come back.
    fn take(&mut self, now: Instant) -> Result<(), Instant> {
        if now < self.held_until {
            return Err(self.held_until);
        }
        let early = self.next.saturating_duration_since(now);
        if early > self.tolerance {
            return Err(now + (early - self.tolerance));
        }
        self.next = self.next.max(now) + self.interval;
        Ok(())
    }

    fn hold(&mut self, until: Instant) {
        self.held_until = self.held_until.max(until);
    }
}

/// Gives permits to call.
#[derive(Debug)]
pub(super) struct Pacer {
    bucket: Mutex<Bucket>,
    /// First come, first served.
    turn: tokio::sync::Mutex<()>,
    names_waiting: AtomicUsize,
    calls_since_environment: AtomicU32,
    /// Told when a call for names has its permit or gives up.
    moved: Notify,
}

impl Pacer {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            bucket: Mutex::new(Bucket::new(per_second, Instant::now())),
            turn: tokio::sync::Mutex::default(),
            names_waiting: AtomicUsize::new(0),
            calls_since_environment: AtomicU32::new(0),
            moved: Notify::new(),
        }
    }

    /// Waits until a call may be made. Cancel safe: no permit is lost.
    pub(super) async fn permit(&self, purpose: Purpose) {
        match purpose {
            Purpose::Names => {
                let _waiting = Waiting::new(self);
                self.take().await;
                self.calls_since_environment.fetch_add(1, Ordering::Relaxed);
            }
            Purpose::Environment => {
                loop {
                    let mut moved = std::pin::pin!(self.moved.notified());
                    moved.as_mut().enable();
                    let share_due =
                        self.calls_since_environment.load(Ordering::Relaxed) >= ENVIRONMENT_SHARE - 1;
                    if share_due || self.names_waiting.load(Ordering::Acquire) == 0 {
                        break;
                    }
                    moved.await;
                }
                self.take().await;
                self.calls_since_environment.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Makes no further call for `pause`.
    pub(super) fn hold(&self, pause: Duration) {
        self.lock().hold(Instant::now() + pause);
    }

    async fn take(&self) {
        let _turn = self.turn.lock().await;
        loop {
            let taken = self.lock().take(Instant::now());
            match taken {
                Ok(()) => return,
                Err(later) => sleep_until(later).await,
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call for names that waits for its permit.
struct Waiting<'a>(&'a Pacer);

impl<'a> Waiting<'a> {
    fn new(pacer: &'a Pacer) -> Self {
        pacer.names_waiting.fetch_add(1, Ordering::AcqRel);
        Self(pacer)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.names_waiting.fetch_sub(1, Ordering::AcqRel);
        self.0.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::{join, join_all};

    use super::*;

    /// Seconds after the start at which each of `n` permits is given.
    async fn times(pacer: &Pacer, purpose: Purpose, n: usize) -> Vec<f64> {
        let start = Instant::now();
        let permits = (0..n).map(async |_| {
            pacer.permit(purpose).await;
            start.elapsed().as_secs_f64()
        });
        join_all(permits).await
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_burst_calls_keep_to_the_rate() {
        for (rate, burst) in [(1, 1), (2, 2), (20, 8), (1000, 8)] {
            let pacer = Pacer::new(rate);
            let times = times(&pacer, Purpose::Names, 100).await;
            for (n, time) in times.into_iter().enumerate() {
                let due = (n + 1).saturating_sub(burst) as f64 / f64::from(rate);
                // Timers are exact to the millisecond.
                assert!((due - 1e-6..due + 2e-3).contains(&time), "rate {rate}, call {n}: {time} for {due}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_of_zero_is_one() {
        assert_eq!(times(&Pacer::new(0), Purpose::Names, 3).await, [0.0, 1.0, 2.0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_stops_all_calls_and_a_shorter_one_does_not_end_it() {
        let pacer = Pacer::new(100);
        pacer.hold(Duration::from_secs(30));
        pacer.hold(Duration::from_secs(3));
        let (names, environments) =
            join(times(&pacer, Purpose::Names, 2), times(&pacer, Purpose::Environment, 1)).await;
        assert!(
            names.iter().chain(&environments).all(|time| (30.0..31.0).contains(time)),
            "{names:?} {environments:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn names_go_before_environments() {
        let pacer = Pacer::new(1);
        let (names, environments) =
            join(times(&pacer, Purpose::Names, 4), times(&pacer, Purpose::Environment, 2)).await;
        assert_eq!((names.as_slice(), environments.as_slice()), (&[0.0, 1.0, 2.0, 3.0][..], &[4.0, 5.0][..]));
    }

    #[tokio::test(start_paused = true)]
    async fn under_a_steady_load_of_names_environments_move_on() {
        let pacer = Pacer::new(10);
        let loads = join_all((0..8).map(async |_| {
            for _ in 0..100 {
                pacer.permit(Purpose::Names).await;
            }
        }));
        let environments = async {
            for _ in 0..20 {
                pacer.permit(Purpose::Environment).await;
            }
        };
        let mut loads = std::pin::pin!(loads);
        tokio::select! {
            () = environments => {}
            _ = &mut loads => panic!("800 calls for names went before 20 for environments"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_gives_up_makes_way() {
        let pacer = Pacer::new(1);
        pacer.hold(Duration::from_secs(10));
        let gives_up = async {
            let wait = tokio::time::timeout(Duration::from_secs(1), pacer.permit(Purpose::Names));
            assert!(wait.await.is_err());
        };
        let ((), environments) = join(gives_up, times(&pacer, Purpose::Environment, 1)).await;
        assert_eq!(environments, [10.0]);
    }
}
