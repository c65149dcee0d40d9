//! Settings of running and watching the nozzle.

use std::time::Duration;

use super::{Kind, Setting, Theme};
use crate::nozzle::own::GO_METRICS;

pub(super) static ALL: &[&Setting] = &[
    &ADMIN_ADDRESS,
    &PORT,
    &ADMIN_TOKEN,
    &CONFIG_FILE,
    &LOG_FORMAT,
    &LOG_LEVEL,
    &SPLUNK_LOGGING_INDEX,
    &JOB_HOST,
    &STATUS_MONITOR_INTERVAL,
    &SPLUNK_METRIC_INDEX,
    &SELECTED_MONITORING_METRICS,
];

pub(in super::super) static ADMIN_ADDRESS: Setting =
    Setting::new("ADMIN_ADDRESS", Theme::Operation, Kind::Socket, "127.0.0.1:8080")
        .means("Where the status page, health checks and metrics are served; wins over PORT");

pub(in super::super) static PORT: Setting =
    Setting::new("PORT", Theme::Operation, Kind::Integer { min: 1, max: 65_535 }, "8080").means(
        "As ADMIN_ADDRESS, on all interfaces; Cloud Foundry sets it. Without ADMIN_TOKEN only `/health` and \
         `/ready` answer then",
    );

pub(in super::super) static ADMIN_TOKEN: Setting =
    Setting::new("ADMIN_TOKEN", Theme::Operation, Kind::Text, "a long random text")
        .secret()
        .means("Bearer token that everything but `/health` and `/ready` asks for");

pub(in super::super) static CONFIG_FILE: Setting =
    Setting::new("CONFIG_FILE", Theme::Operation, Kind::File, "/etc/nozzle.toml")
        .means("File of settings, `.toml`, `.yaml`, `.yml` or `.json`; by flag or environment only");

pub(in super::super) static LOG_FORMAT: Setting =
    Setting::new("LOG_FORMAT", Theme::Operation, Kind::Choice(&["auto", "json", "text"]), "text")
        .or("auto")
        .means("Form of the nozzle's own log; `auto` is `text` on a terminal, else `json`");

pub(in super::super) static LOG_LEVEL: Setting =
    Setting::new("LOG_LEVEL", Theme::Operation, Kind::LogFilter, "debug")
        .or("info")
        .means("`error`, `warn`, `info`, `debug`, `trace`, `off`, or a filter such as `info,hyper=debug`");

pub(in super::super) static SPLUNK_LOGGING_INDEX: Setting =
    Setting::new("SPLUNK_LOGGING_INDEX", Theme::Operation, Kind::Text, "nozzle")
        .otherwise("SPLUNK_INDEX")
        .mapped("`off` sends none")
        .means("Index of the nozzle's own log lines, sourcetype `cf:splunknozzle`");

pub(in super::super) static JOB_HOST: Setting =
    Setting::new("JOB_HOST", Theme::Operation, Kind::Text, "nozzle-1")
        .otherwise("the host's name")
        .kept()
        .means("`host` of the nozzle's own log lines in Splunk");

pub(in super::super) static STATUS_MONITOR_INTERVAL: Setting = Setting::new(
    "STATUS_MONITOR_INTERVAL",
    Theme::Operation,
    Kind::Duration { min: Duration::ZERO, max: Duration::from_hours(24) },
    "1m",
)
.or("0s")
.go_default("0s")
.mapped("sends nothing without SPLUNK_METRIC_INDEX")
.means("How often the nozzle's own metrics go to SPLUNK_METRIC_INDEX; 0: never");

pub(in super::super) static SPLUNK_METRIC_INDEX: Setting =
    Setting::new("SPLUNK_METRIC_INDEX", Theme::Operation, Kind::Text, "nozzle_metrics")
        .mapped("without it no metrics are sent")
        .means("Index, of type metrics, of the nozzle's own metrics, sourcetype `cf:nozzlemetrics`");

pub(in super::super) static SELECTED_MONITORING_METRICS: Setting =
    Setting::new("SELECTED_MONITORING_METRICS", Theme::Operation, Kind::List, "nozzle.usage.ram")
        .otherwise("all")
        .go_default(GO_METRICS)
        .mapped("each counts what its name says, and there are more")
        .means("Which of the nozzle's own metrics are sent");
