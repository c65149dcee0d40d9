//! A reply's body on its way out: at once, in drops, or torn off in the middle.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::connection::Link;
use super::script::{BytesPerSecond, Cut};

/// Drops fall this often.
const DROP_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct ReplyBody {
    rest: Bytes,
    manner: Manner,
}

enum Manner {
    Whole,
    Drops { bytes: usize, every: Duration, pause: Pin<Box<Sleep>> },
    Torn { keep: usize, link: Arc<Link>, how: Cut },
}

impl ReplyBody {
    pub(super) fn whole(body: Bytes) -> Self {
        Self { rest: body, manner: Manner::Whole }
    }

    pub(super) fn dripping(body: Bytes, rate: BytesPerSecond) -> Self {
        let drops_per_second = (1000 / DROP_PAUSE.as_millis()) as usize;
        // Below a byte per drop the drops come less often instead.
        let bytes = (rate.0 as usize / drops_per_second).max(1);
        let every = pause_for(bytes, rate);
        Self { rest: body, manner: Manner::Drops { bytes, every, pause: Box::pin(sleep(every)) } }
    }

    pub(super) fn torn(body: Bytes, link: Arc<Link>, how: Cut) -> Self {
        let keep = body.len() / 2;
        Self { rest: body, manner: Manner::Torn { keep, link, how } }
    }
}

/// The time so many bytes take at a rate.
pub(super) fn pause_for(bytes: usize, rate: BytesPerSecond) -> Duration {
    Duration::from_secs_f64(bytes as f64 / f64::from(rate.0.max(1)))
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let length = match &mut this.manner {
            Manner::Whole => this.rest.len(),
            Manner::Drops { bytes, every, pause } => {
                std::task::ready!(pause.as_mut().poll(context));
                let next = pause.deadline() + *every;
                pause.as_mut().reset(next);
                this.rest.len().min(*bytes)
            }
            Manner::Torn { keep: 0, link, how } => {
                link.tear(*how);
                return Poll::Pending;
            }
            Manner::Torn { keep, .. } => std::mem::take(keep),
        };
        if length == 0 {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(this.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && !matches!(self.manner, Manner::Torn { .. })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
