//! The nozzle's own events: its log lines and its metrics, in Splunk as the Go nozzle's were.
//!
//! ```text
//! a line of the log ─► tap ─► buffer ─► lane ─┐
//!                                             ├─► HEC client
//! status, by the clock ─► metrics ─► buffer ─► lane ─┘
//! ```
//!
//! - They never hinder anything: who logs never waits, what does not fit is counted, each lane has one request under
//!   way at a time, and at the end they get [`FLUSH_TIME_MAX`].
//! - They are no envelopes: they have a [ledger](OwnLedger) of their own, and nothing of them is in the other one.
//! - They cause no further ones without end: of what is logged while they are delivered a few lines a minute become
//!   events, of lines of libraries none, of the rest so many a second. The nozzle's output that comes back
//!   through the firehose is held down by [`Echo`].

mod buffer;
mod echo;
mod event;
mod lane;
mod ledger;
mod metrics;
mod rate;
mod tap;
mod usage;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use self::buffer::Entry;
use self::event::{Measured, Place};
use self::lane::Lane;
use self::metrics::Reading;
use self::usage::Usage;
use crate::clock::UnixNanos;
use crate::hec::Client;
use crate::nozzle::config::{Config, OwnConfig};
use crate::nozzle::status::StatusView;
use crate::task::Tasks;

pub use self::echo::{ECHO_BURST, ECHO_PER_SECOND, Echo};
pub use self::ledger::{OwnDrop, OwnLedger, OwnStatus};
pub use self::metrics::{GO_METRICS, MetricSet};
pub use self::tap::{Lines, Tap, tap};

/// The most time own events get at the end, and the part of SHUTDOWN_TIMEOUT it may be.
pub const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);
const FLUSH_PART: u32 = 8;

/// What is left of SHUTDOWN_TIMEOUT when the flush is over.
const FLUSH_MARGIN: Duration = Duration::from_millis(100);

/// How long it may take to find out the address of this host.
const ADDRESS_WAIT: Duration = Duration::from_secs(2);

/// Bytes of metrics that may wait.
const METRICS_BYTES_MAX: usize = 128 << 10;

/// The tasks that deliver own events.
#[derive(Debug)]
pub struct OwnEvents {
    tasks: Tasks<()>,
    close: CancellationToken,
    stop: CancellationToken,
    ledger: Arc<OwnLedger>,
}

/// How events leave.
#[derive(Clone, Debug)]
enum Way {
    /// To Splunk.
    Client(Arc<Client>),
    /// To standard output (DEBUG).
    Print,
}

impl OwnEvents {
    /// Starts delivering `lines`, and metrics of what `view` shows, as far as is configured.
    pub fn start(
        config: &Config,
        view: &StatusView,
        client: &Arc<Client>,
        lines: Option<Lines>,
        ledger: Arc<OwnLedger>,
    ) -> Self {
        let own = &config.own;
        let mut tasks = Tasks::new();
        let (close, stop) = (CancellationToken::new(), CancellationToken::new());
        let way = if config.hec.debug { Way::Print } else { Way::Client(Arc::clone(client)) };
        if let (Some(index), Some(lines)) = (&own.log_index, lines) {
            let lane = Lane::new(lines.exit, Arc::from(index.as_str()), way.clone(), Arc::clone(&ledger));
            let (host, close, stop) = (own.host.clone(), close.clone(), stop.clone());
            tasks.spawn(
                "own log",
                lane::delivering(async move {
                    let ip = close.run_until_cancelled(address(&host)).await.flatten();
                    let place = Place::new(&host, ip, lane.index());
                    lane.run(|line, out| event::log_line(out, &place, line), close, stop).await;
                }),
            );
        }
        if let Some(index) = &own.metric_index {
            let (entry, exit) = buffer::buffer(METRICS_BYTES_MAX, Arc::clone(&ledger));
            tasks.spawn("own metrics", measure(own.clone(), view.clone(), entry, close.clone()));
            let lane = Lane::new(exit, Arc::from(index.as_str()), way, Arc::clone(&ledger));
            let (stop, place) = (stop.clone(), Place::new("", None, lane.index()));
            let instance = config.instance.index.clone();
            // It is closed by the end of what measures, after the last measurement.
            let close = CancellationToken::new();
            tasks.spawn(
                "own metrics delivery",
                lane::delivering(async move {
                    let write = |measured: &Measured, out: &mut Vec<u8>| {
                        event::metrics(out, &place, instance.as_deref(), measured);
                    };
                    lane.run(write, close, stop).await;
                }),
            );
        }
        Self { tasks, close, stop, ledger }
    }

    /// Delivers what is there, as far as that goes within `budget`; counts the rest.
    pub async fn finish(mut self, budget: Duration) -> OwnStatus {
        self.close.cancel();
        if timeout(budget, self.ended()).await.is_err() {
            self.stop.cancel();
            // They only have to count now; what they do not come to is counted here.
            if timeout(FLUSH_MARGIN, self.ended()).await.is_err() {
                self.tasks.shutdown().await;
                self.ledger.given_up();
            }
        }
        self.ledger.status()
    }

    async fn ended(&mut self) {
        while let Some(joined) = self.tasks.join_next().await {
            if let Err(error) = joined {
                tracing::error!(%error, next_step = "please report this with the log", "own events are not delivered");
            }
        }
    }
}

/// How long the flush at the end may take: a small part of SHUTDOWN_TIMEOUT, and no more than is left of it.
pub fn flush_budget(shutdown_timeout: Duration, deadline: Option<Instant>) -> Duration {
    let left = deadline.map_or(shutdown_timeout, |deadline| deadline - Instant::now());
    (shutdown_timeout / FLUSH_PART).min(FLUSH_TIME_MAX).min(left.saturating_sub(2 * FLUSH_MARGIN))
}

/// Measures by the clock, and once more when it is told to end.
async fn measure(own: OwnConfig, view: StatusView, entry: Entry<Measured>, close: CancellationToken) {
    let mut ticks = interval_at(Instant::now() + own.interval, own.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut usage = Usage::new(own.memory_bytes);
    loop {
        let last = tokio::select! {
            biased;
            () = close.cancelled() => true,
            _ = ticks.tick() => false,
        };
        let reading = Reading { status: view.get(), usage: usage.measure() };
        let measured = Measured { time: UnixNanos::now(), values: own.metrics.values(&reading) };
        if !measured.values.is_empty() {
            let bytes = measured.cost();
            entry.offer(measured, bytes);
        }
        if last {
            return;
        }
    }
}

/// The address behind a host's name, if it is known soon.
async fn address(host: &str) -> Option<IpAddr> {
    let found = timeout(ADDRESS_WAIT, tokio::net::lookup_host((host, 0))).await.ok()?;
    found.ok()?.next().map(|address| address.ip())
}
