//! Which stanza makes which sample: the files of the sample folders, and who wins each.
//!
//! The name of a stanza is a pattern of whole file names. A file that several match belongs to the one
//! that is its exact name, else to the longest name, else to the first; what the others say of it is
//! inherited (see [`View`]). Folders below a sample folder are not looked into.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::build::Builder;
use super::finding::{Finding, Level};
use super::locate::{Located, clean, expand};
use super::section::{Section, Sections};
use super::settings::nearest;
use super::view::View;
use super::{Findings, Request};
use crate::eventgen::config::SampleConfig;
use crate::eventgen::pattern::Pattern;
use crate::eventgen::plugin::Registry;

/// More samples than any machine can serve.
const SAMPLES_MAX: usize = 10_000;

/// Where `integerid` tokens keep their numbers; no samples.
const STATE_PREFIX: &str = "state.";

/// All samples, in the order of the conf, and of file names within a stanza.
pub(super) fn samples(
    request: &Request,
    registry: &Registry,
    sections: &Sections,
    located: &Located,
    findings: &mut Findings,
) -> Vec<SampleConfig> {
    let mut folders = Folders::default();
    let claims: Vec<_> = sections
        .stanzas
        .iter()
        .map(|stanza| Claim::of(request, sections, stanza, located, &mut folders, findings))
        .collect();
    let winners = winners(&claims);
    let builder = Builder::new(request, registry);
    let mut samples = Vec::new();
    for (place, claim) in claims.iter().enumerate() {
        let won = claim.files.iter().filter(|file| winners[&(&*claim.folder, file.as_str())] == place);
        for file in won {
            let view = View::new(sections, claim.stanza, Some(file));
            samples.extend(builder.build(&view, &claim.folder, Some(file), findings));
        }
        if claim.files.is_empty() {
            let view = View::new(sections, claim.stanza, None);
            match needs_file(&view) {
                false => samples.extend(builder.build(&view, &claim.folder, None, findings)),
                true if is_template(sections, claim.stanza) || view.flag("disabled") => {}
                true => findings.push(claim.no_file(&folders)),
            }
        }
    }
    if let Some(name) = &request.sample {
        keep(name, &mut samples, findings);
    }
    if samples.len() > SAMPLES_MAX {
        let message = format!("the conf makes {} samples, more than {SAMPLES_MAX}", samples.len());
        let help = "a stanza's pattern matches more files than it is meant to";
        findings.push(Finding::new(Level::Error, message).help(help));
        samples.clear();
    }
    samples
}

/// A stanza and the files its name matches.
struct Claim<'a> {
    stanza: &'a Section,
    folder: PathBuf,
    files: Vec<String>,
}

impl<'a> Claim<'a> {
    fn of(
        request: &Request,
        sections: &Sections,
        stanza: &'a Section,
        located: &Located,
        folders: &mut Folders,
        findings: &mut Findings,
    ) -> Self {
        let view = View::new(sections, stanza, None);
        let folder = sample_dir(request, &view, located, findings);
        let left_out = Pattern::new(&format!(r"\A(?:{})\Z", view.text("blacklist"))).ok();
        // A file that is asked for by its very name is meant.
        let is_sample = |file: &str| {
            *stanza.name == *file
                || !(file.starts_with(STATE_PREFIX)
                    || left_out.as_ref().is_some_and(|left| left.is_match(file)))
        };
        let files = folders.list(&folder).iter().filter(|file| stanza.matches(file) && is_sample(file));
        Self { stanza, files: files.cloned().collect(), folder }
    }

    fn no_file(&self, folders: &Folders) -> Finding {
        let folder = self.folder.display();
        let (message, help) = match folders.known.get(&self.folder) {
            Some(Err(error)) => (
                format!("[{}] has no sample file: {folder} cannot be read: {error}", self.stanza.name),
                "sampleDir names the folder of sample files".to_owned(),
            ),
            Some(Ok(files)) => (
                format!("[{}] has no sample file: none in {folder} has such a name", self.stanza.name),
                match nearest(&self.stanza.name, files.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean [{near}]?"),
                    None => {
                        "the name of a stanza is a regular expression that has to match the whole file name"
                            .to_owned()
                    }
                },
            ),
            None => (format!("[{}] has no sample file", self.stanza.name), String::new()),
        };
        match &self.stanza.spot {
            Some(spot) => Finding::at(Level::Warning, spot, message).help(help),
            None => Finding::new(Level::Warning, message).help(help),
        }
    }
}

fn sample_dir(request: &Request, view: &View<'_>, located: &Located, findings: &mut Findings) -> PathBuf {
    let Some(checked) = view.get("sampleDir") else { return located.sample_dir.clone() };
    let spot = &checked.entry.value_spot;
    let path = match expand(&checked.entry.value, &request.variables) {
        Ok(path) => path,
        Err(variable) => {
            let message = format!("sampleDir names the variable {variable}, which is not set");
            findings.push(Finding::at(Level::Warning, spot, message));
            checked.entry.value.clone()
        }
    };
    let base = spot.source.path.parent().unwrap_or(&request.working_dir);
    clean(&request.working_dir.join(base).join(path))
}

/// The stanza that wins each file of each folder, by its place.
fn winners<'a>(claims: &'a [Claim<'_>]) -> HashMap<(&'a Path, &'a str), usize> {
    let mut winners = HashMap::new();
    let strength = |place: usize, file: &str| {
        let name = &claims[place].stanza.name;
        (**name == *file, name.chars().count(), std::cmp::Reverse(place))
    };
    for (place, claim) in claims.iter().enumerate() {
        for file in &claim.files {
            let winner = winners.entry((&*claim.folder, file.as_str())).or_insert(place);
            if strength(place, file) > strength(*winner, file) {
                *winner = place;
            }
        }
    }
    winners
}

/// Whether what makes the events reads a sample file.
fn needs_file(view: &View<'_>) -> bool {
    view.text("mode") == "replay"
        || view.given("perDayVolume").is_some()
        || matches!(view.text("generator"), "default" | "replay" | "perdayvolumegenerator")
}

/// Whether another stanza inherits from it: then it needs no file of its own.
fn is_template(sections: &Sections, stanza: &Section) -> bool {
    sections.stanzas.iter().any(|other| !std::ptr::eq(other, stanza) && stanza.matches(&other.name))
}

fn keep(name: &str, samples: &mut Vec<SampleConfig>, findings: &mut Findings) {
    let names: Vec<Arc<str>> =
        samples.iter().flat_map(|sample| [Arc::clone(&sample.stanza), Arc::clone(&sample.name)]).collect();
    samples.retain(|sample| *sample.stanza == *name || *sample.name == *name);
    if samples.is_empty() {
        let near = nearest(name, names.iter().map(|name| &**name));
        let finding = Finding::new(Level::Error, format!("there is no sample called {name}"));
        findings.push(match near {
            Some(near) => finding.help(format!("did you mean {near}?")),
            None => finding,
        });
    }
}

/// The names of the files of each sample folder, sorted.
#[derive(Default)]
struct Folders {
    known: BTreeMap<PathBuf, Result<Vec<String>, String>>,
}

impl Folders {
    fn list(&mut self, folder: &Path) -> &[String] {
        let read = || -> std::io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                // Through links: a sample may be one.
                if entry.path().is_file()
                    && let Ok(name) = entry.file_name().into_string()
                {
                    names.push(name);
                }
            }
            names.sort_unstable();
            Ok(names)
        };
        let known = self.known.entry(folder.to_owned());
        known.or_insert_with(|| read().map_err(|error| error.to_string())).as_deref().unwrap_or_default()
    }
}
