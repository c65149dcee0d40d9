//! One measurement: the three processes of a scenario, and what each did while a load ran.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::helper::{Helper, pause};
use crate::machine::{self, Load, MachineTime};
use crate::nozzle::{Ledger, Nozzle};
use crate::plan::{STREAMS, Scenario};
use crate::{load, sink};

/// Between looks at what has arrived.
const LOOK: Duration = Duration::from_millis(20);
/// Nothing has come for so long: nothing will.
const SILENCE: Duration = Duration::from_secs(3);
/// Events come while the nozzle starts, so that it is known when the first one has arrived.
const START: load::Run = load::Run { rate: 1000, seconds: 1.0 };
/// How long that may take.
const START_MAX: Duration = Duration::from_secs(30);
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
    /// From the start of the nozzle's process until the first event had arrived.
    pub first_event: Duration,
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
        let (mut hec, to) = Helper::start("hec", &arguments)?;
        let (mut load, from) = start_load(scenario, folder.path(), arrived)?;
        let began = Instant::now();
        let nozzle = Nozzle::start(binary, scenario, &from, &to)?;
        let first_event = first_event(&mut load, &mut hec, began)?;
        load.ask::<load::Done>(&load::Question::Connected(scenario.source, STREAMS.get()))?;
        if scenario.names {
            nozzle.wait_for_names(scenario.list_seconds.is_some(), LISTING)?;
        }
        let mut setup = Self { load, hec, nozzle, first_event, _folder: folder };
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

/// Lets events come until one has arrived; gives the time since `began`.
fn first_event(load: &mut Helper, hec: &mut Helper, began: Instant) -> anyhow::Result<Duration> {
    const STEP: Duration = Duration::from_millis(5);
    while began.elapsed() < START_MAX {
        let (mut first, started) = (None, Instant::now());
        load.tell(&load::Question::Run(START))?;
        while first.is_none() && started.elapsed().as_secs_f64() < START.seconds {
            pause(STEP);
            let counts: sink::Counts = hec.ask(&sink::Question::Counts)?;
            first = (counts.events > 0).then(|| began.elapsed());
        }
        load.answer::<load::Done>()?;
        if let Some(first) = first {
            return Ok(first);
        }
    }
    bail!("no event arrived within {START_MAX:?}")
}

/// The load of a scenario, with a window if it is told where to look.
pub(crate) fn start_load(
    scenario: &Scenario,
    folder: &Path,
    arrived: Option<PathBuf>,
) -> anyhow::Result<(Helper, load::Ready)> {
    let folder: PathBuf = folder.join("load");
    std::fs::create_dir_all(&folder)?;
    let Scenario { tls, lines, apps, .. } = *scenario;
    Helper::start("load", &load::Arguments { folder, tls, lines, apps, arrived })
}
