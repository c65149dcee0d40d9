//! Measures eventgen's generators alone: parts into a batch, on one thread, without outputs. In CPU time, so that
//! other programs on the machine count little. For Linux.
//!
//! ```text
//! cargo run --release -p firehose-nozzle-perf --bin perf-generators [NAME…]
//! ```
#![allow(clippy::print_stdout, reason = "the table is the product")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use firehose_nozzle::clock::UnixNanos;
use firehose_nozzle::eventgen::conf::{self, Request};
use firehose_nozzle::eventgen::config::SampleConfig;
use firehose_nozzle::eventgen::event::Batch;
use firehose_nozzle::eventgen::plugin::{Amount, Part, Registry};
use firehose_nozzle::eventgen::{generator, rater};
use firehose_nozzle_perf::five_tokens;
use firehose_nozzle_perf::timing::cpu_time;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long each row is measured.
const MEASURED: Duration = Duration::from_secs(1);

/// Events of a part.
const PART_EVENTS: u64 = 1_000;

const CONF: &str = r#"
[windbag]
generator = windbag
[counter]
generator = counter
end_count = 1000000
[plain.txt]
sampletype = raw
[five.txt]
{{TOKENS}}[volume.txt]
perDayVolume = 100
token.0.token = ##id##
token.0.replacementType = random
token.0.replacement = guid
[unsettled.txt]
token.0.token = ##n##
token.0.replacementType = random
token.0.replacement = integer[1:99]
token.1.token = n=\d+
token.1.replacementType = static
token.1.replacement = m
[replay.txt]
mode = replay
token.0.token = ^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d
token.0.replacementType = replaytimestamp
token.0.replacement = %Y-%m-%d %H:%M:%S
"#;

/// The line of the five tokens, and what the tokens of other samples match.
fn line() -> String {
    five_tokens::LINE.replace("agent=", "id=##id## n=##n## agent=")
}

fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    write_files(folder.path())?;
    let mut registry = Registry::default();
    generator::register(&mut registry);
    rater::register(&mut registry);
    registry.outputs.insert("modinput".to_owned(), Arc::new(|_| Err(String::new())));
    let request = Request {
        target: folder.path().join("default/eventgen.conf"),
        working_dir: folder.path().into(),
        ..Request::default()
    };
    let (run, findings) = conf::load(&request, &registry);
    let run = run.with_context(|| findings.iter().map(ToString::to_string).collect::<String>())?;
    ensure!(findings.is_empty(), "{findings:?}");
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    println!("{:<14} {:>10} {:>12} {:>8} {:>10}", "sample", "ns/event", "events/s", "bytes", "MB/s");
    for sample in &run.samples {
        if wanted.is_empty() || wanted.iter().any(|name| sample.name.contains(name.as_str())) {
            measure(sample, &registry)?;
        }
    }
    Ok(())
}

fn write_files(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir(folder.join("samples"))?;
    fs::create_dir(folder.join("default"))?;
    fs::write(folder.join("default/eventgen.conf"), CONF.replace("{{TOKENS}}", five_tokens::TOKENS))?;
    five_tokens::write_users(folder)?;
    let lines = line().repeat(1000);
    for name in ["plain", "five", "volume", "unsettled", "replay"] {
        fs::write(folder.join(format!("samples/{name}.txt")), &lines)?;
    }
    Ok(())
}

fn measure(sample: &SampleConfig, registry: &Registry) -> anyhow::Result<()> {
    let make = registry.generators.get(&sample.generator).context("no such generator")?;
    let generator = make(sample).map_err(|why| anyhow!(why))?;
    let mut batch = Batch::new();
    let (mut events, mut bytes, mut run) = (0, 0, 0);
    let start = cpu_time();
    while cpu_time() - start < MEASURED {
        batch.clear();
        let amount = match sample.per_day_volume {
            Some(_) => Amount::Bytes(PART_EVENTS * line().len() as u64),
            None => Amount::Events(PART_EVENTS),
        };
        let earliest = UnixNanos(1_705_320_000_000_000_000);
        let latest = UnixNanos(earliest.0 + 60_000_000_000);
        let part = Part { run, first: 0, total: PART_EVENTS, amount, earliest, latest, seed: run };
        generator.generate(&part, &mut batch)?;
        events += batch.len();
        bytes += batch.text_bytes();
        run += 1;
    }
    let seconds = (cpu_time() - start).as_secs_f64();
    println!(
        "{:<14} {:>10.1} {:>12.0} {:>8} {:>10.0}",
        sample.name,
        seconds * 1e9 / events as f64,
        events as f64 / seconds,
        bytes / events,
        bytes as f64 / 1e6 / seconds
    );
    Ok(())
}
