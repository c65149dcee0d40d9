//! Makes up envelopes, straight in wire form.
//!
//! About a microsecond each: the load must leave the machine to what it measures.

use std::sync::Arc;

use bytes::BufMut;
use fastrand::Rng;
use prost::encoding::{encode_varint, encoded_len_varint};

use super::corpus::{self, Clock, Mark, RouterApp, Style};
use super::sequence;
use super::world::{Component, Instance, World};
use super::{LoadConfig, Sort};
use crate::sim::wire::{self, Encoded, FIRST_FIELD, Kind, LOG, SECOND_FIELD};
use crate::sim::writer::{Head, Tags, Writer, put_varint};

/// Keys of an envelope's messages: number and wire type.
const COUNTER: u8 = 5 << 3 | 2;
const GAUGE: u8 = 6 << 3 | 2;
const TIMER: u8 = 7 << 3 | 2;
const EVENT: u8 = 10 << 3 | 2;
/// Keys within messages.
const SECOND_VARINT: u8 = 2 << 3;
const THIRD_VARINT: u8 = 3 << 3;
const SECOND_DOUBLE: u8 = 2 << 3 | 1;

/// Makes the envelopes of a load, one after another.
#[derive(Debug)]
pub(super) struct Generator {
    pub(super) world: Arc<World>,
    rng: Rng,
    run: String,
    /// In percent.
    json: u8,
    payload_bytes: usize,
    clock: Clock,
    now: i64,
    writer: Writer,
    // Buffers that are used again and again.
    path: Vec<u8>,
    message: Vec<u8>,
    payload: Vec<u8>,
    more_tags: Tags,
}

impl Generator {
    pub(super) fn new(config: &LoadConfig) -> Self {
        let mut rng = Rng::with_seed(config.seed);
        let world = Arc::new(World::new(config.apps, &mut rng));
        let run = format!("{:04x}", rng.u16(..));
        Self {
            world,
            rng,
            run,
            json: config.json_percent.min(100),
            payload_bytes: config.payload_bytes,
            clock: Clock::new(),
            now: 0,
            writer: Writer::default(),
            path: Vec::new(),
            message: Vec::new(),
            payload: Vec::new(),
            more_tags: Tags::default(),
        }
    }

    /// The mark of this run, in every envelope that has text.
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    /// Sets the time of the envelopes to come; each is one microsecond later than the last.
    pub(super) fn set_time(&mut self, unix_nanos: i64) {
        self.now = unix_nanos;
        self.clock.set(unix_nanos);
    }

    pub(super) fn make(&mut self, sort: Sort, sequence: u64) -> Encoded {
        self.now += 1000;
        self.message.clear();
        self.payload.clear();
        self.more_tags.clear();
        let world = Arc::clone(&self.world);
        let instance = &world.instances[self.rng.usize(..world.instances.len())];
        let component = &world.components[self.rng.usize(..world.components.len())];
        match sort {
            Sort::AppLog | Sort::ErrorLog => self.app_log(instance, sort, sequence),
            Sort::RouterLog => self.router_log(instance, sequence),
            Sort::Timer => self.timer(instance, sequence),
            Sort::Container => self.container(instance, sequence),
            Sort::Counter => self.counter(component, sequence),
            Sort::Gauge => self.gauge(component, sequence),
            Sort::Event => self.event(component, sequence),
        }
    }

    fn app_log(&mut self, instance: &Instance, sort: Sort, sequence: u64) -> Encoded {
        // Half to one and a half of the size asked for.
        let target = self.payload_bytes / 2 + self.rng.usize(..=self.payload_bytes);
        let style = match sort {
            Sort::ErrorLog => Style::Trace,
            _ if self.rng.u8(..100) < self.json => Style::Json,
            _ => Style::Text,
        };
        let mark = Mark { sequence, run: &self.run };
        corpus::line(style, target, mark, &self.clock, &mut self.rng, &mut self.payload);
        wire::put_text(FIRST_FIELD, &self.payload, &mut self.message);
        if sort == Sort::ErrorLog {
            const ERR: u64 = 1;
            put_varint(SECOND_VARINT, ERR, &mut self.message);
        }
        self.envelope(&instance.app_guid, &instance.index, &instance.log_tags, LOG, Kind::Log)
    }

    fn router_log(&mut self, instance: &Instance, sequence: u64) -> Encoded {
        let mark = Mark { sequence, run: &self.run };
        let mut path = std::mem::take(&mut self.path);
        let visit = corpus::visit(mark, &mut self.rng, &mut path);
        let app = RouterApp {
            host: &instance.host,
            guid: &instance.app_guid,
            index: &instance.index,
            instance: &instance.id,
            backend: &instance.backend,
        };
        corpus::router_line(&visit, &path, &app, &self.clock, &mut self.rng, &mut self.payload);
        path.clear();
        self.path = path;
        wire::put_text(FIRST_FIELD, &self.payload, &mut self.message);
        self.envelope(&instance.app_guid, "0", &instance.router_log_tags, LOG, Kind::Log)
    }

    fn timer(&mut self, instance: &Instance, sequence: u64) -> Encoded {
        let mark = Mark { sequence, run: &self.run };
        self.payload.put_slice(b"https://");
        self.payload.put_slice(instance.host.as_bytes());
        let visit = corpus::visit(mark, &mut self.rng, &mut self.payload);
        let tags = &mut self.more_tags;
        tags.put("uri", &self.payload);
        tags.put("method", visit.method.as_bytes());
        tags.put("status_code", visit.status.as_bytes());
        tags.put("user_agent", visit.agent.as_bytes());
        tags.put("peer_type", if self.rng.bool() { b"Client" } else { b"Server" });
        tags.put("routing_instance_id", instance.id.as_bytes());
        let mut text = |value: &mut dyn FnMut(&mut Rng, &mut Vec<u8>)| {
            self.message.clear();
            value(&mut self.rng, &mut self.message);
            std::mem::take(&mut self.message)
        };
        tags.put("request_id", &text(&mut corpus::uuid));
        tags.put("content_length", &text(&mut |rng, out| corpus::number(rng.u64(..90_000), out)));
        tags.put(
            "remote_address",
            &text(&mut |rng, out| {
                out.put_slice(b"10.0.1.7:");
                corpus::number(rng.u64(1024..65_536), out);
            }),
        );
        tags.put(
            "forwarded",
            &text(&mut |rng, out| {
                out.put_slice(b"203.0.113.");
                corpus::number(rng.u64(..256), out);
            }),
        );
        self.message.clear();
        let took = self.rng.i64(500_000..400_000_000);
        wire::put_text(FIRST_FIELD, b"http", &mut self.message);
        put_varint(SECOND_VARINT, (self.now - took).cast_unsigned(), &mut self.message);
        put_varint(THIRD_VARINT, self.now.cast_unsigned(), &mut self.message);
        self.envelope(&instance.app_guid, &instance.index, &instance.timer_tags, TIMER, Kind::Timer)
    }

    fn container(&mut self, instance: &Instance, sequence: u64) -> Encoded {
        const MEBIBYTE: f64 = 1_048_576.0;
        // Exact up to 2^53 bytes, beyond two billion numbers.
        #[allow(clippy::cast_precision_loss, reason = "small enough to be exact")]
        let disk = sequence::disk_bytes(sequence) as f64;
        let memory = f64::from(self.rng.u32(40..900)) * MEBIBYTE;
        let cpu = self.rng.f64() * 100.0;
        self.metric("cpu", "percentage", cpu);
        self.metric("memory", "bytes", memory);
        self.metric("disk", "bytes", disk);
        self.metric("memory_quota", "bytes", 1024.0 * MEBIBYTE);
        self.metric("disk_quota", "bytes", 4096.0 * MEBIBYTE);
        self.envelope(&instance.app_guid, &instance.index, &instance.metric_tags, GAUGE, Kind::Gauge)
    }

    fn counter(&mut self, component: &Component, sequence: u64) -> Encoded {
        self.name(component.metric, sequence);
        wire::put_text(FIRST_FIELD, &self.payload, &mut self.message);
        put_varint(SECOND_VARINT, self.rng.u64(1..500), &mut self.message);
        put_varint(THIRD_VARINT, self.rng.u64(500..1 << 40), &mut self.message);
        self.envelope(component.source_id, &component.instance_id, &component.tags, COUNTER, Kind::Counter)
    }

    /// Often one metric, sometimes a second one, which has no number of its own.
    fn gauge(&mut self, component: &Component, sequence: u64) -> Encoded {
        self.name(component.metric, sequence);
        let name = std::mem::take(&mut self.payload);
        let value = self.rng.f64() * 1e6;
        self.metric_bytes(&name, "ms", value);
        self.payload = name;
        if self.rng.u8(..4) == 0 {
            let value = f64::from(self.rng.u16(..));
            self.metric("memoryStats.numBytesAllocated", "count", value);
        }
        self.envelope(component.source_id, &component.instance_id, &component.tags, GAUGE, Kind::Gauge)
    }

    fn event(&mut self, component: &Component, sequence: u64) -> Encoded {
        self.payload.put_slice(b"restarted after a failed health check, ");
        sequence::put(sequence, &mut self.payload);
        self.payload.put_slice(b" run=");
        self.payload.put_slice(self.run.as_bytes());
        wire::put_text(FIRST_FIELD, b"process restarted", &mut self.message);
        wire::put_text(SECOND_FIELD, &self.payload, &mut self.message);
        self.envelope(component.source_id, &component.instance_id, &component.tags, EVENT, Kind::Event)
    }

    /// The name of a metric with its number behind.
    fn name(&mut self, metric: &str, sequence: u64) {
        self.payload.put_slice(metric.as_bytes());
        self.payload.put_u8(b'.');
        sequence::put(sequence, &mut self.payload);
    }

    fn metric(&mut self, name: &str, unit: &str, value: f64) {
        self.metric_bytes(name.as_bytes(), unit, value);
    }

    fn metric_bytes(&mut self, name: &[u8], unit: &str, value: f64) {
        // unit: key, length, text; value: key, eight bytes. Both are always written.
        let gauge_value = 2 + unit.len() + 9;
        let entry = 1 + encoded_len_varint(name.len() as u64) + name.len() + 2 + gauge_value;
        self.message.put_u8(FIRST_FIELD);
        encode_varint(entry as u64, &mut self.message);
        wire::put_text(FIRST_FIELD, name, &mut self.message);
        self.message.put_u8(SECOND_FIELD);
        encode_varint(gauge_value as u64, &mut self.message);
        wire::put_text(FIRST_FIELD, unit.as_bytes(), &mut self.message);
        self.message.put_u8(SECOND_DOUBLE);
        self.message.put_f64_le(value);
    }

    fn envelope(&mut self, source_id: &str, instance_id: &str, tags: &Tags, key: u8, kind: Kind) -> Encoded {
        let head = Head { unix_nanos: self.now, source_id, instance_id, tags, more_tags: &self.more_tags };
        self.writer.envelope(&head, key, &self.message, kind, &mut self.rng)
    }
}
