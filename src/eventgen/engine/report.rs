//! What became of everything: for the progress while it runs, for the report at the end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::ledger::{Counts, Ledger, Volume};

/// Lines about single samples in a report; the rest is summed up.
const LINES_MAX: usize = 50;

/// `EX_OK`, and what a run ends with that lost or failed something.
const EXIT_LOST: u8 = 1;

/// A sample that could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its stanza.
    pub stanza: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Why.
    pub message: String,
}

/// A look at one sample's counts, at any time.
#[derive(Clone, Debug)]
pub struct SampleView {
    /// Its stanza.
    pub stanza: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Runs until its end, if that is known.
    pub runs: Option<u64>,
    ledger: Arc<Ledger>,
}

impl SampleView {
    pub(super) fn new(stanza: Arc<str>, name: Arc<str>, runs: Option<u64>, ledger: Arc<Ledger>) -> Self {
        Self { stanza, name, runs, ledger }
    }

    /// The counts now.
    pub fn counts(&self) -> Counts {
        self.ledger.counts()
    }

    /// The stanza, and the file if that is not the same.
    pub fn label(&self) -> String {
        label(&self.stanza, &self.name)
    }
}

fn label(stanza: &str, name: &str) -> String {
    if stanza == name { format!("[{stanza}]") } else { format!("[{stanza}] {name}") }
}

/// A look at all samples' counts, at any time.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// In the order of the conf.
    pub samples: Vec<SampleView>,
}

impl View {
    pub(super) fn new(samples: impl Iterator<Item = SampleView>) -> Self {
        Self { samples: samples.collect() }
    }
}

/// What became of one sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleReport {
    /// Its stanza.
    pub stanza: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The counts at the end.
    pub counts: Counts,
}

/// What became of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Samples that ran, in the order of the conf.
    pub samples: Vec<SampleReport>,
    /// Samples that could not.
    pub failed: Vec<Failed>,
    /// How long it took.
    pub elapsed: Duration,
    /// The system gave no thread to work on.
    pub no_workers: bool,
}

impl Report {
    pub(super) fn new(view: View, failed: Vec<Failed>, elapsed: Duration) -> Self {
        let samples = (view.samples.iter())
            .map(|sample| SampleReport {
                stanza: Arc::clone(&sample.stanza),
                name: Arc::clone(&sample.name),
                counts: sample.counts(),
            })
            .collect();
        Self { samples, failed, elapsed, no_workers: false }
    }

    /// The status the process ends with: 0, or 1 when something was lost or failed.
    pub fn exit_code(&self) -> u8 {
        let fine =
            self.failed.is_empty() && !self.no_workers && self.samples.iter().all(SampleReport::is_fine);
        if fine { 0 } else { EXIT_LOST }
    }

    /// Everything that was made.
    pub fn made(&self) -> Volume {
        self.sum(|counts| counts.made)
    }

    /// Everything that was written.
    pub fn written(&self) -> Volume {
        self.sum(|counts| counts.written)
    }

    /// Events that were made and not written.
    pub fn lost(&self) -> u64 {
        self.samples.iter().map(|sample| sample.counts.lost_events()).sum()
    }

    fn sum(&self, of: impl Fn(&Counts) -> Volume) -> Volume {
        let mut sum = Volume::default();
        self.samples.iter().for_each(|sample| sum += of(&sample.counts));
        sum
    }

    /// The report as a person reads it: a line for each sample, or only for those with something
    /// to say, and one for all.
    pub fn lines(&self, every_sample: bool) -> Vec<String> {
        let mut lines: Vec<String> = (self.failed.iter())
            .map(|failed| format!("{}: did not run: {}", label(&failed.stanza, &failed.name), failed.message))
            .collect();
        if self.no_workers {
            lines.push("no worker thread could be started: nothing was made".to_owned());
        }
        let told = |sample: &&SampleReport| every_sample || !sample.is_fine() || sample.counts.skipped > 0;
        lines.extend(self.samples.iter().filter(told).map(SampleReport::to_string));
        if lines.len() > LINES_MAX {
            let more = lines.len() - LINES_MAX;
            lines.truncate(LINES_MAX);
            lines.push(format!("… and {more} samples more"));
        }
        lines.push(self.total());
        lines
    }

    fn total(&self) -> String {
        let (made, written, lost) = (self.made(), self.written(), self.lost());
        let seconds = self.elapsed.as_secs_f64().max(0.001);
        format!(
            "{} ({}) in {:.1} s: {} events/s, {}/s; written {}, lost {lost}",
            several(made.events, "event"),
            bytes(made.bytes),
            self.elapsed.as_secs_f64(),
            grouped(per(made.events, seconds)),
            bytes(per(made.bytes, seconds)),
            grouped(written.events),
        )
    }
}

impl SampleReport {
    /// Whether nothing was lost and nothing failed.
    pub fn is_fine(&self) -> bool {
        self.counts.lost_events() == 0 && self.counts.failures == 0
    }
}

impl fmt::Display for SampleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        write!(
            f,
            "{}: {} ({}) in {}",
            label(&self.stanza, &self.name),
            several(counts.made.events, "event"),
            bytes(counts.made.bytes),
            several(counts.runs, "run")
        )?;
        for (why, events) in &counts.lost {
            write!(f, ", lost {} ({})", grouped(*events), why.label())?;
        }
        if counts.skipped > 0 {
            write!(f, ", {} skipped because of being too late", several(counts.skipped, "run"))?;
        }
        if let Some(message) = &counts.first_failure {
            let times = if counts.failures == 1 {
                String::new()
            } else {
                format!(" ({} times)", grouped(counts.failures))
            };
            write!(f, "; failed{times}: {message}")?;
        }
        Ok(())
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "for a person"
)]
fn per(count: u64, seconds: f64) -> u64 {
    (count as f64 / seconds).round() as u64
}

/// `1234567` as `1,234,567`.
pub(in crate::eventgen) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things.
fn several(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(number))
}

/// Bytes with a unit of powers of ten.
pub(in crate::eventgen) fn bytes(number: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "for a person")]
    let mut value = number as f64;
    if number < 1000 {
        return format!("{number} B");
    }
    for unit in ["kB", "MB", "GB"] {
        value /= 1000.0;
        if value < 999.95 {
            return format!("{value:.1} {unit}");
        }
    }
    format!("{:.1} TB", value / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Loss;
    use super::*;

    #[test]
    fn numbers_as_a_person_reads_them() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), expected);
        }
        for (number, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (5_000_000_000_000, "5.0 TB"),
        ] {
            assert_eq!(bytes(number), expected);
        }
    }

    #[test]
    fn a_report_tells_what_is_not_fine_and_ends_with_the_sum() {
        let sample = |name: &str, counts| SampleReport { stanza: "web".into(), name: name.into(), counts };
        let volume = |events| Volume { events, bytes: events * 100 };
        let fine = Counts { made: volume(5000), written: volume(5000), runs: 2, ..Counts::default() };
        let bad = Counts {
            made: volume(30),
            written: volume(10),
            lost: [(Loss::Failed, 15), (Loss::Stopped, 5)].into(),
            runs: 3,
            skipped: 4,
            failures: 2,
            first_failure: Some("no space left".to_owned()),
            ..Counts::default()
        };
        let mut report = Report {
            samples: vec![sample("web", fine), sample("b.log", bad)],
            elapsed: Duration::from_secs(2),
            ..Report::default()
        };
        assert_eq!(
            report.lines(false),
            [
                "[web] b.log: 30 events (3.0 kB) in 3 runs, lost 15 (failed), lost 5 (stopped), \
                 4 runs skipped because of being too late; failed (2 times): no space left",
                "5,030 events (503.0 kB) in 2.0 s: 2,515 events/s, 251.5 kB/s; written 5,010, lost 20",
            ]
        );
        assert_eq!(report.lines(true)[0], "[web]: 5,000 events (500.0 kB) in 2 runs");
        assert_eq!(report.exit_code(), 1);
        report.samples.pop();
        assert_eq!(report.exit_code(), 0);
        report.failed.push(Failed { stanza: "x".into(), name: "x".into(), message: "why".to_owned() });
        assert_eq!((report.exit_code(), &*report.lines(false)[0]), (1, "[x]: did not run: why"));
    }
}
