//! What each emitter of a counter has said so far, and so how much a new report adds.
//!
//! Pure. A report has the increase since the emitter's last one and, from the agent beside it, the
//! sum so far. The sum counts, because its increase also holds what was reported while nobody listened; the
//! difference alone would be lost with its report.

use std::collections::HashMap;

/// Emitters remembered: far more than the routers and proxies of the largest foundations. Beyond them the one
/// not heard of for the longest time is forgotten.
const EMITTERS_MAX: usize = 1024;

/// One report of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// When it was made; nanoseconds since the Unix epoch, by the emitter's clock.
    pub(super) at: i64,
    /// The increase since the report before.
    pub(super) delta: u64,
    /// The sum so far; 0 if nobody adds up, or there was nothing to add.
    pub(super) total: u64,
}

/// What is remembered of the emitters.
#[derive(Debug, Default)]
pub(super) struct Emitters {
    last: HashMap<u64, Last>,
    reports: u64,
}

/// The latest report of one emitter.
#[derive(Clone, Copy, Debug)]
struct Last {
    at: i64,
    total: u64,
    /// Which report it was, of all.
    number: u64,
}

impl Emitters {
    /// Takes a report, and says by how much the counter has grown.
    pub(super) fn increase(&mut self, emitter: u64, report: Report) -> u64 {
        let last = self.last.get(&emitter).copied();
        let late = last.is_some_and(|last| report.at < last.at);
        let increase = match last {
            // Without a sum there is nothing but the difference.
            _ if report.total == 0 => report.delta,
            // What it grew by before we came is not known to be news, but for its last interval.
            None => report.delta,
            // A later report came first, and its sum holds this one.
            Some(_) if late => 0,
            // The agent has begun anew.
            Some(last) if report.total < last.total => report.total,
            Some(last) => report.total - last.total,
        };
        if !late {
            self.remember(emitter, report);
        }
        increase
    }

    fn remember(&mut self, emitter: u64, report: Report) {
        if self.last.len() >= EMITTERS_MAX && !self.last.contains_key(&emitter) {
            let oldest = self.last.iter().min_by_key(|(_, last)| last.number).map(|(emitter, _)| *emitter);
            oldest.map(|oldest| self.last.remove(&oldest));
        }
        self.reports += 1;
        self.last.insert(emitter, Last { at: report.at, total: report.total, number: self.reports });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// When, the difference, the sum.
    type Told = (i64, u64, u64);

    fn increases(reports: &[Told]) -> Vec<u64> {
        let mut emitters = Emitters::default();
        let reports = reports.iter().map(|&(at, delta, total)| Report { at, delta, total });
        reports.map(|report| emitters.increase(7, report)).collect()
    }

    #[test]
    fn reports_follow_the_table() {
        let cases: [(&str, &[Told], &[u64]); 8] = [
            ("one after another", &[(1, 5, 5), (2, 0, 5), (3, 2, 7)], &[5, 0, 2]),
            ("seen first when it has grown before", &[(1, 3, 1000), (2, 4, 1004)], &[3, 4]),
            ("reports that were missed", &[(1, 0, 10), (9, 1, 31)], &[0, 21]),
            ("a report that comes late", &[(1, 1, 1), (3, 1, 3), (2, 1, 2), (4, 1, 4)], &[1, 2, 0, 1]),
            ("an agent that begins anew", &[(1, 0, 90), (2, 4, 4), (3, 2, 6)], &[0, 4, 2]),
            ("one that begins anew unseen", &[(1, 0, 90), (5, 1, 12), (6, 1, 13)], &[0, 12, 1]),
            ("nobody adds up", &[(1, 5, 0), (2, 0, 0), (3, 6, 0), (2, 1, 0)], &[5, 0, 6, 1]),
            ("only a sum", &[(1, 0, 40), (2, 0, 45), (3, 0, 45)], &[0, 5, 0]),
        ];
        for (what, reports, expected) in cases {
            assert_eq!(increases(reports), expected, "{what}");
        }
    }

    #[test]
    fn emitters_are_apart_and_the_one_not_heard_of_is_forgotten() {
        let mut emitters = Emitters::default();
        let mut say = |emitter, at, total| emitters.increase(emitter, Report { at, delta: 0, total });
        for emitter in 0..EMITTERS_MAX as u64 {
            assert_eq!(say(emitter, 1, 100), 0);
        }
        assert_eq!(say(0, 2, 101), 1, "all of them are remembered");
        assert_eq!(say(9999, 2, 50), 0, "one too many");
        assert_eq!(say(0, 3, 103), 2, "this one has spoken since");
        assert_eq!(say(2, 3, 104), 4);
        assert_eq!(say(1, 3, 150), 0, "and this one has not");
    }

    proptest! {
        #[test]
        fn whichever_reports_are_missed_the_sum_is_right(
            deltas in prop::collection::vec(0_u64..1000, 1..50),
            heard in prop::collection::vec(any::<bool>(), 50),
        ) {
            let mut emitters = Emitters::default();
            let (mut total, mut told) = (0, 0);
            for (at, (&delta, heard)) in (1_i64..).zip(deltas.iter().zip(heard)) {
                total += delta;
                // The first and the last are heard.
                if heard || at == 1 || at == deltas.len() as i64 {
                    told += emitters.increase(1, Report { at, delta, total });
                }
            }
            prop_assert_eq!(told, total);
        }
    }
}
