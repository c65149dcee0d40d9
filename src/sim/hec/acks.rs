//! Indexer acknowledgement: ids per channel, read once.
//!
//! Ids count from 0 per channel and per life of the server process; a `true` is forgotten as
//! soon as it has been answered; everything not known reads `false`. Pure: time comes in.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::config::AckConfig;

/// When an id begins to read `true`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    After(Duration),
    Never,
}

/// Whether a channel can take another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AckRoom {
    Plenty,
    Little,
    None,
}

#[derive(Debug)]
pub(super) struct AckTable {
    config: AckConfig,
    channels: HashMap<Uuid, Channel>,
}

#[derive(Debug)]
struct Channel {
    next_id: u64,
    /// `None` never gets ready.
    pending: HashMap<u64, Option<Instant>>,
    used_at: Instant,
}

impl AckTable {
    pub(super) fn new(config: AckConfig) -> Self {
        Self { config, channels: HashMap::new() }
    }

    /// Changes limits and timing; ids given out keep the delay they were given.
    pub(super) fn reconfigure(&mut self, config: AckConfig) {
        self.config = config;
    }

    /// Whether a request on this channel would get an id.
    pub(super) fn room(&mut self, channel: Uuid, now: Instant) -> AckRoom {
        self.expire(channel, now);
        let Some(state) = self.channels.get(&channel) else {
            if self.channels.len() >= self.config.max_channels {
                let idle = self.config.idle;
                self.channels.retain(|_, state| !state.is_idle(idle, now));
            }
            let full = self.channels.len() >= self.config.max_channels;
            return if full { AckRoom::None } else { AckRoom::Plenty };
        };
        let (pending, limit) = (state.pending.len(), self.config.max_pending_per_channel);
        if pending >= limit {
            AckRoom::None
        } else if pending.saturating_mul(10) >= limit.saturating_mul(9) {
            AckRoom::Little
        } else {
            AckRoom::Plenty
        }
    }

    /// Gives out the next id of a channel.
    pub(super) fn issue(&mut self, channel: Uuid, ready: Option<Ready>, now: Instant) -> u64 {
        self.expire(channel, now);
        let ready = match ready.unwrap_or(Ready::After(self.config.delay)) {
            // A delay past the end of time is for ever.
            Ready::After(delay) => now.checked_add(delay),
            Ready::Never => None,
        };
        let state = self.channels.entry(channel).or_insert_with(|| Channel::new(now));
        let id = state.next_id;
        state.next_id += 1;
        state.used_at = now;
        state.pending.insert(id, ready);
        id
    }

    /// Answers a poll; every `true` in the answer is forgotten by it.
    pub(super) fn poll(&mut self, channel: Uuid, ids: &[u64], now: Instant) -> BTreeMap<u64, bool> {
        self.expire(channel, now);
        let mut state = self.channels.get_mut(&channel);
        if let Some(state) = &mut state {
            state.used_at = now;
        }
        let mut statuses = BTreeMap::new();
        for &id in ids {
            let status = state.as_mut().is_some_and(|state| state.consume(id, now));
            // An id asked for twice in one poll was consumed by its first mention.
            *statuses.entry(id).or_insert(false) |= status;
        }
        statuses
    }

    /// Counts a channel's ids from 0 again, as after a restart it alone noticed.
    pub(super) fn restart_channel(&mut self, channel: Uuid) {
        self.channels.remove(&channel);
    }

    /// Forgets everything, as a restarted server does.
    pub(super) fn restart(&mut self) {
        self.channels.clear();
    }

    fn expire(&mut self, channel: Uuid, now: Instant) {
        if self.channels.get(&channel).is_some_and(|state| state.is_idle(self.config.idle, now)) {
            self.channels.remove(&channel);
        }
    }
}

impl Channel {
    fn new(now: Instant) -> Self {
        Self { next_id: 0, pending: HashMap::new(), used_at: now }
    }

    fn consume(&mut self, id: u64, now: Instant) -> bool {
        let ready = matches!(self.pending.get(&id), Some(Some(at)) if *at <= now);
        if ready {
            self.pending.remove(&id);
        }
        ready
    }

    fn is_idle(&self, idle: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.used_at) >= idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    fn table(max_channels: usize, max_pending_per_channel: usize) -> AckTable {
        AckTable::new(AckConfig { max_channels, max_pending_per_channel, ..AckConfig::default() })
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn ids_count_from_zero_per_channel_and_true_is_read_once() {
        let start = Instant::now();
        let mut acks = table(10, 10);
        assert_eq!([0, 1], [acks.issue(A, None, start), acks.issue(A, None, start)]);
        assert_eq!(acks.issue(B, None, start), 0);
        let early = start + Duration::from_millis(999);
        assert_eq!(acks.poll(A, &[0, 1], early), BTreeMap::from([(0, false), (1, false)]));
        let later = start + seconds(1);
        assert_eq!(acks.poll(B, &[1], later), BTreeMap::from([(1, false)]), "another channel's id");
        assert_eq!(acks.poll(A, &[0, 0, 7], later), BTreeMap::from([(0, true), (7, false)]));
        assert_eq!(acks.poll(A, &[0, 1], later), BTreeMap::from([(0, false), (1, true)]));
    }

    #[test]
    fn never_stays_false_and_a_delay_of_its_own_is_kept() {
        let start = Instant::now();
        let mut acks = table(10, 10);
        acks.issue(A, Some(Ready::Never), start);
        acks.issue(A, Some(Ready::After(seconds(5))), start);
        assert_eq!(acks.poll(A, &[0, 1], start + seconds(4)), BTreeMap::from([(0, false), (1, false)]));
        assert_eq!(acks.poll(A, &[0, 1], start + seconds(5)), BTreeMap::from([(0, false), (1, true)]));
    }

    #[test]
    fn an_idle_channel_is_forgotten_and_polls_keep_it_alive() {
        let start = Instant::now();
        let mut acks = table(10, 10);
        acks.issue(A, Some(Ready::Never), start);
        acks.poll(A, &[0], start + seconds(599));
        assert_eq!(acks.issue(A, None, start + seconds(1198)), 1, "the poll counted as use");
        assert_eq!(acks.issue(A, None, start + seconds(1798)), 0, "600 s without use");
    }

    #[test]
    fn a_full_channel_warns_at_nine_tenths_and_refuses_at_the_limit() {
        let start = Instant::now();
        let mut acks = table(1, 10);
        for (pending, expected) in
            (0..=10).zip([AckRoom::Plenty; 9].into_iter().chain([AckRoom::Little, AckRoom::None]))
        {
            assert_eq!(acks.room(A, start), expected, "{pending} pending");
            acks.issue(A, None, start);
        }
        assert_eq!(acks.room(B, start), AckRoom::None, "no room for a second channel");
        assert_eq!(acks.room(B, start + seconds(600)), AckRoom::Plenty, "the first is idle by now");
    }

    #[test]
    fn a_restart_forgets_everything() {
        let start = Instant::now();
        let mut acks = table(10, 10);
        acks.issue(A, None, start);
        acks.issue(B, None, start);
        acks.restart_channel(A);
        assert_eq!((acks.issue(A, None, start), acks.issue(B, None, start)), (0, 1));
        acks.restart();
        assert_eq!(acks.poll(B, &[0, 1], start + seconds(9)), BTreeMap::from([(0, false), (1, false)]));
        assert_eq!(acks.issue(B, None, start), 0);
    }
}
