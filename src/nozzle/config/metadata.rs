//! Names of apps, spaces and organizations, and indexes chosen by apps.

use std::time::Duration;

use super::parse;
use super::reader::Reader;
use super::settings::input::{
    ADD_APP_INFO, APP_CACHE_INVALIDATE_TTL, APP_LIMITS, IGNORE_MISSING_APP, METADATA_RATE, METADATA_WAIT,
    MISSING_APP_CACHE_INVALIDATE_TTL, ORG_SPACE_CACHE_INVALIDATE_TTL, USE_ENV_VAR_FOR_SPLUNK_INDEX,
    USE_LABELS_FOR_SPLUNK_INDEX,
};

/// What is looked up for an app, and how hard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataConfig {
    /// Whether anything is looked up; without it there are no names, no indexes and no muting by app.
    pub enabled: bool,
    /// Which names are added.
    pub fields: AppInfoFields,
    /// Whether an app that does not exist is remembered for long.
    pub ignore_missing_app: bool,
    /// How long it is remembered; zero for the default of the cache.
    pub missing_ttl: Duration,
    /// How often all apps are listed again; zero for never.
    pub app_ttl: Duration,
    /// How long names of organizations and spaces are kept; zero for ever.
    pub org_space_ttl: Duration,
    /// Most apps in memory; `None` for the default of the cache.
    pub app_limit: Option<usize>,
    /// How long an event of an unknown app waits.
    pub wait: Duration,
    /// Most requests per second; at least 1.
    pub rate_per_second: u32,
    /// Whether an app's environment variable names its index.
    pub index_from_env: bool,
    /// Whether an app's label names its index; it wins.
    pub index_from_label: bool,
}

/// Which names of an app are added to its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppInfoFields {
    /// `cf_app_name`
    pub app_name: bool,
    /// `cf_org_name`
    pub org_name: bool,
    /// `cf_org_id`
    pub org_guid: bool,
    /// `cf_space_name`
    pub space_name: bool,
    /// `cf_space_id`
    pub space_guid: bool,
}

impl AppInfoFields {
    /// Looks for the names anywhere in the text, in any case: that is what makes lists, JSON arrays
    /// and the bracketed lists of old manifests work alike.
    fn named_in(text: &str) -> Self {
        let text = text.to_lowercase();
        Self {
            app_name: text.contains("appname"),
            org_name: text.contains("orgname"),
            org_guid: text.contains("orgguid"),
            space_name: text.contains("spacename"),
            space_guid: text.contains("spaceguid"),
        }
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
        let wait = reader.value(&METADATA_WAIT, parse::duration);
        let rate_per_second = reader.value(&METADATA_RATE, parse::rate);
        let index_from_env = reader.value(&USE_ENV_VAR_FOR_SPLUNK_INDEX, parse::boolean);
        let index_from_label = reader.value(&USE_LABELS_FOR_SPLUNK_INDEX, parse::boolean);
        let info = info?;
        let fields = info.as_deref().map(AppInfoFields::named_in).unwrap_or_default();
        if info.is_some() && fields == AppInfoFields::default() {
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
            fields,
            ignore_missing_app: ignore_missing_app?,
            missing_ttl: missing_ttl?,
            app_ttl: app_ttl?,
            org_space_ttl: org_space_ttl?,
            app_limit: Some(app_limit?).filter(|limit| *limit > 0),
            wait: wait?,
            rate_per_second: rate_per_second?,
            index_from_env: index_from_env?,
            index_from_label: index_from_label?,
        })
    }
}
