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
