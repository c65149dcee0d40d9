//! What the connections of one server share. Short locks, never held over an await.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::acks::{AckRoom, AckTable};
use super::admission::Admitted;
use super::code::Code;
use super::config::{AckConfig, AckUse, Endpoint, HecServerConfig, Token};
use super::counters::{Counters, Snapshot};
use super::ledger::Ledger;
use super::profile::{Behaviour, CapacityCodes, Success};
use super::queue::{InputQueue, Room};
use super::script::{Facts, Plan, Script};

/// How the server as a whole is, beyond what requests bring about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// It takes data.
    #[default]
    Serving,
    /// Everything but acknowledgement is answered with code 23.
    ShuttingDown,
    /// Queues are full: code 26, or 9 where that is not known; health says 18.
    QueuesFull,
    /// Health says 19; nothing else changes.
    AckUnavailable,
    /// The last two together; health says 20.
    QueuesFullAckUnavailable,
}

/// Whether requests are worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    Closed,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) behaviour: Behaviour,
    pub(super) keep_alive_idle: Duration,
    pub(super) max_connections: usize,
    ledger: Ledger,
    /// Cancelled when the server is to end in good order.
    pub(super) stop: CancellationToken,
    tokens: Mutex<Arc<[Arc<Token>]>>,
    acks: Mutex<AckTable>,
    queue: Mutex<Option<InputQueue>>,
    script: Mutex<Script>,
    counters: Mutex<Counters>,
    condition: Mutex<Condition>,
    /// Cancelled, and replaced, when the process the server plays dies.
    life: Mutex<CancellationToken>,
    gate: watch::Sender<Gate>,
    changed: Notify,
    /// How far the clock has been put forward.
    ahead_nanos: AtomicU64,
}

impl Shared {
    pub(super) fn new(config: HecServerConfig) -> Self {
        let queue = config.queue.map(|queue| InputQueue::new(queue, Instant::now()));
        Self {
            behaviour: config.behaviour,
            keep_alive_idle: config.keep_alive_idle,
            max_connections: config.max_connections,
            ledger: Ledger::new(config.ledger),
            stop: CancellationToken::new(),
            tokens: Mutex::new(config.tokens.into_iter().map(Arc::new).collect()),
            acks: Mutex::new(AckTable::new(config.acks)),
            queue: Mutex::new(queue),
            script: Mutex::default(),
            counters: Mutex::default(),
            condition: Mutex::default(),
            life: Mutex::default(),
            gate: watch::Sender::new(Gate::Open),
            changed: Notify::new(),
            ahead_nanos: AtomicU64::new(0),
        }
    }

    /// The server's own time, which a test can put forward.
    pub(super) fn now(&self) -> Instant {
        Instant::now() + Duration::from_nanos(self.ahead_nanos.load(Ordering::Relaxed))
    }

    pub(super) fn advance(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.ahead_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(super) fn tokens(&self) -> Arc<[Arc<Token>]> {
        lock(&self.tokens).clone()
    }

    pub(super) fn set_tokens(&self, tokens: Vec<Token>) {
        *lock(&self.tokens) = tokens.into_iter().map(Arc::new).collect();
    }

    pub(super) fn set_condition(&self, condition: Condition) {
        *lock(&self.condition) = condition;
    }

    pub(super) fn set_queue(&self, queue: Option<InputQueue>) {
        *self.queue() = queue;
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Option<InputQueue>> {
        lock(&self.queue)
    }

    pub(super) fn acks(&self) -> MutexGuard<'_, AckTable> {
        lock(&self.acks)
    }

    pub(super) fn set_acks(&self, config: AckConfig) {
        self.acks().reconfigure(config);
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        lock(&self.script)
    }

    pub(super) fn plan(&self, facts: Facts<'_>) -> Plan {
        let mut script = self.script();
        if script.is_empty() { Plan::default() } else { script.plan(facts, self.now()) }
    }

    /// Changes counters and wakes who waits for a change.
    pub(super) fn count<T>(&self, change: impl FnOnce(&mut Counters) -> T) -> T {
        let result = change(&mut lock(&self.counters));
        self.changed.notify_waiters();
        result
    }

    /// Changes the ledger and wakes who waits for a change.
    pub(super) fn index(&self, change: impl FnOnce(&Ledger)) {
        change(&self.ledger);
        self.changed.notify_waiters();
    }

    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let counters = lock(&self.counters).snapshot();
        // In this order: an answer that is counted has its events in the ledger already.
        Snapshot { ledger: self.ledger.totals(), ..counters }
    }

    pub(super) fn set_gate(&self, gate: Gate) {
        self.gate.send_replace(gate);
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Waits while the server is paused.
    pub(super) async fn pass_gate(&self) {
        // The sender lives as long as the server: an error cannot come.
        let _ = self.gate.subscribe().wait_for(|gate| *gate == Gate::Open).await;
    }

    /// A token that is cancelled when the played process dies.
    pub(super) fn life(&self) -> CancellationToken {
        lock(&self.life).child_token()
    }

    pub(super) fn reset_connections(&self) {
        std::mem::take(&mut *lock(&self.life)).cancel();
    }

    /// Dies and comes back: connections are reset, acknowledgement and queue are forgotten.
    pub(super) fn restart(&self) {
        self.reset_connections();
        self.acks().restart();
        let now = self.now();
        if let Some(queue) = &mut *self.queue() {
            queue.empty(now);
        }
    }

    pub(super) fn health(&self) -> Code {
        let condition = *lock(&self.condition);
        let (full, ack_gone) = match condition {
            Condition::ShuttingDown => return Code::ShuttingDown,
            Condition::Serving => (false, false),
            Condition::QueuesFull => (true, false),
            Condition::AckUnavailable => (false, true),
            Condition::QueuesFullAckUnavailable => (true, true),
        };
        match (full || self.room() == Room::None, ack_gone) {
            (false, false) => Code::Healthy,
            (true, false) => Code::QueuesFull,
            (false, true) => Code::AckUnavailable,
            (true, true) => Code::QueuesFullAckUnavailable,
        }
    }

    /// The code that turns an ingest request away before its body is looked at.
    pub(super) fn refusal(&self, endpoint: Endpoint, admitted: &Admitted) -> Option<Code> {
        if endpoint == Endpoint::Ack {
            return None;
        }
        let condition = *lock(&self.condition);
        let (queue_full, ack_full) = match self.behaviour.capacity {
            CapacityCodes::Modern => (Code::QueueFull, Code::AckFull),
            CapacityCodes::BusyOnly => (Code::ServerBusy, Code::ServerBusy),
        };
        match condition {
            Condition::ShuttingDown => return Some(Code::ShuttingDown),
            Condition::QueuesFull | Condition::QueuesFullAckUnavailable => return Some(queue_full),
            Condition::Serving | Condition::AckUnavailable => {}
        }
        if self.room() == Room::None {
            return Some(queue_full);
        }
        (self.ack_room(admitted) == AckRoom::None).then_some(ack_full)
    }

    /// The code of an accepted request: success, or success with a warning.
    pub(super) fn acceptance(&self, admitted: &Admitted) -> Code {
        if self.behaviour.capacity == CapacityCodes::BusyOnly {
            Code::Success
        } else if self.room() != Room::Plenty {
            Code::QueueNearlyFull
        } else if self.ack_room(admitted) != AckRoom::Plenty {
            Code::AckNearlyFull
        } else {
            Code::Success
        }
    }

    /// Whether requests of this token get an `ackId`.
    pub(super) fn acks_used(&self, token: &Token) -> bool {
        token.acks == AckUse::On && self.behaviour.success == Success::Splunk
    }

    fn room(&self) -> Room {
        let now = self.now();
        self.queue().as_mut().map_or(Room::Plenty, |queue| queue.room(now))
    }

    fn ack_room(&self, admitted: &Admitted) -> AckRoom {
        match admitted.channel {
            Some(channel) if self.acks_used(&admitted.token) => self.acks().room(channel, self.now()),
            _ => AckRoom::Plenty,
        }
    }
}

/// A poisoned lock means that a task panicked, which its owner reports; the data is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
