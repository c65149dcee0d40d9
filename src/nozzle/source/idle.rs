//! The idle timer: a stream that brings nothing for too long is dead, however open it looks.
//!
//! A router that goes away leaves the proxy's streams open and silent for minutes; only the
//! reader can notice. But silence alone does not tell a dead stream from one that has nothing to say, as
//! those of the proxy are that select only errors. So where other streams of this instance show that
//! the platform lives ([`Pulse`]), silence is borne for longer ([`Patience`]).

use std::future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A stream that is silent for this long is replaced although the platform lives: its own proxy may not.
const QUIET_TIMEOUT: Duration = Duration::from_mins(10);

/// By how much of it streams differ, so that those of many instances do not all come at one moment.
const QUIET_JITTER: f64 = 0.1;

/// A sign of the platform's life counts for this long. Its routers report every 5 s, its proxies every 60 s.
const PULSE_LASTS: Duration = Duration::from_secs(60);

/// A stream is busy if, as long as it brought something, it did so as often as this in each time-out. Then a
/// whole time-out of silence is no chance.
const BUSY_BEATS: u32 = 60;

/// How long silence is borne, if the platform lives.
///
/// At once for long where streams are quiet by nature. After a busy stream, for a time-out, and twice as
/// long for each further silent stream: another proxy may answer the next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    timeout: Duration,
    quiet: Duration,
}

impl Patience {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, quiet: QUIET_TIMEOUT.max(timeout) }
    }

    /// Takes note of a stream that ended: whether it was busy, and whether for its silence.
    pub(super) fn ended(&mut self, was_busy: bool, was_idle: bool) {
        if was_busy {
            self.quiet = self.timeout;
        } else if was_idle {
            self.quiet = self.quiet.saturating_mul(2).min(QUIET_TIMEOUT).max(self.timeout);
        }
    }

    /// For the next stream; `random` is in 0..1.
    fn limit(self, random: f64) -> Duration {
        self.quiet.mul_f64(1.0 + QUIET_JITTER * (2.0 * random - 1.0)).max(self.timeout)
    }
}

/// When something last came from the platform by some stream. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    /// Notes that something has come.
    pub(super) fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Until when the platform is taken to live, if it ever gave a sign.
    fn lasts_until(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|last| last + PULSE_LASTS)
    }
}

/// Fires when nothing happened for too long.
///
/// A sign of life only notes the moment; the timer itself is moved when it runs out, so a busy
/// stream costs the clock nothing.
#[derive(Debug)]
pub(super) struct IdleTimer {
    armed: Option<Armed>,
    opened: Instant,
    last: Instant,
    beats: u32,
}

#[derive(Debug)]
struct Armed {
    timeout: Duration,
    /// The longest silence, if the platform lives.
    quiet: Duration,
    /// Where its life shows.
    elsewhere: Option<Pulse>,
    sleep: Pin<Box<Sleep>>,
}

impl IdleTimer {
    /// Starts now; without patience it never fires. Only a stream that may be silent for its nature
    /// looks `elsewhere`.
    pub(super) fn start(patience: Option<Patience>, elsewhere: Option<&Pulse>) -> Self {
        let opened = Instant::now();
        let armed = patience.map(|patience| Armed {
            timeout: patience.timeout,
            quiet: patience.limit(fastrand::f64()),
            elsewhere: elsewhere.cloned(),
            sleep: Box::pin(sleep_until(opened + patience.timeout)),
        });
        Self { armed, opened, last: opened, beats: 0 }
    }

    /// Notes a sign of life.
    pub(super) fn alive(&mut self) {
        self.last = Instant::now();
        self.beats = self.beats.saturating_add(1);
    }

    /// Whether the stream brought something all the time, until it fell silent if it did.
    pub(super) fn is_busy(&self) -> bool {
        let Some(Armed { timeout, .. }) = &self.armed else { return false };
        let spoke = self.last - self.opened;
        self.beats >= BUSY_BEATS && spoke.saturating_mul(BUSY_BEATS) <= timeout.saturating_mul(self.beats)
    }

    /// Waits until the stream has been silent for too long; returns how long. Cancel safe.
    pub(super) async fn expired(&mut self) -> Duration {
        loop {
            let busy = self.is_busy();
            let Some(armed) = &mut self.armed else {
                return future::pending().await;
            };
            armed.sleep.as_mut().await;
            let deadline = armed.deadline(self.last, busy);
            if Instant::now() >= deadline {
                return self.last.elapsed();
            }
            armed.sleep.as_mut().reset(deadline);
        }
    }
}

impl Armed {
    fn deadline(&self, last: Instant, busy: bool) -> Instant {
        let silent = last + self.timeout;
        match self.elsewhere.as_ref().and_then(Pulse::lasts_until) {
            Some(lives_until) if !busy => silent.max(lives_until.min(last + self.quiet)),
            _ => silent,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    fn timer(elsewhere: Option<&Pulse>) -> IdleTimer {
        IdleTimer::start(Some(Patience::new(MINUTE)), elsewhere)
    }

    /// Waits for the end of a stream while the watch stream brings something every 5 s.
    async fn expired_while_it_lives(timer: &mut IdleTimer, pulse: &Pulse) -> Duration {
        loop {
            pulse.beat();
            if let Ok(quiet) = timeout(5 * SECOND, timer.expired()).await {
                return quiet;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_fires_a_time_out_after_the_last_sign_of_life() {
        let mut timer = timer(None);
        let start = Instant::now();
        for _ in 0..5 {
            advance(MINUTE / 2).await;
            timer.alive();
        }
        assert_eq!(timer.expired().await, MINUTE);
        assert_eq!(start.elapsed(), MINUTE * 7 / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_wait_does_not_move_it() {
        let mut timer = timer(None);
        let start = Instant::now();
        for _ in 0..5 {
            assert!(timeout(MINUTE / 6, timer.expired()).await.is_err());
        }
        timer.expired().await;
        assert_eq!(start.elapsed(), MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_time_out_it_never_fires() {
        let mut timer = IdleTimer::start(None, Some(&Pulse::default()));
        assert!(timeout(MINUTE * 60 * 24, timer.expired()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_is_kept_while_the_platform_lives() {
        let pulse = Pulse::default();
        let mut timer = timer(Some(&pulse));
        let quiet = expired_while_it_lives(&mut timer, &pulse).await;
        assert!(quiet >= QUIET_TIMEOUT.mul_f64(0.9) && quiet <= QUIET_TIMEOUT.mul_f64(1.1), "{quiet:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_sign_or_an_old_one_is_no_reason_to_wait() {
        let pulse = Pulse::default();
        assert_eq!(timer(Some(&pulse)).expired().await, MINUTE, "it was never seen");
        pulse.beat();
        advance(2 * MINUTE).await;
        assert_eq!(timer(Some(&pulse)).expired().await, MINUTE, "it was seen too long ago");
        let mut timer = timer(Some(&pulse));
        advance(MINUTE / 2).await;
        pulse.beat();
        assert_eq!(timer.expired().await, MINUTE * 3 / 2, "it died while the stream was silent");
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_stream_that_falls_silent_is_replaced_though_the_platform_lives() {
        let pulse = Pulse::default();
        let mut busy = timer(Some(&pulse));
        for _ in 0..BUSY_BEATS {
            advance(SECOND).await;
            busy.alive();
        }
        assert!(busy.is_busy());
        assert_eq!(expired_while_it_lives(&mut busy, &pulse).await, MINUTE);

        let mut slow = timer(Some(&pulse));
        for _ in 0..2 * BUSY_BEATS {
            advance(2 * SECOND).await;
            slow.alive();
        }
        assert!(!slow.is_busy());
    }

    #[test]
    fn patience_is_lost_with_a_busy_stream_and_comes_back() {
        let mut patience = Patience::new(MINUTE);
        let limits = |patience: Patience| (patience.limit(0.0).as_secs(), patience.limit(1.0).as_secs());
        assert_eq!(limits(patience), (540, 660));
        patience.ended(false, true);
        assert_eq!(limits(patience), (540, 660), "quiet by nature");
        patience.ended(true, true);
        let quiet = |patience: &mut Patience| {
            let quiet = patience.quiet.as_secs();
            patience.ended(false, true);
            quiet
        };
        let series: Vec<u64> = (0..6).map(|_| quiet(&mut patience)).collect();
        assert_eq!(series, [60, 120, 240, 480, 600, 600]);
        patience.ended(true, false);
        patience.ended(false, false);
        assert_eq!(patience.quiet, MINUTE, "an end for another reason says nothing of silence");
        assert_eq!(Patience::new(2 * QUIET_TIMEOUT).limit(0.5), 2 * QUIET_TIMEOUT);
    }
}
