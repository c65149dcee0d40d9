//! A worker: takes frames, decodes, filters, enriches, encodes and batches, in one pass.
//!
//! It waits for frames, for a look-up of an app's names, for the age of a batch; never for HEC or the
//! Cloud Controller (with QUEUE_WHEN_FULL=block, for room). It ends when the queue is closed and
//! empty: parked envelopes go out as they are, open batches are sealed.

#[cfg(test)]
mod lookup_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::UnixNanos;
use crate::hec::batch::{Batch, Tally};
use crate::nozzle::batcher::Batcher;
use crate::nozzle::deliver::Admission;
use crate::nozzle::encode::{Context, Encoder};
use crate::nozzle::enrich::{Enricher, Enrichment};
use crate::nozzle::event::{AppId, Event};
use crate::nozzle::ledger::{Drop as DropReason, Filter, Intake, Ledger, Malformed};
use crate::nozzle::own::Echo;
use crate::nozzle::parking::Parking;
use crate::nozzle::queue::{FrameKind, FrameReceiver, Frames, Queued};
use crate::nozzle::upstream::{self, Upstream};
use crate::nozzle::wire::gateway::{self, Scratch};
use crate::nozzle::wire::{deprecated, v1, v2};

/// One of several equal tasks between the queue and the delivery pool.
#[derive(Debug)]
pub struct Worker {
    /// Where frames come from.
    pub frames: FrameReceiver,
    /// Where batches go.
    pub admission: Admission,
    /// Where the counts go.
    pub ledger: Arc<Ledger>,
    /// Cancelled when there is no time left to deliver anything.
    pub stop: CancellationToken,
    /// The stages between frame and batch.
    pub stages: Stages,
}

impl Worker {
    /// Works until the queue is closed and empty.
    pub async fn run(mut self) {
        while let Some(wake) = self.next().await {
            let now = Instant::now();
            match wake {
                Wake::Frames(queued) if self.stop.is_cancelled() => {
                    let envelopes = queued.frames.count_envelopes();
                    self.ledger.dropped_undecoded(DropReason::Shutdown, envelopes);
                }
                Wake::Frames(queued) => self.frames(&queued, now).await,
                Wake::NamesOrTimer => {}
            }
            // Also after frames: while there are always more of them no other arm is ever chosen.
            self.stages.unpark(now, Release::Ready);
            self.stages.batcher.seal_expired(now, self.patience());
            self.hand_over().await;
            // The queue may always be ready, and readers may wait for this very thread: a group of
            // frames is as long as they should have to.
            tokio::task::yield_now().await;
        }
        self.stages.unpark(Instant::now(), Release::All);
        self.stages.batcher.seal_all();
        self.hand_over().await;
    }

    /// Works through a group of frames. What is sealed meanwhile is handed over as soon as it is some
    /// megabytes: a few bytes of envelope can make very many of events.
    async fn frames(&mut self, queued: &Queued, now: Instant) {
        let frames = &queued.frames;
        self.stages.enricher.refresh();
        let passage = Passage { kind: frames.kind, arrived: frames.arrived, now, parked_before: false };
        for frame in &frames.frames {
            let mut envelopes = Envelopes::new(frames.kind, frame);
            while self.stages.next_envelopes(&mut envelopes, passage) == Progress::Sealed {
                self.hand_over().await;
            }
        }
    }

    /// Cancel safe in all arms: nothing is taken out of anything unless the arm is chosen.
    async fn next(&self) -> Option<Wake> {
        let deadline = self.deadline();
        let timer = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            queued = self.frames.recv() => queued.map(Wake::Frames),
            () = self.stages.enricher.changed(), if !self.stages.parking.is_empty() => Some(Wake::NamesOrTimer),
            () = timer => Some(Wake::NamesOrTimer),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let parked = self.stages.parking.next_deadline();
        let mut batched = self.stages.batcher.next_deadline();
        if self.patience() > Duration::ZERO {
            batched = batched.map(|at| at.max(Instant::now() + BACKLOG_POLL));
        }
        parked.into_iter().chain(batched).min()
    }

    /// How much longer batches may wait than FLUSH_INTERVAL: while others wait for HEC anyway, small
    /// ones had better grow, so that an outage fills the pool with events and not with requests.
    fn patience(&self) -> Duration {
        if self.admission.is_backlogged() { BACKLOG_PATIENCE } else { Duration::ZERO }
    }

    /// Reports what was seen and what is held, and hands sealed batches to the pool.
    async fn hand_over(&mut self) {
        let intake = std::mem::take(&mut self.stages.intake);
        self.ledger.intake(&intake);
        let mut held = self.stages.batcher.tally();
        self.report(held);
        if !self.stages.batcher.has_sealed() {
            return;
        }
        for batch in self.stages.batcher.take_sealed() {
            held -= batch.tally();
            self.admission.admit(batch, &self.stop).await;
            self.report(held);
        }
    }

    fn report(&mut self, held: Tally) {
        self.ledger.open(self.stages.reported, held);
        self.stages.reported = held;
    }
}

/// How often a worker looks whether HEC takes batches again.
const BACKLOG_POLL: Duration = Duration::from_millis(100);

/// How much longer than FLUSH_INTERVAL a batch may grow while HEC takes none.
const BACKLOG_PATIENCE: Duration = Duration::from_secs(5);

/// A worker hands over what is sealed when it is this much, even in the middle of a frame.
const SEALED_BYTES_MAX: usize = 4 << 20;

/// What is left of a frame.
enum Envelopes<'a> {
    Single(Option<&'a [u8]>),
    V2(v2::Batch<'a>),
    Gateway(gateway::Batch<'a>),
}

impl<'a> Envelopes<'a> {
    fn new(kind: FrameKind, frame: &'a [u8]) -> Self {
        match kind {
            FrameKind::V1Envelope => Self::Single(Some(frame)),
            FrameKind::V2Batch => Self::V2(v2::Batch::new(frame)),
            FrameKind::GatewayBatch => Self::Gateway(gateway::Batch::new(frame)),
        }
    }
}

/// Why [`Stages::next_envelopes`] has stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The frame is done.
    Done,
    /// Something has to be handed over first.
    Sealed,
}

/// Why a worker woke up.
enum Wake {
    Frames(Queued),
    NamesOrTimer,
}

/// Which parked envelopes are let out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Release {
    /// Those whose look-up has ended, or which have waited long enough.
    Ready,
    /// All.
    All,
}

/// The stages an envelope passes in a worker, and what they have counted since the last report.
#[derive(Debug)]
pub struct Stages {
    /// Knows the apps.
    pub enricher: Enricher,
    /// Holds envelopes of apps that are being looked up.
    pub parking: Parking,
    /// Writes events.
    pub encoder: Encoder,
    /// Gathers them.
    pub batcher: Batcher,
    /// Counts what the platform says it lost.
    pub upstream: Arc<Upstream>,
    /// Holds down the nozzle's own lines, if it is an app of this foundation.
    pub echo: Option<Arc<Echo>>,
    intake: Intake,
    /// What the ledger believes the batcher holds.
    reported: Tally,
    scratch: Scratch,
}

/// Where an envelope is on its way.
#[derive(Clone, Copy)]
struct Passage {
    kind: FrameKind,
    arrived: UnixNanos,
    now: Instant,
    /// Whether it was parked before: then it has been counted, and goes out with what is known.
    parked_before: bool,
}

impl Stages {
    /// Puts the stages together.
    pub fn new(
        enricher: Enricher,
        parking: Parking,
        encoder: Encoder,
        batcher: Batcher,
        upstream: Arc<Upstream>,
    ) -> Self {
        Self {
            enricher,
            parking,
            encoder,
            batcher,
            upstream,
            echo: None,
            intake: Intake::default(),
            reported: Tally::default(),
            scratch: Scratch::default(),
        }
    }

    /// Works through frames at once and gives what was sealed, for those who have no pool.
    pub fn run_through(&mut self, frames: &Frames, now: Instant) -> Vec<Batch> {
        let mut sealed = Vec::new();
        self.enricher.refresh();
        let passage = Passage { kind: frames.kind, arrived: frames.arrived, now, parked_before: false };
        for frame in &frames.frames {
            let mut envelopes = Envelopes::new(frames.kind, frame);
            while self.next_envelopes(&mut envelopes, passage) == Progress::Sealed {
                sealed.extend(self.batcher.take_sealed());
            }
        }
        sealed.extend(self.batcher.take_sealed());
        sealed
    }

    /// Handles envelopes of a frame until there are no more, or enough is sealed to be handed over.
    fn next_envelopes(&mut self, envelopes: &mut Envelopes<'_>, passage: Passage) -> Progress {
        while self.batcher.sealed_bytes() < SEALED_BYTES_MAX {
            let done = match envelopes {
                Envelopes::Single(envelope) => match envelope.take() {
                    Some(envelope) => self.decode(envelope, passage),
                    None => return Progress::Done,
                },
                Envelopes::V2(batch) => match batch.next() {
                    Some(envelope) => envelope.and_then(|envelope| self.decode(envelope, passage)),
                    None => return Progress::Done,
                },
                Envelopes::Gateway(batch) => {
                    let mut scratch = std::mem::take(&mut self.scratch);
                    let Some(envelope) = batch.next(&mut scratch) else {
                        scratch.trim();
                        self.scratch = scratch;
                        return Progress::Done;
                    };
                    let done = envelope.and_then(|envelope| self.gateway_envelope(&envelope, passage));
                    self.scratch = scratch;
                    done
                }
            };
            if let Err(kind) = done {
                self.malformed(kind);
            }
        }
        Progress::Sealed
    }

    fn unpark(&mut self, now: Instant, release: Release) {
        if self.parking.is_empty() {
            return;
        }
        self.enricher.refresh();
        let due = self.parking.next_deadline().is_some_and(|deadline| deadline <= now);
        let news = self.enricher.take_news();
        if release == Release::Ready && !due && !news {
            return;
        }
        let enricher = &mut self.enricher;
        let ready = self.parking.take(now, |app| release == Release::All || !enricher.is_pending(app));
        for parked in ready {
            let passage = Passage { kind: parked.kind, arrived: parked.arrived, now, parked_before: true };
            self.intake.parked -= 1;
            self.envelope(&parked.envelope, passage);
        }
    }

    #[inline]
    fn envelope(&mut self, bytes: &[u8], passage: Passage) {
        if let Err(kind) = self.decode(bytes, passage) {
            self.malformed(kind);
        }
    }

    fn malformed(&mut self, kind: Malformed) {
        self.intake.malformed[kind as usize] += 1;
    }

    #[inline]
    fn decode(&mut self, bytes: &[u8], passage: Passage) -> Result<(), Malformed> {
        match passage.kind {
            FrameKind::V1Envelope => {
                let mut envelope = v1::Envelope::default();
                envelope.read(bytes)?;
                let event = Event::from_v1(&envelope)?;
                self.event(&event, bytes, passage);
                Ok(())
            }
            FrameKind::V2Batch => {
                let mut envelope = v2::Envelope::default();
                envelope.read(bytes)?;
                if envelope.has_deprecated_tags {
                    return self.decode(&deprecated::to_tags(bytes)?, passage);
                }
                let event = Event::from_v2(&envelope)?;
                self.event_or_nothing(event.as_ref(), bytes, passage);
                Ok(())
            }
            FrameKind::GatewayBatch => {
                let mut scratch = Scratch::default();
                self.gateway_envelope(&gateway::Envelope::parse(bytes, &mut scratch)?, passage)
            }
        }
    }

    #[inline]
    fn gateway_envelope(
        &mut self,
        envelope: &gateway::Envelope<'_>,
        passage: Passage,
    ) -> Result<(), Malformed> {
        if envelope.has_deprecated_tags {
            return self.decode(&gateway::to_tags(envelope.text)?, passage);
        }
        let event = Event::from_gateway(envelope)?;
        self.event_or_nothing(event.as_ref(), envelope.text, passage);
        Ok(())
    }

    /// Handles what became of a v2 envelope, which need not carry a message.
    #[inline]
    fn event_or_nothing(&mut self, event: Option<&Event<'_>>, bytes: &[u8], passage: Passage) {
        if let Some(event) = event {
            return self.event(event, bytes, passage);
        }
        self.intake.received += 1;
        self.intake.filtered[Filter::NoMessage as usize] += 1;
    }

    #[inline]
    fn event(&mut self, event: &Event<'_>, bytes: &[u8], passage: Passage) {
        let intake = &mut self.intake;
        if !passage.parked_before {
            intake.received += 1;
            if let Some(lost) = upstream::passing(event, passage.kind) {
                self.upstream.add(lost);
            }
        }
        if !self.encoder.wants(event) {
            intake.filtered[Filter::EventType as usize] += 1;
            return;
        }
        if !passage.parked_before
            && let Some(echo) = &self.echo
            && echo.is_flood(event, passage.now)
        {
            intake.filtered[Filter::OwnLines as usize] += 1;
            return;
        }
        let enrichment = match event.app {
            AppId::None => Enrichment::Unknown,
            _ => self.enricher.app(event.app.text()),
        };
        let so_far;
        let (app, unenriched) = match enrichment {
            Enrichment::Known(app) => {
                intake.apps_known += u64::from(!passage.parked_before);
                (Some(app), app.index_unread)
            }
            Enrichment::Unknown => (None, false),
            Enrichment::Unavailable => {
                intake.apps_unknown += u64::from(!passage.parked_before);
                (None, true)
            }
            Enrichment::Pending { id, so_far: known } => {
                intake.apps_unknown += u64::from(!passage.parked_before);
                let parked = !passage.parked_before
                    && self.parking.park(id, passage.kind, passage.arrived, bytes, passage.now);
                if parked {
                    intake.parked += 1;
                    return;
                }
                so_far = known;
                (so_far.as_deref(), true)
            }
        };
        if app.is_some_and(|app| app.muted) {
            intake.filtered[Filter::AppMuted as usize] += 1;
            return;
        }
        let index = app.and_then(|app| app.index.as_ref());
        let context = Context {
            names: app.map_or(&[][..], |app| &app.fragment),
            app_index: index.map(AsRef::as_ref),
            app_sourcetype: app.and_then(|app| app.sourcetype.as_deref()),
            arrived: passage.arrived,
            flow: self.encoder.flow(event),
        };
        let written = self.encoder.encode(event, &context, &mut self.batcher.slot(index, passage.now));
        intake.retimed += u64::from(written.retimed);
        intake.truncated += written.truncated;
        intake.split += written.split;
        intake.left_out += written.left_out;
        if written.events == 0 && written.oversize > 0 {
            intake.oversize += 1;
            return;
        }
        intake.left_out += written.oversize;
        if written.events == 0 {
            // A gauge without metrics, or of which EVENTS wants none.
            let filter = if event.is_empty_gauge() { Filter::EmptyGauge } else { Filter::EventType };
            intake.filtered[filter as usize] += 1;
        } else {
            intake.encoded.events += written.events;
            intake.encoded.units += 1;
            intake.unenriched += if unenriched { written.events } else { 0 };
        }
    }
}
