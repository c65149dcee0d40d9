//! How much a sample makes, before it has made anything.
//!
//! A rough number for a person: what a run makes is not rounded here, and tokens of random length
//! are judged by the first events.

use std::time::Duration;

use crate::clock::UnixNanos;
use crate::eventgen::config::{Count, End, Rates, SampleConfig};
use crate::eventgen::engine::report::{bytes, grouped};
use crate::eventgen::time::Civil;

const DAY_SECONDS: f64 = 86_400.0;
const GIB: f64 = (1_u64 << 30) as f64;

/// What is known of a sample beside its conf.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// Events of a pass through the file.
    pub(super) events: u64,
    /// Mean size of an event.
    pub(super) event_bytes: f64,
    /// How long a pass takes, for generators that pace themselves.
    pub(super) pass: Option<Duration>,
}

/// A sentence such as `about 1,440 events, 60.5 kB a day`.
pub(super) fn sentence(sample: &SampleConfig, known: Known, now: UnixNanos) -> String {
    let factor = factor(&sample.rates, &Civil::of(now, &sample.zone));
    let runs = runs_a_day(sample, known);
    let of_run = match (sample.per_day_volume, sample.count) {
        (Some(gib), _) => gib * GIB * factor / known.event_bytes.max(1.0) / runs,
        (None, Count::Events(count)) if sample.bundle_lines => count as f64 * known.events as f64 * factor,
        (None, Count::Events(count)) => count as f64 * factor,
        (None, Count::WholeFile) => known.events as f64 * factor,
    };
    let (runs, span) = match sample.end {
        End::Runs(limit) if limit as f64 <= runs => (limit as f64 + backfilled(sample, now), "in all"),
        _ => (runs, "a day"),
    };
    let events = of_run * runs;
    let (count, size) = (whole(events), bytes(whole(events * known.event_bytes)));
    format!("about {} event{}, {size} {span}", grouped(count), if count == 1 { "" } else { "s" })
}

fn runs_a_day(sample: &SampleConfig, known: Known) -> f64 {
    let between = match known.pass {
        Some(pass) => pass + sample.interval,
        // An interval of nothing is a second.
        None if sample.interval.is_zero() => Duration::from_secs(1),
        None => sample.interval,
    };
    DAY_SECONDS / between.as_secs_f64().max(1e-9)
}

/// The runs of a backfill, less the one it counts as.
fn backfilled(sample: &SampleConfig, now: UnixNanos) -> f64 {
    let Some(from) = &sample.backfill else { return 0.0 };
    let span = now.0.saturating_sub(from.resolve(now, &sample.zone).0).max(0) as f64 / 1e9;
    (span / sample.interval.as_secs_f64().max(1e-9)).floor()
}

/// The mean factor of a day's runs.
fn factor(rates: &Rates, day: &Civil) -> f64 {
    fn mean(factors: &[f64]) -> f64 {
        factors.iter().sum::<f64>() / factors.len() as f64
    }
    fn at(factors: Option<&[f64]>, place: u8) -> f64 {
        factors.and_then(|factors| factors.get(usize::from(place))).copied().unwrap_or(1.0)
    }
    rates.hour_of_day.map_or(1.0, |factors| mean(&factors))
        * rates.minute_of_hour.map_or(1.0, |factors| mean(&factors))
        * at(rates.day_of_week.as_ref().map(<[f64; 7]>::as_slice), day.weekday)
        * at(rates.day_of_month.as_ref().map(<[f64; 31]>::as_slice), day.day - 1)
        * at(rates.month_of_year.as_ref().map(<[f64; 12]>::as_slice), day.month - 1)
}

/// Saturates, as is wanted of a number for a person.
fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventgen::testing::sample;
    use crate::eventgen::time::{Moment, Zone};

    /// Saturday, 2024-06-15 12:00 UTC.
    const NOW: UnixNanos = UnixNanos(1_718_452_800_000_000_000);

    fn said(change: impl FnOnce(&mut SampleConfig)) -> String {
        let mut sample = sample("a.txt", &[]);
        sample.zone = Zone::utc();
        sample.interval = Duration::from_secs(60);
        sample.count = Count::WholeFile;
        sample.end = End::Never;
        change(&mut sample);
        sentence(&sample, Known { events: 10, event_bytes: 100.0, pass: None }, NOW)
    }

    #[test]
    fn a_day_of_each_kind() {
        assert_eq!(said(|_| {}), "about 14,400 events, 1.4 MB a day");
        assert_eq!(said(|sample| sample.count = Count::Events(3)), "about 4,320 events, 432.0 kB a day");
        assert_eq!(said(|sample| sample.interval = Duration::ZERO), "about 864,000 events, 86.4 MB a day");
        assert_eq!(said(|sample| sample.per_day_volume = Some(1.0)), "about 10,737,418 events, 1.1 GB a day");
        assert_eq!(said(|sample| sample.end = End::Runs(2)), "about 20 events, 2.0 kB in all");
        assert_eq!(said(|sample| sample.end = End::Runs(1_000_000)), "about 14,400 events, 1.4 MB a day");
        let backfilled = |sample: &mut SampleConfig| {
            sample.end = End::Runs(2);
            sample.backfill = Some(Moment::parse("-10m", &Zone::utc()).unwrap());
        };
        assert_eq!(said(backfilled), "about 120 events, 12.0 kB in all");
        let bundled = |sample: &mut SampleConfig| {
            sample.bundle_lines = true;
            sample.count = Count::Events(2);
        };
        assert_eq!(said(bundled), "about 28,800 events, 2.9 MB a day");
    }

    #[test]
    fn rates_of_today_count() {
        let mut hours = [0.0; 24];
        hours[9] = 12.0;
        let mut days = [1.0; 7];
        days[6] = 2.0;
        let rates = Rates { hour_of_day: Some(hours), day_of_week: Some(days), ..Rates::default() };
        assert_eq!(said(|sample| sample.rates = rates), "about 14,400 events, 1.4 MB a day");
    }

    #[test]
    fn a_replay_is_as_long_as_its_gaps() {
        let mut sample = sample("a.txt", &[]);
        sample.interval = Duration::from_secs(10);
        sample.end = End::Never;
        sample.count = Count::WholeFile;
        let known = Known { events: 5, event_bytes: 10.0, pass: Some(Duration::from_secs(90)) };
        assert_eq!(sentence(&sample, known, NOW), "about 4,320 events, 43.2 kB a day");
    }
}
