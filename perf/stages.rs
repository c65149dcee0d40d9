//! Measures the stages of an event's way by themselves, on one thread, in CPU time. For Linux. What is
//! under them, whoever writes the code, is `perf-floor`'s.
//!
//! ```text
//! cargo run --release -p firehose-nozzle-perf --bin perf-stages [--payload N] [--passes N] [NAME…]
//! ```
//!
//! The envelopes are those of the simulated load: log lines of 200 apps that differ from line to line, tags in an order of
//! their own in each. With `--passes` every stage goes so often over them and nothing is timed: `perf/profile` counts
//! instructions so.
#![allow(clippy::print_stdout, reason = "the table is the product")]

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use clap::{Arg, ArgAction, Command, value_parser};
use firehose_nozzle::clock::UnixNanos;
use firehose_nozzle::hec::batch::Batch;
use firehose_nozzle::hec::compress::GZIP_LEVEL;
use firehose_nozzle::nozzle::encode::Context;
use firehose_nozzle::nozzle::enrich::{Enricher, Enrichment};
use firehose_nozzle::nozzle::event::Event;
use firehose_nozzle::nozzle::metadata::Metadata;
use firehose_nozzle::nozzle::queue::{FrameKind, Frames};
use firehose_nozzle::nozzle::wire::gateway::{self, Scratch};
use firehose_nozzle::nozzle::wire::{v1, v2};
use firehose_nozzle::sim::load::LoadFrames;
use firehose_nozzle_perf::corpus::{BATCH, Corpus, ENVELOPES, bodies, encoder};
use firehose_nozzle_perf::timing;
use flate2::{Compress, Compression, FlushCompress};
use tokio::time::Instant;

// As the nozzle has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let matches = Command::new("perf-stages")
        .about("Measures the stages of an event's way by themselves")
        .arg(Arg::new("payload").long("payload").default_value("256").value_parser(value_parser!(usize)))
        .arg(Arg::new("passes").long("passes").value_parser(value_parser!(u64)))
        .arg(Arg::new("list").long("list").action(ArgAction::SetTrue).help("only the names of the stages"))
        .arg(
            Arg::new("envelopes")
                .long("envelopes")
                .action(ArgAction::SetTrue)
                .help("only how many there are"),
        )
        .arg(Arg::new("name").num_args(0..).help("only stages of these names, or all that begin so: decode"))
        .get_matches();
    if matches.get_flag("list") {
        STAGES.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    }
    if matches.get_flag("envelopes") {
        println!("{ENVELOPES}");
        return Ok(());
    }
    let corpus = Corpus::new(matches.get_one("payload").copied().unwrap_or(256))?;
    let names: Vec<&String> = matches.get_many("name").unwrap_or_default().collect();
    let passes = matches.get_one::<u64>("passes").copied();
    if passes.is_none() {
        println!("{:<22} {:>9} {:>11}", "stage", "ns/event", "bytes/event");
    }
    for (name, stage) in STAGES {
        if names.is_empty() || names.iter().any(|wanted| is_meant(name, wanted)) {
            let mut stage = stage(&corpus)?;
            if let Some(passes) = passes {
                (0..passes).try_for_each(|_| counted(&mut *stage).map(drop))?;
                continue;
            }
            let bytes = stage()?;
            let nanos = timing::best(|| stage().map(drop))?;
            println!("{name:<22} {:>9.1} {:>11}", nanos / ENVELOPES as f64, bytes / ENVELOPES);
        }
    }
    Ok(())
}

/// Whether a stage is the one that is asked for, or one of a kind that is.
fn is_meant(name: &str, wanted: &str) -> bool {
    name == wanted || !STAGES.iter().any(|(name, _)| *name == wanted) && name.starts_with(wanted)
}

/// One pass over all envelopes; gives the bytes that were read, or written where something is.
type Pass<'a> = Box<dyn FnMut() -> anyhow::Result<usize> + 'a>;

/// Sets a stage up.
type Stage = for<'a> fn(&'a Corpus) -> anyhow::Result<Pass<'a>>;

const STAGES: [(&str, Stage); 12] = [
    ("decode v1", decode_v1),
    ("decode v2", decode_v2),
    ("decode gateway", decode_gateway),
    ("enrich", enrich),
    ("encode text", |corpus| encode(&corpus.text)),
    ("encode json", |corpus| encode(&corpus.json)),
    ("worker v1", |corpus| worker(corpus, FrameKind::V1Envelope, &corpus.text.v1)),
    ("worker v2", |corpus| worker(corpus, FrameKind::V2Batch, &corpus.text.v2)),
    ("worker gateway", |corpus| worker(corpus, FrameKind::GatewayBatch, &corpus.text.gateway)),
    ("worker v2 json", |corpus| worker(corpus, FrameKind::V2Batch, &corpus.json.v2)),
    ("gzip text", |corpus| gzip(&corpus.text)),
    ("gzip json", |corpus| gzip(&corpus.json)),
];

/// Where the counting of instructions begins and ends: `perf/profile` knows it by its name.
#[inline(never)]
fn counted(stage: &mut dyn FnMut() -> anyhow::Result<usize>) -> anyhow::Result<usize> {
    stage()
}

#[expect(clippy::unnecessary_wraps, reason = "as all stages")]
fn decode_v1(corpus: &Corpus) -> anyhow::Result<Pass<'_>> {
    Ok(Box::new(|| {
        let mut bytes = 0;
        for frame in &corpus.text.v1 {
            let mut envelope = v1::Envelope::default();
            envelope.read(frame).ok().context("v1")?;
            black_box(&Event::from_v1(&envelope).ok().context("v1")?);
            bytes += frame.len();
        }
        Ok(bytes)
    }))
}

#[expect(clippy::unnecessary_wraps, reason = "as all stages")]
fn decode_v2(corpus: &Corpus) -> anyhow::Result<Pass<'_>> {
    Ok(Box::new(|| {
        for frame in &corpus.text.v2 {
            for bytes in v2::Batch::new(frame) {
                let mut envelope = v2::Envelope::default();
                bytes.and_then(|bytes| envelope.read(bytes)).ok().context("v2")?;
                black_box(&Event::from_v2(&envelope).ok().context("v2")?);
            }
        }
        Ok(sum(&corpus.text.v2))
    }))
}

#[expect(clippy::unnecessary_wraps, reason = "as all stages")]
fn decode_gateway(corpus: &Corpus) -> anyhow::Result<Pass<'_>> {
    let mut scratch = Scratch::default();
    Ok(Box::new(move || {
        for frame in &corpus.text.gateway {
            let mut batch = gateway::Batch::new(frame);
            while let Some(envelope) = batch.next(&mut scratch) {
                let envelope = envelope.ok().context("gateway")?;
                black_box(&Event::from_gateway(&envelope).ok().context("gateway")?);
            }
        }
        Ok(sum(&corpus.text.gateway))
    }))
}

fn sum(frames: &[Bytes]) -> usize {
    frames.iter().map(Bytes::len).sum()
}

fn enrich(corpus: &Corpus) -> anyhow::Result<Pass<'_>> {
    let mut ids = Vec::new();
    for frame in &corpus.text.v2 {
        for envelope in v2::Batch::new(frame) {
            ids.push(envelope.and_then(v2::Envelope::parse).ok().context("v2")?.source_id);
        }
    }
    let mut enricher = Enricher::new(corpus.metadata.clone());
    Ok(Box::new(move || {
        let known = ids.iter().filter(|id| matches!(enricher.app(id), Enrichment::Known(_))).count();
        ensure!(known == ENVELOPES, "{known} apps known");
        Ok(ids.iter().map(|id| id.len()).sum())
    }))
}

/// Events that have been read become JSON.
fn encode(frames: &LoadFrames) -> anyhow::Result<Pass<'_>> {
    let envelopes: Result<Vec<_>, _> = frames
        .v2
        .iter()
        .flat_map(|frame| v2::Batch::new(frame).map(|envelope| envelope.and_then(v2::Envelope::parse)))
        .collect();
    let envelopes = envelopes.ok().context("v2")?;
    let encoder = encoder();
    Ok(Box::new(move || {
        let mut batch = Batch::new(Arc::from("main"), BATCH.bytes);
        let mut bytes = 0;
        for envelope in &envelopes {
            let event = Event::from_v2(envelope).ok().flatten().context("v2")?;
            let context = Context {
                names: &[],
                app_index: None,
                app_sourcetype: None,
                arrived: UnixNanos(i64::MAX),
                flow: encoder.flow(&event),
            };
            bytes += encoder.encode(&event, &context, &mut batch).bytes;
            if batch.committed() > BATCH.bytes {
                batch.remove(|_| true);
            }
        }
        Ok(bytes)
    }))
}

/// All that a worker does with a frame.
#[expect(clippy::unnecessary_wraps, reason = "as all stages")]
fn worker<'a>(corpus: &'a Corpus, kind: FrameKind, frames: &[Bytes]) -> anyhow::Result<Pass<'a>> {
    let mut stages = corpus.stages();
    let frames = Frames { kind, arrived: UnixNanos::now(), frames: frames.to_vec() };
    Ok(Box::new(move || {
        let sealed = stages.run_through(&frames, Instant::now());
        Ok(sealed.iter().map(Batch::committed).sum())
    }))
}

#[expect(clippy::unnecessary_wraps, reason = "as all stages")]
fn gzip(frames: &LoadFrames) -> anyhow::Result<Pass<'_>> {
    let bodies = bodies(frames, &Metadata::off());
    let mut deflate = Compress::new_gzip(Compression::new(GZIP_LEVEL), 15);
    let mut output = Vec::new();
    Ok(Box::new(move || {
        let mut bytes = 0;
        for body in &bodies {
            deflate.reset();
            output.clear();
            output.reserve(body.len());
            deflate.compress_vec(body, &mut output, FlushCompress::Finish)?;
            bytes += output.len();
        }
        Ok(bytes)
    }))
}
