//! One open websocket: frames out in bursts, pings, and the ways it can end.
//!
//! Frames come ready-made, so this writes bytes; what the client sends is read by the websocket
//! library and, as on the platform, ignored but for pongs, pings and the close frame.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{FutureExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{self, AsyncWriteExt, Join, ReadHalf, Sink, WriteHalf};
use tokio::time::Instant;
use tokio_websockets::{Message, ServerBuilder, WebSocketStream};

use super::Patience;
use crate::sim::foundation::faults::End;
use crate::sim::foundation::mailbox::Look;
use crate::sim::foundation::router::{Lease, V1Subscription};

/// Frames per burst: one write, one flush.
const BURST_FRAMES: usize = 256;
/// A burst is written when it has this size, whatever else waits.
const BURST_BYTES: usize = 64 * 1024;
/// How long a closed connection waits for the client's close frame.
const CLOSE_GRACE: Duration = Duration::from_secs(1);
const PING: [u8; 2] = [0x89, 0];
const PONG: u8 = 0x8A;
const CLOSE: u8 = 0x88;
const NO_PONG: &str = "Client did not respond to ping before keep-alive timeout expired.";
const NORMAL: u16 = 1000;
const POLICY_VIOLATION: u16 = 1008;

type Reader = WebSocketStream<Join<ReadHalf<TokioIo<Upgraded>>, Sink>>;

pub(super) struct Session {
    reader: Reader,
    writer: WriteHalf<TokioIo<Upgraded>>,
    lease: Lease<V1Subscription>,
    patience: Patience,
    keep_alive: KeepAlive,
    /// Taken from the mailbox, not written yet.
    frames: Vec<Bytes>,
    burst: BytesMut,
}

/// Which of the two timers runs.
#[derive(Clone, Copy)]
enum KeepAlive {
    PingDue(Instant),
    PongDue(Instant),
}

/// Why no more is written.
enum Stop {
    /// The peer is gone, or everything has been said.
    Quiet,
    Close(u16, String),
    /// In the middle of a frame, as a fault.
    Cut,
    /// A write took too long; how the connection ends depends on how long.
    Slow(Slow),
}

enum Slow {
    /// It came through in the end: an orderly close.
    Cleared,
    /// It did not: the connection is left as it is, in the middle of a frame.
    Stuck,
}

impl Session {
    pub(super) fn new(io: TokioIo<Upgraded>, lease: Lease<V1Subscription>, patience: Patience) -> Self {
        let (read, writer) = io::split(io);
        // The library answers pings and closes by itself, into the sink; that is done here.
        let reader = ServerBuilder::new().serve(io::join(read, io::sink()));
        Self {
            reader,
            writer,
            lease,
            patience,
            // The first ping goes out at once.
            keep_alive: KeepAlive::PingDue(Instant::now()),
            frames: Vec::with_capacity(BURST_FRAMES),
            burst: BytesMut::with_capacity(2 * BURST_BYTES),
        }
    }

    /// Serves until either side ends it; `slow` is called if the client reads too slowly.
    pub(super) async fn run(mut self, slow: impl FnOnce()) {
        let stop = loop {
            if let Err(stop) = self.step().await {
                break stop;
            }
        };
        // The client may be gone; then there is nobody left to tell.
        let _ = match stop {
            Stop::Quiet => Ok(()),
            Stop::Cut => self.cut().await,
            Stop::Close(code, reason) => self.close(code, &reason).await,
            Stop::Slow(kind) => {
                slow();
                match kind {
                    Slow::Cleared => self.close(NORMAL, "").await,
                    Slow::Stuck => Ok(()),
                }
            }
        };
    }

    async fn step(&mut self) -> Result<(), Stop> {
        self.check_timer().await?;
        match self.lease.mailbox.look() {
            Look::Ready(_) => {
                self.write_burst().await?;
                // A busy stream must still see pongs and closes.
                while let Some(message) = self.reader.next().now_or_never() {
                    self.handle(message).await?;
                }
                Ok(())
            }
            Look::Idle => self.wait().await,
            Look::End(End::Eof, 0) => Err(Stop::Close(NORMAL, String::new())),
            Look::End(End::Eof, _) => self.write_burst().await,
            Look::End(End::Close { code, reason }, _) => Err(Stop::Close(code, reason)),
            Look::End(End::Cut | End::Unavailable | End::ResourceExhausted, _) => Err(Stop::Cut),
        }
    }

    /// Waits for something to do. All arms are cancel safe.
    async fn wait(&mut self) -> Result<(), Stop> {
        let (KeepAlive::PingDue(due) | KeepAlive::PongDue(due)) = self.keep_alive;
        tokio::select! {
            message = self.reader.next() => self.handle(message).await,
            () = self.lease.mailbox.woken() => Ok(()),
            () = tokio::time::sleep_until(due) => Ok(()),
        }
    }

    async fn check_timer(&mut self) -> Result<(), Stop> {
        let now = Instant::now();
        match self.keep_alive {
            KeepAlive::PongDue(due) if due <= now => Err(Stop::Close(POLICY_VIOLATION, NO_PONG.to_owned())),
            KeepAlive::PingDue(due) if due <= now => {
                self.keep_alive = KeepAlive::PongDue(now + self.patience.pong_timeout);
                self.burst.put_slice(&PING);
                self.flush().await
            }
            KeepAlive::PingDue(_) | KeepAlive::PongDue(_) => Ok(()),
        }
    }

    async fn handle(
        &mut self,
        message: Option<Result<Message, tokio_websockets::Error>>,
    ) -> Result<(), Stop> {
        let Some(Ok(message)) = message else { return Err(Stop::Quiet) };
        if message.is_pong() {
            self.keep_alive = KeepAlive::PingDue(Instant::now() + self.patience.ping_interval);
        } else if message.is_ping() {
            self.put_control(PONG, message.as_payload());
            self.flush().await?;
        } else if message.is_close() {
            self.put_control(CLOSE, message.as_payload().get(..2).unwrap_or_default());
            self.flush().await?;
            return Err(Stop::Quiet);
        }
        Ok(())
    }

    async fn write_burst(&mut self) -> Result<(), Stop> {
        self.lease.mailbox.take(BURST_FRAMES, &mut self.frames);
        let mut frames = std::mem::take(&mut self.frames);
        let mut written = Ok(());
        for frame in frames.drain(..) {
            self.burst.put_slice(&frame);
            if self.burst.len() >= BURST_BYTES {
                written = self.flush().await;
                if written.is_err() {
                    break;
                }
            }
        }
        frames.clear();
        self.frames = frames;
        written?;
        self.flush().await
    }

    /// Writes what is gathered, as long as the client's patience with us, and ours with it, lasts.
    async fn flush(&mut self) -> Result<(), Stop> {
        let start = Instant::now();
        let write = async {
            self.writer.write_all(&self.burst).await?;
            self.writer.flush().await
        };
        let written = tokio::time::timeout(self.patience.cut_after, write).await;
        self.burst.clear();
        match written {
            Err(_) => Err(Stop::Slow(Slow::Stuck)),
            Ok(Err(_)) => Err(Stop::Quiet),
            Ok(Ok(())) if start.elapsed() >= self.patience.slow_after => Err(Stop::Slow(Slow::Cleared)),
            Ok(Ok(())) => Ok(()),
        }
    }

    /// Leaves half a frame behind.
    async fn cut(&mut self) -> io::Result<()> {
        self.lease.mailbox.take(1, &mut self.frames);
        let frame = match self.frames.pop() {
            Some(frame) => frame,
            None => crate::sim::foundation::table::frame(&[0; 64]),
        };
        let write = async {
            self.writer.write_all(&frame[..frame.len() / 2]).await?;
            self.writer.flush().await
        };
        tokio::time::timeout(self.patience.cut_after, write).await.unwrap_or(Ok(()))
    }

    /// Says why, then waits a little: a connection dropped with bytes unread would be reset, and
    /// the client might never see the frame.
    async fn close(&mut self, code: u16, reason: &str) -> io::Result<()> {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(reason.as_bytes());
        self.put_control(CLOSE, &payload);
        let finish = async {
            self.writer.write_all(&self.burst).await?;
            self.writer.shutdown().await?;
            while let Some(Ok(message)) = self.reader.next().await {
                if message.is_close() {
                    break;
                }
            }
            Ok(())
        };
        tokio::time::timeout(CLOSE_GRACE, finish).await.unwrap_or(Ok(()))
    }

    fn put_control(&mut self, opcode: u8, payload: &[u8]) {
        const CONTROL_PAYLOAD_MAX: usize = 125;
        let payload = &payload[..payload.len().min(CONTROL_PAYLOAD_MAX)];
        self.burst.put_u8(opcode);
        // At most 125, as just made sure.
        self.burst.put_u8(u8::try_from(payload.len()).unwrap_or_default());
        self.burst.put_slice(payload);
    }
}
