//! Envelopes of apps whose names are still being looked up.
//!
//! A worker never waits for the Cloud Controller: it puts the envelope aside, undecoded, and goes
//! on. What is parked goes out when the look-up ends, or without names when it has waited too long or
//! there is no more room.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use crate::clock::UnixNanos;
use crate::nozzle::queue::FrameKind;

/// Bytes of one app's envelopes that may be parked.
const APP_BYTES_MAX: usize = 1 << 20;

/// One envelope, put aside.
#[derive(Debug)]
pub struct Parked {
    /// How to read it.
    pub kind: FrameKind,
    /// When it was read.
    pub arrived: UnixNanos,
    /// The envelope; copied, so that it does not hold on to the whole frame.
    pub envelope: Box<[u8]>,
    deadline: Instant,
}

/// The parked envelopes of one worker, by app.
#[derive(Debug)]
pub struct Parking {
    wait: Duration,
    bytes: usize,
    bytes_max: usize,
    apps: HashMap<Box<str>, AppSpace, RandomState>,
}

/// One app's envelopes, oldest first.
#[derive(Debug, Default)]
struct AppSpace {
    bytes: usize,
    parked: Vec<Parked>,
}

impl AppSpace {
    fn deadline(&self) -> Option<Instant> {
        self.parked.first().map(|oldest| oldest.deadline)
    }
}

impl Parking {
    /// Room for `bytes_max` bytes; envelopes wait at most `wait`.
    pub fn new(wait: Duration, bytes_max: usize) -> Self {
        Self { wait, bytes: 0, bytes_max, apps: HashMap::default() }
    }

    /// Puts an envelope aside; false if there is no room.
    pub fn park(
        &mut self,
        app: &str,
        kind: FrameKind,
        arrived: UnixNanos,
        envelope: &[u8],
        now: Instant,
    ) -> bool {
        let bytes = envelope.len();
        let held = self.apps.get(app).map_or(0, |space| space.bytes);
        if self.bytes + bytes > self.bytes_max || held + bytes > APP_BYTES_MAX {
            return false;
        }
        if held == 0 && !self.apps.contains_key(app) {
            self.apps.insert(app.into(), AppSpace::default());
        }
        if let Some(space) = self.apps.get_mut(app) {
            self.bytes += bytes;
            space.bytes += bytes;
            space.parked.push(Parked { kind, arrived, envelope: envelope.into(), deadline: now + self.wait });
        }
        true
    }

    /// Whether nothing is parked.
    pub fn is_empty(&self) -> bool {
        self.apps.is_empty()
    }

    /// When the first envelope will have waited long enough.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.apps.values().filter_map(AppSpace::deadline).min()
    }

    /// Takes out the envelopes of apps that are `ready` or whose first one has waited long enough.
    pub fn take(&mut self, now: Instant, mut ready: impl FnMut(&str) -> bool) -> Vec<Parked> {
        let mut out = Vec::new();
        let mut freed = 0;
        self.apps.retain(|app, space| {
            let due = space.deadline().is_none_or(|deadline| deadline <= now) || ready(app);
            if due {
                freed += space.bytes;
                out.append(&mut space.parked);
            }
            !due
        });
        self.bytes -= freed;
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn park(parking: &mut Parking, app: &str, bytes: usize, now: Instant) -> bool {
        parking.park(app, FrameKind::V1Envelope, UnixNanos(1), &vec![7; bytes], now)
    }

    #[tokio::test(start_paused = true)]
    async fn envelopes_leave_when_ready_or_due() {
        let start = Instant::now();
        let wait = Duration::from_secs(2);
        let mut parking = Parking::new(wait, 1000);
        assert!(park(&mut parking, "a", 10, start));
        assert!(park(&mut parking, "a", 11, start + wait / 2));
        assert!(park(&mut parking, "b", 12, start + wait / 2));
        assert_eq!(parking.next_deadline(), Some(start + wait));
        assert!(parking.take(start + wait / 2, |_| false).is_empty());
        assert_eq!(parking.take(start, |app| app == "b").len(), 1);
        assert_eq!(parking.take(start + wait, |_| false).len(), 2);
        assert!(parking.is_empty() && parking.bytes == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_bounded_per_app_and_in_all() {
        let now = Instant::now();
        let mut parking = Parking::new(Duration::from_secs(2), 2 * APP_BYTES_MAX);
        assert!(park(&mut parking, "a", APP_BYTES_MAX, now));
        assert!(!park(&mut parking, "a", 1, now), "one app's share");
        assert!(park(&mut parking, "b", APP_BYTES_MAX - 1, now));
        assert!(park(&mut parking, "c", 1, now));
        assert!(!park(&mut parking, "c", 1, now), "all of it");
    }
}
