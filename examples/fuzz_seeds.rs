//! Writes the seed corpora of the fuzz targets, from the recorded data of the tests.
//!
//! Run it in the project's folder; `ci/fuzz` does.
#![allow(clippy::expect_used, reason = "a tool for developers that ends where it fails")]

use std::fs;
use std::path::Path;

fn main() {
    let golden = Path::new("tests/golden");
    for (target, prefix) in [("v2", "rlp-"), ("v1", "ws-")] {
        let folder = golden.join("loggregator");
        for file in fs::read_dir(folder).expect("recorded data").flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            if !name.starts_with(prefix) || !name.ends_with(".hex") || name.contains("single") {
                continue;
            }
            let text = fs::read_to_string(file.path()).expect("text");
            for (at, line) in text.lines().enumerate().take(60) {
                seed(target, &format!("{name}-{at}"), &hex(line));
            }
        }
    }
    let cases = fs::read_to_string(golden.join("nozzle/base.json")).expect("recorded data");
    let cases: serde_json::Value = serde_json::from_str(&cases).expect("JSON");
    for case in cases.as_array().into_iter().flatten() {
        let (name, frame) =
            (case["name"].as_str().unwrap_or_default(), case["envelope_hex"].as_str().unwrap_or_default());
        seed("v1", name, &hex(frame));
    }
    gateway_seeds(&golden.join("loggregator/gateway-all-cases.sse"));
    for (at, line) in
        ["{\"a\":[1,2.5e3,\"x\\n\\ud83d\\ude00\"]}", "[{},[],null,true,false,-0]", " {\"a\":1} ", "plain"]
            .iter()
            .enumerate()
    {
        seed("message", &at.to_string(), line.as_bytes());
    }
    for (at, body) in [
        "{\"text\":\"Success\",\"code\":0,\"ackId\":7}",
        "{\"text\":\"Invalid data format\",\"code\":6,\"invalid-event-number\":1}",
        "<html>",
    ]
    .iter()
    .enumerate()
    {
        seed("reply", &at.to_string(), body.as_bytes());
    }
}

/// Recorded events of a gateway's stream, each alone and all in a row.
fn gateway_seeds(path: &Path) {
    // Without what makes a seed slow.
    const BYTES_MAX: usize = 8 * 1024;
    let stream = fs::read_to_string(path).expect("recorded data");
    let events = stream.split_inclusive("\n\n").filter(|event| event.len() < BYTES_MAX);
    for (at, event) in events.enumerate() {
        // The first bytes choose the limit and the sizes of chunks.
        seed("sse", &at.to_string(), &[b"\x03\x06\x40\x01", event.as_bytes()].concat());
        if let Some(batch) = event.strip_prefix("data: ") {
            seed("gateway", &at.to_string(), batch.as_bytes());
        }
    }
    let forms = "\u{feff}: a comment\r\nevent: heartbeat\rdata:1\r\r\ndata: {\ndata: }\n\nevent: closing\ndata: x\n\n";
    seed("sse", "forms", &[b"\x02\x01\x02\x03", forms.as_bytes()].concat());
    let older = r#"{"batch":[{"timestamp":-7,"sourceId":"s","deprecatedTags":{"a":{"decimal":1.5},"ip":{"text":"\u0061"}},"gauge":{"metrics":{"cpu":{"value":"NaN"},"b":{"unit":"x","value":-2e3}}}},{"timer":{"start":1,"stop":"2"}},{}]}"#;
    seed("gateway", "older", older.as_bytes());
}

fn seed(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new("fuzz/corpus").join(target);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(name), bytes).expect("a file");
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default() as u8;
    text.trim().as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
