//! One recorded case: what is there before, how it is run, what came of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use super::capture::Capture;
use super::process::{Ended, Running};

/// A case with the place it runs in.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) recorded: Value,
}

/// What came of a run.
pub(super) struct Outcome {
    pub(super) ended: Ended,
    /// It ran until it was told to stop.
    pub(super) was_stopped: bool,
    /// Files that were made or changed.
    pub(super) files: BTreeMap<String, String>,
    pub(super) servers: Vec<Capture>,
    pub(super) root: PathBuf,
}

/// The folder of the cases.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/eventgen")
}

/// All cases, by name.
pub(super) fn all() -> Vec<Case> {
    let mut cases: Vec<Case> = (fs::read_dir(folder()).expect("golden data"))
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("readable");
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            Case { name, recorded: serde_json::from_str(&text).expect("JSON") }
        })
        .collect();
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases
}

impl Case {
    pub(super) fn text(&self, key: &str) -> &str {
        self.recorded[key].as_str().unwrap_or_default()
    }

    /// Runs it, with more arguments; `patched` is what is expected of it.
    pub(super) fn run(&self, patched: &Value, more: &[String]) -> Outcome {
        let directory = tempfile::tempdir().expect("a folder");
        let root = directory.keep();
        let servers: Vec<Capture> =
            list(&self.recorded["capture_servers"]).iter().map(Capture::start).collect();
        let fill = |text: &str| self.fill(text, &root, &servers);
        for folder in ["samples", "default", "out"] {
            fs::create_dir_all(root.join(folder)).expect("a folder");
        }
        let more_conf = patched["append"].as_str().unwrap_or_default();
        let before = self.write_files(&root, more_conf, &fill);
        let mut arguments: Vec<String> = list(&self.recorded["args"])
            .iter()
            .map(|argument| fill(argument.as_str().expect("text")))
            .collect();
        arguments.extend(more.iter().map(|argument| fill(argument)));
        if let Some(start) = self.recorded["clock_start"].as_str() {
            arguments.extend(["--clock-start".to_owned(), start.to_owned()]);
        }
        let environment: Vec<(String, String)> = (self.recorded["env"].as_object().into_iter().flatten())
            .map(|(name, value)| (name.clone(), fill(value.as_str().expect("text"))))
            .collect();
        let mut running = Running::start(&root, &arguments, &environment);
        let mut was_stopped = false;
        if patched["outcome"].as_str().is_some_and(|outcome| outcome.starts_with("still_running")) {
            let lines = patched["stdout_line_count_range"][0].as_u64().unwrap_or(0);
            let enough = running.wait_for_lines(usize::try_from(lines).expect("small"));
            if let Some(requests) = patched["stop_after_requests"].as_u64() {
                servers[0].requests(usize::try_from(requests).expect("small"));
            }
            was_stopped = enough && running.is_running();
            running.signal(Signal::TERM);
        }
        let ended = running.ended();
        let files = changed(&root, &before);
        let outcome = Outcome { ended, was_stopped, files, servers, root: root.clone() };
        fs::remove_dir_all(&root).expect("it is ours");
        outcome
    }

    fn write_files(
        &self,
        root: &Path,
        more_conf: &str,
        fill: &dyn Fn(&str) -> String,
    ) -> BTreeMap<String, String> {
        let mut before = BTreeMap::new();
        for (name, text) in self.recorded["files"].as_object().expect("files") {
            let more = if name == "default/eventgen.conf" { more_conf } else { "" };
            let (path, text) = (root.join(name), fill(text.as_str().expect("text")) + more);
            fs::create_dir_all(path.parent().expect("below the root")).expect("a folder");
            fs::write(path, &text).expect("writable");
            before.insert(name.clone(), text);
        }
        before
    }

    fn fill(&self, text: &str, root: &Path, servers: &[Capture]) -> String {
        let mut text = text.replace("{{ROOT}}", root.to_str().expect("UTF-8"));
        for server in servers {
            text = text.replace(&format!("{{{{{}}}}}", server.name), &server.port.to_string());
        }
        // A port nobody listens on.
        if text.contains("{{PORT}}") {
            let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
            text = text.replace("{{PORT}}", &free.local_addr().expect("bound").port().to_string());
        }
        text
    }
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Files below `root` that are not as they were, but for the counts that are kept for the next run.
fn changed(root: &Path, before: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
            let text = String::from_utf8_lossy(&fs::read(&path).expect("readable")).into_owned();
            if before.get(&name) != Some(&text) && !name.starts_with("samples/state.") {
                files.insert(name, text);
            }
        }
    }
    files
}
