//! `eventgen` as a process: started in a folder of its own, watched line by line, never left behind.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// No test waits longer for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// A line of standard output and when it came.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) at: Instant,
}

/// A running `eventgen`; killed when this is dropped.
pub(super) struct Running {
    child: Child,
    stdout: Receiver<Line>,
    stderr: Receiver<String>,
    lines: Vec<Line>,
    open: bool,
    started: Instant,
}

/// What it did.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// Before it was started: nothing it does can be earlier than that.
    pub(super) started: Instant,
    pub(super) lines: Vec<Line>,
    pub(super) stderr: String,
}

impl Ended {
    /// Standard output as it was written.
    pub(super) fn stdout(&self) -> String {
        self.lines.iter().map(|line| line.text.as_str()).collect()
    }

    pub(super) fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

impl Running {
    pub(super) fn start(directory: &Path, arguments: &[String], environment: &[(String, String)]) -> Self {
        let started = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_eventgen"))
            .args(arguments)
            .current_dir(directory)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("eventgen starts");
        let (sender, stdout) = channel();
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            while output.read_until(b'\n', &mut bytes).expect("a pipe can be read") > 0 {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                bytes.clear();
                if sender.send(Line { text, at: Instant::now() }).is_err() {
                    return;
                }
            }
        });
        let (sender, stderr) = channel();
        let mut errors = child.stderr.take().expect("piped");
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            errors.read_to_end(&mut bytes).expect("a pipe can be read");
            // The receiver may be gone.
            let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
        });
        Self { child, stdout, stderr, lines: Vec::new(), open: true, started }
    }

    /// Waits until so many lines have come; false if it ended before.
    pub(super) fn wait_for_lines(&mut self, count: usize) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while self.lines.len() < count && self.open {
            match self.stdout.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.lines.push(line),
                Err(RecvTimeoutError::Disconnected) => self.open = false,
                Err(RecvTimeoutError::Timeout) => panic!("{} lines after {PATIENCE:?}", self.lines.len()),
            }
        }
        self.lines.len() >= count
    }

    /// Whether it has not ended yet.
    pub(super) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("not 0");
        kill_process(pid, signal).expect("it is there");
    }

    /// Waits for its end.
    pub(super) fn ended(mut self) -> Ended {
        while self.open {
            let more = self.lines.len() + 1;
            self.wait_for_lines(more);
        }
        let status = self.child.wait().expect("a child can be waited for");
        let stderr = self.stderr.recv_timeout(PATIENCE).expect("standard error ends too");
        Ended { status, started: self.started, lines: std::mem::take(&mut self.lines), stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
