//! One open event stream: batches, heartbeats, its end, and what faults do to it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::vec::Drain;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::Stream;
use tokio::time::Instant;

use super::config::{Chunks, GatewayConfig, LineEnd, Spacing, StreamForm};
use crate::clock::UnixNanos;
use crate::sim::foundation::batches::Batches;
use crate::sim::foundation::faults::End;
use crate::sim::foundation::router::{BATCH_ENVELOPES_MAX, Lease, RlpSubscription};
use crate::sim::foundation::table::RlpItem;

/// A random piece of an event is smaller than two to this.
const PIECE_BITS_MAX: u32 = 14;
/// How long half a line has to get out before the connection is cut behind it.
const CUT_DELAY: Duration = Duration::from_millis(50);
/// What an event is longer than its envelopes.
const EVENT_FRAME_BYTES: usize = 32;
const CLOSING: &str = "closing due to stream timeout";

/// One event stream.
pub(super) struct EventStream {
    batches: Batches,
    form: Arc<Mutex<StreamForm>>,
    spacing: Spacing,
    heartbeat_interval: Duration,
    /// Put off by everything that is sent.
    heartbeat_due: Instant,
    closing_due: Instant,
    /// What remains of the event that is being written; it is never interrupted.
    output: Bytes,
    then: Then,
}

/// What comes after the event that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Continue,
    End,
    Cut,
}

/// What a stream waited for.
enum Step {
    Data(Bytes),
    Heartbeat,
    Closing,
    End(End),
}

impl EventStream {
    pub(super) fn new(
        lease: Lease<RlpSubscription>,
        form: Arc<Mutex<StreamForm>>,
        config: &GatewayConfig,
    ) -> Self {
        let now = Instant::now();
        Self {
            batches: Batches::new(lease, BATCH_ENVELOPES_MAX),
            form,
            spacing: config.json.spacing,
            heartbeat_interval: config.heartbeat_interval,
            heartbeat_due: now + config.heartbeat_interval,
            closing_due: now + config.stream_lifetime,
            output: Bytes::new(),
            then: Then::Continue,
        }
    }

    /// The pieces of the body.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        let step = |mut stream: Self| async move {
            let piece = stream.next().await?;
            Some((Ok(piece), stream))
        };
        futures_util::stream::unfold(self, step)
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if !self.output.is_empty() {
                return Some(self.piece().await);
            }
            match self.then {
                Then::Continue => self.advance().await,
                Then::End => return None,
                Then::Cut => {
                    tokio::time::sleep(CUT_DELAY).await;
                    if let Some(connection) = &self.batches.stream().connection {
                        connection.cut();
                    }
                    // The connection goes; the body must not seem to be over before.
                    std::future::pending().await
                }
            }
        }
    }

    /// What is written at once of the event.
    async fn piece(&mut self) -> Bytes {
        let Chunks::Random { pause } = self.form().chunks else {
            return std::mem::take(&mut self.output);
        };
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let size = fastrand::usize(1..1 << fastrand::u32(1..=PIECE_BITS_MAX));
        self.output.split_to(size.min(self.output.len()))
    }

    /// Waits for something to write.
    async fn advance(&mut self) {
        if self.is_mute() {
            return self.batches.stream().mailbox.woken().await;
        }
        let step = self.step().await;
        let line_end = self.form().line_end;
        (self.output, self.then) = match step {
            // Held back since the wait began; what is due stays due.
            Step::Heartbeat | Step::Closing if self.is_mute() => return,
            Step::Data(event) => (event, Then::Continue),
            Step::Heartbeat => (heartbeat(line_end), Then::Continue),
            Step::Closing => (named("closing", CLOSING, line_end), Then::End),
            Step::End(End::Close { reason, .. }) => (named("closing", &reason, line_end), Then::End),
            Step::End(End::Eof | End::Unavailable | End::ResourceExhausted) => (Bytes::new(), Then::End),
            Step::End(End::Cut) => {
                let event = data(self.batches.rest(), self.spacing, line_end).unwrap_or_default();
                (event.slice(..event.len() / 2), Then::Cut)
            }
        };
        self.heartbeat_due = Instant::now() + self.heartbeat_interval;
    }

    async fn step(&mut self) -> Step {
        // All waits are cancel safe. The end comes in time on a busy stream, too.
        let items = tokio::select! {
            biased;
            () = tokio::time::sleep_until(self.closing_due) => return Step::Closing,
            items = self.batches.next() => items,
            () = tokio::time::sleep_until(self.heartbeat_due) => return Step::Heartbeat,
        };
        match items {
            Err(end) => Step::End(end),
            Ok(items) => {
                let line_end = lock(&self.form).line_end;
                // What the proxy sent cannot be decoded: to the gateway that is the proxy's end.
                data(items, self.spacing, line_end).map_or(Step::End(End::Unavailable), Step::Data)
            }
        }
    }

    fn is_mute(&self) -> bool {
        self.batches.stream().mailbox.is_mute()
    }

    fn form(&self) -> StreamForm {
        *lock(&self.form)
    }
}

fn lock(form: &Mutex<StreamForm>) -> MutexGuard<'_, StreamForm> {
    // A form is replaced as a whole.
    form.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One batch as an event, or a piece of body as it is; `None` if an envelope has no JSON.
fn data(items: Drain<'_, RlpItem>, spacing: Spacing, line_end: LineEnd) -> Option<Bytes> {
    let len = |item: &RlpItem| match item {
        RlpItem::Json(Some(json)) => json.len() + spacing.comma().len(),
        _ => 0,
    };
    let size = items.as_slice().iter().map(len).sum::<usize>();
    let mut out = BytesMut::with_capacity(size + EVENT_FRAME_BYTES);
    out.put_slice(b"data: {\"batch\":[");
    let mut first = true;
    for item in items {
        match item {
            RlpItem::Json(Some(json)) => {
                if !std::mem::take(&mut first) {
                    out.put_slice(spacing.comma());
                }
                out.put_slice(&json);
            }
            // It is alone.
            RlpItem::Whole(bytes) => return Some(bytes),
            // gRPC streams have the former.
            RlpItem::Envelope(_) | RlpItem::Json(None) => return None,
        }
    }
    out.put_slice(b"]}");
    out.put_slice(line_end.bytes());
    out.put_slice(line_end.bytes());
    Some(out.freeze())
}

fn heartbeat(line_end: LineEnd) -> Bytes {
    let seconds = UnixNanos::now().0 / 1_000_000_000;
    named("heartbeat", &seconds.to_string(), line_end)
}

fn named(name: &str, data: &str, line_end: LineEnd) -> Bytes {
    let mut out = BytesMut::new();
    for part in [format!("event: {name}"), format!("data: {data}"), String::new()] {
        out.put_slice(part.as_bytes());
        out.put_slice(line_end.bytes());
    }
    out.freeze()
}

#[cfg(test)]
mod tests;
