//! Measures the stages of an event's way by themselves, on one thread, in CPU time, and the floor under them: the same
//! bytes copied, sent through a socket, deflated. For Linux.
//!
//! ```text
//! cargo run --release -p firehose-nozzle-perf --bin perf-stages [--payload N] [--passes N] [NAME…]
//! ```
//!
//! The envelopes are those of the simulated load: log lines of 200 apps that differ from line to line, tags in an order of
//! their own in each. With `--passes` every stage goes so often over them and nothing is timed: `perf/profile` counts
//! instructions so.
#![allow(clippy::print_stdout, reason = "the table is the product")]

use std::fs;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use clap::{Arg, ArgAction, Command, value_parser};
use firehose_nozzle::clock::UnixNanos;
use firehose_nozzle::hec::batch::Batch;
use firehose_nozzle::hec::compress::GZIP_LEVEL;
use firehose_nozzle::nozzle::batcher::{BatchLimits, Batcher};
use firehose_nozzle::nozzle::cf::Foundation;
use firehose_nozzle::nozzle::cf::http::Http;
use firehose_nozzle::nozzle::cf::token::Credentials;
use firehose_nozzle::nozzle::encode::{Context, Encoder, EncoderSettings};
use firehose_nozzle::nozzle::enrich::{Enricher, Enrichment};
use firehose_nozzle::nozzle::event::Event;
use firehose_nozzle::nozzle::event_type::EventType;
use firehose_nozzle::nozzle::metadata::{Fields, Metadata, Settings};
use firehose_nozzle::nozzle::parking::Parking;
use firehose_nozzle::nozzle::queue::{FrameKind, Frames};
use firehose_nozzle::nozzle::wire::gateway::{self, Scratch};
use firehose_nozzle::nozzle::wire::{v1, v2};
use firehose_nozzle::nozzle::worker::Stages;
use firehose_nozzle::proxy::ProxySettings;
use firehose_nozzle::sim::foundation::{self as sim, FoundationConfig, Transport};
use firehose_nozzle::sim::load::{Load, LoadConfig, LoadFrames, Mix};
use firehose_nozzle::tls::{self, ClientTls};
use flate2::{Compress, Compression, FlushCompress};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

// As the nozzle has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const APPS: usize = 200;

/// More than the caches next to a core hold.
const ENVELOPES: usize = 5000;

/// How long each row is measured.
const MEASURED: Duration = Duration::from_millis(300);

/// The best of so many measurements counts: whatever disturbs one makes it longer.
const ROUNDS: usize = 5;

/// Bytes of a call, where bytes go through a socket.
const CALL_BYTES: usize = 64 * 1024;

const BATCH: BatchLimits =
    BatchLimits { bytes: 512 << 10, events: 10_000, age: Duration::from_secs(60), open_bytes: 1 << 20 };

const FIELDS: Fields =
    Fields { app_name: true, org_name: true, org_guid: true, space_name: true, space_guid: true };

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
    tls::install_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let payload = matches.get_one("payload").copied().unwrap_or(256);
    let bench = runtime.block_on(Bench::new(payload))?;
    let names: Vec<&String> = matches.get_many("name").unwrap_or_default().collect();
    let passes = matches.get_one::<u64>("passes").copied();
    if passes.is_none() {
        println!("{:<22} {:>9} {:>11}", "stage", "ns/event", "bytes/event");
    }
    for (name, stage) in STAGES {
        if names.is_empty() || names.iter().any(|wanted| is_meant(name, wanted)) {
            let mut stage = stage(&bench)?;
            match passes {
                Some(passes) => (0..passes).try_for_each(|_| counted(&mut *stage).map(drop))?,
                None => measure(name, &mut *stage)?,
            }
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
type Stage = for<'a> fn(&'a Bench) -> anyhow::Result<Pass<'a>>;

const STAGES: [(&str, Stage); 16] = [
    ("decode v1", decode_v1),
    ("decode v2", decode_v2),
    ("decode gateway", decode_gateway),
    ("enrich", enrich),
    ("encode text", |bench| encode(&bench.text)),
    ("encode json", |bench| encode(&bench.json)),
    ("worker v1", |bench| worker(bench, FrameKind::V1Envelope, &bench.text.v1)),
    ("worker v2", |bench| worker(bench, FrameKind::V2Batch, &bench.text.v2)),
    ("worker gateway", |bench| worker(bench, FrameKind::GatewayBatch, &bench.text.gateway)),
    ("worker v2 json", |bench| worker(bench, FrameKind::V2Batch, &bench.json.v2)),
    ("gzip text", |bench| gzip(&bench.text)),
    ("gzip json", |bench| gzip(&bench.json)),
    ("floor: copy", copy),
    ("floor: allocate, copy", allocate),
    ("floor: write", |bench| socket(bench, Side::Write)),
    ("floor: read", |bench| socket(bench, Side::Read)),
];

fn measure(name: &str, stage: &mut dyn FnMut() -> anyhow::Result<usize>) -> anyhow::Result<()> {
    let mut best = f64::INFINITY;
    let mut bytes = stage()?;
    for _ in 0..ROUNDS {
        let (mut passes, start) = (0_u32, cpu_time()?);
        let mut taken = Duration::ZERO;
        while taken < MEASURED / ROUNDS as u32 {
            bytes = stage()?;
            passes += 1;
            taken = cpu_time()? - start;
        }
        best = best.min(taken.as_secs_f64() * 1e9 / f64::from(passes) / ENVELOPES as f64);
    }
    println!("{name:<22} {best:>9.1} {:>11}", bytes / ENVELOPES);
    Ok(())
}

/// Where the counting of instructions begins and ends: `perf/profile` knows it by its name.
#[inline(never)]
fn counted(stage: &mut dyn FnMut() -> anyhow::Result<usize>) -> anyhow::Result<usize> {
    stage()
}

/// What the main thread has used so far.
fn cpu_time() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/self/schedstat")?;
    let nanos = text.split(' ').next().context("the kernel keeps no such statistics")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

/// What the stages work on.
struct Bench {
    text: LoadFrames,
    json: LoadFrames,
    metadata: Metadata,
}

impl Bench {
    /// Makes the envelopes, and looks all their apps up.
    async fn new(payload_bytes: usize) -> anyhow::Result<Self> {
        let load = |json_percent| {
            // The order of tags in v1 comes from here.
            fastrand::seed(1);
            let config = LoadConfig {
                apps: APPS,
                mix: Mix::logs(),
                payload_bytes,
                json_percent,
                ..LoadConfig::default()
            };
            Load::new(config)
        };
        let config = FoundationConfig { transport: Transport::Plain, ..FoundationConfig::default() };
        let foundation = sim::Foundation::start(config).await?;
        let mut text = load(0);
        text.register(foundation.capi());
        let metadata = metadata(&foundation.api_url()).await?;
        foundation.stop().await;
        Ok(Self { text: text.frames(ENVELOPES), json: load(100).frames(ENVELOPES), metadata })
    }
}

async fn metadata(url: &str) -> anyhow::Result<Metadata> {
    let http = Http::new(&ClientTls::default(), &ProxySettings::default())?;
    let credentials =
        Credentials { client_id: "nozzle".to_owned(), client_secret: "nozzle-secret".to_owned().into() };
    let settings = Settings {
        fields: FIELDS,
        ignore_missing: true,
        missing_ttl: Duration::ZERO,
        app_ttl: Duration::from_secs(3600),
        org_space_ttl: Duration::ZERO,
        refresh: Duration::ZERO,
        wait: Duration::from_secs(2),
        app_limit: None,
        rate_per_second: 1000,
        index_from_env: false,
        index_from_label: false,
        sourcetype_from_label: false,
        file: None,
    };
    let foundation = Foundation::new(http, url.parse()?, credentials);
    let (metadata, task) = Metadata::start(settings, foundation, CancellationToken::new());
    let listed = async {
        while metadata.stats().list.passes == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = task => {}
        listed = tokio::time::timeout(Duration::from_secs(60), listed) => listed.context("no list of apps")?,
    }
    Ok(metadata)
}

#[expect(clippy::unnecessary_wraps, reason = "as all stages")]
fn decode_v1(bench: &Bench) -> anyhow::Result<Pass<'_>> {
    Ok(Box::new(|| {
        let mut bytes = 0;
        for frame in &bench.text.v1 {
            let mut envelope = v1::Envelope::default();
            envelope.read(frame).ok().context("v1")?;
            black_box(&Event::from_v1(&envelope).ok().context("v1")?);
            bytes += frame.len();
        }
        Ok(bytes)
    }))
}

#[expect(clippy::unnecessary_wraps, reason = "as all stages")]
fn decode_v2(bench: &Bench) -> anyhow::Result<Pass<'_>> {
    Ok(Box::new(|| {
        for frame in &bench.text.v2 {
            for bytes in v2::Batch::new(frame) {
                let mut envelope = v2::Envelope::default();
                bytes.and_then(|bytes| envelope.read(bytes)).ok().context("v2")?;
                black_box(&Event::from_v2(&envelope).ok().context("v2")?);
            }
        }
        Ok(sum(&bench.text.v2))
    }))
}

#[expect(clippy::unnecessary_wraps, reason = "as all stages")]
fn decode_gateway(bench: &Bench) -> anyhow::Result<Pass<'_>> {
    let mut scratch = Scratch::default();
    Ok(Box::new(move || {
        for frame in &bench.text.gateway {
            let mut batch = gateway::Batch::new(frame);
            while let Some(envelope) = batch.next(&mut scratch) {
                let envelope = envelope.ok().context("gateway")?;
                black_box(&Event::from_gateway(&envelope).ok().context("gateway")?);
            }
        }
        Ok(sum(&bench.text.gateway))
    }))
}

fn sum(frames: &[Bytes]) -> usize {
    frames.iter().map(Bytes::len).sum()
}

fn enrich(bench: &Bench) -> anyhow::Result<Pass<'_>> {
    let mut ids = Vec::new();
    for frame in &bench.text.v2 {
        for envelope in v2::Batch::new(frame) {
            ids.push(envelope.and_then(v2::Envelope::parse).ok().context("v2")?.source_id);
        }
    }
    let mut enricher = Enricher::new(bench.metadata.clone());
    Ok(Box::new(move || {
        let known = ids.iter().filter(|id| matches!(enricher.app(id), Enrichment::Known(_))).count();
        ensure!(known == ENVELOPES, "{known} apps known");
        Ok(ids.iter().map(|id| id.len()).sum())
    }))
}

fn encoder() -> Encoder {
    Encoder::new(EncoderSettings {
        events: EventType::ALL.into_iter().collect(),
        names: FIELDS,
        event_bytes_max: 900 << 10,
        ..EncoderSettings::default()
    })
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
fn worker<'a>(bench: &'a Bench, kind: FrameKind, frames: &[Bytes]) -> anyhow::Result<Pass<'a>> {
    let mut stages = Stages::new(
        Enricher::new(bench.metadata.clone()),
        Parking::new(Duration::from_secs(60), 1 << 20),
        encoder(),
        Batcher::new(BATCH, Arc::from("main")),
        Arc::default(),
    );
    let frames = Frames { kind, arrived: UnixNanos::now(), frames: frames.to_vec() };
    Ok(Box::new(move || {
        let sealed = stages.run_through(&frames, Instant::now());
        Ok(sealed.iter().map(Batch::committed).sum())
    }))
}

/// The bodies that the envelopes become.
fn bodies(frames: &LoadFrames, metadata: &Metadata) -> Vec<Bytes> {
    let mut stages = Stages::new(
        Enricher::new(metadata.clone()),
        Parking::new(Duration::from_secs(60), 1 << 20),
        encoder(),
        Batcher::new(BATCH, Arc::from("main")),
        Arc::default(),
    );
    let frames = Frames { kind: FrameKind::V2Batch, arrived: UnixNanos::now(), frames: frames.v2.clone() };
    let mut sealed = stages.run_through(&frames, Instant::now());
    stages.batcher.seal_all();
    sealed.extend(stages.batcher.take_sealed());
    sealed.into_iter().map(|batch| batch.into_parts().0).collect()
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

#[expect(clippy::unnecessary_wraps, reason = "as all stages")]
fn copy(bench: &Bench) -> anyhow::Result<Pass<'_>> {
    let bodies = bodies(&bench.text, &bench.metadata);
    let mut to = vec![0; 2 * BATCH.bytes];
    Ok(Box::new(move || {
        for body in &bodies {
            to[..body.len()].copy_from_slice(body);
            black_box(&to);
        }
        Ok(sum(&bodies))
    }))
}

#[expect(clippy::unnecessary_wraps, reason = "as all stages")]
fn allocate(bench: &Bench) -> anyhow::Result<Pass<'_>> {
    let bodies = bodies(&bench.text, &bench.metadata);
    Ok(Box::new(move || {
        for body in &bodies {
            black_box(body.to_vec());
        }
        Ok(sum(&bodies))
    }))
}

/// Whose CPU time is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Write,
    Read,
}

/// Bodies go through a socket of this machine; another thread has the other end.
fn socket(bench: &Bench, side: Side) -> anyhow::Result<Pass<'_>> {
    let bodies = bodies(&bench.text, &bench.metadata);
    let bytes = sum(&bodies);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    let mut buffer = vec![0; CALL_BYTES];
    // The threads end when this end is closed.
    if side == Side::Write {
        drop(std::thread::spawn(move || while far.read(&mut buffer).is_ok_and(|read| read > 0) {}));
        return Ok(Box::new(move || {
            for body in &bodies {
                for part in body.chunks(CALL_BYTES) {
                    near.write_all(part)?;
                }
            }
            Ok(bytes)
        }));
    }
    drop(std::thread::spawn(move || while bodies.iter().all(|body| far.write_all(body).is_ok()) {}));
    Ok(Box::new(move || {
        let mut left = bytes;
        while left > 0 {
            let want = left.min(buffer.len());
            let read = near.read(&mut buffer[..want])?;
            ensure!(read > 0, "the other end is gone");
            left -= read;
        }
        Ok(bytes)
    }))
}
