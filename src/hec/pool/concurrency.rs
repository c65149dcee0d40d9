//! How many requests an endpoint is given at once: a limit that finds itself.
//!
//! Pure. More requests at a time help until the server's threads are busy; from then on they only
//! wait there. So the limit grows while requests take as long as they do when few are under way,
//! falls in proportion when they take more than [`SLOWER`] times as long, and is halved when the
//! server asks for less (429, 503, codes 24 to 27).
//!
//! What "as long as with few" means is measured: the least mean of a window, for bodies of about
//! the same size. Once a minute one window runs at a quarter of the limit and its means become the
//! new base; without that a limit would creep up with the very queue it makes. (Half would not do:
//! of a queue it sees half, which is just what is allowed.)

use std::time::Duration;

use tokio::time::Instant;

/// Requests at once when an endpoint is new to us at the start.
const START: f64 = 4.0;

/// The most requests at once. A splunkd reads with two threads by default: more only wait.
const CEILING: f64 = 32.0;

/// Latency over the base from which on the limit falls.
const SLOWER: f64 = 2.0;

/// Latency over the base up to which the limit grows.
const ALIKE: f64 = 1.5;

/// The least latency that is told apart (seconds): below, it is noise of this machine.
const LATENCY_MIN: f64 = 0.02;

/// A window has at least as many replies, and at least as many as the limit.
const WINDOW_MIN: u32 = 4;

/// How often the base is measured anew.
const REBASE: Duration = Duration::from_mins(1);

/// The part of the limit it is measured with.
const REBASE_PART: f64 = 0.25;

/// Classes of body size, each twice as large as the one before; a larger body takes longer.
const CLASSES: usize = 8;

/// Bodies up to this many bytes are of the first class.
const CLASS_BYTES: usize = 8 * 1024;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    limit: f64,
    growth: Growth,
    /// Requests that began before are not part of the window.
    window_began: Instant,
    window: [Sum; CLASSES],
    /// Whether the limit was in the way during the window.
    reached: bool,
    /// Least mean latency of each class, in seconds.
    base: [Option<f64>; CLASSES],
    rebased_at: Instant,
    /// Requests that began before were sent under a higher limit.
    lowered_at: Instant,
    /// Whether the server has asked for less, and nothing was learned since.
    asked_for_less: bool,
    /// The limit to return to after a window at a part of it.
    rebasing: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    /// Doubling: no limit has been felt yet.
    Fast,
    /// By one.
    Steady,
}

/// Latencies of one class in one window.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    seconds: f64,
    replies: u32,
}

impl Sum {
    fn mean(self) -> Option<f64> {
        (self.replies > 0).then(|| (self.seconds / f64::from(self.replies)).max(LATENCY_MIN))
    }
}

impl Limit {
    /// For an endpoint that is there from the start.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            limit: START,
            growth: Growth::Fast,
            window_began: now,
            window: [Sum::default(); CLASSES],
            reached: false,
            base: [None; CLASSES],
            rebased_at: now,
            lowered_at: now,
            asked_for_less: false,
            rebasing: None,
        }
    }

    /// How many requests may be under way.
    pub(crate) fn get(&self) -> usize {
        // Between 1 and the ceiling, so it fits.
        self.limit as usize
    }

    /// A request had to go elsewhere, or this one took the last place.
    pub(crate) fn reached(&mut self) {
        self.reached = true;
    }

    /// A request of so many bytes that began at `began` was answered.
    pub(crate) fn replied(&mut self, bytes: usize, began: Instant, now: Instant) {
        if began < self.window_began {
            return;
        }
        let sum = &mut self.window[class(bytes)];
        sum.seconds += now.saturating_duration_since(began).as_secs_f64();
        sum.replies += 1;
        let replies: u32 = self.window.iter().map(|sum| sum.replies).sum();
        if f64::from(replies) >= self.limit.floor() && replies >= WINDOW_MIN {
            self.close(now);
        }
    }

    /// The server asked for less in its reply to a request that began at `began`.
    pub(crate) fn pushed_back(&mut self, began: Instant, now: Instant) {
        if began < self.lowered_at {
            return;
        }
        self.lowered_at = now;
        self.asked_for_less = true;
        self.rebasing = None;
        self.set(self.limit / 2.0);
        self.growth = Growth::Steady;
        self.open(now);
    }

    /// The endpoint is back. If it only asked for less it has that already.
    pub(crate) fn reopened(&mut self, now: Instant) {
        if !self.asked_for_less {
            self.restart(now);
        }
    }

    /// The endpoint is new, or as good as new: begin with one request.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.rebasing = None;
        self.lowered_at = now;
        self.asked_for_less = false;
        self.limit = 1.0;
        self.growth = Growth::Fast;
        self.open(now);
    }

    fn close(&mut self, now: Instant) {
        self.asked_for_less = false;
        let reached = self.reached;
        let slowdown = self.slowdown();
        self.lower_base();
        if let Some(before) = self.rebasing.take() {
            self.set(before);
        } else if slowdown > SLOWER {
            self.set(self.limit * (SLOWER / slowdown).max(0.5));
            self.growth = Growth::Steady;
        } else if slowdown > ALIKE {
            self.growth = Growth::Steady;
        } else if reached {
            match self.growth {
                Growth::Fast => self.set(self.limit * 2.0),
                Growth::Steady => self.set(self.limit + 1.0),
            }
        }
        if now.saturating_duration_since(self.rebased_at) >= REBASE {
            self.rebased_at = now;
            self.base = [None; CLASSES];
            self.rebasing = Some(self.limit);
            self.set(self.limit * REBASE_PART);
        }
        self.open(now);
    }

    /// How many times as long as with few under way the window's requests took.
    fn slowdown(&self) -> f64 {
        let (mut ratios, mut replies) = (0.0, 0.0);
        for (sum, base) in self.window.iter().zip(self.base) {
            if let (Some(mean), Some(base)) = (sum.mean(), base) {
                ratios += mean / base * f64::from(sum.replies);
                replies += f64::from(sum.replies);
            }
        }
        if replies > 0.0 { ratios / replies } else { 1.0 }
    }

    fn lower_base(&mut self) {
        for (sum, base) in self.window.iter().zip(&mut self.base) {
            if let Some(mean) = sum.mean() {
                *base = Some(base.map_or(mean, |base| base.min(mean)));
            }
        }
    }

    fn open(&mut self, now: Instant) {
        self.window = [Sum::default(); CLASSES];
        self.window_began = now;
        self.reached = false;
    }

    fn set(&mut self, limit: f64) {
        self.limit = limit.clamp(1.0, CEILING);
    }
}

/// The class of a body's size.
fn class(bytes: usize) -> usize {
    let times = bytes.div_ceil(CLASS_BYTES).max(1).next_power_of_two();
    (times.trailing_zeros() as usize).min(CLASSES - 1)
}

#[cfg(test)]
mod tests;
