//! Who gets what: subscriptions, sharding and the buffers in front of each stream.
//!
//! The rules are those of the platform's router and log proxy. Streams of one shard id share
//! the envelopes of each selector they have in common, at random; an empty shard id gets a full
//! copy per selector; deterministic names make counters and gauges stick to one stream.
//! Publishing never waits: a full buffer loses, and counts. Who must not lose waits for
//! [`Router::room`] first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;
use prost::Message as _;
use tokio::sync::watch;

use super::faults::{Fault, Target};
use super::gateway::{JsonStyle, StreamForm};
use super::mailbox::{Hold, Mailbox, Overflow, Shared};
use super::selector::Selector;
use super::stats::{Connected, Protocol, StreamId, StreamStats, Totals};
use super::table::{RlpItem, Table, V1Item};
use crate::proto::dropsonde as v1;
use crate::sim::listen::ConnectionHandle;
use crate::sim::wire::Encoded;

/// A batch never holds more envelopes.
pub(crate) const BATCH_ENVELOPES_MAX: usize = 100;

/// Which v1 envelopes a firehose connection asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Filter {
    All,
    Logs,
    Metrics,
}

/// What a v1 connection reads. Equal firehose keys share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum V1Key {
    Firehose { subscription: String, filter: Filter },
    App(String),
}

/// What a stream asks the log proxy for.
#[derive(Debug)]
pub(crate) struct RlpRequest {
    pub(crate) shard_id: String,
    pub(crate) selectors: Vec<Selector>,
    pub(crate) deterministic_name: String,
    pub(crate) use_preferred_tags: bool,
}

impl RlpRequest {
    /// Whether envelopes are shared with other streams; otherwise the stream gets a copy of each.
    fn is_shared(&self) -> bool {
        !self.shard_id.is_empty()
    }
}

/// Who reads a stream of the log proxy.
#[derive(Debug)]
pub(crate) enum Reader {
    Grpc,
    /// The gateway, for a client of its own that is written to in this form.
    Gateway(Arc<Mutex<StreamForm>>),
}

#[derive(Debug)]
pub(crate) struct RlpSubscription {
    pub(crate) id: StreamId,
    pub(crate) reader: Reader,
    pub(crate) request: RlpRequest,
    pub(crate) mailbox: Mailbox<RlpItem>,
    pub(crate) connection: Option<ConnectionHandle>,
}

#[derive(Debug)]
pub(crate) struct V1Subscription {
    pub(crate) id: StreamId,
    pub(crate) key: V1Key,
    pub(crate) mailbox: Mailbox<V1Item>,
}

#[derive(Debug, Default)]
struct Members {
    rlp: Vec<Arc<RlpSubscription>>,
    v1: Vec<Arc<V1Subscription>>,
}

/// The router.
#[derive(Debug)]
pub(crate) struct Router {
    rlp_capacity: usize,
    v1_capacity: usize,
    json: JsonStyle,
    table: ArcSwap<Table>,
    members: Mutex<Members>,
    next_id: AtomicU64,
    connected: watch::Sender<Connected>,
    published: AtomicU64,
    rlp_shared: Arc<Shared>,
    copies_shared: Arc<Shared>,
    v1_shared: Arc<Shared>,
}

impl Router {
    pub(crate) fn new(rlp_capacity: usize, v1_capacity: usize, json: JsonStyle) -> Self {
        Self {
            rlp_capacity,
            v1_capacity,
            json,
            table: ArcSwap::default(),
            members: Mutex::default(),
            next_id: AtomicU64::new(1),
            connected: watch::Sender::default(),
            published: AtomicU64::new(0),
            rlp_shared: Arc::default(),
            copies_shared: Arc::default(),
            v1_shared: Arc::default(),
        }
    }

    /// Opens a stream of the log proxy; dropping the lease closes it.
    pub(crate) fn subscribe_rlp(
        self: &Arc<Self>,
        request: RlpRequest,
        reader: Reader,
        connection: Option<ConnectionHandle>,
    ) -> Lease<RlpSubscription> {
        let shared = if request.is_shared() { &self.rlp_shared } else { &self.copies_shared };
        let shared = Arc::clone(shared);
        let subscription = Arc::new(RlpSubscription {
            id: self.id(),
            reader,
            request,
            mailbox: Mailbox::new(self.rlp_capacity, Overflow::DropNew, BATCH_ENVELOPES_MAX, shared),
            connection,
        });
        self.change(|members| members.rlp.push(Arc::clone(&subscription)));
        Lease { router: Arc::clone(self), id: subscription.id, subscription }
    }

    /// Opens a websocket's subscription; dropping the lease closes it.
    pub(crate) fn subscribe_v1(self: &Arc<Self>, key: V1Key) -> Lease<V1Subscription> {
        let shared = Arc::clone(&self.v1_shared);
        let subscription = Arc::new(V1Subscription {
            id: self.id(),
            key,
            mailbox: Mailbox::new(self.v1_capacity, Overflow::DropBacklog, 1, shared),
        });
        self.change(|members| members.v1.push(Arc::clone(&subscription)));
        Lease { router: Arc::clone(self), id: subscription.id, subscription }
    }

    /// Hands envelopes to every stream that asked for them. Never waits.
    pub(crate) fn publish(&self, envelopes: &[Encoded]) {
        self.published.fetch_add(envelopes.len() as u64, Ordering::Relaxed);
        self.table.load().publish(envelopes, self.json);
    }

    /// Sends bytes as one gRPC message, as they are, to one stream of each shard.
    pub(crate) fn publish_message(&self, message: Bytes) {
        self.table.load().publish_message(&message);
    }

    /// Sends bytes, as they are, within the body of one stream of each of the gateway's shards.
    pub(crate) fn publish_text(&self, text: Bytes) {
        self.table.load().publish_text(&text);
    }

    /// Sends bytes as one websocket frame, as they are.
    pub(crate) fn publish_frame(&self, payload: &[u8]) {
        let app = v1::Envelope::decode(payload).ok().and_then(|e| crate::sim::convert::app_of(&e));
        self.table.load().publish_frame(payload, app.as_deref());
    }

    /// Waits until every stream that reads has room for `n` more envelopes. Cancel safe.
    pub(crate) async fn room(&self, n: usize) {
        let n = n.min(self.rlp_capacity).min(self.v1_capacity);
        loop {
            // Registered before looking, so that no wake-up falls in between.
            let rlp = self.rlp_shared.drained.notified();
            let copies = self.copies_shared.drained.notified();
            let v1 = self.v1_shared.drained.notified();
            tokio::pin!(rlp, copies, v1);
            rlp.as_mut().enable();
            copies.as_mut().enable();
            v1.as_mut().enable();
            if self.table.load().has_room(n) {
                return;
            }
            tokio::select! {
                () = &mut rlp => {}
                () = &mut copies => {}
                () = &mut v1 => {}
            }
        }
    }

    pub(crate) fn connected(&self) -> watch::Receiver<Connected> {
        self.connected.subscribe()
    }

    pub(crate) fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            published: read(&self.published),
            rlp_sent: read(&self.rlp_shared.sent),
            rlp_dropped: read(&self.rlp_shared.dropped),
            copies_sent: read(&self.copies_shared.sent),
            copies_dropped: read(&self.copies_shared.dropped),
            v1_sent: read(&self.v1_shared.sent),
            v1_dropped: read(&self.v1_shared.dropped),
        }
    }

    /// The counters of every open stream.
    pub(crate) fn streams(&self) -> Vec<StreamStats> {
        let members = self.members();
        let rlp = members.rlp.iter().map(|stream| {
            let protocol = match stream.reader {
                Reader::Grpc => Protocol::Rlp,
                Reader::Gateway(_) => Protocol::Gateway,
            };
            stats(stream.id, protocol, stream.request.shard_id.clone(), stream.mailbox.counts())
        });
        let v1 = members.v1.iter().map(|stream| {
            let (protocol, shard) = match &stream.key {
                V1Key::Firehose { subscription, .. } => (Protocol::Firehose, subscription.clone()),
                V1Key::App(app) => (Protocol::AppStream, app.clone()),
            };
            stats(stream.id, protocol, shard, stream.mailbox.counts())
        });
        rlp.chain(v1).collect()
    }

    /// Does something to streams; gives how many it was done to.
    pub(crate) fn inject(&self, target: &Target, fault: &Fault) -> usize {
        let (rlp, v1) = {
            let members = self.members();
            (members.rlp.clone(), members.v1.clone())
        };
        let mut hit = 0;
        for stream in rlp {
            let meant = match target {
                Target::All => true,
                Target::Rlp => matches!(stream.reader, Reader::Grpc),
                Target::Gateway => matches!(stream.reader, Reader::Gateway(_)),
                Target::Websockets => false,
                Target::Shard(shard) => *shard == stream.request.shard_id,
                Target::Stream(id) => *id == stream.id,
            };
            if !meant {
                continue;
            }
            hit += 1;
            match (fault, &stream.connection, &stream.reader) {
                (Fault::GoAway, Some(connection), _) => connection.go_away(),
                (Fault::Form(form), _, Reader::Gateway(current)) => {
                    *current.lock().unwrap_or_else(PoisonError::into_inner) = *form;
                }
                _ => afflict(&stream.mailbox, fault),
            }
        }
        for stream in v1 {
            let meant = match target {
                Target::All | Target::Websockets => true,
                Target::Rlp | Target::Gateway => false,
                Target::Shard(shard) => {
                    matches!(&stream.key, V1Key::Firehose { subscription, .. } if subscription == shard)
                }
                Target::Stream(id) => *id == stream.id,
            };
            if meant {
                hit += 1;
                afflict(&stream.mailbox, fault);
            }
        }
        hit
    }

    fn id(&self) -> StreamId {
        StreamId(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    fn unsubscribe(&self, id: StreamId) {
        self.change(|members| {
            members.rlp.retain(|stream| stream.id != id);
            members.v1.retain(|stream| stream.id != id);
        });
        // Whoever waits for room waits for one stream less.
        self.rlp_shared.drained.notify_waiters();
    }

    fn change(&self, change: impl FnOnce(&mut Members)) {
        let mut members = self.members();
        change(&mut members);
        self.table.store(Arc::new(Table::build(&members.rlp, &members.v1)));
        let app_streams = members.v1.iter().filter(|s| matches!(s.key, V1Key::App(_))).count();
        let copies = members.rlp.iter().filter(|s| !s.request.is_shared()).count();
        let of_gateway =
            |s: &&Arc<RlpSubscription>| matches!(s.reader, Reader::Gateway(_)) && s.request.is_shared();
        let gateway = members.rlp.iter().filter(of_gateway).count();
        self.connected.send_replace(Connected {
            rlp: members.rlp.len() - gateway - copies,
            gateway,
            copies,
            firehose: members.v1.len() - app_streams,
            app_streams,
        });
    }

    fn members(&self) -> std::sync::MutexGuard<'_, Members> {
        // A panic while the lists change leaves them usable.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stats(id: StreamId, protocol: Protocol, shard: String, counts: super::mailbox::Counts) -> StreamStats {
    let super::mailbox::Counts { accepted, sent, dropped, buffered } = counts;
    StreamStats { id, protocol, shard, accepted, sent, dropped, buffered }
}

fn afflict<T: Clone>(mailbox: &Mailbox<T>, fault: &Fault) {
    match fault {
        Fault::End(end) => mailbox.end(end.clone()),
        Fault::Stall => mailbox.hold(Hold::Everything),
        Fault::Starve => mailbox.hold(Hold::Items),
        Fault::Resume => mailbox.hold(Hold::Nothing),
        Fault::DropNext(n) => mailbox.drop_next(*n),
        Fault::DuplicateNext(n) => mailbox.duplicate_next(*n),
        Fault::GoAway | Fault::Form(_) => {}
    }
}

/// A subscription that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Lease<S> {
    router: Arc<Router>,
    id: StreamId,
    subscription: Arc<S>,
}

impl<S> std::ops::Deref for Lease<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.subscription
    }
}

impl<S> Drop for Lease<S> {
    fn drop(&mut self) {
        self.router.unsubscribe(self.id);
    }
}

#[cfg(test)]
mod tests;
