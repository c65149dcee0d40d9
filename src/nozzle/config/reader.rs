//! Turns the text of settings into values, and keeps what is to be said about each.
//!
//! A section asks for all its settings before it gives up on any of them (`?` comes last), so that
//! every fault is found in one go. `None` means: at fault, and noted.

use std::collections::{BTreeMap, BTreeSet};

use super::container::Container;
use super::fault::{Fault, Origin, Warning};
use super::layers::{Given, Layers};
use super::parse;
use super::settings::{self, Fallback, Setting, Status};
use super::show::Row;

/// A value, or the form that was expected.
pub(super) type Parsed<T> = Result<T, String>;

/// Hands out typed values; collects faults, warnings and what `nozzle config` shows.
pub(super) struct Reader {
    layers: Layers,
    /// What applies where it is neither the given text nor the default of the table.
    effective: BTreeMap<&'static str, String>,
    /// Settings given with the Go nozzle's default, which count as not given.
    default_given: BTreeSet<&'static str>,
    asked: BTreeSet<&'static str>,
}

impl Reader {
    pub(super) fn new(layers: Layers) -> Self {
        Self { layers, effective: BTreeMap::new(), default_given: BTreeSet::new(), asked: BTreeSet::new() }
    }

    /// What is given for the setting, unless it only repeats the Go nozzle's default.
    fn given(&mut self, setting: &'static Setting) -> Option<Given> {
        self.asked.insert(setting.name);
        let given = self.layers.given.get(setting.name)?;
        if setting.go_default.is_some_and(|default| parse::same(setting.kind, &given.text, default)) {
            self.default_given.insert(setting.name);
            return None;
        }
        Some(given.clone())
    }

    /// The value, if one is given.
    pub(super) fn optional<T>(
        &mut self,
        setting: &'static Setting,
        parse: impl FnOnce(&'static Setting, &str) -> Parsed<T>,
    ) -> Option<Option<T>> {
        let Some(given) = self.given(setting) else { return Some(None) };
        self.parsed(setting, &given, parse).map(Some)
    }

    /// The value; it is a fault if none is given and the table has no default to parse.
    pub(super) fn value<T>(
        &mut self,
        setting: &'static Setting,
        parse: impl FnOnce(&'static Setting, &str) -> Parsed<T>,
    ) -> Option<T> {
        let given = match (self.given(setting), setting.fallback) {
            (Some(given), _) => given,
            (None, Fallback::Value(text)) => Given { text: text.to_owned(), origin: Origin::Default },
            (None, _) => {
                self.missing(setting, "it is required");
                return None;
            }
        };
        self.parsed(setting, &given, parse)
    }

    fn parsed<T>(
        &mut self,
        setting: &'static Setting,
        given: &Given,
        parse: impl FnOnce(&'static Setting, &str) -> Parsed<T>,
    ) -> Option<T> {
        match parse(setting, &given.text) {
            Ok(value) => Some(value),
            Err(expected) => {
                let fault = Fault::value(setting, given.origin.clone(), &given.text, expected);
                self.layers.faults.push(fault);
                None
            }
        }
    }

    /// Notes that a setting must be given.
    pub(super) fn missing(&mut self, setting: &'static Setting, why: &'static str) {
        self.layers.faults.push(Fault::Missing { name: setting.name, why, example: setting.example });
    }

    /// Notes something that stops nothing.
    pub(super) fn warn(&mut self, setting: &'static Setting, message: impl Into<String>) {
        self.layers.warnings.push(Warning { name: setting.name.to_owned(), message: message.into() });
    }

    /// Notes that another value applies than the one given or in the table.
    pub(super) fn applies(&mut self, setting: &'static Setting, value: impl Into<String>) {
        self.effective.insert(setting.name, value.into());
    }

    /// The container the process runs in, if the platform tells of one.
    pub(super) fn container(&self) -> Option<&Container> {
        self.layers.container.as_ref()
    }

    /// Whether the setting is given at all, by whatever value.
    pub(super) fn is_given(&self, setting: &'static Setting) -> bool {
        self.layers.given.contains_key(setting.name)
    }

    /// Checks what is not used, and warns of it.
    pub(super) fn unused(&mut self) {
        for setting in settings::all() {
            let Status::Unused(why) = setting.status else { continue };
            if let Some(Some(())) = self.optional(setting, |setting, text| parse::check(setting.kind, text)) {
                self.warn(setting, format!("has no effect: {why}"));
            }
        }
    }

    /// What was noticed, and the rows to show.
    pub(super) fn finish(self) -> (Vec<Fault>, Vec<Warning>, Vec<Row>) {
        let rows = settings::all().map(|setting| self.row(setting)).collect();
        (self.layers.faults, self.layers.warnings, rows)
    }

    fn row(&self, setting: &'static Setting) -> Row {
        let given = self.layers.given.get(setting.name);
        let given = given.filter(|_| !self.default_given.contains(setting.name));
        let (text, origin) = match given {
            Some(given) => (given.text.as_str(), given.origin.clone()),
            None => (setting.fallback.text(), Origin::Default),
        };
        let text = self.effective.get(setting.name).map_or(text, String::as_str);
        let value = if origin == Origin::Default { text.to_owned() } else { setting.shown(text) };
        Row { name: setting.name, value, origin }
    }

    /// The settings that were asked for.
    #[cfg(test)]
    pub(super) fn asked(&self) -> &BTreeSet<&'static str> {
        &self.asked
    }
}
