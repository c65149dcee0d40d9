//! The one table of settings: names, kinds, defaults and meanings.
//!
//! Environment, command line, files, services, `nozzle config` and `docs/configuration.md` are all
//! driven by it, so that none of them can know a setting the others do not. What is read from a
//! setting is decided by the section that owns it; a test asserts that each one is read.

use std::borrow::Cow;
use std::time::Duration;

use crate::proxy::{self, Proxy};
use crate::units;

pub(super) mod input;
pub(super) mod operation;
pub(super) mod output;
pub(super) mod unused;

/// One setting, whatever way it is given.
#[derive(Debug)]
pub struct Setting {
    /// Environment variable, key of the configuration file and of service credentials.
    pub name: &'static str,
    /// Where it belongs in the reference and the help.
    pub theme: Theme,
    /// The form of its value.
    pub kind: Kind,
    /// What applies when it is not given.
    pub fallback: Fallback,
    /// A value that would be accepted.
    pub example: &'static str,
    /// One line for operators.
    pub meaning: &'static str,
    /// Whether its value must never be shown.
    pub confidential: bool,
    /// How it relates to the Go nozzle's setting of the same name.
    pub status: Status,
    /// The Go nozzle's default, where giving it explicitly counts as giving nothing: the tile always
    /// exports its defaults, so it tells nothing of what the operator wants.
    pub go_default: Option<&'static str>,
    /// The flag, where it is not the name in lower case with dashes.
    flag: Option<&'static str>,
    /// A further, older flag.
    pub old_flag: Option<&'static str>,
    /// Whether the environment variable may be in lower case as well, as other programs have it.
    lower_case_too: bool,
}

/// Where a setting belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Theme {
    /// The foundation's API and the client that signs in to it.
    CloudFoundry,
    /// How the firehose is read.
    Firehose,
    /// Which events are delivered, and what is added to them.
    Events,
    /// Names of apps, spaces and organizations, and indexes chosen by apps.
    AppInfo,
    /// The HTTP Event Collector.
    Splunk,
    /// Work, memory and shutdown.
    Flow,
    /// Running and watching the nozzle.
    Operation,
    /// Settings of the Go nozzle that are accepted and do nothing.
    Unused,
}

impl Theme {
    /// Every theme, in the order of the reference.
    pub const ALL: [Self; 8] = [
        Self::CloudFoundry,
        Self::Firehose,
        Self::Events,
        Self::AppInfo,
        Self::Splunk,
        Self::Flow,
        Self::Operation,
        Self::Unused,
    ];

    /// The heading in the reference and the help.
    pub fn title(self) -> &'static str {
        match self {
            Self::CloudFoundry => "Cloud Foundry",
            Self::Firehose => "The firehose",
            Self::Events => "Events",
            Self::AppInfo => "App names and indexes",
            Self::Splunk => "Splunk",
            Self::Flow => "Work, memory and shutdown",
            Self::Operation => "Operation",
            Self::Unused => "Accepted, without effect",
        }
    }
}

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `http://` or `https://`, one address.
    Url,
    /// The same, or several.
    Urls,
    /// Go's booleans.
    Bool,
    /// A whole number in a range, both ends included.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A duration in a range, both ends included.
    Duration {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// A duration of any length and sign; only for what is not used.
    AnyDuration,
    /// A size in a range, both ends included.
    Bytes {
        /// The least, in bytes.
        min: u64,
        /// The greatest, in bytes.
        max: u64,
    },
    /// So many per second.
    Rate {
        /// The greatest; the least is 1.
        max: u32,
    },
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// Names, separated by commas or as a JSON array.
    List,
    /// `name:value` pairs, separated by commas, or a JSON object.
    Pairs,
    /// An HTTP proxy, maybe with credentials.
    Proxy,
    /// A file that exists.
    File,
    /// A folder that exists.
    Folder,
    /// A file that may come and change while the nozzle runs.
    LaterFile,
    /// Host name or address, and port.
    HostPort,
    /// IP address and port.
    Socket,
    /// A log level or filter.
    LogFilter,
}

impl Kind {
    /// The expected form, for messages: "… is not `<this>`".
    pub fn form(self) -> Cow<'static, str> {
        match self {
            Self::Text => "text".into(),
            Self::Url => "one URL that starts with https:// or http://".into(),
            Self::Urls => {
                "one URL that starts with https:// or http://, or several, separated by commas".into()
            }
            Self::Bool => units::BOOL_FORM.into(),
            Self::Integer { min: i64::MIN, max: i64::MAX } => units::INTEGER_FORM.into(),
            Self::Integer { min: i64::MIN, max } => format!("{}, at most {max}", units::INTEGER_FORM).into(),
            Self::Integer { min, max } => format!("{} from {min} to {max}", units::INTEGER_FORM).into(),
            Self::Duration { min, max } => {
                format!("{} (from {} to {})", units::DURATION_FORM, short(min), short(max)).into()
            }
            Self::AnyDuration => units::DURATION_FORM.into(),
            Self::Bytes { min, max } => format!("{} (from {min} to {max} bytes)", units::BYTES_FORM).into(),
            Self::Rate { max } => format!("a rate from 1/s to {max}/s").into(),
            Self::Choice(words) => format!("one of {}", words.join(", ")).into(),
            Self::List => "a list of names, separated by commas".into(),
            Self::Pairs => {
                "name:value pairs, separated by commas, or a JSON object (for values with colons or commas)"
                    .into()
            }
            Self::Proxy => proxy::PROXY_FORM.into(),
            Self::File => "the path of a file that exists".into(),
            Self::Folder => "the path of a folder that exists".into(),
            Self::LaterFile => "the path of a file".into(),
            Self::HostPort => "a host and a port".into(),
            Self::Socket => "an IP address and a port".into(),
            Self::LogFilter => "error, warn, info, debug, trace, off or a filter by module".into(),
        }
    }

    /// What stands for the value in the help.
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Url => "URL",
            Self::Urls => "URLS",
            Self::Bool => "BOOL",
            Self::Integer { .. } => "N",
            Self::Duration { .. } | Self::AnyDuration => "DURATION",
            Self::Bytes { .. } => "SIZE",
            Self::Rate { .. } => "RATE",
            Self::Choice(_) => "WORD",
            Self::List => "NAMES",
            Self::Pairs => "PAIRS",
            Self::Proxy => "PROXY",
            Self::File | Self::LaterFile => "FILE",
            Self::Folder => "FOLDER",
            Self::HostPort => "HOST:PORT",
            Self::Socket => "ADDRESS:PORT",
            Self::LogFilter => "LEVEL",
        }
    }
}

/// A duration as it would be written in a setting.
fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match () {
        () if duration.subsec_nanos() == 0 && seconds >= 3600 && seconds.is_multiple_of(3600) => {
            format!("{}h", seconds / 3600)
        }
        () if duration.subsec_nanos() == 0 && seconds >= 60 && seconds.is_multiple_of(60) => {
            format!("{}m", seconds / 60)
        }
        () => format!("{duration:?}"),
    }
}

/// What applies when a setting is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// It must be given.
    Required,
    /// Nothing: the feature is off, or decided by other settings.
    Nothing,
    /// This value, written as it would be in the setting.
    Value(&'static str),
    /// Something no value of the setting can say.
    Described(&'static str),
}

impl Fallback {
    /// The default as the reference and `nozzle config` show it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Nothing => "–",
            Self::Value(text) | Self::Described(text) => text,
        }
    }
}

/// How a setting relates to the Go nozzle's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Same name, same effect.
    Kept,
    /// Same name, and an effect or default that differs as told.
    Mapped(&'static str),
    /// The Go nozzle does not have it.
    Ours,
    /// Accepted so that old manifests work; has no effect, for the reason told.
    Unused(&'static str),
}

impl Setting {
    const fn new(name: &'static str, theme: Theme, kind: Kind, example: &'static str) -> Self {
        Self {
            name,
            theme,
            kind,
            fallback: Fallback::Nothing,
            example,
            meaning: "",
            confidential: false,
            status: Status::Ours,
            go_default: None,
            flag: None,
            old_flag: None,
            lower_case_too: false,
        }
    }

    const fn required(mut self) -> Self {
        self.fallback = Fallback::Required;
        self
    }

    const fn or(mut self, value: &'static str) -> Self {
        self.fallback = Fallback::Value(value);
        self
    }

    const fn otherwise(mut self, description: &'static str) -> Self {
        self.fallback = Fallback::Described(description);
        self
    }

    const fn means(mut self, meaning: &'static str) -> Self {
        self.meaning = meaning;
        self
    }

    const fn secret(mut self) -> Self {
        self.confidential = true;
        self
    }

    const fn kept(mut self) -> Self {
        self.status = Status::Kept;
        self
    }

    const fn mapped(mut self, difference: &'static str) -> Self {
        self.status = Status::Mapped(difference);
        self
    }

    const fn unused(mut self, reason: &'static str) -> Self {
        self.status = Status::Unused(reason);
        self
    }

    const fn go_default(mut self, value: &'static str) -> Self {
        self.go_default = Some(value);
        self
    }

    const fn in_either_case(mut self) -> Self {
        self.lower_case_too = true;
        self
    }

    const fn flags(mut self, flag: Option<&'static str>, old: Option<&'static str>) -> Self {
        self.flag = flag;
        self.old_flag = old;
        self
    }

    /// The command-line flag, without its dashes.
    pub fn flag(&self) -> String {
        match self.flag {
            Some(flag) => flag.to_owned(),
            None => self.name.to_ascii_lowercase().replace('_', "-"),
        }
    }

    /// The environment variables that give it, the strongest first.
    pub fn variables(&self) -> impl Iterator<Item = Cow<'static, str>> {
        let lower = self.lower_case_too.then(|| self.name.to_ascii_lowercase().into());
        std::iter::once(self.name.into()).chain(lower)
    }

    /// The value as it may be shown.
    ///
    /// Secrets never are; nor is an address that may carry one, before or after the host. Of a
    /// proxy with credentials only the host is shown.
    pub fn shown(&self, value: &str) -> String {
        if self.kind == Kind::Proxy {
            return match Proxy::parse(value) {
                Some(proxy) if proxy.has_credentials() => format!("{REDACTED}@{}", proxy.address()),
                None if value.contains('@') => REDACTED.to_owned(),
                Some(_) | None => value.to_owned(),
            };
        }
        let address_with_secret =
            matches!(self.kind, Kind::Url | Kind::Urls) && value.contains(['@', '?', '#']);
        if self.confidential || address_with_secret { REDACTED.to_owned() } else { value.to_owned() }
    }
}

/// Stands for a value that must not be shown.
pub const REDACTED: &str = "[redacted]";

/// Every setting, in the order of the reference.
pub fn all() -> impl Iterator<Item = &'static Setting> + Clone {
    [input::ALL, output::ALL, operation::ALL, unused::ALL].into_iter().flatten().copied()
}

/// The setting of that name, in any case.
pub fn find(name: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_flags_are_unique_and_well_formed() {
        let mut names = BTreeSet::new();
        let mut flags = BTreeSet::new();
        for setting in all() {
            assert!(names.insert(setting.name), "{} is there twice", setting.name);
            assert!(setting.name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{}", setting.name);
            for flag in [Some(setting.flag()), setting.old_flag.map(str::to_owned)].into_iter().flatten() {
                assert!(flags.insert(flag.clone()), "--{flag} is there twice");
                // Else --no-x of one setting could be the flag of another.
                assert!(!flag.starts_with("no-"), "--{flag}");
            }
            assert!(!setting.meaning.is_empty() && !setting.example.is_empty(), "{}", setting.name);
        }
        assert_eq!(find("api_user").map(Setting::flag).as_deref(), Some("user"));
        assert_eq!(find("API_PASSWORD").map(Setting::flag).as_deref(), Some("password"));
        assert_eq!(find("HEC_BATCH_SIZE").map(Setting::flag).as_deref(), Some("hec-batch-size"));
    }

    #[test]
    fn everything_that_names_a_secret_is_secret() {
        for setting in all() {
            let secret_name = ["TOKEN", "SECRET", "PASSWORD"].iter().any(|word| setting.name.contains(word));
            // Where a secret is kept is none.
            let secret = secret_name && setting.kind != Kind::File;
            assert_eq!(setting.confidential, secret, "{}", setting.name);
        }
    }

    #[test]
    fn themes_are_contiguous_and_unused_means_unused() {
        let mut order: Vec<Theme> = all().map(|setting| setting.theme).collect();
        order.dedup();
        assert_eq!(order, Theme::ALL);
        for setting in all() {
            let unused = matches!(setting.status, Status::Unused(_));
            assert_eq!(unused, setting.theme == Theme::Unused, "{}", setting.name);
        }
    }
}
