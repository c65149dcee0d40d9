//! What the Cloud Controller keeps, and how it shows it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::clock::Moment;

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
    /// Whether lists show it; it is always found by its guid, alone or among others.
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

/// A resource with its dates.
#[derive(Clone, Debug)]
pub(super) struct Dated<T> {
    pub(super) resource: T,
    /// Its place in the order in which all were made.
    pub(super) id: u64,
    pub(super) created_at: Moment,
    pub(super) updated_at: Moment,
}

/// What lists need to know of a resource.
pub(super) trait Resource {
    fn guid(&self) -> &str;
    fn name(&self) -> &str;
    fn labels(&self) -> Option<&BTreeMap<String, String>> {
        None
    }
    fn listed(&self) -> bool {
        true
    }
    /// Everything but the dates.
    fn json(&self, base_url: &str) -> Value;
}

impl<T: Resource> Dated<T> {
    pub(super) fn json(&self, base_url: &str) -> Value {
        let mut value = self.resource.json(base_url);
        value["created_at"] = json!(self.created_at.to_string());
        value["updated_at"] = json!(self.updated_at.to_string());
        value
    }
}

impl Resource for App {
    fn guid(&self) -> &str {
        &self.guid
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn labels(&self) -> Option<&BTreeMap<String, String>> {
        Some(&self.labels)
    }

    fn listed(&self) -> bool {
        self.listed
    }

    fn json(&self, base_url: &str) -> Value {
        let guid = &self.guid;
        let link = |path: &str| json!({ "href": format!("{base_url}/v3/apps/{guid}{path}") });
        json!({
            "guid": guid,
            "name": self.name,
            "state": "STARTED",
            "lifecycle": { "type": "buildpack", "data": { "buildpacks": [], "stack": "cflinuxfs4" } },
            "relationships": { "space": { "data": { "guid": self.space_guid } } },
            "metadata": { "labels": self.labels, "annotations": self.annotations },
            "links": { "self": link(""), "environment_variables": link("/environment_variables") },
        })
    }
}

impl Resource for Space {
    fn guid(&self) -> &str {
        &self.guid
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn json(&self, _base_url: &str) -> Value {
        json!({
            "guid": self.guid,
            "name": self.name,
            "relationships": { "organization": { "data": { "guid": self.organization_guid } } },
            "metadata": { "labels": {}, "annotations": {} },
        })
    }
}

impl Resource for Organization {
    fn guid(&self) -> &str {
        &self.guid
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn json(&self, _base_url: &str) -> Value {
        json!({
            "guid": self.guid,
            "name": self.name,
            "suspended": false,
            "metadata": { "labels": {}, "annotations": {} },
        })
    }
}
