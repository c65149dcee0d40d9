//! What is kept of an app on disk: its facts, whatever the settings make of them.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use super::app::{Environment, Facts, Labels};
use super::moment::Moment;
use super::table::EnvironmentRead;

/// One app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) facts: Facts,
    pub(super) environment: Option<EnvironmentRead>,
}

/// Its form on disk; what is absent is not written.
#[derive(Serialize, Deserialize)]
struct Form<'a> {
    #[serde(rename = "n", borrow)]
    name: Text<'a>,
    #[serde(rename = "s", borrow)]
    space_guid: Text<'a>,
    #[serde(rename = "sn", borrow, default, skip_serializing_if = "Option::is_none")]
    space: Option<Text<'a>>,
    #[serde(rename = "o", borrow, default, skip_serializing_if = "Option::is_none")]
    org_guid: Option<Text<'a>>,
    #[serde(rename = "on", borrow, default, skip_serializing_if = "Option::is_none")]
    org: Option<Text<'a>>,
    #[serde(rename = "i", borrow, default, skip_serializing_if = "Option::is_none")]
    index: Option<Text<'a>>,
    #[serde(rename = "ir", default, skip_serializing_if = "is_false")]
    index_refused: bool,
    #[serde(rename = "t", borrow, default, skip_serializing_if = "Option::is_none")]
    sourcetype: Option<Text<'a>>,
    #[serde(rename = "m", default, skip_serializing_if = "is_false")]
    muted: bool,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    updated_at: Option<Moment>,
    #[serde(rename = "e", borrow, default, skip_serializing_if = "Option::is_none")]
    environment: Option<EnvironmentForm<'a>>,
}

#[derive(Serialize, Deserialize)]
struct EnvironmentForm<'a> {
    #[serde(rename = "i", borrow, default, skip_serializing_if = "Option::is_none")]
    index: Option<Text<'a>>,
    #[serde(rename = "m", default, skip_serializing_if = "is_false")]
    muted: bool,
    #[serde(rename = "r")]
    read_at: Moment,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    as_of: Option<Moment>,
}

/// Borrowed unless it holds escapes.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

fn text(text: &Arc<str>) -> Text<'_> {
    Text((&**text).into())
}

fn maybe(text: &Option<Arc<str>>) -> Option<Text<'_>> {
    text.as_ref().map(self::text)
}

impl Record {
    /// Writes it.
    pub(super) fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        let (facts, labels) = (&self.facts, &self.facts.labels);
        serde_json::to_vec(&Form {
            name: text(&facts.name),
            space_guid: text(&facts.space_guid),
            space: maybe(&facts.space),
            org_guid: maybe(&facts.org_guid),
            org: maybe(&facts.org),
            index: maybe(&labels.index),
            index_refused: labels.index_refused,
            sourcetype: maybe(&labels.sourcetype),
            muted: labels.muted,
            updated_at: facts.updated_at,
            environment: self.environment.as_ref().map(|read| EnvironmentForm {
                index: maybe(&read.environment.index),
                muted: read.environment.muted,
                read_at: read.read_at,
                as_of: read.as_of,
            }),
        })
    }
}

/// Reads records; texts that come again and again are kept once.
#[derive(Debug, Default)]
pub(super) struct Reader {
    texts: HashMap<Box<str>, Arc<str>, RandomState>,
}

impl Reader {
    /// Reads what [`Record::write`] wrote.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Record, serde_json::Error> {
        let form: Form<'_> = serde_json::from_slice(bytes)?;
        let mut shared = |text: Option<Text<'_>>| text.map(|text| self.shared(&text.0));
        let facts = Facts {
            space_guid: shared(Some(form.space_guid)).unwrap_or_default(),
            space: shared(form.space),
            org_guid: shared(form.org_guid),
            org: shared(form.org),
            labels: Labels {
                index: shared(form.index),
                index_refused: form.index_refused,
                sourcetype: shared(form.sourcetype),
                muted: form.muted,
            },
            name: (*form.name.0).into(),
            updated_at: form.updated_at,
        };
        let environment = form.environment.map(|form| EnvironmentRead {
            environment: Environment { index: shared(form.index), muted: form.muted },
            read_at: form.read_at,
            as_of: form.as_of,
        });
        Ok(Record { facts, environment })
    }

    fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(shared) = self.texts.get(text) {
            return Arc::clone(shared);
        }
        let shared: Arc<str> = text.into();
        self.texts.insert(text.into(), Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::option::of;
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = Arc<str>> {
        any::<String>().prop_map(Arc::from)
    }

    fn moment() -> impl Strategy<Value = Moment> {
        (0_i64..4_000_000_000).prop_map(|seconds| Moment::now().minus(seconds))
    }

    pub(in super::super) fn record() -> impl Strategy<Value = Record> {
        let labels = (of(text()), any::<bool>(), of(text()), any::<bool>()).prop_map(
            |(index, index_refused, sourcetype, muted)| Labels { index, index_refused, sourcetype, muted },
        );
        let environment =
            (of(text()), any::<bool>(), moment(), of(moment())).prop_map(|(index, muted, read_at, as_of)| {
                EnvironmentRead { environment: Environment { index, muted }, read_at, as_of }
            });
        let names = (text(), text(), of(text()), of(text()), of(text()));
        (names, labels, of(moment()), of(environment)).prop_map(
            |((name, space_guid, space, org_guid, org), labels, updated_at, environment)| Record {
                facts: Facts { name, space_guid, space, org_guid, org, labels, updated_at },
                environment,
            },
        )
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(record in record()) {
            let written = record.write().unwrap();
            prop_assert_eq!(Reader::default().read(&written).unwrap(), record);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
            let _ = Reader::default().read(&bytes);
        }
    }

    #[test]
    fn texts_that_come_again_are_kept_once() {
        let mut reader = Reader::default();
        let mut read = || reader.read(br#"{"n":"a","s":"space","sn":"prod"}"#).unwrap().facts;
        let (one, other) = (read(), read());
        assert!(Arc::ptr_eq(&one.space_guid, &other.space_guid));
    }
}
