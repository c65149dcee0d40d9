//! What came of a run against what is expected of it, by the rules of the recorded data.

use std::time::Duration;

use fancy_regex::Regex;
use serde_json::{Deserializer, Value};

use super::capture::Request;
use super::case::{Outcome, list};

/// Everything that is not as expected; empty: all is.
pub(super) fn differences(expected: &Value, outcome: &Outcome) -> String {
    let mut found = String::new();
    let mut say = |what: String| found += &format!("  {what}\n");
    status(expected, outcome, &mut say);
    stdout(expected, outcome, &mut say);
    gaps(expected, outcome, &mut say);
    files(expected, outcome, &mut say);
    if let Some(parts) = expected["stderr_contains"].as_array() {
        for part in parts.iter().filter_map(Value::as_str) {
            if !outcome.ended.stderr.contains(part) {
                say(format!("standard error does not say {part:?}"));
            }
        }
    }
    if expected.get("http_requests").is_some() {
        requests(expected, outcome, &mut say);
    }
    pieces(expected, "tcp_connections_latin1", outcome, &mut say);
    pieces(expected, "udp_datagrams_latin1", outcome, &mut say);
    if !found.is_empty() {
        found += &format!("  stderr: {}", outcome.ended.stderr);
    }
    found
}

fn status(expected: &Value, outcome: &Outcome, say: &mut dyn FnMut(String)) {
    let runs_on = expected["outcome"].as_str().is_some_and(|outcome| outcome.starts_with("still_running"));
    if runs_on != outcome.was_stopped {
        say(format!(
            "expected {}, but it ended by itself with {}",
            expected["outcome"], outcome.ended.status
        ));
    }
    let code = expected["exit_code"].as_i64().unwrap_or(0);
    if outcome.ended.code().map(i64::from) != Some(code) {
        say(format!("it ended with {} instead of {code}", outcome.ended.status));
    }
}

fn stdout(expected: &Value, outcome: &Outcome, say: &mut dyn FnMut(String)) {
    let text = outcome.ended.stdout();
    let lines: Vec<&str> = text.lines().collect();
    if let Some(exact) = expected["stdout"].as_str()
        && text != exact
    {
        say(format!("stdout {text:?} instead of {exact:?}"));
    }
    if let Some(count) = expected["stdout_line_count"].as_u64()
        && lines.len() as u64 != count
    {
        say(format!("{} lines instead of {count}: {text:?}", lines.len()));
    }
    if let [least, most] = list(&expected["stdout_line_count_range"]) {
        let count = lines.len() as u64;
        if Some(count) < least.as_u64() || Some(count) > most.as_u64() {
            say(format!("{count} lines instead of {least} to {most}"));
        }
    }
    if let Some(sorted) = expected["stdout_lines_sorted"].as_array() {
        let mut lines = lines.clone();
        lines.sort_unstable();
        if lines != sorted.iter().filter_map(Value::as_str).collect::<Vec<_>>() {
            say(format!("lines {lines:?} instead of {sorted:?}"));
        }
    }
    let allowed = list(&expected["stdout_each_line_in"]);
    let pattern = expected["stdout_each_line_matches"].as_str();
    let pattern = pattern.map(|pattern| Regex::new(&format!("^(?:{pattern})$")).expect("a pattern"));
    for line in &lines {
        if !allowed.is_empty() && !allowed.iter().any(|allowed| allowed == line) {
            say(format!("the line {line:?} is none of {allowed:?}"));
        }
        if pattern.as_ref().is_some_and(|pattern| !pattern.is_match(line).expect("it can be matched")) {
            say(format!("the line {line:?} does not match"));
        }
    }
}

fn gaps(expected: &Value, outcome: &Outcome, say: &mut dyn FnMut(String)) {
    let gaps = list(&expected["arrival_gap_seconds"]);
    if gaps.is_empty() {
        return;
    }
    // Not sooner than it should be; how late a busy machine is, is no fault.
    let mut due = 0.0;
    for (line, gap) in outcome.ended.lines.iter().skip(1).zip(gaps) {
        due += gap.as_f64().expect("seconds");
        let came = line.at.duration_since(outcome.ended.started);
        if came < Duration::from_secs_f64(due) {
            say(format!("{:?} came after {came:?} instead of {due} s", line.text));
        }
    }
}

fn files(expected: &Value, outcome: &Outcome, say: &mut dyn FnMut(String)) {
    let Some(files) = expected["files"].as_object() else { return };
    for (name, text) in files {
        let got = outcome.files.get(name);
        if got.map(String::as_str) != text.as_str() {
            say(format!("file {name}: {got:?} instead of {text}"));
        }
    }
    for name in outcome.files.keys().filter(|name| !files.contains_key(*name)) {
        say(format!("file {name} is not expected: {:?}", outcome.files[name]));
    }
}

fn requests(expected: &Value, outcome: &Outcome, say: &mut dyn FnMut(String)) {
    let requests = list(&expected["http_requests"]);
    for server in &outcome.servers {
        let of_server: Vec<_> = requests.iter().filter(|request| request["server"] == *server.name).collect();
        let mut wanted: Vec<_> = of_server.iter().map(|request| seen_as(request)).collect();
        let mut got: Vec<_> = server.requests(wanted.len()).iter().map(seen).collect();
        if expected["http_requests_repeated"] == true {
            got.dedup();
        }
        wanted.sort();
        got.sort();
        if wanted != got {
            say(format!("{}: {got:?} instead of {wanted:?}", server.name));
        }
    }
}

/// Method, path, token and events of a request, comparable.
type Seen = (String, String, String, Vec<String>);

fn seen_as(request: &Value) -> Seen {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (
        text(&request["method"]),
        text(&request["path"]),
        text(&request["headers"]["authorization"]),
        events(request["body"].as_str().unwrap_or_default()),
    )
}

fn seen(request: &Request) -> Seen {
    // The same endpoint by its other name.
    let path = request.path.replace("/services/collector/event", "/services/collector");
    (request.method.clone(), path, request.authorization.clone().unwrap_or_default(), events(&request.body))
}

/// The JSON objects of a body, in one spelling.
fn events(body: &str) -> Vec<String> {
    let objects = Deserializer::from_str(body).into_iter::<Value>();
    objects.map(|object| object.map_or_else(|_| body.to_owned(), |object| object.to_string())).collect()
}

fn pieces(expected: &Value, key: &str, outcome: &Outcome, say: &mut dyn FnMut(String)) {
    let Some(wanted) = expected[key].as_array() else { return };
    let wanted: Vec<Vec<u8>> = wanted
        .iter()
        .map(|piece| {
            piece.as_str().expect("text").chars().map(|char| u8::try_from(char).expect("latin1")).collect()
        })
        .collect();
    let got = outcome.servers[0].pieces(wanted.len());
    if wanted != got {
        let shown: Vec<_> = got.iter().map(|piece| String::from_utf8_lossy(piece)).collect();
        say(format!("{key}: {shown:?}"));
    }
}
