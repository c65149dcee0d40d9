//! Measures what knowing all apps costs: calls, time, CPU, memory, and what workers notice of it.
//!
//! The simulated Cloud Controller runs in a process of its own (this program with `serve`), so that
//! what is measured here is the nozzle's share alone. What an app takes is the difference between two
//! runs of different size: the allocator takes some 40 MB in advance.
#![allow(clippy::print_stdout, reason = "the table is the product")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use firehose_nozzle::nozzle::cf::Foundation;
use firehose_nozzle::nozzle::cf::http::Http;
use firehose_nozzle::nozzle::cf::token::Credentials;
use firehose_nozzle::nozzle::enrich::{Enricher, Enrichment};
use firehose_nozzle::nozzle::metadata::{Fields, Lookup, Metadata, MetadataStats, Settings};
use firehose_nozzle::proxy::ProxySettings;
use firehose_nozzle::sim::foundation::{self as sim, App, FoundationConfig, Organization, Space, Transport};
use firehose_nozzle::task::Tasks;
use firehose_nozzle::tls::{self, ClientTls};
use firehose_nozzle_perf::machine::{cpu_seconds, present_memory_mb};
use tokio_util::sync::CancellationToken;

// As the nozzle has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const APPS_DEFAULT: usize = 50_000;
const APPS_PER_SPACE: usize = 20;
const SPACES_PER_ORGANIZATION: usize = 5;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(APPS_DEFAULT);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match first.as_deref() {
        Some("serve") => runtime.block_on(serve(number(arguments.next()))),
        _ => runtime.block_on(measure(number(first))),
    }
}

fn app_guid(n: usize) -> String {
    format!("{n:08x}-aaaa-4000-8000-000000000000")
}

fn place(n: usize) -> String {
    format!("{n:08x}-bbbb-4000-8000-000000000000")
}

/// A foundation of so many apps; prints its address and stays until it is killed.
async fn serve(apps: usize) -> anyhow::Result<()> {
    tls::install_provider();
    let config = FoundationConfig { transport: Transport::Plain, ..FoundationConfig::default() };
    let foundation = sim::Foundation::start(config).await?;
    let capi = foundation.capi();
    let spaces = apps.div_ceil(APPS_PER_SPACE);
    for n in 0..spaces.div_ceil(SPACES_PER_ORGANIZATION) {
        capi.put_organization(Organization { guid: place(n), name: format!("organization-{n}") });
    }
    for n in 0..spaces {
        let organization_guid = place(n / SPACES_PER_ORGANIZATION);
        capi.put_space(Space { guid: place(n), name: format!("development-{n}"), organization_guid });
    }
    for n in 0..apps {
        let name = format!("some-service-of-team-{n}");
        let space_guid = place(n / APPS_PER_SPACE);
        capi.put_app(App { guid: app_guid(n), name, space_guid, listed: true, ..App::default() });
    }
    println!("{}", foundation.api_url());
    std::future::pending().await
}

async fn measure(apps: usize) -> anyhow::Result<()> {
    tls::install_provider();
    let mut command = Command::new(std::env::current_exe()?);
    let mut server = Server(command.args(["serve", &apps.to_string()]).stdout(Stdio::piped()).spawn()?);
    let mut lines = BufReader::new(server.0.stdout.take().context("piped")?).lines();
    let url = lines.next().context("the server tells its address")??;
    let directory = tempfile::tempdir()?;
    rows(apps, &url, &directory.path().join("cache.db")).await
}

/// The other process; it does not outlive this one.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // An error says that it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn settings(file: &std::path::Path) -> Settings {
    Settings {
        fields: Fields { app_name: true, org_name: true, org_guid: true, space_name: true, space_guid: true },
        ignore_missing: true,
        missing_ttl: Duration::ZERO,
        // The second pass begins soon.
        app_ttl: Duration::from_secs(12),
        org_space_ttl: Duration::ZERO,
        refresh: Duration::from_secs(15),
        wait: Duration::from_secs(2),
        app_limit: Some(1_000_000),
        rate_per_second: 20,
        index_from_env: false,
        index_from_label: false,
        sourcetype_from_label: false,
        file: Some(file.to_owned()),
    }
}

fn start(
    url: &str,
    file: &std::path::Path,
    tasks: &mut Tasks<()>,
) -> anyhow::Result<(Metadata, CancellationToken)> {
    let http = Http::new(&ClientTls::default(), &ProxySettings::default())?;
    let credentials =
        Credentials { client_id: "nozzle".to_owned(), client_secret: "nozzle-secret".to_owned().into() };
    let cancel = CancellationToken::new();
    let foundation = Foundation::new(http, url.parse()?, credentials);
    let (metadata, task) = Metadata::start(settings(file), foundation, cancel.clone());
    tasks.spawn("metadata", task);
    Ok((metadata, cancel))
}

async fn until(metadata: &Metadata, done: impl Fn(&MetadataStats) -> bool) -> anyhow::Result<MetadataStats> {
    let began = Instant::now();
    loop {
        let stats = metadata.stats();
        if done(&stats) {
            return Ok(stats);
        }
        ensure!(began.elapsed() < PATIENCE, "it took too long: {stats:?}");
        // Counting all apps takes half a millisecond.
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn rows(apps: usize, url: &str, file: &std::path::Path) -> anyhow::Result<()> {
    let mut tasks = Tasks::new();
    let before = Usage::now()?;
    let began = Instant::now();
    let (metadata, cancel) = start(url, file, &mut tasks)?;
    let stats = until(&metadata, |stats| stats.list.passes == 1).await?;
    let listed = Usage::now()?;
    println!(
        "start: {apps} apps after {:.1} s, {} calls, {:.2} s of CPU, {:.0} MB",
        began.elapsed().as_secs_f64(),
        stats.calls.total(),
        listed.cpu - before.cpu,
        listed.memory_mb,
    );
    let wrong = (0..apps)
        .filter(|&n| match metadata.lookup(&app_guid(n)) {
            Lookup::Known(app) => *app.names.app != *format!("some-service-of-team-{n}"),
            _ => true,
        })
        .count();
    let asked = Usage::now()?;
    println!("all of them asked for: {wrong} wrong, {:.0} MB", asked.memory_mb);

    let workers = Workers::start(&metadata, apps);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let filled = Usage::now()?;
    println!("two workers that know all: {:.0} MB", filled.memory_mb);
    let quiet = workers.rate(Duration::from_secs(4)).await?;
    until(&metadata, |stats| stats.list.running && stats.list.passes == 1).await?;
    let busy = workers.rate(Duration::from_secs(10)).await?;
    workers.stop();
    println!(
        "look-ups in a second of CPU: {quiet:.2} million, {busy:.2} million while all apps are listed again"
    );
    until(&metadata, |stats| stats.list.running && stats.list.passes == 2).await?;
    let (start, began) = (Usage::now()?, Instant::now());
    until(&metadata, |stats| stats.list.passes == 3).await?;
    let (end, took) = (Usage::now()?, began.elapsed().as_secs_f64());
    println!(
        "listed again in {took:.0} s, {:.2} s of CPU ({:.1} % of one); {:.0} MB more memory than before",
        end.cpu - start.cpu,
        100.0 * (end.cpu - start.cpu) / took,
        end.memory_mb - filled.memory_mb,
    );
    restart(apps, url, file, metadata, cancel, tasks).await
}

async fn restart(
    apps: usize,
    url: &str,
    file: &std::path::Path,
    metadata: Metadata,
    cancel: CancellationToken,
    mut tasks: Tasks<()>,
) -> anyhow::Result<()> {
    until(&metadata, |stats| stats.file.written >= apps as u64).await?;
    let began = Instant::now();
    cancel.cancel();
    tasks.join_next().await.context("a task")??;
    println!("end: {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
    drop((metadata, tasks));
    let began = Instant::now();
    let mut tasks = Tasks::new();
    let (metadata, _cancel) = start(url, file, &mut tasks)?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    let known = (0..apps).filter(|&n| matches!(metadata.lookup(&app_guid(n)), Lookup::Known(_))).count();
    println!(
        "restart: {known} known after {took:.0} ms, from a file of {} bytes an app",
        std::fs::metadata(file)?.len() / apps as u64
    );
    Ok(())
}

/// Two threads that do nothing but ask.
struct Workers {
    asked: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Workers {
    fn start(metadata: &Metadata, apps: usize) -> Self {
        let workers = Self { asked: Arc::default(), stop: Arc::default() };
        for seed in 0..2 {
            let (metadata, asked, stop) =
                (metadata.clone(), Arc::clone(&workers.asked), Arc::clone(&workers.stop));
            drop(std::thread::spawn(move || {
                let ids: Vec<_> = (0..apps).map(app_guid).collect();
                let mut random = fastrand::Rng::with_seed(seed);
                let mut enricher = Enricher::new(metadata);
                while !stop.load(Ordering::Relaxed) {
                    enricher.refresh();
                    let mut found = 0;
                    for _ in 0..100 {
                        let id = &ids[random.usize(..apps)];
                        found += u64::from(matches!(enricher.app(id.as_bytes()), Enrichment::Known(_)));
                    }
                    asked.fetch_add(found, Ordering::Relaxed);
                }
            }));
        }
        workers
    }

    /// Millions of look-ups in a second of this process's CPU time: what else it does counts against them.
    async fn rate(&self, time: Duration) -> anyhow::Result<f64> {
        let (before, start) = (self.asked.load(Ordering::Relaxed), Usage::now()?);
        tokio::time::sleep(time).await;
        let asked = self.asked.load(Ordering::Relaxed) - before;
        Ok(asked as f64 / (Usage::now()?.cpu - start.cpu) / 1e6)
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What this process has used.
struct Usage {
    /// Seconds.
    cpu: f64,
    memory_mb: f64,
}

impl Usage {
    fn now() -> anyhow::Result<Self> {
        let pid = std::process::id();
        Ok(Self { cpu: cpu_seconds(pid)?, memory_mb: present_memory_mb(pid)? })
    }
}
