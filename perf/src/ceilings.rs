//! What load and HEC server can do without the nozzle: a row that comes near says little about it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::helper::{Helper, pause};
use crate::lines::Lines;
use crate::plan::{STREAMS, Scenario, Source};
use crate::trial::start_load;
use crate::{blaster, load, null, sink};

/// Both in events per second. Measured once for each way they
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
