//! An HTTP/2 connection that carries one stream, with the tasks that drive it.
//!
//! The receive windows are fixed rather than adaptive: adapting needs pings of its own, and a
//! reverse log proxy ends connections that ping more than once in ten seconds.

use std::error::Error;
use std::future::Future;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Body;
use hyper::client::conn::http2;
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::dial::{Wire, WireLog};
use super::end::End;
use super::stream::CLOSE_TIMEOUT;

/// What the peer may send ahead of us: 20 MB/s at a round trip of 100 ms, and peers are in the same foundation. It is
/// memory beside the queue for as long as the reader does not get to take it.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// There is one stream per connection, so the window of the stream counts. By this one the library bounds what very small
/// frames may cost it, half of this at 256 bytes each, and ends the connection beyond.
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// The largest frame the peer may send, for those who make use of it: a batch that comes in one
/// frame need not be put together.
const FRAME_BYTES_MAX: u32 = 256 * 1024;

/// Between two pings of ours; the reverse log proxy allows no less than 10 s.
const PING_INTERVAL: Duration = Duration::from_secs(15);

/// A ping that is not answered for this long ends the connection.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The end of a stream whose connection broke; `other` is what the library said. It says nothing of pings
/// that were not answered, but gives up the connection as if it had broken by itself.
pub(super) fn end(log: &WireLog, other: impl FnOnce() -> String) -> End {
    let silence = log.silence();
    match log.fault() {
        None if silence >= PING_TIMEOUT => End::Lost(format!(
            "{} has not answered a ping within {} s, and sent nothing for {} s",
            log.address(),
            PING_TIMEOUT.as_secs(),
            silence.as_secs()
        )),
        _ => log.end(other),
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection<B> {
    sender: http2::SendRequest<B>,
    tasks: ConnectionTasks,
}

impl<B> Connection<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    pub(super) async fn start(wire: Wire) -> Result<Self, hyper::Error> {
        let tasks = ConnectionTasks::default();
        let (sender, driver) = http2::Builder::new(tasks.clone())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES_MAX)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(wire))
            .await?;
        tasks.execute(async move {
            // The stream learns of an error from its own reads.
            let _ = driver.await;
        });
        Ok(Self { sender, tasks })
    }

    /// Makes requests on this connection.
    pub(super) fn sender(&self) -> http2::SendRequest<B> {
        self.sender.clone()
    }
}

impl<B> Connection<B> {
    /// Lets the connection finish: the stream is reset, the peer is told, the socket is closed.
    pub(super) async fn close(self) {
        let mut tasks = mem::take(&mut *self.tasks.lock());
        // The connection ends when nobody can ask for anything any more.
        drop(self);
        // What has not ended in time is aborted when the set is dropped.
        let _ = timeout(CLOSE_TIMEOUT, async { while tasks.join_next().await.is_some() {} }).await;
    }
}

/// Runs the tasks of one connection; they end with it.
#[derive(Clone, Debug, Default)]
struct ConnectionTasks(Arc<Mutex<JoinSet<()>>>);

impl ConnectionTasks {
    fn lock(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tasks hold a handle to their own set: it has to be emptied for them to go.
impl<B> Drop for Connection<B> {
    fn drop(&mut self) {
        self.tasks.lock().abort_all();
    }
}

impl<F> Executor<F> for ConnectionTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.lock().spawn(task);
    }
}
