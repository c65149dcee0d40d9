//! One app, ready for use in events.

use std::sync::Arc;

use super::Settings;

/// The longest index an app may ask for. It stands twice in each event of the app, and nobody but the
/// app's developer has a say in it: without a bound one app could fill the room for all.
const INDEX_BYTES_MAX: usize = 255;
/// What an index has to be, in words.
pub(super) const INDEX_EXPECTED: &str = "at most 255 bytes without control characters";

/// Whether an app may ask for this index. An empty or blank one is for Splunk to judge.
pub(super) fn is_index(text: &str) -> bool {
    text.len() <= INDEX_BYTES_MAX && !text.contains(char::is_control)
}

/// Which names and ids go into events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
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

impl Fields {
    /// Whether the app's space has to be read: for its name, or as the way to the org.
    pub(super) fn needs_space(self) -> bool {
        self.space_name || self.org_guid || self.org_name
    }
}

/// What an app, its space and its org are called; empty where it is not known or not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppNames {
    /// The app's name.
    pub app: Arc<str>,
    /// The name of its space.
    pub space: Arc<str>,
    /// The id of its space.
    pub space_guid: Arc<str>,
    /// The name of its org.
    pub org: Arc<str>,
    /// The id of its org.
    pub org_guid: Arc<str>,
}

/// An app as events need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// JSON object members for the selected names that are not empty, each with a leading comma:
    /// `,"cf_app_name":"shop","cf_space_name":"prod"`.
    pub fragment: Box<[u8]>,
    /// The names themselves.
    pub names: AppNames,
    /// The index the app asks for, of at most 255 bytes and free of control characters; else as the app
    /// has it, so it may be empty or blank.
    pub index: Option<Arc<str>>,
    /// Whether the app may ask for an index that could not be read yet.
    pub index_unread: bool,
    /// Whether the app asks for its events to be dropped.
    pub muted: bool,
}

impl App {
    pub(super) fn new(facts: &Facts, env_index: Option<&Arc<str>>, fields: Fields) -> Self {
        let known = |name: &Option<Arc<str>>| name.clone().unwrap_or_default();
        let names = AppNames {
            app: Arc::clone(&facts.name),
            space: known(&facts.space),
            space_guid: Arc::clone(&facts.space_guid),
            org: known(&facts.org),
            org_guid: known(&facts.org_guid),
        };
        let index = facts.label_index.as_ref().or(env_index).cloned();
        Self { fragment: render(&names, fields), names, index, index_unread: false, muted: facts.muted }
    }
}

/// What Cloud Controller says about an app, apart from its environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) name: Arc<str>,
    pub(super) space_guid: Arc<str>,
    pub(super) space: Option<Arc<str>>,
    pub(super) org_guid: Option<Arc<str>>,
    pub(super) org: Option<Arc<str>>,
    /// The label's index, if labels count.
    pub(super) label_index: Option<Arc<str>>,
    /// Whether the label asks for what cannot be an index: then the default applies.
    pub(super) label_refused: bool,
    pub(super) muted: bool,
}

impl Facts {
    /// Whether a name that is selected has not been found yet.
    pub(super) fn lacks_names(&self, fields: Fields) -> bool {
        if self.space_guid.is_empty() {
            return false;
        }
        (fields.needs_space() && (self.space.is_none() || self.org_guid.is_none()))
            || (fields.org_name && self.org.is_none())
    }

    /// Whether the environment can have a say in the app's index.
    pub(super) fn needs_env(&self, settings: &Settings) -> bool {
        settings.index_from_env && self.label_index.is_none() && !self.label_refused && !self.muted
    }

    /// Fills names this answer lacks from an earlier one about the same space.
    pub(super) fn inherit(&mut self, earlier: &Self) {
        if self.space_guid == earlier.space_guid {
            let fill = |new: &mut Option<Arc<str>>, old: &Option<Arc<str>>| {
                if new.is_none() {
                    new.clone_from(old);
                }
            };
            fill(&mut self.space, &earlier.space);
            fill(&mut self.org_guid, &earlier.org_guid);
            fill(&mut self.org, &earlier.org);
        }
    }
}

fn render(names: &AppNames, fields: Fields) -> Box<[u8]> {
    let members = [
        (fields.app_name, "cf_app_name", &names.app),
        (fields.org_guid, "cf_org_id", &names.org_guid),
        (fields.org_name, "cf_org_name", &names.org),
        (fields.space_guid, "cf_space_id", &names.space_guid),
        (fields.space_name, "cf_space_name", &names.space),
    ];
    let mut out = Vec::new();
    for (selected, key, value) in members {
        if selected && !value.is_empty() {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(b"\":");
            push_json_string(&mut out, value);
        }
    }
    out.into_boxed_slice()
}

/// Appends `text` as a JSON string, quotes included.
fn push_json_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &byte in text.as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_comes_back_from_its_json_string(text in any::<String>()) {
            let mut out = Vec::new();
            push_json_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    fn facts() -> Facts {
        Facts {
            name: "shop \"1\"".into(),
            space_guid: "s-1".into(),
            space: Some("prod".into()),
            org_guid: Some("o-1".into()),
            org: Some("".into()),
            ..Facts::default()
        }
    }

    #[test]
    fn the_fragment_holds_what_is_selected_and_not_empty() {
        let all =
            Fields { app_name: true, org_name: true, org_guid: true, space_name: true, space_guid: true };
        let cases = [
            (Fields::default(), ""),
            (Fields { app_name: true, ..Fields::default() }, r#","cf_app_name":"shop \"1\"""#),
            (Fields { org_name: true, ..Fields::default() }, ""),
            (
                all,
                concat!(
                    r#","cf_app_name":"shop \"1\"","cf_org_id":"o-1","#,
                    r#""cf_space_id":"s-1","cf_space_name":"prod""#
                ),
            ),
        ];
        for (fields, expected) in cases {
            let app = App::new(&facts(), None, fields);
            assert_eq!(std::str::from_utf8(&app.fragment).unwrap(), expected);
        }
    }

    #[test]
    fn the_label_wins_over_the_environment() {
        let (label, env): (Arc<str>, Arc<str>) = ("label".into(), "env".into());
        for (label, env, expected) in [
            (Some(&label), Some(&env), Some("label")),
            (Some(&label), None, Some("label")),
            (None, Some(&env), Some("env")),
            (None, None, None),
        ] {
            let facts = Facts { label_index: label.cloned(), ..facts() };
            assert_eq!(App::new(&facts, env, Fields::default()).index.as_deref(), expected);
        }
    }

    #[test]
    fn names_are_inherited_within_one_space_only() {
        let bare = Facts { space_guid: "s-1".into(), ..Facts::default() };
        let mut same = bare.clone();
        same.inherit(&facts());
        assert_eq!(same.space.as_deref(), Some("prod"));
        let mut moved = Facts { space_guid: "s-2".into(), ..bare };
        moved.inherit(&facts());
        assert_eq!(moved.space, None);
    }
}
