//! What the Cloud Controller keeps, and how it shows it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// When everything here was made: resources need a date, nobody reads it.
const CREATED: &str = "2026-01-01T00:00:00Z";

/// An app.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct App {
    /// Its id.
    pub guid: String,
    /// Its name.
    pub name: String,
    /// The space it is in.
    pub space_guid: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// Its own environment variables.
    pub environment: BTreeMap<String, Value>,
    /// Whether lists show it; it is always found by its guid.
    pub listed: bool,
}

/// A space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Its id.
    pub guid: String,
    /// Its name.
    pub name: String,
    /// The organization it is in.
    pub organization_guid: String,
}

/// An organization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub guid: String,
    /// Its name.
    pub name: String,
}

impl App {
    pub(super) fn json(&self, base_url: &str) -> Value {
        let guid = &self.guid;
        let link = |path: &str| json!({ "href": format!("{base_url}/v3/apps/{guid}{path}") });
        json!({
            "guid": guid,
            "name": self.name,
            "state": "STARTED",
            "created_at": CREATED,
            "updated_at": CREATED,
            "lifecycle": { "type": "buildpack", "data": { "buildpacks": [], "stack": "cflinuxfs4" } },
            "relationships": { "space": { "data": { "guid": self.space_guid } } },
            "metadata": { "labels": self.labels, "annotations": self.annotations },
            "links": { "self": link(""), "environment_variables": link("/environment_variables") },
        })
    }
}

impl Space {
    pub(super) fn json(&self) -> Value {
        json!({
            "guid": self.guid,
            "name": self.name,
            "created_at": CREATED,
            "updated_at": CREATED,
            "relationships": { "organization": { "data": { "guid": self.organization_guid } } },
            "metadata": { "labels": {}, "annotations": {} },
        })
    }
}

impl Organization {
    pub(super) fn json(&self) -> Value {
        json!({
            "guid": self.guid,
            "name": self.name,
            "suspended": false,
            "created_at": CREATED,
            "updated_at": CREATED,
            "metadata": { "labels": {}, "annotations": {} },
        })
    }
}
