//! The fault script: which requests go wrong, and how.
//!
//! Rules are asked in the order they were added. Each counts the requests it is about, by
//! endpoint, path and channel, from 0; number, time and chance then decide whether it fires.
//! All that fire act together; where two want the same thing, the earlier rule has it. Pure:
//! a plan comes out, the exchange carries it out.

use std::ops::Range;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use tokio::time::Instant;
use uuid::Uuid;

use super::config::Endpoint;
use super::profile::Prefix;
use super::reply::Reply;

mod action;

pub use action::{AckFault, Action, BytesPerSecond, CookieValue, Cut, CutPoint, Direction, Stage};

/// A condition and what happens to requests that meet it.
#[derive(Clone, Debug)]
pub struct Rule {
    endpoint: Option<Endpoint>,
    path: Option<String>,
    channel: Option<Uuid>,
    numbers: Range<u64>,
    every: u64,
    during: Range<Duration>,
    chance: Option<Chance>,
    action: Action,
}

#[derive(Clone, Debug)]
struct Chance {
    probability: f64,
    random: fastrand::Rng,
}

impl Rule {
    /// For every request of every endpoint.
    pub fn always(action: Action) -> Self {
        Self {
            endpoint: None,
            path: None,
            channel: None,
            numbers: 0..u64::MAX,
            every: 1,
            during: Duration::ZERO..Duration::MAX,
            chance: None,
            action,
        }
    }

    /// For every request of one endpoint.
    pub fn on(endpoint: Endpoint, action: Action) -> Self {
        Self { endpoint: Some(endpoint), ..Self::always(action) }
    }

    /// Only where the path is exactly this.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Only on this channel.
    #[must_use]
    pub fn channel(mut self, channel: Uuid) -> Self {
        self.channel = Some(channel);
        self
    }

    /// Only for the requests of these numbers, among those the rule is about, from 0.
    #[must_use]
    pub fn requests(mut self, numbers: Range<u64>) -> Self {
        self.numbers = numbers;
        self
    }

    /// Only for the first `n` requests.
    #[must_use]
    pub fn first(self, n: u64) -> Self {
        self.requests(0..n)
    }

    /// Only for the request of this number, from 0.
    #[must_use]
    pub fn nth(self, n: u64) -> Self {
        self.requests(n..n.saturating_add(1))
    }

    /// Only for each `n`th request: numbers `n - 1`, `2n - 1` and so on; 0 counts as 1.
    #[must_use]
    pub fn every(mut self, n: u64) -> Self {
        self.every = n.max(1);
        self
    }

    /// Only in this time after the rule was added.
    #[must_use]
    pub fn during(mut self, time: Range<Duration>) -> Self {
        self.during = time;
        self
    }

    /// Only with this probability; the seed makes it repeatable.
    #[must_use]
    pub fn chance(mut self, probability: f64, seed: u64) -> Self {
        self.chance = Some(Chance { probability, random: fastrand::Rng::with_seed(seed) });
        self
    }
}

/// What the script looks at in a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) endpoint: Option<Endpoint>,
    pub(super) path: &'a str,
    pub(super) channel: Option<Uuid>,
}

/// What goes wrong with one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) answer: Option<Reply>,
    pub(super) answer_after_index: Option<Reply>,
    pub(super) refuse_gzip: bool,
    pub(super) delay_before_read: Option<Duration>,
    pub(super) delay_after_index: Option<Duration>,
    pub(super) hang: Option<Stage>,
    pub(super) cut: Option<(CutPoint, Cut)>,
    pub(super) drip_read: Option<BytesPerSecond>,
    pub(super) drip_reply: Option<BytesPerSecond>,
    pub(super) close_after: Option<u64>,
    pub(super) busy_after: Option<(u64, Prefix)>,
    pub(super) ack: Option<AckFault>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Plan {
    fn add(&mut self, action: &Action, number: u64) {
        match action {
            Action::Answer(reply) => first(&mut self.answer, || reply.clone()),
            Action::AnswerAfterIndex(reply) => first(&mut self.answer_after_index, || reply.clone()),
            Action::RefuseGzip => self.refuse_gzip = true,
            Action::Delay(Stage::BeforeRead, time) => first(&mut self.delay_before_read, || *time),
            Action::Delay(Stage::AfterIndex, time) => first(&mut self.delay_after_index, || *time),
            Action::Hang(stage) => first(&mut self.hang, || *stage),
            Action::Cut(point, how) => first(&mut self.cut, || (*point, *how)),
            Action::Drip(Direction::Read, rate) => first(&mut self.drip_read, || *rate),
            Action::Drip(Direction::Reply, rate) => first(&mut self.drip_reply, || *rate),
            Action::CloseAfter(requests) => first(&mut self.close_after, || *requests),
            Action::BusyAfter { events, prefix } => first(&mut self.busy_after, || (*events, *prefix)),
            Action::Ack(fault) => first(&mut self.ack, || *fault),
            Action::Header(name, value) => self.headers.push((name.clone(), value.clone())),
            Action::SetCookie { name, value } => {
                let cookie = match value {
                    CookieValue::Fixed(value) => format!("{name}={value}; Path=/"),
                    CookieValue::Rotating => format!("{name}=node-{number}; Path=/"),
                };
                // A name or value no header can hold sets no cookie.
                if let Ok(cookie) = HeaderValue::try_from(cookie) {
                    self.headers.push((http::header::SET_COOKIE, cookie));
                }
            }
        }
    }
}

fn first<T>(slot: &mut Option<T>, value: impl FnOnce() -> T) {
    slot.get_or_insert_with(value);
}

/// Names a rule that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(u64);

#[derive(Debug, Default)]
pub(super) struct Script {
    rules: Vec<Armed>,
    next_id: u64,
}

#[derive(Debug)]
struct Armed {
    id: RuleId,
    rule: Rule,
    added_at: Instant,
    met: u64,
    fired: u64,
}

impl Script {
    pub(super) fn add(&mut self, rule: Rule, now: Instant) -> RuleId {
        let id = RuleId(self.next_id);
        self.next_id += 1;
        self.rules.push(Armed { id, rule, added_at: now, met: 0, fired: 0 });
        id
    }

    /// Takes a rule out; gives how often it fired.
    pub(super) fn remove(&mut self, id: RuleId) -> Option<u64> {
        let at = self.rules.iter().position(|armed| armed.id == id)?;
        Some(self.rules.remove(at).fired)
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// How often a rule fired.
    pub(super) fn fired(&self, id: RuleId) -> u64 {
        self.rules.iter().find(|armed| armed.id == id).map_or(0, |armed| armed.fired)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(super) fn plan(&mut self, facts: Facts<'_>, now: Instant) -> Plan {
        let mut plan = Plan::default();
        for armed in &mut self.rules {
            if let Some(number) = armed.fires(facts, now) {
                plan.add(&armed.rule.action, number);
            }
        }
        plan
    }
}

impl Armed {
    /// The request's number if the rule fires for it.
    fn fires(&mut self, facts: Facts<'_>, now: Instant) -> Option<u64> {
        let rule = &mut self.rule;
        let about = rule.endpoint.is_none_or(|endpoint| facts.endpoint == Some(endpoint))
            && rule.path.as_deref().is_none_or(|path| facts.path == path)
            && rule.channel.is_none_or(|channel| facts.channel == Some(channel));
        if !about {
            return None;
        }
        let number = self.met;
        self.met += 1;
        let age = now.saturating_duration_since(self.added_at);
        let fires = rule.numbers.contains(&number)
            && (number + 1).is_multiple_of(rule.every)
            && rule.during.contains(&age)
            && rule.chance.as_mut().is_none_or(|chance| chance.random.f64() < chance.probability);
        self.fired += u64::from(fires);
        fires.then_some(number)
    }
}
