//! Which lane a request goes by, when there are more, and when one goes.

use tokio::time::Instant;
use uuid::Uuid;

use super::{Inner, Told, Way};
use crate::hec::ack::AckTiming;
use crate::hec::ack::cookies::Jar;
use crate::hec::ack::desk::Desk;
use crate::hec::ack::lane::Lane;

/// Lanes where a load balancer sets cookies.
pub(super) const LANES_STICKY: usize = 4;

/// The most lanes that are retired and have something pending, and about the most that are retired at all.
pub(super) const RETIRED_MAX: usize = 16;

impl Inner {
    pub(super) fn way(&mut self, channel: Uuid) -> Option<&mut Way> {
        self.lanes.iter_mut().find(|way| way.channel == channel)
    }

    pub(super) fn pending(&self) -> usize {
        self.lanes.iter().map(|way| way.lane.len()).sum()
    }

    pub(super) fn least_busy(&mut self, desk: &Desk, now: Instant) -> &mut Way {
        self.top_up(desk, now);
        let sticky = self.sticky;
        let busy = |way: &&mut Way| {
            (way.retired, way.is_cold(sticky), way.lane.len() + way.lane.under_way(), way.lane.used())
        };
        let least = self.lanes.iter_mut().enumerate().min_by_key(|(_, way)| busy(way));
        let at = least.map_or(0, |(at, _)| at);
        &mut self.lanes[at]
    }

    /// As many lanes in use as there should be, and none that has nothing to do any more.
    pub(super) fn top_up(&mut self, desk: &Desk, now: Instant) {
        self.lanes.retain(|way| !way.retired || !way.lane.is_done(now));
        let wanted = if self.sticky { LANES_STICKY } else { 1 };
        let in_use = self.lanes.iter().filter(|way| !way.retired).count();
        for _ in in_use..wanted {
            self.lanes.insert(0, Way::new(desk, now));
        }
    }

    /// Sends nothing more by this lane. Of many such lanes the oldest are given up.
    pub(super) fn retire(&mut self, desk: &Desk, channel: Uuid, now: Instant) -> Told {
        let mut told = Told::default();
        if let Some(way) = self.way(channel) {
            way.retired = true;
        }
        self.top_up(desk, now);
        let is_waiting = |way: &&mut Way| way.retired && way.lane.len() > 0;
        let waiting = self.lanes.iter().filter(|way| way.retired && way.lane.len() > 0).count();
        let oldest_first = self.lanes.iter_mut().rev().filter(is_waiting);
        for way in oldest_first.take(waiting.saturating_sub(RETIRED_MAX)) {
            told.lost(desk, way.lane.give_up_all(now, &desk.config.timing));
        }
        self.forget();
        told
    }

    /// Of many retired lanes the oldest go that are only asked to know of duplicates.
    fn forget(&mut self) {
        let retired = self.lanes.iter().filter(|way| way.retired).count();
        let mut surplus = retired.saturating_sub(RETIRED_MAX);
        for at in (0..self.lanes.len()).rev() {
            let way = &self.lanes[at];
            if surplus > 0 && way.retired && way.lane.len() + way.lane.under_way() == 0 {
                self.lanes.remove(at);
                surplus -= 1;
            }
        }
    }
}

impl Way {
    /// Whether a cookie is to be had first.
    fn is_cold(&self, sticky: bool) -> bool {
        sticky && !self.retired && !self.proven && self.jar.is_empty()
    }

    /// When it has to be polled.
    pub(super) fn due(&self, sticky: bool, timing: &AckTiming) -> Option<Instant> {
        if self.is_cold(sticky) {
            return self.lane.due_first(self.created, timing);
        }
        self.lane.due(!self.retired, timing)
    }

    pub(super) fn new(desk: &Desk, now: Instant) -> Self {
        Self {
            channel: Uuid::new_v4(),
            lane: Lane::new(&desk.config.timing),
            jar: Jar::default(),
            proven: false,
            retired: false,
            created: now,
        }
    }
}
