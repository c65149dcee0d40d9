//! Names of apps, spaces and organizations, and indexes chosen by apps.

use std::path::PathBuf;

use super::parse;
use super::reader::Reader;
use super::settings::input::{
    ADD_APP_INFO, APP_CACHE_INVALIDATE_TTL, APP_LIMITS, BOLTDB_PATH, IGNORE_MISSING_APP, METADATA_RATE,
    METADATA_REFRESH, METADATA_WAIT, MISSING_APP_CACHE_INVALIDATE_TTL, ORG_SPACE_CACHE_INVALIDATE_TTL,
    USE_ENV_VAR_FOR_SPLUNK_INDEX, USE_LABELS_FOR_SPLUNK_INDEX, USE_LABELS_FOR_SPLUNK_SOURCETYPE,
};
use crate::nozzle::metadata::{Fields, Settings};

/// What is looked up for an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataConfig {
    /// Whether anything is looked up; without it there are no names, no indexes and no muting by app.
    pub enabled: bool,
    /// What is looked up, and how hard.
    pub settings: Settings,
}

/// Looks for the names anywhere in the text, in any case: that is what makes lists, JSON arrays and
/// the bracketed lists of old manifests work alike.
fn named_in(text: &str) -> Fields {
    let text = text.to_lowercase();
    Fields {
        app_name: text.contains("appname"),
        org_name: text.contains("orgname"),
        org_guid: text.contains("orgguid"),
        space_name: text.contains("spacename"),
        space_guid: text.contains("spaceguid"),
    }
}

impl MetadataConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let info = reader.optional(&ADD_APP_INFO, parse::text);
        let ignore_missing_app = reader.value(&IGNORE_MISSING_APP, parse::boolean);
        let missing_ttl = reader.value(&MISSING_APP_CACHE_INVALIDATE_TTL, parse::duration);
        let app_ttl = reader.value(&APP_CACHE_INVALIDATE_TTL, parse::duration);
        let org_space_ttl = reader.value(&ORG_SPACE_CACHE_INVALIDATE_TTL, parse::duration);
        let app_limit = reader.value(&APP_LIMITS, parse::number::<usize>);
        let refresh = reader.value(&METADATA_REFRESH, parse::duration);
        let file = reader.value(&BOLTDB_PATH, parse::text);
        let wait = reader.value(&METADATA_WAIT, parse::duration);
        let rate_per_second = reader.value(&METADATA_RATE, parse::rate);
        let index_from_env = reader.value(&USE_ENV_VAR_FOR_SPLUNK_INDEX, parse::boolean);
        let index_from_label = reader.value(&USE_LABELS_FOR_SPLUNK_INDEX, parse::boolean);
        let sourcetype_from_label = reader.value(&USE_LABELS_FOR_SPLUNK_SOURCETYPE, parse::boolean);
        let info = info?;
        let fields = info.as_deref().map(named_in).unwrap_or_default();
        if info.is_some() && fields == Fields::default() {
            reader.warn(
                &ADD_APP_INFO,
                "names nothing to add, but turns look-ups on; it takes AppName, OrgName, OrgGuid, SpaceName, \
                 SpaceGuid, or nothing at all to be off",
            );
        }
        if app_limit.is_some_and(|limit| limit > 0) {
            reader.warn(&APP_LIMITS, "bounds the apps kept in memory; in the Go nozzle it had no effect");
        }
        Some(Self {
            enabled: info.is_some(),
            settings: Settings {
                fields,
                ignore_missing: ignore_missing_app?,
                missing_ttl: missing_ttl?,
                app_ttl: app_ttl?,
                org_space_ttl: org_space_ttl?,
                refresh: refresh?,
                wait: wait?,
                app_limit: Some(app_limit?).filter(|limit| *limit > 0),
                rate_per_second: rate_per_second?,
                index_from_env: index_from_env?,
                index_from_label: index_from_label?,
                sourcetype_from_label: sourcetype_from_label?,
                file: Some(file?).filter(|file| file != "off").map(PathBuf::from),
            },
        })
    }
}
