//! Every recorded case of the original, through the real binary.
//!
//! What the record calls `works` has to be as recorded. Everything else, and what is not there yet,
//! stands in `table` with the reason; a case nobody decided on fails.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use serde_json::Value;

use super::case::{Case, all};
use super::compare::differences;
use super::table::{DIFFERENT, Decision, LATER, decision};

/// Cases run at once: most of their time they wait for the clock.
const SIDE_BY_SIDE: usize = 12;

fn check(groups: &[&str]) {
    let mut cases: Vec<Case> = all();
    cases.retain(|case| {
        groups.contains(&case.text("group")) && !matches!(decision(&case.name), Decision::Later)
    });
    assert!(!cases.is_empty(), "no cases of {groups:?}");
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE.min(cases.len()) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Relaxed)) {
                    let found = check_one(case);
                    if !found.is_empty() {
                        failed.lock().unwrap().push(format!(
                            "{} ({}):\n{found}",
                            case.name,
                            case.text("about")
                        ));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    assert!(failed.is_empty(), "{} of {} cases:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

fn check_one(case: &Case) -> String {
    let mut expected = case.recorded["expected"].clone();
    // The original's tracebacks.
    expected.as_object_mut().expect("an object").remove("stderr_last_line");
    if let Decision::Different(patch) = decision(&case.name) {
        merge(&mut expected, &serde_json::from_str(patch).expect("a patch is JSON"));
    } else if case.text("verdict") != "works" {
        return format!("  {} and not decided: {}", case.text("verdict"), case.text("advice"));
    }
    let arguments: Vec<String> = (expected["args"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let outcome = case.run(&expected, &arguments);
    let root = outcome.root.to_str().expect("UTF-8");
    let filled = expected.to_string().replace("{{ROOT}}", root);
    differences(&serde_json::from_str(&filled).expect("still JSON"), &outcome)
}

/// As RFC 7396 says: null removes.
fn merge(value: &mut Value, patch: &Value) {
    let (Some(members), Some(patch)) = (value.as_object_mut(), patch.as_object()) else {
        value.clone_from(patch);
        return;
    };
    for (name, patch) in patch {
        if patch.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), patch);
        }
    }
}

#[test]
fn tokens() {
    check(&["token"]);
}

#[test]
fn timestamps() {
    check(&["timestamp"]);
}

#[test]
fn samples() {
    check(&["breaker", "csv", "meta"]);
}

#[test]
fn rates_and_volumes() {
    check(&["rate", "pdv"]);
}

#[test]
fn starts_and_ends() {
    check(&["end", "backfill"]);
}

#[test]
fn conf_and_command_line() {
    check(&["conf", "cli"]);
}

#[test]
fn replay() {
    check(&["replay"]);
}

#[test]
fn generators_and_workers() {
    check(&["generator", "workers"]);
}

#[test]
fn outputs() {
    check(&["output"]);
}

#[test]
fn every_decision_is_about_a_case_and_every_group_is_run() {
    let cases = all();
    let names: BTreeSet<_> = cases.iter().map(|case| case.name.as_str()).collect();
    let decided: Vec<_> = DIFFERENT.iter().map(|(name, ..)| *name).collect();
    for name in LATER.iter().map(|(name, _)| *name).chain(decided.iter().copied()) {
        assert!(names.contains(name), "{name} is decided and not there");
    }
    assert_eq!(decided.iter().collect::<BTreeSet<_>>().len(), decided.len(), "decided twice");
    let run = [
        "token",
        "timestamp",
        "breaker",
        "csv",
        "meta",
        "rate",
        "pdv",
        "end",
        "backfill",
        "conf",
        "cli",
        "replay",
        "generator",
        "workers",
        "output",
    ];
    let later = |case: &&Case| matches!(decision(&case.name), Decision::Later);
    for case in cases.iter().filter(|case| !later(case)) {
        assert!(run.contains(&case.text("group")), "{} is in no group that is run", case.name);
    }
    assert_eq!(cases.len(), 200);
}
