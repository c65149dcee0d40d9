//! Counts bytes and events by the day of the events, and prints both at the end, on standard error.

use std::collections::BTreeMap;
use std::io::Write as _;

use super::ready;
use crate::clock::UnixNanos;
use crate::eventgen::config::SampleConfig;
use crate::eventgen::engine::EventVolume;
use crate::eventgen::event::Batch;
use crate::eventgen::plugin::{Nature, Output, OutputFuture};
use crate::eventgen::time::{Civil, Zone};

/// Days that are told apart, 27 years; the rest counts for the last one.
const DAYS_MAX: usize = 10_000;
/// A wall clock shows the same hour at least so long: no zone changes within a quarter of an hour.
const QUARTER: i64 = 900 * 1_000_000_000;

/// The output `counter`.
#[derive(Debug)]
pub(super) struct Counter {
    zone: Zone,
    days: BTreeMap<Day, EventVolume>,
    /// The quarter of an hour of the last event, and its day.
    last: Option<(i64, Day)>,
}

type Day = (i16, u8, u8);

impl Counter {
    pub(super) fn new(sample: &SampleConfig) -> Self {
        Self { zone: sample.zone.clone(), days: BTreeMap::new(), last: None }
    }

    fn day(&mut self, time: UnixNanos) -> Day {
        let quarter = time.0.div_euclid(QUARTER);
        match self.last {
            Some((last, day)) if last == quarter => day,
            _ => {
                let civil = Civil::of(time, &self.zone);
                let day = (civil.year, civil.month, civil.day);
                self.last = Some((quarter, day));
                day
            }
        }
    }

    fn count(&mut self, batch: &Batch) {
        for event in batch.iter() {
            let day = self.day(event.time);
            let full = self.days.len() >= DAYS_MAX && !self.days.contains_key(&day);
            let day = if full { self.days.last_key_value().map_or(day, |(day, _)| *day) } else { day };
            *self.days.entry(day).or_default() += EventVolume { events: 1, bytes: event.text.len() as u64 };
        }
    }

    /// Two lines: bytes by day, events by day.
    fn histograms(&self, now: UnixNanos) -> String {
        let now = Civil::of(now, &self.zone);
        let now = format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
            now.year, now.month, now.day, now.hour, now.minute, now.second
        );
        let of = |count: fn(&EventVolume) -> u64| {
            let days = self.days.iter().map(|((year, month, day), volume)| {
                format!("'{year:04}-{month:02}-{day:02}': {}", count(volume))
            });
            format!("{{{}}}", days.collect::<Vec<_>>().join(", "))
        };
        format!("{now} {}\n{now} {}\n", of(|volume| volume.bytes), of(|volume| volume.events))
    }
}

impl Output for Counter {
    fn nature(&self) -> Nature {
        Nature::Instant
    }

    fn write<'a>(&'a mut self, batch: &'a Batch) -> OutputFuture<'a> {
        self.count(batch);
        ready(Ok(()))
    }

    fn finish(&mut self) -> OutputFuture<'_> {
        // If nobody reads standard error there is nobody to tell.
        let _ = std::io::stderr().write_all(self.histograms(UnixNanos::now()).as_bytes());
        ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::eventgen::testing::{NOON, meta, sample};

    #[test]
    fn days_are_those_of_the_samples_zone() {
        let mut sample = sample("s", &[]);
        sample.zone = Zone::parse("+0530").unwrap();
        let mut counter = Counter::new(&sample);
        let mut batch = Batch::new();
        let meta = batch.meta(&Arc::new(meta()));
        let hour = 3600 * 1_000_000_000;
        // 17:30:01 there, 23:30:01, 00:30:01 and back.
        for (text, later) in [("ab\n", 0), ("c", 6 * hour), ("defg\n", 7 * hour), ("\n", 0)] {
            batch.buffer().extend_from_slice(text.as_bytes());
            batch.commit(UnixNanos(NOON.0 + later), meta);
        }
        counter.count(&batch);
        assert_eq!(
            counter.histograms(NOON),
            "2024-01-15 17:30:01 {'2024-01-15': 5, '2024-01-16': 5}\n\
             2024-01-15 17:30:01 {'2024-01-15': 3, '2024-01-16': 1}\n"
        );
    }
}
