//! Settings of the Go nozzle that are read, checked and then not used.
//!
//! They are accepted because manifests and the tile carry them. The default of the Go nozzle is
//! accepted in silence: giving it asks for nothing.

use super::{Kind, Setting, Theme};

pub(super) static ALL: &[&Setting] = &[
    &API_USER,
    &API_PASSWORD,
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
