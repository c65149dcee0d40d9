//! Rules about the tree itself: who imports whom, and that what the pages point at is there.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder (or the file itself) with this ending.
fn files(place: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut places = vec![root().join(place)];
    while let Some(place) = places.pop() {
        if place.is_dir() {
            places.extend(fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()));
        } else if place.extension().is_some_and(|extension| extension == ending) {
            found.push(place);
        }
    }
    found
}

/// The code of these places may not contain these words, outside comments and tests.
fn forbid(places: &[&str], words: &[&str]) {
    for place in places {
        let files = files(place, "rs");
        assert!(!files.is_empty(), "{place} is gone");
        let of_tests = |file: &Path| {
            file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs")
        };
        for file in files.into_iter().filter(|file| !of_tests(file)) {
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
                for word in words {
                    assert!(!line.contains(word), "{}: {word} in {line:?}", file.display());
                }
            }
        }
    }
}

#[test]
fn the_simulators_know_nothing_of_what_they_test() {
    forbid(&["src/sim", "src/sim.rs"], &["crate::nozzle", "crate::hec"]);
}

#[test]
fn the_hec_client_knows_nothing_of_cloud_foundry() {
    forbid(&["src/hec", "src/hec.rs"], &["crate::nozzle", "crate::sim"]);
}

#[test]
fn the_two_programs_know_nothing_of_each_other() {
    forbid(&["src/nozzle", "src/nozzle.rs"], &["crate::eventgen"]);
    forbid(&["src/eventgen", "src/eventgen.rs"], &["crate::nozzle"]);
}

#[test]
fn only_the_demo_runs_simulators() {
    let daemon: Vec<_> = fs::read_dir(root().join("src/nozzle"))
        .unwrap()
        .map(|entry| format!("src/nozzle/{}", entry.unwrap().file_name().to_string_lossy()))
        .filter(|place| !place.contains("demo") && !files(place, "rs").is_empty())
        .collect();
    let daemon: Vec<_> = daemon.iter().map(String::as_str).collect();
    forbid(&daemon, &["crate::sim"]);
}

#[test]
fn the_way_of_an_event_is_pure() {
    let stages = [
        "src/nozzle/wire",
        "src/nozzle/event",
        "src/nozzle/encode",
        "src/nozzle/json",
        "src/nozzle/wire.rs",
        "src/nozzle/event.rs",
        "src/nozzle/encode.rs",
        "src/nozzle/json.rs",
    ];
    forbid(&stages, &["tokio", "reqwest", "std::net", "std::fs", "std::time", "async fn", "UnixNanos::now"]);
}

#[test]
fn when_and_how_eventgen_cuts_runs_is_pure() {
    let stages = [
        "src/eventgen/timer.rs",
        "src/eventgen/engine/cutter.rs",
        "src/eventgen/engine/slot.rs",
        "src/eventgen/engine/seed.rs",
    ];
    forbid(&stages, &["tokio", "std::net", "std::fs", "Instant", "async fn", "UnixNanos::now"]);
}

#[test]
fn the_environment_is_read_by_the_command_line_alone() {
    let places: Vec<_> = files("src", "rs")
        .into_iter()
        .filter(|file| !file.ends_with("src/cli.rs") && !file.ends_with("src/eventgen/cli.rs"))
        .map(|file| file.strip_prefix(root()).unwrap().to_string_lossy().into_owned())
        .collect();
    let places: Vec<_> = places.iter().map(String::as_str).collect();
    forbid(&places, &["env::var", "env::args"]);
}

#[test]
fn pages_point_at_what_is_there() {
    let pages = [
        files("docs", "md"),
        files("README.md", "md"),
        files("ARCHITECTURE.md", "md"),
        files("CHANGELOG.md", "md"),
    ]
    .concat();
    assert!(pages.len() >= 7, "{pages:?}");
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let file = link.split('#').next().unwrap();
            let there =
                file.is_empty() || file.starts_with("http") || page.parent().unwrap().join(file).exists();
            assert!(there, "{}: {link} leads nowhere", page.display());
        }
    }
}

#[test]
fn every_reason_of_the_ledger_is_in_the_operators_page() {
    use firehose_nozzle::nozzle::ledger::{Drop, Filter};
    use firehose_nozzle::nozzle::upstream::Loss;
    let page = fs::read_to_string(root().join("docs/operation.md")).unwrap();
    let labels = [
        Drop::ALL.iter().map(|reason| reason.label()).collect::<Vec<_>>(),
        Filter::ALL.iter().map(|reason| reason.label()).collect(),
        Loss::ALL.iter().map(|loss| loss.label()).collect(),
    ];
    for reason in labels.concat() {
        assert!(page.contains(&format!("`{reason}`")), "{reason}");
    }
}
