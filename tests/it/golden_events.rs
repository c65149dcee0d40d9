//! Every recorded event of the Go nozzle against ours, as JSON values.

use std::collections::BTreeMap;
use std::sync::Arc;

use firehose_nozzle::clock::UnixNanos;
use firehose_nozzle::hec::batch::Batch;
use firehose_nozzle::nozzle::encode::{Context, Encoder, EncoderSettings, Oversize};
use firehose_nozzle::nozzle::event::Event;
use firehose_nozzle::nozzle::event_type::{EventSet, EventType};
use firehose_nozzle::nozzle::metadata::Fields;
use firehose_nozzle::nozzle::wire::{deprecated, v1, v2};
use serde_json::{Value, json};

use crate::golden;

/// When the frames "arrive": after every time in the data that is not meant to be odd.
const ARRIVED: UnixNanos = UnixNanos(1_700_000_000_000_000_000);
const ARRIVED_TEXT: &str = "1700000000.000000000";

/// Where our event differs from the recorded one on purpose. Each reason stands under this name in
/// docs/differences.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Repair {
    /// The event carries the envelope's time instead of the time of sending.
    EventTime,
    /// A time at or before the epoch, or far in the future, is replaced and kept in `fields`; one in
    /// the first second after the epoch is kept.
    UnusableTime,
    /// Numbers in JSON logs keep their digits.
    BigNumbers,
    /// A metric that is NaN or infinite is delivered.
    NotANumber,
    /// A method or peer type the v1 definition does not know keeps its name.
    UnknownNames,
}

impl Repair {
    fn heading(self) -> &'static str {
        match self {
            Self::EventTime => "Event time",
            Self::UnusableTime => "Unusable times",
            Self::BigNumbers => "Numbers in JSON logs",
            Self::NotANumber => "NaN and infinite container metrics",
            Self::UnknownNames => "Unknown methods and peer types",
        }
    }
}

fn expected_repairs(case: &Value, version: u8) -> Vec<Repair> {
    let mut repairs = Vec::new();
    match case["name"].as_str().unwrap() {
        "log-json-big-int" => repairs.push(Repair::BigNumbers),
        "container-cpu-nan" | "container-cpu-inf" | "v2-container-cpu-nan-0" => {
            repairs.push(Repair::NotANumber)
        }
        "log-ts-zero"
        | "log-ts-neg-small"
        | "log-ts-neg-9-digits"
        | "log-ts-neg-10-digits"
        | "log-ts-max"
        | "log-ts-min"
        | "v2-log-bare-0"
        | "v2-log-negative-timestamp-0"
        | "log-ts-9-digits"
        | "missing-payload-httpstop"
        | "hstart-ts-neg" => repairs.push(Repair::UnusableTime),
        "v2-timer-lower-case-method-0" if version == 2 => repairs.push(Repair::UnknownNames),
        _ => {}
    }
    if case["time_is_send_time"] == true {
        repairs.push(Repair::EventTime);
    }
    repairs
}

fn encoder(config: &Value) -> Encoder {
    let text = |name: &str| config[name].as_str();
    let events: EventSet = match text("EVENTS") {
        None => [EventType::ValueMetric, EventType::CounterEvent, EventType::ContainerMetric]
            .into_iter()
            .collect(),
        Some(list) => {
            let trimmed: Vec<_> = list.split(',').map(str::trim).collect();
            match trimmed[..] {
                [""] => [EventType::LogMessage].into_iter().collect(),
                _ => trimmed
                    .iter()
                    .filter_map(|name| EventType::from_name(name.trim_matches(['[', ']', '"', ' '])))
                    .collect(),
            }
        }
    };
    let info = text("ADD_APP_INFO").unwrap_or_default().to_lowercase();
    Encoder::new(EncoderSettings {
        events,
        names: Fields {
            app_name: info.contains("appname"),
            org_name: info.contains("orgname"),
            org_guid: info.contains("orgguid"),
            space_name: info.contains("spacename"),
            space_guid: info.contains("spaceguid"),
        },
        add_tags: text("ADD_TAGS") == Some("true"),
        extra_fields: extra_fields(text("EXTRA_FIELDS").unwrap_or_default()),
        tracing: (text("ENABLE_EVENT_TRACING") == Some("true"))
            .then(|| text("FIREHOSE_SUBSCRIPTION_ID").unwrap_or("splunk-firehose").to_owned()),
        event_bytes_max: 900 << 10,
        oversize: Oversize::Truncate,
    })
}

fn extra_fields(list: &str) -> Vec<(String, String)> {
    let mut fields = BTreeMap::new();
    for pair in list.split(',').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once(':').unwrap();
        fields.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    fields.into_iter().collect()
}

/// What the metadata cache would hold for the app of a case, rendered; and its index.
fn app(case: &Value) -> (Vec<u8>, String) {
    let expected = &case["expected_hec_event"];
    let mut names = Vec::new();
    for member in
        ["cf_app_name", "cf_space_id", "cf_space_name", "cf_org_id", "cf_org_name", "info_splunk_index"]
    {
        if let Some(value) = expected["event"].get(member) {
            names.extend_from_slice(format!(",{}:{value}", json!(member)).as_bytes());
        }
    }
    (names, expected["index"].as_str().unwrap_or("main").to_owned())
}

/// All events our pipeline gives for one frame, or the kind of damage.
fn events(encoder: &Encoder, case: &Value, frame: &[u8], version: u8) -> Result<Vec<Value>, String> {
    let (names, index) = app(case);
    let app_index = case["expected_hec_event"]["event"]["info_splunk_index"].as_str();
    let context = Context { names: &names, app_index, app_sourcetype: None, arrived: ARRIVED, flow: 0 };
    let mut batch = Batch::new(Arc::from(index), 0);
    let mut write = |event: &Event<'_>| {
        if encoder.wants(event) {
            encoder.encode(event, &context, &mut batch);
        }
    };
    let damage = |kind| format!("{kind:?}");
    if version == 1 {
        let envelope = v1::Envelope::parse(frame).map_err(damage)?;
        write(&Event::from_v1(&envelope).map_err(damage)?);
    } else {
        let plain = deprecated::to_tags(frame).map_err(damage)?;
        let has_deprecated_tags = v2::Envelope::parse(frame).map_err(damage)?.has_deprecated_tags;
        let envelope =
            v2::Envelope::parse(if has_deprecated_tags { &plain } else { frame }).map_err(damage)?;
        if let Some(event) = Event::from_v2(&envelope).map_err(damage)? {
            write(&event);
        }
    }
    let body = serde_json::Deserializer::from_slice(batch.body()).into_iter();
    Ok(body.collect::<Result<_, _>>().expect("each event is one JSON value"))
}

/// Replaces what is random, and undoes the repairs that may be there: what is left must be equal.
fn without_repairs(case: &Value, mut ours: Value, found: &mut Vec<Repair>) -> Value {
    let expected = &case["expected_hec_event"];
    if ours["fields"].get("uuid").is_some() && expected["fields"]["uuid"] == "<nozzle-uuid>" {
        ours["fields"]["uuid"] = json!("<nozzle-uuid>");
        ours["fields"]["nozzle-event-counter"] = json!("<counter>");
    }
    if let Some(original) =
        ours["fields"].as_object_mut().and_then(|fields| fields.remove("original_timestamp"))
    {
        assert!(original.is_string(), "{original}");
        assert_eq!(ours["time"], ARRIVED_TEXT, "an unusable time is replaced by that of arrival");
        found.push(Repair::UnusableTime);
        ours["time"] = expected["time"].clone();
    }
    if expected["time"] == "0.0" && ours["time"] == "0.999999999" {
        found.push(Repair::UnusableTime);
        ours["time"] = expected["time"].clone();
    }
    if expected["time"] == "<now>" {
        found.push(Repair::EventTime);
        ours["time"] = json!("<now>");
    }
    if expected["event"]["method"] == "0" && ours["event"]["method"] != "0" {
        found.push(Repair::UnknownNames);
        for member in ["method", "peer_type"] {
            ours["event"][member] = json!("0");
        }
    }
    if golden::same(&ours["event"]["msg"], &expected["event"]["msg"]) {
        return ours;
    }
    let approximate = |value: &Value| -> Value {
        // As the Go nozzle read numbers: through a double.
        serde_json::from_str(&numbers_as_doubles(value)).unwrap()
    };
    if golden::same(&approximate(&ours["event"]["msg"]), &approximate(&expected["event"]["msg"])) {
        found.push(Repair::BigNumbers);
        ours["event"]["msg"] = expected["event"]["msg"].clone();
    }
    ours
}

fn numbers_as_doubles(value: &Value) -> String {
    match value {
        Value::Number(number) => json!(number.as_f64().unwrap()).to_string(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(numbers_as_doubles).collect::<Vec<_>>().join(","))
        }
        Value::Object(members) => {
            let members =
                members.iter().map(|(key, value)| format!("{}:{}", json!(key), numbers_as_doubles(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        _ => value.to_string(),
    }
}

fn check(case: &Value, version: u8, ours: Result<Vec<Value>, String>) -> Result<(), String> {
    let expected = &case["expected_hec_event"];
    let mut found = Vec::new();
    match (ours, expected) {
        (Err(_), Value::Null) => {}
        (Err(kind), _) => return Err(format!("malformed: {kind}")),
        (Ok(ours), Value::Null) => match ours.as_slice() {
            [] => {}
            [event] if event["event"]["cpu_percentage"].is_string() => found.push(Repair::NotANumber),
            _ => return Err(format!("wanted nothing, wrote {ours:?}")),
        },
        (Ok(ours), _) => {
            let mut nearest = None;
            for event in ours {
                let mut repairs = Vec::new();
                let event = without_repairs(case, event, &mut repairs);
                if golden::same(&event, expected) {
                    found = repairs;
                    nearest = None;
                    break;
                }
                nearest = Some(event);
            }
            if let Some(event) = nearest {
                return Err(format!("wrote   {event}\n wanted {expected}"));
            }
        }
    }
    let mut wanted = expected_repairs(case, version);
    found.sort();
    wanted.sort();
    if found == wanted { Ok(()) } else { Err(format!("differs by {found:?}, not as listed by {wanted:?}")) }
}

fn check_file(name: &str) {
    let mut faults = Vec::new();
    let cases = golden::cases(name);
    for case in &cases {
        let muted = case["name"].as_str().unwrap().starts_with("app-ignored-label")
            && case["expected_hec_event"].is_null();
        if muted {
            // The metadata decides that, before anything is encoded.
            continue;
        }
        let encoder = encoder(&case["config"]);
        for (version, key) in [(1, "envelope_hex"), (2, "v2_hex")] {
            let Some(hex) = case[key].as_str() else { continue };
            if let Err(fault) = check(case, version, events(&encoder, case, &golden::hex(hex), version)) {
                faults.push(format!("{} (v{version}): {fault}", case["name"]));
            }
        }
    }
    assert!(!cases.is_empty());
    assert!(faults.is_empty(), "{name}: {} of {} cases:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

macro_rules! files {
    ($($test:ident $file:literal)+) => {
        $(#[test] fn $test() { check_file(concat!("nozzle/", $file, ".json")); })+
    };
}

files! {
    base "base"
    tags "tags"
    extra_fields_of_every_event "extra-fields"
    tracing "tracing"
    from_v2 "from-v2"
    events_default "events-default"
    events_one "events-one"
    events_json_list "events-json-list"
    events_spaces_only "events-spaces-only"
    apps_tags_tracing "apps-tags-tracing"
    apps_true "apps-true"
    apps_env_index "apps-env-index"
    apps_json_list "apps-json-list"
    apps_label_index_only "apps-label-index-only"
    apps_no_index_source "apps-no-index-source"
    apps_dont_ignore_missing "apps-dont-ignore-missing"
    apps_off "apps-off"
}

#[test]
fn every_repair_is_explained() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/differences.md")).unwrap();
    for repair in [
        Repair::EventTime,
        Repair::UnusableTime,
        Repair::BigNumbers,
        Repair::NotANumber,
        Repair::UnknownNames,
    ] {
        assert!(page.contains(&format!("### {}", repair.heading())), "{}", repair.heading());
    }
}
