//! Settings of the Go nozzle that are read, checked and then not used.
//!
//! They are accepted because manifests and the tile carry them. The default of the Go nozzle is
//! accepted in silence: giving it asks for nothing.

use super::{Kind, Setting, Theme};

pub(super) static ALL: &[&Setting] = &[
    &API_USER,
    &API_PASSWORD,
    &SPLUNK_LOGGING_INDEX,
    &SPLUNK_METRIC_INDEX,
    &STATUS_MONITOR_INTERVAL,
    &SELECTED_MONITORING_METRICS,
    &JOB_HOST,
    &CONSUMER_QUEUE_SIZE,
    &REFRESH_SPLUNK_CONNECTION,
    &KEEP_ALIVE_TIMER,
    &MEMORY_BALLAST_SIZE,
];

const ANY_INTEGER: Kind = Kind::Integer { min: i64::MIN, max: i64::MAX };

const fn unused(name: &'static str, kind: Kind, example: &'static str) -> Setting {
    Setting::new(name, Theme::Unused, kind, example)
}

static API_USER: Setting = unused("API_USER", Kind::Text, "admin")
    .flags(Some("user"), None)
    .unused("the client of CLIENT_ID signs in; the Go nozzle did not use it either")
    .means("User of the Cloud Foundry API");

static API_PASSWORD: Setting = unused("API_PASSWORD", Kind::Text, "the user's password")
    .flags(Some("password"), None)
    .secret()
    .unused("as API_USER; better removed, it is a secret for nothing")
    .means("Password of API_USER");

static SPLUNK_LOGGING_INDEX: Setting = unused("SPLUNK_LOGGING_INDEX", Kind::Text, "nozzle")
    .unused("the nozzle's own log goes to its output only")
    .means("Index of the nozzle's own log");

static SPLUNK_METRIC_INDEX: Setting = unused("SPLUNK_METRIC_INDEX", Kind::Text, "nozzle_metrics")
    .unused("the nozzle's own metrics are served, not sent: see ADMIN_ADDRESS")
    .means("Index of the nozzle's own metrics");

static STATUS_MONITOR_INTERVAL: Setting = unused("STATUS_MONITOR_INTERVAL", Kind::AnyDuration, "1m")
    .go_default("0s")
    .unused("the nozzle's own metrics are served, not sent: see ADMIN_ADDRESS")
    .means("How often the nozzle's own metrics are sent");

static SELECTED_MONITORING_METRICS: Setting =
    unused("SELECTED_MONITORING_METRICS", Kind::List, "nozzle.usage.ram")
        .go_default(
            "nozzle.queue.percentage,splunk.events.dropped.count,splunk.events.sent.count,\
             firehose.events.dropped.count,firehose.events.received.count,splunk.events.throughput,\
             nozzle.usage.ram,nozzle.usage.cpu,nozzle.cache.memory.hit,nozzle.cache.memory.miss,\
             nozzle.cache.remote.hit,nozzle.cache.remote.miss,nozzle.cache.boltdb.hit,\
             nozzle.cache.boltdb.miss",
        )
        .unused("the nozzle's own metrics are served, not sent: see ADMIN_ADDRESS")
        .means("Which of the nozzle's own metrics are sent");

static JOB_HOST: Setting = unused("JOB_HOST", Kind::Text, "nozzle-1")
    .unused("the nozzle's own log goes to its output only")
    .means("Host of the nozzle's own log events");

static CONSUMER_QUEUE_SIZE: Setting = unused("CONSUMER_QUEUE_SIZE", ANY_INTEGER, "10000")
    .go_default("10000")
    .unused("queues are bounded by bytes: see QUEUE_MAX_BYTES and DELIVERY_MAX_BYTES")
    .means("Events in the queue");

static REFRESH_SPLUNK_CONNECTION: Setting = unused("REFRESH_SPLUNK_CONNECTION", Kind::Bool, "true")
    .go_default("false")
    .unused("connections to Splunk are always renewed, about every minute")
    .means("Renew connections to Splunk");

static KEEP_ALIVE_TIMER: Setting = unused("KEEP_ALIVE_TIMER", Kind::AnyDuration, "30s")
    .go_default("30s")
    .unused("connections to Splunk are always renewed, about every minute")
    .means("How often connections to Splunk are renewed");

static MEMORY_BALLAST_SIZE: Setting = unused("MEMORY_BALLAST_SIZE", ANY_INTEGER, "0")
    .go_default("0")
    .unused("there is no garbage collector to trick")
    .means("Memory to waste, in MB");
