use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::eventgen::testing;
use crate::eventgen::time::Moment;

fn rater(name: &str, set: impl FnOnce(&mut SampleConfig)) -> Box<dyn Rater> {
    let mut sample = testing::sample("s", &[]);
    set(&mut sample);
    make(name, &sample).unwrap()
}

fn at(text: &str) -> UnixNanos {
    match Moment::parse(text, &Zone::utc()) {
        Ok(Moment::At(at)) => at,
        other => panic!("{text}: {other:?}"),
    }
}

fn table<const N: usize>(entries: &[(usize, f64)]) -> Option<[f64; N]> {
    let mut table = [1.0; N];
    entries.iter().for_each(|(place, factor)| table[*place] = *factor);
    Some(table)
}

#[test]
fn counts_and_rates() {
    // A Wednesday.
    let now = at("2024-06-12 09:30:05");
    let hour = |factor| Rates { hour_of_day: table(&[(9, factor)]), ..Rates::default() };
    for (count, rates, expected) in [
        (Count::Events(100), Rates::default(), 100),
        (Count::Events(100), hour(0.35), 35),
        (Count::Events(10), hour(2.5), 25),
        (Count::Events(10), hour(0.0), 0),
        (Count::Events(0), hour(2.0), 0),
        (Count::Events(7), hour(0.5), 4),
        (Count::Events(5), hour(0.5), 2),
        (Count::WholeFile, hour(0.4), 2),
        (Count::Events(100), Rates { day_of_week: table(&[(2, 0.9), (3, 0.4)]), ..Rates::default() }, 40),
        (Count::Events(100), Rates { minute_of_hour: table(&[(30, 0.1)]), ..Rates::default() }, 10),
        (Count::Events(100), Rates { day_of_month: table(&[(11, 0.77)]), ..Rates::default() }, 77),
        (Count::Events(100), Rates { month_of_year: table(&[(5, 0.6)]), ..Rates::default() }, 60),
        (
            Count::Events(100),
            Rates { day_of_week: table(&[(3, 0.5)]), minute_of_hour: table(&[(30, 0.5)]), ..hour(0.5) },
            12,
        ),
    ] {
        let mut rater = rater("config", |sample| (sample.count, sample.rates) = (count, rates.clone()));
        assert_eq!(rater.rate(now, 5, 0.5).amount, Amount::Events(expected), "{count:?} {rates:?}");
    }
}

#[test]
fn passes_are_counted_whole() {
    let mut bundled =
        rater("config", |sample| (sample.bundle_lines, sample.count) = (true, Count::Events(3)));
    assert_eq!(bundled.rate(UnixNanos(0), 5, 0.0).amount, Amount::Events(15));
    let mut whole = rater("config", |sample| sample.bundle_lines = true);
    assert_eq!(whole.rate(UnixNanos(0), 5, 0.0).amount, Amount::Events(5));
    let mut replay = rater("config", |sample| {
        (sample.generator, sample.count) = ("replay".to_owned(), Count::Events(3));
        sample.rates.hour_of_day = Some([0.0; 24]);
    });
    assert_eq!(replay.rate(UnixNanos(0), 5, 0.0).amount, Amount::Events(5));
    let mut counter = rater("counter", |sample| {
        (sample.generator, sample.count) = ("counter".to_owned(), Count::Events(3));
    });
    assert_eq!(
        counter.rate(UnixNanos(0), 4, 0.0).amount,
        Amount::Events(4),
        "no end_count: one pass to the count"
    );
}

#[test]
fn a_random_count_is_within_half_of_its_setting() {
    let mut rater =
        rater("config", |sample| (sample.randomize_count, sample.count) = (0.2, Count::Events(1000)));
    for (random, expected) in [(0.0, 900), (0.5, 1000), (0.999_999, 1100), (0.25, 950)] {
        assert_eq!(rater.rate(UnixNanos(0), 1, random).amount, Amount::Events(expected));
    }
}

/// The bytes a rater says for a day of runs.
fn day_of(rater: &mut dyn Rater, interval: i64) -> u64 {
    let start = at("2024-06-12 00:00:00").0;
    let runs = (0..86_400 / interval).map(|run| UnixNanos(start + run * interval * 1_000_000_000));
    runs.map(|at| match rater.rate(at, 1, 0.5).amount {
        Amount::Bytes(bytes) => bytes,
        Amount::Events(_) => panic!("not by volume"),
    })
    .sum()
}

#[test]
fn a_day_has_its_volume() {
    for (gib, interval, expected) in
        [(1.0, 60, 1 << 30), (0.001, 1, 1_073_741), (0.000_01, 7, 10_736), (5.0, 3600, 5 << 30)]
    {
        let mut rater = rater("config", |sample| {
            sample.per_day_volume = Some(gib);
            sample.interval = Duration::from_secs(interval);
        });
        let made = day_of(&mut *rater, interval as i64);
        assert!(made.abs_diff(expected) <= 1, "{gib} GiB every {interval} s: {made} of {expected}");
    }
}

#[test]
fn a_day_of_rated_volume_is_that_of_its_hours() {
    let rates: [f64; 24] = std::array::from_fn(|hour| f64::from(hour as u32) / 10.0);
    let mut rater = rater("perdayvolume", |sample| {
        sample.per_day_volume = Some(2.0);
        sample.interval = Duration::from_secs(13 * 60);
        sample.rates.hour_of_day = Some(rates);
    });
    let exact: f64 =
        (0..86_400 / 780).map(|run| 2.0 * GIB * 780.0 / 86_400.0 * rates[run * 780 / 3600]).sum();
    assert!(day_of(&mut *rater, 780).abs_diff(exact as u64) <= 1);
    let mut every_second = self::rater("config", |sample| {
        (sample.per_day_volume, sample.interval) = (Some(1.0), Duration::ZERO);
    });
    assert_eq!(every_second.rate(UnixNanos(0), 1, 0.5).amount, Amount::Bytes(12_427));
}

#[test]
fn rates_are_those_of_the_runs_own_time_and_zone() {
    let rates = Rates { hour_of_day: Some(std::array::from_fn(|hour| hour as f64)), ..Rates::default() };
    let mut rater = rater("config", |sample| {
        (sample.count, sample.rates, sample.zone) = (Count::Events(10), rates, Zone::parse("+0530").unwrap());
    });
    for (time, expected) in
        [("2024-06-12 00:00:00", 50), ("2024-06-12 00:30:00", 60), ("2024-06-12 20:00:00", 10)]
    {
        assert_eq!(rater.rate(at(time), 1, 0.5).amount, Amount::Events(expected), "{time}");
    }
}

#[test]
fn a_volume_rater_needs_a_volume() {
    let error = make("perdayvolume", &testing::sample("s", &[])).err().unwrap();
    assert!(error.contains("needs perDayVolume"), "{error}");
}

proptest! {
    #[test]
    fn no_volume_is_lost_or_made_up(
        gib in 0.0..0.1_f64,
        randoms in prop::collection::vec(0.0..1.0_f64, 1..200),
        randomize in 0.0..1.0_f64,
    ) {
        let mut rater = rater("config", |sample| {
            (sample.per_day_volume, sample.randomize_count) = (Some(gib), randomize);
            sample.interval = Duration::from_secs(1);
        });
        let (mut exact, mut made) = (0.0, 0);
        for random in randoms {
            exact += gib * GIB / SECONDS_PER_DAY * (((1.0 + randomize * (random - 0.5)) * 1000.0).round() / 1000.0);
            let Amount::Bytes(bytes) = rater.rate(UnixNanos(0), 1, random).amount else { panic!("not by volume") };
            made += bytes;
            prop_assert!(made as f64 <= exact + 1e-6 && exact - (made as f64) < 1.0 + 1e-6);
        }
    }
}
