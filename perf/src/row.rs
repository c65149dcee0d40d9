//! A row: what was measured with what, and what may have shaped it beside the nozzle.

use serde::{Deserialize, Serialize};

use crate::plan::{Rate, Scenario};
use crate::trial::Outcome;

/// What comes this close to a ceiling is limited by it.
const CEILING: f64 = 0.9;
/// Repeated measurements that differ by more make a row noisy.
const SPREAD_MAX: f64 = 0.1;

/// What limits a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// The rate that was asked for.
    Rate,
    /// The nozzle.
    Nozzle,
    /// The load, or the foundation: hardly more is possible with a reader that does nothing.
    Load,
    /// The HEC server: hardly more is possible with a sender that does nothing else.
    Hec,
    /// The CPUs, which all three share.
    Machine,
}

impl Limit {
    /// As the tables have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Nozzle => "nozzle",
            Self::Load => "load",
            Self::Hec => "HEC server",
            Self::Machine => "machine",
        }
    }
}

/// One row: what was measured, with what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The table it belongs to.
    pub section: String,
    /// With what.
    pub scenario: Scenario,
    /// What was measured; the median if it was repeated.
    pub outcome: Outcome,
    /// From the start of the nozzle's process until the first event had arrived, in ms; the longest if it was repeated.
    pub first_event_ms: f64,
    /// What the load can do alone.
    pub load_ceiling: Option<f64>,
    /// What the HEC server can do alone.
    pub hec_ceiling: Option<f64>,
    /// What limited it.
    pub limit: Limit,
    /// How far repeated measurements lay apart, of CPU time per event.
    pub spread: Option<f64>,
    /// After a search: whether the rate was confirmed to be without loss.
    pub is_confirmed: Option<bool>,
    /// After a search: with more than the most without loss.
    pub beyond: Option<Outcome>,
}

impl Row {
    /// Whether something else than the nozzle may have shaped it.
    pub fn is_noisy(&self) -> bool {
        self.outcome.machine.is_noisy() || self.spread.is_some_and(|spread| spread > SPREAD_MAX)
    }
}

/// What limited an outcome.
pub fn limit(rate: Rate, outcome: &Outcome, load: Option<f64>, hec: Option<f64>) -> Limit {
    let reached = outcome.events_per_second();
    let close = |ceiling: Option<f64>| ceiling.is_some_and(|ceiling| reached >= ceiling * CEILING);
    match rate {
        Rate::Fixed(_) if outcome.lost() == 0 => Limit::Rate,
        _ if close(load) => Limit::Load,
        _ if close(hec) => Limit::Hec,
        _ if outcome.machine.is_busy() => Limit::Machine,
        _ => Limit::Nozzle,
    }
}

/// The median of repeated measurements by CPU time per event, and how far they lie apart.
pub fn median(mut outcomes: Vec<Outcome>) -> Option<(Outcome, Option<f64>)> {
    outcomes.sort_by(|a, b| a.micros().total_cmp(&b.micros()));
    let (first, last) = (outcomes.first()?, outcomes.last()?);
    let middle = outcomes.get(outcomes.len() / 2)?;
    let spread = (outcomes.len() > 1).then(|| (last.micros() - first.micros()) / middle.micros());
    Some((*middle, spread))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::load::Done;
    use crate::machine::Load;

    pub(crate) fn outcome(arrived: u64) -> Outcome {
        let load = Done { sent: 1000, payload_bytes: 256_000, seconds: 1.0, ..Done::default() };
        let machine = Load { idle: 0.5, steal: 0.0, others: 0.0 };
        Outcome {
            load,
            arrived,
            arrived_in_time: arrived,
            nozzle_cpu: 0.001,
            seconds: 1.0,
            machine,
            ..Outcome::default()
        }
    }

    pub(crate) fn row(scenario: Scenario) -> Row {
        Row {
            section: "run".to_owned(),
            scenario,
            outcome: outcome(1000),
            first_event_ms: 700.0,
            load_ceiling: Some(2_000_000.0),
            hec_ceiling: None,
            limit: Limit::Nozzle,
            spread: None,
            is_confirmed: None,
            beyond: None,
        }
    }

    #[test]
    fn what_limits_a_row_is_said() {
        let busy = Outcome { machine: Load { idle: 0.01, ..Load::default() }, ..outcome(1000) };
        for (rate, outcome, load, hec, expected) in [
            (Rate::Max, outcome(1000), Some(1e6), Some(1e6), Limit::Nozzle),
            (Rate::Max, outcome(1000), Some(1100.0), Some(1e6), Limit::Load),
            (Rate::Max, outcome(1000), Some(1e6), Some(1100.0), Limit::Hec),
            (Rate::Max, busy, None, None, Limit::Machine),
            (Rate::Fixed(1000), busy, None, None, Limit::Rate),
            (Rate::Fixed(1000), Outcome { arrived: 900, ..busy }, None, None, Limit::Machine),
        ] {
            assert_eq!(limit(rate, &outcome, load, hec), expected);
        }
    }

    #[test]
    fn the_median_counts_and_the_spread_is_told() {
        let outcomes = [3.0, 1.0, 2.0].map(|cpu| Outcome { nozzle_cpu: cpu, ..outcome(1000) });
        let (middle, spread) = median(outcomes.to_vec()).unwrap();
        assert_eq!((middle.nozzle_cpu, spread), (2.0, Some(1.0)));
        assert_eq!(median(vec![outcomes[0]]).unwrap().1, None);
        let noisy = Row { spread, ..row(Scenario::BASE) };
        assert!(noisy.is_noisy() && !row(Scenario::BASE).is_noisy());
    }
}
