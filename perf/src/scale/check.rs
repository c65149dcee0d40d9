//! The model against reality: real nozzle processes with one shard id, on one simulated foundation, at a
//! rate that this machine can do; the model is asked the same.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;

use super::model::{Change, Config, run};
use crate::helper::{Helper, pause};
use crate::load::{self, Question};
use crate::nozzle::Nozzle;
use crate::plan::{STREAMS, Scenario, Source};
use crate::report::grouped;
use crate::sink;

const INSTANCES: usize = 4;
/// An instance of the check delivers more than it gets.
const CAPACITY: f64 = 1e6;
/// Events of a request of HEC_BATCH_BYTES, about.
const REQUEST: u64 = 600;

/// Runs both; gives a table.
///
/// # Errors
/// A process cannot be started.
pub fn check(binary: &Path, rate: u64, seconds: f64) -> anyhow::Result<String> {
    let scenario = Scenario { source: Source::Grpc, tls: true, ..Scenario::BASE };
    let folder = tempfile::tempdir()?;
    let at = folder.path().join("load");
    std::fs::create_dir_all(&at)?;
    let arguments = load::Arguments {
        folder: at,
        tls: scenario.tls,
        lines: scenario.lines,
        apps: scenario.apps,
        arrived: None,
    };
    let (mut load, from) = Helper::start("load", &arguments)?;
    let arguments = sink::Arguments {
        folder: folder.path().join("hec"),
        tls: scenario.tls,
        acks: scenario.acks,
        arrived: None,
    };
    let (mut hec, to) = Helper::start("hec", &arguments)?;
    let mut nozzles = Vec::new();
    for _ in 0..INSTANCES {
        nozzles.push(Nozzle::start(binary, &scenario, &from, &to)?);
    }
    let connected = |n| Question::Connected(scenario.source, n * STREAMS.get());
    load.ask::<load::Done>(&connected(INSTANCES))?;

    let even = paced(&mut load, &mut hec, &mut nozzles, rate, seconds, None)?;
    let killed = paced(&mut load, &mut hec, &mut nozzles, rate, seconds, Some(0))?;
    for nozzle in nozzles {
        nozzle.end()?;
    }
    let mut text = String::from(
        "| | real: shares | real: lost | model: shares | model: lost |\n|---|---|---|---|---|\n",
    );
    let modelled = model(rate, seconds, None);
    text += &line("even split", &even, &modelled);
    let modelled = model(rate, seconds, Some(0));
    text += &line("one instance is killed half way", &killed, &modelled);
    Ok(text)
}

/// What each instance had of everything, and what was lost.
struct Split {
    shares: Vec<u64>,
    sent: u64,
    lost: u64,
}

fn paced(
    load: &mut Helper,
    hec: &mut Helper,
    nozzles: &mut Vec<Nozzle>,
    rate: u64,
    seconds: f64,
    kill: Option<usize>,
) -> anyhow::Result<Split> {
    let counts = |hec: &mut Helper| hec.ask::<sink::Counts>(&sink::Question::Counts);
    let before = counts(hec)?.events;
    let received = |nozzles: &[Nozzle]| -> anyhow::Result<Vec<u64>> {
        nozzles.iter().map(|nozzle| Ok(nozzle.ledger()?.received)).collect()
    };
    let started = received(nozzles)?;
    load.tell(&Question::Run(load::Run { rate, seconds }))?;
    if let Some(n) = kill {
        pause(Duration::from_secs_f64(seconds / 2.0));
        // Dropped is killed.
        drop(nozzles.remove(n));
    }
    let done: load::Done = load.answer()?;
    let mut arrived = 0;
    for quiet in 0.. {
        pause(Duration::from_millis(100));
        let now = counts(hec)?.events - before;
        if now >= done.sent || (now == arrived && quiet > 20) {
            arrived = now;
            break;
        }
        arrived = now;
    }
    ensure!(arrived > 0, "nothing arrived");
    let mut shares: Vec<_> = received(nozzles)?
        .iter()
        .zip(started.iter().skip(INSTANCES - nozzles.len()))
        .map(|(now, before)| now - before)
        .collect();
    if kill.is_some() {
        // Nobody can ask it any more.
        let rest = done.sent.saturating_sub(shares.iter().sum());
        shares.insert(0, rest);
    }
    Ok(Split { shares, sent: done.sent, lost: done.sent.saturating_sub(arrived) })
}

fn model(rate: u64, seconds: f64, kill: Option<usize>) -> Split {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time")]
    let length_ms = (seconds * 1e3) as u64;
    let report = run(&Config {
        routers: 1,
        instances: INSTANCES,
        streams: STREAMS.get(),
        rate: rate as f64,
        stream_rate: rate as f64,
        capacity: CAPACITY,
        pool: u64::MAX,
        request: REQUEST,
        hot: [0.0; 2],
        changes: kill.map(|n| (length_ms / 2, Change::Kill(n))).into_iter().collect(),
        length_ms,
        seed: 1,
    });
    let lost = report.lost();
    Split { sent: report.offered, shares: report.delivered, lost }
}

fn line(name: &str, real: &Split, modelled: &Split) -> String {
    let shares = |split: &Split| {
        let all = split.shares.iter().sum::<u64>().max(1);
        let of = |n: &u64| format!("{:.1}", *n as f64 / all as f64 * 100.0);
        split.shares.iter().map(of).collect::<Vec<_>>().join(", ") + " %"
    };
    let lost = |split: &Split| format!("{} of {}", grouped(split.lost as f64), grouped(split.sent as f64));
    format!("| {name} | {} | {} | {} | {} |\n", shares(real), lost(real), shares(modelled), lost(modelled))
}
