//! Settings of what goes out: Splunk, and the room and workers between.

use std::time::Duration;

use super::{Kind, Setting, Theme};

pub(super) static ALL: &[&Setting] = &[
    &SPLUNK_HOST,
    &SPLUNK_TOKEN,
    &SPLUNK_TOKEN_FILE,
    &SPLUNK_FAILOVER_HOST,
    &SPLUNK_FAILOVER_TOKEN,
    &SPLUNK_FAILOVER_TOKEN_FILE,
    &SPLUNK_INDEX,
    &SPLUNK_FALLBACK_INDEX,
    &SKIP_SSL_VALIDATION_SPLUNK,
    &SPLUNK_CA_FILE,
    &SPLUNK_CLIENT_CERT_FILE,
    &SPLUNK_CLIENT_KEY_FILE,
    &HEC_COMPRESSION,
    &HEC_BATCH_BYTES,
    &HEC_BATCH_SIZE,
    &FLUSH_INTERVAL,
    &HEC_MAX_EVENT_BYTES,
    &HEC_OVERSIZE,
    &HEC_TIMEOUT,
    &HEC_RETRIES,
    &HEC_RESPONSE,
    &HEC_ACK,
    &HEC_ACK_TIMEOUT,
    &DEAD_LETTER_DIR,
    &DEAD_LETTER_MAX_BYTES,
    &DEBUG,
    &HEC_WORKERS,
    &QUEUE_MAX_BYTES,
    &DELIVERY_MAX_BYTES,
    &QUEUE_WHEN_FULL,
    &SPOOL_DIR,
    &SPOOL_MAX_BYTES,
    &SHUTDOWN_TIMEOUT,
];

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What every HEC accepts in one request, before compression.
const REQUEST_BYTES_MAX: u64 = 1_000_000;
/// More memory than any container has.
const POOL_BYTES_MAX: u64 = 64 * GIB;

pub(in super::super) static SPLUNK_HOST: Setting = Setting::new(
    "SPLUNK_HOST",
    Theme::Splunk,
    Kind::Urls,
    "https://hec.example.com:8088",
)
.required()
.mapped("may be several; a missing scheme is refused at start, and a full path is not doubled")
.means(
    "Address of the HTTP Event Collector, with or without `/services/collector`, or several separated by \
             commas; every IP address behind each name gets its share",
);

pub(in super::super) static SPLUNK_TOKEN: Setting =
    Setting::new("SPLUNK_TOKEN", Theme::Splunk, Kind::Text, "11111111-2222-3333-4444-555555555555")
        .otherwise("required, or SPLUNK_TOKEN_FILE")
        .kept()
        .secret()
        .means("HEC token");

pub(in super::super) static SPLUNK_TOKEN_FILE: Setting =
    Setting::new("SPLUNK_TOKEN_FILE", Theme::Splunk, Kind::File, "/etc/splunk/token").means(
        "File that holds the HEC token; read again when it changes, and when Splunk refuses the token",
    );

pub(in super::super) static SPLUNK_FAILOVER_HOST: Setting = Setting::new(
    "SPLUNK_FAILOVER_HOST",
    Theme::Splunk,
    Kind::Urls,
    "https://hec.elsewhere.example.com:8088",
)
.means(
    "A second site, as SPLUNK_HOST; it gets the events while nothing behind SPLUNK_HOST has taken any for 5s",
);

pub(in super::super) static SPLUNK_FAILOVER_TOKEN: Setting =
    Setting::new("SPLUNK_FAILOVER_TOKEN", Theme::Splunk, Kind::Text, "11111111-2222-3333-4444-555555555555")
        .otherwise("that of SPLUNK_HOST")
        .secret()
        .means("HEC token of SPLUNK_FAILOVER_HOST");

pub(in super::super) static SPLUNK_FAILOVER_TOKEN_FILE: Setting =
    Setting::new("SPLUNK_FAILOVER_TOKEN_FILE", Theme::Splunk, Kind::File, "/etc/splunk/failover-token")
        .means("File that holds the HEC token of SPLUNK_FAILOVER_HOST, as SPLUNK_TOKEN_FILE");

pub(in super::super) static SPLUNK_INDEX: Setting =
    Setting::new("SPLUNK_INDEX", Theme::Splunk, Kind::Text, "main")
        .required()
        .mapped("a name of nothing but spaces is refused")
        .means("Index of events whose app names none");

pub(in super::super) static SPLUNK_FALLBACK_INDEX: Setting =
    Setting::new("SPLUNK_FALLBACK_INDEX", Theme::Splunk, Kind::Text, "lastchance").means(
        "Index of events whose own index Splunk refuses; they carry that one in the field `refused_index`",
    );

pub(in super::super) static SKIP_SSL_VALIDATION_SPLUNK: Setting =
    Setting::new("SKIP_SSL_VALIDATION_SPLUNK", Theme::Splunk, Kind::Bool, "true")
        .or("false")
        .kept()
        .means("Accept any certificate of Splunk; SPLUNK_CA_FILE is the safe way");

pub(in super::super) static SPLUNK_CA_FILE: Setting =
    Setting::new("SPLUNK_CA_FILE", Theme::Splunk, Kind::File, "/etc/splunk/ca.pem")
        .means("PEM file of CA certificates, trusted beside the system's");

pub(in super::super) static SPLUNK_CLIENT_CERT_FILE: Setting =
    Setting::new("SPLUNK_CLIENT_CERT_FILE", Theme::Splunk, Kind::File, "/etc/splunk/cert.pem")
        .means("PEM file of the client certificate for Splunk; needs SPLUNK_CLIENT_KEY_FILE");

pub(in super::super) static SPLUNK_CLIENT_KEY_FILE: Setting =
    Setting::new("SPLUNK_CLIENT_KEY_FILE", Theme::Splunk, Kind::File, "/etc/splunk/key.pem")
        .means("PEM file of the private key of SPLUNK_CLIENT_CERT_FILE");

pub(in super::super) static HEC_COMPRESSION: Setting =
    Setting::new("HEC_COMPRESSION", Theme::Splunk, Kind::Choice(&["gzip", "off"]), "off")
        .or("gzip")
        .means("Whether requests are compressed; Splunk counts its licence before compression");

pub(in super::super) static HEC_BATCH_BYTES: Setting = Setting::new(
    "HEC_BATCH_BYTES",
    Theme::Splunk,
    Kind::Bytes { min: KIB, max: REQUEST_BYTES_MAX },
    "256KiB",
)
.or("512KiB")
.means("A request is sent when it holds this much, before compression");

pub(in super::super) static HEC_BATCH_SIZE: Setting =
    Setting::new("HEC_BATCH_SIZE", Theme::Splunk, Kind::Integer { min: i64::MIN, max: 1_000_000 }, "1000")
        .or("5000")
        .go_default("100")
        .mapped("100 counts as unset: requests go by HEC_BATCH_BYTES")
        .means("A request is sent when it holds this many events; less than 1 is 1");

pub(in super::super) static FLUSH_INTERVAL: Setting = Setting::new(
    "FLUSH_INTERVAL",
    Theme::Splunk,
    Kind::Duration { min: Duration::ZERO, max: Duration::from_hours(1) },
    "1s",
)
.or("500ms")
.mapped("the default is shorter, so that events come sooner and less is in memory")
.means("A request is sent when its first event is this old; at least 50ms");

pub(in super::super) static HEC_MAX_EVENT_BYTES: Setting = Setting::new(
    "HEC_MAX_EVENT_BYTES",
    Theme::Splunk,
    Kind::Bytes { min: KIB, max: REQUEST_BYTES_MAX },
    "500KB",
)
.or("900KiB")
.means("The largest event, in bytes of JSON; HEC_OVERSIZE says what happens to larger ones");

pub(in super::super) static HEC_OVERSIZE: Setting = Setting::new(
    "HEC_OVERSIZE",
    Theme::Splunk,
    Kind::Choice(&["truncate", "split", "drop"]),
    "split",
)
.or("truncate")
.means(
    "What happens to an event larger than HEC_MAX_EVENT_BYTES: `truncate` cuts its text, `split` writes the text of logs, errors \
     and platform events into several events with the fields `part` and, in the last one, `parts`; `drop` drops it and counts it",
);

pub(in super::super) static HEC_TIMEOUT: Setting = Setting::new(
    "HEC_TIMEOUT",
    Theme::Splunk,
    Kind::Duration { min: Duration::from_secs(1), max: Duration::from_mins(10) },
    "1m",
)
.or("30s")
.means("How long one request may take");

pub(in super::super) static HEC_RETRIES: Setting = Setting::new(
    "HEC_RETRIES",
    Theme::Splunk,
    Kind::Integer { min: 0, max: 1_000_000 },
    "20",
)
.otherwise("no limit")
.go_default("5")
.mapped("5 counts as unset: retries last as long as there is room; 0 dropped everything, here it is unset")
.means("Attempts for one request before its events are dropped, never sooner than the Go nozzle would");

pub(in super::super) static HEC_RESPONSE: Setting = Setting::new(
    "HEC_RESPONSE",
    Theme::Splunk,
    Kind::Choice(&["strict", "lenient"]),
    "lenient",
)
.or("strict")
.means(
    "`strict` takes a 2xx for success only if the body says so; `lenient` is for servers that are not Splunk",
);

pub(in super::super) static HEC_ACK: Setting =
    Setting::new("HEC_ACK", Theme::Splunk, Kind::Choice(&["auto", "required", "off"]), "required")
        .or("auto")
        .means(
            "Whether events count as delivered only when an indexer has confirmed them: `auto` where the token has indexer \
             acknowledgement (`useACK`), `required` always (nothing is sent to a HEC without it), `off` never",
        );

pub(in super::super) static HEC_ACK_TIMEOUT: Setting = Setting::new(
    "HEC_ACK_TIMEOUT",
    Theme::Splunk,
    Kind::Duration { min: Duration::from_mins(3), max: Duration::from_hours(1) },
    "10m",
)
.or("300s")
.means("Events that no indexer has confirmed after this long are sent again");

pub(in super::super) static DEAD_LETTER_DIR: Setting =
    Setting::new("DEAD_LETTER_DIR", Theme::Splunk, Kind::Folder, "/var/vcap/data/dead-letters")
        .otherwise("counted, and one every 10 s logged in part")
        .means("Folder for events that Splunk refuses for what they are, with the reason, as lines of JSON");

pub(in super::super) static DEAD_LETTER_MAX_BYTES: Setting = Setting::new(
    "DEAD_LETTER_MAX_BYTES",
    Theme::Splunk,
    Kind::Bytes { min: MIB, max: POOL_BYTES_MAX },
    "256MiB",
)
.or("64MiB")
.means("Most bytes of files in DEAD_LETTER_DIR; then the oldest are removed");

pub(in super::super) static DEBUG: Setting = Setting::new("DEBUG", Theme::Splunk, Kind::Bool, "true")
    .or("false")
    .kept()
    .means("Print events to standard output; nothing is sent to Splunk");

pub(in super::super) static HEC_WORKERS: Setting =
    Setting::new("HEC_WORKERS", Theme::Flow, Kind::Integer { min: 0, max: 256 }, "4")
        .otherwise("the CPUs of the container, at most 8")
        .go_default("8")
        .mapped("8 counts as unset; 0 delivered nothing, here it is unset")
        .means("Workers that decode, enrich and encode events");

pub(in super::super) static QUEUE_MAX_BYTES: Setting =
    Setting::new("QUEUE_MAX_BYTES", Theme::Flow, Kind::Bytes { min: MIB, max: POOL_BYTES_MAX }, "64MiB")
        .or("24MiB")
        .means("Most memory for what was received and not yet worked on");

pub(in super::super) static DELIVERY_MAX_BYTES: Setting = Setting::new(
    "DELIVERY_MAX_BYTES",
    Theme::Flow,
    Kind::Bytes { min: 4 * MIB, max: POOL_BYTES_MAX },
    "256MiB",
)
.or("48MiB")
.means("Most memory for events under way to Splunk, waiting and retried ones included");

pub(in super::super) static QUEUE_WHEN_FULL: Setting = Setting::new(
    "QUEUE_WHEN_FULL",
    Theme::Flow,
    Kind::Choice(&["fair", "drop_newest", "drop_oldest", "block"]),
    "block",
)
.or("fair")
.means(
    "What happens when DELIVERY_MAX_BYTES is used up: `fair` drops the newest events of the apps that hold most of it, so that \
     no app can push out the others; `drop_newest` drops new requests, `drop_oldest` those that have waited longest; with \
     `block` workers wait, and when QUEUE_MAX_BYTES is used up too, new frames are dropped. All are counted",
);

pub(in super::super) static SPOOL_DIR: Setting =
    Setting::new("SPOOL_DIR", Theme::Flow, Kind::Folder, "/var/vcap/store/nozzle-spool").otherwise("off").means(
        "Folder for requests that Splunk does not take in time, written when half of DELIVERY_MAX_BYTES is used; they are sent,          the oldest first, when Splunk is back, also by the next start. One process at a time; on Cloud Foundry each instance          takes a folder `instance-…` in it",
    );

pub(in super::super) static SPOOL_MAX_BYTES: Setting =
    Setting::new("SPOOL_MAX_BYTES", Theme::Flow, Kind::Bytes { min: 16 * MIB, max: 1024 * GIB }, "20GiB")
        .otherwise("1GiB, or half of the container's disk quota if that is less")
        .means("Most bytes of files in SPOOL_DIR; then the oldest requests are dropped and counted");

pub(in super::super) static SHUTDOWN_TIMEOUT: Setting = Setting::new(
    "SHUTDOWN_TIMEOUT",
    Theme::Flow,
    Kind::Duration { min: Duration::from_secs(1), max: Duration::from_hours(1) },
    "30s",
)
.or("8s")
.means("How long the nozzle may go on delivering after SIGTERM; Cloud Foundry kills it after 10s");
