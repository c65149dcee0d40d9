//! The shapes of Cloud Controller's v3 answers, as far as they are needed.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::nozzle::metadata::Settings;
use crate::nozzle::metadata::app::{Facts, is_index};

/// The label and environment variable that choose an app's index.
const INDEX_KEY: &str = "SPLUNK_INDEX";
/// The label that mutes an app when its value is exactly `true`.
const MUTE_KEY: &str = "F2S_DISABLE_LOGGING";
/// What is kept of the API's own words.
const REASON_CHARS_MAX: usize = 200;

/// An app that was asked for alone, with what was included.
#[derive(Debug, Deserialize)]
pub(in super::super) struct AppAnswer {
    #[serde(flatten)]
    pub(in super::super) app: AppResource,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(in super::super) included: Included,
}

/// A page of the list of apps.
#[derive(Debug, Deserialize)]
pub(in super::super) struct AppPage {
    pub(in super::super) resources: Vec<AppResource>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(in super::super) included: Included,
    #[serde(default, deserialize_with = "null_as_default")]
    pagination: Pagination,
}

impl AppPage {
    /// Where the next page is, if there is one.
    pub(in super::super) fn next(&self) -> Option<&str> {
        self.pagination.next.as_ref().and_then(|link| link.href.as_deref())
    }
}

#[derive(Debug, Default, Deserialize)]
struct Pagination {
    next: Option<Link>,
}

#[derive(Debug, Deserialize)]
struct Link {
    href: Option<String>,
}

/// Spaces and orgs that came along with apps.
#[derive(Debug, Default, Deserialize)]
pub(in super::super) struct Included {
    #[serde(default, deserialize_with = "null_as_default")]
    pub(in super::super) spaces: Vec<SpaceResource>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(in super::super) organizations: Vec<OrgResource>,
}

#[derive(Debug, Deserialize)]
pub(in super::super) struct AppResource {
    pub(in super::super) guid: Box<str>,
    #[serde(default, deserialize_with = "null_as_default")]
    name: Box<str>,
    #[serde(default, deserialize_with = "null_as_default")]
    relationships: AppRelationships,
    #[serde(default, deserialize_with = "null_as_default")]
    metadata: ResourceMetadata,
}

impl AppResource {
    /// What the app says about itself; its space's name and org are still to be found.
    pub(in super::super) fn facts(&self, settings: &Settings) -> Facts {
        let label = |key| self.metadata.labels.get(key).and_then(Value::as_str);
        let index = label(INDEX_KEY).filter(|_| settings.index_from_label);
        Facts {
            name: Arc::from(&*self.name),
            space_guid: self.relationships.space.guid(),
            label_index: index.filter(|index| is_index(index)).map(Arc::from),
            label_refused: index.is_some_and(|index| !is_index(index)),
            muted: label(MUTE_KEY) == Some("true"),
            ..Facts::default()
        }
    }
}

#[derive(Debug, Default, Deserialize)]
struct AppRelationships {
    #[serde(default, deserialize_with = "null_as_default")]
    space: Relationship,
}

#[derive(Debug, Default, Deserialize)]
struct Relationship {
    data: Option<Reference>,
}

impl Relationship {
    fn guid(&self) -> Arc<str> {
        self.data.as_ref().map(|reference| Arc::from(&*reference.guid)).unwrap_or_default()
    }
}

#[derive(Debug, Deserialize)]
struct Reference {
    guid: Box<str>,
}

#[derive(Debug, Default, Deserialize)]
struct ResourceMetadata {
    #[serde(default)]
    labels: Value,
}

#[derive(Debug, Deserialize)]
pub(in super::super) struct SpaceResource {
    pub(in super::super) guid: Box<str>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(in super::super) name: Box<str>,
    #[serde(default, deserialize_with = "null_as_default")]
    relationships: SpaceRelationships,
}

impl SpaceResource {
    pub(in super::super) fn org_guid(&self) -> Arc<str> {
        self.relationships.organization.guid()
    }
}

#[derive(Debug, Default, Deserialize)]
struct SpaceRelationships {
    #[serde(default, deserialize_with = "null_as_default")]
    organization: Relationship,
}

#[derive(Debug, Deserialize)]
pub(in super::super) struct OrgResource {
    pub(in super::super) guid: Box<str>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(in super::super) name: Box<str>,
}

/// An app's own environment variables.
#[derive(Debug, Deserialize)]
pub(super) struct Environment {
    #[serde(default)]
    var: Value,
}

impl Environment {
    /// The index, as the app has it; a number or a truth value counts as its text.
    pub(super) fn index(self) -> Option<String> {
        match self.var.get(INDEX_KEY)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        }
    }
}

/// The body of a 4xx.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Errors {
    #[serde(default)]
    errors: Vec<ApiError>,
}

#[derive(Debug, Deserialize)]
struct ApiError {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    detail: String,
}

impl Errors {
    pub(super) fn has(&self, code: i64) -> bool {
        self.errors.iter().any(|error| error.code == code)
    }

    pub(super) fn reason(&self) -> String {
        match self.errors.first() {
            Some(error) => error.detail.chars().take(REASON_CHARS_MAX).collect(),
            None => "no reason given".to_owned(),
        }
    }
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::nozzle::metadata::tests::settings;

    #[test]
    fn an_app_with_nothing_but_a_guid_is_still_an_app() {
        for (name, nothing) in [("null", json!(null)), ("absent", json!({}))] {
            let app: AppAnswer = from_value(json!({
                "guid": "a", "name": null, "relationships": {"space": nothing}, "metadata": nothing,
                "included": nothing,
            }))
            .unwrap();
            assert_eq!(app.app.facts(&settings()), Facts::default(), "{name}");
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
        let settings = Settings { index_from_label: true, ..settings() };
        for (labels, (index, muted)) in cases {
            let app: AppResource = from_value(json!({"guid": "a", "metadata": {"labels": labels}})).unwrap();
            let facts = app.facts(&settings);
            assert_eq!((facts.label_index.as_deref(), facts.muted), (index, muted), "{labels}");
        }
    }

    #[test]
    fn the_environment_gives_the_index_as_text() {
        let cases = [
            (json!({"var": {"SPLUNK_INDEX": "i"}}), Some("i")),
            (json!({"var": {"SPLUNK_INDEX": " "}}), Some(" ")),
            (json!({"var": {"SPLUNK_INDEX": 7}}), Some("7")),
            (json!({"var": {"SPLUNK_INDEX": null}}), None),
            (json!({"var": {"splunk_index": "i"}}), None),
            (json!({"var": null}), None),
            (json!({}), None),
        ];
        for (body, expected) in cases {
            let environment: Environment = from_value(body.clone()).unwrap();
            assert_eq!(environment.index().as_deref(), expected, "{body}");
        }
    }
}
