//! The rates of `rated` numbers.

use super::replacement::Pad;
use crate::clock::UnixNanos;
use crate::eventgen::config::Rates;
use crate::eventgen::time::{Civil, Zone};

/// What `rated` numbers are multiplied with: the rates of the hour and of the day of the week.
#[derive(Debug)]
pub(super) struct Rating {
    zone: Zone,
    hour: Option<[f64; 24]>,
    weekday: Option<[f64; 7]>,
}

impl Rating {
    pub(super) fn new(rates: &Rates, zone: &Zone) -> Self {
        Self { zone: zone.clone(), hour: rates.hour_of_day, weekday: rates.day_of_week }
    }

    pub(super) fn factor(&self, at: UnixNanos, pad: &mut Pad) -> f64 {
        if self.hour.is_none() && self.weekday.is_none() {
            return 1.0;
        }
        let second = at.0.div_euclid(1_000_000_000);
        if let Some((_, factor)) = pad.factor.filter(|(of, _)| *of == second) {
            return factor;
        }
        let civil = Civil::of(at, &self.zone);
        let hour = self.hour.and_then(|rates| rates.get(usize::from(civil.hour)).copied());
        let weekday = self.weekday.and_then(|rates| rates.get(usize::from(civil.weekday)).copied());
        let factor = hour.unwrap_or(1.0) * weekday.unwrap_or(1.0);
        pad.factor = Some((second, factor));
        factor
    }
}
