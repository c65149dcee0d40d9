//! One measurement: the three processes of a scenario, and what each did while a load ran.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::helper::{Helper, pause};
use crate::lines::Lines;
use crate::machine::{self, Load, MachineTime};
use crate::nozzle::{Ledger, Nozzle};
use crate::plan::{STREAMS, Scenario, Source};
use crate::{blaster, load, null, sink};

/// Between looks at what has arrived.
const LOOK: Duration = Duration::from_millis(20);
/// Nothing has come for so long: nothing will.
const SILENCE: Duration = Duration::from_secs(3);
/// Before anything is measured: connections, names and memory come into being.
const WARM_UP: load::Run = load::Run { rate: 2000, seconds: 0.5 };
/// How long the nozzle may take to list all apps, and to begin again.
const LISTING: Duration = Duration::from_secs(120);

/// Everything that runs for a scenario.
#[derive(Debug)]
pub struct Setup {
    load: Helper,
    hec: Helper,
    nozzle: Nozzle,
    /// From the start of the nozzle until all its streams were open.
    pub connected: Duration,
    _folder: TempDir,
}

/// What one trial showed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// What the load did.
    pub load: load::Done,
    /// Events that arrived until nothing more came.
    pub arrived: u64,
    /// Events that had arrived when the last one was sent.
    pub arrived_in_time: u64,
    /// Events that the nozzle's ledger has as dropped or rejected.
    pub nozzle_dropped: u64,
    /// Bytes of bodies, uncompressed, and as they came.
    pub body_bytes: u64,
    /// See `body_bytes`.
    pub wire_bytes: u64,
    /// Requests.
    pub requests: u64,
    /// Delays from the time of the event until the HEC had it.
    pub p50_ms: f64,
    /// See `p50_ms`.
    pub p99_ms: f64,
    /// CPU time, in seconds.
    pub nozzle_cpu: f64,
    /// See `nozzle_cpu`.
    pub load_cpu: f64,
    /// See `nozzle_cpu`.
    pub hec_cpu: f64,
    /// From the start of the load until nothing more came.
    pub seconds: f64,
    /// The most memory the nozzle had.
    pub memory_mb: f64,
    /// Who used the machine.
    pub machine: Load,
}

impl Outcome {
    /// Events per second that went through while the load ran. What came by the clock, and arrived as a
    /// whole, was taken as it came, although the last requests were still being filled at the end.
    pub fn events_per_second(&self) -> f64 {
        let whole = self.load.by_clock && self.lost() == 0;
        let events = if whole { self.arrived } else { self.arrived_in_time };
        events as f64 / self.load.seconds.max(0.001)
    }

    /// CPU time of the nozzle for each event that arrived, in µs.
    pub fn micros(&self) -> f64 {
        self.nozzle_cpu * 1e6 / self.arrived.max(1) as f64
    }

    /// CPU time of the nozzle at that rate, in percent of one CPU.
    pub fn cpu_percent(&self) -> f64 {
        self.micros() * self.events_per_second() / 1e4
    }

    /// Events that did not arrive.
    pub fn lost(&self) -> u64 {
        self.load.sent.saturating_sub(self.arrived)
    }

    /// Whether every event arrived or was counted as dropped, by the foundation or by the nozzle.
    pub fn is_exact(&self) -> bool {
        self.load.sent == self.arrived + self.load.dropped + self.nozzle_dropped
    }
}

#[derive(Clone, Copy)]
struct Marks {
    hec: sink::Counts,
    ledger: Ledger,
    nozzle_cpu: f64,
    load_cpu: f64,
    hec_cpu: f64,
    own_cpu: f64,
    machine: MachineTime,
}

impl Setup {
    /// Starts everything, and warms it up.
    ///
    /// # Errors
    /// A process cannot be started, or the nozzle does not read.
    pub fn start(scenario: &Scenario, binary: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let arrived = Some(folder.path().join("arrived"));
        let arguments = sink::Arguments {
            folder: folder.path().join("hec"),
            tls: scenario.tls,
            acks: scenario.acks,
            arrived: arrived.clone(),
        };
        let (hec, to) = Helper::start("hec", &arguments)?;
        let (mut load, from) = start_load(scenario, folder.path(), arrived)?;
        let began = Instant::now();
        let nozzle = Nozzle::start(binary, scenario, &from, &to)?;
        load.ask::<load::Done>(&load::Question::Connected(scenario.source, STREAMS.get()))?;
        let connected = began.elapsed();
        if scenario.names {
            nozzle.wait_for_names(scenario.list_seconds.is_some(), LISTING)?;
        }
        let mut setup = Self { load, hec, nozzle, connected, _folder: folder };
        setup.trial(WARM_UP)?;
        Ok(setup)
    }

    /// Runs a load and waits until all of it has arrived or is lost.
    ///
    /// # Errors
    /// A process has ended.
    pub fn trial(&mut self, run: load::Run) -> anyhow::Result<Outcome> {
        self.hec.ask::<sink::Counts>(&sink::Question::Delays)?;
        machine::forget_peak(self.nozzle.pid());
        let before = self.marks()?;
        let began = Instant::now();
        let load: load::Done = self.load.ask(&load::Question::Run(run))?;
        let in_time: sink::Counts = self.hec.ask(&sink::Question::Counts)?;
        let wanted = load.sent.saturating_sub(load.dropped);
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            let hec: sink::Counts = self.hec.ask(&sink::Question::Counts)?;
            let arrived = hec.events - before.hec.events;
            if arrived > seen {
                (seen, since) = (arrived, Instant::now());
            }
            let over = arrived >= wanted
                || since.elapsed() > LOOK * 10
                    && arrived + self.nozzle.ledger()?.lost - before.ledger.lost >= wanted;
            if over || since.elapsed() > SILENCE {
                break;
            }
            pause(LOOK);
        }
        let seconds = began.elapsed().as_secs_f64();
        let after = self.marks()?;
        let delays: sink::Counts = self.hec.ask(&sink::Question::Delays)?;
        let (nozzle_cpu, load_cpu, hec_cpu) = (
            after.nozzle_cpu - before.nozzle_cpu,
            after.load_cpu - before.load_cpu,
            after.hec_cpu - before.hec_cpu,
        );
        let ours = nozzle_cpu + load_cpu + hec_cpu + after.own_cpu - before.own_cpu;
        Ok(Outcome {
            load,
            arrived: after.hec.events - before.hec.events,
            arrived_in_time: in_time.events - before.hec.events,
            nozzle_dropped: after.ledger.lost - before.ledger.lost,
            body_bytes: after.hec.body_bytes - before.hec.body_bytes,
            wire_bytes: after.hec.wire_bytes - before.hec.wire_bytes,
            requests: after.hec.requests - before.hec.requests,
            p50_ms: delays.p50_ms,
            p99_ms: delays.p99_ms,
            nozzle_cpu,
            load_cpu,
            hec_cpu,
            seconds,
            memory_mb: machine::peak_memory_mb(self.nozzle.pid())?,
            machine: after.machine.since(before.machine, ours),
        })
    }

    fn marks(&mut self) -> anyhow::Result<Marks> {
        Ok(Marks {
            hec: self.hec.ask(&sink::Question::Counts)?,
            ledger: self.nozzle.ledger()?,
            nozzle_cpu: machine::cpu_seconds(self.nozzle.pid())?,
            load_cpu: machine::cpu_seconds(self.load.pid())?,
            hec_cpu: machine::cpu_seconds(self.hec.pid())?,
            own_cpu: machine::cpu_seconds(std::process::id())?,
            machine: MachineTime::now()?,
        })
    }

    /// Ends the nozzle in order, and the helpers.
    ///
    /// # Errors
    /// The nozzle does not end well.
    pub fn end(self) -> anyhow::Result<()> {
        self.nozzle.end().context("after the measurement")
    }
}

fn start_load(
    scenario: &Scenario,
    folder: &Path,
    arrived: Option<PathBuf>,
) -> anyhow::Result<(Helper, load::Ready)> {
    let folder: PathBuf = folder.join("load");
    std::fs::create_dir_all(&folder)?;
    let Scenario { tls, lines, apps, .. } = *scenario;
    Helper::start("load", &load::Arguments { folder, tls, lines, apps, arrived })
}

/// What load and HEC server can do without the nozzle, in events per second. Measured once for each way they
/// are used.
#[derive(Debug)]
pub struct Ceilings {
    seconds: f64,
    load: HashMap<(Source, bool, Lines), f64>,
    hec: HashMap<(bool, bool, Lines), f64>,
}

impl Ceilings {
    /// Each takes so long.
    pub fn new(seconds: f64) -> Self {
        Self { seconds, load: HashMap::new(), hec: HashMap::new() }
    }

    /// What the load can do with a reader that throws all of it away.
    ///
    /// # Errors
    /// A process cannot be started.
    pub fn load(&mut self, scenario: &Scenario) -> anyhow::Result<f64> {
        let key = (scenario.source, scenario.tls, scenario.lines);
        if let Some(rate) = self.load.get(&key) {
            return Ok(*rate);
        }
        let folder = tempfile::tempdir()?;
        let (mut load, from) = start_load(scenario, folder.path(), None)?;
        let arguments = null::Arguments { source: scenario.source, streams: STREAMS, from };
        let (_null, ()) = Helper::start("null", &arguments)?;
        load.ask::<load::Done>(&load::Question::Connected(scenario.source, STREAMS.get()))?;
        let run = load::Run { rate: 0, seconds: self.seconds };
        let done: load::Done = load.ask(&load::Question::Run(run))?;
        let rate = done.sent as f64 / done.seconds;
        self.load.insert(key, rate);
        Ok(rate)
    }

    /// What the HEC server takes of ready-made requests.
    ///
    /// # Errors
    /// A process cannot be started.
    pub fn hec(&mut self, scenario: &Scenario) -> anyhow::Result<f64> {
        let key = (scenario.tls, scenario.gzip, scenario.lines);
        if let Some(rate) = self.hec.get(&key) {
            return Ok(*rate);
        }
        let folder = tempfile::tempdir()?;
        let arguments = sink::Arguments {
            folder: folder.path().to_owned(),
            tls: scenario.tls,
            // The sender names no channel.
            acks: false,
            arrived: None,
        };
        let (mut hec, to) = Helper::start("hec", &arguments)?;
        let (tls, gzip, payload_bytes) = (scenario.tls, scenario.gzip, scenario.lines.bytes);
        let (_blaster, ()) = Helper::start("blast", &blaster::Arguments { to, tls, gzip, payload_bytes })?;
        let (began, before) = (Instant::now(), hec.ask::<sink::Counts>(&sink::Question::Counts)?);
        pause(Duration::from_secs_f64(self.seconds));
        let after: sink::Counts = hec.ask(&sink::Question::Counts)?;
        let rate = (after.events - before.events) as f64 / began.elapsed().as_secs_f64();
        self.hec.insert(key, rate);
        Ok(rate)
    }
}
