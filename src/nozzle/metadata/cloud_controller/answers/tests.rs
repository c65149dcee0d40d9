//! Answers as the API gives them, and as it should not.

use serde_json::{from_value, json};

use super::*;

#[test]
fn an_app_with_nothing_but_a_guid_is_still_an_app() {
    for (name, nothing) in [("null", json!(null)), ("absent", json!({}))] {
        let app: AppAnswer = from_value(json!({
            "guid": "a", "name": null, "relationships": {"space": nothing}, "metadata": nothing,
            "included": nothing,
        }))
        .unwrap();
        assert_eq!(app.app.facts(), Facts::default(), "{name}");
    }
}

#[test]
fn a_name_is_text_of_a_bounded_length_or_nothing() {
    let long = "\u{1f600}".repeat(100 << 10);
    let quoted = "a \"b\" \\ \n\u{0}\u{1f600}";
    for (name, expected) in [
        (json!(quoted), quoted),
        (json!("a".repeat(1025)), &*"a".repeat(1024)),
        (json!(long), &long[..1024]),
        (json!(format!("a{long}")), &*format!("a{}", &long[..1020])),
        (json!(7), ""),
        (json!(-7.5), ""),
        (json!(-7), ""),
        (json!(true), ""),
        (json!([["a"], {}]), ""),
        (json!({"a": ["b"]}), ""),
        (json!(null), ""),
    ] {
        let page = json!({"resources": [{"guid": name, "name": name}, {"guid": "a", "name": "next"}]});
        let page: Page<AppResource> = serde_json::from_str(&page.to_string()).unwrap();
        let found: Vec<_> = page.resources.iter().map(|app| (&*app.guid, &*app.name)).collect();
        assert_eq!(found, [(expected, expected), ("a", "next")]);
    }
}

#[test]
fn labels_count_by_their_exact_names_and_values() {
    let cases = [
        (json!({"SPLUNK_INDEX": "i"}), (Some("i"), false)),
        (json!({"SPLUNK_INDEX": ""}), (Some(""), false)),
        (json!({"SPLUNK_INDEX": null, "F2S_DISABLE_LOGGING": null}), (None, false)),
        (json!({"splunk_index": "i", "f2s_disable_logging": "true"}), (None, false)),
        (json!({"F2S_DISABLE_LOGGING": "true"}), (None, true)),
        (json!({"F2S_DISABLE_LOGGING": "True"}), (None, false)),
        (json!({"F2S_DISABLE_LOGGING": true}), (None, false)),
        (json!(null), (None, false)),
    ];
    for (labels, (index, muted)) in cases {
        let app: AppResource = from_value(json!({"guid": "a", "metadata": {"labels": labels}})).unwrap();
        let found = app.facts().labels;
        assert_eq!((found.index.as_deref(), found.muted), (index, muted), "{labels}");
    }
    for (label, expected) in
        [(json!("nginx"), Some("nginx")), (json!(" "), None), (json!("a\nb"), None), (json!(7), None)]
    {
        let labels = json!({"labels": {"SPLUNK_SOURCETYPE": label}});
        let app: AppResource = from_value(json!({"guid": "a", "metadata": labels})).unwrap();
        assert_eq!(app.facts().labels.sourcetype.as_deref(), expected, "{label}");
    }
}

#[test]
fn a_resource_that_was_never_changed_is_as_old_as_it_is() {
    for (dates, expected) in [
        (
            json!({"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z"}),
            Some("2026-01-02T00:00:00Z"),
        ),
        (json!({"created_at": "2026-01-01T00:00:00Z", "updated_at": null}), Some("2026-01-01T00:00:00Z")),
        (json!({"updated_at": "soon"}), None),
        (json!({}), None),
    ] {
        let resource: AnyResource = from_value(dates).unwrap();
        assert_eq!(resource.updated_at().map(|moment| moment.to_string()).as_deref(), expected);
    }
}

#[test]
fn the_environment_gives_the_index_as_text_and_mutes() {
    let cases = [
        (json!({"var": {"SPLUNK_INDEX": "i"}}), Some("i"), false),
        (json!({"var": {"SPLUNK_INDEX": " "}}), Some(" "), false),
        (json!({"var": {"SPLUNK_INDEX": 7}}), Some("7"), false),
        (json!({"var": {"SPLUNK_INDEX": null}}), None, false),
        (json!({"var": {"splunk_index": "i", "f2s_disable_logging": "true"}}), None, false),
        (json!({"var": {"SPLUNK_INDEX": "i", "F2S_DISABLE_LOGGING": "true"}}), Some("i"), true),
        (json!({"var": {"F2S_DISABLE_LOGGING": true}}), None, true),
        (json!({"var": {"F2S_DISABLE_LOGGING": "True"}}), None, false),
        (json!({"var": null}), None, false),
        (json!({}), None, false),
    ];
    for (body, index, muted) in cases {
        let read = from_value::<Variables>(body.clone()).unwrap().read();
        let expected = Environment { index: index.map(Arc::from), muted };
        assert_eq!(read, Read { environment: expected, index_refused: false }, "{body}");
    }
    let long: Variables = from_value(json!({"var": {"SPLUNK_INDEX": "i".repeat(256)}})).unwrap();
    assert_eq!(long.read(), Read { index_refused: true, ..Read::default() });
}
