//! The command line: one flag for each setting, made from the table.
//!
//! Booleans work as in the Go nozzle, bare and negated (`--add-tags`, `--no-add-tags`), and with a
//! value (`--add-tags=false`). Values are only collected here; what they mean is decided together
//! with those of the other sources.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::settings::{self, Fallback, Kind, Setting, Status};

/// The settings given on the command line, by name. Holds secrets, so it cannot be printed.
#[derive(Default)]
pub struct FlagValues(BTreeMap<&'static str, String>);

impl FlagValues {
    /// The value of the setting `name`, if its flag is given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Takes the flags of settings out of what a command with [`args`] matched.
    pub fn from_matches(matches: &ArgMatches) -> Self {
        let mut values = BTreeMap::new();
        for setting in settings::all() {
            if let Some(value) = matches.get_one::<String>(setting.name) {
                values.insert(setting.name, value.clone());
            } else if setting.kind == Kind::Bool && matches.get_flag(&negation(setting)) {
                values.insert(setting.name, "false".to_owned());
            }
        }
        Self(values)
    }
}

/// Why there are no flag values.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// Help was asked for: print it and exit well.
    #[error("{0}")]
    Help(String),
    /// The command line cannot be understood.
    #[error("{0}")]
    Invalid(String),
}

/// Parses the arguments after the name of the program (and of a subcommand).
///
/// # Errors
/// The help text where it is asked for; else what is wrong with the arguments.
pub fn parse<I, T>(arguments: I) -> Result<FlagValues, FlagError>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let command = Command::new("nozzle").no_binary_name(true).args(args());
    match command.try_get_matches_from(arguments) {
        Ok(matches) => Ok(FlagValues::from_matches(&matches)),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => Err(FlagError::Help(error.to_string())),
        Err(error) => Err(FlagError::Invalid(error.to_string())),
    }
}

/// The flags of all settings, grouped by theme, for a command to take in.
pub fn args() -> impl Iterator<Item = Arg> {
    settings::all().flat_map(|setting| {
        let negated = (setting.kind == Kind::Bool).then(|| {
            Arg::new(negation(setting))
                .long(negation(setting))
                .action(ArgAction::SetTrue)
                .conflicts_with(setting.name)
                .hide(true)
        });
        std::iter::once(positive(setting)).chain(negated)
    })
}

fn positive(setting: &'static Setting) -> Arg {
    let mut arg = Arg::new(setting.name)
        .long(setting.flag())
        .value_name(setting.kind.placeholder())
        .help(help(setting))
        .help_heading(setting.theme.title())
        .hide(matches!(setting.status, Status::Unused(_)));
    if let Some(old) = setting.old_flag {
        arg = arg.alias(old);
    }
    if setting.kind == Kind::Bool {
        // A value only after `=`: the next word would be taken for one otherwise.
        arg.num_args(0..=1).require_equals(true).default_missing_value("true")
    } else {
        arg.allow_negative_numbers(true)
    }
}

fn help(setting: &Setting) -> String {
    let default = match setting.fallback {
        Fallback::Nothing => String::new(),
        Fallback::Required => " [required]".to_owned(),
        Fallback::Value(text) | Fallback::Described(text) => format!(" [default: {text}]"),
    };
    format!("{}{default} [{}]", setting.meaning.replace('`', ""), setting.name)
}

fn negation(setting: &Setting) -> String {
    format!("no-{}", setting.flag())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Vec<(&'static str, String)> {
        let values =
            parse(arguments.iter().copied()).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        values.0.into_iter().collect()
    }

    fn refused(arguments: &[&str]) -> String {
        match parse(arguments.iter().copied()) {
            Err(FlagError::Invalid(message)) => message,
            Err(FlagError::Help(_)) => panic!("{arguments:?}: help"),
            Ok(_) => panic!("{arguments:?}: accepted"),
        }
    }

    #[test]
    fn every_flag_gives_its_setting() {
        for setting in settings::all() {
            let flag = format!("--{}=1", setting.flag());
            assert_eq!(parsed(&[&flag]), [(setting.name, "1".to_owned())], "{flag}");
            if setting.kind != Kind::Bool {
                let flag = format!("--{}", setting.flag());
                assert_eq!(parsed(&[&flag, "a=b"]), [(setting.name, "a=b".to_owned())], "{flag}");
            }
        }
    }

    #[test]
    fn booleans_are_bare_negated_or_given() {
        let tags = |value: &str| [("ADD_TAGS", value.to_owned())];
        assert_eq!(parsed(&["--add-tags"]), tags("true"));
        assert_eq!(parsed(&["--no-add-tags"]), tags("false"));
        assert_eq!(parsed(&["--add-tags=F"]), tags("F"));
        assert_eq!(parsed(&["--add-tags="]), tags(""));
        assert!(refused(&["--add-tags", "--no-add-tags"]).contains("cannot be used with"));
        assert!(refused(&["--add-tags", "false"]).contains("false"));
        assert!(refused(&["--no-add-tags=true"]).contains("no-add-tags"));
    }

    #[test]
    fn other_names_of_flags() {
        assert_eq!(parsed(&["--user", "u"]), [("API_USER", "u".to_owned())]);
        assert_eq!(parsed(&["--password=p"]), [("API_PASSWORD", "p".to_owned())]);
        assert_eq!(parsed(&["--subscription-id", "s"]), [("FIREHOSE_SUBSCRIPTION_ID", "s".to_owned())]);
        assert_eq!(parsed(&["--app-limits", "-7"]), [("APP_LIMITS", "-7".to_owned())]);
    }

    #[test]
    fn what_is_refused_is_named_without_its_value() {
        let message = refused(&["--splunk-tokne=s3cr3t"]);
        assert!(message.contains("--splunk-token"), "{message}");
        assert!(!message.contains("s3cr3t"), "{message}");
        let message = refused(&["--splunk-token=s3cr3t", "--splunk-token=s3cr3t"]);
        assert!(message.contains("multiple times") && !message.contains("s3cr3t"), "{message}");
        let message = refused(&["--splunk-token"]);
        assert!(message.contains("--splunk-token"), "{message}");
    }

    #[test]
    fn help_names_every_setting_in_use_under_its_theme() {
        let Err(FlagError::Help(help)) = parse(["--help"]) else { panic!("no help") };
        for setting in settings::all() {
            let there = help.contains(&format!("--{}", setting.flag()));
            assert_eq!(there, !matches!(setting.status, Status::Unused(_)), "{}", setting.name);
            assert_eq!(help.contains(setting.theme.title()), there, "{}", setting.name);
        }
    }
}
