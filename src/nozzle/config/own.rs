//! The nozzle's own events, and what the platform says of the nozzle as an app.

use std::time::Duration;

use serde::Deserialize;

use super::fault::{Warning, cut};
use super::layers::Inputs;
use super::names;
use super::parse;
use super::reader::{Parsed, Reader};
use super::settings::Setting;
use super::settings::operation::{
    JOB_HOST, SELECTED_MONITORING_METRICS, SPLUNK_LOGGING_INDEX, SPLUNK_METRIC_INDEX, STATUS_MONITOR_INTERVAL,
};
use crate::nozzle::own::MetricSet;

/// Measuring more often than this tells nothing more.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// The value of SPLUNK_LOGGING_INDEX that is no index.
const OFF: &str = "off";

/// What becomes of the nozzle's own log and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnConfig {
    /// Index of log lines; `None`: they are not sent.
    pub log_index: Option<String>,
    /// Index of metrics; `None`: they are not sent.
    pub metric_index: Option<String>,
    /// How often metrics are sent.
    pub interval: Duration,
    /// Which metrics are sent.
    pub metrics: MetricSet,
    /// The host of log lines.
    pub host: String,
    /// What the platform allows this process, if it says so.
    pub memory_bytes: Option<u64>,
}

impl OwnConfig {
    /// `default_index` is where log lines go unless an index is given for them.
    pub(super) fn read(reader: &mut Reader, default_index: Option<&str>) -> Option<Self> {
        let log_index = reader.optional(&SPLUNK_LOGGING_INDEX, parse::word);
        let metric_index = reader.optional(&SPLUNK_METRIC_INDEX, parse::word);
        let interval = reader.value(&STATUS_MONITOR_INTERVAL, parse::duration);
        let metrics = read_metrics(reader);
        let host = reader.optional(&JOB_HOST, parse::text);
        let (log_index, metric_index, metrics) = (log_index?, metric_index?, metrics?);
        let mut interval = interval?;
        if log_index.is_none() {
            reader.applies(&SPLUNK_LOGGING_INDEX, default_index.unwrap_or_default());
        }
        if !interval.is_zero() && interval < INTERVAL_MIN {
            reader.warn(&STATUS_MONITOR_INTERVAL, "is shorter than metrics are worth; 1s applies");
            reader.applies(&STATUS_MONITOR_INTERVAL, "1s");
            interval = INTERVAL_MIN;
        }
        if !interval.is_zero() && metric_index.is_none() {
            reader.warn(
                &STATUS_MONITOR_INTERVAL,
                "has no effect without SPLUNK_METRIC_INDEX, an index of type metrics",
            );
        }
        let log_index = log_index.or_else(|| default_index.map(str::to_owned));
        let host = host?.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
        Some(Self {
            log_index: log_index.filter(|index| index != OFF),
            metric_index: metric_index.filter(|_| !interval.is_zero() && metrics != MetricSet::NONE),
            interval,
            metrics,
            host,
            memory_bytes: None,
        })
    }
}

/// Names that are none are said, and nothing else: the Go nozzle runs with them.
fn read_metrics(reader: &mut Reader) -> Option<MetricSet> {
    let names = reader.optional(&SELECTED_MONITORING_METRICS, |_: &Setting, text: &str| list(text))?;
    let Some(names) = names else { return Some(MetricSet::ALL) };
    let mut metrics = MetricSet::NONE;
    for name in names {
        if !metrics.add(&name) {
            let nearest = names::nearest(&name, MetricSet::names());
            let hint = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
            reader.warn(&SELECTED_MONITORING_METRICS, format!("{} is no metric{hint}", cut(&name)));
        }
    }
    if metrics == MetricSet::NONE {
        reader.warn(&SELECTED_MONITORING_METRICS, "names no metric: none is sent");
    }
    Some(metrics)
}

/// A comma-separated list or a JSON array of strings.
fn list(text: &str) -> Parsed<Vec<String>> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text)
            .map_err(|_| format!("{}, or a JSON array of strings", SELECTED_MONITORING_METRICS.kind.form()));
    }
    Ok(text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect())
}

/// What the platform says of the nozzle as one of its apps. Nothing elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// The app's GUID.
    pub app_guid: Option<String>,
    /// Which of its instances this is.
    pub index: Option<String>,
    /// The memory it may use.
    pub memory_bytes: Option<u64>,
}

/// The part of VCAP_APPLICATION that is of use.
#[derive(Default, Deserialize)]
struct VcapApplication {
    application_id: Option<String>,
    instance_index: Option<u64>,
    limits: Option<Limits>,
}

#[derive(Deserialize)]
struct Limits {
    /// In MiB.
    mem: Option<u64>,
}

impl Instance {
    pub(super) fn read(inputs: &Inputs) -> (Self, Option<Warning>) {
        let text = |name: &str| inputs.variable(name).and_then(|value| value.to_str());
        let parsed = text(VCAP_APPLICATION).map(serde_json::from_str::<VcapApplication>);
        let (application, warning) = match parsed {
            None => (VcapApplication::default(), None),
            Some(Ok(application)) => (application, None),
            Some(Err(error)) => (VcapApplication::default(), Some(not_parsed(&error))),
        };
        let index = text("INSTANCE_INDEX").or_else(|| text("CF_INSTANCE_INDEX")).map(str::to_owned);
        let instance = Self {
            app_guid: application.application_id,
            index: index.or_else(|| application.instance_index.map(|index| index.to_string())),
            memory_bytes: application.limits.and_then(|limits| limits.mem?.checked_mul(1 << 20)),
        };
        (instance, warning)
    }
}

const VCAP_APPLICATION: &str = "VCAP_APPLICATION";

fn not_parsed(error: &serde_json::Error) -> Warning {
    let message =
        format!("cannot be parsed (column {}): the nozzle does not know its own lines", error.column());
    Warning { name: VCAP_APPLICATION.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::super::tests::load;
    use super::*;

    fn own(more: &[(&str, &str)]) -> (OwnConfig, Vec<String>) {
        let (config, warnings) = load(more).unwrap();
        (config.own, warnings.iter().map(Warning::to_string).collect())
    }

    fn shown(config: &Config, name: &str) -> String {
        config.show().iter().find(|row| row.name == name).unwrap().value.clone()
    }

    #[test]
    fn log_lines_go_to_the_index_of_events_by_default() {
        for (given, index, value) in [
            (None, Some("main"), "main"),
            (Some("nozzle"), Some("nozzle"), "nozzle"),
            (Some("off"), None, "off"),
        ] {
            let given: Vec<_> = given.map(|given| ("SPLUNK_LOGGING_INDEX", given)).into_iter().collect();
            let (config, warnings) = load(&given).unwrap();
            assert_eq!((config.own.log_index.as_deref(), warnings.len()), (index, 0));
            assert_eq!(shown(&config, "SPLUNK_LOGGING_INDEX"), value);
        }
        assert!(!own(&[]).0.host.is_empty(), "the host has a name");
        assert_eq!(own(&[("JOB_HOST", "nozzle-1")]).0.host, "nozzle-1");
        let faults = load(&[("SPLUNK_LOGGING_INDEX", "  ")]).unwrap_err().to_string();
        assert!(
            faults.contains("SPLUNK_LOGGING_INDEX (environment): \"  \" is not more than spaces"),
            "{faults}"
        );
    }

    #[test]
    fn metrics_need_an_interval_and_an_index() {
        let index = ("SPLUNK_METRIC_INDEX", "metrics");
        assert_eq!(own(&[]).0.metric_index, None);
        assert_eq!(own(&[index]), own(&[index, ("STATUS_MONITOR_INTERVAL", "0s")]));
        assert_eq!(own(&[index]).0.metric_index, None);
        let (on, warnings) = own(&[index, ("STATUS_MONITOR_INTERVAL", "1m")]);
        assert_eq!((on.metric_index.as_deref(), on.interval), (Some("metrics"), Duration::from_mins(1)));
        assert_eq!((on.metrics, warnings.len()), (MetricSet::ALL, 0));
        let (off, warnings) = own(&[("STATUS_MONITOR_INTERVAL", "1m")]);
        assert_eq!(off.metric_index, None);
        let expected =
            "STATUS_MONITOR_INTERVAL: has no effect without SPLUNK_METRIC_INDEX, an index of type metrics";
        assert_eq!(warnings, [expected]);
        let (often, warnings) = own(&[index, ("STATUS_MONITOR_INTERVAL", "10ms")]);
        assert_eq!(often.interval, INTERVAL_MIN);
        assert_eq!(warnings, ["STATUS_MONITOR_INTERVAL: is shorter than metrics are worth; 1s applies"]);
        assert!(load(&[index, ("STATUS_MONITOR_INTERVAL", "-1s")]).is_err());
    }

    #[test]
    fn metrics_are_chosen_by_name() {
        let chosen = |text: &str| {
            let index = ("SPLUNK_METRIC_INDEX", "metrics");
            own(&[index, ("STATUS_MONITOR_INTERVAL", "1m"), ("SELECTED_MONITORING_METRICS", text)])
        };
        let set = |names: &[&str]| {
            let mut set = MetricSet::NONE;
            assert!(names.iter().all(|name| set.add(name)));
            set
        };
        let two = set(&["nozzle.usage.ram", "splunk.events.sent.count"]);
        for text in [
            "nozzle.usage.ram,splunk.events.sent.count",
            " splunk.events.sent.count , nozzle.usage.ram,",
            r#"["nozzle.usage.ram", "splunk.events.sent.count"]"#,
        ] {
            assert_eq!((chosen(text).0.metrics, chosen(text).1), (two, Vec::new()), "{text}");
        }
        let (own, warnings) = chosen("nozzle.usage.ram,nozzle.usage.rma,bogus");
        assert_eq!(own.metrics, set(&["nozzle.usage.ram"]));
        assert_eq!(
            warnings,
            [
                "SELECTED_MONITORING_METRICS: \"nozzle.usage.rma\" is no metric; did you mean nozzle.usage.ram?",
                "SELECTED_MONITORING_METRICS: \"bogus\" is no metric",
            ]
        );
        let (own, warnings) = chosen("bogus");
        assert_eq!((own.metric_index, warnings.len()), (None, 2));
        assert_eq!(warnings[1], "SELECTED_MONITORING_METRICS: names no metric: none is sent");
        let wrong = load(&[("SELECTED_MONITORING_METRICS", "[1]")]).unwrap_err().to_string();
        assert!(wrong.contains("is not a list of names, separated by commas, or a JSON array"), "{wrong}");
    }

    #[test]
    fn the_platform_says_which_app_this_is() {
        let application = r#"{"application_id":"0e0e","instance_index":4,"limits":{"mem":512},"uris":["x"]}"#;
        let instance = |more: &[(&str, &str)]| load(more).unwrap().0.instance;
        assert_eq!(instance(&[]), Instance::default());
        let known = instance(&[("VCAP_APPLICATION", application)]);
        assert_eq!((known.app_guid.as_deref(), known.index.as_deref()), (Some("0e0e"), Some("4")));
        assert_eq!(known.memory_bytes, Some(512 << 20));
        let mut more = vec![("CF_INSTANCE_INDEX", "5"), ("VCAP_APPLICATION", application)];
        assert_eq!(instance(&more).index.as_deref(), Some("5"));
        more.push(("INSTANCE_INDEX", "6"));
        assert_eq!(instance(&more).index.as_deref(), Some("6"));
        let (config, warnings) = load(&[("VCAP_APPLICATION", "{")]).unwrap();
        assert_eq!(config.instance, Instance::default());
        assert!(warnings[0].to_string().starts_with("VCAP_APPLICATION: cannot be parsed"), "{warnings:?}");
    }
}
