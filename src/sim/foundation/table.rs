//! The routing table: built when a stream comes or goes, then only read.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::gateway::JsonStyle;
use super::gateway::json::JsonWriter;
use super::router::{Filter, Reader, RlpSubscription, V1Key, V1Subscription};
use super::selector::{Selector, name_hash};
use crate::proto::dropsonde::envelope::EventType;
use crate::sim::convert;
use crate::sim::wire::{self, Encoded, TagForm};

/// What a stream of the log proxy is to send.
#[derive(Clone, Debug)]
pub(crate) enum RlpItem {
    /// One envelope, batched with its neighbours.
    Envelope(Encoded),
    /// Likewise, as the gateway writes it; `None`: the gateway cannot decode it.
    Json(Option<Bytes>),
    /// A whole gRPC message, or a piece of a gateway's body, sent as it is.
    Whole(Bytes),
}

/// What a websocket is to send: one frame with its header, ready for the wire.
pub(crate) type V1Item = Bytes;

/// Who shares what.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rlp: Vec<Arc<RlpSubscription>>,
    /// By kind of envelope.
    nodes: [Vec<Node>; 5],
    grpc_shards: Vec<Vec<usize>>,
    gateway_shards: Vec<Vec<usize>>,
    v1: Vec<Arc<V1Subscription>>,
    firehoses: Vec<Firehose>,
    apps: HashMap<String, Vec<usize>>,
}

/// Streams of one shard that have one selector in common.
#[derive(Debug)]
struct Node {
    shard_id: String,
    selector: Selector,
    members: Vec<usize>,
    spread: Spread,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spread {
    Random,
    /// By name, over the members in the order of their deterministic names.
    ByName,
}

#[derive(Debug)]
struct Firehose {
    key: V1Key,
    filter: Filter,
    members: Vec<usize>,
}

impl Table {
    pub(crate) fn build(rlp: &[Arc<RlpSubscription>], v1: &[Arc<V1Subscription>]) -> Self {
        let (grpc, gateway): (Vec<_>, Vec<_>) =
            rlp.iter().enumerate().partition(|(_, stream)| matches!(stream.reader, Reader::Grpc));
        let mut table = Self {
            rlp: rlp.to_vec(),
            grpc_shards: shards(grpc),
            gateway_shards: shards(gateway),
            v1: v1.to_vec(),
            ..Self::default()
        };
        for (at, stream) in rlp.iter().enumerate() {
            for selector in &stream.request.selectors {
                table.add_selector(at, &stream.request.shard_id, selector);
            }
        }
        for nodes in &mut table.nodes {
            for node in nodes {
                node.members.sort_by_key(|&at| &rlp[at].request.deterministic_name);
                if node.members.iter().any(|&at| !rlp[at].request.deterministic_name.is_empty()) {
                    node.spread = Spread::ByName;
                }
            }
        }
        for (at, stream) in v1.iter().enumerate() {
            table.add_v1(at, &stream.key);
        }
        table
    }

    fn add_selector(&mut self, at: usize, shard_id: &str, selector: &Selector) {
        let nodes = &mut self.nodes[selector.kind().index()];
        let shared = nodes
            .iter_mut()
            .find(|node| !shard_id.is_empty() && node.shard_id == shard_id && node.selector == *selector);
        match shared {
            // The same selector twice in one stream is still one member.
            Some(node) if node.members.contains(&at) => {}
            Some(node) => node.members.push(at),
            None => nodes.push(Node {
                shard_id: shard_id.to_owned(),
                selector: selector.clone(),
                members: vec![at],
                spread: Spread::Random,
            }),
        }
    }

    fn add_v1(&mut self, at: usize, key: &V1Key) {
        match key {
            V1Key::App(app) => self.apps.entry(app.clone()).or_default().push(at),
            V1Key::Firehose { filter, .. } => {
                match self.firehoses.iter_mut().find(|firehose| firehose.key == *key) {
                    Some(firehose) => firehose.members.push(at),
                    None => {
                        self.firehoses.push(Firehose { key: key.clone(), filter: *filter, members: vec![at] })
                    }
                }
            }
        }
    }

    pub(crate) fn has_room(&self, n: usize) -> bool {
        self.rlp.iter().all(|stream| stream.mailbox.has_room(n))
            && self.v1.iter().all(|stream| stream.mailbox.has_room(n))
    }

    pub(crate) fn publish(&self, envelopes: &[Encoded], json: JsonStyle) {
        self.publish_v2(envelopes, json);
        if !self.v1.is_empty() {
            self.publish_v1(envelopes);
        }
    }

    fn publish_v2(&self, envelopes: &[Encoded], json: JsonStyle) {
        // One lock per stream and call, not per envelope.
        let mut out: Vec<Vec<RlpItem>> = self.rlp.iter().map(|_| Vec::new()).collect();
        let mut json = JsonWriter::new(json);
        for envelope in envelopes {
            let Some(kind) = envelope.kind() else { continue };
            let mut forms = Forms::new(envelope);
            for node in &self.nodes[kind.index()] {
                if node.selector.matches(envelope) {
                    let at = node.pick(envelope);
                    out[at].push(match self.rlp[at].reader {
                        Reader::Gateway(_) => forms.json(&mut json),
                        Reader::Grpc => RlpItem::Envelope(forms.get(self.rlp[at].request.use_preferred_tags)),
                    });
                }
            }
        }
        for (stream, items) in self.rlp.iter().zip(out) {
            if !items.is_empty() {
                stream.mailbox.push(items);
            }
        }
    }

    pub(crate) fn publish_message(&self, message: &Bytes) {
        self.publish_whole(&self.grpc_shards, message);
    }

    pub(crate) fn publish_text(&self, text: &Bytes) {
        self.publish_whole(&self.gateway_shards, text);
    }

    fn publish_whole(&self, shards: &[Vec<usize>], bytes: &Bytes) {
        for shard in shards {
            let at = shard[pick(shard.len())];
            self.rlp[at].mailbox.push([RlpItem::Whole(bytes.clone())]);
        }
    }

    fn publish_v1(&self, envelopes: &[Encoded]) {
        let mut out: Vec<Vec<V1Item>> = self.v1.iter().map(|_| Vec::new()).collect();
        for envelope in envelopes {
            // Only app streams ask for the app.
            let usual = if self.apps.is_empty() { convert::usual_log(envelope.bytes()) } else { None };
            if let Some(log) = usual {
                self.route_frame(&frame(&log), true, None, |at, frame| out[at].push(frame));
                continue;
            }
            let Some(envelope) = envelope.decode() else { continue };
            for converted in convert::to_v1(envelope) {
                let log = converted.event_type == EventType::LogMessage as i32;
                // Only app streams ask for the app, and there are few.
                let app = if self.apps.is_empty() { None } else { convert::app_of(&converted) };
                let frame = frame(&wire::encode_v1(converted));
                self.route_frame(&frame, log, app.as_deref(), |at, frame| out[at].push(frame));
            }
        }
        for (stream, items) in self.v1.iter().zip(out) {
            if !items.is_empty() {
                stream.mailbox.push(items);
            }
        }
    }

    pub(crate) fn publish_frame(&self, payload: &[u8], app: Option<&str>) {
        const EVENT_TYPE: u32 = 2;
        let kind = wire::fields(payload).find(|field| field.number == EVENT_TYPE);
        let log = kind.is_some_and(|field| field.varint == EventType::LogMessage as u64);
        self.route_frame(&frame(payload), log, app, |at, frame| {
            self.v1[at].mailbox.push([frame]);
        });
    }

    fn route_frame(&self, frame: &Bytes, log: bool, app: Option<&str>, mut to: impl FnMut(usize, V1Item)) {
        for firehose in &self.firehoses {
            let wanted = match firehose.filter {
                Filter::All => true,
                Filter::Logs => log,
                Filter::Metrics => !log,
            };
            if wanted {
                to(firehose.members[pick(firehose.members.len())], frame.clone());
            }
        }
        for &at in app.and_then(|app| self.apps.get(app)).into_iter().flatten() {
            to(at, frame.clone());
        }
    }
}

impl Node {
    fn pick(&self, envelope: &Encoded) -> usize {
        let n = self.members.len();
        let at = match self.spread {
            Spread::ByName => name_hash(envelope)
                .and_then(|hash| usize::try_from(hash % n as u64).ok())
                .unwrap_or_else(|| pick(n)),
            Spread::Random => pick(n),
        };
        self.members[at]
    }
}

/// The streams of each shard; one without a shard id stands alone.
fn shards(streams: Vec<(usize, &Arc<RlpSubscription>)>) -> Vec<Vec<usize>> {
    let mut named: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut alone = Vec::new();
    for (at, stream) in streams {
        let shard = stream.request.shard_id.as_str();
        if shard.is_empty() {
            alone.push(vec![at]);
        } else {
            named.entry(shard).or_default().push(at);
        }
    }
    named.into_values().chain(alone).collect()
}

fn pick(n: usize) -> usize {
    if n == 1 { 0 } else { fastrand::usize(..n) }
}

/// An envelope in its forms, each made at most once.
struct Forms<'a> {
    envelope: &'a Encoded,
    preferred: OnceCell<Encoded>,
    deprecated: OnceCell<Encoded>,
    json: Option<RlpItem>,
}

impl<'a> Forms<'a> {
    fn new(envelope: &'a Encoded) -> Self {
        Self { envelope, preferred: OnceCell::new(), deprecated: OnceCell::new(), json: None }
    }

    fn json(&mut self, writer: &mut JsonWriter) -> RlpItem {
        let write = || RlpItem::Json(writer.write(self.envelope));
        self.json.get_or_insert_with(write).clone()
    }

    /// Bytes that cannot be decoded are passed on as they are.
    fn get(&self, preferred: bool) -> Encoded {
        let convert = |form: fn(_) -> _| match self.envelope.decode() {
            Some(envelope) => Encoded::new(&form(envelope)),
            None => self.envelope.clone(),
        };
        match (preferred, self.envelope.tag_form()) {
            (true, TagForm::Preferred) => self.envelope.clone(),
            (true, TagForm::Deprecated) => self.preferred.get_or_init(|| convert(wire::prefer_tags)).clone(),
            (false, _) => self.deprecated.get_or_init(|| convert(wire::deprecate_tags)).clone(),
        }
    }
}

/// A binary websocket frame as servers send it: final, unfragmented, unmasked.
pub(crate) fn frame(payload: &[u8]) -> Bytes {
    const FINAL_BINARY: u8 = 0x82;
    let mut out = BytesMut::with_capacity(payload.len() + 10);
    out.put_u8(FINAL_BINARY);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len @ ..126), _) => out.put_u8(len),
        (_, Ok(len)) => {
            out.put_u8(126);
            out.put_u16(len);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(payload.len() as u64);
        }
    }
    out.put_slice(payload);
    out.freeze()
}
