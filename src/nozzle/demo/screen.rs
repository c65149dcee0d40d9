//! What the demo shows on the terminal.
#![allow(clippy::print_stdout, reason = "the demo talks to a person")]

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{DemoOptions, DemoSource, Verdict};
use crate::nozzle::app::Report;
use crate::nozzle::status::{Status, StatusView};
use crate::proto::loggregator::Envelope;
use crate::proto::loggregator::envelope::Message;
use crate::sim::foundation::Foundation;
use crate::sim::hec::HecServer;
use crate::sim::load::LoadReport;

/// Lines between two headings.
const HEADING_EVERY: u32 = 15;

/// The terminal, and what was shown last.
pub(super) struct Screen {
    options: DemoOptions,
    started: Instant,
    last: Option<Figures>,
    lines: u32,
}

/// What rates are computed from.
#[derive(Clone)]
struct Figures {
    at: Instant,
    delivered: u64,
    bytes: u64,
    replies: BTreeMap<u16, u64>,
}

impl Screen {
    pub(super) fn new(options: &DemoOptions) -> Self {
        Self { options: options.clone(), started: Instant::now(), last: None, lines: 0 }
    }

    pub(super) fn started(&self, foundation: &Foundation, hec: &HecServer) {
        println!("A simulated foundation and a simulated Splunk, on loopback over TLS:");
        println!("  API, UAA, Cloud Controller  {}", foundation.api_url());
        println!("  RLP (gRPC, mutual TLS)      {}", foundation.rlp_address());
        println!("  RLP gateway (log stream)    {}", foundation.gateway_url());
        println!("  v1 firehose                 {}", foundation.traffic_controller_url());
        println!("  HTTP Event Collector        {}", hec.url());
    }

    pub(super) fn connected(&mut self, view: &StatusView) {
        let status = view.get();
        let rate = match self.options.events_per_second {
            0 => "as many envelopes as are read".to_owned(),
            n => format!("{n} envelopes/s"),
        };
        println!(
            "The nozzle reads {} by {} streams; {} apps send {rate} for {} s. Ctrl-C ends it sooner.\n",
            match self.options.source {
                DemoSource::Grpc => "RLP over gRPC",
                DemoSource::Gateway => "the RLP gateway",
                DemoSource::Firehose => "the v1 firehose",
            },
            status.source.connected,
            self.options.apps,
            self.options.duration.as_secs(),
        );
        self.started = Instant::now();
    }

    /// One line on the last second.
    pub(super) fn tick(&mut self, status: &Status, hec: &HecServer) {
        let seen = hec.snapshot();
        let now = Figures {
            at: Instant::now(),
            delivered: status.ledger.events.delivered,
            bytes: seen.bytes_inflated,
            replies: seen.by_status,
        };
        if self.lines.is_multiple_of(HEADING_EVERY) {
            println!(
                "{:>5} {:>9} {:>7} {:>10} {:>11} {:>9}  HEC replies",
                "time", "events/s", "MB/s", "queue", "to deliver", "lost"
            );
        }
        self.lines += 1;
        let (elapsed, delivered, bytes) = match &self.last {
            Some(last) => (now.at - last.at, now.delivered - last.delivered, now.bytes - last.bytes),
            None => (now.at - self.started, now.delivered, now.bytes),
        };
        let per_second = |n: u64| n as f64 / elapsed.as_secs_f64().max(1e-3);
        println!(
            "{:>4}s {:>9.0} {:>7.2} {:>10} {:>11} {:>9}  {}",
            (now.at - self.started).as_secs(),
            per_second(delivered),
            per_second(bytes) / 1e6,
            size(status.queue.bytes),
            size(status.delivery.bytes),
            status.ledger.lost(),
            replies(self.last.as_ref(), &now),
        );
        self.last = Some(now);
    }

    /// One envelope before the nozzle, and the event it became.
    pub(super) fn sample(&self, before: &Envelope, after: &str) {
        println!("\n  an envelope as it comes:");
        println!(
            "    source_id {}  instance_id {}  timestamp {}",
            before.source_id, before.instance_id, before.timestamp
        );
        let tags: Vec<_> = before.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        println!("    tags      {}", tags.join(" "));
        if let Some(Message::Log(log)) = &before.message {
            println!(
                "    log {}   {}",
                if log.r#type == 0 { "OUT" } else { "ERR" },
                String::from_utf8_lossy(&log.payload)
            );
        }
        println!("  and as Splunk gets it:\n    {after}\n");
    }

    pub(super) fn ended(&self, sent: &LoadReport, report: &Report, verdict: &Verdict) {
        let seconds = sent.elapsed.as_secs_f64().max(1e-3);
        let total = sent.published.total();
        println!(
            "\n{total} envelopes sent in {seconds:.1} s ({:.0}/s).{}",
            total as f64 / seconds,
            lag(sent.lag_max)
        );
        println!("{}", report.ledger);
        for failure in &report.failures {
            println!("  FAILED: {failure}");
        }
        println!(
            "Splunk has {} of {total} envelopes, {} missing, {} events twice.",
            total - verdict.missing,
            verdict.missing,
            verdict.duplicates
        );
        println!("{}", if verdict.is_good() { "Nothing was lost." } else { "NOT GOOD: see above." });
    }
}

fn lag(lag: Duration) -> String {
    if lag < Duration::from_millis(100) {
        return String::new();
    }
    format!(" The sender was up to {:.1} s late: this machine is busy.", lag.as_secs_f64())
}

fn replies(last: Option<&Figures>, now: &Figures) -> String {
    let before = |status: &u16| last.and_then(|last| last.replies.get(status)).copied().unwrap_or_default();
    let new: Vec<_> = now
        .replies
        .iter()
        .map(|(status, n)| (status, n - before(status)))
        .filter(|(_, n)| *n > 0)
        .map(|(status, n)| format!("{n} x {status}"))
        .collect();
    if new.is_empty() { "-".to_owned() } else { new.join(", ") }
}

fn size(bytes: usize) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}
