//! Which lanes are due for a poll, and what comes of it.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Inner, Lanes, Told};
use crate::hec::ack::AckMode;
use crate::hec::ack::lane::Expired;
use crate::hec::ack::poll::Answer;
use crate::hec::ack::receipt::Fate;

/// A poll under way. Dropped without an answer, it brought none.
#[derive(Debug)]
pub(crate) struct Poll {
    lanes: Arc<Lanes>,
    pub(crate) channel: Uuid,
    pub(crate) cookies: Option<HeaderValue>,
    pub(crate) ids: Vec<u64>,
    answered: bool,
}

impl Drop for Poll {
    fn drop(&mut self) {
        if !self.answered {
            let answer = Answer::Uncertain;
            self.lanes.answered(self.channel, &self.ids, &answer, "cancelled", &[], Instant::now());
        }
    }
}

impl Poll {
    /// How long it may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.lanes.poll_timeout()
    }

    /// It has ended. `words` say how, for the log.
    pub(crate) fn ended(mut self, answer: &Answer, words: &str, set_cookies: &[HeaderValue], now: Instant) {
        self.answered = true;
        self.lanes.answered(self.channel, &self.ids, answer, words, set_cookies, now);
    }
}

impl Lanes {
    /// Begins the polls that are due.
    pub(crate) fn begin_polls(self: &Arc<Self>, now: Instant) -> Vec<Poll> {
        let timing = self.desk.config.timing;
        let mut polls = Vec::new();
        let mut inner = self.lock();
        let sticky = inner.sticky;
        for way in &mut inner.lanes {
            if way.due(sticky, &timing).is_some_and(|due| due <= now) {
                let (lanes, channel, cookies) = (Arc::clone(self), way.channel, way.jar.header());
                polls.push(Poll { lanes, channel, cookies, ids: way.lane.begin_poll(now), answered: false });
            }
        }
        drop(inner);
        self.desk.count(|counters| counters.polls += polls.len() as u64);
        polls
    }

    /// How long a poll may take.
    pub(crate) fn poll_timeout(&self) -> Duration {
        self.desk.config.timing.poll_timeout
    }

    /// When something is to be done: a poll, or giving up.
    pub(crate) fn due(&self) -> Option<Instant> {
        let (timing, timeout) = (self.desk.config.timing, self.desk.config.timeout);
        let inner = self.lock();
        let polls = inner.lanes.iter().filter_map(|way| way.due(inner.sticky, &timing));
        let ends = inner.lanes.iter().filter_map(|way| Some(way.lane.oldest()? + timeout));
        polls.chain(ends).min()
    }

    /// Nothing more will come: the last polls are to be quick.
    pub(crate) fn hasten(&self, now: Instant) {
        let timing = self.desk.config.timing;
        self.lock().lanes.iter_mut().for_each(|way| way.lane.hasten(now, &timing));
    }

    /// Gives up what has waited for too long; says whether anything has.
    pub(crate) fn expire(&self, now: Instant) -> bool {
        let (timing, timeout) = (self.desk.config.timing, self.desk.config.timeout);
        let mut inner = self.lock();
        let mut expired = Vec::new();
        let mut stale = Vec::new();
        for way in &mut inner.lanes {
            let old = way.lane.expire(timeout, now, &timing);
            // Another lane for what is sent again, but not a new channel for each batch.
            if !old.is_empty() && !way.retired && now.saturating_duration_since(way.created) >= timeout {
                stale.push(way.channel);
            }
            expired.extend(old);
        }
        if expired.is_empty() {
            return false;
        }
        let mut told = Told::default();
        for channel in stale {
            told.0.extend(inner.retire(&self.desk, channel, now).0);
        }
        self.desk.count(|counters| counters.timeouts += expired.len() as u64);
        self.say_timeouts(&mut inner, &expired, now);
        for Expired { denied, .. } in &expired {
            // Where nobody answers, nothing is known against the acks.
            if let Some((why, pause)) = denied.then(|| inner.trust.timed_out(&timing, now)).flatten() {
                self.say_distrust(why, pause);
            }
        }
        told.lost(&self.desk, expired.into_iter().map(|expired| expired.item));
        drop(inner);
        told.tell();
        true
    }

    fn say_timeouts<T>(&self, inner: &mut Inner, expired: &[Expired<T>], now: Instant) {
        let every = self.desk.config.timing.breaks_within;
        if inner.timeouts_logged.is_some_and(|at| now.saturating_duration_since(at) < every) {
            return;
        }
        inner.timeouts_logged = Some(now);
        tracing::warn!(
            endpoint = self.place,
            batches = expired.len(),
            bytes = expired.iter().map(|expired| expired.bytes).sum::<usize>(),
            timeout_s = self.desk.config.timeout.as_secs(),
            next_step = "look for blocked queues or missing replicas on the indexers; more of this within a minute is only counted",
            "no ack in time: sending again, to another endpoint or channel"
        );
    }

    fn answered(
        &self,
        channel: Uuid,
        ids: &[u64],
        answer: &Answer,
        words: &str,
        set_cookies: &[HeaderValue],
        now: Instant,
    ) {
        let timing = self.desk.config.timing;
        let mut told = Told::default();
        let mut guard = self.lock();
        let inner = &mut *guard;
        let chance = inner.chance.f64();
        let Some(way) = inner.lanes.iter_mut().find(|way| way.channel == channel) else { return };
        let mut retire = false;
        if let Answer::Statuses(statuses) = answer {
            let found = way.lane.answered(ids, statuses, now, &timing, chance);
            let changes = way.jar.changes(set_cookies);
            if changes.is_empty() {
                way.jar.set(set_cookies);
            } else if !found.indexed.is_empty() || found.late > 0 {
                way.jar.mean_nothing(changes);
                way.jar.set(set_cookies);
            } else {
                // Perhaps another server's answer. New data goes by a new lane; what is pending here is asked for with
                // the old cookies, which lead to its server if anything does.
                retire = true;
            }
            self.desk.count(|counters| {
                counters.batches_acked += found.indexed.len() as u64;
                counters.late_duplicates += found.late as u64;
            });
            inner.trust.indexed(found.indexed.len());
            inner.acknowledges = true;
            told.0.extend(found.indexed.into_iter().map(|ticket| (ticket, Fate::Delivered)));
        } else {
            way.lane.failed(ids, now, &timing, chance);
            self.desk.count(|counters| {
                counters.polls_failed += 1;
                if *answer == Answer::Uncertain {
                    counters.polls_uncertain += ids.len() as u64;
                }
            });
        }
        if self.desk.is_hasty() {
            way.lane.hasten(now, &timing);
        }
        match answer {
            Answer::Disabled => {
                inner.acknowledges = false;
                if self.desk.mode() != AckMode::Required {
                    let off = way.lane.give_up_all(now, &timing);
                    self.desk.count(|counters| counters.batches_disabled += off.len() as u64);
                    told.0.extend(off.into_iter().map(|ticket| (ticket, Fate::Delivered)));
                }
            }
            Answer::Channel => retire = true,
            _ => {}
        }
        if retire {
            told.0.extend(inner.retire(&self.desk, channel, now).0);
        }
        self.say_trouble(inner, answer, words, told.0.len());
        drop(guard);
        told.tell();
    }

    /// Logs what is wrong with polls when that changes.
    fn say_trouble(&self, inner: &mut Inner, answer: &Answer, words: &str, settled: usize) {
        let (next_step, text) = match answer {
            Answer::Statuses(_) => {
                if inner.trouble.take().is_some() {
                    tracing::info!(endpoint = self.place, "polls for acks are answered again");
                }
                return;
            }
            Answer::Disabled => (
                "turn on indexer acknowledgement for the token on every node, or set HEC_ACK=off",
                "acknowledgement is off for the token: with HEC_ACK=auto what HEC took counts as delivered; required keeps it",
            ),
            Answer::Token => (
                "check the HEC token: it must exist and be enabled on every node behind this URL",
                "polls for acks are refused: the token; what is pending is kept",
            ),
            Answer::Channel => (
                "check what removes or changes the X-Splunk-Request-Channel header",
                "polls for acks are refused: the channel; another one is used from now on",
            ),
            Answer::Refused => (
                "see that services/collector/ack is let through by whatever is in front of the HEC; or set HEC_ACK=off",
                "polls for acks are refused; what is pending is kept, and sent again when its time is over",
            ),
            Answer::NotAsked | Answer::Uncertain => (
                "see that the HEC is up and can be reached",
                "polls for acks are not answered; what is pending is kept, and sent again when its time is over",
            ),
        };
        if inner.trouble.as_deref() != Some(text) {
            inner.trouble = Some(text.to_owned());
            tracing::warn!(endpoint = self.place, error = words, settled, next_step, "{text}");
        }
    }
}
