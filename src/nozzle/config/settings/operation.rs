//! Settings of running and watching the nozzle.

use super::{Kind, Setting, Theme};

pub(super) static ALL: &[&Setting] =
    &[&ADMIN_ADDRESS, &PORT, &ADMIN_TOKEN, &CONFIG_FILE, &LOG_FORMAT, &LOG_LEVEL];

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
