//! One app, ready for use in events.

use std::sync::Arc;

use super::Settings;
use super::moment::Moment;

/// The longest index an app may ask for. It stands twice in each event of the app, and nobody but the
/// app's developer has a say in it: without a bound one app could fill the room for all.
const INDEX_BYTES_MAX: usize = 255;
/// What an index has to be, in words.
pub(super) const INDEX_EXPECTED: &str = "at most 255 bytes without control characters";

/// Whether an app may ask for this index, or sourcetype. An empty or blank one is for Splunk to judge.
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
    /// The sourcetype the app asks for, bounded like the index and never empty.
    pub sourcetype: Option<Arc<str>>,
    /// Whether the app may ask for an index that could not be read yet.
    pub index_unread: bool,
    /// Whether the app asks for its events to be dropped.
    pub muted: bool,
}

impl App {
    /// `environment` is `None` if it has not been read.
    pub(super) fn new(facts: &Facts, environment: Option<&Environment>, settings: &Settings) -> Self {
        let known = |name: &Option<Arc<str>>| name.clone().unwrap_or_default();
        let names = AppNames {
            app: Arc::clone(&facts.name),
            space: known(&facts.space),
            space_guid: Arc::clone(&facts.space_guid),
            org: known(&facts.org),
            org_guid: known(&facts.org_guid),
        };
        let labels = &facts.labels;
        let (label, own) = if settings.index_from_label {
            (labels.index.clone(), labels.index.is_some() || labels.index_refused)
        } else {
            (None, false)
        };
        // A label that asks for what cannot be an index still wins: the default applies then.
        let variable = environment.and_then(|environment| environment.index.clone()).filter(|_| !own);
        Self {
            fragment: render(&names, settings.fields),
            names,
            index: label.or(variable),
            sourcetype: labels.sourcetype.clone().filter(|_| settings.sourcetype_from_label),
            index_unread: !own && environment.is_none() && facts.needs_environment(settings),
            muted: labels.muted || environment.is_some_and(|environment| environment.muted),
        }
    }
}

/// What an app's own environment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Environment {
    pub(super) index: Option<Arc<str>>,
    pub(super) muted: bool,
}

/// What Cloud Controller says about an app, apart from its environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) name: Arc<str>,
    pub(super) space_guid: Arc<str>,
    pub(super) space: Option<Arc<str>>,
    pub(super) org_guid: Option<Arc<str>>,
    pub(super) org: Option<Arc<str>>,
    pub(super) labels: Labels,
    /// When the app, or its environment, was last changed.
    pub(super) updated_at: Option<Moment>,
}

/// What an app's labels say, whether the settings let it count or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) index: Option<Arc<str>>,
    /// Whether there is a label that asks for what cannot be an index.
    pub(super) index_refused: bool,
    pub(super) sourcetype: Option<Arc<str>>,
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

    /// Whether the environment has a say: in the index, or in whether the app is muted.
    pub(super) fn needs_environment(&self, settings: &Settings) -> bool {
        settings.index_from_env && !self.labels.muted
    }

    /// Whether events look the same with these facts.
    pub(super) fn looks_like(&self, other: &Self) -> bool {
        let Self { name, space_guid, space, org_guid, org, labels, updated_at: _ } = self;
        (name, space_guid, space, org_guid, org, labels)
            == (&other.name, &other.space_guid, &other.space, &other.org_guid, &other.org, &other.labels)
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
    use crate::nozzle::metadata::tests::settings;

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

    fn app(facts: &Facts, environment: Option<&Environment>, settings: &Settings) -> App {
        App::new(facts, environment, settings)
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
            let app = app(&facts(), None, &Settings { fields, ..settings() });
            assert_eq!(std::str::from_utf8(&app.fragment).unwrap(), expected);
        }
    }

    #[test]
    fn the_label_wins_over_the_environment() {
        let cases = [
            // Label, whether it is refused, variable, whether labels count; index, whether it is unread.
            (Some("label"), false, Some("env"), true, Some("label"), false),
            (Some("label"), false, None, true, Some("label"), false),
            (None, false, Some("env"), true, Some("env"), false),
            (None, true, Some("env"), true, None, false),
            (None, false, None, true, None, true),
            (Some("label"), false, Some("env"), false, Some("env"), false),
            (None, true, None, false, None, true),
        ];
        for (label, refused, variable, labels_count, expected, unread) in cases {
            let settings = Settings { index_from_label: labels_count, index_from_env: true, ..settings() };
            let labels = Labels { index: label.map(Arc::from), index_refused: refused, ..Labels::default() };
            let environment = variable.map(|index| Environment { index: Some(index.into()), muted: false });
            let app = app(&Facts { labels, ..facts() }, environment.as_ref(), &settings);
            assert_eq!(
                (app.index.as_deref(), app.index_unread),
                (expected, unread),
                "{label:?} {variable:?}"
            );
        }
    }

    #[test]
    fn labels_and_variables_mute_and_a_label_gives_the_sourcetype() {
        for (label, variable) in [(false, false), (true, false), (false, true)] {
            let labels = Labels { muted: label, sourcetype: Some("nginx".into()), ..Labels::default() };
            let environment = Environment { index: None, muted: variable };
            for counts in [false, true] {
                let settings = Settings { sourcetype_from_label: counts, ..settings() };
                let app = app(&Facts { labels: labels.clone(), ..facts() }, Some(&environment), &settings);
                assert_eq!(app.muted, label || variable);
                assert_eq!(app.sourcetype.as_deref(), counts.then_some("nginx"));
            }
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
