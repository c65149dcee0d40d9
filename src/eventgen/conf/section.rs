//! The stanzas of a conf, each setting checked on its own.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::Findings;
use super::finding::{Finding, Level, Spot};
use super::ini::{Conf, Entry, Stanza};
use super::settings::{Effect, Known, SETTINGS, is_secret, known, nearest};
use super::tokens::Parts;
use crate::eventgen::config::{Setting, TokenConfig};
use crate::eventgen::pattern::Pattern;

/// All stanzas.
#[derive(Debug)]
pub(super) struct Sections {
    /// `[global]`: weaker than all but the defaults.
    pub(super) global: Section,
    /// `[DEFAULT]`: over `[global]`, below stanzas.
    pub(super) default: Section,
    /// All others, in their order.
    pub(super) stanzas: Vec<Section>,
}

/// A stanza.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) name: Arc<str>,
    /// Where its heading stands; `None` for one that is not there.
    pub(super) spot: Option<Spot>,
    settings: BTreeMap<Arc<str>, Checked>,
    pub(super) tokens: Vec<TokenConfig>,
    /// The name as a pattern of whole names; `None` if it is none.
    pattern: Option<Pattern>,
}

/// A setting that has been checked.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) entry: Entry,
    /// Whether its value can be used; if not, the stanzas it applies to cannot run.
    pub(super) is_good: bool,
}

impl Sections {
    /// Checks everything that can be checked without knowing what inherits from what.
    ///
    /// With plugins that are not ours, unknown settings may be theirs.
    pub(super) fn check(conf: Conf, custom: bool, findings: &mut Findings) -> Self {
        let mut checker = Checker { custom, noted: HashSet::new(), findings };
        let mut sections = Self {
            global: Section::empty("global"),
            default: Section::empty("DEFAULT"),
            stanzas: Vec::new(),
        };
        for stanza in conf.stanzas {
            match &*stanza.name {
                "global" => sections.global = checker.section(stanza, true),
                "DEFAULT" => sections.default = checker.section(stanza, false),
                "default" => {
                    let message = "[default] is not read, as it never was";
                    let help = "settings for all samples stand in [global]";
                    checker.findings.push(Finding::at(Level::Warning, &stanza.spot, message).help(help));
                }
                _ => {
                    let mut section = checker.section(stanza, false);
                    section.pattern = checker.pattern(&section);
                    sections.stanzas.push(section);
                }
            }
        }
        sections
    }
}

impl Section {
    fn empty(name: &str) -> Self {
        Self { name: name.into(), spot: None, settings: BTreeMap::new(), tokens: Vec::new(), pattern: None }
    }

    /// A setting of its own.
    pub(super) fn get(&self, name: &str) -> Option<&Checked> {
        self.settings.get(name)
    }

    /// The value of a setting of its own, if it can be used.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|checked| checked.is_good).map(|checked| checked.entry.value.as_str())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.settings.keys()
    }

    pub(super) fn as_written(&self) -> BTreeMap<String, Setting> {
        self.settings.iter().map(|(name, checked)| (name.to_string(), checked.setting())).collect()
    }

    /// Whether its name means this whole text: as a pattern, or letter by letter.
    pub(super) fn matches(&self, text: &str) -> bool {
        *self.name == *text || self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(text))
    }
}

impl Checked {
    pub(super) fn setting(&self) -> Setting {
        Setting { value: self.entry.value.clone(), place: Some(self.entry.value_spot.place()) }
    }
}

struct Checker<'a> {
    custom: bool,
    /// Settings without effect that have been noted.
    noted: HashSet<&'static str>,
    findings: &'a mut Findings,
}

impl Checker<'_> {
    fn section(&mut self, stanza: Stanza, is_global: bool) -> Section {
        let mut section = Section::empty(&stanza.name);
        section.spot = Some(stanza.spot);
        let mut parts = Parts::default();
        for entry in stanza.entries {
            if entry.name.starts_with("token.") {
                parts.take(entry, self.findings);
            } else if let Some(known) = known(&entry.name) {
                self.effect(known, &entry, is_global);
                if let Some(checked) = self.value(known, entry) {
                    section.settings.insert(Arc::clone(&checked.entry.name), checked);
                }
            } else {
                self.unknown(&entry);
                section.settings.insert(Arc::clone(&entry.name), Checked { entry, is_good: true });
            }
        }
        section.tokens = parts.finish(self.findings);
        section
    }

    fn unknown(&mut self, entry: &Entry) {
        let near = nearest(&entry.name, SETTINGS.iter().map(|known| known.name));
        if self.custom && near.is_none() {
            return;
        }
        let finding =
            Finding::at(Level::Warning, &entry.name_spot, format!("unknown setting {}", entry.name));
        self.findings.push(match near {
            Some(near) => finding.help(format!("did you mean {near}?")),
            None => finding.help("it is ignored"),
        });
    }

    fn effect(&mut self, known: &'static Known, entry: &Entry, is_global: bool) {
        let (level, message) = match known.effect {
            Effect::Sample => return,
            Effect::Run if is_global => return,
            Effect::Run => {
                (Level::Warning, format!("{} is for the whole run and has no effect here", known.name))
            }
            Effect::None => (Level::Note, format!("{} has no effect", known.name)),
            Effect::Later => (Level::Note, format!("{} has no effect yet", known.name)),
        };
        if level == Level::Note && !self.noted.insert(known.name) {
            return;
        }
        self.findings.push(Finding::at(level, &entry.name_spot, message).help(match known.effect {
            Effect::Run => "it belongs in [global]".to_owned(),
            Effect::Later => format!("it belongs to what is not there yet: {}", known.about),
            _ => known.about.to_owned(),
        }));
    }

    /// Checks a value; `None` if it is dropped.
    fn value(&mut self, known: &'static Known, entry: Entry) -> Option<Checked> {
        // As if it were not there, except where nothing is something.
        if entry.value.is_empty() && known.kind != super::values::Kind::Text {
            return None;
        }
        let Err((why, offset)) = known.kind.check(&entry.value) else {
            return Some(Checked { entry, is_good: true });
        };
        let vital = known.kind.is_vital();
        let spot =
            offset.map_or_else(|| entry.value_spot.clone(), |at| entry.value_spot.inside(&entry.value, at));
        let level = if vital { Level::Error } else { Level::Warning };
        let value: String = match is_secret(known.name) {
            true => "…".to_owned(),
            false => entry.value.chars().take(60).collect(),
        };
        let finding = Finding::at(level, &spot, format!("{} = {value}: {why}", known.name));
        self.findings.push(finding.help(match (vital, known.default) {
            (true, _) => "stanzas it applies to do not run".to_owned(),
            (false, "") => "it is ignored".to_owned(),
            (false, default) => format!("it is ignored; the default is {default}"),
        }));
        vital.then_some(Checked { entry, is_good: false })
    }

    fn pattern(&mut self, section: &Section) -> Option<Pattern> {
        let error = match Pattern::new(&format!(r"\A(?:{})\Z", section.name)) {
            Ok(pattern) => return Some(pattern),
            // Without what was put around it, so that the place is right.
            Err(error) => Pattern::new(&section.name).err().unwrap_or(error),
        };
        let heading = section.spot.as_ref()?;
        let name =
            Spot { column: heading.column + 1, width: section.name.chars().count(), ..heading.clone() };
        let spot = error.offset.map_or_else(|| name.clone(), |at| name.inside(&section.name, at));
        let message = format!("[{}] is no regular expression: {error}", section.name);
        let as_glob = section.name.replace('.', r"\.").replace('*', ".*");
        let help = match Pattern::new(&as_glob) {
            Ok(_) if section.name.contains('*') => {
                format!("it is read letter by letter; did you mean [{as_glob}]?")
            }
            _ => "it is read letter by letter".to_owned(),
        };
        self.findings.push(Finding::at(Level::Warning, &spot, message).help(help));
        None
    }
}
