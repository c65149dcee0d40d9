//! The app states of the recorded cases: what each must yield.

use std::collections::BTreeSet;

use serde_json::Map;

use super::*;

struct Case {
    name: String,
    id: String,
    calls: Vec<String>,
    /// The metadata keys of the event, and its index; `None` when the app is muted.
    expected: Option<(Map<String, Value>, String)>,
}

struct Recording {
    settings: Option<Settings>,
    default_index: String,
    apps: Vec<Value>,
    cases: Vec<Case>,
}

fn read(file: &str) -> Recording {
    let path = format!("{}/tests/golden/nozzle/{file}", env!("CARGO_MANIFEST_DIR"));
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let config = &cases[0]["config"];
    assert!(cases.iter().all(|case| &case["config"] == config));
    let text = |key: &str, default: &str| config[key].as_str().unwrap_or(default).to_owned();
    let info = text("ADD_APP_INFO", "");
    let settings = (!info.is_empty()).then(|| Settings {
        fields: Fields {
            app_name: info.contains("AppName"),
            org_name: info.contains("OrgName"),
            org_guid: info.contains("OrgGuid"),
            space_name: info.contains("SpaceName"),
            space_guid: info.contains("SpaceGuid"),
        },
        ignore_missing: text("IGNORE_MISSING_APP", "true") == "true",
        index_from_env: text("USE_ENV_VAR_FOR_SPLUNK_INDEX", "true") == "true",
        index_from_label: text("USE_LABELS_FOR_SPLUNK_INDEX", "false") == "true",
        ..settings()
    });
    Recording {
        settings,
        default_index: text("SPLUNK_INDEX", "main"),
        apps: cases.iter().map(|case| case["cf_app"].clone()).filter(Value::is_object).collect(),
        cases: cases.iter().filter_map(case).collect(),
    }
}

fn case(case: &Value) -> Option<Case> {
    let event = case["expected_hec_event"].as_object();
    let id = match event {
        // Not about an app.
        Some(event) => event["event"].get("cf_app_id")?,
        None => &case["cf_app"]["guid"],
    };
    let calls = case["capi_calls"].as_array().unwrap().iter();
    // The Go nozzle's documentation says that the variable mutes, too; its code has forgotten.
    let reads_environment = case["config"]["USE_ENV_VAR_FOR_SPLUNK_INDEX"] != json!("false");
    let is_on = case["config"]["ADD_APP_INFO"].is_string();
    let muted_by_variable = case["cf_app"]["environment_variables"]["F2S_DISABLE_LOGGING"] == json!("true");
    let event = event.filter(|_| !(is_on && reads_environment && muted_by_variable));
    let expected = event.map(|event| {
        let mut keys = event["event"].as_object().unwrap().clone();
        keys.retain(|key, _| key.starts_with("cf_") && key != "cf_app_id");
        (keys, event["index"].as_str().unwrap().to_owned())
    });
    Some(Case {
        name: case["name"].as_str().unwrap().to_owned(),
        id: id.as_str().unwrap().to_owned(),
        calls: calls.map(|call| call.as_str().unwrap().replacen("GET ", "", 1)).collect(),
        expected,
    })
}

fn serve(fake: &Fake, apps: &[Value]) {
    let mut script = fake.script();
    script.spaces.clear();
    script.orgs.clear();
    for app in apps {
        let text = |key: &str| app[key].as_str().unwrap_or_default().to_owned();
        let (guid, space, org) = (text("guid"), text("space_guid"), text("org_guid"));
        if !text("space_name").is_empty() {
            script.spaces.insert(space.clone(), (text("space_name"), org.clone()));
        }
        match app["org_get_status"].as_u64() {
            None | Some(200) => drop(script.orgs.insert(org, text("org_name"))),
            Some(status) => {
                script.broken.insert(format!("/v3/organizations/{org}"), u16::try_from(status).unwrap());
            }
        }
        if let Some(status @ 500..) = app["env_get_status"].as_u64() {
            let path = format!("/v3/apps/{guid}/environment_variables");
            script.broken.insert(path, u16::try_from(status).unwrap());
        }
        match app["app_get_status"].as_u64() {
            Some(404) => continue,
            Some(500) => drop(script.broken.insert(format!("/v3/apps/{guid}"), 500)),
            _ => {}
        }
        let app = FakeApp {
            name: text("name"),
            space,
            labels: app["labels"].clone(),
            env: app["environment_variables"].clone(),
            unlisted: app["in_app_list"] == json!(false),
        };
        script.apps.insert(guid, app);
    }
}

/// What an event would carry: metadata keys and index; `None` when it would be dropped.
fn outcome(lookup: &Lookup, default_index: &str) -> Option<(Map<String, Value>, String)> {
    match lookup {
        Lookup::Known(app) if app.muted => None,
        Lookup::Known(app) => {
            let mut keys = fragment(app).as_object().unwrap().clone();
            keys.remove("");
            Some((keys, app.index.as_deref().unwrap_or(default_index).to_owned()))
        }
        Lookup::Missing | Lookup::Unavailable => Some((Map::new(), default_index.to_owned())),
        Lookup::Pending(_) => panic!("not settled"),
    }
}

async fn check(file: &str, include: bool) {
    let recording = read(file);
    assert_eq!(recording.cases.len(), 38, "{file}: all but the one that is not about an app");
    let Some(settings) = recording.settings else {
        for case in recording.cases {
            let outcome = outcome(&Metadata::off().lookup(&case.id), &recording.default_index);
            assert_eq!(outcome, case.expected, "{file}: {}", case.name);
            assert_eq!(case.calls, [""; 0], "{file}: {}", case.name);
        }
        return;
    };
    let rig = Rig::start(settings, |fake| {
        fake.script().include = include;
        serve(fake, &recording.apps);
    })
    .await;
    rig.listed().await;
    let mut expected_calls = BTreeSet::new();
    for case in recording.cases {
        let lookup = rig.settled(&case.id).await;
        let outcome = outcome(&lookup, &recording.default_index);
        assert_eq!(outcome, case.expected, "{file}: {} {lookup:?}", case.name);
        expected_calls.extend(case.calls.into_iter().filter(|call| call.starts_with("/v3/apps/")));
    }
    let calls = rig.fake.script().calls.clone();
    let paths: BTreeSet<_> = calls.iter().map(|call| call.split('?').next().unwrap().to_owned()).collect();
    let unasked: Vec<_> = expected_calls.difference(&paths).collect();
    assert_eq!(unasked, [""; 0], "{file}: ids are to be asked for as they are");
}

macro_rules! recordings {
    ($($name:ident: $file:literal,)*) => {$(
        #[tokio::test]
        async fn $name() {
            check($file, true).await;
            check($file, false).await;
        }
    )*};
}

recordings! {
    dont_ignore_missing: "apps-dont-ignore-missing.json",
    env_index: "apps-env-index.json",
    json_list: "apps-json-list.json",
    label_index_only: "apps-label-index-only.json",
    no_index_source: "apps-no-index-source.json",
    off: "apps-off.json",
    tags_tracing: "apps-tags-tracing.json",
    no_fields: "apps-true.json",
}
