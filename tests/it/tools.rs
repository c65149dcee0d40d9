//! Programs that tests use and that may not be there.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Whether `program` can be started. If not, the calling test has to return: the test is skipped,
/// and says so.
///
/// # Panics
/// With `CI=true`, where nothing may be skipped.
pub(crate) fn available(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!ci, "{program} is not installed, and CI=true allows no test to be skipped");
        // Past the capture of the test harness, so that it is seen.
        let _ = writeln!(std::io::stdout(), "SKIPPED 1 (needs {program})");
    }
    found
}
