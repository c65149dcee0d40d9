//! What a stanza has after inheritance.
//!
//! For a setting, the first of these that has it counts; tokens of all of them apply, in this order:
//!
//! 1. the stanza itself,
//! 2. stanzas whose name as a pattern matches its name: for settings the last one first, for tokens
//!    in the order of the conf,
//! 3. stanzas whose name matches the sample file but not the stanza's name: longest name first,
//! 4. `[DEFAULT]`,
//! 5. `[global]`,
//! 6. the built-in defaults.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::section::{Checked, Section, Sections};
use super::settings;
use super::values;
use crate::eventgen::config::{Setting, TokenConfig};

/// A stanza with what it inherits.
pub(super) struct View<'a> {
    pub(super) stanza: &'a Section,
    /// Strongest first.
    layers: Vec<&'a Section>,
    /// In the order in which their tokens apply.
    token_order: Vec<&'a Section>,
}

impl<'a> View<'a> {
    /// The stanza as it is for one of its files, or without any.
    pub(super) fn new(sections: &'a Sections, stanza: &'a Section, file: Option<&str>) -> Self {
        let others = || sections.stanzas.iter().filter(|other| !std::ptr::eq(*other, stanza));
        let by_name: Vec<_> = others().filter(|other| other.matches(&stanza.name)).collect();
        let mut by_file: Vec<_> = others()
            .filter(|other| !other.matches(&stanza.name) && file.is_some_and(|file| other.matches(file)))
            .collect();
        by_file.sort_by_key(|other| std::cmp::Reverse(other.name.chars().count()));
        let common = [&sections.default, &sections.global];
        Self {
            stanza,
            layers: [stanza]
                .into_iter()
                .chain(by_name.iter().rev().copied())
                .chain(by_file.iter().copied())
                .chain(common)
                .collect(),
            token_order: [stanza].into_iter().chain(by_name).chain(by_file).chain(common).collect(),
        }
    }

    /// A setting, if it is set anywhere.
    pub(super) fn get(&self, name: &str) -> Option<&'a Checked> {
        self.layers.iter().find_map(|layer| layer.get(name))
    }

    /// The value of a setting, or its default.
    pub(super) fn text(&self, name: &'static str) -> &'a str {
        self.given(name).unwrap_or(settings::default(name))
    }

    /// The value of a setting, if it is set.
    pub(super) fn given(&self, name: &str) -> Option<&'a str> {
        self.get(name).map(|checked| checked.entry.value.as_str())
    }

    /// Reads a setting that has been checked; the default stands in for one that is not good.
    pub(super) fn read<T>(&self, name: &'static str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        read(self.text(name)).or_else(|_| read(settings::default(name))).ok()
    }

    pub(super) fn flag(&self, name: &'static str) -> bool {
        self.read(name, values::boolean).unwrap_or_default()
    }

    /// All settings that are set, as written.
    pub(super) fn settings(&self) -> BTreeMap<String, Setting> {
        let mut settings = BTreeMap::new();
        for layer in &self.layers {
            for name in layer.names() {
                if let (false, Some(checked)) = (settings.contains_key(&**name), layer.get(name)) {
                    settings.insert(name.to_string(), checked.setting());
                }
            }
        }
        settings
    }

    /// A setting whose value cannot be used and without which the stanza cannot run.
    pub(super) fn broken(&self) -> Option<Arc<str>> {
        let names = self.layers.iter().flat_map(|layer| layer.names());
        let mut broken = names.filter(|name| self.get(name).is_some_and(|checked| !checked.is_good));
        broken.next().cloned()
    }

    pub(super) fn tokens(&self) -> Vec<TokenConfig> {
        self.token_order.iter().flat_map(|section| section.tokens.iter().cloned()).collect()
    }
}
