//! The members of each event type, under the names the Go nozzle gave them.

use std::ops::Range;

use crate::nozzle::encode::{json, message};
use crate::nozzle::event::{AppId, Body, Container, Forwarded, HttpStartStop, Symbol, uuid};
use crate::nozzle::event_type::EventType;
use crate::nozzle::wire::v1;

/// The end of `source`, and `"sourcetype":"…"`
pub(super) fn sourcetype(event_type: EventType) -> &'static [u8] {
    match event_type {
        EventType::HttpStart => b"\",\"sourcetype\":\"cf:httpstart\"",
        EventType::HttpStop => b"\",\"sourcetype\":\"cf:httpstop\"",
        EventType::HttpStartStop => b"\",\"sourcetype\":\"cf:httpstartstop\"",
        EventType::LogMessage => b"\",\"sourcetype\":\"cf:logmessage\"",
        EventType::ValueMetric => b"\",\"sourcetype\":\"cf:valuemetric\"",
        EventType::CounterEvent => b"\",\"sourcetype\":\"cf:counterevent\"",
        EventType::Error => b"\",\"sourcetype\":\"cf:error\"",
        EventType::ContainerMetric => b"\",\"sourcetype\":\"cf:containermetric\"",
        EventType::Event => b"\",\"sourcetype\":\"cf:event\"",
        EventType::Timer => b"\",\"sourcetype\":\"cf:timer\"",
    }
}

/// The end of `fields`, and the event up to the text of `origin`.
pub(super) fn event_type(event_type: EventType) -> &'static [u8] {
    match event_type {
        EventType::HttpStart => b"},\"event\":{\"event_type\":\"HttpStart\",\"origin\":\"",
        EventType::HttpStop => b"},\"event\":{\"event_type\":\"HttpStop\",\"origin\":\"",
        EventType::HttpStartStop => b"},\"event\":{\"event_type\":\"HttpStartStop\",\"origin\":\"",
        EventType::LogMessage => b"},\"event\":{\"event_type\":\"LogMessage\",\"origin\":\"",
        EventType::ValueMetric => b"},\"event\":{\"event_type\":\"ValueMetric\",\"origin\":\"",
        EventType::CounterEvent => b"},\"event\":{\"event_type\":\"CounterEvent\",\"origin\":\"",
        EventType::Error => b"},\"event\":{\"event_type\":\"Error\",\"origin\":\"",
        EventType::ContainerMetric => b"},\"event\":{\"event_type\":\"ContainerMetric\",\"origin\":\"",
        EventType::Event => b"},\"event\":{\"event_type\":\"Event\",\"origin\":\"",
        EventType::Timer => b"},\"event\":{\"event_type\":\"Timer\",\"origin\":\"",
    }
}

/// Whether events of this type belong to an app and carry its names.
pub(super) fn has_app(event_type: EventType) -> bool {
    matches!(
        event_type,
        EventType::LogMessage
            | EventType::HttpStartStop
            | EventType::ContainerMetric
            | EventType::HttpStart
            | EventType::HttpStop
    )
}

/// The part of an event that can be long: its text.
pub(super) fn text<'a>(body: &Body<'a>) -> &'a [u8] {
    match body {
        Body::Log { payload, .. } => payload,
        Body::Error { message, .. } => message,
        Body::PlatformEvent { body, .. } => body,
        Body::HttpStartStop(http) => http.uri,
        Body::HttpStart(http) => http.uri,
        Body::HttpStop(http) => http.uri,
        Body::Value { name, .. } | Body::Counter { name, .. } | Body::Timer { name, .. } => name,
        Body::Container(_) | Body::Gauge { .. } => &[],
    }
}

/// Whether the text makes sense in parts: names and URIs do not.
pub(super) fn is_divisible(body: &Body<'_>) -> bool {
    matches!(body, Body::Log { .. } | Body::Error { .. } | Body::PlatformEvent { .. })
}

/// The same event with a part of its text.
pub(super) fn with_text(mut body: Body<'_>, part: Range<usize>) -> Body<'_> {
    let cut = |text: &mut &[u8]| *text = text.get(part).unwrap_or(text);
    match &mut body {
        Body::Log { payload, .. } => cut(payload),
        Body::Error { message, .. } => cut(message),
        Body::PlatformEvent { body, .. } => cut(body),
        Body::HttpStartStop(http) => cut(&mut http.uri),
        Body::HttpStart(http) => cut(&mut http.uri),
        Body::HttpStop(http) => cut(&mut http.uri),
        Body::Value { name, .. } | Body::Counter { name, .. } | Body::Timer { name, .. } => cut(name),
        Body::Container(_) | Body::Gauge { .. } => {}
    }
    body
}

/// Writes the members of one event type, each with a comma before it.
#[inline]
pub(super) fn body(out: &mut Vec<u8>, app: &AppId<'_>, body: &Body<'_>) {
    match *body {
        Body::Log { payload, message_type, timestamp, source_type, source_instance } => {
            out.extend_from_slice(b",\"cf_app_id\":\"");
            json::contents(out, app.text());
            out.extend_from_slice(match message_type {
                1 => b"\",\"message_type\":\"OUT\"",
                2 => b"\",\"message_type\":\"ERR\"",
                _ => b"\",\"message_type\":",
            });
            if !matches!(message_type, 1 | 2) {
                number_as_text(out, message_type);
            }
            if !payload.is_empty() {
                out.extend_from_slice(b",\"msg\":");
                message::write(out, payload);
            }
            out.extend_from_slice(b",\"source_instance\":\"");
            json::contents(out, source_instance);
            out.extend_from_slice(b"\",\"source_type\":\"");
            json::contents(out, source_type);
            integer(out, b"\",\"timestamp\":", timestamp);
        }
        Body::HttpStartStop(http) => http_start_stop(out, app, &http),
        Body::HttpStart(http) => http_start(out, app, &http),
        Body::HttpStop(http) => http_stop(out, app, &http),
        Body::Timer { name, start, stop, source_id, instance_id } => {
            string(out, b",\"name\":", name);
            string(out, b",\"source_id\":", source_id);
            string(out, b",\"instance_id\":", instance_id);
            duration(out, start, stop);
        }
        Body::Value { name, unit, value } => {
            string(out, b",\"name\":", name);
            string(out, b",\"unit\":", unit);
            out.extend_from_slice(b",\"value\":");
            json::double(out, value);
        }
        Body::Counter { name, delta, total } => {
            string(out, b",\"name\":", name);
            integer(out, b",\"delta\":", delta);
            integer(out, b",\"total\":", total);
        }
        Body::Error { source, code, message } => {
            string(out, b",\"source\":", source);
            integer(out, b",\"code\":", code);
            if !message.is_empty() {
                out.extend_from_slice(b",\"msg\":");
                message::write(out, message);
            }
        }
        Body::Container(metric) => container(out, app, &metric),
        Body::PlatformEvent { title, body } => {
            string(out, b",\"title\":", title);
            string(out, b",\"body\":", body);
        }
        // Written metric by metric, each as one of the above.
        Body::Gauge { .. } => {}
    }
}

fn http_start_stop(out: &mut Vec<u8>, app: &AppId<'_>, http: &HttpStartStop<'_>) {
    string(out, b",\"cf_app_id\":", app.text());
    integer(out, b",\"content_length\":", http.content_length);
    duration(out, http.start, http.stop);
    string(out, b",\"instance_id\":", http.instance_id);
    integer(out, b",\"instance_index\":", http.instance_index);
    symbol(out, b",\"method\":", http.method, method_name);
    symbol(out, b",\"peer_type\":", http.peer_type, peer_name);
    string(out, b",\"remote_addr\":", http.remote_address);
    string(out, b",\"request_id\":", http.request_id.text());
    integer(out, b",\"status_code\":", http.status_code);
    string(out, b",\"uri\":", http.uri);
    string(out, b",\"user_agent\":", http.user_agent);
    forwarded(out, http.forwarded);
}

fn forwarded(out: &mut Vec<u8>, addresses: Forwarded<'_>) {
    out.extend_from_slice(b",\"forwarded\":");
    let start = out.len();
    let mut each = |address: &[u8]| {
        out.push(if out.len() == start { b'[' } else { b',' });
        json::string(out, address);
    };
    match addresses {
        Forwarded::Fields(payload) => v1::forwarded(payload).for_each(&mut each),
        Forwarded::Lines(lines) => {
            lines.into_iter().flat_map(|lines| lines.split(|byte| *byte == b'\n')).for_each(&mut each);
        }
    }
    if out.len() == start {
        out.extend_from_slice(b"null");
    } else {
        out.push(b']');
    }
}

fn http_start(out: &mut Vec<u8>, app: &AppId<'_>, http: &v1::HttpStart<'_>) {
    string(out, b",\"cf_app_id\":", app.text());
    string(out, b",\"instance_id\":", http.instance_id);
    integer(out, b",\"instance_index\":", http.instance_index);
    symbol(out, b",\"method\":", Symbol::Number(http.method), method_name);
    request_id(out, b",\"parent_request_id\":", http.parent_request_id);
    string(out, b",\"remote_addr\":", http.remote_address);
    request_id(out, b",\"request_id\":", http.request_id);
    integer(out, b",\"timestamp\":", http.timestamp);
    string(out, b",\"uri\":", http.uri);
    string(out, b",\"user_agent\":", http.user_agent);
}

fn http_stop(out: &mut Vec<u8>, app: &AppId<'_>, http: &v1::HttpStop<'_>) {
    string(out, b",\"cf_app_id\":", app.text());
    integer(out, b",\"content_length\":", http.content_length);
    symbol(out, b",\"peer_type\":", Symbol::Number(http.peer_type), peer_name);
    request_id(out, b",\"request_id\":", http.request_id);
    integer(out, b",\"status_code\":", http.status_code);
    integer(out, b",\"timestamp\":", http.timestamp);
    string(out, b",\"uri\":", http.uri);
}

fn container(out: &mut Vec<u8>, app: &AppId<'_>, metric: &Container) {
    string(out, b",\"cf_app_id\":", app.text());
    out.extend_from_slice(b",\"cpu_percentage\":");
    json::double(out, metric.cpu_percentage);
    integer(out, b",\"disk_bytes\":", metric.disk_bytes);
    integer(out, b",\"disk_bytes_quota\":", metric.disk_bytes_quota);
    integer(out, b",\"instance_index\":", metric.instance_index);
    integer(out, b",\"memory_bytes\":", metric.memory_bytes);
    integer(out, b",\"memory_bytes_quota\":", metric.memory_bytes_quota);
}

/// Start, stop, and what lies between in whole milliseconds, cut off toward zero.
fn duration(out: &mut Vec<u8>, start: i64, stop: i64) {
    integer(out, b",\"start_timestamp\":", start);
    integer(out, b",\"stop_timestamp\":", stop);
    integer(out, b",\"duration_ms\":", stop.wrapping_sub(start) / 1_000_000);
}

#[inline]
fn string(out: &mut Vec<u8>, member: &[u8], value: &[u8]) {
    out.extend_from_slice(member);
    json::string(out, value);
}

#[inline]
fn integer(out: &mut Vec<u8>, member: &[u8], value: impl itoa::Integer) {
    out.extend_from_slice(member);
    json::integer(out, value);
}

fn number_as_text(out: &mut Vec<u8>, number: i32) {
    out.push(b'"');
    json::integer(out, number);
    out.push(b'"');
}

fn request_id(out: &mut Vec<u8>, member: &[u8], id: Option<v1::Uuid>) {
    match id {
        Some(id) => string(out, member, &uuid::format(id.bytes())),
        None => string(out, member, &[]),
    }
}

/// A number the definition does not know is shown as it is.
fn symbol(out: &mut Vec<u8>, member: &[u8], symbol: Symbol<'_>, name: fn(i32) -> Option<&'static str>) {
    out.extend_from_slice(member);
    match symbol {
        Symbol::Text(text) => json::string(out, text),
        Symbol::Number(number) => match name(number) {
            Some(name) => json::string(out, name.as_bytes()),
            None => number_as_text(out, number),
        },
    }
}

fn peer_name(number: i32) -> Option<&'static str> {
    match number {
        1 => Some("Client"),
        2 => Some("Server"),
        _ => None,
    }
}

/// The HTTP methods of v1, in the order of their numbers, from 1.
const METHODS: [&str; 44] = [
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "HEAD",
    "ACL",
    "BASELINE_CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DEBUG",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SHOWMETHOD",
    "SPACEJUMP",
    "TEXTSEARCH",
    "TRACE",
    "TRACK",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION_CONTROL",
];

fn method_name(number: i32) -> Option<&'static str> {
    METHODS.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
}
