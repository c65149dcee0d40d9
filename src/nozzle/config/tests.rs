//! The whole way from inputs to a configuration.

mod places;
mod properties;
mod reference;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use secrecy::ExposeSecret as _;

use super::settings::{Fallback, Kind};
use super::*;
use crate::hec::{Compression, ResponseMode, TokenSource};
use crate::nozzle::encode::Oversize;
use crate::nozzle::event_type::EventType;
use crate::telemetry::LogFormat;

/// The least that must be given.
pub(super) const REQUIRED: [(&str, &str); 6] = [
    ("API_ENDPOINT", "https://api.example.com"),
    ("CLIENT_ID", "client"),
    ("CLIENT_SECRET", "client-s3cr3t"),
    ("SPLUNK_HOST", "https://hec.example.com:8088"),
    ("SPLUNK_TOKEN", "token-s3cr3t"),
    ("SPLUNK_INDEX", "main"),
];

/// Loads the least and `more`; of two with one name the last counts.
pub(super) fn load(more: &[(&str, &str)]) -> Result<(Config, Vec<Warning>), Faults> {
    load_with(&[], more)
}

fn load_with(arguments: &[&str], more: &[(&str, &str)]) -> Result<(Config, Vec<Warning>), Faults> {
    let flags = flags::parse(arguments.iter().copied()).unwrap();
    Config::load(&Inputs::new(flags, REQUIRED.iter().chain(more).copied()))
}

fn row(config: &Config, name: &str) -> Row {
    config.show().iter().find(|row| row.name == name).unwrap().clone()
}

fn messages(warnings: &[Warning]) -> Vec<String> {
    warnings.iter().map(Warning::to_string).collect()
}

/// A HEC token that is given as such.
fn fixed(token: &TokenSource) -> &str {
    match token {
        TokenSource::Fixed(token) => token.expose_secret(),
        TokenSource::File(file) => panic!("{file:?}"),
    }
}

#[test]
fn the_least_gives_the_defaults() {
    let (config, warnings) = load(&[]).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.api_endpoint.as_str(), "https://api.example.com/");
    assert_eq!(config.client_secret.expose_secret(), "client-s3cr3t");
    assert_eq!(config.cf_tls, ClientTls::default());
    assert_eq!(config.source.choice, SourceChoice::Auto);
    assert_eq!(config.source.streams.get(), 2);
    assert_eq!(config.source.idle_timeout, Some(Duration::from_secs(60)));
    assert_eq!(config.source.shard_id, "splunk-firehose");
    assert_eq!(config.source.rlp, None);
    let events = [EventType::ValueMetric, EventType::CounterEvent, EventType::ContainerMetric];
    assert_eq!(config.events, events.into_iter().collect());
    assert!(
        !config.metadata.enabled
            && config.metadata.settings.ignore_missing
            && config.metadata.settings.index_from_env
    );
    assert_eq!(config.metadata.settings.org_space_ttl, Duration::from_hours(72));
    assert_eq!(config.metadata.settings.app_limit, None);
    assert_eq!(config.metadata.settings.wait, Duration::from_secs(2));
    assert_eq!(config.metadata.settings.rate_per_second, 20);
    assert_eq!(fixed(&config.hec.token), "token-s3cr3t");
    assert_eq!(config.hec.compression, Compression::Gzip);
    assert_eq!(config.hec.batch_bytes, 524_288);
    assert_eq!(config.hec.batch_events, 5000);
    assert_eq!(config.hec.max_event_bytes, 921_600);
    assert_eq!(config.hec.response, ResponseMode::Strict);
    assert_eq!(config.hec.retries, None);
    assert!((1..=DEFAULT_WORKERS_MAX).contains(&config.workers.get()));
    assert_eq!(config.queue_max_bytes, 24 << 20);
    assert_eq!(config.delivery_max_bytes, 48 << 20);
    assert_eq!(config.when_full, WhenFull::Fair);
    assert_eq!((config.hec.oversize, config.hec.fallback_index), (Oversize::Truncate, None));
    assert_eq!(config.hec.dead_letters, None);
    assert_eq!(config.shutdown_timeout, Duration::from_secs(8));
    assert_eq!(config.admin.address, None);
    assert_eq!(config.log, LogConfig { format: LogFormat::Auto, level: "info".to_owned() });
}

#[test]
fn every_setting_in_use_is_read() {
    let inputs = Inputs::new(flags::FlagValues::default(), REQUIRED);
    let mut reader = Reader::new(layers::gather(&inputs));
    assert!(Config::read(&mut reader).is_some());
    let all: BTreeSet<&str> = settings::all().map(|setting| setting.name).collect();
    assert_eq!(*reader.asked(), all);
}

#[test]
fn every_example_is_accepted() {
    for setting in settings::all().filter(|setting| !matches!(setting.kind, Kind::File | Kind::Folder)) {
        let example = setting.example.replace(' ', if setting.confidential { "-" } else { " " });
        let mut more = Vec::new();
        if setting.name.starts_with("RLP_") {
            more.extend([("RLP_CERT_FILE", "cert.pem"), ("RLP_KEY_FILE", "key.pem")]);
        }
        more.push((setting.name, example.as_str()));
        let result = load(&more).map(|_| ());
        assert_eq!(result, Ok(()), "{}", setting.name);
    }
}

#[test]
fn all_faults_come_at_once() {
    let environment = [
        ("SPLUNK_HOST", "h:8088"),
        ("SPLUNK_TOKEN", "not a s3cr3t"),
        ("HEC_TIMEOUT", "30"),
        ("HEC_BATCH_BYTES", "2MB"),
        ("EVENTS", "LogMesage"),
        ("KEEP_ALIVE_TIMER", "1d"),
        ("SPLUNK_CA_FILE", "/nonexistent/ca.pem"),
        ("SPLUNK_CLIENT_CERT_FILE", "Cargo.toml"),
        ("LOGGREGATOR_SOURCE", "grpc"),
        ("HEC_WORKERS", "-1"),
        ("QUEUE_WHEN_FULL", "drop"),
        ("LOG_LEVEL", "verbose"),
    ];
    let faults = Config::load(&Inputs::new(flags::FlagValues::default(), environment)).unwrap_err();
    let names: BTreeSet<&str> = faults.iter().map(Fault::name).collect();
    let expected: BTreeSet<&str> = environment
        .iter()
        .map(|(name, _)| match *name {
            "SPLUNK_CLIENT_CERT_FILE" => "SPLUNK_CLIENT_KEY_FILE",
            "LOGGREGATOR_SOURCE" => "RLP_ADDRESS",
            name => name,
        })
        .chain(["API_ENDPOINT", "CLIENT_ID", "CLIENT_SECRET", "SPLUNK_INDEX"])
        .collect();
    assert_eq!(names, expected, "{faults}");
    let text = faults.to_string();
    assert!(text.starts_with("16 settings are wrong:\n  "), "{text}");
    for line in [
        "\n  SPLUNK_HOST (environment): \"h:8088\" is not one URL that starts with https:// or http://, or \
         several, separated by commas; example: https://hec.example.com:8088",
        "\n  SPLUNK_TOKEN (environment): [redacted] is not a token: printable ASCII without spaces; \
         example: 11111111-2222-3333-4444-555555555555",
        "\n  SPLUNK_INDEX: not given, but it is required; example: main",
        "\n  RLP_ADDRESS: not given, but LOGGREGATOR_SOURCE is grpc; example: ",
        "\n  HEC_BATCH_BYTES (environment): \"2MB\" is not a size: a whole number with a unit out of \
         B, KB, MB, GB, KiB, MiB, GiB (from 1024 to 1000000 bytes); example: 256KiB",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn faults_show_no_address_with_a_password_and_no_endless_value() {
    let long = "x".repeat(100_000);
    for (name, value) in [
        ("SPLUNK_HOST", "https://user:s3cr3t@hec"),
        ("SPLUNK_HOST", "user:s3cr3t@hec"),
        ("SPLUNK_HOST", "https://a,https://user:s3cr3t@b"),
        ("API_ENDPOINT", "https://api?token=s3cr3t"),
        ("EVENTS", &long),
        ("EXTRA_FIELDS", &long),
        ("HEC_TIMEOUT", &long),
    ] {
        let faults = load(&[(name, value)]).unwrap_err().to_string();
        assert!(faults.starts_with(&format!("1 setting is wrong:\n  {name} (environment): ")), "{faults}");
        assert!(!faults.contains("s3cr3t") && faults.len() < 1000, "{name}: {} bytes", faults.len());
    }
}

#[test]
fn the_stronger_source_wins_and_empty_counts_as_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("nozzle.yaml");
    fs::write(&file, "splunk_index: from-file\nADD_TAGS: true\nHEC_TIMEOUT: 1m\nHEC_RETRIES: 5\n").unwrap();
    let services = r#"{"user-provided":[{"name":"splunk","credentials":{
        "SPLUNK_INDEX":"from-service","ADD_TAGS":"false","QUEUE_MAX_BYTES":"64MiB","HEC_TIMEOUT":"2m"}}]}"#;
    let environment = [
        ("CONFIG_FILE", file.to_str().unwrap()),
        ("VCAP_SERVICES", services),
        ("SPLUNK_INDEX", "from-environment"),
        ("HEC_TIMEOUT", ""),
        ("LOG_LEVEL", ""),
    ];
    let origin = |arguments: &[&str], name| {
        let (config, _) = load_with(arguments, &environment).unwrap();
        let row = row(&config, name);
        (row.value, row.origin)
    };
    let from_file = Origin::File(file.clone());
    let flag = ["--splunk-index", "from-flag"];
    assert_eq!(origin(&flag, "SPLUNK_INDEX"), ("from-flag".to_owned(), Origin::Flag));
    assert_eq!(
        origin(&["--splunk-index="], "SPLUNK_INDEX"),
        ("from-environment".to_owned(), Origin::Environment)
    );
    assert_eq!(origin(&[], "SPLUNK_INDEX"), ("from-environment".to_owned(), Origin::Environment));
    assert_eq!(origin(&[], "ADD_TAGS"), ("true".to_owned(), from_file.clone()));
    assert_eq!(origin(&[], "HEC_TIMEOUT"), ("1m".to_owned(), from_file));
    assert_eq!(origin(&[], "QUEUE_MAX_BYTES"), ("64MiB".to_owned(), Origin::Service("splunk".to_owned())));
    assert_eq!(origin(&[], "LOG_LEVEL"), ("info".to_owned(), Origin::Default));
    // The Go nozzle's default: given, and yet not given.
    assert_eq!(origin(&[], "HEC_RETRIES"), ("no limit".to_owned(), Origin::Default));
}

#[test]
fn documents_hold_settings_only_each_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("nozzle.toml");
    fs::write(
        &file,
        "SPLUNK_TOKNE = \"s3cr3t\"\nADD_TAGS = 3\nCONFIG_FILE = \"x\"\nevents = \"x\"\nEVENTS = \"x\"\n",
    )
    .unwrap();
    let services = r#"{"user-provided":[{"name":"one","credentials":{"SPLUNK_TOKEN":"s3cr3t"}},
        {"name":"two","credentials":{"SPLUNK_TOKEN":"s3cr3t","CLIENT_SECRET":["s3cr3t"]}}]}"#;
    let faults = load(&[("CONFIG_FILE", file.to_str().unwrap()), ("VCAP_SERVICES", services)])
        .unwrap_err()
        .to_string();
    for part in [
        "SPLUNK_TOKNE (file ",
        "is not a setting; did you mean SPLUNK_TOKEN?",
        "\"3\" is not true or false",
        "can only be given by flag or environment",
        "nozzle.toml as well",
        "SPLUNK_TOKEN (service two): is given by service one as well",
        "CLIENT_SECRET (service two): [redacted] is not text",
    ] {
        assert!(faults.contains(part), "{part} in {faults}");
    }
    assert!(!faults.contains("s3cr3t"), "{faults}");
}

#[test]
fn a_value_that_is_no_text_is_a_fault() {
    let mut environment: Vec<(OsString, OsString)> =
        REQUIRED.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    environment.push(("ADD_TAGS".into(), OsString::from_vec(vec![b't', 0xff])));
    environment.push((OsString::from_vec(vec![0xff]), "foreign".into()));
    let faults = Config::load(&Inputs::new(flags::FlagValues::default(), environment)).unwrap_err();
    assert_eq!(faults.iter().count(), 1);
    assert!(faults.to_string().contains("is not UTF-8 text"), "{faults}");
}

#[test]
fn values_of_no_use_are_mended_with_a_warning() {
    for (name, given, shown) in [
        ("HEC_RETRIES", "0", "no limit"),
        ("HEC_WORKERS", "0", ""),
        ("HEC_BATCH_SIZE", "-3", "1"),
        ("FLUSH_INTERVAL", "0", "50ms"),
        ("FIREHOSE_KEEP_ALIVE", "1ms", "1s"),
    ] {
        let (config, warnings) = load(&[(name, given)]).unwrap();
        assert_eq!(warnings.len(), 1, "{name}: {warnings:?}");
        assert_eq!(warnings[0].name, name);
        let shown = if name == "HEC_WORKERS" { config.workers.to_string() } else { shown.to_owned() };
        assert_eq!(row(&config, name), Row { name, value: shown, origin: Origin::Environment });
    }
    let (config, _) =
        load(&[("HEC_RETRIES", "0"), ("HEC_BATCH_SIZE", "0"), ("FLUSH_INTERVAL", "1ms")]).unwrap();
    assert_eq!((config.hec.retries, config.hec.batch_events), (None, 1));
    assert_eq!(config.hec.flush_interval, Duration::from_millis(50));
    let (config, warnings) = load(&[("FIREHOSE_KEEP_ALIVE", "0"), ("FLUSH_INTERVAL", "5s")]).unwrap();
    assert_eq!((config.source.idle_timeout, config.hec.flush_interval), (None, Duration::from_secs(5)));
    assert_eq!(warnings, []);
}

#[test]
fn warnings_tell_what_has_no_effect() {
    let (_, warnings) = load(&[
        ("API_USER", "admin"),
        ("SPLUNK_HOSTS", "https://other"),
        ("DROP_WARN_THRESHOLD", "1000"),
        ("SKIP_SSL_VALIDATION", "true"),
        ("ADD_APP_INFO", "true"),
        ("CONSUMER_QUEUE_SIZE", "50000"),
        ("RLP_SERVER_NAME", "rlp"),
        ("SKIP_SSL_VALIDATION_CF", "true"),
        ("MEMORY_LIMIT", "256M"),
    ])
    .unwrap();
    let mut messages = messages(&warnings);
    messages.sort();
    let starts = [
        "ADD_APP_INFO: names nothing to add",
        "API_USER: has no effect: the client of CLIENT_ID signs in",
        "CONSUMER_QUEUE_SIZE: has no effect: queues are bounded by bytes",
        "DROP_WARN_THRESHOLD: has no effect: every dropped event is counted",
        "RLP_SERVER_NAME: has no effect without RLP_ADDRESS",
        "SKIP_SSL_VALIDATION: has no effect: use SKIP_SSL_VALIDATION_CF",
        "SKIP_SSL_VALIDATION_CF: certificates are not checked",
        "SPLUNK_HOSTS: is not a setting; did you mean SPLUNK_HOST?",
    ];
    assert_eq!(messages.len(), starts.len(), "{messages:?}");
    for (message, start) in messages.iter().zip(starts) {
        assert!(message.starts_with(start), "{message}");
    }
}

#[test]
fn a_port_alone_opens_health_checks_only() {
    let address = |text: &str| Some(text.parse::<SocketAddr>().unwrap());
    for (more, bound, scope) in [
        (vec![], None, AdminScope::Full),
        (vec![("PORT", "8080")], address("0.0.0.0:8080"), AdminScope::HealthOnly),
        (vec![("PORT", "8080"), ("ADMIN_TOKEN", "t")], address("0.0.0.0:8080"), AdminScope::Full),
        (vec![("ADMIN_ADDRESS", "127.0.0.1:0")], address("127.0.0.1:0"), AdminScope::Full),
        (vec![("PORT", "8080"), ("ADMIN_ADDRESS", "[::1]:9")], address("[::1]:9"), AdminScope::Full),
    ] {
        let (config, warnings) = load(&more).unwrap();
        assert_eq!((config.admin.address, config.admin.scope), (bound, scope), "{more:?}");
        assert_eq!(warnings, [], "{more:?}");
    }
    let (_, warnings) = load(&[("ADMIN_ADDRESS", "0.0.0.0:8080")]).unwrap();
    assert_eq!(warnings.len(), 1);
}

#[test]
fn log_levels_are_levels() {
    for level in ["warn", "OFF", "info,hyper=debug", "firehose_nozzle::hec=trace"] {
        assert_eq!(load(&[("LOG_LEVEL", level)]).unwrap().0.log.level, level);
    }
    for level in ["verbose", "info,", "x=loud", " ", "x{🟃=o"] {
        assert!(load(&[("LOG_LEVEL", level)]).is_err(), "{level}");
    }
}

#[test]
fn show_has_a_row_for_every_setting() {
    let (config, _) = load(&[("ADMIN_TOKEN", "admin-s3cr3t")]).unwrap();
    let text = render(config.show());
    assert_eq!(text.lines().count(), settings::all().count());
    assert!(!text.contains("s3cr3t"), "{text}");
    assert_eq!(row(&config, "SPLUNK_TOKEN").value, settings::REDACTED);
    assert_eq!(row(&config, "API_PASSWORD").value, "–");
    assert_eq!(row(&config, "HEC_WORKERS").value, config.workers.to_string());
    // The token may be in a file instead.
    let required = settings::all().filter(|setting| setting.fallback == Fallback::Required).count();
    assert_eq!(required + 1, REQUIRED.len());
}
