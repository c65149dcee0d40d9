//! Which value applies: flag before environment before file before service before default.
//!
//! An empty value counts as none, wherever it stands. Values are still text here; their forms are
//! the business of [`Reader`](super::reader::Reader).

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::container::Container;
use super::document::{Document, read_file, read_services, text_of};
use super::fault::{Fault, Origin, Warning};
use super::flags::FlagValues;
use super::names;
use super::settings::operation::CONFIG_FILE;
use super::settings::{self, Setting};

/// Everything settings are read from. Holds secrets, so it cannot be printed.
pub struct Inputs {
    flags: FlagValues,
    environment: BTreeMap<OsString, OsString>,
}

impl Inputs {
    /// Takes the command line and the environment, such as `std::env::vars_os()`.
    pub fn new<K, V>(flags: FlagValues, environment: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let environment = environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { flags, environment }
    }

    pub(super) fn variable(&self, name: &str) -> Option<&OsStr> {
        self.environment.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }
}

/// The value of a setting that applies, as text, never empty.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// The value of each given setting, and what was noticed on the way.
#[derive(Default)]
pub(super) struct Layers {
    pub(super) given: HashMap<&'static str, Given>,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Warning>,
    pub(super) container: Option<Container>,
}

/// Reads all sources and settles which value applies.
pub(super) fn gather(inputs: &Inputs) -> Layers {
    let mut layers = Layers::default();
    // From the strongest to the weakest: what is there already stays.
    for setting in settings::all() {
        if let Some(text) = inputs.flags.get(setting.name).filter(|text| !text.is_empty()) {
            layers.put(setting, text.to_owned(), Origin::Flag);
        }
    }
    for setting in settings::all() {
        let Some(value) = setting.variables().find_map(|name| inputs.variable(&name)) else { continue };
        match value.to_str() {
            Some(text) => layers.put(setting, text.to_owned(), Origin::Environment),
            None => layers.faults.push(Fault::value(
                setting,
                Origin::Environment,
                &value.to_string_lossy(),
                "UTF-8 text".to_owned(),
            )),
        }
    }
    layers.add_file();
    layers.add_services(inputs);
    layers.container = inputs.variable("VCAP_APPLICATION").map(|application| {
        let services = inputs.variable("VCAP_SERVICES").unwrap_or_default();
        Container::read(&application.to_string_lossy(), &services.to_string_lossy())
    });
    let names = inputs.environment.keys().filter_map(|name| name.to_str());
    let foreign =
        names.filter(|name| !settings::all().any(|setting| setting.variables().any(|known| known == *name)));
    layers.warnings.extend(foreign.filter_map(names::remark));
    layers
}

impl Layers {
    fn put(&mut self, setting: &Setting, text: String, origin: Origin) {
        self.given.entry(setting.name).or_insert(Given { text, origin });
    }

    fn add_file(&mut self) {
        let Some(path) = self.given.get(CONFIG_FILE.name) else { return };
        match read_file(Path::new(&path.text)) {
            Ok(document) => {
                let mut seen = HashMap::new();
                self.add_document(document, &mut seen);
            }
            Err(fault) => self.faults.push(fault),
        }
    }

    fn add_services(&mut self, inputs: &Inputs) {
        let Some(value) = inputs.variable("VCAP_SERVICES") else { return };
        match read_services(&value.to_string_lossy()) {
            Ok(documents) => {
                let mut seen = HashMap::new();
                for document in documents {
                    self.add_document(document, &mut seen);
                }
            }
            Err(fault) => self.faults.push(fault),
        }
    }

    /// `seen` tells where the same layer gave a setting before.
    fn add_document(&mut self, document: Document, seen: &mut HashMap<&'static str, Origin>) {
        let origin = document.origin;
        for (key, value) in document.pairs {
            let Some(setting) = settings::find(&key) else {
                let nearest = names::nearest_setting(&key);
                self.faults.push(Fault::Unknown { name: key, origin: origin.clone(), nearest });
                continue;
            };
            let misplaced = if setting.name == CONFIG_FILE.name {
                Some("can only be given by flag or environment".to_owned())
            } else {
                seen.insert(setting.name, origin.clone()).map(|first| format!("is given by {first} as well"))
            };
            if let Some(why) = misplaced {
                self.faults.push(Fault::Misplaced { name: setting.name, origin: origin.clone(), why });
                continue;
            }
            match text_of(setting, &value) {
                Ok(Some(text)) => self.put(setting, text, origin.clone()),
                Ok(None) => {}
                Err(expected) => {
                    self.faults.push(Fault::value(setting, origin.clone(), &value.to_string(), expected));
                }
            }
        }
    }
}
