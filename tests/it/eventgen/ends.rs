//! How it ends: by itself, by a signal, because nobody reads any more.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::process::{Ended, Running};

fn start(conf: &str, more: &[&str]) -> (tempfile::TempDir, Running) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("eventgen.conf"), conf).unwrap();
    let arguments = ["generate", "eventgen.conf"].iter().chain(more).map(|word| (*word).to_owned());
    let running = Running::start(directory.path(), &arguments.collect::<Vec<_>>(), &[]);
    (directory, running)
}

const ENDLESS: &str = "[load]\ngenerator = windbag\noutputMode = stdout\ncount = 5\ninterval = 0.01\n";

#[test]
fn a_signal_ends_it_with_whole_lines_and_status_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let (_directory, mut running) = start(ENDLESS, &["-v"]);
        assert!(running.wait_for_lines(100));
        running.signal(signal);
        let ended = running.ended();
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        assert!(ended.lines.iter().all(|line| line.text.ends_with(" of 5\n")));
        assert_eq!(ended.lines.len() % 5, 0, "a run is not complete");
        let events = format!("written {}, lost 0", ended.lines.len());
        assert!(ended.stderr.contains(&events), "{events}: {}", ended.stderr);
    }
}

#[test]
fn nobody_reading_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("eventgen.conf"), ENDLESS).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_eventgen"))
        .args(["generate", "eventgen.conf"])
        .current_dir(directory.path())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    // Its other end is closed now.
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output: Broken pipe"));
}

#[test]
fn an_overall_rate_is_kept() {
    // 5 events a second by the conf; 200 events at 400 a second take half a second.
    let conf = "[load]\ngenerator = windbag\noutputMode = stdout\ncount = 5\ninterval = 1\nend = 40\n";
    let (_directory, running) = start(conf, &["--rate", "400"]);
    let ended = running.ended();
    assert_eq!((ended.code(), ended.lines.len()), (Some(0), 200));
    // The last ones are due after 450 ms; later is the machine's business.
    let took = ended.lines[199].at.duration_since(ended.started);
    assert!(took.as_millis() >= 450, "{took:?}");
}

#[test]
fn statuses() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("good.conf"),
        "[l]\ngenerator = windbag\noutputMode = devnull\nend = 1\n",
    )
    .unwrap();
    let bad = "[l]\ngenerator = windbag\noutputMode = file\nfileName = /dev/null/x\nend = 1\n";
    fs::write(directory.path().join("bad.conf"), bad).unwrap();
    let run = |arguments: &[&str]| -> Ended {
        let arguments: Vec<_> = arguments.iter().map(|word| (*word).to_owned()).collect();
        Running::start(directory.path(), &arguments, &[]).ended()
    };
    for (arguments, code, said) in [
        (&["generate", "good.conf"][..], 0, ""),
        (&["generate", "bad.conf"], 1, "/dev/null/x: "),
        (&["generate", "none.conf"], 1, "none.conf is no file"),
        (&["generate"], 2, "CONFIGFILE"),
        (&["generate", "good.conf", "--rate", "0"], 2, "above 0"),
        (&[], 2, "Usage"),
        (&["service", "--role", "standalone"], 1, "not there yet"),
    ] {
        let ended = run(arguments);
        assert_eq!(ended.code(), Some(code), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn memory_does_not_depend_on_how_much_is_asked_for() {
    // As much as it can make, as late as can be, into a pipe that is slow: it waits.
    let conf = "[a]\ngenerator = windbag\noutputMode = stdout\ncount = 1000000000000\n\
                [b]\ngenerator = windbag\noutputMode = devnull\ncount = 1000000000000\ninterval = 0.001\n";
    let (_directory, mut running) = start(conf, &[]);
    assert!(running.wait_for_lines(20_000));
    let status = fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 64 * 1024, "{peak} kB");
    running.signal(Signal::KILL);
}
