//! The examples: each does what its first line says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fancy_regex::Regex;
use serde_json::{Value, json};

use super::capture::Capture;
use super::process::{Ended, Running};

/// At three in the morning of a Wednesday.
const CLOCK: &str = "2024-06-12T03:00:00Z";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/eventgen")
}

/// A copy of the examples, to write beside.
pub(super) struct Copy {
    directory: tempfile::TempDir,
}

impl Copy {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("samples")).unwrap();
        for folder in ["", "samples"] {
            for entry in fs::read_dir(root().join(folder)).unwrap() {
                let path = entry.unwrap().path();
                let known = path.extension().is_some_and(|extension| extension != "md");
                // Not what an earlier run by hand has left.
                if path.is_file() && known && !path.to_string_lossy().contains("state.") {
                    let to = directory.path().join(folder).join(path.file_name().unwrap());
                    fs::copy(path, to).unwrap();
                }
            }
        }
        Self { directory }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Another port than the one in the conf.
    fn set_port(&self, conf: &str, port: &str, to: u16) {
        let path = self.path().join(conf);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(port), "{conf} has no port {port}");
        fs::write(path, text.replace(port, &to.to_string())).unwrap();
    }

    pub(super) fn start(&self, conf: &str) -> Running {
        let arguments = ["generate", conf, "--seed", "1", "--clock-start", CLOCK].map(str::to_owned);
        Running::start(self.path(), &arguments, &[("TZ".to_owned(), "UTC".to_owned())])
    }

    fn run(&self, conf: &str) -> Ended {
        let ended = self.start(conf).ended();
        assert_eq!((ended.code(), &*ended.stderr), (Some(0), ""), "{conf}");
        ended
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path().join(file)).unwrap()
    }
}

fn sample(name: &str) -> String {
    fs::read_to_string(root().join("samples").join(name)).unwrap()
}

/// Runs it; all lines match and there are so many.
fn check(conf: &str, lines: std::ops::RangeInclusive<usize>, pattern: &str) -> Vec<String> {
    let output = Copy::new().run(conf).stdout();
    let found: Vec<String> = output.lines().map(str::to_owned).collect();
    let pattern = Regex::new(&format!("^(?:{pattern})$")).unwrap();
    for line in &found {
        assert!(pattern.is_match(line).unwrap(), "{conf}: {line:?}");
    }
    assert!(lines.contains(&found.len()), "{conf}: {} lines", found.len());
    found
}

const REQUEST: &str = r"10\.0\.0\.[123] (GET|POST) /[a-z0-9/.]* \d{3} \d+";

#[test]
fn generators_and_raters() {
    let lines = check("lines.conf", 6..=6, &format!(r"2024-06-12 03:00:0[0-2]\.\d{{3}} {REQUEST}"));
    assert!(lines[0].ends_with("/index.html 200 512") && lines[5].ends_with("POST /orders 201 64"));
    let windbag = check(
        "windbag.conf",
        1000..=1000,
        r"2024-06-12 0[23]:\d\d:\d\d(\.\d{6})? -0700 WINDBAG Event \d+ of 1000",
    );
    assert!(windbag[999].contains("03:00:00 -0700 WINDBAG Event 1000 of 1000"));
    let counter = check("counter.conf", 6..=6, r"loop [12]: (10|20|30) of 30");
    assert_eq!((&*counter[0], &*counter[5]), ("loop 1: 10 of 30", "loop 2: 30 of 30"));
    // 8 × 31.07 bytes, and an event has 55 or so.
    check("volume.conf", 4..=5, &format!(r"2024-01-15 12:00:\d\d {REQUEST}"));
    check("rates.conf", 45..=55, &format!(r"2024-01-15 12:00:\d\d {REQUEST}"));
    let events = Copy::new().run("events.conf").stdout();
    assert_eq!(events, sample("trace.log"));
}

#[test]
fn times() {
    let replay = check("replay.conf", 8..=16, &format!(r"2024-06-12 0[23]:\d\d:\d\d {REQUEST}"));
    assert!(replay[replay.len() - 4].starts_with("2024-06-12 03:00:00 10.0.0.1 GET /index.html"));
    let mut backfill = check("backfill.conf", 7..=7, &format!(r"0[23]:\d\d:\d\d {REQUEST}"));
    backfill.retain(|line| line.starts_with("02:59"));
    assert!(backfill.len() >= 5, "{backfill:?}");
    let lines = check(
        "tokens-time.conf",
        5..=5,
        r"iso=2024-06-12T(0[45]:\d\d:\d\d)\.\d{6}\+0200 epoch=17181\d{5} latest=05:00:00",
    );
    let iso: Vec<_> = lines.iter().map(|line| line[15..23].to_owned()).collect();
    assert_eq!(iso, ["04:59:50", "04:59:52", "04:59:54", "04:59:56", "04:59:58"]);
}

#[test]
fn tokens() {
    check(
        "tokens-random.conf",
        20..=20,
        r"ipv4=\d+(\.\d+){3} ipv6=[0-9a-f:]+ mac=[0-9a-f]{2}(:[0-9a-f]{2}){5} guid=[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f-]{21} integer=-?[0-5] float=\d\.\d{1,2} string=\S{8} hex=[0-9A-F]{8} list=(red|green|42) static=as it is",
    );
    check("tokens-rated.conf", 1..=1, "integer=50 float=0.75");
    let lines = check(
        "tokens-files.conf",
        6..=6,
        "host=(alpha|beta|gamma) user=(ann id=10|joe, the second id=20) turn=(alpha|beta|gamma)",
    );
    let turns: Vec<_> = lines.iter().map(|line| line.rsplit('=').next().unwrap()).collect();
    assert_eq!(turns, ["alpha", "beta", "gamma", "alpha", "beta", "gamma"]);
    let copy = Copy::new();
    for expected in ["number=100\nnumber=101\nnumber=102\n", "number=103\nnumber=104\nnumber=105\n"] {
        assert_eq!(copy.run("tokens-numbers.conf").stdout(), expected);
    }
}

#[test]
fn places() {
    let table = Copy::new().run("table.conf").stdout();
    for part in [
        "<index>web</index>\n    <source>/var/log/web</source>\n    <sourcetype>access</sourcetype>\n    <host>web-1</host>\n    <data>GET /, and more\n</data>",
        "<index>db</index>\n    <source>/var/log/db</source>\n    <sourcetype>query</sourcetype>\n    <host>db-1</host>\n    <data>select \"a\" from b\n</data>",
    ] {
        assert!(table.contains(part), "{table}");
    }
    let lines = check(
        "places.conf",
        180..=180,
        r"  </?event>|    <time>.*|    <index>(web[012]|main)</index>|    <source>access.log</source>|    <sourcetype>access</sourcetype>|    <host>web-(alpha|beta|gamma)</host>|    <data>.*|</data>",
    );
    let indexes: BTreeSet<_> = lines.iter().filter(|line| line.contains("<index>")).collect();
    assert!(indexes.len() > 1, "{indexes:?}");
}

#[test]
fn files() {
    let copy = Copy::new();
    copy.run("output-file.conf");
    let all = ["out/access.log.2", "out/access.log.1", "out/access.log"].map(|file| copy.read(file)).concat();
    assert!(sample("access.log").repeat(5).ends_with(&all) && all.len() > 300, "{all}");
    assert!(!copy.path().join("out/access.log.3").exists());
    copy.run("output-spool.conf");
    assert_eq!(copy.read("out/new-access.log"), sample("access.log"));
}

fn capture(kind: &str) -> Capture {
    Capture::start(&json!({"kind": kind}))
}

#[test]
fn network() {
    let copy = Copy::new();
    for (conf, kind) in [("output-tcp.conf", "tcp"), ("output-udp.conf", "udp")] {
        let server = capture(kind);
        copy.set_port(conf, "3333", server.port);
        copy.run(conf);
        let pieces = server.pieces(if kind == "udp" { 4 } else { 1 });
        assert_eq!(String::from_utf8(pieces.concat()).unwrap(), sample("access.log"));
        assert_eq!(pieces.len(), if kind == "udp" { 4 } else { 1 });
    }
}

#[test]
fn hec() {
    let copy = Copy::new();
    let mut bodies = Vec::new();
    for conf in ["output-hec.conf", "output-metrics.conf"] {
        let server = capture("http");
        copy.set_port(conf, "8088", server.port);
        copy.run(conf);
        let requests = server.requests(1);
        assert_eq!(requests[0].authorization.as_deref(), Some("Splunk 11111111-2222-3333-4444-555555555555"));
        let events = serde_json::Deserializer::from_str(&requests[0].body).into_iter::<Value>();
        bodies.push(events.collect::<Result<Vec<_>, _>>().unwrap());
    }
    let texts: String = bodies[0].iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(texts, sample("access.log"));
    let metric = &bodies[1][0];
    assert_eq!((&metric["event"], &metric["fields"]["metric_name"]), (&json!("metric"), &json!("cpu.load")));
    assert!((0.5..=99.5).contains(&metric["fields"]["_value"].as_f64().unwrap()));
}

#[test]
fn nothing_but_counting() {
    let ended = Copy::new().start("output-none.conf").ended();
    assert_eq!((ended.code(), &*ended.stdout()), (Some(0), ""));
    assert!(ended.stderr.contains(" {'2024-06-12': 10}\n"), "{}", ended.stderr);
}

#[test]
fn every_example_is_told_of_and_tested() {
    let confs: BTreeSet<String> = (fs::read_dir(root()).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".conf"))
        .collect();
    assert!(confs.len() >= 20, "{confs:?}");
    let page = fs::read_to_string(root().join("../../docs/eventgen.md")).unwrap();
    let tests = [include_str!("examples.rs"), include_str!("loggregator.rs")].concat();
    for conf in confs {
        assert!(page.contains(&format!("../examples/eventgen/{conf}")), "{conf} is not in the documentation");
        assert!(tests.contains(&format!("\"{conf}\"")), "{conf} is not tested");
    }
}
