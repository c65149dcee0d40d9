//! Settings of what comes in: the foundation, its firehose, the events, the names of apps.

use std::time::Duration;

use super::{Kind, Setting, Theme};

pub(super) static ALL: &[&Setting] = &[
    &API_ENDPOINT,
    &CLIENT_ID,
    &CLIENT_SECRET,
    &SKIP_SSL_VALIDATION_CF,
    &CF_CA_FILE,
    &HTTPS_PROXY,
    &HTTP_PROXY,
    &NO_PROXY,
    &LOGGREGATOR_SOURCE,
    &LOGGREGATOR_STREAMS,
    &FIREHOSE_SUBSCRIPTION_ID,
    &FIREHOSE_KEEP_ALIVE,
    &RLP_ADDRESS,
    &RLP_SERVER_NAME,
    &RLP_CA_FILE,
    &RLP_CERT_FILE,
    &RLP_KEY_FILE,
    &EVENTS,
    &ADD_TAGS,
    &EXTRA_FIELDS,
    &ENABLE_EVENT_TRACING,
    &ADD_APP_INFO,
    &IGNORE_MISSING_APP,
    &MISSING_APP_CACHE_INVALIDATE_TTL,
    &APP_CACHE_INVALIDATE_TTL,
    &ORG_SPACE_CACHE_INVALIDATE_TTL,
    &APP_LIMITS,
    &METADATA_REFRESH,
    &METADATA_WAIT,
    &METADATA_RATE,
    &BOLTDB_PATH,
    &USE_ENV_VAR_FOR_SPLUNK_INDEX,
    &USE_LABELS_FOR_SPLUNK_INDEX,
    &USE_LABELS_FOR_SPLUNK_SOURCETYPE,
];

/// Ten years: longer than any cache lives, short enough to add to any time.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);
const TTL: Kind = Kind::Duration { min: Duration::ZERO, max: LONGEST };

pub(in super::super) static API_ENDPOINT: Setting =
    Setting::new("API_ENDPOINT", Theme::CloudFoundry, Kind::Url, "https://api.sys.example.com")
        .required()
        .kept()
        .means("Address of the Cloud Foundry API");

pub(in super::super) static CLIENT_ID: Setting =
    Setting::new("CLIENT_ID", Theme::CloudFoundry, Kind::Text, "splunk-firehose-nozzle")
        .required()
        .kept()
        .means(
            "UAA client; needs the authority `doppler.firehose`, and `cloud_controller.admin_read_only` \
             for ADD_APP_INFO",
        );

pub(in super::super) static CLIENT_SECRET: Setting =
    Setting::new("CLIENT_SECRET", Theme::CloudFoundry, Kind::Text, "the client's secret")
        .required()
        .kept()
        .secret()
        .means("Secret of the UAA client");

pub(in super::super) static SKIP_SSL_VALIDATION_CF: Setting =
    Setting::new("SKIP_SSL_VALIDATION_CF", Theme::CloudFoundry, Kind::Bool, "true").or("false").kept().means(
        "Accept any certificate of the API, UAA, the RLP gateway and the v1 firehose; CF_CA_FILE is the \
             safe way. The gRPC source is always verified",
    );

pub(in super::super) static CF_CA_FILE: Setting =
    Setting::new("CF_CA_FILE", Theme::CloudFoundry, Kind::File, "/etc/cf/ca.pem").means(
        "PEM file of CA certificates, trusted beside the system's for the API, UAA, the RLP gateway and the \
         v1 firehose",
    );

pub(in super::super) static HTTPS_PROXY: Setting = Setting::new(
    "HTTPS_PROXY",
    Theme::CloudFoundry,
    Kind::Proxy,
    "http://proxy.example.com:3128",
)
.in_either_case()
.mapped("not for the firehose alone")
.means(
    "HTTP proxy for the API, UAA, the RLP gateway, the v1 firehose and Splunk at `https://` and `wss://` \
             addresses; the variable may be in lower case",
);

pub(in super::super) static HTTP_PROXY: Setting =
    Setting::new("HTTP_PROXY", Theme::CloudFoundry, Kind::Proxy, "http://user:password@proxy:3128")
        .in_either_case()
        .mapped("not for the firehose alone")
        .means("As HTTPS_PROXY, for `http://` and `ws://` addresses");

pub(in super::super) static NO_PROXY: Setting =
    Setting::new("NO_PROXY", Theme::CloudFoundry, Kind::Text, ".sys.example.com,10.0.0.0/8")
        .in_either_case()
        .flags(Some("proxy-bypass"), None)
        .kept()
        .means(
            "What is reached directly: hosts with all below them, `.example.com` for those below only, \
             addresses, networks, each with or without a port; `*` = everything",
        );

pub(in super::super) static LOGGREGATOR_SOURCE: Setting = Setting::new(
    "LOGGREGATOR_SOURCE",
    Theme::Firehose,
    Kind::Choice(&["auto", "grpc", "gateway", "firehose"]),
    "gateway",
)
.or("auto")
.means(
    "`grpc` reads the reverse log proxy (v2), `gateway` the RLP gateway (v2), `firehose` the v1 websocket; \
     `auto` is `grpc` when RLP_ADDRESS is set, else `gateway` when the API root names one, else `firehose`",
);

pub(in super::super) static LOGGREGATOR_STREAMS: Setting =
    Setting::new("LOGGREGATOR_STREAMS", Theme::Firehose, Kind::Integer { min: 1, max: 16 }, "4")
        .or("2")
        .means("Parallel streams of this instance; they share the subscription, so nothing comes twice. v2 sources have one more, which tells of losses upstream");

pub(in super::super) static FIREHOSE_SUBSCRIPTION_ID: Setting =
    Setting::new("FIREHOSE_SUBSCRIPTION_ID", Theme::Firehose, Kind::Text, "splunk-firehose")
        .or("splunk-firehose")
        .kept()
        .flags(None, Some("subscription-id"))
        .means("Instances with the same id share the events; each id gets a full copy (v2: the shard id)");

pub(in super::super) static FIREHOSE_KEEP_ALIVE: Setting = Setting::new(
    "FIREHOSE_KEEP_ALIVE",
    Theme::Firehose,
    Kind::Duration { min: Duration::ZERO, max: Duration::from_hours(24) },
    "90s",
)
.or("60s")
.go_default("25s")
.mapped("25s counts as unset; websocket pings and gateway heartbeats count as life")
.means("A stream with no byte for this long is replaced; at least 1s, `0` = never. A quiet one over gRPC is kept for about 10 minutes while the platform shows life");

pub(in super::super) static RLP_ADDRESS: Setting =
    Setting::new("RLP_ADDRESS", Theme::Firehose, Kind::HostPort, "q-s3.doppler.default.cf.bosh:8082")
        .means("Reverse log proxy for the gRPC source; needs RLP_CERT_FILE and RLP_KEY_FILE");

pub(in super::super) static RLP_SERVER_NAME: Setting =
    Setting::new("RLP_SERVER_NAME", Theme::Firehose, Kind::Text, "reverselogproxy")
        .or("reverselogproxy")
        .means("Name in the reverse log proxy's certificate");

pub(in super::super) static RLP_CA_FILE: Setting =
    Setting::new("RLP_CA_FILE", Theme::Firehose, Kind::LaterFile, "/etc/rlp/ca.pem")
        .means("PEM file of the CA of the reverse log proxy; read for each connection");

pub(in super::super) static RLP_CERT_FILE: Setting =
    Setting::new("RLP_CERT_FILE", Theme::Firehose, Kind::LaterFile, "/etc/rlp/cert.pem")
        .means("PEM file of the client certificate for the reverse log proxy; read for each connection");

pub(in super::super) static RLP_KEY_FILE: Setting =
    Setting::new("RLP_KEY_FILE", Theme::Firehose, Kind::LaterFile, "/etc/rlp/key.pem")
        .means("PEM file of the private key of RLP_CERT_FILE; read for each connection");

pub(in super::super) static EVENTS: Setting =
    Setting::new("EVENTS", Theme::Events, Kind::List, "LogMessage,ValueMetric,CounterEvent")
        .or("ValueMetric,CounterEvent,ContainerMetric")
        .mapped("`Event` is new; a list that names nothing is refused")
        .means(
            "Types to deliver: HttpStart, HttpStop, HttpStartStop (all timers), LogMessage, ValueMetric, \
             CounterEvent, Error, ContainerMetric, Event; separated by commas or a JSON array",
        );

pub(in super::super) static ADD_TAGS: Setting = Setting::new("ADD_TAGS", Theme::Events, Kind::Bool, "true")
    .or("false")
    .kept()
    .means("Add the envelope's tags to each event");

pub(in super::super) static EXTRA_FIELDS: Setting =
    Setting::new("EXTRA_FIELDS", Theme::Events, Kind::Pairs, "env:prod,team:platform")
        .mapped("a JSON object is read as one, not torn apart at its commas")
        .means(
            "Indexed fields for every event, `name:value,name:value`; a JSON object of strings where a \
             value holds a colon or a comma; of two with one name the last wins",
        );

pub(in super::super) static ENABLE_EVENT_TRACING: Setting = Setting::new(
    "ENABLE_EVENT_TRACING",
    Theme::Events,
    Kind::Bool,
    "true",
)
.or("false")
.kept()
.means(
    "Add the fields `uuid`, `firehose-subscription-id` and `nozzle-event-counter`, to trace single events",
);

pub(in super::super) static ADD_APP_INFO: Setting =
    Setting::new("ADD_APP_INFO", Theme::AppInfo, Kind::List, "AppName,OrgName,SpaceName").kept().means(
        "Names to add out of AppName, OrgName, OrgGuid, SpaceName, SpaceGuid. Any value turns app look-ups \
         on, and with them indexes and muting by app",
    );

pub(in super::super) static IGNORE_MISSING_APP: Setting =
    Setting::new("IGNORE_MISSING_APP", Theme::AppInfo, Kind::Bool, "false")
        .or("true")
        .mapped("`false` asks again every 30s, not for every event")
        .means("Remember apps that do not exist");

pub(in super::super) static MISSING_APP_CACHE_INVALIDATE_TTL: Setting =
    Setting::new("MISSING_APP_CACHE_INVALIDATE_TTL", Theme::AppInfo, TTL, "10m")
        .or("0s")
        .mapped("`0s` is 10m with IGNORE_MISSING_APP, 30s without it; the Go nozzle never forgets")
        .means("How long an app is remembered as missing");

pub(in super::super) static APP_CACHE_INVALIDATE_TTL: Setting =
    Setting::new("APP_CACHE_INVALIDATE_TTL", Theme::AppInfo, TTL, "1h").or("0s").kept().means(
        "How often all apps are listed again, and environments read again; `0s` = only at the start. \
             Changes are seen anyway: see METADATA_REFRESH",
    );

pub(in super::super) static ORG_SPACE_CACHE_INVALIDATE_TTL: Setting =
    Setting::new("ORG_SPACE_CACHE_INVALIDATE_TTL", Theme::AppInfo, TTL, "72h")
        .or("72h")
        .mapped("`0s` together with APP_CACHE_INVALIDATE_TTL stops the Go nozzle")
        .means(
            "How often names of organizations and spaces are read again, along with all apps; `0s` = never",
        );

pub(in super::super) static APP_LIMITS: Setting =
    Setting::new("APP_LIMITS", Theme::AppInfo, Kind::Integer { min: 0, max: 10_000_000 }, "50000")
        .or("0")
        .mapped("bounds the apps remembered; it had no effect before")
        .means("Most apps kept in memory, the longest unused go first; `0` = 100,000");

pub(in super::super) static METADATA_REFRESH: Setting =
    Setting::new("METADATA_REFRESH", Theme::AppInfo, TTL, "1m").or("15s").means(
        "How often the Cloud Foundry API is asked which apps, spaces and organizations have changed, three \
         small requests each time; `0s` = never",
    );

pub(in super::super) static BOLTDB_PATH: Setting =
    Setting::new("BOLTDB_PATH", Theme::AppInfo, Kind::Text, "/var/vcap/store/nozzle/cache.db")
        .or("cache.db")
        .mapped("its form is another one; a file of the Go nozzle is replaced. It is never trusted for long")
        .means(
            "File that keeps the apps over a restart; `off` = none. In a container it lasts as long as the \
             container does",
        );

pub(in super::super) static METADATA_WAIT: Setting = Setting::new(
    "METADATA_WAIT",
    Theme::AppInfo,
    Kind::Duration { min: Duration::ZERO, max: Duration::from_mins(1) },
    "5s",
)
.or("2s")
.means("How long an event of an unknown app waits for the look-up before it goes out without names");

pub(in super::super) static METADATA_RATE: Setting =
    Setting::new("METADATA_RATE", Theme::AppInfo, Kind::Rate { max: 1000 }, "50/s")
        .or("20/s")
        .means("Most requests to the Cloud Foundry API for names, per second and instance");

pub(in super::super) static USE_ENV_VAR_FOR_SPLUNK_INDEX: Setting =
    Setting::new("USE_ENV_VAR_FOR_SPLUNK_INDEX", Theme::AppInfo, Kind::Bool, "false")
        .or("true")
        .mapped("F2S_DISABLE_LOGGING works, too")
        .means(
            "An app's environment variable SPLUNK_INDEX is the index of its events, and \
             F2S_DISABLE_LOGGING=true mutes it; one request for each app that logs",
        );

pub(in super::super) static USE_LABELS_FOR_SPLUNK_INDEX: Setting =
    Setting::new("USE_LABELS_FOR_SPLUNK_INDEX", Theme::AppInfo, Kind::Bool, "true")
        .or("false")
        .kept()
        .means("An app's label SPLUNK_INDEX is the index of its events; wins over the variable");

pub(in super::super) static USE_LABELS_FOR_SPLUNK_SOURCETYPE: Setting =
    Setting::new("USE_LABELS_FOR_SPLUNK_SOURCETYPE", Theme::AppInfo, Kind::Bool, "true")
        .or("false")
        .means("An app's label SPLUNK_SOURCETYPE is the sourcetype of its log lines");
