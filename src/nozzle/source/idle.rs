//! The idle timer: a stream that brings nothing for too long is dead, however open it looks.
//!
//! A router that goes away leaves the proxy's streams open and silent for minutes; only the
//! reader can notice.

use std::future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Fires when nothing happened for the time-out.
///
/// A sign of life only notes the moment; the timer itself is moved when it runs out, so a busy
/// stream costs the clock nothing.
#[derive(Debug)]
pub(super) struct IdleTimer {
    armed: Option<(Duration, Pin<Box<Sleep>>)>,
    last: Instant,
}

impl IdleTimer {
    /// Starts now; without a time-out it never fires.
    pub(super) fn start(timeout: Option<Duration>) -> Self {
        let last = Instant::now();
        Self { armed: timeout.map(|timeout| (timeout, Box::pin(sleep_until(last + timeout)))), last }
    }

    /// Notes a sign of life.
    pub(super) fn alive(&mut self) {
        self.last = Instant::now();
    }

    /// Waits until the stream has been silent for the time-out; returns how long. Cancel safe.
    pub(super) async fn expired(&mut self) -> Duration {
        let Some((timeout, sleep)) = &mut self.armed else {
            return future::pending().await;
        };
        loop {
            sleep.as_mut().await;
            let quiet = self.last.elapsed();
            if quiet >= *timeout {
                return quiet;
            }
            sleep.as_mut().reset(self.last + *timeout);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn it_fires_a_time_out_after_the_last_sign_of_life() {
        let mut timer = IdleTimer::start(Some(MINUTE));
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
        let mut timer = IdleTimer::start(Some(MINUTE));
        let start = Instant::now();
        for _ in 0..5 {
            assert!(timeout(MINUTE / 6, timer.expired()).await.is_err());
        }
        timer.expired().await;
        assert_eq!(start.elapsed(), MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_time_out_it_never_fires() {
        let mut timer = IdleTimer::start(None);
        assert!(timeout(MINUTE * 60 * 24, timer.expired()).await.is_err());
    }
}
