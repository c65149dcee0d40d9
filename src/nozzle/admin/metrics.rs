//! `/metrics`: the status in the Prometheus text format.
//!
//! Labels come from fixed sets (reasons, codes, states) and from the addresses behind the configured
//! URLs, so their number is bounded; apps are among them only in the list of those that lost most for
//! want of room.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::hec::status::EndpointStatus;
use crate::hec::{self, GateState};
use crate::nozzle::metadata::{CallStats, MetadataStats};
use crate::nozzle::source::{SourcesStatus, StreamState, WatchStatus};
use crate::nozzle::status::Status;

/// What the format is called.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes all metrics.
pub(super) fn render(status: &Status) -> String {
    let mut page = Page::default();
    let ledger = &status.ledger;
    page.counter("nozzle_envelopes_received_total", "Envelopes read from Loggregator.", ledger.received);
    page.counter(
        "nozzle_envelopes_recovered_total",
        "Envelopes that an earlier run left in SPOOL_DIR.",
        ledger.recovered_from_spool,
    );
    page.counter(
        "nozzle_envelopes_delivered_total",
        "Envelopes whose event HEC has accepted.",
        ledger.delivered,
    );
    page.counter(
        "nozzle_envelopes_unconfirmed_total",
        "Envelopes whose event HEC has accepted, and no indexer has confirmed.",
        ledger.unconfirmed,
    );
    page.counters(
        "nozzle_envelopes_filtered_total",
        "Envelopes left out on purpose.",
        "reason",
        &ledger.filtered,
    );
    page.counters("nozzle_envelopes_dropped_total", "Envelopes lost.", "reason", &ledger.dropped);
    page.counters(
        "nozzle_envelopes_rejected_total",
        "Envelopes HEC refused for what they are.",
        "code",
        &ledger.rejected,
    );
    page.counters(
        "nozzle_malformed_total",
        "Frames or envelopes that could not be decoded.",
        "kind",
        &ledger.malformed,
    );
    page.counters(
        "nozzle_upstream_lost_total",
        "What Loggregator says it lost before.",
        "place",
        &status.upstream,
    );
    page.counter("nozzle_events_delivered_total", "Events HEC has accepted.", ledger.events.delivered);
    page.counter(
        "nozzle_events_unconfirmed_total",
        "Events HEC has accepted, and no indexer has confirmed.",
        ledger.events.unconfirmed,
    );
    page.counter(
        "nozzle_events_unenriched_total",
        "Events that went out without a look-up of their app or its index.",
        ledger.unenriched,
    );
    page.counter("nozzle_events_retimed_total", "Events whose own time was unusable.", ledger.retimed);
    page.counter("nozzle_events_truncated_total", "Events whose text was cut to fit.", ledger.truncated);
    page.counter("nozzle_events_split_total", "Events that were split to fit.", ledger.split);
    page.counter(
        "nozzle_metrics_left_out_total",
        "Metrics of gauges that had too many.",
        ledger.metrics_left_out,
    );
    page.counter(
        "nozzle_events_rerouted_total",
        "Events that went to SPLUNK_FALLBACK_INDEX.",
        ledger.rerouted,
    );
    page.counters(
        "nozzle_events_shed_total",
        "Events lost for want of room, at least, by app: only the twenty that lost most.",
        "app",
        &status.delivery.shed.iter().map(|row| (row.app.clone(), row.events)).collect(),
    );
    if let Some(letters) = &status.dead_letters {
        page.counter("nozzle_dead_letters_total", "Events written to DEAD_LETTER_DIR.", letters.written);
        page.counter(
            "nozzle_dead_letters_failed_total",
            "Events that could not be written there.",
            letters.failed,
        );
    }
    page.gauge("nozzle_envelopes_buffered", "Envelopes held in the nozzle.", ledger.buffered());
    page.gauge("nozzle_queue_bytes", "Bytes of frames waiting for a worker.", status.queue.bytes);
    page.gauge("nozzle_queue_capacity_bytes", "QUEUE_MAX_BYTES.", status.queue.capacity_bytes);
    page.gauge("nozzle_delivery_bytes", "Bytes of batches waiting for HEC.", status.delivery.bytes);
    page.gauge("nozzle_delivery_capacity_bytes", "DELIVERY_MAX_BYTES.", status.delivery.capacity_bytes);
    if let Some(spool) = &status.spool {
        page.gauge("nozzle_spool_envelopes", "Envelopes in SPOOL_DIR.", ledger.spooled);
        page.gauge("nozzle_spool_batches", "Batches there.", spool.batches);
        page.gauge("nozzle_spool_bytes", "Bytes of files there.", spool.bytes);
        page.gauge("nozzle_spool_capacity_bytes", "SPOOL_MAX_BYTES.", spool.max_bytes);
        let oldest = spool.oldest_seconds().unwrap_or(0);
        page.gauge("nozzle_spool_oldest_seconds", "How long the oldest batch has been there.", oldest);
        page.gauge(
            "nozzle_spool_working",
            "1 if its disk works.",
            u8::from(spool.open && spool.trouble.is_none()),
        );
    }
    streams(&mut page, &status.source);
    page.counter("nozzle_hec_requests_total", "Requests with events.", status.hec.counters.requests);
    page.counter(
        "nozzle_hec_resends_total",
        "Requests sent again although they may have been taken.",
        status.hec.counters.ambiguous_resends,
    );
    page.counter("nozzle_hec_sent_bytes_total", "Bytes of bodies as sent.", status.hec.counters.bytes_wire);
    page.gauge("nozzle_hec_open", "1 if HEC takes events.", u8::from(status.hec.gate == GateState::Open));
    endpoints(&mut page, &status.hec);
    acks(&mut page, &status.hec.acks);
    metadata(&mut page, &status.metadata);
    page.counter(
        "nozzle_own_events_written_total",
        "The nozzle's own log lines and metrics.",
        status.own.written,
    );
    page.counter("nozzle_own_events_delivered_total", "Those Splunk has.", status.own.delivered);
    page.counter(
        "nozzle_own_events_unconfirmed_total",
        "Those HEC has accepted, and no indexer has confirmed.",
        status.own.unconfirmed,
    );
    page.counters("nozzle_own_events_dropped_total", "Those lost.", "reason", &status.own.dropped);
    page.gauge("nozzle_ready", "1 if the nozzle does its work.", u8::from(status.not_ready.is_empty()));
    page.0
}

/// A figure of an endpoint.
type Figure = fn(&hec::Status, &EndpointStatus) -> u64;

/// What is worth a curve for each endpoint: name, help, kind, figure.
const ENDPOINT_FIGURES: [(&str, &str, &str, Figure); 7] = [
    ("nozzle_hec_endpoint_open", "1 if this endpoint takes events.", "gauge", |_, it| {
        u64::from(it.gate == GateState::Open)
    }),
    ("nozzle_hec_endpoint_active", "1 if events go to its site.", "gauge", |hec, it| {
        u64::from(it.site == hec.site)
    }),
    ("nozzle_hec_endpoint_requests_total", "Requests, questions included.", "counter", |_, it| it.requests),
    (
        "nozzle_hec_endpoint_failures_total",
        "Requests that failed or were turned away.",
        "counter",
        |_, it| it.failures,
    ),
    ("nozzle_hec_endpoint_in_flight", "Requests under way.", "gauge", |_, it| it.in_flight as u64),
    ("nozzle_hec_endpoint_in_flight_max", "The most that may be.", "gauge", |_, it| it.in_flight_max as u64),
    ("nozzle_hec_endpoint_latency_ms", "How long a request takes.", "gauge", |_, it| {
        it.latency_ms.unwrap_or(0)
    }),
];

fn endpoints(page: &mut Page, hec: &hec::Status) {
    for (name, help, kind, figure) in ENDPOINT_FIGURES {
        page.head(name, help, kind);
        for endpoint in &hec.endpoints {
            let address = endpoint.address.map(|address| address.to_string()).unwrap_or_default();
            let (url, site, value) = (&endpoint.url, endpoint.site.label(), figure(hec, endpoint));
            page.line(format_args!("{name}{{url=\"{url}\",address=\"{address}\",site=\"{site}\"}} {value}"));
        }
    }
}

fn acks(page: &mut Page, acks: &hec::AckStatus) {
    page.gauge("nozzle_acks_pending_batches", "Batches no indexer has confirmed yet.", acks.pending_batches);
    page.gauge("nozzle_acks_pending_bytes", "Their bytes.", acks.pending_bytes);
    page.gauge("nozzle_acks_oldest_ms", "How long the oldest has waited.", acks.oldest_ms.unwrap_or(0));
    page.gauge(
        "nozzle_acks_endpoints_distrusted",
        "Endpoints whose acks are left alone for a while.",
        acks.endpoints_distrusted,
    );
    let counters = &acks.counters;
    for (name, help, value) in [
        ("nozzle_acks_total", "Batches confirmed by an indexer.", counters.batches_acked),
        ("nozzle_acks_unconfirmed_total", "Batches not waited for.", counters.batches_unconfirmed),
        ("nozzle_acks_disabled_total", "Batches left when acks were turned off.", counters.batches_disabled),
        ("nozzle_acks_timeouts_total", "Batches not confirmed in time.", counters.timeouts),
        ("nozzle_acks_epoch_breaks_total", "Times ack ids began anew.", counters.epoch_breaks),
        ("nozzle_acks_resent_total", "Batches sent again for want of an ack.", counters.batches_resent),
        ("nozzle_acks_late_duplicates_total", "Of these, confirmed after all.", counters.late_duplicates),
        ("nozzle_acks_polls_total", "Polls for acks.", counters.polls),
        ("nozzle_acks_polls_failed_total", "Polls that brought nothing.", counters.polls_failed),
        (
            "nozzle_acks_uncertain_total",
            "Batches asked for in polls whose answer may be lost.",
            counters.polls_uncertain,
        ),
    ] {
        page.counter(name, help, value);
    }
}

fn streams(page: &mut Page, source: &SourcesStatus) {
    page.gauge("nozzle_streams_connected", "Open streams from Loggregator.", source.connected);
    page.counter("nozzle_stream_gaps_total", "How often no stream was open any more.", source.gaps);
    let Some(WatchStatus { stream, read }) = &source.watch else { return };
    let connected = u8::from(stream.state == StreamState::Connected);
    page.gauge("nozzle_watch_connected", "1 if the stream that tells of upstream losses is open.", connected);
    page.counter("nozzle_watch_connects_total", "How often it was opened.", stream.connects);
    page.counter("nozzle_watch_envelopes_total", "Counters and events of the platform read.", read.envelopes);
    page.counter("nozzle_watch_malformed_total", "What of it could not be decoded.", read.malformed);
}

fn metadata(page: &mut Page, metadata: &MetadataStats) {
    let CallStats { apps, batches, pages, changes, environments, spaces, organizations, probes } =
        metadata.calls;
    let calls = [
        ("app", apps),
        ("apps_by_guid", batches),
        ("list", pages),
        ("changes", changes),
        ("environment", environments),
        ("space", spaces),
        ("organization", organizations),
        ("probe", probes),
    ];
    let calls = calls.map(|(kind, n)| (kind.to_owned(), n)).into();
    page.counters("nozzle_cloud_controller_calls_total", "Requests for names and indexes.", "kind", &calls);
    page.counter(
        "nozzle_cloud_controller_failures_total",
        "Requests for names and indexes without an answer.",
        metadata.failures,
    );
    page.gauge(
        "nozzle_cloud_controller_away",
        "1 if the Cloud Controller does not answer.",
        u8::from(metadata.away),
    );
    page.gauge("nozzle_apps_known", "Apps whose names are known.", metadata.known);
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "counter");
        self.line(format_args!("{name} {value}"));
    }

    fn counters(&mut self, name: &str, help: &str, label: &str, values: &BTreeMap<String, u64>) {
        self.head(name, help, "counter");
        for (key, value) in values {
            self.line(format_args!("{name}{{{label}=\"{key}\"}} {value}"));
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, help, "gauge");
        self.line(format_args!("{name} {value}"));
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}
