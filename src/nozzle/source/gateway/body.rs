//! The body of an answer together with the connection that brings it.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::causes::chain;
use crate::nozzle::source::dial::{Wire, WireLog};
use crate::nozzle::source::end::End;
use crate::nozzle::source::http2;
use crate::nozzle::source::stream::CLOSE_TIMEOUT;

type Http1 = http1::Connection<TokioIo<Wire>, Empty<Bytes>>;

/// Drives a connection of HTTP/1.1.
///
/// It is polled by whoever reads the body, so that all that has arrived is taken in one go; a
/// task of its own would hand over one chunk at a time.
pub(super) struct Driver {
    connection: Http1,
    over: bool,
}

impl Driver {
    pub(super) fn new(connection: Http1) -> Self {
        Self { connection, over: false }
    }

    /// Moves the connection on; ready when it is over. Its error is told by what it carries.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.over {
            let _ = ready!(Pin::new(&mut self.connection).poll(cx));
            self.over = true;
        }
        Poll::Ready(())
    }
}

/// What brings the body.
pub(super) enum Carrier {
    Http1(Box<Driver>),
    /// Has tasks of its own.
    Http2(http2::Connection<Empty<Bytes>>),
}

/// A body that is being read.
pub(super) struct Body {
    incoming: Incoming,
    carrier: Carrier,
}

impl Body {
    pub(super) fn new(incoming: Incoming, carrier: Carrier) -> Self {
        Self { incoming, carrier }
    }

    /// The next bytes, never none at all; `None` when the body has ended in good order.
    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        loop {
            let frame = match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    let Carrier::Http1(driver) = &mut self.carrier else { return Poll::Pending };
                    // Pending says nothing of whether it has brought something.
                    let _ = driver.poll(cx);
                    ready!(Pin::new(&mut self.incoming).poll_frame(cx))
                }
            };
            match frame {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) if !chunk.is_empty() => return Poll::Ready(Some(Ok(chunk))),
                    // Trailers say nothing here.
                    Ok(_) | Err(_) => {}
                },
            }
        }
    }

    /// The next bytes. Cancel safe.
    pub(super) async fn chunk(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// The end of a stream whose body could not be read any more.
    pub(super) fn end(&self, log: &WireLog, error: &hyper::Error) -> End {
        match self.carrier {
            Carrier::Http1(_) => log.end(|| chain(error)),
            Carrier::Http2(_) => http2::end(log, || chain(error)),
        }
    }

    /// Closes the connection; gives up being polite after [`CLOSE_TIMEOUT`].
    pub(super) async fn close(self) {
        drop(self.incoming);
        match self.carrier {
            Carrier::Http1(driver) => {
                let mut wire = driver.connection.into_parts().io.into_inner();
                // The peer may be gone; the socket is closed in any case.
                let _ = timeout(CLOSE_TIMEOUT, wire.shutdown()).await;
            }
            Carrier::Http2(connection) => connection.close().await,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("incoming", &self.incoming).finish_non_exhaustive()
    }
}
