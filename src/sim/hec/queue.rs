//! An input queue that fills with what is indexed and drains at a steady rate.
//!
//! It brings about the replies of an overloaded server in their natural order: a warning when
//! four fifths full, refusal when full, and "busy" in the middle of a request that fills it.

use std::time::Duration;

use tokio::time::Instant;

/// Size and speed of the input queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputQueueConfig {
    /// Bytes of events it holds. The last event may exceed it, as a queue only looks before it takes.
    pub capacity_bytes: u64,
    /// Bytes the indexer takes out of it per second; 0 stops it.
    pub drain_bytes_per_second: u64,
}

/// How full the queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Plenty,
    Little,
    None,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct InputQueue {
    config: InputQueueConfig,
    level_bytes: u64,
    drained_at: Instant,
}

impl InputQueue {
    pub(super) fn new(config: InputQueueConfig, now: Instant) -> Self {
        Self { config, level_bytes: 0, drained_at: now }
    }

    pub(super) fn room(&mut self, now: Instant) -> Room {
        self.drain(now);
        // Four fifths, in 128 bits so that no capacity overflows.
        if self.level_bytes >= self.config.capacity_bytes {
            Room::None
        } else if u128::from(self.level_bytes) * 5 >= u128::from(self.config.capacity_bytes) * 4 {
            Room::Little
        } else {
            Room::Plenty
        }
    }

    /// Takes an event unless the queue is full.
    pub(super) fn push(&mut self, bytes: u64, now: Instant) -> bool {
        if self.room(now) == Room::None {
            return false;
        }
        self.level_bytes = self.level_bytes.saturating_add(bytes);
        true
    }

    pub(super) fn empty(&mut self, now: Instant) {
        *self = Self::new(self.config, now);
    }

    fn drain(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.drained_at);
        let per_second = u128::from(self.config.drain_bytes_per_second);
        let bytes = per_second * elapsed.as_nanos() / 1_000_000_000;
        if bytes == 0 {
            // Keep the time: slow drains would otherwise round to nothing for ever.
            return;
        }
        // Of the elapsed time only what the whole bytes took is used up.
        let nanos = u64::try_from(bytes * 1_000_000_000 / per_second).unwrap_or(u64::MAX);
        self.drained_at += Duration::from_nanos(nanos).min(elapsed);
        self.level_bytes = self.level_bytes.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_warns_refuses_and_drains() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let config = InputQueueConfig { capacity_bytes: 100, drain_bytes_per_second: 10 };
        let mut queue = InputQueue::new(config, start);
        assert_eq!(queue.room(start), Room::Plenty);
        assert!(queue.push(79, start));
        assert_eq!(queue.room(start), Room::Plenty);
        assert!(queue.push(1, start));
        assert_eq!(queue.room(start), Room::Little);
        assert!(queue.push(500, start), "the queue looks before it takes, not after");
        assert!(!queue.push(1, start));
        assert_eq!(queue.room(after(47_999)), Room::None, "100 bytes are left");
        assert_eq!(queue.room(after(48_100)), Room::Little);
        assert_eq!(queue.room(after(60_000)), Room::Plenty);
    }

    #[test]
    fn many_short_steps_drain_as_much_as_one_long_step() {
        let start = Instant::now();
        let config = InputQueueConfig { capacity_bytes: 1_000, drain_bytes_per_second: 7 };
        let mut stepped = InputQueue::new(config, start);
        let mut waited = stepped;
        assert!(stepped.push(1_000, start) && waited.push(1_000, start));
        for ms in 1..=20_000 {
            stepped.room(start + Duration::from_millis(ms));
        }
        waited.room(start + Duration::from_secs(20));
        assert_eq!(stepped.level_bytes, waited.level_bytes);
        assert_eq!(waited.level_bytes, 1_000 - 140);
    }

    #[test]
    fn a_stopped_queue_never_drains() {
        let start = Instant::now();
        let config = InputQueueConfig { capacity_bytes: 10, drain_bytes_per_second: 0 };
        let mut queue = InputQueue::new(config, start);
        assert!(queue.push(10, start));
        assert_eq!(queue.room(start + Duration::from_secs(1_000_000)), Room::None);
    }
}
