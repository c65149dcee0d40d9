//! The shapes of Cloud Controller's v3 answers, as far as they are needed.

use std::sync::Arc;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::nozzle::metadata::app::{Environment, Facts, Labels, is_index};
use crate::nozzle::metadata::moment::Moment;

/// The environment variable that chooses an app's index.
const INDEX_KEY: &str = "SPLUNK_INDEX";
/// The environment variable that mutes an app when its value is exactly `true`.
const MUTE_KEY: &str = "F2S_DISABLE_LOGGING";
/// What is kept of a name. Cloud Foundry's end at 255 characters.
const NAME_BYTES_MAX: usize = 1024;
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

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Page<T> {
    pub(in super::super) resources: Vec<T>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(in super::super) included: Included,
    #[serde(default, deserialize_with = "null_as_default")]
    pagination: Pagination,
}

impl<T> Page<T> {
    /// How many pages of this size there are, as far as the server says.
    pub(in super::super) fn pages(&self) -> u64 {
        self.pagination.total_pages
    }

    /// Whether the server says that this is all there is.
    pub(in super::super) fn is_all(&self) -> bool {
        self.pagination.total_results == Some(self.resources.len() as u64)
    }
}

#[derive(Debug, Default, Deserialize)]
struct Pagination {
    #[serde(default)]
    total_pages: u64,
    #[serde(default)]
    total_results: Option<u64>,
}

/// A resource with a date.
pub(in super::super) trait Dated {
    /// When it was last changed.
    fn updated_at(&self) -> Option<Moment>;
}

/// The dates of a resource: one that was never changed may have none for that.
macro_rules! dated {
    ($($resource:ty)*) => {$(
        impl Dated for $resource {
            fn updated_at(&self) -> Option<Moment> {
                Moment::parse(self.updated_at.as_deref().or(self.created_at.as_deref())?)
            }
        }
    )*};
}

dated! { AppResource SpaceResource OrgResource AnyResource }

/// What every resource has, where nothing else is needed.
#[derive(Debug, Deserialize)]
pub(in super::super) struct AnyResource {
    #[serde(default)]
    created_at: Option<Box<str>>,
    #[serde(default)]
    updated_at: Option<Box<str>>,
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
    #[serde(deserialize_with = "text")]
    pub(in super::super) guid: Box<str>,
    #[serde(default, deserialize_with = "text")]
    name: Box<str>,
    #[serde(default, deserialize_with = "null_as_default")]
    relationships: AppRelationships,
    #[serde(default, deserialize_with = "null_as_default")]
    metadata: ResourceMetadata,
    #[serde(default)]
    created_at: Option<Box<str>>,
    #[serde(default)]
    updated_at: Option<Box<str>>,
}

impl AppResource {
    /// What the app says about itself; its space's name and org are still to be found.
    pub(in super::super) fn facts(&self) -> Facts {
        let labels = &self.metadata.labels;
        let index = labels.index.as_ref().and_then(Value::as_str);
        let sourcetype = labels.sourcetype.as_ref().and_then(Value::as_str);
        let sourcetype = sourcetype.filter(|text| is_index(text) && !text.trim().is_empty());
        Facts {
            name: Arc::from(&*self.name),
            space_guid: self.relationships.space.guid(),
            labels: Labels {
                index: index.filter(|index| is_index(index)).map(Arc::from),
                index_refused: index.is_some_and(|index| !is_index(index)),
                sourcetype: sourcetype.map(Arc::from),
                muted: labels.mute.as_ref().and_then(Value::as_str) == Some("true"),
            },
            updated_at: self.updated_at(),
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
    #[serde(deserialize_with = "text")]
    guid: Box<str>,
}

#[derive(Debug, Default, Deserialize)]
struct ResourceMetadata {
    #[serde(default, deserialize_with = "null_as_default")]
    labels: ResourceLabels,
}

/// The labels that mean something here; of the others, apps may have any number.
#[derive(Debug, Default, Deserialize)]
struct ResourceLabels {
    #[serde(default, rename = "SPLUNK_INDEX")]
    index: Option<Value>,
    #[serde(default, rename = "SPLUNK_SOURCETYPE")]
    sourcetype: Option<Value>,
    #[serde(default, rename = "F2S_DISABLE_LOGGING")]
    mute: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(in super::super) struct SpaceResource {
    #[serde(deserialize_with = "text")]
    pub(in super::super) guid: Box<str>,
    #[serde(default, deserialize_with = "text")]
    pub(in super::super) name: Box<str>,
    #[serde(default, deserialize_with = "null_as_default")]
    relationships: SpaceRelationships,
    #[serde(default)]
    created_at: Option<Box<str>>,
    #[serde(default)]
    updated_at: Option<Box<str>>,
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
    #[serde(deserialize_with = "text")]
    pub(in super::super) guid: Box<str>,
    #[serde(default, deserialize_with = "text")]
    pub(in super::super) name: Box<str>,
    #[serde(default)]
    created_at: Option<Box<str>>,
    #[serde(default)]
    updated_at: Option<Box<str>>,
}

/// An app's own environment variables.
#[derive(Debug, Deserialize)]
pub(super) struct Variables {
    #[serde(default)]
    var: Value,
}

/// What an app's environment says, before it is judged.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Read {
    pub(in super::super) environment: Environment,
    /// Whether it asks for what cannot be an index.
    pub(in super::super) index_refused: bool,
}

impl Variables {
    /// The index, as the app has it; a number or a truth value counts as its text.
    pub(super) fn read(&self) -> Read {
        let text = |key| match self.var.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        };
        let index = text(INDEX_KEY);
        Read {
            index_refused: index.as_deref().is_some_and(|index| !is_index(index)),
            environment: Environment {
                index: index.filter(|index| is_index(index)).map(Arc::from),
                muted: text(MUTE_KEY).as_deref() == Some("true"),
            },
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

/// Reads a name or a guid. What is not text is empty: one odd app costs a page nothing. What is too
/// long is cut off, so that entries have a largest size.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<str>, D::Error> {
    struct Name;

    impl<'de> Visitor<'de> for Name {
        type Value = Box<str>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a name")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(text[..text.floor_char_boundary(NAME_BYTES_MAX)].into())
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Box::default())
        }

        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Box::default())
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Box::default())
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Box::default())
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Box::default())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
            IgnoredAny.visit_seq(items).map(|_| Box::default())
        }

        fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
            IgnoredAny.visit_map(members).map(|_| Box::default())
        }
    }

    deserializer.deserialize_any(Name)
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
