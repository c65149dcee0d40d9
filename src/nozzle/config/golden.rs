//! What the Go nozzle made of 108 environments, and what is made of them here.
//!
//! `tests/golden/nozzle/config-parsing.json` was recorded from that program. Each case has its decision below;
//! the classes of differences are told to operators in `docs/differences.md`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::flags::FlagValues;
use super::tests::{REQUIRED, load};
use super::{Config, Inputs, settings};
use crate::nozzle::event_type::{EventSet, EventType};
use crate::nozzle::metadata::Fields;
use crate::nozzle::own::{GO_METRICS, MetricSet};
use crate::tls::Verification;
use crate::units;

#[derive(Deserialize)]
struct Case {
    name: String,
    env: BTreeMap<String, String>,
    exit_code: Option<i32>,
    effective_config: Option<BTreeMap<String, Value>>,
}

enum Decision {
    /// It ran, and so does this nozzle, with the same values; Go's defaults that lose data aside.
    Same,
    /// It gave up, with exit code 1 or 0; this one does with 78 and names the setting.
    Refused,
    /// It ran; this one refuses, for the reason told.
    Stricter(#[expect(dead_code, reason = "read by people")] &'static str),
    /// Both run, on purpose not alike; the check says what applies here.
    Differs(#[expect(dead_code, reason = "read by people")] &'static str, fn(&Config) -> bool),
}
use Decision::{Differs, Refused, Same, Stricter};

const WRAPS: &str = "the number wrapped around to the least of all";
const NOTHING: &str = "it selected nothing, ran and delivered nothing";

#[rustfmt::skip]
const DECISIONS: [(&str, Decision); 108] = [
    ("defaults", Differs("its defaults drop after 38 s, cut requests at 100 events and reconnect when it is quiet", |c| {
        c.hec.retries.is_none()
            && c.hec.batch_events == 5000
            && c.hec.flush_interval == Duration::from_millis(500)
            && c.source.idle_timeout == Some(Duration::from_secs(60))
    })),
    ("bool:true", Same),
    ("bool:false", Same),
    ("bool:1", Same),
    ("bool:0", Same),
    ("bool:t", Same),
    ("bool:T", Same),
    ("bool:TRUE", Same),
    ("bool:True", Same),
    ("bool:F", Same),
    ("bool:yes", Refused),
    ("bool:on", Refused),
    ("bool:", Same),
    ("bool: true", Refused),
    ("bool:tRuE", Refused),
    ("duration:5s", Same),
    ("duration:0", Same),
    ("duration:0s", Same),
    ("duration:1h30m", Same),
    ("duration:1.5s", Same),
    ("duration:100ms", Same),
    ("duration:-5s", Same),
    ("duration:30", Refused),
    ("duration:5 s", Refused),
    ("duration:", Same),
    ("duration:1d", Refused),
    ("duration:+5s", Same),
    ("duration:.5s", Same),
    ("duration:1us", Same),
    ("duration:1µs", Same),
    ("duration:9223372036854775807ns", Same),
    ("duration:3000000h", Refused),
    ("duration:5S", Refused),
    ("duration:1m1", Refused),
    ("int:7", Same),
    ("int:-7", Stricter("a negative limit means nothing; there it had no effect")),
    ("int:007", Same),
    ("int:0x10", Refused),
    ("int:0o17", Refused),
    ("int:0b11", Refused),
    ("int:1_000", Same),
    ("int:1e3", Same),
    ("int:1.0", Same),
    ("int:", Same),
    ("int: 7", Refused),
    ("int:+7", Same),
    ("int:9223372036854775807", Stricter(WRAPS)),
    ("int:9223372036854775808", Stricter(WRAPS)),
    ("int:abc", Refused),
    ("events:LogMessage", Same),
    ("events:LogMessage,ValueMetric", Same),
    ("events: LogMessage , ValueMetric ", Same),
    ("events:logmessage", Refused),
    ("events:LogMessage,", Refused),
    ("events:,", Refused),
    ("events:", Same),
    ("events:   ", Stricter("spaces silently meant LogMessage")),
    ("events:[]", Stricter(NOTHING)),
    ("events:[\"LogMessage\"]", Same),
    ("events:[\"LogMessage\",\"Bogus\"]", Refused),
    ("events:[LogMessage,ValueMetric]", Refused),
    ("events:HttpStart,HttpStop", Same),
    ("events:Heartbeat", Refused),
    ("events:[1]", Refused),
    ("events:null", Stricter(NOTHING)),
    ("events:\"LogMessage\"", Refused),
    ("events:{\"a\":1}", Refused),
    ("events:LogMessage,LogMessage", Same),
    ("events:LogMessage;ValueMetric", Refused),
    ("extra:a:b", Same),
    ("extra:a:b,c:d", Same),
    ("extra: a : b , c : d ", Same),
    ("extra:a", Refused),
    ("extra:a:b:c", Refused),
    ("extra::", Same),
    ("extra:,", Same),
    ("extra:a:b,,c:d", Same),
    ("extra:a:b, ,c:d", Refused),
    ("extra:a:http://x", Refused),
    ("extra:", Same),
    ("extra:a=b", Refused),
    ("extra:{\"a\":\"b\"}", Differs("it made a field named {\"a\" of it", |c| {
        c.shape.extra_fields == [("a".to_owned(), "b".to_owned())]
    })),
    ("extra:a:", Same),
    ("extra::b", Same),
    ("extra:a:b,a:c", Same),
    ("appinfo:AppName", Same),
    ("appinfo:appname,ORGNAME", Same),
    ("appinfo:bogus", Same),
    ("appinfo:true", Same),
    ("appinfo:false", Same),
    ("appinfo:[AppName,OrgName]", Same),
    ("appinfo:[\"AppName\"]", Same),
    ("appinfo:NotAppNameReally", Same),
    ("host:https://h:8088/", Same),
    ("host:https://h:8088///", Same),
    ("host: https://h:8088 ", Same),
    ("host:h:8088", Stricter("it started, and every request failed")),
    ("host:https://h:8088/services/collector", Differs("it posted to /services/collector/services/collector", |c| {
        c.hec.urls[0].as_str() == "https://h:8088/services/collector"
    })),
    ("missing:SPLUNK_TOKEN", Refused),
    ("missing:SPLUNK_INDEX", Refused),
    ("missing:SPLUNK_HOST", Refused),
    ("missing:API_ENDPOINT", Refused),
    ("missing:CLIENT_ID", Refused),
    ("missing:CLIENT_SECRET", Refused),
    ("empty:SPLUNK_INDEX", Refused),
    ("blank:SPLUNK_INDEX", Stricter("no index has that name: Splunk would refuse every event")),
    ("metrics-json", Same),
    ("many", Same),
];

#[test]
fn every_recorded_environment_is_decided() {
    let text = include_str!("../../../tests/golden/nozzle/config-parsing.json");
    let cases: Vec<Case> = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), DECISIONS.len());
    for (case, (name, decision)) in cases.iter().zip(&DECISIONS) {
        assert_eq!(case.name, *name);
        let mut environment: BTreeMap<String, String> =
            REQUIRED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        for (variable, value) in &case.env {
            match value.as_str() {
                "<unset>" => environment.remove(variable),
                _ => environment.insert(variable.clone(), value.clone()),
            };
        }
        let result = Config::load(&Inputs::new(FlagValues::default(), environment));
        match (decision, case.exit_code, result) {
            (Same, None, Ok((config, _))) => {
                assert_eq!(disagreements(case, &config), Vec::<&str>::new(), "{name}");
            }
            (Differs(_, applies), None, Ok((config, _))) => assert!(applies(&config), "{name}: {config:?}"),
            (Refused, Some(_), Err(faults)) | (Stricter(_), None, Err(faults)) => {
                let named: Vec<&str> = faults.iter().map(super::Fault::name).collect();
                assert_eq!(named, case.env.keys().collect::<Vec<_>>(), "{name}: {faults}");
            }
            (_, exit_code, Ok(_)) => panic!("{name}: Go {exit_code:?}, here it runs"),
            (_, exit_code, Err(faults)) => panic!("{name}: Go {exit_code:?}, here {faults}"),
        }
    }
}

/// The recorded values that are not those of `config`.
///
/// A recorded Go default counts as unset, as in the tile; what applies then is in `defaults` above.
fn disagreements<'a>(case: &'a Case, config: &Config) -> Vec<&'a str> {
    let recorded = case.effective_config.as_ref().unwrap();
    recorded
        .iter()
        .filter(|(key, value)| !agrees(key, value, case, config))
        .map(|(key, _)| key.as_str())
        .collect()
}

fn agrees(key: &str, recorded: &Value, case: &Case, config: &Config) -> bool {
    let Config { source, shape, metadata, hec, own, .. } = config;
    let nanos = |duration: Duration| recorded.as_f64() == Some(duration.as_nanos() as f64);
    // What is accepted and not used has no typed value: its text must mean what was recorded.
    let given = |name: &str| case.env.get(name).filter(|text| !text.is_empty());
    let unused = |name: &str| given(name).is_none_or(|text| means(name, text, recorded));
    let number_or_default = |default: u64, ours: bool| recorded.as_u64() == Some(default) || ours;
    let text = recorded.as_str();
    match key {
        "version" | "branch" | "commit" | "buildos" => true,
        "api-endpoint" => text == Some("<capi>"),
        "splunk-host" => text == Some("<hec>") || text == Some(hec.urls[0].as_str().trim_end_matches('/')),
        "splunk-index" => text == Some(&shape.index),
        "firehose-subscription-id" => text == Some(&source.shard_id),
        "add-tags" => recorded == shape.add_tags,
        "trace-logging" => recorded == shape.event_tracing,
        "debug" => recorded == hec.debug,
        "ignore-missing-apps" => recorded == metadata.settings.ignore_missing,
        "use-env-var-for-splunk-index" => recorded == metadata.settings.index_from_env,
        "use-labels-for-splunk-index" => recorded == metadata.settings.index_from_label,
        "skip-ssl-cf" => recorded == (config.cf_tls.verification == Verification::Skip),
        "skip-ssl-splunk" => recorded == (hec.tls.verification == Verification::Skip),
        "app-cache-ttl" => nanos(metadata.settings.app_ttl),
        "missing-app-cache-ttl" => nanos(metadata.settings.missing_ttl),
        "org-space-cache-ttl" => nanos(metadata.settings.org_space_ttl),
        "app-limits" => recorded.as_u64() == Some(metadata.settings.app_limit.unwrap_or(0) as u64),
        "batch-size" => number_or_default(100, recorded.as_u64() == Some(hec.batch_events as u64)),
        "retries" => number_or_default(5, recorded.as_u64() == hec.retries.map(u64::from)),
        "hec-workers" => number_or_default(8, recorded.as_u64() == Some(config.workers.get() as u64)),
        "keep-alive" => number_or_default(25_000_000_000, source.idle_timeout.is_some_and(nanos)),
        "flush-interval" => given("FLUSH_INTERVAL").is_none() || nanos(hec.flush_interval),
        "wanted-events" => text.map(wanted) == Some(config.events),
        "extra-fields" => text.map(pairs).as_ref() == Some(&shape.extra_fields.iter().cloned().collect()),
        "add-app-info" => text.is_some_and(|text| {
            metadata.enabled != text.is_empty() && metadata.settings.fields == app_info(text)
        }),
        "keep-alive-timer" => unused("KEEP_ALIVE_TIMER"),
        "mem-queue-monitor-interval" => nanos(own.interval),
        "refresh-splunk-connection" => unused("REFRESH_SPLUNK_CONNECTION"),
        "memory-ballast-size" => unused("MEMORY_BALLAST_SIZE"),
        "queue-size" => unused("CONSUMER_QUEUE_SIZE"),
        "boltdb-path" => given("BOLTDB_PATH").is_none() || text.map(Into::into) == metadata.settings.file,
        "job-host" => given("JOB_HOST").is_none() || text == Some(&own.host),
        "splunk-logging-index" => text == Some("") || text == own.log_index.as_deref(),
        "splunk-metric-index" => text == Some(own.metric_index.as_deref().unwrap_or_default()),
        "selected-monitoring-metrics" => text.is_some_and(|text| own.metrics == metrics(text)),
        _ => false,
    }
}

fn means(name: &str, text: &str, recorded: &Value) -> bool {
    use settings::Kind;
    match settings::find(name).unwrap().kind {
        Kind::Bool => units::parse_bool(text).is_ok_and(|flag| recorded == flag),
        Kind::Integer { .. } => units::parse_integer(text).is_ok_and(|number| recorded == number),
        Kind::AnyDuration => {
            units::parse_duration_ns(text).is_ok_and(|ns| recorded.as_f64() == Some(ns as f64))
        }
        _ => recorded == text,
    }
}

fn wanted(text: &str) -> EventSet {
    let text = text.replace(['[', ']', '"', ' '], "");
    let find = |name: &str| EventType::ALL.into_iter().find(|event| event.name() == name).unwrap();
    text.split(',').map(find).collect()
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    pairs
        .filter_map(|pair| pair.split_once(':'))
        .map(|(a, b)| (a.trim().to_owned(), b.trim().to_owned()))
        .collect()
}

/// Its default means all, which are more here.
fn metrics(text: &str) -> MetricSet {
    if text == GO_METRICS {
        return MetricSet::ALL;
    }
    let mut metrics = MetricSet::NONE;
    assert!(text.replace(['[', ']', '"'], "").split(',').all(|name| metrics.add(name)), "{text}");
    metrics
}

fn app_info(text: &str) -> Fields {
    match text {
        "AppName" | "[\"AppName\"]" | "NotAppNameReally" => Fields { app_name: true, ..Default::default() },
        "appname,ORGNAME" | "[AppName,OrgName]" => {
            Fields { app_name: true, org_name: true, ..Default::default() }
        }
        _ => Fields::default(),
    }
}

#[test]
fn what_the_tile_exports_by_default_changes_nothing_and_warns_of_nothing() {
    let mut tile: Vec<(&str, &str)> =
        settings::all().filter_map(|setting| Some((setting.name, setting.go_default?))).collect();
    tile.extend([("ADD_TAGS", "false"), ("APP_LIMITS", "0"), ("MISSING_APP_CACHE_INVALIDATE_TTL", "0s")]);
    let (config, warnings) = load(&tile).unwrap();
    let (bare, _) = load(&[]).unwrap();
    assert_eq!(warnings, []);
    let values = |config: &Config| config.show().iter().map(|row| row.value.clone()).collect::<Vec<_>>();
    assert_eq!(values(&config), values(&bare));
}
