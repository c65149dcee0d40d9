//! What a run shows of itself while it runs, on standard error: a line for each sample that is
//! redrawn on a terminal, or a plain line now and then.
//!
//! Bounded: a terminal has so many lines, and a log gets one line a period however many samples
//! there are.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::engine::EventVolume;
use super::engine::report::{SampleView, View, bytes, grouped};
use crate::task::Tasks;

/// Samples with a line of their own; the others share one.
const BARS_MAX: usize = 20;
/// How often a terminal is redrawn.
const BARS_PERIOD: Duration = Duration::from_millis(250);
/// A speed is an average over so long: what comes in bursts would flicker.
const SPEED_WINDOW: Duration = Duration::from_secs(3);
/// How often there is a plain line.
const LINES_PERIOD: Duration = Duration::from_secs(10);

/// How progress is shown.
#[derive(Clone, Debug)]
pub enum Progress {
    /// Not at all.
    Off,
    /// A plain line every ten seconds.
    Lines,
    /// A line for each sample, redrawn.
    Bars(Bars),
}

/// The lines on the terminal that are redrawn; clones are the same lines.
#[derive(Clone, Debug, Default)]
pub struct Bars(MultiProgress);

impl Bars {
    /// A writer to standard error that does not write into the lines.
    pub fn writer(&self) -> impl Write + use<> {
        BesideBars(self.0.clone())
    }
}

struct BesideBars(MultiProgress);

impl Write for BesideBars {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write_all(text))?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Progress that is being shown.
#[derive(Debug)]
pub(super) struct Shown {
    end: CancellationToken,
    tasks: Tasks<()>,
}

impl Progress {
    /// Starts to show; the runtime around it is needed.
    pub(super) fn start(self, view: View, started: Instant) -> Shown {
        let end = CancellationToken::new();
        let mut tasks = Tasks::new();
        match self {
            Self::Off => {}
            Self::Lines => tasks.spawn("progress", lines(view, started, end.clone())),
            Self::Bars(bars) => tasks.spawn("progress", redraw(bars, view, end.clone())),
        }
        Shown { end, tasks }
    }
}

impl Shown {
    /// Shows the last state (bars go away, the report says it all) and ends.
    pub(super) async fn stop(mut self) {
        self.end.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn lines(view: View, started: Instant, end: CancellationToken) {
    let mut speed = Speed::default();
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(LINES_PERIOD) => {}
        }
        let state = State::of(&view.samples);
        let rate = speed.rate(state.made, Instant::now());
        let slowest = view.samples.iter().max_by_key(|sample| sample.counts().lag);
        tracing::info!(
            seconds = started.elapsed().as_secs(),
            events = state.made.events,
            events_per_second = rate.events,
            bytes_per_second = rate.bytes,
            lost = state.lost,
            lag_ms = crate::clock::millis(state.lag),
            latest = slowest.map(SampleView::label),
            "generating"
        );
    }
}

async fn redraw(all: Bars, view: View, end: CancellationToken) {
    let style = ProgressStyle::with_template("{spinner} {prefix}  {wide_msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    let (own, shared) = view.samples.split_at(view.samples.len().min(BARS_MAX));
    let mut groups: Vec<(String, &[SampleView])> =
        own.chunks(1).map(|sample| (sample[0].label(), sample)).collect();
    if !shared.is_empty() {
        groups.push((format!("… {} samples more", shared.len()), shared));
    }
    let width = groups.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    let mut drawn: Vec<(ProgressBar, Speed, &[SampleView])> = (groups.into_iter())
        .map(|(label, samples)| {
            let bar = all.0.add(ProgressBar::new_spinner()).with_style(style.clone());
            bar.set_prefix(format!("{label:width$}"));
            (bar, Speed::default(), samples)
        })
        .collect();
    loop {
        for (bar, speed, samples) in &mut drawn {
            let state = State::of(samples);
            bar.set_message(state.line(speed.rate(state.made, Instant::now())));
            bar.tick();
        }
        tokio::select! {
            () = end.cancelled() => break,
            () = tokio::time::sleep(BARS_PERIOD) => {}
        }
    }
    drawn.iter().for_each(|(bar, ..)| bar.finish_and_clear());
}

/// Samples together.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    made: EventVolume,
    lost: u64,
    lag: Duration,
}

impl State {
    fn of(samples: &[SampleView]) -> Self {
        let mut state = Self::default();
        for sample in samples {
            let counts = sample.counts();
            state.made += counts.made;
            state.lost += counts.lost_events();
            state.lag = state.lag.max(counts.lag);
        }
        state
    }

    fn line(&self, rate: EventVolume) -> String {
        let mut line = format!(
            "{} events  {}/s  {}/s",
            grouped(self.made.events),
            grouped(rate.events),
            bytes(rate.bytes)
        );
        if self.lag >= Duration::from_millis(100) {
            line += &format!("  {:.1} s late", self.lag.as_secs_f64());
        }
        if self.lost > 0 {
            line += &format!("  {} lost", grouped(self.lost));
        }
        line
    }
}

/// The speed of the last few seconds.
#[derive(Debug, Default)]
struct Speed {
    seen: VecDeque<(Instant, EventVolume)>,
}

impl Speed {
    fn rate(&mut self, made: EventVolume, now: Instant) -> EventVolume {
        self.seen.push_back((now, made));
        // One that is older stays, so that there is always something to compare with.
        while self.seen.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= SPEED_WINDOW) {
            self.seen.pop_front();
        }
        let Some((at, before)) = self.seen.front() else { return EventVolume::default() };
        let millis = u64::try_from(now.duration_since(*at).as_millis()).unwrap_or(u64::MAX).max(1);
        let per_second = |now: u64, before: u64| now.saturating_sub(before).saturating_mul(1000) / millis;
        EventVolume {
            events: per_second(made.events, before.events),
            bytes: per_second(made.bytes, before.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_what_was_made_in_the_last_seconds() {
        let start = Instant::now();
        let volume = |events| EventVolume { events, bytes: events * 100 };
        let mut speed = Speed::default();
        assert_eq!(speed.rate(volume(50), start), EventVolume::default());
        assert_eq!(speed.rate(volume(550), start + Duration::from_millis(250)), volume(2000));
        assert_eq!(speed.rate(volume(1050), start + Duration::from_secs(1)), volume(1000));
        assert_eq!(speed.rate(volume(1050), start + Duration::from_secs(4)), volume(0));
        assert_eq!(speed.rate(volume(1850), start + Duration::from_secs(5)), volume(200));
        assert_eq!(speed.seen.len(), 3);
    }

    #[test]
    fn a_line_says_only_what_there_is() {
        let made = EventVolume { events: 1_234_567, bytes: 9_000_000 };
        let rate = EventVolume { events: 1000, bytes: 100_000 };
        let mut state = State { made, ..State::default() };
        assert_eq!(state.line(rate), "1,234,567 events  1,000/s  100.0 kB/s");
        state = State { lag: Duration::from_millis(1500), lost: 3, ..state };
        assert_eq!(state.line(rate), "1,234,567 events  1,000/s  100.0 kB/s  1.5 s late  3 lost");
    }
}
