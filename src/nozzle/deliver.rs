//! Delivery: sealed batches wait here for HEC, bounded in bytes, and are settled in the ledger.
//!
//! Admission decides when there is no room ([`WhenFull`]); senders take batches in
//! order, as many as HEC's endpoints can do with, and hand them to the HEC client, which answers for each event.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::hec::batch::{Batch, Tally};
use crate::hec::{Client, Outcome, Rejection};
use crate::nozzle::config::WhenFull;
use crate::nozzle::ledger::{Drop as DropReason, Ledger};

/// The most requests under way at once; how many each endpoint gets is the client's to find out.
pub const SENDERS: usize = 64;

/// Batches the pool can hold, however small they are.
const BATCHES_MAX: usize = 8192;

/// Memory is counted in units of this many bytes.
const UNIT_BYTES: usize = 1024;

/// Makes a pool for `capacity_bytes` of batches: waiting, being sent, being tried again.
pub fn pool(capacity_bytes: usize, when_full: WhenFull, ledger: Arc<Ledger>) -> (Admission, Outbox) {
    let (sender, receiver) = async_channel::bounded(BATCHES_MAX);
    let units = (capacity_bytes / UNIT_BYTES).clamp(1, u32::MAX as usize);
    let gauge = Arc::new(Gauge {
        room: Arc::new(Semaphore::new(units)),
        capacity_bytes: units * UNIT_BYTES,
        high_water_bytes: AtomicUsize::new(0),
        samples: Samples::default(),
    });
    (
        Admission { sender, gauge: Arc::clone(&gauge), when_full, ledger: Arc::clone(&ledger) },
        Outbox { receiver, gauge, ledger },
    )
}

#[derive(Debug)]
struct Gauge {
    room: Arc<Semaphore>,
    capacity_bytes: usize,
    high_water_bytes: AtomicUsize,
    samples: Samples,
}

impl Gauge {
    fn used_bytes(&self) -> usize {
        self.capacity_bytes - self.room.available_permits() * UNIT_BYTES
    }
}

/// The place of a batch in the pool: its room, and its share of what is held. Both are given back
/// when it is dropped, so a batch that vanishes without a verdict shows in the ledger.
#[derive(Debug)]
struct Place {
    tally: Tally,
    ledger: Arc<Ledger>,
    _room: OwnedSemaphorePermit,
}

impl Place {
    fn take(tally: Tally, ledger: &Arc<Ledger>, room: OwnedSemaphorePermit) -> Self {
        ledger.pooled(tally);
        Self { tally, ledger: Arc::clone(ledger), _room: room }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ledger.unpooled(self.tally);
    }
}

/// A batch in the pool.
#[derive(Debug)]
struct Admitted {
    batch: Batch,
    place: Place,
}

/// The workers' end of the pool. It closes when the last clone is gone.
#[derive(Clone, Debug)]
pub struct Admission {
    sender: Sender<Admitted>,
    gauge: Arc<Gauge>,
    when_full: WhenFull,
    ledger: Arc<Ledger>,
}

impl Admission {
    /// Hands over a batch, or drops and counts it if there is no room.
    ///
    /// Waits only with [`WhenFull::Block`], and then until there is room or `stop` is cancelled.
    pub async fn admit(&self, mut batch: Batch, stop: &CancellationToken) {
        batch.shrink();
        let units = u32::try_from(batch.memory().div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        // A batch larger than the whole pool takes all of it, rather than never fitting.
        let units = units.min(u32::try_from(self.gauge.capacity_bytes / UNIT_BYTES).unwrap_or(u32::MAX));
        let room = Arc::clone(&self.gauge.room);
        let permit = match self.when_full {
            WhenFull::DropNewest => room.try_acquire_many_owned(units).ok(),
            WhenFull::Block => tokio::select! {
                biased;
                permit = room.acquire_many_owned(units) => permit.ok(),
                () = stop.cancelled() => None,
            },
        };
        let reason = if stop.is_cancelled() { DropReason::Shutdown } else { DropReason::DeliveryFull };
        let Some(permit) = permit else {
            return self.ledger.dropped(reason, batch.tally());
        };
        self.gauge.high_water_bytes.fetch_max(self.gauge.used_bytes(), Relaxed);
        let place = Place::take(batch.tally(), &self.ledger, permit);
        let admitted = Admitted { batch, place };
        let refused = match self.when_full {
            WhenFull::DropNewest => self.sender.try_send(admitted).err().map(|error| error.into_inner()),
            WhenFull::Block => self.sender.send(admitted).await.err().map(|error| error.into_inner()),
        };
        if let Some(admitted) = refused {
            self.ledger.dropped(reason, admitted.batch.tally());
        }
    }

    /// Whether batches wait for a sender: then sealing small ones early gains nothing.
    pub fn is_backlogged(&self) -> bool {
        !self.sender.is_empty()
    }
}

/// The senders' end of the pool.
#[derive(Clone, Debug)]
pub struct Outbox {
    receiver: Receiver<Admitted>,
    gauge: Arc<Gauge>,
    ledger: Arc<Ledger>,
}

/// How full the pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PoolStatus {
    /// Batches waiting for a sender.
    pub waiting_batches: usize,
    /// Bytes of batches waiting or being sent.
    pub bytes: usize,
    /// The most there has been.
    pub high_water_bytes: usize,
    /// DELIVERY_MAX_BYTES.
    pub capacity_bytes: usize,
}

impl Outbox {
    /// How full the pool is.
    pub fn status(&self) -> PoolStatus {
        PoolStatus {
            waiting_batches: self.receiver.len(),
            bytes: self.gauge.used_bytes(),
            high_water_bytes: self.gauge.high_water_bytes.load(Relaxed),
            capacity_bytes: self.gauge.capacity_bytes,
        }
    }

    /// Sends batches until the pool is closed and empty. After `stop` is cancelled nothing is sent
    /// any more: what is left is counted as lost.
    pub async fn send_all(self, client: Arc<Client>, stop: CancellationToken) {
        loop {
            // What no endpoint could take yet stays in the pool, where it counts as waiting.
            let _slot = stop.run_until_cancelled(client.slot()).await;
            let Ok(Admitted { batch, place }) = self.receiver.recv().await else { break };
            let outcome = client.deliver(batch, &stop).await;
            self.settle(&outcome);
            drop(place);
        }
    }

    fn settle(&self, outcome: &Outcome) {
        self.ledger.delivered(outcome.delivered);
        for rejection in &outcome.rejected {
            self.ledger.rejected(&label(rejection), rejection.tally);
            self.gauge.samples.show(rejection);
        }
        self.ledger.dropped(DropReason::RetriesExhausted, outcome.abandoned);
        self.ledger.dropped(DropReason::Shutdown, outcome.undelivered);
    }

    /// Prints bodies instead of sending them (DEBUG).
    pub async fn print_all(self, stop: CancellationToken) {
        while let Ok(Admitted { batch, place }) = self.receiver.recv().await {
            if stop.is_cancelled() {
                self.ledger.dropped(DropReason::Shutdown, batch.tally());
            } else {
                print(&batch);
                self.ledger.delivered(batch.tally());
            }
            drop(place);
        }
    }
}

/// Shows one refused event every so often: without one nobody can find out what is wrong with them.
#[derive(Debug, Default)]
struct Samples(Mutex<Option<Instant>>);

impl Samples {
    const EVERY: Duration = Duration::from_secs(10);

    fn show(&self, rejection: &Rejection) {
        let now = Instant::now();
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.is_none_or(|shown| now - shown >= Self::EVERY) {
            *shown = Some(now);
            drop(shown);
            tracing::warn!(
                code = label(rejection),
                sample = rejection.sample(),
                "an event that splunk refused"
            );
        }
    }
}

/// How a rejection is named in the ledger: by HEC code, else by HTTP status.
fn label(rejection: &Rejection) -> String {
    match rejection.code {
        Some(code) => format!("code_{}", code.0),
        None => format!("http_{}", rejection.status.as_u16()),
    }
}

#[allow(clippy::print_stdout, reason = "DEBUG asks for bodies on standard output")]
fn print(batch: &Batch) {
    println!("{}", String::from_utf8_lossy(batch.body()));
}
