//! Every setting a conf file may have: its kind, its default, whether it has an effect.
//!
//! The reference in `docs/eventgen.md` is made from this table.

mod table;

use std::fmt::Write as _;

pub(super) use self::table::SETTINGS;
use super::values::Kind;
use crate::eventgen::plugin::Registry;

/// A setting.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// As it would be written; empty: unset.
    pub(super) default: &'static str,
    pub(super) effect: Effect,
    pub(super) theme: Theme,
    pub(super) about: &'static str,
}

/// Whether a setting does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// For the stanza it stands in, or for all from `[global]`.
    Sample,
    /// For the whole run; read in `[global]` only.
    Run,
    /// None, and why.
    None,
    /// It belongs to a part that is not there yet.
    Later,
}

/// Chapters of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Theme {
    Samples,
    Amounts,
    Times,
    Replay,
    Metadata,
    Outputs,
    Run,
    Later,
    Unused,
}

impl Theme {
    pub(super) const ALL: [Self; 9] = [
        Self::Samples,
        Self::Amounts,
        Self::Times,
        Self::Replay,
        Self::Metadata,
        Self::Outputs,
        Self::Run,
        Self::Later,
        Self::Unused,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Samples => "Samples",
            Self::Amounts => "How many",
            Self::Times => "When",
            Self::Replay => "Replay",
            Self::Metadata => "Where events say they come from",
            Self::Outputs => "Where events go",
            Self::Run => "The whole run",
            Self::Later => "Not there yet",
            Self::Unused => "Without effect",
        }
    }
}

/// The setting of this name.
pub(super) fn known(name: &str) -> Option<&'static Known> {
    SETTINGS.iter().find(|known| known.name == name)
}

/// The default of a setting, as it would be written.
pub(super) fn default(name: &str) -> &'static str {
    known(name).map_or("", |known| known.default)
}

/// Explains the settings with this in their names, for a terminal.
pub(super) fn reference(part: &str) -> String {
    let part = part.to_ascii_lowercase();
    let mut text = String::new();
    for theme in Theme::ALL {
        let wanted = |known: &&Known| known.theme == theme && known.name.to_ascii_lowercase().contains(&part);
        let mut settings = SETTINGS.iter().filter(wanted).peekable();
        if settings.peek().is_some() {
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{}", theme.title());
        }
        for known in settings {
            let (name, kind, about) =
                (known.name, known.kind.label().replace('`', ""), known.about.replace('`', ""));
            let _ = match (known.effect, known.default) {
                (Effect::None | Effect::Later, _) => writeln!(text, "  {name}\n      {about}"),
                (_, "") => writeln!(text, "  {name} = {kind}\n      {about}"),
                (_, default) => writeln!(text, "  {name} = {kind} [default: {default}]\n      {about}"),
            };
        }
    }
    text
}

/// Plugins that come later, and what they are called to a person.
pub(super) const LATER_GENERATORS: &[(&str, &str)] =
    &[("jinja", "Jinja templates are"), ("weblog", "the weblog generator is")];
/// As [`LATER_GENERATORS`], for outputs.
pub(super) const LATER_OUTPUTS: &[(&str, &str)] = &[
    ("syslogout", "the syslog output is"),
    ("splunkstream", "the output to Splunk's receivers is"),
    ("s2s", "the output as a Splunk forwarder is"),
    ("scsout", "the output to Splunk Cloud Services is"),
    ("awss3", "the output to S3 is"),
];

/// Plugins of ours that are there.
const OURS: &[&str] = &[
    "config",
    "counter",
    "default",
    "devnull",
    "file",
    "httpevent",
    "loggregator",
    "metric_httpevent",
    "modinput",
    "perdayvolume",
    "perdayvolumegenerator",
    "replay",
    "spool",
    "stdout",
    "tcpout",
    "udpout",
    "windbag",
];

/// Whether somebody has added plugins: settings nobody here knows may be theirs.
pub(super) fn has_more_than_ours(registry: &Registry) -> bool {
    let names = registry.generators.keys().chain(registry.raters.keys()).chain(registry.outputs.keys());
    names.into_iter().any(|name| !OURS.contains(&name.as_str()))
}

/// Whether what a setting says is not to be shown: it holds, or may hold, a password or the like.
pub(super) fn is_secret(name: &str) -> bool {
    let folded = name.to_ascii_lowercase();
    !folded.starts_with("token.")
        && !folded.starts_with("host.")
        && ["server", "pass", "token", "key", "secret"].iter().any(|word| folded.contains(word))
}

/// The known name nearest to one that is not known.
pub(super) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_ascii_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&folded, &known.to_ascii_lowercase());
    let (distance, known) =
        names.into_iter().map(|known| (distance(known), known)).min_by_key(|(distance, _)| *distance)?;
    // Farther ones are other words.
    (distance <= (name.len() / 4).max(1)).then_some(known)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_defaults_are_good_values() {
        let mut names = HashSet::new();
        for known in SETTINGS {
            assert!(names.insert(known.name), "{} comes twice", known.name);
            assert!(known.default.is_empty() || known.kind.check(known.default).is_ok(), "{}", known.name);
        }
    }

    #[test]
    fn near_names() {
        let names = || SETTINGS.iter().map(|known| known.name);
        for (name, want) in [
            ("Interval", Some("interval")),
            ("intervall", Some("interval")),
            ("sampletime", Some("sampletype")),
            ("perdayvolume", Some("perDayVolume")),
            ("hourOfDayRates", Some("hourOfDayRate")),
            ("colour", None),
        ] {
            assert_eq!(nearest(name, names()), want, "{name}");
        }
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn the_reference_of_eventgen_is_the_table() {
        let tables = Theme::ALL.into_iter().map(|theme| (theme.title(), table(theme)));
        crate::reference::check("eventgen.md", tables);
    }

    fn table(theme: Theme) -> String {
        let brief = matches!(theme, Theme::Later | Theme::Unused);
        let mut table = match (theme, brief) {
            (Theme::Later, _) => "| Setting | Belongs to |\n|---|---|\n".to_owned(),
            (_, true) => "| Setting | Why |\n|---|---|\n".to_owned(),
            _ => "| Setting | Value | Default | Meaning |\n|---|---|---|---|\n".to_owned(),
        };
        for known in SETTINGS.iter().filter(|known| known.theme == theme) {
            let (name, about) = (known.name, known.about);
            let default = match known.default {
                "" => "–".to_owned(),
                text => format!("`{text}`"),
            };
            let _ = match brief {
                true => writeln!(table, "| `{name}` | {about} |"),
                false => writeln!(table, "| `{name}` | {} | {default} | {about} |", known.kind.label()),
            };
        }
        table
    }
}
