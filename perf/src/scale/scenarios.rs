//! What is asked of the model, and what it says, as tables.

use super::arithmetic::{Assumptions, Measured, Needs, POOL_BYTES, needs};
use super::model::{Change, Config, Loss, Report, run};
use crate::report::grouped;

/// Everything happens in so many seconds of virtual time.
const LENGTH_S: u64 = 30;
/// When something happens.
const AT_S: u64 = 5;
/// An instance that cannot be reached is noticed after so long.
const NOTICED_S: u64 = 15;
/// An instance that restarts is away for so long.
const RESTART_S: u64 = 4;
const SECOND: u64 = 1000;
/// The two hot apps make these shares of everything.
const HOT: [f64; 2] = [0.35, 0.25];
/// HEC_BATCH_BYTES.
const REQUEST_BYTES: f64 = 512.0 * 1024.0;
/// HEC then takes so much of what comes.
const SLOW: f64 = 0.6;

/// Needs by rate.
pub fn arithmetic(rates: &[f64], measured: &Measured, assumed: &Assumptions) -> String {
    let mut text = String::from(
        "| envelopes/s | routers | log proxies | instances | streams | CPUs used | CPU % each | with one lost | network in | network out | HEC endpoints | memory each | pools last |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for rate in rates {
        let needs: Needs = needs(*rate, measured, assumed);
        text += &format!(
            "| {} | {} | {} | {} | {} | {:.2} | {:.1} | {:.1} | {} Mbit/s | {} Mbit/s | {} | {:.0} MB | {:.1} s |\n",
            grouped(*rate),
            needs.routers,
            needs.proxies,
            needs.instances,
            needs.streams,
            needs.cpus_used,
            needs.cpu_percent,
            needs.cpu_percent_less_one,
            grouped(needs.mbit_in),
            grouped(needs.mbit_out),
            needs.endpoints,
            needs.memory_mb,
            needs.outage_seconds,
        );
    }
    text
}

/// What happens to a foundation and its instances that were sized by the arithmetic.
pub fn simulated(rate: f64, measured: &Measured, assumed: &Assumptions, seed: u64) -> String {
    let base = config(rate, measured, assumed, seed);
    let mut text = format!(
        "{} envelopes/s, {} routers, {} instances with {} streams each, for {LENGTH_S} s of virtual time:\n\n\
         | | delivered | lost | of everything | where | instances apart | busiest |\n|---|---|---|---|---|---|---|\n",
        grouped(rate),
        base.routers,
        base.instances,
        base.streams,
    );
    for (name, config) in cases(&base) {
        text += &row(&name, &config, &run(&config));
    }
    text
}

/// A model of what the arithmetic says.
fn config(rate: f64, measured: &Measured, assumed: &Assumptions, seed: u64) -> Config {
    let needs = needs(rate, measured, assumed);
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of envelopes")]
    let (pool, request) =
        ((POOL_BYTES / measured.body_bytes) as u64, (REQUEST_BYTES / measured.body_bytes) as u64);
    Config {
        routers: count(needs.routers),
        instances: count(needs.instances),
        streams: count(assumed.streams),
        rate,
        // Twice what is planned with: the plan leaves that much.
        stream_rate: assumed.stream_rate * 2.0,
        capacity: assumed.cpus * 1e6 / measured.micros,
        pool,
        request,
        hot: [0.0; 2],
        changes: Vec::new(),
        length_ms: LENGTH_S * SECOND,
        seed,
    }
}

fn cases(base: &Config) -> Vec<(String, Config)> {
    let with = |changes| Config { changes, ..base.clone() };
    let at = AT_S * SECOND;
    let lost = vec![(at, Change::Lose(0)), (at + NOTICED_S * SECOND, Change::Kill(0))];
    // One after the other, the next when the one before reads again.
    let rolling = (0..base.instances as u64).flat_map(|n| {
        let stop = at + n * RESTART_S * SECOND;
        let instance = usize::try_from(n).unwrap_or_default();
        [(stop, Change::Stop(instance)), (stop + RESTART_S * SECOND, Change::Start(instance))]
    });
    let length_ms = (AT_S + RESTART_S * base.instances as u64 + 5).max(LENGTH_S) * SECOND;
    let rolling = Config { length_ms, ..with(rolling.collect()) };
    let slow = base.rate * SLOW / base.instances as f64;
    // Long enough for the pools to be full for most of it.
    let fills = base.pool as f64 / (base.rate * (1.0 - SLOW) / base.instances as f64);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds")]
    let fills_ms = (fills * 2.0 * SECOND as f64) as u64;
    let hot = Config { hot: HOT, ..base.clone() };
    let hot_slow = Config { capacity: slow, length_ms: base.length_ms + fills_ms, ..hot.clone() };
    vec![
        ("nothing happens".to_owned(), base.clone()),
        (format!("an instance is killed after {AT_S} s"), with(vec![(at, Change::Kill(0))])),
        (format!("an instance cannot be reached, noticed after {NOTICED_S} s"), with(lost)),
        (format!("all restart in turn, {RESTART_S} s each"), rolling),
        (format!("two apps make {:.0} % and {:.0} %", HOT[0] * 100.0, HOT[1] * 100.0), hot),
        (format!("the same, and HEC takes {:.0} % of all", SLOW * 100.0), hot_slow),
    ]
}

fn row(name: &str, config: &Config, report: &Report) -> String {
    let delivered: u64 = report.delivered.iter().sum();
    let mean = delivered as f64 / report.delivered.len().max(1) as f64;
    let (least, most) = (report.delivered.iter().min(), report.delivered.iter().max());
    let apart = |n: Option<&u64>| (n.copied().unwrap_or_default() as f64 / mean - 1.0) * 100.0;
    let places: Vec<_> =
        report.lost.iter().map(|(loss, n)| format!("{}: {}", place(*loss), grouped(*n as f64))).collect();
    format!(
        "| {name} | {} | {} | {:.2} % | {} | {:+.1} to {:+.1} % | {} % of {}/s |\n",
        grouped(delivered as f64),
        grouped(report.lost() as f64),
        report.lost() as f64 / report.offered.max(1) as f64 * 100.0,
        if places.is_empty() { "–".to_owned() } else { places.join(", ") },
        apart(least),
        apart(most),
        report.busiest_percent,
        grouped(config.capacity),
    )
}

fn place(loss: Loss) -> &'static str {
    match loss {
        Loss::NoReader => "nobody read",
        Loss::Ring => "ring of a router",
        Loss::Queue => "queue of a log proxy",
        Loss::UnderWay => "under way to a stream that ended",
        Loss::Held => "held by the instance",
        Loss::Loud => "the two hot apps",
        Loss::Quiet => "other apps",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURED: Measured = Measured {
        micros: 2.0,
        body_bytes: 9000.0,
        wire_bytes: 1500.0,
        payload_bytes: 8000.0,
        memory_mb: 120.0,
    };
    const ASSUMED: Assumptions = Assumptions {
        router_rate: 16_000.0,
        stream_rate: 10_000.0,
        streams: 2,
        cpus: 1.0,
        busy: 0.5,
        endpoint_mb: 50.0,
        envelope_bytes: 900.0,
    };

    #[test]
    fn a_foundation_sized_by_the_arithmetic_loses_only_what_it_must() {
        let base = config(20_000.0, &MEASURED, &ASSUMED, 1);
        let reports: Vec<_> = cases(&base).into_iter().map(|(_, config)| run(&config)).collect();
        let [quiet, killed, unreachable, rolling, hot, slow] = &reports[..] else { panic!() };
        assert_eq!((quiet.lost(), hot.lost()), (0, 0));
        assert!(killed.lost() < 3_000 && rolling.lost() < 6_000, "{killed:?} {rolling:?}");
        assert!(unreachable.lost() > 50_000);
        assert!(slow.lost[&Loss::Loud] > 0 && slow.lost.len() == 1, "{slow:?}");
        assert!(simulated(2_000.0, &MEASURED, &ASSUMED, 1).contains("| nothing happens | 59"));
        assert!(arithmetic(&[1e6], &MEASURED, &ASSUMED).contains("| 1,000,000 | 63 |"));
    }
}
