//! The nozzle as a process: started, watched, told to stop, never left behind.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;

use firehose_nozzle::task::Tasks;
pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How a nozzle is to be started.
#[derive(Clone, Default)]
pub(crate) struct Command {
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl Command {
    /// The nozzle with these arguments and an empty environment.
    pub(crate) fn new(arguments: &[&str]) -> Self {
        Self::default().with_arguments(arguments.iter().copied())
    }

    /// With further arguments.
    pub(crate) fn with_arguments<T: Into<String>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// With these variables; an earlier value of the same name is replaced.
    pub(crate) fn with<K: Into<String>, V: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.environment.extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// With one variable more.
    pub(crate) fn var(self, name: &str, value: impl Into<String>) -> Self {
        self.with([(name, value)])
    }

    /// Starts it.
    ///
    /// In a directory of its own: relative paths, such as that of the app cache, are nobody else's.
    pub(crate) fn start(self) -> Nozzle {
        let directory = tempfile::tempdir().expect("a directory");
        let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_nozzle"))
            .args(self.arguments)
            .env_clear()
            .envs(self.environment)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the nozzle starts");
        let stdout = Output::of(child.stdout.take().expect("piped"));
        let stderr = Output::of(child.stderr.take().expect("piped"));
        Nozzle { child, stdout, stderr, _directory: directory }
    }

    /// Starts it and waits for its end.
    pub(crate) async fn run(self) -> Ended {
        self.start().ended().await
    }
}

/// What one stream of the process has brought so far, line by line.
struct Output {
    lines: watch::Receiver<Vec<String>>,
    reader: Tasks<()>,
}

impl Output {
    fn of(stream: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let (sender, lines) = watch::channel(Vec::new());
        let mut reader = Tasks::new();
        reader.spawn("output", async move {
            let mut stream = BufReader::new(stream).split(b'\n');
            while let Some(line) = stream.next_segment().await.expect("a pipe can be read") {
                sender.send_modify(|lines| lines.push(String::from_utf8_lossy(&line).into_owned()));
            }
        });
        Self { lines, reader }
    }

    fn so_far(&self) -> String {
        self.lines.borrow().join("\n")
    }

    async fn all(mut self) -> Vec<String> {
        while let Some(joined) = self.reader.join_next().await {
            joined.expect("reading does not fail");
        }
        self.lines.borrow().clone()
    }
}

/// A running nozzle. It is killed when this is dropped.
pub(crate) struct Nozzle {
    child: Child,
    stdout: Output,
    stderr: Output,
    _directory: tempfile::TempDir,
}

impl Nozzle {
    /// Waits for a line on standard output that contains `part`.
    pub(crate) async fn printed(&mut self, part: &str) -> String {
        let mut looked_at = 0;
        let mut found = None;
        let search = self.stdout.lines.wait_for(|lines| {
            found = lines[looked_at..].iter().find(|line| line.contains(part)).cloned();
            looked_at = lines.len();
            found.is_some()
        });
        // Both errors, the end of the output and the end of patience, leave nothing found.
        let _ = timeout(PATIENCE, search).await.map(|result| result.map(drop));
        found.unwrap_or_else(|| panic!("no line with {part:?}; {}", self.picture()))
    }

    /// Waits for a line of the log with this message.
    pub(crate) async fn logged(&mut self, message: &str) -> Value {
        let line = self.printed(&format!("\"message\":\"{message}")).await;
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The address of the admin server, taken from the log.
    pub(crate) async fn admin(&mut self) -> SocketAddr {
        let line = self.logged("serving health and status").await;
        line["address"].as_str().expect("an address").parse().expect("an address")
    }

    /// The lines of standard output so far, from the `n`th on.
    pub(crate) fn lines_from(&self, n: usize) -> Vec<String> {
        self.stdout.lines.borrow().get(n..).unwrap_or_default().to_vec()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).expect("a process id")));
        kill_process(pid.unwrap_or_else(|| panic!("it has ended; {}", self.picture())), signal)
            .expect("a child can be signalled");
    }

    /// Asks it to stop by SIGTERM, and waits for that.
    pub(crate) async fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(mut self) -> Ended {
        let Ok(status) = timeout(PATIENCE, self.child.wait()).await else {
            panic!("it does not end; {}", self.picture());
        };
        let code = status.expect("a child can be waited for").code();
        Ended { code, stdout: self.stdout.all().await, stderr: self.stderr.all().await }
    }

    fn picture(&self) -> String {
        format!("standard output:\n{}\nstandard error:\n{}", self.stdout.so_far(), self.stderr.so_far())
    }
}

/// What is left of a nozzle.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; none after a signal that was not caught.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

impl Ended {
    /// Everything it printed.
    pub(crate) fn text(&self) -> String {
        format!("{}\n{}", self.stdout.join("\n"), self.stderr.join("\n"))
    }

    /// The log: each line of standard output has to be one JSON object.
    pub(crate) fn log(&self) -> Vec<serde_json::Map<String, Value>> {
        let parse =
            |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        self.stdout.iter().map(parse).collect()
    }

    /// The lines of the log with this message.
    pub(crate) fn logged(&self, message: &str) -> Vec<serde_json::Map<String, Value>> {
        self.log().into_iter().filter(|line| line["message"] == message).collect()
    }

    /// The ledger at the end, which has to be in good order.
    pub(crate) fn ledger(&self) -> Ledger {
        assert_eq!(self.code, Some(0), "{}", self.text());
        let log = self.log();
        // With `trace` the runtime may have something to say while it ends.
        let last = log.iter().rfind(|line| line["message"] == "stopped").expect("it has stopped");
        assert_eq!(last["balanced"], true, "{last:?}");
        let ledger = Ledger { envelopes: last["ledger"].clone(), own: last["own"].clone() };
        ledger.check();
        assert_eq!(last["received"], ledger.count("received"));
        assert_eq!(last["delivered"], ledger.count("delivered"));
        assert_eq!(last["dropped"], ledger.sum("dropped"));
        ledger
    }
}

/// The nozzle's last word on where everything went.
#[derive(Debug)]
pub(crate) struct Ledger {
    envelopes: Value,
    /// The nozzle's own events.
    pub(crate) own: Value,
}

impl Ledger {
    /// A figure, by its JSON pointer without the first slash; none counts as 0.
    pub(crate) fn count(&self, path: &str) -> u64 {
        let value = self.envelopes.pointer(&format!("/{path}"));
        value.map_or(0, |value| value.as_u64().unwrap_or_else(|| panic!("{path}: {value}")))
    }

    /// All reasons of one kind together.
    pub(crate) fn sum(&self, kind: &str) -> u64 {
        let rows = self.envelopes[kind].as_object().unwrap_or_else(|| panic!("no {kind} in {self:?}"));
        rows.values().map(|n| n.as_u64().expect("a count")).sum()
    }

    /// Events that Splunk took, the nozzle's own among them.
    pub(crate) fn delivered(&self) -> u64 {
        self.count("events/delivered") + self.own["delivered"].as_u64().expect("a count")
    }

    /// Own events lost, by reason.
    pub(crate) fn own_dropped(&self, reason: &str) -> u64 {
        self.own["dropped"].get(reason).map_or(0, |n| n.as_u64().expect("a count"))
    }

    /// Both lines balance, by our own sum, and nothing is held.
    fn check(&self) {
        assert_eq!((self.count("parked"), self.count("batched"), self.count("events/batched")), (0, 0, 0));
        let out = ["delivered", "unconfirmed", "spooled"].map(|row| self.count(row)).iter().sum::<u64>()
            + ["filtered", "dropped", "rejected"].map(|kind| self.sum(kind)).iter().sum::<u64>();
        assert_eq!(self.count("received") + self.count("recovered_from_spool"), out, "{self:?}");
        let events = ["delivered", "unconfirmed", "dropped", "rejected", "spooled"]
            .map(|kind| self.count(&format!("events/{kind}")));
        let came = self.count("events/written") + self.count("events/recovered_from_spool");
        assert_eq!(came, events.iter().sum::<u64>(), "{self:?}");
        let dropped = self.own["dropped"].as_object().expect("reasons").values();
        let dropped: u64 = dropped.map(|n| n.as_u64().expect("a count")).sum();
        let own = |name: &str| self.own[name].as_u64().expect("a count");
        assert_eq!(
            (own("waiting"), own("written")),
            (0, own("delivered") + own("unconfirmed") + dropped),
            "{self:?}"
        );
    }
}

/// A port of 127.0.0.1 that nothing listens on, and that nothing will be given by accident: those
/// the system hands out by itself begin at 32768.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run at the same time begin at different places.
    let base = u16::try_from(std::process::id() % 100).unwrap_or(0) * 100;
    let ports = std::iter::repeat_with(|| 20_000 + (base + NEXT.fetch_add(1, Relaxed)) % 10_000).take(10_000);
    let mut free = ports.filter(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok());
    free.next().expect("one of 10,000 ports is free")
}

/// Looks again and again until there is something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Asks an HTTP server; the status and the body.
pub(crate) async fn get(address: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.0\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("it answers");
    let (head, body) = reply.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {head}")), body.to_owned())
}
