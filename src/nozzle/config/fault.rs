//! What is wrong with the settings, and what is merely worth knowing.
//!
//! Invariant: neither ever holds a secret. A value is masked by its setting before it comes here;
//! a value whose setting is not known does not come here at all.

use std::fmt;
use std::path::PathBuf;

use super::settings::Setting;

/// The longest part of a wrong value that a message repeats, in characters.
const VALUE_SHOWN_MAX: usize = 120;

/// Where a value comes from, the strongest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A command-line flag.
    Flag,
    /// An environment variable.
    Environment,
    /// The configuration file.
    File(PathBuf),
    /// The credentials of a user-provided service instance of this name.
    Service(String),
    /// Not given.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment => f.write_str("environment"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Service(name) => write!(f, "service {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One thing that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A value that cannot be used.
    #[error("{name} ({origin}): {value} is not {expected}; example: {example}")]
    Value {
        /// The setting.
        name: &'static str,
        /// Where the value comes from.
        origin: Origin,
        /// The value, quoted, cut, and masked if it is a secret.
        value: String,
        /// The form it should have.
        expected: String,
        /// A value that would be accepted.
        example: &'static str,
    },
    /// A setting that must be given and is not.
    #[error("{name}: not given, but {why}; example: {example}")]
    Missing {
        /// The setting.
        name: &'static str,
        /// Why it must be given.
        why: &'static str,
        /// A value that would be accepted.
        example: &'static str,
    },
    /// A key that is no setting, where only settings are expected.
    #[error("{name} ({origin}): is not a setting{}", hint(.nearest))]
    Unknown {
        /// The key.
        name: String,
        /// Where it stands.
        origin: Origin,
        /// The setting it may be meant for.
        nearest: Option<&'static str>,
    },
    /// A key that stands where it has no meaning, or twice.
    #[error("{name} ({origin}): {why}")]
    Misplaced {
        /// The setting.
        name: &'static str,
        /// Where it stands.
        origin: Origin,
        /// What is wrong with it there.
        why: String,
    },
    /// A whole source of settings that cannot be read.
    #[error("{name}: {what}; expected {expected}")]
    Unreadable {
        /// The setting or variable that names or holds the source.
        name: &'static str,
        /// What went wrong; never holds text out of the source.
        what: String,
        /// What it should be.
        expected: &'static str,
    },
}

fn hint(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

impl Fault {
    /// A value that does not have the form `expected`.
    pub(super) fn value(setting: &Setting, origin: Origin, value: &str, expected: String) -> Self {
        Self::Value {
            name: setting.name,
            origin,
            value: quoted(setting, value),
            expected,
            example: setting.example,
        }
    }

    /// The setting or key it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Value { name, .. }
            | Self::Missing { name, .. }
            | Self::Misplaced { name, .. }
            | Self::Unreadable { name, .. } => name,
            Self::Unknown { name, .. } => name,
        }
    }
}

/// A value for a message: in quotes, control characters escaped, cut, masked if secret.
pub(super) fn quoted(setting: &Setting, value: &str) -> String {
    let shown = setting.shown(value);
    if shown == value { cut(value) } else { shown }
}

/// A text in quotes, control characters escaped, cut where it gets too long for a line.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE_SHOWN_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Everything that is wrong with the settings; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub(super) Vec<Fault>);

impl Faults {
    /// The exit code of a process whose settings are wrong (`EX_CONFIG`).
    pub const EXIT_CODE: u8 = 78;

    /// The single faults.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("1 setting is wrong:")?,
            n => write!(f, "{n} settings are wrong:")?,
        }
        for fault in &self.0 {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Something about the settings that the operator should know, and that stops nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The setting or variable.
    pub name: String,
    /// What to know, and what to do.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}
