//! Reads an output's own settings, with errors that say what was expected where.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use crate::eventgen::config::SampleConfig;

/// The settings of one sample.
#[derive(Clone, Copy)]
pub(super) struct Settings<'a>(pub(super) &'a SampleConfig);

impl<'a> Settings<'a> {
    /// The text of a setting; `None` if it is missing or empty.
    pub(super) fn text(self, name: &str) -> Option<&'a str> {
        self.0.settings.get(name).map(|setting| setting.value.trim()).filter(|value| !value.is_empty())
    }

    /// A number, or the default.
    pub(super) fn number<T: FromStr>(self, name: &str, default: T, expected: &str) -> Result<T, String> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| self.wrong(name, text, expected)),
        }
    }

    /// Yes or no, or the default.
    pub(super) fn flag(self, name: &str, default: bool) -> Result<bool, String> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => match text.to_ascii_lowercase().as_str() {
                "1" | "true" | "t" | "yes" | "y" | "on" => Ok(true),
                "0" | "false" | "f" | "no" | "n" | "off" => Ok(false),
                _ => Err(self.wrong(name, text, "true or false")),
            },
        }
    }

    /// A path: `$NAME` at its start or after a slash is an environment variable; relative to the
    /// working directory.
    pub(super) fn path(self, name: &str, text: &str) -> Result<PathBuf, String> {
        let mut path = PathBuf::new();
        if text.starts_with('/') {
            path.push("/");
        }
        for part in text.split('/').filter(|part| !part.is_empty()) {
            match part.strip_prefix('$') {
                None => path.push(part),
                Some(variable) => match self.0.variables.get(variable) {
                    Some(value) => path.push(value),
                    None => {
                        let expected = format!("a path whose variables are set; {part} is not");
                        return Err(self.wrong(name, text, &expected));
                    }
                },
            }
        }
        Ok(self.0.working_dir.join(path))
    }

    /// The sentence about a setting that cannot be used.
    pub(super) fn wrong(self, name: &str, value: &str, expected: impl Display) -> String {
        let place = self.0.settings.get(name).and_then(|setting| setting.place.as_ref());
        let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
        format!("{place}{name} = {value:?}: expected {expected}")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::eventgen::config::Place;
    use crate::eventgen::testing::sample;

    #[test]
    fn errors_name_place_setting_value_and_what_was_expected() {
        let mut sample =
            sample("s", &[("port", " 80a "), ("flag", "maybe"), ("dir", "$NOWHERE/x"), ("none", " ")]);
        let file = Arc::new(PathBuf::from("eventgen.conf"));
        sample.settings.get_mut("port").unwrap().place = Some(Place { file, line: 3, column: 8 });
        let settings = Settings(&sample);
        assert_eq!(
            settings.number("port", 1u16, "a port").unwrap_err(),
            "eventgen.conf:3:8: port = \"80a\": expected a port"
        );
        assert_eq!(settings.flag("flag", true).unwrap_err(), "flag = \"maybe\": expected true or false");
        assert!(settings.path("dir", "$NOWHERE/x").unwrap_err().contains("$NOWHERE is not"));
        assert_eq!((settings.text("none"), settings.number("none", 7, "").unwrap()), (None, 7));
    }

    #[test]
    fn paths_are_relative_to_the_working_directory_and_know_variables() {
        let mut sample = sample("s", &[]);
        sample.working_dir = "/srv/app".into();
        sample.variables = Arc::new([("HOME".to_owned(), "/home/me".to_owned())].into());
        let settings = Settings(&sample);
        for (text, expected) in [
            ("a/b.log", "/srv/app/a/b.log"),
            ("/var/log/b.log", "/var/log/b.log"),
            ("$HOME/b.log", "/home/me/b.log"),
            ("../b.log", "/srv/app/../b.log"),
        ] {
            assert_eq!(settings.path("x", text).unwrap(), Path::new(expected));
        }
    }
}
