//! What measures code on one thread runs to its end, briefly: nothing is judged by its time.
#![allow(clippy::unwrap_used, reason = "a test fails where it must not")]

use std::process::Command;

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_stage_runs() {
    let stages = env!("CARGO_BIN_EXE_perf-stages");
    let names = output(stages, &["--list"]);
    for kind in ["decode", "enrich", "encode", "worker", "gzip"] {
        assert!(names.contains(kind), "{names}");
    }
    assert_eq!(output(stages, &["--passes", "1"]), "", "nothing is timed");
    let table = output(stages, &["enrich"]);
    assert!(table.lines().count() == 2 && table.contains("\nenrich "), "{table}");
}

#[test]
fn tokens_are_rendered() {
    let table = output(env!("CARGO_BIN_EXE_perf-generators"), &["five"]);
    assert!(table.lines().count() == 2 && table.contains("\nfive"), "{table}");
}

#[test]
fn the_floor_wants_rows() {
    let floor = Command::new(env!("CARGO_BIN_EXE_perf-floor")).args(["--rows", "/none"]).output().unwrap();
    let (table, why) = (String::from_utf8_lossy(&floor.stdout), String::from_utf8_lossy(&floor.stderr));
    assert!(table.contains("| prost, a v2 envelope of 17 tags | 2790 |"), "{table}");
    assert!(!floor.status.success() && why.contains("/none: expected rows of perf/run"), "{why}");
}
