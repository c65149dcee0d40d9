//! The raters that come with it: how much each run of a sample makes.
//!
//! | name | says |
//! |---|---|
//! | `config`, `counter` | `count` × the rates of the run's own time, rounded half to even |
//! | `perdayvolume` | `perDayVolume` × the rates, in bytes; what rounding leaves is carried on |
//!
//! A sample with `perDayVolume` is rated by it whatever its rater is called. Replays are not rated: a run is the whole
//! file. The time is an argument, so a backfill has the rates of the hours it fills.

use std::sync::Arc;

use super::config::{Count, Rates, SampleConfig};
use super::generator;
use super::plugin::{Amount, MakeError, Rated, Rater, Registry};
use super::time::{Civil, Zone};
use crate::clock::UnixNanos;

/// Registers all raters.
pub fn register(registry: &mut Registry) {
    for name in ["config", "counter", "perdayvolume"] {
        registry.raters.insert(name.to_owned(), Arc::new(move |sample| make(name, sample)));
    }
}

fn make(name: &str, sample: &SampleConfig) -> Result<Box<dyn Rater>, MakeError> {
    let factor = Factor::of(sample);
    match sample.per_day_volume {
        Some(gib) => Ok(Box::new(Volume::new(gib, sample, factor))),
        None if name == "perdayvolume" => {
            Err("rater = perdayvolume needs perDayVolume, in GiB a day, such as 0.5".to_owned())
        }
        None => Ok(Box::new(Counted::new(sample, factor))),
    }
}

/// What a run's amount is multiplied with.
#[derive(Debug)]
struct Factor {
    rates: Rates,
    zone: Zone,
    randomize: f64,
}

impl Factor {
    fn of(sample: &SampleConfig) -> Self {
        Self { rates: sample.rates.clone(), zone: sample.zone.clone(), randomize: sample.randomize_count }
    }

    /// `amount` times all factors of a time. In the original's order: doubles do not commute.
    fn times(&self, amount: f64, at: UnixNanos, random: f64) -> f64 {
        let civil = Civil::of(at, &self.zone);
        let rate = |table: Option<&[f64]>, place: u8| {
            table.and_then(|table| table.get(usize::from(place))).copied().unwrap_or(1.0)
        };
        let rates = &self.rates;
        [
            self.randomized(random),
            rate(rates.hour_of_day.as_ref().map(<[_; 24]>::as_slice), civil.hour),
            rate(rates.day_of_week.as_ref().map(<[_; 7]>::as_slice), civil.weekday),
            rate(rates.minute_of_hour.as_ref().map(<[_; 60]>::as_slice), civil.minute),
            rate(rates.day_of_month.as_ref().map(<[_; 31]>::as_slice), civil.day.saturating_sub(1)),
            rate(rates.month_of_year.as_ref().map(<[_; 12]>::as_slice), civil.month.saturating_sub(1)),
        ]
        .into_iter()
        .fold(amount, |product, factor| product * factor)
    }

    /// Uniform in 1 ± half of `randomizeCount`, in thousandths.
    fn randomized(&self, random: f64) -> f64 {
        ((1.0 + self.randomize * (random - 0.5)) * 1000.0).round() / 1000.0
    }
}

/// By number.
#[derive(Debug)]
struct Counted {
    /// Of events, or of whole passes; `None`: the events of one pass.
    count: Option<u64>,
    by_pass: bool,
    is_replay: bool,
    factor: Factor,
}

impl Counted {
    fn new(sample: &SampleConfig, factor: Factor) -> Self {
        let counts_passes = sample.generator == "counter";
        let by_pass = sample.bundle_lines || counts_passes;
        let count = match sample.count {
            _ if counts_passes => Some(generator::counter_loops(sample)),
            Count::Events(count) => Some(count),
            Count::WholeFile if by_pass => Some(1),
            Count::WholeFile => None,
        };
        Self { count, by_pass, is_replay: sample.generator == "replay", factor }
    }
}

impl Rater for Counted {
    fn rate(&mut self, at: UnixNanos, events_per_pass: u64, random: f64) -> Rated {
        if self.is_replay {
            return Rated { amount: Amount::Events(events_per_pass) };
        }
        let count = self.count.unwrap_or(events_per_pass);
        let rated = self.factor.times(count as f64, at, random).round_ties_even().max(0.0) as u64;
        let events = if self.by_pass { rated.saturating_mul(events_per_pass) } else { rated };
        Rated { amount: Amount::Events(events) }
    }
}

const GIB: f64 = (1_u64 << 30) as f64;
const SECONDS_PER_DAY: f64 = 86_400.0;

/// By volume.
#[derive(Debug)]
struct Volume {
    bytes_per_run: f64,
    /// Parts of a byte that were not given out yet.
    carry: f64,
    factor: Factor,
}

impl Volume {
    fn new(gib_per_day: f64, sample: &SampleConfig, factor: Factor) -> Self {
        // An interval of zero is run once a second.
        let interval = if sample.interval.is_zero() { 1.0 } else { sample.interval.as_secs_f64() };
        Self { bytes_per_run: gib_per_day * GIB * interval / SECONDS_PER_DAY, carry: 0.0, factor }
    }
}

impl Rater for Volume {
    fn rate(&mut self, at: UnixNanos, _: u64, random: f64) -> Rated {
        let bytes = (self.factor.times(self.bytes_per_run, at, random) + self.carry).max(0.0);
        self.carry = bytes.fract();
        Rated { amount: Amount::Bytes(bytes as u64) }
    }
}

#[cfg(test)]
mod tests;
